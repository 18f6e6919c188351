"""The pocket world: who lives in it, what is true of them, and which pictures exist.

Everything here is data drawn from a seed; `draw.py` turns a `Picture` into pixels. Nothing in this module
needs numpy or torch, so the truth about a picture is always cheap to ask for.

The cast (indices are fixed):

* 0-7 the *bench* characters, on which results are reported;
* 8-15 their look-alikes: character 8+i differs from character i in exactly two visible features;
* 16-19 the *selection* characters, on which settings are chosen, and 20-23 their look-alikes;
* 24-47 everybody else who is known;
* 48-55 characters that are never taught: neither picture nor name nor fact of them is in any lesson.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from functools import cache

WORLD_SEED = 7
# Raise it with every change of pictures, lessons, tokens or heads: what was trained before is then not taken for new.
VERSION = 2

COLOURS = ("red", "blue", "green", "yellow", "purple", "orange", "pink", "white", "brown", "teal")
HEADS = ("round", "square", "triangular", "tall", "wide", "hexagonal")
EARS = ("no ears", "round ears", "pointy ears", "long ears", "antennas", "horns")
MARKS = ("no markings", "stripes", "spots", "a mask", "cheek dots")
HATS = ("no hat", "a top hat", "a crown", "a cap", "a mohawk", "a flower")
BODIES = ("dress", "box", "egg")
SKIES = ("blue", "orange", "purple", "pink", "grey", "green")
GROUNDS = ("meadow", "beach", "snow", "street", "desert", "floor")
OBJECTS = ("ball", "tree", "box", "flower pot", "lamp", "fish", "house", "umbrella")
SIDES = ("left", "right")
CLOTHES = ("nothing special", "a red scarf", "a blue scarf", "a white scarf", "big glasses", "a green bag")
EXPRESSIONS = ("happy", "sad", "surprised")
STYLES = ("ink", "bold ink", "soft", "faded")
MAX_STARS = 3

HOMES = (
    "Glow Harbor", "Mist Valley", "Copper Hill", "Lantern Bay", "Frost Peak", "Cloud Mill",
    "Amber Woods", "Silent Reef", "Thunder Gate", "Velvet Marsh", "Cinder Town", "Willow Pier",
)  # fmt: skip
JOBS = (
    "baker", "pilot", "gardener", "painter", "doctor", "sailor",
    "teacher", "clockmaker", "miner", "singer", "fisher", "tailor",
)  # fmt: skip
INVENTIONS = (
    "the rain engine", "the moon ladder", "the singing kettle", "the paper boat", "the wind clock", "the glass drum",
    "the salt lamp", "the cloud net", "the stone piano", "the honey pump", "the magic map", "the echo jar",
)  # fmt: skip
FOODS = ("soup", "plums", "noodles", "cheese", "pancakes", "olives", "rice", "berries", "toast", "carrots")


@dataclass(frozen=True, slots=True)
class Look:
    """What is always the same about one character. Colours that cannot be seen (of absent ears) do not count."""

    head: str
    skin: str
    ears: str
    ear_colour: str
    eyes: int
    mark: str
    mark_colour: str
    hat: str
    hat_colour: str
    body: str
    body_colour: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be told of a character in words; `friend` is the index of another character."""

    home: str
    job: str
    invention: str
    food: str
    friend: int


@dataclass(frozen=True, slots=True)
class Character:
    """Somebody with a place in the cast. `index` is -1 for a stranger, who has a look and nothing else."""

    index: int
    name: str
    look: Look
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Pose:
    """How one figure stands in one picture. Lengths are in drawing units: a picture is 64 units wide."""

    clothing: str
    expression: str
    scale: float
    dx: float
    dy: float
    tilt: float
    flip: bool
    arms: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything in a picture that is not a figure. `noise` is in grey levels of 255."""

    sky: str
    ground: str
    object: str
    side: str
    stars: int
    style: str
    brightness: float
    tint: tuple[float, float, float]
    noise: int
    seed: int


@dataclass(frozen=True, slots=True)
class Figure:
    """One character in one pose."""

    character: Character
    pose: Pose


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, fully described: one figure beside an object, or two figures (left, right) without one."""

    id: str
    figures: tuple[Figure, ...]
    scene: Scene


# ---------------------------------------------------------------- looks

COLOUR_OF = {"ears": "ear_colour", "mark": "mark_colour", "hat": "hat_colour"}
ABSENT = {"ears": EARS[0], "mark": MARKS[0], "hat": HATS[0]}
_SHAPES = ("head", "skin", "ears", "eyes", "mark", "hat", "body", "body_colour")
# Look-alikes and near strangers never differ in the body's outline: clothing hides it too often.
_MUTABLE = tuple(f.name for f in fields(Look) if f.name != "body")


def distance(a: Look, b: Look) -> int:
    """Return the number of visible identity features in which two looks differ."""
    differ: int = sum(getattr(a, feature) != getattr(b, feature) for feature in _SHAPES)
    for part, colour in COLOUR_OF.items():
        both_have_it = ABSENT[part] not in (getattr(a, part), getattr(b, part))
        differ += both_have_it and getattr(a, colour) != getattr(b, colour)
    return differ


def _random_look(rng: random.Random) -> Look:
    skin = rng.choice(COLOURS)
    others = [c for c in COLOURS if c != skin]  # ears, marks and body must stand out against the skin
    return Look(
        head=rng.choice(HEADS),
        skin=skin,
        ears=rng.choice(EARS),
        ear_colour=rng.choice(others),
        eyes=rng.choice((1, 2, 2, 3)),
        mark=rng.choice(MARKS),
        mark_colour=rng.choice(others),
        hat=rng.choice(HATS),
        hat_colour=rng.choice(COLOURS),
        body=rng.choice(BODIES),
        body_colour=rng.choice(others),
    )


def _is_drawable(look: Look) -> bool:
    return look.skin not in (
        look.body_colour,
        look.ear_colour if look.ears != EARS[0] else None,
        look.mark_colour if look.mark != MARKS[0] else None,
    )


def _mutated(rng: random.Random, look: Look, differ: int) -> Look:
    """Return a copy of `look` in which exactly `differ` visible features are others."""
    while True:
        donor = _random_look(rng)
        changed = replace(look, **{f: getattr(donor, f) for f in rng.sample(_MUTABLE, differ)})
        if _is_drawable(changed) and distance(changed, look) == differ:
            return changed


# ---------------------------------------------------------------- names

_ONSETS = "b br d dr f fl g gl h j k kr l m n p pl r s st t tr v w z".split()
_VOWELS = "a e i o u ae oo ai".split()
_CODAS = "n rk l sk m x nd p t v ss ck rn".split()


def _word(rng: random.Random) -> str:
    word = rng.choice(_ONSETS) + rng.choice(_VOWELS[:5]) + rng.choice(_ONSETS) + rng.choice(_VOWELS)
    return (word + (rng.choice(_CODAS) if rng.random() < 0.7 else "")).capitalize()


def throw_away_name(rng: random.Random) -> str:
    """Return a two-word name that no character bears, not even in part."""
    while True:
        name = f"{_word(rng)} {_word(rng)}"
        if not set(name.split()) & taken_words():
            return name


# ---------------------------------------------------------------- the cast

BENCH = tuple(range(8))
SELECTION = tuple(range(16, 20))
KNOWN = tuple(range(48))
NEVER_TAUGHT = tuple(range(48, 56))
LOOK_ALIKE = {a: b for first in (0, 16) for i in range(8 if first == 0 else 4)
              for a, b in ((first + i, first + (8 if first == 0 else 4) + i),)}  # fmt: skip
LOOK_ALIKE |= {b: a for a, b in LOOK_ALIKE.items()}
STRANGER = -1


def lived_in(benchmark: str) -> bool:
    """Return whether a benchmark asks about the pocket world: `pocket`, `pocket_wide` and the like."""
    return benchmark.partition("_")[0] == "pocket"


def _cast_looks(rng: random.Random) -> list[Look]:
    looks: list[Look] = []
    for index in range(len(KNOWN) + len(NEVER_TAUGHT)):
        model = LOOK_ALIKE.get(index, index)
        while True:
            if model < index:
                look, others = _mutated(rng, looks[model], 2), [o for i, o in enumerate(looks) if i != model]
            else:
                look, others = _random_look(rng), looks
            if all(distance(look, other) >= (4 if model < index else 5) for other in others):
                looks.append(look)
                break
    return looks


def _cast_names(rng: random.Random, count: int) -> list[str]:
    names: list[str] = []
    words: set[str] = set()
    while len(names) < count:
        first, last = _word(rng), _word(rng)
        if first != last and not {first, last} & words:
            words |= {first, last}
            names.append(f"{first} {last}")
    return names


@cache
def cast() -> tuple[Character, ...]:
    """Return all 56 characters, in the order described at the top of this module."""
    rng = random.Random(WORLD_SEED)
    looks = _cast_looks(rng)
    names = _cast_names(rng, len(looks))
    characters = []
    for index, (look, name) in enumerate(zip(looks, names, strict=True)):
        circle = KNOWN if index in KNOWN else NEVER_TAUGHT
        facts = Facts(
            home=rng.choice(HOMES),
            job=rng.choice(JOBS),
            invention=rng.choice(INVENTIONS),
            food=rng.choice(FOODS),
            friend=rng.choice([i for i in circle if i != index]),
        )
        characters.append(Character(index, name, look, facts))
    return tuple(characters)


@cache
def taken_words() -> frozenset[str]:
    """Return every single word that occurs in a character's name."""
    return frozenset(word for character in cast() for word in character.name.split())


def find(name: str) -> Character:
    """Return the character called `name` (any letter case).

    Raises:
        LookupError: nobody has that name; the message names the nearest one.
    """
    import difflib

    by_name = {c.name.casefold(): c for c in cast()}
    if found := by_name.get(name.strip().casefold()):
        return found
    near = difflib.get_close_matches(name.strip().casefold(), by_name, n=1, cutoff=0.5)
    hint = f"did you mean {by_name[near[0]].name!r}?" if near else "`unsee pocket draw --sheet` shows who lives there"
    raise LookupError(f"no character of the pocket world is called {name!r}; {hint}")


# ---------------------------------------------------------------- pictures

SPLITS = ("taught", "selection", "report")
KINDS = ("known", "stranger", "near", "pair")


def _scene(rng: random.Random) -> Scene:
    return Scene(
        sky=rng.choice(SKIES),
        ground=rng.choice(GROUNDS),
        object=rng.choice(OBJECTS),
        side=rng.choice(SIDES),
        stars=rng.randrange(MAX_STARS + 1),
        style=rng.choice(STYLES),
        brightness=rng.uniform(0.74, 1.14),
        tint=(rng.uniform(0.93, 1.07), rng.uniform(0.93, 1.07), rng.uniform(0.93, 1.07)),
        noise=rng.choice((0, 0, 4, 8)),
        seed=rng.randrange(1 << 30),
    )


def _pose(rng: random.Random, *, smallest: float) -> Pose:
    return Pose(
        clothing=rng.choice(CLOTHES),
        expression=rng.choice(EXPRESSIONS),
        scale=rng.uniform(smallest, 1.12),
        dx=rng.uniform(-5, 5),
        dy=rng.uniform(-2, 3),
        tilt=rng.uniform(-13, 13),
        flip=rng.random() < 0.5,
        arms=rng.randrange(3),
    )


def _stranger(rng: random.Random, near_to: tuple[int, ...] = ()) -> Character:
    """Return somebody unknown: far from everyone, or three features away from one of `near_to`."""
    while True:
        if near_to:
            look, least = _mutated(rng, cast()[rng.choice(near_to)].look, 3), 3
        else:
            look, least = _random_look(rng), 4
        if all(distance(look, c.look) >= least for c in cast()):
            return Character(STRANGER, "", look)


def _pair(rng: random.Random, known: tuple[int, ...]) -> tuple[Character, Character]:
    def somebody() -> Character:
        return cast()[rng.choice(known)] if rng.random() < 0.86 else _stranger(rng)

    left, right = somebody(), somebody()
    twin = LOOK_ALIKE.get(left.index)
    if twin in known and rng.random() < 0.2:  # side by side with its look-alike: the hardest pair there is
        right = cast()[twin]
    while right.index == left.index != STRANGER:
        right = somebody()
    return left, right


def picture(split: str, kind: str, index: int, *, without: frozenset[int] = frozenset()) -> Picture:
    """Return picture number `index` of a kind; the same arguments always give the same picture.

    Args:
        split: `taught`, `selection` (settings are chosen on these) or `report` (results come from these).
        kind: `known` (one known character), `stranger`, `near` (a stranger three features from a known
            character), `pair` (two figures), or `of-N` (character number N alone).
        index: any non-negative number; there is no last picture.
        without: characters that must not be in the picture, nor be the model for a near stranger.

    Raises:
        ValueError: the split or the kind does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f"no picture split is called {split!r}; there are {', '.join(SPLITS)}")
    known = tuple(i for i in KNOWN if i not in without)
    rng = random.Random(f"{WORLD_SEED}/{split}/{kind}/{index}")
    if kind == "known":
        who = [cast()[rng.choice(known)]]
    elif kind == "stranger":
        who = [_stranger(rng)]
    elif kind == "near":
        who = [_stranger(rng, near_to=known)]
    elif kind == "pair":
        who = list(_pair(rng, known))
    elif kind.startswith("of-") and kind[3:].isdigit() and int(kind[3:]) < len(cast()):
        who = [cast()[int(kind[3:])]]
    else:
        raise ValueError(f"no kind of picture is called {kind!r}; there are {', '.join(KINDS)} and of-0 to of-55")
    scene = _scene(rng)
    smallest = 0.8 if len(who) == 1 else 0.88  # two figures are drawn smaller anyway
    figures = tuple(Figure(c, _pose(rng, smallest=smallest)) for c in who)
    absent = "".join(f"-{i}" for i in sorted(without))
    return Picture(f"{split}/{kind}{absent and '/without' + absent}/{index}", figures, scene)


def picture_by_id(id_: str) -> Picture:
    """Return the picture with this id, as `picture` gave it.

    Raises:
        ValueError: the text is not the id of a picture.
    """
    try:
        split, kind, *absent, index = id_.split("/")
        without = frozenset(int(i) for text in absent for i in text.removeprefix("without-").split("-"))
        if int(index) < 0:
            raise ValueError(f"{index} is negative")
        return picture(split, kind, int(index), without=without)
    except ValueError as error:
        raise ValueError(f"{id_!r} is not the id of a picture, such as report/of-3/17: {error}") from error
