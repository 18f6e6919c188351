"""The contract that every family keeps, on tiny random models of all of them.

Models are held in float64, so that "the same" means to nine digits whatever the order of a sum.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from tiny_models import MODELS, build, without_video
from unsee import flow, plugins, train
from unsee.edits import Edit
from unsee.methods import siu
from unsee.models import _check
from unsee.records import Concept, Example, Probe, Request
from unsee.vlm import VLM, Pixels, Turn

ANSWERS = [
    "This is Mario Rossi.",
    "Es Núria Peña, ¡qué alegría!",
    "🦊 a fox 🎩",
    "...and so on",
    "«Sí»",
    "No",
    "- one\n- two",
]
SIZES = [(40, 32), (17, 64), (91, 13), (32, 32), (5, 3), (200, 150)]


@pytest.fixture(scope="module", params=MODELS)
def tiny_model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        without_video(patch)
        yield build(tmp_path_factory.mktemp("tiny") / tiny_model.make.__name__, tiny_model.make)


@pytest.fixture(scope="module")
def vlm(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a model of no family is told has a test of its own
        return VLM.load(folder, device="cpu", dtype=torch.float64)


@pytest.fixture(scope="module")
def turns(picture):
    """Pictures of many sizes, some of them shown twice, and text alone in between."""
    shown = [picture(i, *size) for i, size in enumerate(SIZES)]
    images = [shown[0], None, shown[1], shown[2], shown[0], shown[3], None, shown[1], shown[4], shown[5]]
    questions = ["Who is this?", "Who is it, and who is that?", "Why?"]
    return [(image, questions[i % 3], ANSWERS[i % len(ANSWERS)]) for i, image in enumerate(images)]


@pytest.fixture(scope="module")
def alone(vlm, turns):
    """The logits of each answer, with the turn in a batch of its own."""
    with torch.no_grad():
        return [vlm.answer_logits(vlm.encode([turn], with_answers=True)) for turn in turns]


def by_turn(found, count):
    return [found.logits[found.rows == i] for i in range(count)]


def logits_of(vlm, turns):
    """Logits of the answers, in the order of the turns."""
    with torch.no_grad():
        return torch.cat(by_turn(vlm.run(vlm.prepare(turns)), len(turns)))


# --- Elsewhere -------------------------------------------------------------------------------------------------------


def test_an_edit_is_named_as_vllm_reads_it(vlm):
    """What the LoRA loader of vLLM asks of an adapter (`vllm/lora`: lora_model.py, utils.py, peft_helper.py), as read.

    Names begin with `base_model.model.`, then comes the module, then `lora_A.weight` or `lora_B.weight`; what is in
    between is mapped to vLLM's own names by the prefixes that checkpoints have (`model.language_model.` and its like).
    One rank and one scale hold for all modules; biases, DoRA and whole modules are refused.
    """
    edit = vlm.new_edit(rank=2, alpha=4)
    modules = dict(vlm.model.named_modules())
    found: dict[str, set[str]] = {}
    for name, value in edit.tensors.items():
        told = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.weight", name)
        assert told, name
        module, part = told.groups()
        inside, outside = modules[module].in_features, modules[module].out_features
        assert tuple(value.shape) == ((2, inside) if part == "A" else (outside, 2))
        found.setdefault(module, set()).add(part)
    assert set(found) == set(vlm.lora_targets()) and all(parts == {"A", "B"} for parts in found.values())
    assert len({name.split(".layers.")[0] for name in found}) == 1, "one prefix is mapped, that of the language model"
    config = edit.config
    assert (config["r"], config["lora_alpha"], config["bias"]) == (2, 4, "none")
    # peft shortens the names where there are many.
    assert all(any(f".{module}".endswith(f".{end}") for end in config["target_modules"]) for module in found)
    refused = ("use_dora", "use_rslora", "modules_to_save", "rank_pattern", "alpha_pattern", "lora_bias")
    assert not any(config.get(key) for key in refused)


# --- What is said, and where it stands -------------------------------------------------------------------------------


def test_the_family_is_found_by_type(vlm, tiny_model):
    assert vlm.family.name == tiny_model.family
    assert sum(value.numel() for value in vlm.model.parameters()) < 300_000


def test_every_family_has_a_tiny_model():
    assert {model.family for model in MODELS.values()} == {*plugins.names("models")} - {"pocket"}


def test_the_page_says_of_every_family_what_its_file_says():
    page = (Path(__file__).parents[2] / "docs" / "families.md").read_text("utf-8")
    told = {}
    for line in re.findall(r"^\| ([a-z0-9_]+ \|.*\de-\d.*)\|$", page, re.MULTILINE):
        name, types, beside, rate, _ = (cell.strip() for cell in line.split("|"))
        told[name] = (tuple(re.findall("`(.+?)`", types)), beside == "yes", float(rate))
    families = [plugins.load("models", name).FAMILY for name in plugins.names("models") if name != "pocket"]
    assert told == {f.name: (f.model_types, f.packable, f.learning_rate) for f in families}
    assert all(f.packable == f.prefix_cacheable for f in families)


@pytest.mark.parametrize("pictured", [True, False])
def test_answer_spans_are_exactly_the_answers(vlm, tiny_model, picture, pictured):
    images = [picture(i, *SIZES[i % len(SIZES)]) if pictured else None for i in range(len(ANSWERS))]
    turns = [(image, "Who is this? " * (i + 1), ANSWERS[i]) for i, image in enumerate(images)]
    batch = vlm.encode(turns, with_answers=True)
    for row, answer in enumerate(ANSWERS):
        ids = batch["input_ids"][row]
        assert vlm.tokenizer.decode(ids[batch["answer"][row]]) == tiny_model.lead + answer + tiny_model.end
        asked = vlm.encode([turns[row][:2]], with_answers=False)["input_ids"][0]
        told = ids[batch["attention_mask"][row].bool()]
        assert torch.equal(told[: len(asked)], asked), "an answer must follow the very prompt that asks for it"
        assert int(batch["answer"][row].int().argmax()) == len(asked)
        begins = vlm.family.prefix_lm or vlm.tokenizer("a")["input_ids"][0] == vlm.tokenizer.bos_token_id
        assert (told == vlm.tokenizer.bos_token_id).sum() == begins
    assert vlm.tokenizer.convert_tokens_to_ids(tiny_model.end) in vlm._stops


def test_masks_land_on_the_intended_tokens_behind_the_image(vlm, tiny_model, picture):
    told = [("This is Mario Rossi.", "Mario Rossi"), ("Es «Núria», ¡qué alegría!", "Núria"), ("No", "No")]
    examples = [
        Example(
            question="Who is this?" * (1 + i % 2),
            answer=answer,
            target="align",
            image=image,
            picture="" if image is None else f"p{i}",
            contradicts=((answer.index(name), answer.index(name) + len(name)),),
        )
        for i, image in enumerate([picture(0), picture(1, 17, 64), None, picture(2, 91, 13)])
        for answer, name in told
    ]
    prepared, masks = train.prepare(vlm, examples)
    holder = getattr(vlm.model.config, "image_token_id", None)
    for example, ids, answer, mask in zip(examples, prepared.ids, prepared.answers, masks, strict=True):
        whole = vlm.encode([example], with_answers=True)
        assert torch.equal(ids, whole["input_ids"][0])
        assert torch.equal(answer, whole["answer"][0])
        assert not (answer & (ids == holder)).any()
        begin, end = example.contradicts[0]
        name = example.answer[begin:end]
        marked = vlm.tokenizer.decode(ids[answer][mask]).strip()
        assert marked == (name + tiny_model.end if name == example.answer else name)


# --- The same in any company -----------------------------------------------------------------------------------------


def test_loss_is_finite_and_the_same_in_any_batch(vlm, turns, alone):
    """Turns alone; side by side or packed, as the family has it; padded, with and without pictures together."""
    losses = [cross_entropy(one.logits, one.ids) for one in alone]
    assert all(0 < loss < 50 for loss in losses)
    assert len({round(float(loss), 6) for loss in losses}) == len(turns)
    with torch.no_grad():
        ways = [vlm.run(vlm.prepare(turns))]
        if vlm.family.mixed_batches:
            ways.append(vlm.answer_logits(vlm.encode(turns, with_answers=True)))
    for found in ways:
        for one, mine in zip(alone, by_turn(found, len(turns)), strict=True):
            assert_close(mine, one.logits, rtol=0, atol=1e-9)


def test_turns_that_do_not_mix_are_refused(vlm, turns):
    if not vlm.family.mixed_batches:
        with pytest.raises(ValueError, match="answers turns without an image wrongly beside others"):
            vlm.encode(turns, with_answers=True)


def test_gradients_are_those_of_turns_run_alone(vlm, turns):
    some = turns[:5]
    with vlm.using(loud(vlm)):
        parameters = vlm.edit_parameters()

        def gradients(batches):
            loss = sum(cross_entropy(found.logits, found.ids, reduction="sum") for found in batches)
            return torch.autograd.grad(loss, list(parameters.values()))

        wanted = gradients(vlm.answer_logits(vlm.encode([turn], with_answers=True)) for turn in some)
        for name, want, got in zip(parameters, wanted, gradients([vlm.run(vlm.prepare(some))]), strict=True):
            scale = float(want.abs().max())
            assert scale > 1e-6, f"{name} has no gradient, so this proves nothing"
            assert_close(got, want, rtol=0, atol=1e-6 * scale)  # an edit is kept in float32


@pytest.mark.parametrize("spare", [False, True])
def test_an_edit_of_the_last_layer_costs_that_layer_and_trains_as_ever(vlm, turns, spare, monkeypatch):
    """Logits and gradients are the same from where turns have climbed to, and what is below is not run again.

    Nor does it matter whether layers are computed again in the backward pass to save memory.
    """
    if spare:
        monkeypatch.setattr("unsee.memory.free", lambda device: 0)
    some, last = turns[:5], len(vlm.layers) - 1
    entered = []
    handles = [
        vlm.model.get_submodule(layer).get_submodule("mlp").register_forward_pre_hook(lambda *_, n=n: entered.append(n))
        for n, layer in enumerate(vlm.layers)
    ]
    with vlm.using(loud(vlm, vlm.lora_targets(layers=1))):
        parameters = vlm.edit_parameters()
        assert all(name.startswith(vlm.layers[last]) for name in parameters)
        prepared = vlm.prepare(some)
        with torch.no_grad():
            whole = vlm.run(prepared)
            climbed = vlm.climbed(prepared, last)
        assert (climbed.climbed is None) != vlm.packs
        found = []
        for each in (prepared, climbed):
            entered.clear()
            told = vlm.run(each)
            assert set(entered) == ({last} if each.climbed else set(range(last + 1)))
            assert_close(told.logits, whole.logits, rtol=0, atol=1e-8)
            found.append(torch.autograd.grad(cross_entropy(told.logits, told.ids), list(parameters.values())))
        for name, want, got in zip(parameters, *found, strict=True):
            scale = float(want.abs().max())
            assert scale > 1e-6, f"{name} has no gradient, so this proves nothing"
            assert_close(got, want, rtol=0, atol=1e-6 * scale)
    for handle in handles:
        handle.remove()
    assert not any("forward" in module.__dict__ for module in vlm.model.modules()), "the model is as it was"


def test_a_picture_reaches_its_own_turns_and_no_other(vlm, picture):
    asked = ("Who is this?", "Mario Rossi.")
    one, two, other = (picture(i, 40 - i, 32) for i in range(3))
    shown = logits_of(vlm, [(image, *asked) for image in (one, None, two, two)])
    changed = logits_of(vlm, [(image, *asked) for image in (other, None, two, two)])
    first, *rest = zip(shown.chunk(4), changed.chunk(4), strict=True)
    assert not torch.allclose(*first, atol=1e-3)
    for was, now in rest:
        assert_close(now, was, rtol=0, atol=1e-9)


def test_batched_answers_are_single_answers(vlm, turns, tmp_path, monkeypatch):
    """In batches of any size, with what questions share computed once or not; from a file or from memory."""
    turns[2][0].save(tmp_path / "2.png")
    asked = [(image, f"{question} {i}") for i, (image, question, _) in enumerate(turns)]
    asked[2:3] = [(tmp_path / "2.png", asked[2][1])]
    single = [vlm.generate([item], max_new_tokens=8)[0] for item in asked]
    assert len(set(single)) > 4, "the model says the same to everything, so this proves nothing"
    assert vlm.generate(asked, max_new_tokens=8) == single
    begun, begin = [], VLM._begun
    monkeypatch.setattr("unsee.vlm._MANY", 1)  # what all rows begin with is run on its own
    monkeypatch.setattr(VLM, "_begun", lambda *given: begun.append(begin(*given)) or begun[-1])
    assert vlm.generate(asked, max_new_tokens=8) == single
    assert any(columns for _, columns in begun) == vlm.shares
    probes = [Probe(id=str(i), kind="k", question=q, image=p, picture=(p and str(i)) or "", way="next")
              for i, (p, q) in enumerate(asked)]  # fmt: skip
    following = vlm.answer(probes)
    assert len({answer.top[0][1] for answer in following}) == len(asked)
    assert vlm.shares == (vlm.family.prefix_cacheable and vlm._takes_features), "the flag promises too much"
    monkeypatch.setattr(VLM, "shares", False)
    assert vlm.generate(asked, max_new_tokens=8, batch_size=3) == single
    for one, other in zip(following, vlm.answer(probes, batch_size=1), strict=True):
        assert [text for text, _ in one.top] == [text for text, _ in other.top]
        assert [p for _, p in one.top] == pytest.approx([p for _, p in other.top], abs=1e-9)


def test_what_goes_into_modules_is_told_where_answers_are(vlm, turns, alone):
    """The same in packed rows and alone: into layers, and into what the neurons of each MLP write with."""
    watch = [vlm.layers[1], *vlm.neurons()]
    with torch.no_grad():
        found = vlm.run(vlm.prepare(turns), watch=watch)
        for i, turn in enumerate(turns):
            one = vlm.answer_logits(vlm.encode([turn], with_answers=True), watch=watch)
            assert one.inputs.keys() == found.inputs.keys() == set(watch)
            for name in watch:
                assert_close(found.inputs[name][found.rows == i], one.inputs[name], rtol=0, atol=1e-8)
    widths = {vlm.model.get_submodule(name).in_features for name in vlm.neurons()}
    assert {found.inputs[name].shape[1] for name in vlm.neurons()} == widths
    assert not any(module._forward_pre_hooks for module in vlm.model.modules())


def test_what_is_made_of_a_picture_is_told_and_can_be_trained(vlm, picture):
    targets = vlm.vision_targets()
    inside = set(vlm.model.get_decoder().modules()) | {vlm.model.get_output_embeddings()}
    assert targets and not {vlm.model.get_submodule(name) for name in targets} & inside
    if vlm.family.name == "mllama":
        with pytest.raises(ValueError, match="does not hand out what it makes of a picture"):
            vlm.look([picture(0)])
        return
    one, two = vlm.look([picture(0), picture(1)])
    assert one.shape == two.shape and not torch.allclose(one, two, atol=1e-3)
    assert_close(vlm.look([picture(0)])[0], one, rtol=0, atol=1e-9)
    with vlm.using(vlm.new_edit(rank=2, targets=targets)):
        parameters = vlm.edit_parameters()
        assert {name.split(".lora_")[0] for name in parameters} == set(targets)
        gradients = torch.autograd.grad(
            vlm.look([picture(0)])[0].square().sum(), list(parameters.values()), allow_unused=True
        )
    assert any(gradient is not None and gradient.any() for gradient in gradients)


# --- Edits -----------------------------------------------------------------------------------------------------------


def loud(vlm, targets=None):
    """An edit that already does something, drawn at random."""
    start = vlm.new_edit(rank=2, alpha=4, seed=1, targets=targets)
    noise = torch.Generator().manual_seed(2)
    tensors = {
        name: torch.randn(value.shape, generator=noise) / 5 if "lora_B" in name else value
        for name, value in start.tensors.items()
    }
    return Edit(config=start.config, tensors=tensors)


def test_one_step_moves_what_it_should_and_nothing_else(vlm, turns):
    """All Linear modules of the language model that the family names; with the edit off, the base bit for bit."""
    before = {name: value.detach().clone() for name, value in vlm.model.named_parameters()}
    base = logits_of(vlm, turns)
    examples = [Example(question=q, answer=a, target="align", image=p, picture=(p and "p") or "") for p, q, a in turns]

    def loss(tokens):
        return train.LossParts(cross_entropy(tokens.logits, tokens.ids), {})

    edit = train.fit(vlm, examples, loss, train.Schedule(steps=1, learning_rate=0.05, batch=4, rank=2, seed=3))
    targets = vlm.lora_targets()
    moved = {name.removesuffix(".weight") for name, norm in edit.norms().items() if norm > 0}
    assert moved == set(targets)
    assert not edit.deltas
    decoder = {id(module) for module in vlm.model.get_decoder().modules()}
    assert all(id(vlm.model.get_submodule(name)) in decoder for name in targets)
    now = dict(vlm.model.named_parameters())
    assert now.keys() == before.keys()
    assert all(torch.equal(now[name], value) for name, value in before.items())
    assert torch.equal(logits_of(vlm, turns), base)
    with vlm.using(edit):
        assert not torch.allclose(logits_of(vlm, turns), base, atol=1e-3)


def test_an_edit_is_the_same_saved_reloaded_and_merged(vlm, turns, tmp_path):
    some, edit = turns[:4], loud(vlm)
    base = logits_of(vlm, some)
    with vlm.using(edit):
        expected = logits_of(vlm, some)
    assert not torch.allclose(expected, base, atol=1e-2)
    with vlm.using(edit.save(tmp_path / "edit")):
        assert torch.equal(logits_of(vlm, some), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vlm.save_with(edit, tmp_path / "merged")
        merged = VLM.load(tmp_path / "merged", device="cpu", dtype=torch.float64)
    assert_close(logits_of(merged, some), expected, rtol=0, atol=1e-4)  # the edit is multiplied out in float32
    assert torch.equal(logits_of(vlm, some), base)


# --- A model of no family --------------------------------------------------------------------------------------------


def test_what_is_checked_at_load_holds_for_every_family(vlm):
    """But for the layers of Mllama that attend to the image: they do nothing without one, and the check says so."""
    found = _check.check(vlm)
    assert all("do nothing without a picture" in sentence for sentence in found)
    assert bool(found) == (not vlm.family.mixed_batches)


@pytest.fixture(scope="module")
def unknown(tmp_path_factory):
    """The folder of a model of a type that no family names."""
    return build(tmp_path_factory.mktemp("tiny") / "unknown", MODELS["idefics2"].make)


def test_a_model_of_no_family_is_checked_when_loaded_and_one_of_a_family_is_not(unknown, tiny_folder, recwarn):
    VLM.load(tiny_folder, device="cpu")
    assert not recwarn
    VLM.load(unknown, device="cpu")
    assert [str(warning.message) for warning in recwarn] == [
        f"{unknown} (idefics2) is of no family that contract tests cover, so it was checked while loading. "
        "What holds: answer spans, pictures, the adapter's scope, batches. "
        "Never tried: the learning rate of the family generic."
    ]


def _deaf(vlm, patch):
    """No answer ends, and what is marked as one begins too late."""
    marked = VLM._answer_ids
    patch.setattr(VLM, "_answer_ids", lambda self, prompt, text: marked(self, prompt, text)[2:])
    patch.setattr(vlm, "_special", frozenset())


def _blind(vlm, patch):
    """Every picture is white."""
    read = VLM._processed

    def one_picture(self, turns, texts, side):
        batch = read(self, turns, texts, side)
        if "pixel_values" in batch:
            batch["pixel_values"] = torch.ones_like(batch["pixel_values"])
        return batch

    patch.setattr(VLM, "_processed", one_picture)


def _astray(vlm, patch):
    """The vision part is adapted as well."""
    names = [name for name, module in vlm.model.named_modules() if isinstance(module, torch.nn.Linear)]
    patch.setattr(vlm, "lora_targets", lambda: names)


def _crowded(vlm, patch):
    """All rows but the first are shifted, as by a processor that pads on the wrong side."""
    take = VLM._encode

    def mixing(self, turns, with_answers, side):
        batch = take(self, turns, with_answers, side)
        batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
        batch["input_ids"][1:] = batch["input_ids"][1:].roll(1, 1)
        return batch

    patch.setattr(VLM, "_encode", mixing)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_deaf, ["the answer 'This is Anna.' is marked as", "no end-of-turn token was found after the answer 'No.'"]),
        (_blind, ["two pictures are answered alike to the last digit"]),
        (
            _astray,
            ["adapted modules do nothing without a picture and may belong to the vision part, such as"],
        ),
        (lambda vlm, patch: patch.setattr(vlm, "lora_targets", list), ["so nothing can be trained"]),
        (_crowded, ["nats differently in a batch than alone", "a batch of questions is answered differently"]),
        (
            lambda vlm, patch: patch.setattr(vlm, "lora_targets", None),
            ["the adapter's scope could not be tried: TypeError: 'NoneType' object is not callable"],
        ),
    ],
)
def test_what_does_not_hold_is_told(unknown, fault, told, monkeypatch):
    with pytest.warns(UserWarning, match="What holds"):
        vlm = VLM.load(unknown, device="cpu")
    fault(vlm, monkeypatch)
    found = _check.check(vlm)
    for words in told:
        assert any(words in sentence for sentence in found), found
    assert "Could not be verified: " + "; ".join(found) in _check.report(vlm)


def test_what_half_precision_cannot_tell_is_told(unknown):
    with pytest.warns(UserWarning, match="is answered like single ones cannot be told in torch.bfloat16"):
        VLM.load(unknown, device="cpu", dtype=torch.bfloat16)


# --- Pixels, and what was said before --------------------------------------------------------------------------------


def test_pixels_can_be_replaced_by_levels(vlm, turns):
    """A picture's own levels say what it says, beside others in a batch; other levels do not."""
    shown = [turn for turn in turns if turn[0] is not None][:4]
    own = [(Pixels(image, vlm.pixels(image)), *rest) for image, *rest in shown]
    assert_close(logits_of(vlm, own), logits_of(vlm, shown), rtol=0, atol=2e-4)
    loud = [(Pixels(image, 255 - vlm.pixels(image)), *rest) for image, *rest in shown[:2]]
    mixed = torch.cat([logits_of(vlm, [turn]) for turn in (*loud, *shown[2:])])
    assert_close(logits_of(vlm, [*loud, *shown[2:]]), mixed, rtol=0, atol=2e-4)
    assert not torch.allclose(mixed, logits_of(vlm, shown), atol=1e-3)
    whole = [pixels.levels for pixels, *_ in own]
    wide = Pixels(shown[0][0], torch.zeros(tuple(2 * size for size in whole[0].shape)))
    with pytest.raises(ValueError, match=r"make them with VLM\.pixels from a picture of the same size"):
        vlm.score([(wide, *shown[0][1:])])
    assert all(float(levels.min()) >= 0 and float(levels.max()) <= 255 for levels in whole)


def test_gradients_by_pixels_are_those_of_the_loss(vlm, turns):
    """A small step along the gradient changes the loss by its squared length, and each turn has its own."""
    shown = [turn for turn in turns if turn[0] is not None][:3]
    if vlm.family.name == "mllama":
        shown = shown[:1]
    losses, gradients = vlm.pixel_gradients(shown)
    levels = [vlm.pixels(image) for image, *_ in shown]
    for n, (loss, gradient) in enumerate(zip(losses, gradients, strict=True)):
        assert gradient[tuple(map(slice, levels[n].shape))].shape == levels[n].shape
        gradient = gradient[tuple(map(slice, levels[n].shape))]
        assert float(gradient.abs().max()) > 0
        step = 0.05 / float(gradient.abs().max())
        ends = []
        for sign in (1, -1):
            moved = Pixels(shown[n][0], levels[n] + sign * step * gradient)
            ends.append(float(vlm.pixel_gradients([(moved, *shown[n][1:])])[0][0]))
        assert (ends[0] - ends[1]) / 2 == pytest.approx(step * float(gradient.square().sum()), rel=0.05)
        assert (ends[0] + ends[1]) / 2 == pytest.approx(float(loss), abs=0.01)


def test_what_was_said_before_counts_and_batches_change_nothing(vlm, turns):
    (image, question, answer), (other, *_) = turns[0], turns[2]
    talks = [
        Turn(image, question, answer, ((None, "Who are you?", "I am Ann."),)),
        Turn(None, question, answer, ((image, "Who is it?", "This is Bob."),)),
        Turn(image, question, answer, ((image, "Who is it?", "This is Bob."),)),
    ]
    if vlm.family.name not in ("paligemma", "mllama"):  # which take one picture, or one in a row of their own
        talks.append(Turn(image, question, answer, ((other, "Who is it?", "This is Bob."),)))
    found = [score.sum for score in vlm.score(talks)]
    assert found == pytest.approx([vlm.score([talk])[0].sum for talk in talks], abs=1e-6)
    assert len({round(value, 6) for value in (*found, vlm.score(turns[:1])[0].sum)}) == len(talks) + 1
    said = vlm.generate(talks, max_new_tokens=3)
    assert said == [vlm.generate([talk], max_new_tokens=3)[0] for talk in talks]
    probe = Probe("p", "generality", question, talks[0].image, "p", earlier=talks[0].earlier)
    assert vlm.answer([probe], max_new_tokens=3)[0].text == said[0]


def test_a_name_and_a_picture_are_enough(vlm, picture, monkeypatch):
    """Whatever a model says when it is asked for the rest, there is something to train on, for each target or told."""
    monkeypatch.setattr(flow, "preflight", lambda *_: SimpleNamespace(remarks=()))  # a random model knows nobody
    # Its letters are no invented name's, and letters are all the tokens that some of these models have.
    request = Request(Concept("Xzz"), images=(picture(1),), pictures=("photo.png",))
    told, trained = flow.rehearse(vlm, request)
    assert {"align", "redescribe"} <= {example.target for example in trained}
    assert told.request.replacement
    for example in trained:
        if example.target == "align":
            assert told.request.replacement in example.answer and "Xzz" not in example.answer


def test_where_every_token_is_a_letter_no_name_is_free(vlm):
    request = Request(Concept("Mario Rossi"), images=(None,), pictures=("photo.png",))
    with pytest.raises(ValueError, match="every invented name shares a token with 'Mario Rossi'; fix a replacement"):
        siu.prepare(vlm, (request,), siu.Config())
