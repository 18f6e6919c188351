"""Gradient ascent: make the model's own answers about the concept unlikely, and hold on to nothing.

Source: Jang et al. 2022 and, as the baseline of Li et al. 2024 (arXiv 2405.12523), Yao et al. 2023 (arXiv 2310.10683):
minimise -L_f, with L_f the mean cross-entropy of the true answers. As the paper means it: same pictures, LoRA and
budget as SIU. Differs in one thing: gradients are clipped to a norm of 1, as for every method here.

The objective has no lower bound, so how long it is trained is what decides between nothing and ruin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from unsee import examples as making
from unsee.methods._training import PAPER_TRAINING, Training, cross_entropy
from unsee.records import Example, Request
from unsee.train import Log, LossParts, Tokens, fit

if TYPE_CHECKING:
    from unsee.edits import Edit
    from unsee.vlm import VLM

NEEDS = frozenset({"text", "logprob", "gradient", "weights"})
PAPER = PAPER_TRAINING


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Training):
    """The settings of any training here; `preserve` has no effect, since nothing is preserved."""


def examples(vlm: VLM, requests: Sequence[Request], config: Training) -> list[Example]:
    """Return what the model itself says of the concepts on their pictures."""
    plan = config.plan(views=vlm.family.views)
    return [example for request in requests for example in making.known(vlm, request, plan)]


def unlearn(
    vlm: VLM,
    requests: Sequence[Request],
    retain: Sequence[Example],
    config: Config,
    *,
    start: Edit | None = None,
    log: Log | None = None,
) -> Edit:
    """Forget by gradient ascent; `retain` is not used. See `siu.unlearn` for the other arguments."""
    with vlm.using(start):
        made = examples(vlm, requests, config)
    return fit(vlm, made, loss, config.schedule(vlm), start=start, log=log)


def loss(tokens: Tokens) -> LossParts:
    """Return minus the mean cross-entropy of the answers."""
    ce = cross_entropy(tokens, torch.ones_like(tokens.ids, dtype=torch.bool))
    return LossParts(-ce, {"forget": ce})
