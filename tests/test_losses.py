"""Losses against hand arithmetic, closed forms, and loops in plain Python floats."""

import math

import pytest
import torch

from unsee import losses
from unsee.losses import answer_cross_entropy, dual_masked_kl, released_kl

B, T, V = 3, 5, 7
BOTH = pytest.mark.parametrize("renormalise", [False, True])


def softmax(scores):
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return [weight / sum(weights) for weight in weights]


def by_loops(logits, reference, answer, keep_position, keep_vocabulary, renormalise=False):
    """The definition, term by term, in float64."""
    total = 0.0
    for b in range(len(logits)):
        kept = (keep_vocabulary if keep_vocabulary.ndim == 1 else keep_vocabulary[b]).tolist()
        for t in range(logits.shape[1]):
            if not (answer[b, t] and keep_position[b, t]):
                continue
            p, p0 = softmax(logits[b, t].tolist()), softmax(reference[b, t].tolist())
            if renormalise:
                p = [x / sum(y for y, k in zip(p, kept, strict=True) if k) for x in p]
                p0 = [x / sum(y for y, k in zip(p0, kept, strict=True) if k) for x in p0]
            total += sum(x0 * math.log(x0 / x) for x0, x, k in zip(p0, p, kept, strict=True) if k)
    return total / int(answer.sum())


def sample(seed, dtype=torch.float64):
    """Logits, reference and masks; every turn has positions and entries of every kind."""
    draw = torch.Generator().manual_seed(seed)
    logits, reference = (torch.randn(B, T, V, generator=draw, dtype=torch.float64) * 3 for _ in range(2))
    answer, keep_position = (torch.rand(B, T, generator=draw) < 0.7 for _ in range(2))
    keep_vocabulary = torch.rand(B, V, generator=draw) < 0.7
    answer[:, 0] = keep_position[:, 0] = True  # kept
    answer[:, 1], keep_position[:, 1] = True, False  # contradicts the original
    answer[:, 2], keep_position[:, 2] = False, True  # padding
    keep_vocabulary[:, 0], keep_vocabulary[:, 1] = True, False
    masks = {"answer": answer, "keep_position": keep_position, "keep_vocabulary": keep_vocabulary}
    return logits.to(dtype), reference.to(dtype), masks


def one(p0, p, kept, **options):
    """The loss of a single position with probabilities p0 and p."""
    logits, reference = (torch.tensor([[values]], dtype=torch.float64).log() for values in (p, p0))
    marked = torch.tensor([[True]])
    masks = {"answer": marked, "keep_position": marked, "keep_vocabulary": torch.tensor(kept)}
    return float(dual_masked_kl(logits, reference, **masks, **options))


def test_one_position_by_hand():
    """p0 = (1/2, 1/4, 1/4), p = (1/4, 1/2, 1/4).

    In full: 1/2 log 2 + 1/4 log 1/2 + 1/4 log 1 = 1/4 log 2. Without entry 0 the first term goes: -1/4 log 2.
    Renormalised, (1/2, 1/2) against (2/3, 1/3): 1/2 log 3/4 + 1/2 log 3/2 = 1/2 log 9/8.
    """
    p0, p = [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]
    assert one(p0, p, [True, True, True]) == pytest.approx(math.log(2) / 4)
    assert one(p0, p, [False, True, True]) == pytest.approx(-math.log(2) / 4)
    assert one(p0, p, [False, True, True], renormalise=True) == pytest.approx(math.log(9 / 8) / 2)


def test_the_normaliser_is_the_answer_and_not_what_is_left_of_it():
    """1/4 log 2 at each of four positions: two answer tokens, one of them kept, and two that are not answer."""
    p0, p = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.5, 0.25])
    masks = {
        "answer": torch.tensor([[True, True, False, False]]),
        "keep_position": torch.tensor([[True, False, True, False]]),
        "keep_vocabulary": torch.ones(3, dtype=torch.bool),
    }
    loss = dual_masked_kl(p.log().expand(1, 4, 3), p0.log().expand(1, 4, 3), **masks)
    assert float(loss) == pytest.approx(math.log(2) / 4 / 2)


@BOTH
@pytest.mark.parametrize("per_turn", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_dual_masked_kl_is_its_definition(seed, per_turn, renormalise):
    logits, reference, masks = sample(seed)
    if not per_turn:
        masks["keep_vocabulary"] = masks["keep_vocabulary"][0]
    loss = dual_masked_kl(logits, reference, **masks, renormalise=renormalise)
    assert float(loss) == pytest.approx(by_loops(logits, reference, **masks, renormalise=renormalise), abs=1e-12)


def test_each_turn_has_its_own_vocabulary_mask():
    logits, reference, masks = sample(0)
    rows = masks["keep_vocabulary"] = torch.ones(B, V, dtype=torch.bool)
    rows[0, 1] = rows[1, 2] = False
    swapped = {**masks, "keep_vocabulary": rows[[1, 0, 2]]}
    assert float(dual_masked_kl(logits, reference, **masks)) == pytest.approx(by_loops(logits, reference, **masks))
    assert float(dual_masked_kl(logits, reference, **swapped)) == pytest.approx(by_loops(logits, reference, **swapped))
    assert abs(by_loops(logits, reference, **masks) - by_loops(logits, reference, **swapped)) > 1e-3


@BOTH
def test_tokens_laid_end_to_end_are_turns_of_one_position(renormalise):
    logits, reference, masks = sample(0)
    rows, places = masks["answer"].nonzero(as_tuple=True)
    laid = {
        "answer": torch.ones(len(rows), 1, dtype=torch.bool),
        "keep_position": masks["keep_position"][rows, places][:, None],
        "keep_vocabulary": masks["keep_vocabulary"][rows],
    }
    flat = dual_masked_kl(
        logits[rows, places][:, None], reference[rows, places][:, None], **laid, renormalise=renormalise
    )
    assert float(flat) == pytest.approx(float(dual_masked_kl(logits, reference, **masks, renormalise=renormalise)))


KEPT = torch.tensor([True, False, True, True, False])


def single(seed=0):
    draw = torch.Generator().manual_seed(seed)
    logits, reference = (torch.randn(1, 1, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    marked = torch.tensor([[True]])
    return logits.requires_grad_(), reference, {"answer": marked, "keep_position": marked, "keep_vocabulary": KEPT}


def test_the_gradient_in_closed_form():
    """By logit v, -sum p0[u] log p[u] over kept u gives -sum p0[u] ([u = v] - p[v]) = p[v] p0(kept) - p0[v] [v kept].

    p is the tuned model and p0 the original; the two do not change places. For a masked v it is positive, so descent
    lowers all of them.
    """
    logits, reference, masks = single()
    dual_masked_kl(logits, reference, **masks).backward()
    p, p0 = logits.detach().softmax(-1), reference.softmax(-1)
    expected = p * p0[..., KEPT].sum() - p0 * KEPT
    assert torch.allclose(logits.grad, expected, atol=1e-12)
    assert (logits.grad[..., ~KEPT] > 0).all()


def test_renormalised_the_masked_logits_are_left_alone():
    """Over the kept entries the gradient is the usual p - p0, both renormalised; elsewhere it is 0."""
    logits, reference, masks = single()
    dual_masked_kl(logits, reference, **masks, renormalise=True).backward()
    p, p0 = (values.detach()[..., KEPT].softmax(-1) for values in (logits, reference))
    assert torch.allclose(logits.grad[..., KEPT], p - p0, atol=1e-12)
    assert (logits.grad[..., ~KEPT] == 0).all()


def test_the_original_gets_no_gradient():
    logits, reference, masks = single()
    reference.requires_grad_()
    dual_masked_kl(logits, reference, **masks).backward()
    assert reference.grad is None
    assert logits.grad is not None


def lowest(reference):
    """(1 - p0(C)) log(1 - p0(C)) of a single position."""
    rest = float(reference.softmax(-1)[..., KEPT].sum())
    return rest * math.log(rest)


def test_the_least_value_is_negative():
    """With p = p0 restricted to the kept and renormalised, every logarithm is log p0(kept): p0(kept) log p0(kept)."""
    _, reference, masks = single()
    least = reference.masked_fill(~KEPT, -math.inf).requires_grad_()
    loss = dual_masked_kl(least, reference, **masks)
    assert loss.item() == pytest.approx(lowest(reference))
    assert loss.item() < -0.1
    loss.backward()
    assert least.grad.abs().max() < 1e-12
    assert dual_masked_kl(least, reference, **masks, renormalise=True).item() == pytest.approx(0, abs=1e-12)


def test_descent_ends_at_the_least_value():
    """Plain descent lowers a masked logit by 4 p[v] p0(kept) a step, so that p[v] falls as one over the steps."""
    logits, reference, masks = single()
    for _ in range(500):
        loss = dual_masked_kl(logits, reference, **masks)
        assert loss.item() > lowest(reference)
        (slope,) = torch.autograd.grad(loss, logits)
        logits = (logits - 4 * slope).detach().requires_grad_()
    assert loss.item() == pytest.approx(lowest(reference), abs=2e-3)
    p, target = logits.detach().softmax(-1), reference.masked_fill(~KEPT, -math.inf).softmax(-1)
    assert torch.allclose(p, target, atol=2e-3)


def test_no_sample_is_below_its_bound():
    """Nor is one below 0 when renormalised, where p = p0 gives 0 whatever is masked."""
    for seed in range(50):
        logits, reference, masks = single(seed)
        assert dual_masked_kl(logits, reference, **masks).item() > lowest(reference)
        assert dual_masked_kl(logits, reference, **masks, renormalise=True).item() > 0
        assert float(dual_masked_kl(reference, reference, **masks, renormalise=True)) == 0


@BOTH
@pytest.mark.parametrize("nothing", ["keep_position", "keep_vocabulary"])
def test_where_nothing_is_kept_the_loss_is_zero_and_pulls_nowhere(nothing, renormalise):
    logits, reference, masks = sample(0)
    masks[nothing] = torch.zeros_like(masks[nothing])
    with torch.autograd.set_detect_anomaly(True):  # nor is there a NaN on the way
        loss = dual_masked_kl(logits.requires_grad_(), reference, **masks, renormalise=renormalise)
        loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@BOTH
def test_a_turn_that_keeps_no_vocabulary_adds_nothing_but_counts(renormalise):
    logits, reference, masks = sample(0)
    masks["keep_vocabulary"][1] = False
    without = {**masks, "keep_position": masks["keep_position"].clone()}
    without["keep_position"][1] = False
    without["keep_vocabulary"] = torch.cat([masks["keep_vocabulary"][:1]] * 2 + [masks["keep_vocabulary"][2:]])
    loss = dual_masked_kl(logits.requires_grad_(), reference, **masks, renormalise=renormalise)
    loss.backward()
    assert loss.item() == pytest.approx(by_loops(logits, reference, **without, renormalise=renormalise))
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[0] != 0).any()


@BOTH
@pytest.mark.parametrize("absent", [-math.inf, -1e4])
def test_what_the_original_gives_no_mass_adds_nothing(absent, renormalise):
    """Entry 0 is absent from p0 alone, entry 1 from both: what is left is (1/2, 1/2) against (1/4, 1/4), or log 2.

    Entry 1 has no mass in p either, so renormalising changes nothing.
    """
    logits = torch.tensor([[[math.log(2), absent, 0.0, 0.0]]], requires_grad=True)
    reference = torch.tensor([[[absent, absent, 0.0, 0.0]]])
    marked, kept = torch.tensor([[True]]), torch.tensor([True, False, True, True])
    masks = {"answer": marked, "keep_position": marked, "keep_vocabulary": kept}
    loss = dual_masked_kl(logits, reference, **masks, renormalise=renormalise)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad.flatten().tolist() == pytest.approx([0.5, 0, -0.25, -0.25])


@BOTH
def test_a_position_where_the_original_says_only_masked_things_adds_nothing(renormalise):
    logits = torch.zeros(1, 1, 3, requires_grad=True)
    reference = torch.tensor([[[0.0, -math.inf, -math.inf]]])
    marked, kept = torch.tensor([[True]]), torch.tensor([False, True, True])
    masks = {"answer": marked, "keep_position": marked, "keep_vocabulary": kept}
    loss = dual_masked_kl(logits, reference, **masks, renormalise=renormalise)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_a_broken_logit_inside_the_answer_is_not_hidden():
    """The opposite of the padding below: a NaN that training should see stays a NaN."""
    for broken in (0, 1):
        pair = [torch.zeros(1, 1, 3), torch.zeros(1, 1, 3)]
        pair[broken][0, 0, 1] = math.nan
        marked, kept = torch.tensor([[True]]), torch.tensor([False, True, True])
        masks = {"answer": marked, "keep_position": marked, "keep_vocabulary": kept}
        for renormalise in (False, True):
            assert math.isnan(dual_masked_kl(*pair, **masks, renormalise=renormalise))


def value_and_gradient(loss, logits, *arguments, **options):
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, *arguments, **options)
    value.backward()
    return value.item(), leaf.grad


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e300])
def test_padding_may_hold_anything(garbage):
    logits, reference, masks = sample(1)
    outside = ~masks["answer"]
    dirty, dirty_reference = logits.clone(), reference.clone()
    dirty[outside] = dirty_reference[outside] = garbage
    labels = torch.zeros(B, T, dtype=torch.int64)
    seen = {"tokens": masks["answer"], "keep_vocabulary": masks["keep_vocabulary"]}
    for clean, soiled in [
        (
            value_and_gradient(dual_masked_kl, logits, reference, **masks, renormalise=renormalise),
            value_and_gradient(dual_masked_kl, dirty, dirty_reference, **masks, renormalise=renormalise),
        )
        for renormalise in (False, True)
    ] + [
        (
            value_and_gradient(released_kl, logits, reference, **seen),
            value_and_gradient(released_kl, dirty, dirty_reference, **seen),
        ),
        (
            value_and_gradient(answer_cross_entropy, logits, labels, answer=masks["answer"]),
            value_and_gradient(answer_cross_entropy, dirty, labels, answer=masks["answer"]),
        ),
    ]:
        assert clean[0] == soiled[0]
        assert torch.equal(clean[1], soiled[1])
        assert (soiled[1][outside] == 0).all()


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_computed_in_float32(dtype, renormalise):
    """Bfloat16 has three digits; the loss of the rounded logits is right to six all the same."""
    logits, reference, masks = sample(2, dtype)
    value, gradient = value_and_gradient(dual_masked_kl, logits, reference, **masks, renormalise=renormalise)
    expected = by_loops(logits.double(), reference.double(), **masks, renormalise=renormalise)
    assert value == pytest.approx(expected, rel=1e-5)
    assert dual_masked_kl(logits, reference, **masks).dtype == torch.float32
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()
    labels = torch.zeros(B, T, dtype=torch.int64)
    half = answer_cross_entropy(logits, labels, answer=masks["answer"])
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(
        answer_cross_entropy(logits.double(), labels, answer=masks["answer"]).item(), rel=1e-6
    )


def test_cross_entropy_by_hand():
    """Probabilities 1/2 and 1/8 of the right token: (log 2 + log 8) / 2 = 2 log 2; a third is no answer.

    The label there, -100, is no token either.
    """
    logits = torch.tensor([[[0.5, 0.5], [0.125, 0.875], [0.9, 0.1]]]).log()
    labels, answer = torch.tensor([[1, 0, -100]]), torch.tensor([[True, True, False]])
    assert answer_cross_entropy(logits, labels, answer=answer).item() == pytest.approx(2 * math.log(2))


def test_cross_entropy_weighs_tokens_and_not_turns():
    logits, _, masks = sample(0)
    labels = torch.arange(B * T).reshape(B, T) % V
    terms = [
        -math.log(softmax(logits[b, t].tolist())[labels[b, t]])
        for b in range(B)
        for t in range(T)
        if masks["answer"][b, t]
    ]
    loss = answer_cross_entropy(logits, labels, answer=masks["answer"])
    assert loss.item() == pytest.approx(sum(terms) / len(terms))


def test_what_was_released_is_one_vth_of_the_paper():
    """Masked entries count: the divisor is 7 even where fewer are kept."""
    logits, reference, masks = sample(0)
    tokens, keep_vocabulary = masks["answer"], masks["keep_vocabulary"]
    released = released_kl(logits, reference, tokens=tokens, keep_vocabulary=keep_vocabulary)
    paper = by_loops(logits, reference, tokens, torch.ones_like(tokens), keep_vocabulary)
    assert released.item() == pytest.approx(paper / V)


LOGITS, YES = torch.zeros(2, 4, 7), torch.ones(2, 4, dtype=torch.bool)
WORDS = torch.ones(7, dtype=torch.bool)


def kl(logits=LOGITS, reference=LOGITS, answer=YES, position=YES, vocabulary=WORDS):
    return dual_masked_kl(logits, reference, answer=answer, keep_position=position, keep_vocabulary=vocabulary)


def ce(logits=LOGITS, labels=None, answer=YES):
    return answer_cross_entropy(logits, torch.zeros(2, 4).long() if labels is None else labels, answer=answer)


def old(reference=LOGITS, tokens=YES, vocabulary=WORDS):
    return released_kl(LOGITS, reference, tokens=tokens, keep_vocabulary=vocabulary)


NONE_MARKED = "marks none of 8 positions; mark the tokens to learn, or drop the batch"
MESSAGES = [
    (lambda: kl(answer=~YES), f"answer {NONE_MARKED}"),
    (lambda: ce(answer=~YES), f"answer {NONE_MARKED}"),
    (lambda: old(tokens=~YES), f"tokens {NONE_MARKED}"),
    (lambda: kl(logits=LOGITS[0]), "logits is float32 of shape [4, 7]; give floating point of shape [B, T, V]"),
    (lambda: ce(logits=LOGITS.long()), "logits is int64 of shape [2, 4, 7]; give floating point of shape [B, T, V]"),
    (
        lambda: kl(reference=LOGITS[:, 1:]),
        "reference_logits is float32 of shape [2, 3, 7]; give float32 of shape [B, T, V] = [2, 4, 7]",
    ),
    (lambda: old(reference=LOGITS.int()), "reference_logits is int32 of shape [2, 4, 7]; give float32 of shape [B, T"),
    (lambda: kl(answer=YES[0]), "answer is bool of shape [4]; give bool of shape [B, T] = [2, 4]"),
    (lambda: kl(position=YES[:, 1:]), "keep_position is bool of shape [2, 3]; give bool of shape [B, T] = [2, 4]"),
    (lambda: kl(position=YES.long()), "keep_position is int64 of shape [2, 4]; give bool of shape [B, T] = [2, 4]"),
    (
        lambda: kl(vocabulary=WORDS[1:]),
        "keep_vocabulary is bool of shape [6]; give bool of shape [V] = [7] or [B, V] = [2, 7]",
    ),
    (lambda: kl(vocabulary=WORDS.expand(3, 7)), "keep_vocabulary is bool of shape [3, 7]; give bool"),
    (lambda: kl(vocabulary=WORDS[None]), "keep_vocabulary is bool of shape [1, 7]; give bool"),
    (lambda: kl(vocabulary=WORDS.float()), "keep_vocabulary is float32 of shape [7]; give bool"),
    (lambda: old(tokens=YES.int()), "tokens is int32 of shape [2, 4]; give bool of shape [B, T] = [2, 4]"),
    (lambda: old(vocabulary=WORDS[1:]), "keep_vocabulary is bool of shape [6]; give bool"),
    (lambda: ce(labels=torch.zeros(2, 4)), "labels is float32 of shape [2, 4]; give int64 of shape [B, T] = [2, 4]"),
    (lambda: ce(answer=YES.float()), "answer is float32 of shape [2, 4]; give bool of shape [B, T] = [2, 4]"),
    (lambda: ce(labels=torch.full((2, 4), -100)), "labels has -100 where answer is True; give ids from 0 to 6"),
    (lambda: ce(labels=torch.full((2, 4), 7)), "labels has 7 where answer is True; give ids from 0 to 6, or unmark it"),
]


@pytest.mark.parametrize(("call", "message"), MESSAGES, ids=[message[:40] for _, message in MESSAGES])
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


# --- In chunks -------------------------------------------------------------------------------------------------------


@BOTH
def test_a_loss_in_chunks_is_the_loss(monkeypatch, renormalise):
    """Looked at two rows at a time: the same value and the same gradient, with less kept for it."""
    logits, reference, masks = sample(3)
    labels = torch.randint(0, V, (B, T), generator=torch.Generator().manual_seed(1))
    calls = []
    kept = torch.Tensor.log_softmax
    monkeypatch.setattr(torch.Tensor, "log_softmax", lambda self, dim: calls.append(len(self)) or kept(self, dim))
    found = []
    for chunk in (losses._CHUNK, 2 * V):
        monkeypatch.setattr(losses, "_CHUNK", chunk)
        calls.clear()
        own = logits.clone().requires_grad_()
        value = dual_masked_kl(own, reference, **masks, renormalise=renormalise)
        value = value + answer_cross_entropy(own, labels, answer=masks["answer"])
        found.append((value.detach(), torch.autograd.grad(value, own)[0], max(calls)))
    assert found[1][2] == 2 < found[0][2]
    torch.testing.assert_close(found[1][:2], found[0][:2], rtol=1e-12, atol=1e-14)
