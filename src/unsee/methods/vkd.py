"""VKD: the vision tower and the projector learn to see something else in the pictures of the concept.

Source: Wang et al. 2025, "MLLM Machine Unlearning via Visual Knowledge Distillation" (arXiv 2512.11325). The language
model stays frozen. With f the features of a picture that it is handed, f0 those from before, x a picture of the concept
and x~ one of something else, minimise

    mean (f(x) - f0(x~))^2 + weight * mean (f(r) - f0(r))^2,      r pictures of others,

each divided by the mean square of f0 there, so that the two weigh alike in any model.

Built from what the paper tells, and differs in this: LoRA on the vision tower and the projector instead of training all
of both, with no pruning or masking before; x~ is a picture of another, where examples to keep show one (features of all
of them are averaged), else noise; the loss is on features only. The paper has pictures of others; where none are given
(`--keep FOLDER`, or `retain` in Python), NOTHING here holds on to how others look. Same pictures, rank and budget as
SIU, no questions: facts in words cannot change, for no weight that handles words does. The weight of 1 is ours.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unsee import train
from unsee.methods._pictures import noised
from unsee.methods._training import PAPER_TRAINING, TRAINED, Weighted, known, of_others
from unsee.records import Example, Request
from unsee.train import Log, LossParts

if TYPE_CHECKING:
    from unsee.edits import Edit
    from unsee.vlm import VLM

NEEDS, PAPER = TRAINED | {"hidden"}, PAPER_TRAINING
_AT_ONCE = 4  # pictures of a kind in a step


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Weighted):
    """The settings of any training here, with the weight of features of others; batch and aim have no effect."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One is not allowed.
        """
        Weighted.__post_init__(self)
        if self.layers:
            raise ValueError(f"layers is {self.layers}: of the language model, and vkd trains none of it; leave it out")
        if self.prompt_decouple:
            raise ValueError(
                f"prompt_decouple is {self.prompt_decouple!r}: a term on answers, and vkd trains on none; leave it out"
            )


def distance(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean square of a difference over the mean square of the target; both `[places, D]`."""
    return (features.float() - target).square().mean() / target.square().mean()


def loss(config: Config, forget: Sequence[tuple[Tensor, Tensor]], retain: Sequence[tuple[Tensor, Tensor]]) -> LossParts:
    """Return the loss of pairs (features, what they are to be) of pictures of the concept and of others."""

    def mean(pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        return torch.stack([distance(*pair) for pair in pairs]).mean() if pairs else torch.zeros(())

    seen, held = mean(forget), mean(retain)
    held = held.to(seen.device)
    return LossParts(seen + config.weight * held, {"forget": seen, "retain": held})


def unlearn(
    vlm: VLM,
    requests: Sequence[Request],
    retain: Sequence[Example],
    config: Config,
    *,
    start: Edit | None = None,
    log: Log | None = None,
) -> Edit:
    """Forget one or more concepts; see `siu.unlearn` for the arguments.

    Raises:
        ValueError: The model does not hand out what it makes of a picture.
    """
    others = list(of_others(requests, retain).values())
    with vlm.using(start), torch.no_grad():
        told = known(vlm, requests, config)
        shown = list({id(e.image): e.image for e in told}.values())
        pairs = [(picture, _elsewhere(vlm, picture, others, config.seed)) for picture in shown]
        held = [(picture, vlm.look([picture])[0].float()) for picture in others]
    if log:
        log.examples(told)
    schedule = config.schedule_of(vlm, requests)
    draw = random.Random(f"{config.seed}/pictures")
    batches, kept = _drawn(pairs, draw), _drawn(held, draw)
    with vlm.using(train.begun(vlm, schedule, start, vlm.vision_targets())), torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        vlm.drop_out()

        def step_loss() -> LossParts:
            now = [[(vlm.look([p])[0], to) for p, to in next(some)] for some in (batches, kept)]
            return loss(config, *now)

        train.descend(vlm, step_loss, schedule, log)
        return vlm.current_edit().onto(start)


def _elsewhere(vlm: VLM, picture: Any, others: Sequence[Any], seed: int) -> Tensor:
    """Features of what is to be seen in a picture instead; as many places as the picture has."""
    from unsee.vlm import read_image

    size = read_image(picture).size
    instead = [read_image(other).resize(size) for other in others] or [noised(picture, 1.0, seed)]
    return torch.stack([vlm.look([other])[0].float() for other in instead]).mean(0)


def _drawn(pairs: Sequence[tuple[Any, Tensor]], draw: random.Random) -> Any:
    """Yield some of the pairs for ever, each once before any comes again; nothing if there are none."""
    order = draw.sample(list(pairs), len(pairs))
    endless = cycle(order)
    while True:
        yield [next(endless) for _ in range(min(_AT_ONCE, len(order)))]
