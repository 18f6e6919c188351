"""Gradient ascent with a KL that holds on to the rest: "KL minimisation".

Source: Maini et al. 2024 (TOFU, arXiv 2401.06121) and Yao et al. 2024 (arXiv 2402.15159), a baseline of Li et al. 2024:
minimise -L_f + weight * mean over retain answer tokens of KL(original || current). As the paper means it, one to one,
over the same retain examples as SIU; the code released with the paper shows this baseline no picture, ours does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unsee.losses import dual_masked_kl
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
    """The settings of any training here, and one more.

    Attributes:
        weight: Of the KL (the paper's 1).
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One is not allowed.
        """
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight is {self.weight!r}; give 0 or more")
        Training.__post_init__(self)


def unlearn(
    vlm: VLM,
    requests: Sequence[Request],
    retain: Sequence[Example],
    config: Config,
    *,
    start: Edit | None = None,
    log: Log | None = None,
) -> Edit:
    """Forget by gradient ascent and hold on to the rest; see `siu.unlearn` for the arguments."""
    with vlm.using(start):
        made = [*ga.examples(vlm, requests, config), *retained(vlm, requests, retain, config)]
    return fit(vlm, made, loss(config.weight, forgetting(made)), config.schedule(vlm), start=start, log=log)


def loss(weight: float, forget: Tensor) -> Loss:
    """Return the loss of a step; `forget` is `[examples]` bool, the others are retained."""

    def ga_kl(tokens: Tokens) -> LossParts:
        gone = forget.to(tokens.ids.device)[tokens.example]
        ce = cross_entropy(tokens, gone)
        kl = tokens.logits.sum() * 0  # a batch may hold nothing to retain
        if not gone.all():
            kept, logits = ~gone[:, None], tokens.logits[:, None]
            everything = torch.ones(logits.shape[-1], dtype=torch.bool, device=logits.device)
            kl = dual_masked_kl(
                logits, tokens.teacher[:, None], answer=kept, keep_position=kept, keep_vocabulary=everything
            )
        return LossParts(weight * kl - ce, {"forget": ce, "kl": kl})

    return ga_kl
