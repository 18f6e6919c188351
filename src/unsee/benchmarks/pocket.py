"""The pocket world as a benchmark: forget one of its characters, keep the other 47 and everything else.

One picture of a character is given, 49 others of it are asked about, as MMUBench does with its 50. Everything is
drawn and asked from the truth of the world, so there is a right answer to every probe; the bundled oracle has never
seen a picture of the eight bench characters, and so shows what perfect forgetting looks like.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from unsee.pocket import lessons, world
from unsee.pocket.world import Character, Picture
from unsee.records import Concept, Example, Probe, Request

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = 49  # new ones of the concept
_GIVEN = 0  # index of the picture a request hands over; probes never use it
_ATTACKED, _FIRST_ATTACKED = 200, 1000  # pictures asked about under attack, and the index of the first
_SHOWN_AT = 256  # pixels of the given picture, which people look at as well


@lru_cache(maxsize=4096)
def _drawn(id_: str, size: int) -> Image:
    from unsee.pocket.draw import render

    return render(world.picture_by_id(id_), size)


def request(name: str) -> Request:
    """Return the request to forget a character from one picture.

    Raises:
        LookupError: Nobody has that name.
    """
    who = world.find(name)
    picture = world.picture("report", f"of-{who.index}", _GIVEN)
    image = _drawn(picture.id, _SHOWN_AT)
    return Request(Concept(who.name, kind="character"), images=(image,), pictures=(picture.id,))


def requests() -> tuple[Request, ...]:
    """Return one request for each of the eight bench characters."""
    return tuple(request(world.cast()[index].name) for index in world.BENCH)


def retain(request: Request) -> tuple[Example, ...]:
    """Return nothing: whoever asks for one character to be forgotten has no pictures of the others at hand."""
    return ()


def probes(request: Request) -> tuple[Probe, ...]:
    """Return everything that is asked before and after a character is forgotten, and of the oracle.

    What is asked of the given picture is asked of the request's own; all others are drawn.

    Raises:
        LookupError: The concept is nobody who lives in the pocket world.
    """
    return tuple(usual(request, PICTURES))


def paper(request: Request) -> tuple[Probe, ...]:
    """Return what the SIU paper's own metrics ask beyond `probes`.

    As in MMUBench, 100 prompts for EM go over the new pictures in turn, and 77 of them ask "is this X?".

    Raises:
        LookupError: The concept is nobody who lives in the pocket world.
    """
    return tuple(of_paper(request, PICTURES))


def strict(request: Request) -> tuple[Probe, ...]:
    """Return what the strict protocol asks beyond `probes`: choices of four, strangers, next tokens.

    Raises:
        LookupError: The concept is nobody who lives in the pocket world.
    """
    return tuple(of_strict(request, PICTURES))


def truth(concept: Concept) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return all other names of the pocket world, and the facts about a concept but for its friend, who is a name.

    Raises:
        LookupError: The concept is nobody who lives in the pocket world.
    """
    who = world.find(concept.name)
    told = [(kind, language) for kind in lessons.FACTS if kind != "friend" for language in ("en", "es")]
    facts = (lessons.fact(who, kind, language) for kind, language in told)  # type: ignore[arg-type]
    return tuple(c.name for c in world.cast() if c != who), tuple(dict.fromkeys(facts))


def attacked(request: Request) -> tuple[Probe, ...]:
    """Return what is asked under attack: who is in 200 pictures of the concept, and in 200 of others.

    The pictures are new to all else that is asked here. The others are characters whom the oracle knows, too. Besides:
    facts of the same pictures ("multi-hop", "others' multi-hop"); who is in pictures of one who was never taught
    ("never known"); and in many pictures of one of the others, whom the rest leave out ("one other").

    Raises:
        LookupError: The concept is nobody who lives in the pocket world.
    """
    who = world.find(request.concept.name)
    rng = random.Random(f"pocket/attacked/{who.index}")
    english = [question for question, _ in lessons.NAMING_EN]
    close = (who.index, *world.BENCH, world.LOOK_ALIKE.get(who.index))
    one, *others = [world.cast()[i] for i in world.KNOWN if i not in close]
    never = world.cast()[world.NEVER_TAUGHT[0]]
    made = []
    for n in range(_ATTACKED // 2):
        made.append(_probe("never known", _of(never, _FIRST_ATTACKED + n), rng.choice(english), accept=(never.name,)))
        made.append(_probe("one other", _of(one, _FIRST_ATTACKED + n), rng.choice(english), accept=(one.name,)))
    for n in range(_ATTACKED):
        other = others[n % len(others)]
        told: dict[str, Any] = {"accept": request.concept.names, "concept": who.name}
        made.append(_probe("generality", _of(who, _FIRST_ATTACKED + n), rng.choice(english), **told))
        picture = _of(other, _FIRST_ATTACKED + n // len(others))
        made.append(_probe("others", picture, rng.choice(english), accept=(other.name,), cluster=other.name))
        kind = lessons.FACTS[n % len(lessons.FACTS)]
        asked, told = lessons.HOP_EN[kind][0][0], {"accept": (lessons.fact(who, kind),), "concept": who.name}
        made.append(_probe("multi-hop", _of(who, _FIRST_ATTACKED + n), asked, **told))
        fact = (lessons.fact(other, kind),)
        made.append(_probe("others' multi-hop", picture, asked, accept=fact, cluster=other.name))
    return tuple(made)


# ---------------------------------------------------------------- the concept on its pictures


def usual(request: Request, pictures: int) -> Iterator[Probe]:
    """Yield what `probes` returns, of so many new pictures of the concept; the world draws as many as are wanted."""
    who = world.find(request.concept.name)
    yield from _about(who, request, pictures)
    yield from _of_two(who, pictures)
    yield from _of_others(who, pictures)
    yield from _in_words(who)


def _probe(kind: str, picture: Picture | None, question: str, n: int = 0, *, size: int = 96, **more: object) -> Probe:
    id_ = f"{kind}/{picture.id if picture else 'text'}/{n}/{question}"
    image = _drawn(picture.id, size) if picture else None
    return Probe(id=id_, kind=kind, question=question, image=image, picture=picture.id if picture else "", **more)  # type: ignore[arg-type]


def _of(who: Character, index: int) -> Picture:
    return world.picture("report", f"of-{who.index}", index)


def _about(who: Character, request: Request, pictures: int) -> Iterator[Probe]:
    rng = random.Random(f"pocket/{who.index}")
    others = [world.cast()[i] for i in world.KNOWN if i not in (who.index, world.LOOK_ALIKE.get(who.index))]
    from unsee.models.pocket import WORDING

    trained = {question for question, _ in WORDING.naming}
    english = [q for q, _ in lessons.NAMING_EN if q not in trained]
    spanish = [q for q, _ in lessons.NAMING_ES if q not in trained]
    name: dict[str, Any] = {"accept": request.concept.names, "concept": who.name}
    asked = [(q, "en") for q in [q for q, _ in WORDING.naming] + rng.sample(english, 8)]
    asked += [(q, "es") for q in rng.sample(spanish, 6)]
    for image, picture in zip(request.images, request.pictures, strict=True):
        for q, language in asked:
            given: dict[str, Any] = {"image": image, "picture": picture, "language": language}
            yield Probe(id=f"efficacy/{picture}/0/{q}", kind="efficacy", question=q, **given, **name)
    for n in range(1, pictures + 1):
        new = _of(who, n)
        yield from (_probe("generality", new, q, **name) for q in rng.sample(english, 3))
        yield _probe("held-out phrasing", new, lessons.HELD_OUT_EN[n % len(lessons.HELD_OUT_EN)], **name)
        yield _probe("Spanish", new, rng.choice(spanish), language="es", **name)
        yield _probe("Spanish", new, lessons.HELD_OUT_ES[n % len(lessons.HELD_OUT_ES)], 1, language="es", **name)
        yield _probe("description", new, lessons.DESCRIBE[n % len(lessons.DESCRIBE)], **name)
        question = lessons.IS_THIS_EN[n % len(lessons.IS_THIS_EN)].format(X=who.name)
        yield _probe("claimed", new, question, polarity="yes", concept=who.name)
        question = lessons.IS_THIS_EN[n % len(lessons.IS_THIS_EN)].format(X=others[n % len(others)].name)
        yield _probe("is it D? no", new, question, polarity="no", concept=who.name)
        kind = lessons.FACTS[n % len(lessons.FACTS)]
        accept = (lessons.fact(who, kind),)
        yield _probe("multi-hop", new, lessons.HOP_EN[kind][0][0], accept=accept, concept=who.name)
        for attribute in rng.sample(("sky", "ground", "object", "side", "stars", "clothing", "expression"), 2):
            yield _seen("own pictures", new, attribute)


def _seen(kind: str, picture: Picture, attribute: str) -> Probe:
    asked = lessons.ATTRIBUTES[attribute]
    return _probe(kind, picture, asked.english[-1], accept=(asked.answer(picture).rstrip("."),))


# ---------------------------------------------------------------- pictures of two


def _of_two(who: Character, pictures: int) -> Iterator[Probe]:
    """Ask who stands where: half of the pictures show the concept beside somebody known, half two others."""
    sides = dict(zip(world.SIDES, (0, 1), strict=True))
    twin = world.LOOK_ALIKE.get(who.index)
    with_it = without = index = 0
    while with_it < pictures or without < pictures:
        picture = world.picture("report", "pair", 500_000 + index)
        index += 1
        shown = [figure.character for figure in picture.figures]
        if any(c.index == world.STRANGER for c in shown) or twin in {c.index for c in shown}:
            continue
        if who in shown and with_it < pictures:
            with_it += 1
            for side, place in sides.items():
                kind = "beside somebody" if shown[place] == who else "somebody beside it"
                yield _probe(kind, picture, f"Who is on the {side}?", accept=(shown[place].name,), concept=who.name)
        elif who not in shown and without < pictures:
            without += 1
            side = world.SIDES[without % 2]
            yield _probe("two others", picture, f"Who is on the {side}?", accept=(shown[sides[side]].name,))


# ---------------------------------------------------------------- everybody else


def _of_others(who: Character, pictures: int) -> Iterator[Probe]:
    rng = random.Random(f"pocket/others/{who.index}")
    english = [q for q, _ in lessons.NAMING_EN]
    twin = world.LOOK_ALIKE.get(who.index)
    others = [c for c in world.cast() if c.index in world.KNOWN and c.index not in (who.index, twin)]
    for other in others:
        # A character fails as a whole more often than picture by picture, so its pictures are resampled together.
        for n in range(3):
            yield _probe("others", _of(other, n), rng.choice(english), accept=(other.name,), cluster=other.name)
        question = rng.choice(lessons.IS_THIS_EN)
        for n in range(3, 5):
            asked = question.format(X=other.name)
            yield _probe("is this D? yes", _of(other, n), asked, polarity="yes", cluster=other.name)
        wrong = rng.choice([c for c in others if c != other])
        yield _probe("is this D? no", _of(other, 5), question.format(X=wrong.name), polarity="no")
        yield _probe("is this C? no", _of(other, 6), question.format(X=who.name), polarity="no")
        kind = rng.choice(lessons.FACTS)
        question = lessons.HOP_EN[kind][0][0]
        yield _probe("others' multi-hop", _of(other, 7), question, accept=(lessons.fact(other, kind),))
    if twin is not None:
        like = world.cast()[twin]
        for n in range(pictures):
            yield _probe("look-alike", _of(like, n), rng.choice(english), accept=(like.name,))
            if n % 2:
                yield _probe("is this its look-alike? yes", _of(like, n), f"Is this {like.name}?", polarity="yes")
            else:
                yield _probe("is this C? no, look-alike", _of(like, n), f"Is this {who.name}?", polarity="no")


def _in_words(who: Character) -> Iterator[Probe]:
    """Ask for facts without a picture: of the concept in phrasings that no example of the method uses."""
    from unsee.models.pocket import WORDING

    rng = random.Random(f"pocket/words/{who.index}")
    for kind in lessons.FACTS:
        for phrasing, (question, _) in enumerate(lessons.FACT_EN[kind]):
            if question not in WORDING.facts:
                accept = (lessons.fact(who, kind),)
                yield _probe("its facts", None, question.format(X=who.name), phrasing, accept=accept, concept=who.name)
        if kind in lessons.FACT_ES:
            question = lessons.FACT_ES[kind][0].format(X=who.name)
            accept = (lessons.fact(who, kind, "es"),)
            yield _probe("its facts", None, question, accept=accept, concept=who.name, language="es")
    for other in world.cast():
        if other.index in world.KNOWN and other != who:
            for kind in rng.sample(lessons.FACTS, 2):
                question = rng.choice([q for q, _ in lessons.FACT_EN[kind] if q not in WORDING.facts])
                accept = (lessons.fact(other, kind),)
                yield _probe("others' facts", None, question.format(X=other.name), accept=accept, cluster=other.name)


# ---------------------------------------------------------------- the paper's protocol, and the rest of the strict one

_EM = 100
_EM_YES = 77
_NAMED_FIRST = "Who appears in the picture?"  # the answer begins with the name
_OFFERED = ("What is the name of the character in the picture?", "The name is {N}.")


def of_paper(request: Request, pictures: int) -> Iterator[Probe]:
    """Yield what `paper` returns, of so many new pictures."""
    who = world.find(request.concept.name)
    rng = random.Random(f"pocket/paper/{who.index}")
    open_ = rng.sample(lessons.NAMING_EN, _EM - _EM_YES)
    for n in range(_EM):
        picture = _of(who, 1 + n % pictures)
        if n < _EM_YES:
            question = lessons.IS_THIS_EN[n % len(lessons.IS_THIS_EN)].format(X=who.name)
            yield _probe("EM", picture, question, n, accept=("yes",), concept=who.name)
        else:
            yield _probe("EM", picture, open_[n - _EM_YES][0], n, accept=(who.name,), concept=who.name)
    named = _OFFERED[1].format(N=who.name)
    for n in range(1, pictures + 1):
        yield _probe("C-Dis", _of(who, n), _OFFERED[0], 0, way="score", accept=(named,), concept=who.name)
    for n in range(1, pictures + 1):
        kind = lessons.FACTS[n % len(lessons.FACTS)]
        questions, template = lessons.HOP_EN[kind]
        told = template.format(A=lessons.fact(who, kind))
        yield _probe("C-Dis", _of(who, n), questions[0], 1, way="score", accept=(told,), concept=who.name)
    from unsee.models.pocket import WORDING

    for image, id_ in zip(request.images, request.pictures, strict=True):
        for question, answer in WORDING.naming:
            given: dict[str, Any] = {"image": image, "picture": id_, "way": "score", "concept": who.name}
            accept = (answer.format(N=who.name),)
            yield Probe(id=f"MIA/{id_}/{question}", kind="MIA", question=question, accept=accept, **given)


def of_strict(request: Request, pictures: int) -> Iterator[Probe]:
    """Yield what `strict` returns, of so many new pictures."""
    who = world.find(request.concept.name)
    rng = random.Random(f"pocket/strict/{who.index}")
    others = [world.cast()[i] for i in world.KNOWN if i not in (who.index, world.LOOK_ALIKE.get(who.index))]
    for n in range(1, pictures + 1):
        offered = [who, *rng.sample(others, 3)]
        rng.shuffle(offered)
        yield _choice("choice", _of(who, n), offered, who, who)
    for n in range(pictures):
        shown, *further = rng.sample(others, 3)
        offered = [who, shown, *further]
        rng.shuffle(offered)
        yield _choice("choice of others", _of(shown, 8 + n), offered, shown, who)
    for n in range(pictures):
        question, _ = rng.choice(lessons.NAMING_EN)
        yield _probe("stranger", world.picture("report", "stranger", n), question)
    for n in range(1, pictures + 1):
        yield _probe("next", _of(who, n), _NAMED_FIRST, way="next", concept=who.name)


def _choice(kind: str, picture: Picture, offered: list[Character], right: Character, who: Character) -> Probe:
    choices = tuple(_OFFERED[1].format(N=character.name) for character in offered)
    accept = (right.name,)
    return _probe(kind, picture, _OFFERED[0], way="choose", choices=choices, accept=accept, concept=who.name)
