"""What pictures of the pocket world promise: same input, same pixels; and every field can be seen."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unsee.pocket import world
from unsee.pocket.draw import contact_sheet, render
from unsee.pocket.world import Character, Figure, Look, Picture, Pose, Scene

LOOK = Look("round", "orange", "round ears", "teal", 2, "spots", "purple", "a top hat", "blue", "egg", "white")
POSE = Pose("nothing special", "happy", 1.0, 0.0, 0.0, 4.0, False, 0)
SCENE = Scene("blue", "meadow", "house", "left", 1, "ink", 1.0, (1.0, 1.0, 1.0), 0, 5)
VISIBLE = 30
"""A pixel has changed when one of its channels differs by more than this many grey levels of 255."""
LEAST = 35
"""A change of one field must change at least this many of the 96 x 96 pixels."""


def picture(look: Look = LOOK, pose: Pose = POSE, scene: Scene = SCENE, count: int = 1) -> Picture:
    """One or two equal figures in a scene."""
    return Picture("p", (Figure(Character(-1, "Mina Bol", look), pose),) * count, scene)


@cache
def pixels(shown: Picture, size: int = 96) -> NDArray[np.int16]:
    """Rendered picture as signed numbers."""
    return np.asarray(render(shown, size)).astype(np.int16)


def changed(first: Picture, second: Picture) -> int:
    """Number of visibly different pixels at 96 x 96."""
    return int((np.abs(pixels(first) - pixels(second)).max(axis=-1) > VISIBLE).sum())


def variants(base: Any, name: str, values: tuple[Any, ...]) -> list[Any]:
    """The base with each value of one field."""
    return [replace(base, **{name: value}) for value in values]


def assert_all_differ(pictures: list[Picture]) -> None:
    """Every two of the pictures differ visibly."""
    for i, first in enumerate(pictures):
        for second in pictures[:i]:
            assert changed(first, second) >= LEAST, (first, second)


@pytest.mark.parametrize("size", [64, 96, 256, 333])
@pytest.mark.parametrize("count", [1, 2])
def test_size_and_mode(size: int, count: int) -> None:
    """Any size works, with noise and fading too."""
    image = render(picture(scene=replace(SCENE, noise=8, style="faded"), count=count), size)
    assert (image.mode, image.size) == ("RGB", (size, size))


@pytest.mark.parametrize("ground", world.GROUNDS)
def test_deterministic(ground: str) -> None:
    """The same picture gives the same pixels, another seed gives others."""
    scene = replace(SCENE, ground=ground, noise=4)
    assert render(picture(scene=scene), 96).tobytes() == render(picture(scene=scene), 96).tobytes()
    assert render(picture(scene=scene), 96).tobytes() != render(picture(scene=replace(scene, seed=6)), 96).tobytes()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("style", world.STYLES)
def test_same_picture_at_every_size(style: str, count: int) -> None:
    """A large picture made small is the small picture, up to rounding at edges: 6 grey levels on average."""
    shown = picture(scene=replace(SCENE, style=style), count=count)
    small = np.asarray(render(shown, 288).reduce(3)).astype(np.int16)
    assert np.abs(small - pixels(shown)).mean() < 6


LOOK_VALUES: dict[str, tuple[Any, ...]] = {
    "head": world.HEADS,
    "skin": world.COLOURS,
    "ears": world.EARS,
    "ear_colour": world.COLOURS,
    "eyes": (1, 2, 3),
    "mark": world.MARKS,
    "mark_colour": world.COLOURS,
    "hat": world.HATS,
    "hat_colour": world.COLOURS,
    "body": world.BODIES,
    "body_colour": world.COLOURS,
}


@pytest.mark.parametrize("name", [field.name for field in fields(Look)])
@pytest.mark.parametrize("style", ["bold ink", "faded"])
def test_every_feature_shows(name: str, style: str) -> None:
    """Any two values of a feature give visibly different pictures."""
    scene = replace(SCENE, style=style)
    assert_all_differ([picture(look=look, scene=scene) for look in variants(LOOK, name, LOOK_VALUES[name])])


@pytest.mark.parametrize("hat", ["a top hat", "a cap", "a mohawk"])
@pytest.mark.parametrize("head", world.HEADS)
def test_hats_leave_ears_visible(head: str, hat: str) -> None:
    """Under the widest hats, on any head, the ears can be told apart."""
    base = replace(LOOK, head=head, hat=hat)
    assert_all_differ([picture(look=look) for look in variants(base, "ears", world.EARS)])


@pytest.mark.parametrize("eyes", [1, 2, 3])
def test_glasses_leave_eyes_visible(eyes: int) -> None:
    """The whites of the eyes are as large behind glasses as without them."""
    look = replace(LOOK, eyes=eyes, mark="no markings", body_colour="red")
    bare, glasses = (picture(look, replace(POSE, clothing=clothing)) for clothing in ("nothing special", "big glasses"))
    whites = [(pixels(shown, 192)[40:100].min(axis=-1) > 235).sum() for shown in (bare, glasses)]
    assert whites[1] >= 0.9 * whites[0] > 20


@pytest.mark.parametrize(("head", "eyes"), list(zip(world.HEADS, (1, 2, 3, 3, 1, 2), strict=True)))
def test_clothes_and_expressions_show(head: str, eyes: int) -> None:
    """Clothes, expressions and arms can be told apart on every head."""
    look = replace(LOOK, head=head, eyes=eyes)
    for name, values in (("clothing", world.CLOTHES), ("expression", world.EXPRESSIONS), ("arms", (0, 1, 2))):
        assert_all_differ([picture(look, pose) for pose in variants(POSE, name, values)])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sky", world.SKIES),
        ("ground", world.GROUNDS),
        ("object", world.OBJECTS),
        ("side", world.SIDES),
        ("stars", tuple(range(world.MAX_STARS + 1))),
    ],
)
def test_scenes_show(name: str, values: tuple[Any, ...]) -> None:
    """Any two values of a part of the scene give visibly different pictures."""
    assert_all_differ([picture(scene=scene) for scene in variants(SCENE, name, values)])


def test_two_figures() -> None:
    """Two figures differ from one, their order matters, and no object stands beside them."""
    other = Figure(Character(-1, "Tor Vel", replace(LOOK, skin="green", head="wide")), POSE)
    pair = replace(picture(count=2), figures=(picture().figures[0], other))
    assert changed(picture(), pair) > 1000
    assert changed(pair, replace(pair, figures=pair.figures[::-1])) > 300
    assert changed(pair, replace(pair, scene=replace(SCENE, object="tree"))) == 0


def test_stars_are_counted_and_never_covered() -> None:
    """Each star adds its yellow, even over a tall figure."""
    tall = replace(POSE, scale=1.12, dy=-2.0)
    look = replace(LOOK, head="tall")
    counts = []
    for stars in range(world.MAX_STARS + 1):
        top = pixels(picture(look, tall, replace(SCENE, stars=stars)), 192)[:40]
        counts.append(int(((top[..., 0] > 225) & (top[..., 1] > 205) & (top[..., 2] < 130)).sum()))
    steps = np.diff(counts)
    assert counts[0] == 0
    assert steps.min() > 100
    assert steps.max() < 1.3 * steps.min()


def test_contact_sheet() -> None:
    """The sheet has room for rows, columns and captions, and refuses what it cannot lay out."""
    plain = contact_sheet([picture()] * 3, 2, 64)
    captioned = contact_sheet([picture()] * 3, 2, 64, ["one", "two", "three rather long words here"])
    assert plain.mode == "RGB"
    assert captioned.width == plain.width
    assert captioned.height > plain.height > 128
    with pytest.raises(ValueError, match="captions"):
        contact_sheet([picture()], 1, 64, [])
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], 1, 64)
