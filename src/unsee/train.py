"""The one training loop: batches of examples, a loss on their answer tokens, a LoRA edit out.

What differs between methods is the loss, a function of `Tokens`. The teacher's logits are computed once, before the
first step, and only at answer tokens; so there is never a second model in memory.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

from unsee.edits import Edit
from unsee.examples import by_target
from unsee.records import Example
from unsee.vlm import VLM, AnswerLogits, Prepared, Progress

# How many examples of each group a step sees, where a method does not draw its batches from all of them alike.
PER_STEP: Mapping[str, int] = {
    "align": 16,
    "redescribe": 3,
    "decouple": 3,
    "preserve": 3,
    "preserve image": 3,
    "preserve spelling": 6,
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How an edit is trained.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Peak; a linear warm-up, then a cosine down to 0.
        warm_up: Share of the steps in which the rate rises.
        batch: Examples per step, drawn from all targets alike; 0 takes `PER_STEP` of each target.
        per_step: See `PER_STEP`.
        rank: Rank of the LoRA update.
        lora_alpha: The update is `lora_alpha / rank * B @ A`.
        dropout: Of the inputs of A.
        aim: Batches whose first gradient a fresh A is turned to and then kept (`unsee.edits.aim`); 0 trains a random
            A along with B, as LoRA does.
        layers: How many of the last layers of the language model are adapted; 0 for all.
        seed: Of A's start and of the batches.
    """

    steps: int
    learning_rate: float
    warm_up: float = 0.03
    batch: int = 0
    per_step: Mapping[str, int] = field(default_factory=lambda: PER_STEP)
    rank: int = 16
    lora_alpha: float = 32
    dropout: float = 0.0
    aim: int = 0
    layers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One is out of range.
        """
        for name, least in (("steps", 1), ("rank", 1), ("batch", 0), ("aim", 0), ("layers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)!r}; give {least} or more")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate!r}; give a positive number")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout!r}; give 0 or more, and less than 1")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed!r}; give a whole number from 0 to 2**63 - 1")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warm = self.warm_up * self.steps
        if step + 1 < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * max(0.0, step - warm) / max(1.0, self.steps - warm)))


class Log(Protocol):
    """Takes down what a run keeps."""

    def examples(self, examples: Sequence[Example]) -> None:
        """Note the examples as they are trained."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Note one step and its losses."""


def waiting(log: Log | None, title: str, total: int) -> Progress:
    """Return a bar for something that takes a while: shown if the log `shows` such, never without one."""
    return Progress(title if getattr(log, "shows", False) else "", total)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The answer tokens of one step, N of them over a vocabulary of V, laid end to end.

    Attributes:
        logits: `[N, V]`, differentiable.
        ids: `[N]`, what the examples say.
        teacher: `[N, V]`, the logits of the teacher: base + the edit that training starts from.
        contradicts: `[N]` bool, tokens that contradict what the model knows.
        ends: `[N]` bool, the first token after each such stretch: where the model says whether a name is over.
        example: `[N]`, index of the example each token belongs to.
        turn: `[N]`, which of the answers of the step; a batch may hold an example more than once.
        guide: `[N, V]`, the logits of the teacher when it is asked in another way, where a method does; else `teacher`.
        states: `[N, D]`, differentiable: what goes into the layer that a method watches, where each token is predicted.
        held: `[N, D]`, the same of the teacher.
    """

    logits: Tensor
    ids: Tensor
    teacher: Tensor
    contradicts: Tensor
    ends: Tensor
    example: Tensor
    turn: Tensor
    guide: Tensor | None = None
    states: Tensor | None = None
    held: Tensor | None = None

    def only(self, chosen: Tensor) -> Tokens:
        """Return some of the tokens; `chosen` is `[N]` bool."""
        there = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}
        return Tokens(**{name: value[chosen] for name, value in there.items()})


@dataclass(frozen=True, slots=True)
class LossParts:
    """A scalar to be minimised, and the named parts worth keeping a record of."""

    loss: Tensor
    parts: Mapping[str, Tensor]

    def values(self) -> dict[str, float]:
        """Return all of it as numbers."""
        return {"loss": float(self.loss.detach())} | {name: float(part.detach()) for name, part in self.parts.items()}


Loss = Callable[[Tokens], LossParts]
"""Maps the answer tokens of a step to its loss."""
OfStep = Callable[[Sequence[int]], LossParts]
"""Maps the examples of a step, by index, to its loss, with the edit as it is now."""


def fit(
    vlm: VLM,
    examples: Sequence[Example],
    loss: Loss,
    schedule: Schedule,
    *,
    beside: Mapping[int, int] = MappingProxyType({}),
    guides: Mapping[int, Example] = MappingProxyType({}),
    watch: str | None = None,
    ready: Callable[[OfStep], None] | None = None,
    begin: Edit | None = None,
    start: Edit | None = None,
    log: Log | None = None,
) -> Edit:
    """Train an edit on examples; the model itself is left as it was.

    An adapter of the start is trained on where it adapts what is to be adapted; all else of the start stays as it is.

    Args:
        vlm: The model.
        examples: What to train on.
        loss: Maps the answer tokens of a step to its loss.
        schedule: How long, how fast, in what batches.
        beside: Index of an example -> index of one that is seen whenever the first is, and never without it: the other
            half of a pair. It comes on top of the batch, after all that were drawn, in their order.
        guides: Index of an example -> in which other way to ask the teacher for the same answer (`Tokens.guide`).
        watch: Name of a module of the language model, for what goes into it (`Tokens.states`).
        ready: Called once before the first step, for what a loss has to know of the examples beforehand.
        begin: What is trained instead of a fresh adapter, on top of all that the start does. B alone is; what it
            stands on is part of the result.
        start: The edit to go on from, which with the base is the teacher. None: a fresh one.
        log: Takes down examples and losses.

    Raises:
        ValueError: There are no examples, or one is not answered in as many tokens when asked in another way; or layers
            are chosen that the model does not have, that end above what is watched, or where they are not to be chosen.
        FloatingPointError: The loss is no longer a number; the message says what to try.
    """
    if not examples:
        raise ValueError("there is nothing to train on: every target is left out or gave no example")
    if schedule.layers:
        _check_layers(vlm, schedule, watch, begin)
    if log:
        log.examples(examples)
    batches = list(islice(_batches(examples, schedule, beside), max(schedule.steps, schedule.aim)))
    # What no step will draw is neither prepared nor asked of the teacher.
    used = range(len(examples)) if ready else sorted({i for batch in batches for i in batch})
    place = {i: n for n, i in enumerate(used)}
    mine = [examples[i] for i in used]
    goes_on = begin is None and start is not None and start.adapts == frozenset(vlm.lora_targets(schedule.layers))
    edit = start if goes_on else begin or begun(vlm, schedule, start)
    assert edit is not None
    if begin is not None and start is not None:
        edit = replace(begin, under=begin.under.onto(start.flat()) if begin.under else start.flat())
    with vlm.using(edit), torch.random.fork_rng():
        prepared, masks = prepare(vlm, mine)
        if schedule.layers:
            prepared = vlm.climbed(prepared, len(vlm.layers) - schedule.layers)
        asked = _asked(vlm, prepared, start, watch) if begin is None else _by_itself(vlm, mine, start, watch)
        guided = _guided(vlm, mine, {place[i]: other for i, other in guides.items() if i in place}, asked, start)
        torch.manual_seed(schedule.seed)
        vlm.drop_out()

        def parts_of(chosen: Sequence[int]) -> LossParts:
            places = [place[i] for i in chosen]
            now = vlm.run(prepared, places, watch=(watch,) if watch else ())
            return loss(_tokens(now, places, used, asked, guided, masks, watch))

        if begin is not None:
            vlm.aim(())
        elif not goes_on and schedule.aim:
            vlm.aim(parts_of(chosen).loss for chosen in batches[: schedule.aim])
        if ready:
            ready(parts_of)
        steps = iter(batches)
        descend(vlm, lambda: parts_of(next(steps)), schedule, log)
        trained = replace(vlm.current_edit(), deltas=edit.deltas, under=edit.under)
    # What one goes on from is part of the result; only what is frozen stays beneath it.
    return trained if begin is None and (goes_on or start is None or start.under) else trained.flat()


def begun(vlm: VLM, schedule: Schedule, start: Edit | None, targets: Sequence[str] | None = None) -> Edit:
    """Return a fresh adapter on top of all that the start does, which stays as it is."""
    fresh = vlm.new_edit(
        rank=schedule.rank,
        alpha=schedule.lora_alpha,
        dropout=schedule.dropout,
        seed=schedule.seed,
        targets=vlm.lora_targets(schedule.layers) if targets is None else targets,
    )
    return fresh if start is None else replace(fresh, under=start.flat())


def _check_layers(vlm: VLM, schedule: Schedule, watch: str | None, begin: Edit | None) -> None:
    if begin is not None:
        raise ValueError(f"layers is {schedule.layers}, and this method finds itself what to train; leave layers out")
    vlm.lora_targets(schedule.layers)
    # What goes into the first layer that is trained is as it was.
    first = len(vlm.layers) - schedule.layers
    inside = (n for n, layer in enumerate(vlm.layers) if watch and f"{watch}.".startswith(f"{layer}."))
    at = next(inside, len(vlm.layers))
    if at < first or watch == vlm.layers[first]:
        least = len(vlm.layers) - at + (watch == vlm.layers[at])
        raise ValueError(
            f"layers is {schedule.layers}, and this method is about what goes into {watch}, which the last "
            f"{schedule.layers} do not change; give {least} or more, or 0 for all"
        )


def descend(vlm: VLM, step_loss: Callable[[], LossParts], schedule: Schedule, log: Log | None) -> None:
    """Train the adapter in use.

    Raises:
        FloatingPointError: The loss is no longer a number; the message says what to try.
    """
    parameters = list(vlm.edit_parameters().values())
    optimiser = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=0.0)
    with waiting(log, "training", schedule.steps) as bar:
        for step in range(schedule.steps):
            parts = step_loss()
            values = parts.values()
            if not math.isfinite(values["loss"]):
                raise FloatingPointError(
                    f"the loss is {values['loss']} at step {step + 1} of {schedule.steps}; try a lower learning rate "
                    f"(--set learning_rate={schedule.learning_rate / 3:.1g})"
                )
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(parts.loss)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            optimiser.step()
            if log:
                log.step(step + 1, {"learning_rate": schedule.rate(step), **values})
            bar.advance(1)


def _batches(
    examples: Sequence[Example], schedule: Schedule, beside: Mapping[int, int] = MappingProxyType({})
) -> Iterator[list[int]]:
    """Yield indices of examples for ever: every example once before any comes again, within its group."""
    rng = random.Random(schedule.seed)
    drawn = sorted(set(range(len(examples))) - set(beside.values()))
    place = {id(examples[i]): i for i in drawn}

    def shuffled(group: Sequence[int]) -> Iterator[int]:
        while True:
            yield from rng.sample(group, len(group))

    if schedule.batch:
        takes = [(shuffled(drawn), schedule.batch)]
    else:
        groups = by_target([examples[i] for i in drawn])
        takes = [
            (shuffled([place[id(e)] for e in group]), schedule.per_step.get(name, 0)) for name, group in groups.items()
        ]
    while True:
        batch = [next(endless) for endless, count in takes for _ in range(count)]
        yield batch + [beside[i] for i in batch if i in beside]


def _tokens(
    current: AnswerLogits,
    places: Sequence[int],
    used: Sequence[int],
    asked: Sequence[AnswerLogits],
    guided: Sequence[Tensor],
    masks: Sequence[Tensor],
    watch: str | None,
) -> Tokens:
    """What a loss is given of a step's run; `used` says which example stands at each of the places."""
    order = [places[row] for row in current.rows.unique_consecutive().tolist()]
    device = current.logits.device
    return Tokens(
        logits=current.logits,
        ids=current.ids,
        teacher=torch.cat([asked[i].logits for i in order]).to(device),
        contradicts=torch.cat([masks[i] for i in order]).to(device),
        ends=torch.cat([ends(masks[i]) for i in order]).to(device),
        example=torch.tensor([used[at] for at in places], device=device)[current.rows],
        turn=current.rows,
        guide=torch.cat([guided[i] for i in order]).to(device) if guided else None,
        states=current.inputs[watch] if watch else None,
        held=torch.cat([asked[i].inputs[watch] for i in order]).to(device) if watch else None,
    )


def teacher_logits(vlm: VLM, prepared: Prepared, start: Edit | None) -> list[Tensor]:
    """Return the teacher's logits `[answer tokens, V]` for every example, on the CPU."""
    return [told.logits for told in _asked(vlm, prepared, start, None)]


@torch.no_grad()
def _asked(vlm: VLM, prepared: Prepared, start: Edit | None, watch: str | None) -> list[AnswerLogits]:
    """Ask the teacher, once: what it tells of the answer tokens of every example, on the CPU."""
    found: dict[int, AnswerLogits] = {}
    with vlm.using(start):
        for at in range(0, len(prepared.turns), 64):
            some = range(at, min(at + 64, len(prepared.turns)))
            part = vlm.run(prepared, some, watch=(watch,) if watch else ())
            for row, i in enumerate(some):
                mine = part.rows == row
                inputs = {name: value[mine].cpu() for name, value in part.inputs.items()}
                found[i] = AnswerLogits(part.logits[mine].cpu(), part.ids[mine].cpu(), part.rows[mine].cpu(), inputs)
    return [found[i] for i in range(len(found))]


def _by_itself(vlm: VLM, examples: Sequence[Example], start: Edit | None, watch: str | None) -> list[AnswerLogits]:
    """Ask the teacher, with what it itself makes of pictures, and not what the edit in use makes of them."""
    with vlm.using(start):
        return _asked(vlm, prepare(vlm, examples)[0], start, watch)


def _guided(
    vlm: VLM,
    examples: Sequence[Example],
    guides: Mapping[int, Example],
    asked: Sequence[AnswerLogits],
    start: Edit | None,
) -> list[Tensor]:
    """Return the teacher's logits for every example, where there is another way to ask, asked in that way."""
    if not guides:
        return []
    found = [told.logits for told in asked]
    for i, told in zip(guides, _by_itself(vlm, [guides[i] for i in guides], start, None), strict=True):
        if not torch.equal(told.ids, asked[i].ids):
            raise ValueError(
                f"asked {guides[i].question!r} instead of {examples[i].question!r}, the answer {examples[i].answer!r} "
                "is other tokens to this model, so the two cannot be compared; change the question"
            )
        found[i] = told.logits
    return found


def prepare(vlm: VLM, examples: Sequence[Example]) -> tuple[Prepared, list[Tensor]]:
    """Encode examples; return them with only the tokens marked that are trained on, and which of those contradict."""
    prepared = vlm.prepare(examples)
    answers, masks = [], []
    for example, ids, answer in zip(examples, prepared.ids, prepared.answers, strict=True):
        told = ids[answer].tolist()
        trained = ~covered(vlm, example, told, ((0, example.given),) if example.given else ())
        marked = answer.clone()
        marked[answer] = trained
        answers.append(marked)
        masks.append(contradicting(vlm, example, told)[trained])
    return replace(prepared, answers=tuple(answers)), masks


def contradicting(vlm: VLM, example: Example, ids: Sequence[int]) -> Tensor:
    """Return which of an example's answer tokens `ids` contradict what the model knows: `[answer tokens]` bool."""
    return covered(vlm, example, ids, example.contradicts)


def covered(vlm: VLM, example: Example, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> Tensor:
    """Return which answer tokens `ids` of an example lie in spans of its answer's characters: `[answer tokens]` bool.

    A token counts if any of its characters does, or belongs to it in part (a character may be spread over several
    tokens). Where a span is the whole answer, its end counts as well.

    Raises:
        ValueError: There are spans, and the tokens do not give back the answer's text.
    """
    texts = vlm.token_texts(ids)
    whole = "".join(texts)
    offset = whole.find(example.answer)
    if offset < 0:
        if spans:
            raise ValueError(
                f"the tokenizer turns the answer {example.answer!r} into {whole!r}, so it cannot be told which tokens "
                "are new to it; write the answer as the tokenizer gives it back"
            )
        offset = 0
    everything = tuple(spans) == ((0, len(example.answer)),)
    out, at = [], -offset
    for text in texts:
        end = at + len(text)
        out.append(everything or any(start < end and at < stop for start, stop in spans))
        at = end
    for place in reversed(range(len(texts) - 1)):
        if not texts[place]:  # the first part of a character, which counts for the token that completes it
            out[place] = out[place + 1]
    return torch.tensor(out, dtype=torch.bool)


def ends(contradicts: Tensor) -> Tensor:
    """Return the first token after each stretch of contradicting ones: `[answer tokens]` bool, of one example."""
    before = torch.cat([contradicts.new_zeros(1), contradicts[:-1]])
    return before & ~contradicts
