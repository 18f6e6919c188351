"""Turn a `Picture` of the pocket world into pixels.

Everything is drawn from shapes given in units (a picture is 64 units wide), so one description serves every size.
Shapes are collected in a display list (`_Pen`), moved and turned all at once with one matrix product, and painted on a
supersampled canvas. Colour changes of the whole picture (brightness, tint, fading, noise) come last.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unsee.pocket.world import Look, Picture, Pose, Scene

Colour = tuple[int, int, int]
Points = NDArray[np.float64]
_Placement = tuple[Points, Points, float]

UNITS = 64
GRAIN = 96
"""Noise is made on a grid of this many cells, so that it looks alike at every size."""

PALETTE: dict[str, Colour] = {
    "red": (214, 52, 48),
    "blue": (52, 98, 214),
    "green": (60, 168, 74),
    "yellow": (240, 206, 60),
    "purple": (142, 74, 180),
    "orange": (238, 138, 46),
    "pink": (244, 150, 186),
    "white": (240, 240, 236),
    "brown": (134, 88, 52),
    "teal": (46, 168, 168),
}
SKY_COLOURS: dict[str, Colour] = {
    "blue": (120, 180, 240),
    "orange": (250, 180, 110),
    "purple": (170, 140, 210),
    "pink": (250, 190, 210),
    "grey": (165, 168, 172),
    "green": (176, 220, 176),
}
GROUND_COLOURS: dict[str, Colour] = {
    "meadow": (92, 160, 70),
    "beach": (228, 206, 140),
    "snow": (236, 240, 246),
    "street": (96, 96, 104),
    "desert": (206, 150, 84),
    "floor": (130, 84, 60),
}
SCARVES: dict[str, Colour] = {
    "a red scarf": (215, 20, 30),
    "a blue scarf": (30, 60, 215),
    "a white scarf": (252, 252, 252),
}
INK: Colour = (25, 22, 30)
DARK: Colour = (20, 6, 14)
WHITE: Colour = (255, 255, 255)
SHADE = (24, 8, 60, 40)
SHINE = (255, 255, 255, 58)
OUTLINE_WIDTHS = {"ink": 0.9, "bold ink": 1.8, "soft": 0.6, "faded": 0.6}
FADED = 0.25

FIGURE_SIZE = 0.88
PAIR_SIZE = 0.8
PAIR_CENTRES = (0.265, 0.735)
FEET_Y = 63.0
GROUND_Y = 63.3
TURN_Y = 40.0
OBJECT_SIZE = 1.25
STAR_SLOTS = ((6.5, 6.5), (19.0, 6.0), (45.0, 6.0), (57.5, 6.5))
HEAD_Y = 26.0

# Where things sit on each head: ear root (x, y), bottom of the hat (y), half width of the hat, lowering of the eyes,
# distance of outer eyes of three, and of the cheek dots, from the middle.
EAR_ROOT = {
    "round": (10.0, 16.5),
    "square": (10.5, 15.0),
    "triangular": (7.0, 20.0),
    "tall": (7.8, 15.5),
    "wide": (12.5, 18.5),
    "hexagonal": (9.5, 15.0),
}
HAT_Y = {"round": 15.0, "square": 15.0, "triangular": 14.5, "tall": 12.0, "wide": 17.0, "hexagonal": 14.5}
HAT_HALF = {"round": 8.0, "square": 8.0, "triangular": 7.0, "tall": 7.0, "wide": 8.5, "hexagonal": 8.0}
EYE_DROP = {"round": 0.0, "square": 0.0, "triangular": 2.0, "tall": 0.0, "wide": 1.2, "hexagonal": 0.0}
THREE_EYES = {"round": 7.0, "square": 7.0, "triangular": 6.0, "tall": 6.2, "wide": 7.5, "hexagonal": 7.0}
SPOTS = ((-8, -6), (7.5, -8), (0, -10), (-10, 5.5), (10, 4.5), (0, 10.5), (-4, -1.5), (4.5, 1), (13.5, -2), (-14, 0))
CHEEK_X = {"round": 9.2, "square": 9.0, "triangular": 10.0, "tall": 7.2, "wide": 12.0, "hexagonal": 9.5}


# ---- colours and geometry


def _darker(colour: Colour, factor: float) -> Colour:
    return (int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor))


def _lighter(colour: Colour, share: float) -> Colour:
    red, green, blue = (int(channel + (255 - channel) * share) for channel in colour)
    return (red, green, blue)


def _frozen(points: Sequence[Sequence[float]] | Points) -> Points:
    array = np.asarray(points, dtype=np.float64)
    array.setflags(write=False)  # cached shapes are shared between pictures
    return array


@lru_cache(maxsize=4096)
def _oval(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """Ellipse as a polygon, with as many corners as its size deserves; `turn` in degrees."""
    angles = np.linspace(0, 2 * math.pi, 14 if max(rx, ry) < 2 else 22 if max(rx, ry) < 6 else 36, endpoint=False)
    across, down, lean = rx * np.cos(angles), ry * np.sin(angles), math.radians(turn)
    cos, sin = math.cos(lean), math.sin(lean)
    return _frozen(np.stack([x + across * cos - down * sin, y + across * sin + down * cos], axis=1))


@lru_cache(maxsize=512)
def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Points:
    """Part of an ellipse from angle `start` to `end` (degrees, clockwise from the right)."""
    angles = np.radians(np.linspace(start, end, 19))
    return _frozen(np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1))


@lru_cache(maxsize=1024)
def _rounded(corners: tuple[tuple[float, float], ...], radius: float) -> Points:
    """Polygon whose corners are replaced by short curves that begin `radius` before each corner."""
    points: list[tuple[float, float]] = []
    for i, (x, y) in enumerate(corners):
        cuts = []
        for ox, oy in (corners[i - 1], corners[(i + 1) % len(corners)]):
            share = min(0.5, radius / max(1e-6, math.hypot(ox - x, oy - y)))
            cuts.append((x + (ox - x) * share, y + (oy - y) * share))
        (ax, ay), (bx, by) = cuts
        for t in (0.0, 0.25, 0.5, 0.75, 1.0):
            p, q, r = (1 - t) ** 2, 2 * t * (1 - t), t * t
            points.append((p * ax + q * x + r * bx, p * ay + q * y + r * by))
    return _frozen(points)


@lru_cache(maxsize=256)
def _curve(start: tuple[float, float], bend: tuple[float, float], end: tuple[float, float]) -> Points:
    """Quadratic curve."""
    t = np.linspace(0, 1, 9)[:, None]
    return _frozen((1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(bend) + t * t * np.array(end))


def _box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> Points:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return _rounded(corners, radius) if radius else _polygon(*corners)


@lru_cache(maxsize=1024)
def _polygon(*corners: tuple[float, float]) -> Points:
    return _frozen(corners)


@lru_cache(maxsize=4096)
def _normals(shape: bytes, closed: bool) -> Points:
    """For each corner of a line the way outwards (to the left of an open line), longer where the line bends."""
    points = np.frombuffer(shape).reshape(-1, 2)
    edges = np.roll(points, -1, axis=0) - points
    if not closed:
        edges[-1] = edges[-2]
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    edges /= np.maximum(lengths, 1e-9)[:, None]
    before = np.roll(edges, 1, axis=0)
    if not closed:
        before[0] = edges[0]
    mean = edges + before
    mean /= np.maximum(np.hypot(mean[:, 0], mean[:, 1]), 1e-9)[:, None]
    # Sharp corners must be pushed out farther to keep the width, but never without limit.
    mean /= np.maximum((mean * edges).sum(axis=1), 0.45)[:, None]
    x, y = points[:, 0], points[:, 1]
    clockwise = not closed or float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) > 0
    return _frozen(np.stack([mean[:, 1], -mean[:, 0]], axis=1) * (1 if clockwise else -1))


@lru_cache(maxsize=4096)
def _grown(shape: bytes, width: float) -> Points:
    """Closed shape made larger by `width` on every side."""
    return _frozen(np.frombuffer(shape).reshape(-1, 2) + width * _normals(shape, True))


@lru_cache(maxsize=2048)
def _stroke(shape: bytes, width: float, closed: bool) -> Points:
    """Outline of a curved line of some width: smoother than joining many short straight ones."""
    points, half = np.frombuffer(shape).reshape(-1, 2), width / 2 * _normals(shape, closed)
    one, other = points + half, points - half
    if closed:
        one, other = np.concatenate([one, one[:1]]), np.concatenate([other, other[:1]])
    return _frozen(np.concatenate([one, other[::-1]]))


def _clip(subject: Points, window: Points) -> Points:
    """Part of `subject` inside the convex polygon `window`, whose corners run clockwise on the screen."""
    inside = [(float(x), float(y)) for x, y in subject]
    for (ax, ay), (bx, by) in zip(window, np.roll(window, -1, axis=0), strict=True):
        sides = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x, y in inside]
        kept = []
        for i, (point, side) in enumerate(zip(inside, sides, strict=True)):
            before, before_side = inside[i - 1], sides[i - 1]
            if (side >= 0) != (before_side >= 0):
                t = before_side / (before_side - side)
                kept.append((before[0] + t * (point[0] - before[0]), before[1] + t * (point[1] - before[1])))
            if side >= 0:
                kept.append(point)
        inside = kept
    return _frozen(np.array(inside).reshape(-1, 2))


def _crescent(points: Points, depth: float) -> Points:
    """Shadow along the lower right edge of a convex shape, thickest in the middle."""
    direction = np.array([0.45, 0.89])
    reach = (points - points.mean(axis=0)) @ direction
    start = int(np.argmax((reach > 0) & (np.roll(reach, 1) <= 0)))
    rim = np.roll(points, -start, axis=0)[: int((reach > 0).sum())]
    reach = np.roll(reach, -start)[: len(rim)]
    inner = rim - direction * (depth * reach / reach.max())[:, None]
    return _frozen(np.concatenate([rim, inner[::-1]]))


@lru_cache(maxsize=16)
def _head(shape: str) -> Points:
    match shape:
        case "round":
            return _oval(0, HEAD_Y, 13, 13)
        case "square":
            return _box(-12.5, 13.5, 12.5, 38.5, 2.5)
        case "triangular":
            return _rounded(((0, 7.5), (17, 39.5), (-17, 39.5)), 4.5)
        case "tall":
            return _oval(0, 25, 9.8, 15.3)
        case "wide":
            return _oval(0, 26.5, 17.2, 10.4)
    angles = [i * math.pi / 3 for i in range(6)]
    return _rounded(tuple((14.8 * math.cos(angle), HEAD_Y + 14.8 * math.sin(angle)) for angle in angles), 1.5)


@lru_cache(maxsize=16)
def _body(shape: str) -> Points:
    match shape:
        case "dress":
            return _rounded(((-5.5, 36), (5.5, 36), (12.5, 57.5), (-12.5, 57.5)), 2)
        case "box":
            return _box(-9, 36.5, 9, 57.5, 3)
    return _oval(0, 47, 11, 11.8)


@lru_cache(maxsize=64)
def _marks(head: str, mark: str) -> tuple[Points, ...]:
    """Polygons of a marking, clipped to the head."""
    eye_y = HEAD_Y - 3 + EYE_DROP[head]
    shapes: list[Points] = []
    if mark == "stripes":
        shapes = [
            _polygon((x - 5.6, 8), (x - 3.2, 8), (x + 5.6, 44), (x + 3.2, 44)) for x in (-15.0, -8.0, -1.0, 6.0, 13.0)
        ]
    elif mark == "spots":
        shapes = [_oval(x, HEAD_Y + y, 2.1, 2.1) for x, y in SPOTS]
    elif mark == "a mask":
        shapes = [_box(-20, eye_y - 4.3, 20, eye_y + 4.3)]
    elif mark == "cheek dots":
        shapes = [_oval(side * CHEEK_X[head], 30.8, 3.6, 3.6) for side in (-1, 1)]
    clipped = (_clip(shape, _head(head)) for shape in shapes)
    return tuple(shape for shape in clipped if len(shape) > 2)


@lru_cache(maxsize=16)
def _head_shadow(shape: str) -> Points:
    return _crescent(_head(shape), 3.2)


@lru_cache(maxsize=16)
def _body_shadow(shape: str) -> Points:
    return _crescent(_body(shape), 3.0)


# ---- the display list


class _Pen:
    """Display list: shapes in units, painted together after one affine map."""

    def __init__(self, outline: Colour = INK, width: float = 0.6) -> None:
        self.outline = outline
        self.width = width
        self._points: list[Points] = []
        self._marks: list[tuple[str, tuple[int, ...], float]] = []

    def fill(self, points: Points, colour: tuple[int, ...]) -> None:
        """Add a filled shape; a colour with four parts is blended over what is there."""
        self._points.append(points)
        self._marks.append(("blend" if len(colour) == 4 else "fill", colour, 0.0))

    def line(self, points: Points, colour: Colour, width: float) -> None:
        """Add straight lines from point to point."""
        self._points.append(points)
        self._marks.append(("line", colour, width))

    def curve(self, points: Points, colour: Colour, width: float, closed: bool = False) -> None:
        """Add a smooth line along the points."""
        self.fill(_stroke(points.tobytes(), width, closed), colour)

    def shape(self, points: Points, colour: Colour, outline: Colour | None = None, width: float | None = None) -> None:
        """Add a filled shape with an outline around it, by default the pen's own."""
        self.fill(_grown(points.tobytes(), self.width if width is None else width), outline or self.outline)
        self.fill(points, colour)

    def dot(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour,
        outline: Colour | None = None,
        width: float | None = None,
    ) -> None:
        """Add a small ellipse with an outline."""
        edge = min(self.width, 1.4) if width is None else width
        self.fill(_oval(x, y, rx + edge, ry + edge), outline or self.outline)
        self.fill(_oval(x, y, rx, ry), colour)

    def limb(self, points: Points, colour: Colour, width: float) -> None:
        """Add an outlined curve."""
        self.curve(points, self.outline, width + 2 * min(self.width, 1.2))
        self.curve(points, colour, width)

    def paint(self, canvas: Image.Image, turn: Points, shift: Points, unit: float) -> None:
        """Paint everything on the canvas: a point p lands on p @ turn + shift, a width is multiplied by unit."""
        # Half a pixel back, because polygons include the pixels of all their edges.
        places = np.rint(np.concatenate(self._points) @ turn + (shift - 0.5)).astype(np.int32).ravel().tolist()
        solid, blend = ImageDraw.Draw(canvas), ImageDraw.Draw(canvas, "RGBA")
        at = 0
        for points, (kind, colour, width) in zip(self._points, self._marks, strict=True):
            here = places[at : at + 2 * len(points)]
            at += 2 * len(points)
            if kind == "fill":
                solid.polygon(here, fill=colour)
            elif kind == "blend":
                blend.polygon(here, fill=colour)
            else:
                solid.line(here, fill=colour, width=max(1, round(width * unit)))


# ---- figures


def _add_legs(pen: _Pen, skin: Colour) -> None:
    for side in (-1, 1):
        pen.limb(_polygon((side * 5, 55), (side * 5, 61)), _darker(skin, 0.68), 3)
        pen.dot(side * 6, 61.3, 3.4, 2.1, _darker(skin, 0.6))


def _add_body(pen: _Pen, look: Look) -> None:
    colour = PALETTE[look.body_colour]
    pen.shape(_body(look.body), colour)
    pen.fill(_body_shadow(look.body), SHADE)
    if look.body == "egg":
        pen.fill(_oval(0, 48, 6.5, 7), SHINE)
    elif look.body == "box":
        for y in (47.0, 52.0):
            pen.dot(0, y, 1.2, 1.2, _lighter(colour, 0.6), _darker(colour, 0.5), 0.4)
    else:
        pen.curve(_arc(0, 47, 10.8, 7.5, 150, 30), _darker(colour, 0.72), 1)


def _add_arms(pen: _Pen, skin: Colour, arms: int) -> None:
    for side, raised in ((-1, arms >= 1), (1, arms == 2)):
        if raised:
            points = _curve((side * 7.5, 43), (side * 15.5, 43), (side * 17.5, 34))
        else:
            points = _curve((side * 7.5, 42), (side * 13.5, 44), (side * 14.5, 51))
        pen.limb(points, _darker(skin, 0.85), 3)
        pen.dot(float(points[-1][0]), float(points[-1][1]), 2.7, 2.7, skin)


def _add_ears(pen: _Pen, look: Look) -> None:
    colour, (root, y) = PALETTE[look.ear_colour], EAR_ROOT[look.head]
    inner = _darker(colour, 0.72)
    for side in (-1, 1):
        x = side * root
        match look.ears:
            case "round ears":
                pen.dot(x + side * 2.2, y - 2.2, 5.2, 5.2, colour)
                pen.fill(_oval(x + side * 2.5, y - 2.5, 2.6, 2.6), inner)
            case "pointy ears":
                tip = (x + side * 5, y - 13)
                pen.shape(_rounded(((x - side * 5, y), tip, (x + side * 4.5, y + 4)), 0.8), colour)
                pen.fill(_polygon((x - side * 1.2, y - 2), (x + side * 3.8, y - 9), (x + side * 3.4, y + 1)), inner)
            case "long ears":
                pen.shape(_oval(x + side * 1.5, y - 7, 3.4, 10.2, side * 10.0), colour)
                pen.fill(_oval(x + side * 1.6, y - 7.5, 1.5, 7, side * 10.0), inner)
            case "antennas":
                stalk = _curve((x - side * 2, y + 2), (x + side * 1.5, y - 5), (x + side * 5, y - 9))
                pen.curve(stalk, (40, 36, 44), 1.7)
                pen.dot(x + side * 5, y - 10, 3.5, 3.5, colour)
                pen.fill(_oval(x + side * 5 - 1, y - 11, 1.1, 1.1), _lighter(colour, 0.6))
            case "horns":
                horn = ((-4, 0), (1, -2.5), (4.5, -6), (5.5, -11.5), (9, -7), (9, -1.5), (4.5, 4))
                pen.shape(_rounded(tuple((x + side * a, y + b) for a, b in horn), 1.2), colour)
                pen.line(_polygon((x + side * 2.8, y - 4), (x + side * 7, y + 0.5)), inner, 0.9)


def _add_head(pen: _Pen, look: Look) -> None:
    head = _head(look.head)
    pen.shape(head, PALETTE[look.skin])
    for mark in _marks(look.head, look.mark):
        pen.fill(mark, PALETTE[look.mark_colour])
    pen.fill(_head_shadow(look.head), SHADE)


def _eye_places(look: Look) -> tuple[tuple[float, ...], float, float]:
    """Horizontal places, height and radius of the eyes."""
    y, outer = HEAD_Y - 3 + EYE_DROP[look.head], THREE_EYES[look.head]
    match look.eyes:
        case 1:
            return (0.0,), y, 4.4
        case 2:
            return (-5.2, 5.2), y, 3.2
    return (-outer, 0.0, outer), y, 2.7


def _add_glasses(pen: _Pen, look: Look) -> None:
    """One thick ring for each eye: the eyes stay visible whatever their number."""
    places, y, _ = _eye_places(look)
    radius = {1: 7.0, 2: 5.9, 3: 4.4}[look.eyes]
    edge = 8.0 if look.head == "triangular" else 9.5 if look.head == "tall" else 12.5
    for side in (-1, 1):
        temple = max(edge, places[-1] + radius)
        pen.line(_polygon((places[-1] * side, y - 1), (temple * side, y - 2.5)), (10, 10, 14), 1.6)
    for x in places:
        pen.fill(_oval(x, y, radius, radius), (255, 255, 255, 90))
        pen.curve(_oval(x, y, radius, radius), (10, 10, 14), 2.0 if look.eyes < 3 else 1.7, closed=True)


def _add_eyes(pen: _Pen, look: Look, expression: str) -> None:
    places, y, radius = _eye_places(look)
    pupil = radius * (0.42 if expression == "surprised" else 0.55)
    drop = {"sad": 0.22, "happy": -0.08, "surprised": 0.0}[expression] * radius
    for x in places:
        pen.dot(x, y, radius, radius, WHITE, (20, 20, 20), 0.5)
        pen.fill(_oval(x, y + drop, pupil, pupil), (10, 10, 12))
        pen.fill(_oval(x - pupil * 0.35, y + drop - pupil * 0.4, pupil * 0.36, pupil * 0.36), WHITE)


def _add_mouth(pen: _Pen, look: Look, expression: str) -> None:
    _, eye_y, radius = _eye_places(look)
    if expression == "happy":
        top = 30.0 + EYE_DROP[look.head] / 4
        pen.shape(_arc(0, top, 6.2, 6.4, 0, 180), (128, 8, 28), DARK, 0.6)
        pen.fill(_arc(0, top + 5.3, 3.2, 2, 180, 360), (236, 96, 110))
        pen.fill(_polygon((-5.6, top), (5.6, top), (4.6, top + 2.2), (-4.6, top + 2.2)), WHITE)
    elif expression == "sad":
        pen.curve(_arc(0, 36.2, 6, 5, 192, 348), DARK, 2.2)
        x, y = (-5.6 if look.head in ("tall", "triangular") else -7.4), eye_y + radius + 0.6
        drop = _rounded(((x, y - 1.5), (x + 3, y + 4.2), (x + 1.4, y + 6.6), (x - 1.4, y + 6.6), (x - 3, y + 4.2)), 1.4)
        pen.shape(drop, (90, 190, 255), (10, 40, 110), 0.7)
        pen.fill(_oval(x - 0.8, y + 3.8, 0.7, 1.1), WHITE)
    else:
        pen.dot(0, 32.4, 3.5, 4.3, (30, 0, 12), WHITE, 0.8)
        pen.fill(_oval(0, 34.8, 1.9, 1.4), (214, 80, 96))
        y = eye_y - radius - 1.8
        for side in (-1, 1):
            pen.curve(_curve((side * 2.2, y - 0.4), (side * 5.2, y - 2.2), (side * 8.2, y + 0.8)), DARK, 1.5)


def _add_hat(pen: _Pen, look: Look) -> None:
    colour, y, half = PALETTE[look.hat_colour], HAT_Y[look.head], HAT_HALF[look.head]
    dim = _darker(colour, 0.7)
    match look.hat:
        case "a top hat":
            pen.shape(_box(-half + 2, y - 12.5, half - 2, y - 1.5, 1), colour)
            pen.fill(_box(-half + 2.4, y - 5.2, half - 2.4, y - 3), dim)
            pen.shape(_box(-half - 1, y - 3, half + 1, y, 1.2), colour)
        case "a crown":
            spikes = ((half, -9), (half / 2, -4.5), (0, -10.5), (-half / 2, -4.5), (-half, -9))
            pen.shape(_rounded(((-half, y), (half, y), *((a, y + b) for a, b in spikes)), 0.5), colour)
            for x in (-half * 0.55, 0.0, half * 0.55):
                pen.dot(x, y - 2.3, 1.1, 1.1, _lighter(colour, 0.75), dim, 0.3)
        case "a cap":
            pen.shape(_rounded(((2, y - 2.2), (half + 4, y - 1.8), (half + 5.5, y + 1), (2, y + 0.8)), 1.2), dim)
            pen.shape(_arc(0, y + 0.3, half + 0.5, 8.6, 180, 360), colour)
            pen.dot(0, y - 8.4, 1.3, 1.1, dim, width=min(pen.width, 0.6))
        case "a mohawk":
            for i in (-2, 2, -1, 1, 0):  # few wide spikes: their colour must win over their outline
                x, tall = i * half * 0.46, 12.0 - abs(i) * 2.4
                spike = _polygon((x - 3.2, y + 1.8), (x + i * 0.8, y - tall), (x + 3.2, y + 1.8))
                pen.shape(spike, colour, width=min(pen.width, 0.7))
        case "a flower":
            y -= 3.2
            for i in range(5):
                angle = i * 1.2566 - 1.5708
                x, petal_y = 4.2 * math.cos(angle), y + 4.2 * math.sin(angle)
                pen.dot(x, petal_y, 3.3, 3.3, colour, width=min(pen.width, 0.9))
            pen.dot(0, y, 2.6, 2.6, (90, 60, 20), width=0.4)


def _add_scarf(pen: _Pen, clothing: str) -> None:
    colour = SCARVES[clothing]
    pen.shape(_rounded(((2.5, 41), (8.5, 41), (9.3, 53.5), (3.3, 53.5)), 0.6), colour, INK, 0.8)
    for x in (5.1, 7.1):
        pen.line(_polygon((x, 50.8), (x + 0.1, 53.4)), _darker(colour, 0.6), 0.5)
    pen.shape(_box(-10.8, 37.2, 10.8, 43.4, 2.6), colour, INK, 0.8)
    pen.fill(_polygon((-9, 41.2), (9, 41.2), (8.6, 42.8), (-8.6, 42.8)), SHADE)


def _add_bag(pen: _Pen) -> None:
    pen.line(_polygon((-7, 38.5), (7.5, 48)), (10, 60, 20), 2)
    pen.shape(_box(1.8, 46, 13.4, 57, 2), (30, 150, 60), (10, 40, 20), 1)
    pen.fill(_rounded(((2.6, 46.7), (12.6, 46.7), (11.6, 50.8), (3.6, 50.8)), 1), (22, 118, 48))
    pen.fill(_oval(7.6, 51, 1.7, 1.7), (250, 230, 80))


def _figure_pen(look: Look, pose: Pose, style: str) -> _Pen:
    """Display list of one figure, in the figure's own units: feet at y = 63, middle at x = 0."""
    skin = PALETTE[look.skin]
    pen = _Pen(INK if style in ("ink", "bold ink") else _darker(skin, 0.58), OUTLINE_WIDTHS[style])
    _add_legs(pen, skin)
    _add_body(pen, look)
    _add_arms(pen, skin, pose.arms)
    if pose.clothing == "a green bag":
        _add_bag(pen)
    _add_ears(pen, look)
    _add_head(pen, look)
    if pose.clothing == "big glasses":
        _add_glasses(pen, look)  # before the eyes, which stay on top
    _add_eyes(pen, look, pose.expression)
    _add_hat(pen, look)
    _add_mouth(pen, look, pose.expression)  # after the hat, because of the brows
    if pose.clothing in SCARVES:
        _add_scarf(pen, pose.clothing)
    return pen


def _placement(pose: Pose, centre: float, size: float) -> _Placement:
    """Affine map (matrix, shift, scale) from figure units to picture units."""
    scale = FIGURE_SIZE * pose.scale * size
    angle = math.radians(pose.tilt * (1.0 if size == 1 else 0.6))
    cos, sin, mirror = math.cos(angle), math.sin(angle), -1.0 if pose.flip else 1.0
    turn = scale * np.array([[mirror * cos, -mirror * sin], [sin, cos]])
    pivot = np.array([centre + pose.dx * size, GROUND_Y + pose.dy + scale * (TURN_Y - FEET_Y)])
    return turn, pivot - np.array([0.0, TURN_Y]) @ turn, scale


def _add_shadow(pen: _Pen, place: _Placement) -> None:
    """Soft shadow on the ground, in picture units."""
    turn, shift, scale = place
    foot = np.array([0.0, FEET_Y - 0.8]) @ turn + shift
    for rx, ry in ((14, 2.6), (11, 1.7)):
        pen.fill(_oval(0, 0, rx, ry) * scale + foot, (10, 8, 40, 44))


# ---- objects: their foot is at (0, 0)


def _ball(pen: _Pen) -> None:
    pen.shape(_oval(0, -5, 5, 5), (220, 40, 60))
    pen.fill(_arc(0, -5, 5, 5, 60, 120), WHITE)
    pen.fill(_polygon((-2.5, -0.7), (2.5, -0.7), (0, -5)), WHITE)
    pen.fill(_polygon((-4.9, -6), (-3, -9), (0, -5)), WHITE)
    pen.fill(_polygon((4.9, -6), (3, -9), (0, -5)), WHITE)
    pen.fill(_oval(0, -5, 1.2, 1.2), (250, 220, 90))


def _tree(pen: _Pen) -> None:
    pen.shape(_polygon((-1.3, -10), (1.3, -10), (2, 0), (-2, 0)), (110, 70, 30))
    lobes = (_oval(-3.6, -11.5, 4, 4), _oval(3.6, -11.5, 4, 4), _oval(0, -16.5, 5, 5.5))
    for lobe in lobes:
        pen.shape(lobe, INK)
    for lobe in lobes:
        pen.fill(lobe, (30, 120, 50))
    pen.fill(_oval(-1.2, -18, 2.3, 2), (62, 152, 76))
    pen.fill(_oval(3.4, -12.6, 1.6, 1.2), (62, 152, 76))


def _crate(pen: _Pen) -> None:
    pen.shape(_box(-5.4, -9.4, 5.4, 0, 0.5), (198, 148, 88), (60, 36, 16), 1)
    pen.fill(_box(-5.2, -9.2, 5.2, -6.4), (222, 178, 120))
    pen.line(_polygon((0, -9.4), (0, 0)), (60, 36, 16), 1.2)
    pen.line(_polygon((-5.4, -6.2), (5.4, -6.2)), (60, 36, 16), 0.8)


def _flower_pot(pen: _Pen) -> None:
    pen.line(_polygon((0, -5), (0, -11)), (40, 130, 50), 1.1)
    pen.fill(_oval(2.2, -8, 2.2, 1, -30), (40, 140, 50))
    for i in range(5):
        angle = i * 1.2566 - 1.5708
        pen.dot(3.1 * math.cos(angle), -14 + 3.1 * math.sin(angle), 2.2, 2.2, (240, 90, 170), (130, 20, 80), 0.4)
    pen.fill(_oval(0, -14, 1.9, 1.9), (250, 220, 80))
    pen.shape(_polygon((-3.6, -5), (3.6, -5), (2.8, 0), (-2.8, 0)), (180, 80, 40))
    pen.shape(_box(-4.3, -6.6, 4.3, -4.6), (200, 98, 54))


def _lamp(pen: _Pen) -> None:
    pen.fill(_oval(0, -20, 6.4, 6.4), (255, 244, 150, 70))
    pen.fill(_box(-0.9, -17, 0.9, 0), (50, 50, 60))
    pen.fill(_rounded(((-1.6, -2), (1.6, -2), (3.2, 0), (-3.2, 0)), 0.6), (50, 50, 60))
    pen.shape(_oval(0, -20, 4, 4), (255, 240, 120), (50, 50, 60), 1)
    pen.fill(_box(-2.4, -16.6, 2.4, -15.4), (50, 50, 60))
    pen.fill(_oval(-1.3, -21.2, 1, 1), WHITE)


def _fish(pen: _Pen) -> None:
    blue = (60, 130, 230)
    pen.shape(_rounded(((2.5, -5), (7, -9.4), (6.2, -5), (7, -0.6)), 0.8), _darker(blue, 0.8))
    pen.shape(_polygon((-1.5, -8), (1.5, -10.6), (2.5, -7)), _darker(blue, 0.8))
    pen.shape(_oval(-0.6, -5, 5, 3.5), blue)
    pen.fill(_oval(-0.6, -3.4, 3.4, 1.3), _lighter(blue, 0.5))
    pen.fill(_oval(-3.1, -5.8, 1.2, 1.2), WHITE)
    pen.fill(_oval(-3.3, -5.8, 0.7, 0.7), (0, 0, 0))


def _house(pen: _Pen) -> None:
    pen.shape(_box(2.6, -16, 4.8, -11), (150, 110, 90))
    pen.shape(_box(-6, -9.4, 6, 0), (230, 220, 200))
    pen.shape(_rounded(((-7.6, -9), (0, -17.4), (7.6, -9)), 0.6), (170, 50, 40))
    pen.shape(_box(-4, -5.4, -0.6, 0, 0.8), (100, 60, 30), width=0.4)
    pen.shape(_box(1.2, -6, 4.4, -2.8), (130, 200, 240), width=0.5)


def _umbrella(pen: _Pen) -> None:
    purple = (150, 50, 190)
    pen.curve(_polygon((0, -14), (0, -1.2), (0.9, 0), (2.2, -0.4), (2.5, -1.8)), (40, 40, 40), 1.1)
    pen.shape(_arc(0, -13, 7.2, 7.4, 180, 360), purple)
    pen.fill(_polygon((-2.4, -13.2), (-1.6, -17), (0, -20), (1.6, -17), (2.4, -13.2)), _lighter(purple, 0.4))
    pen.line(_polygon((0, -20), (0, -21.6)), (40, 40, 40), 0.9)


_OBJECTS = {
    "ball": _ball,
    "tree": _tree,
    "box": _crate,
    "flower pot": _flower_pot,
    "lamp": _lamp,
    "fish": _fish,
    "house": _house,
    "umbrella": _umbrella,
}


# ---- places


@lru_cache(maxsize=64)
def _gradient(colour: Colour, top: float, bottom: float, pixels: int) -> Image.Image:
    """Square filled with a colour that runs from `top` to `bottom` times its brightness."""
    factors = np.linspace(top, bottom, pixels)[:, None, None]
    column = np.clip(np.array(colour)[None, None, :] * factors, 0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(column, pixels, axis=1))


def _scatter(rng: random.Random, count: int, top: float, bottom: float) -> list[tuple[float, float]]:
    return [(rng.uniform(0, UNITS), rng.uniform(top, bottom)) for _ in range(count)]


def _meadow(pen: _Pen, rng: random.Random, horizon: float) -> None:
    for colour, tall in (((126, 178, 104), 6.0), (GROUND_COLOURS["meadow"], 4.0)):
        x, wide = rng.uniform(0, UNITS), rng.uniform(22, 34)
        pen.fill(_arc(0, 0, 1, 1, 180, 360) * (wide, tall) + (x, horizon + 0.4), colour)
    for x, y in _scatter(rng, 30, horizon + 1, UNITS):
        lean, tall = rng.uniform(-1, 1.4), rng.uniform(2.4, 4)
        colour = rng.choice(((50, 110, 40), (62, 128, 48), (124, 186, 88)))
        pen.fill(np.array([(x - 0.6, y), (x + lean, y - tall), (x + 0.6, y)]), colour)


def _beach(pen: _Pen, rng: random.Random, horizon: float) -> None:
    pen.fill(_box(0, horizon - 5, UNITS, horizon), (60, 140, 210))
    pen.line(np.array([(x, horizon + 0.5 * math.sin(x / 2.5)) for x in range(0, UNITS + 2, 2)]), (246, 250, 250), 1)
    for x, y in _scatter(rng, 4, horizon - 4, horizon - 1.2):
        pen.line(np.array([(x, y), (x + 4, y)]), (130, 190, 236), 0.5)
    for x, y in _scatter(rng, 14, horizon + 2, UNITS):
        pen.fill(_oval(0, 0, 0.5, 0.4) + (x, y), (198, 170, 104))


def _snow(pen: _Pen, rng: random.Random, horizon: float) -> None:
    for _ in range(2):
        x, wide = rng.uniform(0, UNITS), rng.uniform(14, 22)
        pen.fill(_oval(0, 0, 1, 0.16) * wide + (x, horizon + 0.6), (224, 231, 242))
    for x, y in _scatter(rng, 22, 1, horizon + 6):
        radius = rng.uniform(0.7, 1.0)
        pen.fill(_oval(0, 0, 1, 1) * radius + (x, y), WHITE)


def _street(pen: _Pen, rng: random.Random, horizon: float) -> None:
    x = rng.uniform(-6, 0)
    while x < UNITS:
        wide, tall = rng.uniform(6, 11), rng.uniform(4, 9)
        pen.fill(_box(0, 0, 1, 1) * (wide, tall) + (x, horizon - tall), (40, 40, 80, 34))
        x += wide + rng.uniform(0, 3)
    pen.fill(_box(0, horizon, UNITS, horizon + 2), (176, 176, 180))
    start = rng.uniform(-12, 0)
    for i in range(6):
        pen.fill(_box(0, 0, 8, 2) + (start + 14 * i, horizon + 10), (240, 230, 120))


def _desert(pen: _Pen, rng: random.Random, horizon: float) -> None:
    for colour, tall in (((226, 174, 108), 6.0), ((190, 132, 70), 4.5)):
        x, wide = rng.uniform(6, 58), rng.uniform(20, 30)
        pen.fill(_arc(0, 0, 1, 1, 180, 360) * (wide, tall) + (x, horizon + 0.5), colour)
    for x, y in _scatter(rng, 5, horizon + 3, UNITS - 2):
        pen.fill(_stroke(_arc(0, 0, 5, 1, 200, 340).tobytes(), 0.7, False) + (x, y), (182, 126, 66))


def _floor(pen: _Pen, rng: random.Random, horizon: float) -> None:
    y, dark = horizon, (96, 58, 40)
    while y < UNITS:
        pen.line(np.array([(0, y), (UNITS, y)]), dark, 1)
        x = rng.uniform(0, 20)
        while x < UNITS:
            pen.line(np.array([(x, y), (x, y + 5)]), dark, 0.7)
            x += rng.uniform(18, 26)
        y += 5
    pen.fill(_box(0, 0, UNITS, 2) + (0, horizon - 1.6), (168, 116, 84))


_PLACES = {"meadow": _meadow, "beach": _beach, "snow": _snow, "street": _street, "desert": _desert, "floor": _floor}


def _background(scene: Scene, rng: random.Random, places: Sequence[_Placement], pixels: int) -> Image.Image:
    """Sky, ground and the shadows of the figures on it."""
    k, horizon = pixels / UNITS, 44 + rng.uniform(-3, 3)
    canvas, top = _gradient(SKY_COLOURS[scene.sky], 0.96, 1.05, pixels).copy(), round(horizon * k)
    ground = _gradient(GROUND_COLOURS[scene.ground], 1.0, 0.93, pixels)
    canvas.paste(ground.crop((0, 0, pixels, pixels - top)), (0, top))
    pen = _Pen()
    _PLACES[scene.ground](pen, rng, horizon)
    for place in places:
        _add_shadow(pen, place)
    pen.paint(canvas, np.eye(2) * k, np.zeros(2), k)
    return canvas


def _draw_object(canvas: Image.Image, scene: Scene, rng: random.Random, k: float) -> None:
    x = (9.0 if scene.side == "left" else 55.0) + rng.uniform(-1.5, 1.5)
    y = 60 + rng.uniform(-3, 1.5)
    pen = _Pen(INK, 0.6)
    pen.fill(_oval(0, 0, 6.5, 1.4), (10, 8, 40, 60))
    _OBJECTS[scene.object](pen)
    pen.paint(canvas, np.eye(2) * OBJECT_SIZE * k, np.array([x, y]) * k, OBJECT_SIZE * k)


@lru_cache(maxsize=8)
def _star(radius: float) -> Points:
    angles = [i * math.pi / 5 - math.pi / 2 for i in range(10)]
    reach = [radius * (1.0 if i % 2 == 0 else 0.46) for i in range(10)]
    return _frozen([(r * math.cos(a), r * math.sin(a)) for a, r in zip(angles, reach, strict=True)])


def _draw_stars(canvas: Image.Image, scene: Scene, rng: random.Random, head_x: float | None, k: float) -> None:
    """Draw the stars along the top, away from the head of a lone figure so that they do not cover its hat."""
    slots = list(STAR_SLOTS)
    if head_x is not None:
        slots.remove(min(slots, key=lambda slot: abs(slot[0] - head_x)))
    rng.shuffle(slots)
    pen = _Pen()
    for x, y in slots[: scene.stars]:
        place = np.array([x + rng.uniform(-0.8, 0.8), y + rng.uniform(-0.6, 0.8)])
        pen.fill(_star(5.9) + place, (60, 46, 16))
        pen.fill(_star(4.4) + place, (255, 232, 96))
    if scene.stars:
        pen.paint(canvas, np.eye(2) * k, np.zeros(2), k)


# ---- the whole picture


@lru_cache(maxsize=1)
def _grain() -> NDArray[np.float32]:
    """Normal noise from which each picture takes a stretch: drawing it anew would cost as much as a figure."""
    return np.random.default_rng(0).standard_normal(1 << 19, dtype=np.float32)


def _finish(image: Image.Image, scene: Scene) -> Image.Image:
    """Apply brightness, tint, fading and noise."""
    fade = FADED if scene.style == "faded" else 0.0
    gains = [scene.brightness * part for part in scene.tint]
    rows = [[gains[j] * ((1 - fade) * (i == j) + fade / 3) for j in range(3)] + [0.0] for i in range(3)]
    image = image.convert("RGB", tuple(value for row in rows for value in row))
    if not scene.noise:
        return image
    pool, cells = _grain(), GRAIN * GRAIN * 3
    start = scene.seed % (len(pool) - cells)
    grain = pool[start : start + cells].reshape(GRAIN, GRAIN, 3) * np.float32(scene.noise)
    if image.width != GRAIN:
        layers = [Image.fromarray(grain[..., i]).resize(image.size, Image.Resampling.BICUBIC) for i in range(3)]
        grain = np.stack([np.asarray(layer) for layer in layers], axis=-1)
    noisy = np.asarray(image) + grain
    return Image.fromarray(np.clip(noisy, 0, 255, out=noisy).astype(np.uint8))


def render(picture: Picture, size: int = 256) -> Image.Image:
    """Draw a picture.

    The result depends on the picture and the size only.

    Args:
        picture: What to draw, with one or two figures.
        size: Width and height in pixels.

    Returns:
        An RGB image of size by size pixels.
    """
    scene, rng = picture.scene, random.Random(picture.scene.seed)
    finer = max(2 if size < 160 else 3, math.ceil(192 / size))
    k = size * finer / UNITS
    alone = len(picture.figures) == 1
    middle = UNITS / 2 + (3 if scene.side == "left" else -3)
    centres = [middle] if alone else [share * UNITS for share in PAIR_CENTRES]
    places = [
        _placement(figure.pose, centre, 1.0 if alone else PAIR_SIZE)
        for figure, centre in zip(picture.figures, centres, strict=True)
    ]
    canvas = _background(scene, rng, places, size * finer)
    if alone:
        _draw_object(canvas, scene, rng, k)
    for figure, (turn, shift, scale) in zip(picture.figures, places, strict=True):
        pen = _figure_pen(figure.character.look, figure.pose, scene.style)
        pen.paint(canvas, turn * k, shift * k, scale * k)
    head_x = float((np.array([0.0, 8.0]) @ places[0][0] + places[0][1])[0]) if alone else None
    _draw_stars(canvas, scene, rng, head_x, k)
    return _finish(canvas.reduce(finer), scene)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def contact_sheet(
    pictures: Sequence[Picture], columns: int, size: int = 160, captions: Sequence[str] | None = None
) -> Image.Image:
    """Draw many pictures side by side, row by row.

    Args:
        pictures: The pictures, at least one.
        columns: Pictures in one row.
        size: Width and height of each picture in pixels.
        captions: A text to write under each picture, wrapped to its width.

    Returns:
        One white RGB image with all of them.

    Raises:
        ValueError: If there is no picture, or the captions are not as many as the pictures.
    """
    if not pictures or columns < 1:
        raise ValueError("a contact sheet needs at least one picture and one column")
    if captions is not None and len(captions) != len(pictures):
        raise ValueError(f"{len(captions)} captions for {len(pictures)} pictures")
    gap, text_size = max(2, size // 20), max(9, size // 13)
    font = ImageFont.load_default(text_size)
    texts = [_wrapped(caption, font, size) for caption in captions or ()]
    lines = max((text.count("\n") + 1 for text in texts), default=0)
    height = size + (round(lines * text_size * 1.35) + gap // 2 if lines else 0)
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (size + gap) + gap, rows * (height + gap) + gap), WHITE)
    pen = ImageDraw.Draw(sheet)
    for i, picture in enumerate(pictures):
        x, y = gap + i % columns * (size + gap), gap + i // columns * (height + gap)
        sheet.paste(render(picture, size), (x, y))
        if texts:
            pen.multiline_text((x + size / 2, y + size + gap / 2), texts[i], INK, font, "ma", align="center")
    return sheet
