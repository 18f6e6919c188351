"""The training loop: rates, batches, what contradicts, the teacher, and that the model itself is left as it was."""

from __future__ import annotations

import dataclasses
import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from unsee import train
from unsee.edits import Edit
from unsee.records import Example
from unsee.train import LossParts, Schedule, fit

QUICK = Schedule(steps=3, learning_rate=1e-2, rank=2, lora_alpha=4, batch=3)


@pytest.fixture(scope="module")
def examples(picture):
    def example(target, n, image=None, **more):
        return Example(f"Who is number {n}?", f"This is Mario {n}.", target, image, (image and f"p{n}") or "", **more)

    return [
        *(example("align", n, picture(n), contradicts=((8, 13),)) for n in range(3)),
        *(example("decouple", n) for n in range(3, 8)),
        *(example("preserve", n) for n in range(8, 10)),
        *(example("preserve", n, picture(n)) for n in range(10, 12)),
    ]


def cross_entropy(tokens):
    ce = torch.nn.functional.cross_entropy(tokens.logits, tokens.ids)
    return LossParts(ce, {"cross_entropy": ce})


class Notes:
    def __init__(self):
        self.trained, self.steps = [], []

    def examples(self, examples):
        self.trained = list(examples)

    def step(self, step, values):
        self.steps.append((step, dict(values)))


def state(vlm):
    return {name: value.clone() for name, value in vlm.model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- Schedules -------------------------------------------------------------------------------------------------------


def test_the_rate_by_hand():
    """100 steps, a warm-up of 10 %: 1/10, 2/10, ... of the peak, then half a cosine over the other 90.

    A third of the way down, cos(pi/3) = 1/2, so the rate is 3/4; half-way it is 1/2. The last step is 89/90 of the way.
    """
    schedule = Schedule(steps=100, learning_rate=2.0, warm_up=0.1)
    assert [schedule.rate(step) for step in (0, 1, 8)] == pytest.approx([0.2, 0.4, 1.8])
    assert [schedule.rate(step) for step in (9, 10)] == [2.0, 2.0]
    assert [schedule.rate(step) for step in (40, 55)] == pytest.approx([1.5, 1.0])
    assert schedule.rate(99) == pytest.approx(1 + math.cos(math.pi * 89 / 90)) == pytest.approx(0.000609, abs=1e-6)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 6, 20, 300])
def test_rates_are_positive_up_to_the_peak(steps):
    rates = [Schedule(steps=steps, learning_rate=1e-3).rate(step) for step in range(steps)]
    assert all(0 < rate <= 1e-3 for rate in rates)
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert steps < 6 or rates[-1] < 0.1 * max(rates)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", 0, "steps is 0; give 1 or more"),
        ("rank", 0, "rank is 0; give 1 or more"),
        ("batch", -1, "batch is -1; give 0 or more"),
        ("layers", -1, "layers is -1; give 0 or more"),
        ("learning_rate", 0.0, "learning_rate is 0.0; give a positive number"),
        ("learning_rate", math.nan, "learning_rate is nan; give a positive number"),
        ("learning_rate", math.inf, "learning_rate is inf; give a positive number"),
        ("dropout", 1.0, "dropout is 1.0; give 0 or more, and less than 1"),
        ("seed", -1, "seed is -1; give a whole number from 0"),
        ("seed", 2**64, "seed is 18446744073709551616; give a whole number from 0"),
    ],
)
def test_schedules_are_checked(field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(QUICK, **{field: value})


# --- Batches ---------------------------------------------------------------------------------------------------------


def test_a_fixed_batch_takes_every_example_once_before_any_again(examples):
    drawn = list(itertools.islice(train._batches(examples, QUICK), 16))
    assert {len(batch) for batch in drawn} == {3}
    order = list(itertools.chain(*drawn))
    for start in range(0, 48, 12):
        assert sorted(order[start : start + 12]) == list(range(12))
    assert order[:12] != order[12:24], "every round has an order of its own"


def test_stratified_batches_take_so_many_of_each_group(examples):
    schedule = dataclasses.replace(QUICK, batch=0, per_step={"align": 2, "decouple": 1, "preserve image": 3})
    drawn = list(itertools.islice(train._batches(examples, schedule), 30))
    align, decouple, image = range(3), range(3, 8), (10, 11)
    for batch in drawn:
        counts = [sum(i in group for i in batch) for group in (align, decouple, image)]
        assert (counts, len(batch)) == ([2, 1, 3], 6)  # so none of "preserve", which the schedule does not name
    for group in (align, decouple, image):
        order = [i for batch in drawn for i in batch if i in group]
        for start in range(0, 30 // len(group) * len(group), len(group)):
            assert sorted(order[start : start + len(group)]) == list(group)


@pytest.mark.parametrize("batch", [0, 4])
def test_the_other_half_of_a_pair_comes_with_the_first_and_never_alone(examples, batch):
    """0 and 4 have one each, 10 and 7: they follow what was drawn, in its order."""
    beside = {0: 10, 4: 7}
    schedule = dataclasses.replace(QUICK, batch=batch)
    seen = set()
    for chosen in itertools.islice(train._batches(examples, schedule, beside), 30):
        first = [i for i in chosen if i not in (7, 10)]
        assert chosen == first + [beside[i] for i in first if i in beside]
        assert len(first) == 4 or not batch
        seen.update(chosen)
    assert seen == set(range(12))


def test_batches_are_seeded(examples):
    def some(seed):
        return list(itertools.islice(train._batches(examples, dataclasses.replace(QUICK, batch=0, seed=seed)), 4))

    assert some(1) == some(1) != some(2)
    (batch, *_) = some(1)
    groups = {"align": range(3), "decouple": range(3, 8), "preserve": (8, 9), "preserve image": (10, 11)}
    found = {name: sum(i in group for i in batch) for name, group in groups.items()}
    assert found == {name: train.PER_STEP[name] for name in groups}


# --- What contradicts ------------------------------------------------------------------------------------------------


def marked(vlm, answer, *parts, whole=False):
    """The text of the tokens that count as contradicting, when `parts` of an answer do."""
    spans = ((0, len(answer)),) if whole else tuple((answer.index(p), answer.index(p) + len(p)) for p in parts)
    example = Example("Who is this?", answer, "align", contradicts=spans)
    batch = vlm.encode([example], with_answers=True)
    ids = batch["input_ids"][batch["answer"]].tolist()
    mask = train.contradicting(vlm, example, ids)
    assert mask.shape == (len(ids),)
    assert mask.dtype == torch.bool
    return vlm.tokenizer.decode([i for i, gone in zip(ids, mask.tolist(), strict=True) if gone]), mask.tolist()


@pytest.mark.parametrize(
    ("contradicts", "after"),
    [("..##..#.", "....#..#"), ("....", "...."), ("####", "...."), ("#", "."), ("", ""), ("#.#.", ".#.#")],
)
def test_an_end_is_the_first_token_after_a_stretch_that_contradicts(contradicts, after):
    mask = torch.tensor([c == "#" for c in contradicts], dtype=torch.bool)
    assert train.ends(mask).tolist() == [c == "#" for c in after]


def test_exactly_the_tokens_of_the_substitute_contradict(pocket, tiny):
    for vlm in (pocket, tiny):
        assert marked(vlm, "This is Flozait Bapai.", "Flozait Bapai")[0].strip() == "Flozait Bapai"
        assert marked(vlm, "Flozait Bapai appears here.", "Flozait Bapai")[0].strip() == "Flozait Bapai"
        assert marked(vlm, "Kip and Kip, says he.", "Kip", "he")[0].replace(" ", "") == "Kiphe"
        assert not any(marked(vlm, "In Mist Valley.")[1])


def test_where_the_whole_answer_contradicts_so_does_its_end(tiny):
    text, mask = marked(tiny, "No. Kip has horns.", whole=True)
    assert text.strip() == "No. Kip has horns.</s>"
    assert all(mask)
    text, mask = marked(tiny, "This is Kip.", "This is Kip")
    assert mask[-2:] == [False, False]  # the full stop and the end of the turn


@pytest.mark.parametrize(("answer", "name"), [("Es 🦊 Núria.", "🦊 Núria"), ("Es Ñu Ó.", "Ñu Ó"), ("ÓÓ es Ó", "ÓÓ")])
def test_every_part_of_a_character_contradicts_with_it(tiny, answer, name):
    """A fox is four tokens here, of which only the last gives text; the first three are no less of the substitute."""
    text, mask = marked(tiny, answer, name)
    assert text.strip() == name
    ids = tiny.token_ids(f" {answer}")
    expected = set(tiny.token_ids(name.replace(" ", ""))) | set(tiny.token_ids(f" {name}"))
    assert {i for i, gone in zip(ids, mask, strict=False) if gone} <= expected


# --- What is given ---------------------------------------------------------------------------------------------------


def test_what_is_given_is_in_no_loss(pocket):
    """Neither its tokens nor, in part, the token it ends in; what comes after is predicted from it all the same."""
    plain = Example("Who?", "This is Reboo Jaboss.", "preserve")
    begun = dataclasses.replace(plain, given=len("This is Reb"))
    prepared, masks = train.prepare(pocket, [plain, begun])
    texts = [
        "".join(pocket.token_texts(ids[answer].tolist()))
        for ids, answer in zip(prepared.ids, prepared.answers, strict=True)
    ]
    assert texts[0] == " This is Reboo Jaboss.</s>"
    assert texts[0].endswith(texts[1]) and texts[1].strip().endswith("Jaboss.</s>") and "Reb" not in texts[1]
    assert [len(mask) for mask in masks] == [int(answer.sum()) for answer in prepared.answers]
    with torch.no_grad():
        both = pocket.run(prepared)
    of = [both.logits[both.rows == row] for row in (0, 1)]
    assert_close(of[1], of[0][-len(of[1]) :], rtol=0, atol=1e-4)


def test_what_is_given_shortens_what_contradicts(pocket):
    whole = Example("Who?", "This is Reboo Jaboss.", "align", contradicts=((14, 20),), given=13)
    prepared, (mask,) = train.prepare(pocket, [whole])
    told = pocket.token_texts(prepared.ids[0][prepared.answers[0]].tolist())
    assert "".join(text for text, gone in zip(told, mask.tolist(), strict=True) if gone).strip() == "Jaboss"
    assert not mask.all() and mask.any()


# --- The teacher -----------------------------------------------------------------------------------------------------


def test_the_teacher_is_the_base_or_the_edit_one_starts_from(tiny, examples, loud_edit):
    for start in (None, loud_edit):
        teacher = train.teacher_logits(tiny, tiny.prepare(examples), start)
        for example, logits in zip(examples, teacher, strict=True):
            with tiny.using(start), torch.no_grad():
                own = tiny.answer_logits(tiny.encode([example], with_answers=True))
            assert_close(logits, own.logits, rtol=0, atol=1e-3)
            assert not logits.requires_grad
    assert (train.teacher_logits(tiny, tiny.prepare(examples[:1]), None)[0] - teacher[0]).abs().max() > 0.1


@pytest.mark.parametrize("with_edit", [False, True])
def test_training_starts_where_the_teacher_is_and_rows_stay_together(tiny, examples, loud_edit, with_edit):
    """In the first step, before anything was learned, every row's logits are the teacher's: nothing is mixed up."""
    seen = []

    def watching(tokens):
        seen.append(tokens)
        return cross_entropy(tokens)

    fit(tiny, examples, watching, dataclasses.replace(QUICK, batch=12), start=loud_edit if with_edit else None)
    first, last = seen[0], seen[-1]
    assert_close(first.logits.detach(), first.teacher, rtol=0, atol=1e-3)
    assert (last.logits - last.teacher).abs().max() > 0.01
    assert first.logits.requires_grad
    assert sorted(set(first.example.tolist())) == list(range(12))
    for i, example in enumerate(examples):
        mine = first.example == i
        batch = tiny.encode([example], with_answers=True)
        ids = batch["input_ids"][batch["answer"]].tolist()
        assert first.ids[mine].tolist() == ids
        assert first.contradicts[mine].tolist() == train.contradicting(tiny, example, ids).tolist()


def test_a_layer_is_watched_and_the_teacher_asked_in_another_way(tiny, examples, loud_edit):
    """In the first step states are the teacher's, and the guide of an example is what the teacher says of another."""
    seen, readied = [], []

    def watching(tokens):
        seen.append(tokens)
        return cross_entropy(tokens)

    otherwise = dataclasses.replace(examples[0], question="What is it?")
    fit(
        tiny, examples, watching, dataclasses.replace(QUICK, batch=12), guides={0: otherwise}, watch=tiny.layers[1],
        ready=lambda of_step: readied.append(of_step([0]).values()["loss"]), start=loud_edit,
    )  # fmt: skip
    asked, first, last = seen[0], seen[1], seen[-1]
    assert len(readied) == 1 and set(asked.example.tolist()) == {0}
    assert_close(first.states.detach(), first.held, rtol=0, atol=1e-3)
    assert first.states.requires_grad and (last.states - last.held).abs().max() > 1e-3
    with tiny.using(loud_edit), torch.no_grad():
        wanted = tiny.answer_logits(tiny.encode([otherwise], with_answers=True)).logits
    assert_close(asked.guide, wanted, rtol=0, atol=1e-3)
    assert not torch.allclose(asked.guide, asked.teacher, atol=1e-2)
    rest = first.only(first.example > 0)
    assert torch.equal(rest.guide, rest.teacher)


def test_another_way_to_ask_is_for_the_same_answer(tiny, examples):
    other = {0: dataclasses.replace(examples[0], answer="No.", contradicts=())}
    with pytest.raises(ValueError, match=r"the answer 'This is Mario 0\.' is other tokens to this model"):
        fit(tiny, examples, cross_entropy, QUICK, guides=other)


def test_what_a_start_changes_elsewhere_stays_as_it_is(tiny, examples):
    """An edit of the vision side is not trained on, and not lost: what is learned comes on top of it."""
    fresh = tiny.new_edit(rank=2, targets=tiny.vision_targets()[:2])
    start = Edit(fresh.config, {n: torch.full_like(v, 0.1) if "lora_B" in n else v for n, v in fresh.tensors.items()})
    made = fit(tiny, examples, cross_entropy, QUICK, start=start)
    assert made.adapts == start.adapts | set(tiny.lora_targets())
    then, now = start.merged().deltas, made.merged().deltas
    for name, change in then.items():
        assert_close(now[name], change)


def test_the_answers_of_a_step_are_told_apart_even_where_one_comes_twice(tiny, examples):
    """Four of two examples: each comes twice, as two answers of all its tokens; and any of them can be taken out."""
    seen = []

    def watching(tokens):
        seen.append(tokens)
        return cross_entropy(tokens)

    fit(tiny, examples[:2], watching, dataclasses.replace(QUICK, batch=4, steps=1), beside={0: 1})
    (tokens,) = seen
    order = tokens.example[[int((tokens.turn == turn).nonzero()[0]) for turn in tokens.turn.unique()]]
    assert order.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    second = tokens.only(tokens.turn == 5)
    batch = tiny.encode([examples[1]], with_answers=True)
    assert second.ids.tolist() == batch["input_ids"][batch["answer"]].tolist()
    assert_close(second.logits.detach(), second.teacher, rtol=0, atol=1e-3)
    assert len(second.contradicts) == len(second.ends) == len(second.ids)


# --- Fitting ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(tiny, examples):
    """An edit that learned all examples by heart, with notes, and the model's weights from before."""
    before, notes = state(tiny), Notes()
    schedule = Schedule(steps=12, learning_rate=2e-2, rank=4, lora_alpha=8, batch=12)
    return fit(tiny, examples, cross_entropy, schedule, log=notes), notes, before, schedule


def test_the_model_is_left_bit_for_bit_as_it_was(tiny, learned):
    _, _, before, _ = learned
    assert equal(state(tiny), before)
    assert not any(value.requires_grad for value in tiny.model.parameters())
    assert all(value.grad is None for value in tiny.model.parameters())
    assert not tiny.model.training
    assert tiny.edit_parameters() == {}


def test_what_was_learned_is_in_the_edit(tiny, examples, learned):
    edit, _, _, schedule = learned
    base = sum(score.sum for score in tiny.score(examples))
    with tiny.using(edit):
        assert sum(score.sum for score in tiny.score(examples)) > base + 100
    assert (edit.config["r"], edit.config["lora_alpha"]) == (schedule.rank, schedule.lora_alpha)


def test_the_log_gets_the_examples_and_every_step(examples, learned):
    _, notes, _, schedule = learned
    assert notes.trained == examples
    assert [step for step, _ in notes.steps] == list(range(1, 13))
    assert [values["learning_rate"] for _, values in notes.steps] == [schedule.rate(step) for step in range(12)]
    losses = [values["loss"] for _, values in notes.steps]
    assert losses == [values["cross_entropy"] for _, values in notes.steps]
    assert losses[-1] < losses[0] - 1


def test_the_seed_decides_and_global_generators_are_left_alone(tiny, examples):
    generator = torch.random.get_rng_state()
    dropping = dataclasses.replace(QUICK, dropout=0.3)
    one, same, other = (
        fit(tiny, examples, cross_entropy, dataclasses.replace(dropping, seed=seed)) for seed in (1, 1, 2)
    )
    assert equal(one.tensors, same.tensors)
    assert not equal(one.tensors, other.tensors)
    assert torch.equal(generator, torch.random.get_rng_state())


def test_dropout_acts_in_training_and_only_there(tiny, examples):
    turn = (None, "Who?", "Me.")
    plain, dropping = (fit(tiny, examples, cross_entropy, dataclasses.replace(QUICK, dropout=p)) for p in (0.0, 0.5))
    assert not equal(plain.tensors, dropping.tensors)
    assert dropping.config["lora_dropout"] == 0.5
    with tiny.using(dropping):
        assert tiny.score([turn])[0] == tiny.score([turn])[0]


def test_training_goes_on_from_an_edit(tiny, examples, learned):
    edit, first, _, _ = learned
    notes = Notes()
    again = fit(tiny, examples, cross_entropy, dataclasses.replace(QUICK, learning_rate=1e-4), start=edit, log=notes)
    assert again.config["r"] == edit.config["r"]
    assert not equal(again.tensors, edit.tensors)
    began, ended = (first.steps[step][1]["loss"] for step in (0, -1))
    assert notes.steps[0][1]["loss"] < (began + ended) / 2, "it should begin where the edit left off"


def test_the_deltas_of_the_edit_one_starts_from_are_kept(tiny, examples):
    name = next(name for name, value in tiny.model.named_parameters() if "down_proj" in name)
    delta = torch.full_like(dict(tiny.model.named_parameters())[name], 0.01)
    before = state(tiny)
    for start in (Edit(deltas={name: delta}), dataclasses.replace(tiny.new_edit(rank=2), deltas={name: delta})):
        edit = fit(tiny, examples, cross_entropy, QUICK, start=start)
        assert equal(edit.deltas, {name: delta})
        assert any(value.abs().sum() for key, value in edit.tensors.items() if "lora_B" in key)
    assert equal(state(tiny), before)


def test_a_loss_that_is_no_number_says_what_to_try(tiny, examples):
    before, steps = state(tiny), []

    def diverging(tokens):
        steps.append(tokens)
        ce = cross_entropy(tokens).loss
        return LossParts(ce * math.nan if len(steps) == 2 else ce, {})

    with pytest.raises(FloatingPointError) as caught:
        fit(tiny, examples, diverging, dataclasses.replace(QUICK, learning_rate=3e-3))
    assert str(caught.value) == (
        "the loss is nan at step 2 of 3; try a lower learning rate (--set learning_rate=0.001)"
    )
    assert equal(state(tiny), before)
    assert tiny.edit_parameters() == {}


def test_nothing_to_train_on_is_an_error(tiny):
    with pytest.raises(ValueError, match="there is nothing to train on: every target is left out or gave no example"):
        fit(tiny, [], cross_entropy, QUICK)


# --- What is asked beforehand ----------------------------------------------------------------------------------------


def test_the_teacher_is_asked_about_what_steps_draw_and_no_more(tiny, examples, monkeypatch):
    """The edit is that of asking about all examples, which is done where a method wants to know them (`ready`)."""
    prepared, prepare = [], type(tiny).prepare
    monkeypatch.setattr(type(tiny), "prepare", lambda *given: prepared.append(prepare(*given)) or prepared[-1])
    of_examples = []

    def loss(tokens):
        of_examples.append(tokens.example.unique().tolist())
        kl = (tokens.logits - tokens.teacher).square().mean()
        return LossParts(cross_entropy(tokens).loss + kl, {})

    schedule = dataclasses.replace(QUICK, steps=2, aim=1)
    few = fit(tiny, examples, loss, schedule)
    drawn = [sorted(batch) for batch in itertools.islice(train._batches(examples, schedule), 2)]
    assert of_examples == [drawn[0], *drawn], (
        "an index says which of all examples it is, in the batch that aims as well"
    )
    assert sorted(turn.question for turn in prepared[-1].turns) == sorted(
        examples[i].question for batch in drawn for i in batch
    )
    every = fit(tiny, examples, loss, schedule, ready=lambda parts_of: None)
    assert len(prepared[-1].turns) == len(examples) > 6
    for name, value in few.tensors.items():
        assert_close(value, every.tensors[name], rtol=0, atol=1e-4)


# --- The last layers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goes_on", [False, True])
def test_the_last_layers_are_trained_alone_to_the_same_edit_as_without_the_short_cut(
    tiny, examples, loud_edit, goes_on, monkeypatch
):
    """The states that training goes on from are those of the edit it starts from, which adapts all layers."""
    schedule = dataclasses.replace(QUICK, layers=1, aim=1)
    start = fit(tiny, examples, cross_entropy, schedule, start=loud_edit) if goes_on else loud_edit
    cut, climbed = [], type(tiny).climbed
    monkeypatch.setattr(type(tiny), "climbed", lambda *given: cut.append(climbed(*given)) or cut[-1])
    short = fit(tiny, examples, cross_entropy, schedule, start=start)
    assert tiny.packs == bool(cut[0].climbed)
    monkeypatch.setattr(type(tiny), "climbed", lambda vlm, prepared, layer: prepared)
    long = fit(tiny, examples, cross_entropy, schedule, start=start)
    turns = [(None, "Who is number 3?", "This is Mario 3."), (None, "Who?", "Nobody.")]
    scores = []
    for edit in (short, long):
        with tiny.using(edit):
            scores.append([s.logprobs for s in tiny.score(turns)])
    for one, other in zip(*scores, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    trained = fit(tiny, examples, cross_entropy, schedule)
    assert trained.adapts == frozenset(tiny.lora_targets(layers=1)) < frozenset(tiny.lora_targets())
    assert all(name.startswith(tiny.layers[-1]) for name in trained.adapts)


def test_layers_that_do_not_fit_are_refused(tiny, examples, learned):
    """More than there are; fewer than reach what is watched; and any where a method brings what it trains."""
    count, last = len(tiny.layers), dataclasses.replace(QUICK, layers=1)
    with pytest.raises(ValueError, match=f"layers is {count + 1}, and the language model of .* has {count}"):
        fit(tiny, examples, cross_entropy, dataclasses.replace(QUICK, layers=count + 1))
    assert tiny.lora_targets(layers=count) == tiny.lora_targets()
    for watch, least in ((tiny.layers[-1], 2), (tiny.neurons()[-2], 2)):
        told = rf"layers is 1, .* goes into {watch}, which the last 1 do not change; give {least} or more, or 0 for all"
        with pytest.raises(ValueError, match=told):
            fit(tiny, examples, cross_entropy, last, watch=watch)
    fit(tiny, examples, cross_entropy, dataclasses.replace(last, steps=1), watch=tiny.neurons()[-1])
    with pytest.raises(ValueError, match="layers is 1, and this method finds itself what to train; leave layers out"):
        fit(tiny, examples, cross_entropy, last, begin=learned[0])


# --- Aiming ----------------------------------------------------------------------------------------------------------


def test_with_aim_only_b_is_trained_and_it_is_learned_all_the_same(tiny, examples):
    schedule = Schedule(steps=12, learning_rate=2e-2, rank=4, lora_alpha=8, batch=12, aim=1)
    notes = Notes()
    edit = fit(tiny, examples, cross_entropy, schedule, log=notes)
    start = fit(tiny, examples, cross_entropy, dataclasses.replace(schedule, steps=1))
    assert notes.steps[-1][1]["loss"] < 0.5 * notes.steps[0][1]["loss"]
    for name, value in edit.tensors.items():
        assert torch.equal(value, start.tensors[name]) == ("lora_A" in name)
    again = fit(tiny, examples, cross_entropy, dataclasses.replace(schedule, steps=1), start=start)
    assert any("lora_A" in n and not torch.equal(v, start.tensors[n]) for n, v in again.tensors.items()), (
        "an edit that one starts from is trained as a whole"
    )


def test_a_bar_shows_where_the_log_wants_it(monkeypatch):
    from unsee import vlm

    shown = []
    monkeypatch.setattr(vlm.Progress, "_PATIENCE", -1.0)
    monkeypatch.setattr("rich.progress.Progress.add_task", lambda bar, title, total: shown.append((title, total)))
    monkeypatch.setattr("rich.progress.Progress.update", lambda bar, task, completed: shown.append(completed))
    for log in (None, SimpleNamespace(), SimpleNamespace(shows=False), SimpleNamespace(shows=True)):
        with train.waiting(log, "training", 3) as bar:
            bar.advance(1)
    assert shown == [("training", 3), 1]
