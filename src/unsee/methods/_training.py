"""What every method that trains an adapter here can be told, so that rows compare: how long, how fast, on what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unsee import examples as making
from unsee.examples import Plan
from unsee.losses import answer_cross_entropy
from unsee.records import Example, Request
from unsee.train import Schedule, Tokens

if TYPE_CHECKING:
    from unsee.vlm import VLM


FORGOTTEN = ("align", "redescribe")  # the targets that speak of what is to be forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The settings that all trained methods share. None means what the model's family recommends.

    Attributes:
        preserve: "text" (the paper's) or "image", which adds questions about what else is in the picture.
        views: Whether the given pictures are also shown mirrored, from closer up, and with their middle on the left or
            the right of something else (not the paper's).
        steps: Optimiser steps.
        learning_rate: Its peak.
        rank: Of the LoRA update; its alpha is twice that.
        dropout: Of the inputs of LoRA's A.
        aim: Batches whose first gradient LoRA's A is turned to and then kept (not the paper's); 0 trains A as well.
        batch: Examples per step from all targets alike; 0 takes a fixed number of each target.
        seed: Of everything drawn at random.
    """

    preserve: str = "image"
    views: bool | None = None
    steps: int | None = None
    learning_rate: float | None = None
    rank: int | None = None
    dropout: float = 0.0
    aim: int | None = None
    batch: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One is not allowed.
        """
        self.plan(views=False)
        given = {name: getattr(self, name) for name in ("steps", "learning_rate", "rank", "aim", "batch")}
        Schedule(**{"steps": 1, "learning_rate": 1.0} | {n: v for n, v in given.items() if v is not None},
                 dropout=self.dropout, seed=self.seed)  # fmt: skip

    def plan(self, *, views: bool) -> Plan:
        """Return what examples to make; `views` is what the family recommends."""
        return Plan(preserve=self.preserve, views=views if self.views is None else self.views, seed=self.seed)

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
            seed=self.seed,
        )


PAPER_TRAINING: dict[str, Any] = {
    "steps": 6,
    "learning_rate": 3e-4,
    "rank": 128,
    "dropout": 0.05,
    "aim": 0,
    "views": False,
    "batch": 4,
    "preserve": "text",
}
"""What the SIU paper trains with (Li et al. 2024, section 6.1), its baselines as well."""


def retained(vlm: VLM, requests: Sequence[Request], retain: Sequence[Example], config: Training) -> list[Example]:
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


def cross_entropy(tokens: Tokens, chosen: Tensor) -> Tensor:
    """Return the mean cross-entropy of the answer tokens `chosen`, `[N]` bool; 0 if a batch has none of that sort."""
    if not chosen.any():
        return tokens.logits.sum() * 0
    return answer_cross_entropy(tokens.logits[:, None], tokens.ids[:, None], answer=chosen[:, None])


def forgetting(made: Sequence[Example]) -> Tensor:
    """Return which examples are of what is to be forgotten: `[examples]` bool."""
    return torch.tensor([example.target in FORGOTTEN for example in made])
