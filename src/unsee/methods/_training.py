"""What every method that trains an adapter here shares: the settings, the examples, and the pieces of a loss.

Such a method is a docstring, a `Config` and a loss of one step (`Step`); `trained` makes `unlearn` of it. So rows of a
table differ in the loss and in nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from unsee import examples as making
from unsee import train
from unsee.examples import Plan
from unsee.judge import names_in
from unsee.losses import answer_cross_entropy, dual_masked_kl
from unsee.records import Example, Request
from unsee.train import Log, Loss, LossParts, Schedule, Tokens

if TYPE_CHECKING:
    from unsee.edits import Edit
    from unsee.vlm import VLM

TRAINED = frozenset({"text", "logprob", "gradient", "weights"})
"""What training asks of a model: the `NEEDS` of every method here."""

FORGOTTEN = ("align", "redescribe")
"""The targets that speak of what is to be forgotten."""


def share(default: float) -> Any:
    """Return a setting for which `Training` refuses what is no part of a whole: above 0, and 1 at most."""
    return field(default=default, metadata={"fits": lambda value: 0 < value <= 1, "give": "more than 0, and 1 at most"})


def at_least_0(default: float) -> Any:
    """Return a setting for which `Training` refuses what is negative, infinite or no number: a weight."""
    return field(default=default, metadata={"fits": lambda value: value >= 0, "give": "0 or more"})


def part(default: float) -> Any:
    """Return a setting for which `Training` refuses what is neither nothing nor part of a whole: from 0 to 1."""
    return field(default=default, metadata={"fits": lambda value: 0 <= value <= 1, "give": "0 to 1"})


def above_0(default: float) -> Any:
    """Return a setting for which `Training` refuses what is not positive, infinite or no number: a divisor."""
    return field(default=default, metadata={"fits": lambda value: value > 0, "give": "a number above 0"})


def finite(default: float) -> Any:
    """Return a setting for which `Training` refuses what is infinite or no number."""
    return field(default=default, metadata={"fits": math.isfinite, "give": "a number"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The settings of any method here: what it asks the model before anything is changed.

    Attributes:
        preserve: "text" (the paper's) or "image", which adds questions about what else is in the picture.
        views: Whether the given pictures are also shown mirrored, from closer up, and with their middle on the left or
            the right of something else (not the paper's); None means what the model's family recommends.
        seed: Of everything drawn at random.
    """

    preserve: str = "image"
    views: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One is not allowed.
        """
        for each in fields(self):
            value, fits = getattr(self, each.name), each.metadata.get("fits")
            if fits and not (math.isfinite(value) and fits(value)):
                raise ValueError(f"{each.name} is {value!r}; give {each.metadata['give']}")
        self.plan(views=False)

    def plan(self, *, views: bool) -> Plan:
        """Return what examples to make; `views` is what the family recommends."""
        return Plan(preserve=self.preserve, views=views if self.views is None else self.views, seed=self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Asking):
    """The settings that all trained methods share. None means what the model's family recommends.

    Attributes:
        steps: Optimiser steps for each concept, so twice as many for two at once (the paper: 6 for one, 120 for 20).
        learning_rate: Its peak.
        rank: Of the LoRA update; its alpha is twice that.
        dropout: Of the inputs of LoRA's A.
        aim: Batches whose first gradient LoRA's A is turned to and then kept (not the paper's); 0 trains A as well.
        layers: How many of the last layers of the language model are adapted (not the paper's), which saves most of the
            work on those below where turns share a picture (`VLM.packs`); 0 for all.
        batch: Examples per step from all targets alike; 0 takes a fixed number of each target.
        prompt_decouple: Weight of SafeEraser's term (arXiv 2502.12520): that who is in pictures of others stays
            answered. They are the pictures of the examples to keep (`--keep`). Its paper's weights are 0.5 and 1; 0
            leaves it out.
    """

    steps: int | None = None
    learning_rate: float | None = None
    rank: int | None = None
    dropout: float = 0.0
    aim: int | None = None
    layers: int = 0
    batch: int | None = None
    prompt_decouple: float = at_least_0(0.0)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One is not allowed.
        """
        Asking.__post_init__(self)
        given = {name: getattr(self, name) for name in ("steps", "learning_rate", "rank", "aim", "batch")}
        Schedule(**{"steps": 1, "learning_rate": 1.0} | {n: v for n, v in given.items() if v is not None},
                 dropout=self.dropout, layers=self.layers, seed=self.seed)  # fmt: skip

    def schedule(self, vlm: VLM) -> Schedule:
        """Return how to train, with the family's settings where none are given."""
        family = vlm.family
        rank = family.rank if self.rank is None else self.rank
        return Schedule(
            steps=family.steps if self.steps is None else self.steps,
            learning_rate=family.learning_rate if self.learning_rate is None else self.learning_rate,
            batch=family.batch if self.batch is None else self.batch,
            rank=rank,
            lora_alpha=2 * rank,
            dropout=self.dropout,
            aim=family.aim if self.aim is None else self.aim,
            layers=self.layers,
            seed=self.seed,
        )

    def schedule_of(self, vlm: VLM, requests: Sequence[Request]) -> Schedule:
        """Return how to train on some requests: steps are counted for each."""
        schedule = self.schedule(vlm)
        return replace(schedule, steps=schedule.steps * len(requests))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted(Training):
    """The settings of any training here, and how much what is retained counts.

    Attributes:
        weight: Of the term that holds on to the rest, beside what forgets; 0 leaves it out.
    """

    weight: float = at_least_0(1.0)


PAPER_TRAINING: dict[str, Any] = {
    "steps": 6,
    "learning_rate": 3e-4,
    "rank": 128,
    "dropout": 0.05,
    "aim": 0,
    "layers": 0,
    "views": False,
    "batch": 4,
    "preserve": "text",
}
"""What the SIU paper trains with (Li et al. 2024, section 6.1), its baselines as well."""


def retained(vlm: VLM, requests: Sequence[Request], retain: Sequence[Example], config: Asking) -> list[Example]:
    """Return what is held on to: what SIU makes for that, too, and `retain`.

    Facts of the concepts and of others, and what else is in the pictures.

    Raises:
        ValueError: An example of `retain` says what is to be said instead of a name.
    """
    for example in retain:
        if example.target in FORGOTTEN:
            raise ValueError(
                f"the example {example.question!r} is of the target {example.target}, which only SIU can use; give "
                "examples of what is to stay (decouple, preserve)"
            )
    names = [name for request in requests for name in request.concept.names]
    plan = config.plan(views=False)
    made = [example for request in requests for example in making.retained(vlm, request, plan, others=names)]
    return [*made, *retain]


# ---------------------------------------------------------------- a method that is a loss


@dataclass(frozen=True, slots=True)
class Step:
    """The answer tokens of one step, by what they are for. Any of the three may be empty.

    Where a method uses `forget` and `instead`, their answers come in pairs to one question, in the same order.

    Attributes:
        forget: The model's own answers about the concepts, before anything was trained.
        instead: Other answers to the same questions.
        retain: What is held on to.
    """

    forget: Tokens
    instead: Tokens
    retain: Tokens


StepLoss = Callable[[Any, Step], LossParts]
"""Maps a method's config and the tokens of a step to the loss of that step."""
Instead = Callable[["VLM", Sequence[Example], Sequence[Example], Any], list[Example]]
"""Makes another answer to each question: from the model, its own answers, what is retained and the config."""
Otherwise = Callable[["VLM", Sequence[Example], Any], list[Example]]
"""Makes of each example the same answer to something else, from the model, the examples and the config."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained on, and what each example is for.

    Attributes:
        examples: All of them.
        part: `[examples]`, which of the three a `Step` has it is: 0 forget, 1 instead, 2 retain.
        beside: See `train.fit`.
        guides: See `train.fit`.
    """

    examples: list[Example]
    part: Tensor
    beside: Mapping[int, int]
    guides: Mapping[int, Example]

    def loss(self, of_step: Callable[[Step], LossParts]) -> Loss:
        """Return the loss of a step on its tokens, from one on the three kinds of them."""

        def total(tokens: Tokens) -> LossParts:
            mine = self.part.to(tokens.ids.device)[tokens.example]
            return of_step(Step(*(tokens.only(mine == n) for n in range(3))))

        return total


def gathered(
    vlm: VLM,
    requests: Sequence[Request],
    retain: Sequence[Example],
    config: Training,
    *,
    forget: bool = True,
    instead: Instead | None = None,
    holds: bool = True,
    guide: Otherwise | None = None,
    start: Edit | None = None,
) -> Material:
    """Make the examples that all methods share, of what the model says with the edit one starts from.

    See `trained` for the arguments.
    """
    with vlm.using(start):
        told = known(vlm, requests, config)
        kept = retained(vlm, requests, retain, config) if holds else []
        other = instead(vlm, told, kept, config) if instead else []
        drawn, paired = (told, other) if forget else (other, [])
        guides = dict(enumerate(guide(vlm, drawn, config))) if guide else {}
    return Material(
        examples=[*drawn, *kept, *paired],
        part=torch.tensor([int(not forget)] * len(drawn) + [2] * len(kept) + [1] * len(paired)),
        beside={i: len(drawn) + len(kept) + i for i in range(len(paired))},
        guides=guides,
    )


def trained(
    loss: StepLoss,
    *,
    forget: bool = True,
    instead: Instead | None = None,
    retain: bool = True,
    guide: Otherwise | None = None,
    watch: Callable[[VLM, Any], str] | None = None,
) -> Callable[..., Edit]:
    """Return the `unlearn` of a method that is a loss over the examples that all methods share.

    Args:
        loss: Of a step.
        forget: Whether the model's own answers about the concepts are trained on.
        instead: Makes other answers to the same questions, if they are.
        retain: Whether anything is held on to; without, `unlearn` uses none of the examples it is given to keep.
        guide: In which other way the teacher is asked for what is to be forgotten, or is said instead (`Tokens.guide`).
        watch: Names the module of the language model whose inputs the loss is about (`Tokens.states`).
    """
    holds = retain

    def unlearn(
        vlm: VLM,
        requests: Sequence[Request],
        retain: Sequence[Example],
        config: Any,
        *,
        start: Edit | None = None,
        log: Log | None = None,
    ) -> Edit:
        """Forget one or more concepts; see `siu.unlearn` for the arguments."""
        made = gathered(
            vlm, requests, retain, config, forget=forget, instead=instead, holds=holds, guide=guide, start=start
        )
        seen = watch(vlm, config) if watch else None
        of_step = made.loss(lambda step: loss(config, step))
        return fit(
            vlm, requests, retain, made.examples, of_step, config,
            beside=made.beside, guides=made.guides, watch=seen, start=start, log=log,
        )  # fmt: skip

    return unlearn


def known(vlm: VLM, requests: Sequence[Request], config: Asking) -> list[Example]:
    """Return what the model itself says of the concepts on their pictures."""
    plan = config.plan(views=vlm.family.views)
    return [example for request in requests for example in making.known(vlm, request, plan)]


def known_and_retained(
    vlm: VLM,
    requests: Sequence[Request],
    retain: Sequence[Example],
    config: Asking,
    start: Edit | None,
    log: Log | None,
) -> tuple[list[Example], list[Example]]:
    """Return `known` and `retained`, asked with the edit one starts from, and note both in the log."""
    with vlm.using(start):
        told, kept = known(vlm, requests, config), retained(vlm, requests, retain, config)
    if log:
        log.examples([*told, *kept])
    return told, kept


def fit(
    vlm: VLM,
    requests: Sequence[Request],
    retain: Sequence[Example],
    made: Sequence[Example],
    loss: Loss,
    config: Training,
    *,
    start: Edit | None = None,
    log: Log | None = None,
    **more: Any,
) -> Edit:
    """Train on the examples `made`, and on pictures of others where the config decouples prompts.

    See `train.fit`, which is given `more`, and `siu.unlearn` for the arguments.

    Raises:
        ValueError: Prompts are to be decoupled, and there is no picture of others.
    """
    if config.prompt_decouple:
        with vlm.using(start):
            prompts = decoupling(vlm, requests, retain)
        loss = prompt_decoupled(loss, len(made), config.prompt_decouple)
        made = [*made, *prompts]
    return train.fit(vlm, made, loss, config.schedule_of(vlm, requests), start=start, log=log, **more)


def of_others(requests: Sequence[Request], retain: Sequence[Example]) -> dict[str, Any]:
    """Return the pictures of others, by name: those of the examples to keep that are not of the requests."""
    own = {picture for request in requests for picture in request.pictures}
    shown = [e for e in retain if e.image is not None and e.target not in FORGOTTEN and e.picture not in own]
    return {example.picture: example.image for example in shown}


def decoupling(vlm: VLM, requests: Sequence[Request], retain: Sequence[Example]) -> list[Example]:
    """Ask of pictures of others who is in them, in the words that are asked about the concepts.

    Returns:
        The model's own answers, without those that name a concept.

    Raises:
        ValueError: No example of `retain` has a picture of others, or every answer names a concept.
    """
    pictures = of_others(requests, retain)
    names = [name for request in requests for name in request.concept.names]
    naming = vlm.family.wording.of(requests[0].concept.kind).naming
    turns = [(picture, image, q) for picture, image in pictures.items() for q, _ in naming]
    said = vlm.generate([(image, question) for _, image, question in turns])
    made = [
        Example(question, answer, "preserve", image, picture)
        for (picture, image, question), answer in zip(turns, said, strict=True)
        if answer.strip() and not names_in(answer, names, parts=True)
    ]
    if not made:
        raise ValueError(
            "prompt_decouple needs pictures of others, and the examples to keep show nobody whom the model tells from "
            f"{names[0]!r}; give such pictures (--keep FOLDER; in Python unsee.forget(keep=...) or (retain=...)), "
            "or leave prompt_decouple out"
        )
    return made


# ---------------------------------------------------------------- pieces of a loss


def cross_entropy(tokens: Tokens) -> Tensor:
    """Return the mean cross-entropy of answer tokens; 0 if there are none."""
    if not len(tokens.ids):
        return tokens.logits.sum()
    everything = torch.ones_like(tokens.ids[:, None], dtype=torch.bool)
    return answer_cross_entropy(tokens.logits[:, None], tokens.ids[:, None], answer=everything)


def divergence(tokens: Tokens) -> Tensor:
    """Return the mean KL(teacher || current) over answer tokens and the whole vocabulary; 0 if there are none."""
    if not len(tokens.ids):
        return tokens.logits.sum()
    everything = torch.ones_like(tokens.ids[:, None], dtype=torch.bool)
    vocabulary = torch.ones(tokens.logits.shape[-1], dtype=torch.bool, device=tokens.ids.device)
    return dual_masked_kl(
        tokens.logits[:, None],
        tokens.teacher[:, None],
        answer=everything,
        keep_position=everything,
        keep_vocabulary=vocabulary,
    )


class Answers(NamedTuple):
    """Whole answers, in the order in which the batch holds them.

    Attributes:
        logprob: `[answers]` log-probability of each in nats, differentiable.
        before: `[answers]`, the same by the teacher.
        length: `[answers]` tokens.
    """

    logprob: Tensor
    before: Tensor
    length: Tensor


def answers(tokens: Tokens) -> Answers:
    """Add up log-probabilities over the tokens of each answer."""
    _, of, length = tokens.turn.unique(return_inverse=True, return_counts=True)

    def added(logits: Tensor) -> Tensor:
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        each = -functional.cross_entropy(precise, tokens.ids, reduction="none")
        return each.new_zeros(len(length)).index_add(0, of, each)

    return Answers(added(tokens.logits), added(tokens.teacher.detach()), length)


def mean(values: Tensor) -> Tensor:
    """Return the mean of some values `[n]`; 0 if there are none."""
    return values.sum() / max(1, len(values))


def prompt_decoupled(loss: Loss, first: int, weight: float) -> Loss:
    """Return a loss with SafeEraser's prompt-decouple term (arXiv 2502.12520): examples from `first` on are its own.

    The term is the mean cross-entropy of the true answers to what is asked about the concepts, on pictures of others.
    """

    def total(tokens: Tokens) -> LossParts:
        others = tokens.example >= first
        term = cross_entropy(tokens.only(others))
        nothing = LossParts(tokens.logits.sum() * 0, {})  # a batch may hold pictures of others alone
        parts = nothing if others.all() else loss(tokens.only(~others))
        return LossParts(parts.loss + weight * term, {**parts.parts, "prompt decouple": term})

    return total
