"""Preference optimisation as benchmarks of unlearning mean it: learn to say "I do not know".

Source: Maini et al. 2024 (TOFU, arXiv 2401.06121), a baseline of Li et al. 2024 (arXiv 2405.12523): minimise the
cross-entropy of refusals to questions about the concept, plus that of the true answers to all others. As the paper
means it: same pictures, retain examples, LoRA and budget as SIU. Refused is what the model now answers with the name.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from unsee.methods import ga
from unsee.methods._training import Training, cross_entropy, forgetting, retained
from unsee.records import Example, Request
from unsee.train import Log, Loss, LossParts, Tokens, fit

if TYPE_CHECKING:
    from unsee.edits import Edit
    from unsee.vlm import VLM

NEEDS = ga.NEEDS
PAPER = ga.PAPER


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Training):
    """The settings of any training here."""


def unlearn(
    vlm: VLM,
    requests: Sequence[Request],
    retain: Sequence[Example],
    config: Config,
    *,
    start: Edit | None = None,
    log: Log | None = None,
) -> Edit:
    """Learn to refuse; see `siu.unlearn` for the arguments."""
    rng = random.Random(f"{config.seed}/refusals")
    with vlm.using(start):
        refused = [
            replace(example, answer=rng.choice(vlm.family.wording.refusals))
            for example in ga.examples(vlm, requests, config)
        ]
        made = [*refused, *retained(vlm, requests, retain, config)]
    return fit(vlm, made, loss(forgetting(made)), config.schedule(vlm), start=start, log=log)


def loss(forget: Tensor) -> Loss:
    """Return the loss of a step; `forget` is `[examples]` bool, the others are retained."""

    def po(tokens: Tokens) -> LossParts:
        gone = forget.to(tokens.ids.device)[tokens.example]
        refused, kept = cross_entropy(tokens, gone), cross_entropy(tokens, ~gone)
        return LossParts(refused + kept, {"refuse": refused, "retain": kept})

    return po
