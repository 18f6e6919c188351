"""Small heads that read the projected patches: what the warm-up of a pocket model learns to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsee.pocket import world
from unsee.pocket.world import Figure, Picture

IGNORE = -100
Reader = Callable[[Picture], int]


def _identity(figure: Figure) -> int:
    index = figure.character.index
    return index if index in world.KNOWN else len(world.KNOWN)


def _feature(name: str, values: Sequence[object], figure: Figure) -> int:
    return values.index(getattr(figure.character.look, name))


def _colour(part: str, figure: Figure) -> int:
    look = figure.character.look
    if getattr(look, part) == world.ABSENT[part]:
        return IGNORE  # the colour of what is not there cannot be seen
    return world.COLOURS.index(getattr(look, world.COLOUR_OF[part]))


_EYES = (1, 2, 3)
_LOOK: dict[str, tuple[int, Callable[[Figure], int]]] = {
    name: (len(values), partial(_feature, name, values))
    for name, values in {
        "skin": world.COLOURS, "ears": world.EARS, "hat": world.HATS, "mark": world.MARKS, "eyes": _EYES,
        "head": world.HEADS, "body": world.BODIES, "body_colour": world.COLOURS,
    }.items()
}  # fmt: skip
_LOOK |= {f"{part} colour": (len(world.COLOURS), partial(_colour, part)) for part in world.COLOUR_OF}
_POSE: dict[str, Sequence[str]] = {"clothing": world.CLOTHES, "expression": world.EXPRESSIONS}
_OF_TWO = ("skin", "ears", "hat", "mark", "eyes")  # the others are asked of single figures only


def _only(figures: int, position: int, read: Callable[[Figure], int], picture: Picture) -> int:
    return read(picture.figures[position]) if len(picture.figures) == figures else IGNORE


def _pose(name: str, figure: Figure) -> int:
    return _POSE[name].index(getattr(figure.pose, name))


def _alone(read: Reader, picture: Picture) -> int:
    return read(picture) if len(picture.figures) == 1 else IGNORE


def _questions() -> dict[str, tuple[int, Reader]]:
    identities = len(world.KNOWN) + 1
    out: dict[str, tuple[int, Reader]] = {"identity": (identities, partial(_only, 1, 0, _identity))}
    out |= {name: (size, partial(_only, 1, 0, read)) for name, (size, read) in _LOOK.items()}
    out |= {name: (len(values), partial(_only, 1, 0, partial(_pose, name))) for name, values in _POSE.items()}
    out |= {
        "sky": (len(world.SKIES), lambda p: world.SKIES.index(p.scene.sky)),
        "ground": (len(world.GROUNDS), lambda p: world.GROUNDS.index(p.scene.ground)),
        "stars": (world.MAX_STARS + 1, lambda p: p.scene.stars),
        "object": (len(world.OBJECTS), partial(_alone, lambda p: world.OBJECTS.index(p.scene.object))),
        "side": (len(world.SIDES), partial(_alone, lambda p: world.SIDES.index(p.scene.side))),
    }
    for position, side in enumerate(world.SIDES):
        out[f"identity {side}"] = (identities, partial(_only, 2, position, _identity))
        out |= {f"{n} {side}": (_LOOK[n][0], partial(_only, 2, position, _LOOK[n][1])) for n in _OF_TWO}
    return out


QUESTIONS = _questions()
_WEIGHTS = tuple(2.0 if name.startswith("identity") else 1.0 for name in QUESTIONS)


def targets(pictures: Sequence[Picture]) -> Tensor:
    """Return `(pictures, questions)` class indices; `IGNORE` where a question makes no sense."""
    return torch.tensor([[read(picture) for _, read in QUESTIONS.values()] for picture in pictures])


class Heads(nn.Module):
    """One learned query per question attends over the patches; one linear layer answers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(QUESTIONS), width) * 0.05)
        self.norm = nn.LayerNorm(width)
        self.keys = nn.Linear(width, width)
        self.values = nn.Linear(width, width)
        self.answers = nn.ModuleList(nn.Linear(width, size) for size, _ in QUESTIONS.values())

    def forward(self, patches: Tensor) -> list[Tensor]:
        """Map `(pictures, patches, width)` to one `(pictures, classes)` tensor of logits per question."""
        patches = self.norm(patches)
        queries = self.queries.expand(len(patches), 1, -1, -1)
        read = F.scaled_dot_product_attention(queries, self.keys(patches)[:, None], self.values(patches)[:, None])
        return [answer(read[:, 0, i]) for i, answer in enumerate(self.answers)]


def loss(logits: Sequence[Tensor], wanted: Tensor) -> Tensor:
    """Sum the mean cross-entropies of all questions that make sense (identity counts twice)."""
    total = logits[0].new_zeros(())
    for i, (scores, weight) in enumerate(zip(logits, _WEIGHTS, strict=True)):
        if bool((wanted[:, i] != IGNORE).any()):
            total = total + weight * F.cross_entropy(scores, wanted[:, i], ignore_index=IGNORE)
    return total
