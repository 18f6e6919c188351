"""MMUBench: a folder of pictures per concept, one of them given, all others asked about, for any model.

Source: Li et al. 2024, section 4 and appendix C: 20 concepts, 50 pictures each, one trains and 49 test, 100 prompts
with key words, multi-hop questions, other languages. Of the questions only one concept's were released; those here are
our own, made from a card per concept (`unsee.mmubench.concepts`). Pictures are not brought along. They are looked for
in the folder `mmubench`, or wherever the environment variable UNSEE_MMUBENCH points.

Against the paper, and so that saying "no" is not enough, the same is asked of the pictures of all other folders. Where
the truth is to be "no", nothing is asked for on pictures that may show it beside what they are of (`Card.may_be_in`).
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from unsee.mmubench.concepts import Card, Entry, Language, entries, folder, left_out, unchanged
from unsee.records import Concept, Example, Probe, Request
from unsee.wording import GENERAL

_MOST_OF_OTHERS = 7  # pictures of each other concept that are asked about
_EM, _EM_YES = 100, 77  # the paper's prompts, and how many of them ask "is this X?"

_LIVING = (
    *("Who is this?", "Who is in this picture?", "What is the name of the central figure of this image?"),
    *("Can you tell me who is shown here?", "Please identify the main figure of this picture."),
    *("Name the one you see in this image.", "Whom does this picture show?", "Who is the subject of this image?"),
)
NAMING = {
    "person": _LIVING,
    "character": _LIVING,
    "brand": ("Which brand is this?", "Whose logo is this?", "Name the company behind this picture.",
              "Which company does this image stand for?"),
    "place": ("Which place is this?", "Where was this picture taken?", "What is the name of this place?",
              "Name the landmark in this image."),
    "object": ("What is this called?", "What is the main thing in this picture called?", "Name what this image shows.",
               "What is the name for what you see here?"),
    "style": ("In which style is this picture made?", "Name the style of this image.",
              "Which style does this picture follow?", "What is the style of this image called?"),
}  # fmt: skip
NAMING["other"] = NAMING["object"]
"""What is asked to learn who or what a picture shows, by kind of concept."""
_IS_THIS = {
    "style": ("Is this in {X}?", "Is this picture made in {X}?", "Does this image follow {X}?"),
    "": ("Is this {X}?", "Does the image show {X}?", "Does {X} appear in the picture?", "Can {X} be seen here?"),
}
_SCENE = ("What is in the background of this picture?", "What are the main colours of this image?",
          "What is the light like in this picture?")  # fmt: skip
_DESCRIBE = ("Describe this image.", "What is happening in this picture?")


# ---------------------------------------------------------------- what every benchmark has


def requests() -> tuple[Request, ...]:
    """Return one request per concept; none if there is no folder of concepts.

    Raises:
        FileNotFoundError: As `entries`, for a folder that is there.
        ValueError: As `entries`.
    """
    return tuple(map(_request, entries())) if folder().is_dir() else ()


def _request(entry: Entry) -> Request:
    concept = Concept(entry.card.name, tuple(entry.card.aliases), entry.card.kind)
    return Request(concept, images=(str(entry.given),), pictures=(_id(entry.given),))


def retain(request: Request) -> tuple[Example, ...]:
    """Return nothing: as in the paper, whoever asks has one picture of one concept."""
    return ()


def probes(request: Request) -> tuple[Probe, ...]:
    """Return open questions, yes/no and multi-hop about the concept's other pictures, and all others'.

    Raises:
        LookupError: No folder is about the concept.
        FileNotFoundError: As `entries`.
        ValueError: As `entries`.
    """
    return tuple(_probes(*_found(request), request))


def attacked(request: Request) -> tuple[Probe, ...]:
    """Return what is asked under attack: `probes`, and facts of pictures of others; raises what `probes` raises."""
    return (*probes(request), *_others_hops(_found(request)[1]))


def _others_hops(others: Sequence[Entry]) -> Iterator[Probe]:
    for other in others:
        for n, picture in enumerate(other.others[:_MOST_OF_OTHERS] if other.card.multi_hop else ()):
            hop = other.card.multi_hop[n % len(other.card.multi_hop)]
            accept = tuple(hop.accept)
            yield _probe("others' multi-hop", picture, hop.question, accept=accept, cluster=other.card.name)


def paper(request: Request) -> tuple[Probe, ...]:
    """Return what the SIU paper's own metrics ask beyond `probes`; raises what `probes` raises."""
    return tuple(_paper(_found(request)[0], request))


def strict(request: Request) -> tuple[Probe, ...]:
    """Return choices of four and next tokens; raises what `probes` raises."""
    return tuple(_strict(*_found(request)))


def _found(request: Request) -> tuple[Entry, list[Entry]]:
    every = entries()
    name = request.concept.name.casefold()
    mine = [entry for entry in every if entry.card.name.casefold() == name]
    if not mine:
        why = left_out(request.concept.name)
        raise LookupError(why or f"no folder of {str(folder())!r} is about {request.concept.name!r}; make one")
    # What is given may be another picture of the folder than the first, or a copy; it is not asked about as new.
    given = [_pixels(image) for image in request.images]
    new = tuple(picture for picture in mine[0].pictures if unchanged(_pixels, picture) not in given)
    if not new:
        raise FileNotFoundError(f"{mine[0].folder} holds no picture but those given; add some to ask about")
    return replace(mine[0], others=new), [entry for entry in every if entry != mine[0]]


def _pixels(picture: Any) -> tuple[tuple[int, int], str]:
    """Return what tells a picture from others, but not from its copies."""
    from unsee.vlm import read_image

    seen = read_image(picture)
    return seen.size, hashlib.sha256(seen.tobytes()).hexdigest()


def _id(picture: Path) -> str:
    return f"{picture.parent.name}/{picture.name}"


def _probe(kind: str, picture: Path | None, question: str, n: int = 0, **more: Any) -> Probe:
    shown: dict[str, Any] = {"image": str(picture), "picture": _id(picture)} if picture else {}
    id_ = f"{kind}/{shown.get('picture', 'text')}/{n}/{question}"
    return Probe(id=id_, kind=kind, question=question, **shown, **more)


def _is_this(card: Card, n: int) -> str:
    own = [prompt.ask for prompt in card.questions if prompt.polarity == "yes"]
    if own:
        return own[n % len(own)]
    asked = _IS_THIS.get(card.kind, _IS_THIS[""])
    return asked[n % len(asked)].format(X=card.name)


def _probes(entry: Entry, others: Sequence[Entry], request: Request) -> Iterator[Probe]:
    card, naming = entry.card, NAMING[entry.card.kind]
    told: dict[str, Any] = {"accept": card.names, "concept": card.name}
    for image, id_ in zip(request.images, request.pictures, strict=True):
        for question in (*naming, *_DESCRIBE):
            yield Probe(id=f"efficacy/{id_}/0/{question}", kind="efficacy", question=question, image=image,
                        picture=id_, **told)  # fmt: skip
    names = {language: card.names_of(language) for language in get_args(Language)}
    languages = {language: card.translations.get(language) or GENERAL.foreign[language] for language in names}
    # In turn, however many questions one of them has: no language is to be asked about only if there are many pictures.
    rounds = itertools.zip_longest(
        *([(language, question) for question in some] for language, some in languages.items() if names[language])
    )
    asked = [each for one_round in rounds for each in one_round if each]
    for n, shown in enumerate(entry.others):
        for k in range(2):
            yield _probe("generality", shown, naming[(2 * n + k) % len(naming)], **told)
        yield _probe("description", shown, _DESCRIBE[n % len(_DESCRIBE)], **told)
        if asked:
            language, question = asked[n % len(asked)]
            also = {**told, "accept": names[language]}
            yield _probe("multilingual", shown, question, language=language, **also)
        yield _probe("claimed", shown, _is_this(card, n), polarity="yes", concept=card.name)
        yield _probe("same picture", shown, _SCENE[n % len(_SCENE)])
        if card.multi_hop:
            hop = card.multi_hop[n % len(card.multi_hop)]
            yield _probe("multi-hop", shown, hop.question, accept=tuple(hop.accept), concept=card.name)
    yield from _not_others(entry, others)
    for fact in card.facts:
        yield _probe("its facts", None, fact.question, accept=tuple(fact.accept), concept=card.name)
    for k, other in enumerate(others):
        known = other.card
        thirds = [others[(k + 1 + n) % len(others)].card for n in range(len(others) - 1)]
        wrong = [third for third in thirds if not third.may_be_in(known)]
        for n, picture in enumerate(other.others[:_MOST_OF_OTHERS]):
            question = NAMING[known.kind][n % len(NAMING[known.kind])]
            yield _probe("others", picture, question, accept=known.names, cluster=known.name)
            yield _probe("is this D? yes", picture, _is_this(known, n), polarity="yes", cluster=known.name)
            if not card.may_be_in(known):
                yield _probe("is this C? no", picture, _is_this(card, n), polarity="no", cluster=known.name)
            if wrong:
                asked_for = _is_this(wrong[n % len(wrong)], n)
                yield _probe("is this D? no", picture, asked_for, polarity="no", cluster=known.name)
        for fact in known.facts:
            yield _probe("others' facts", None, fact.question, accept=tuple(fact.accept), cluster=known.name)


def _not_others(entry: Entry, others: Sequence[Entry]) -> Iterator[Probe]:
    """Yield questions about others on the concept's own pictures: who says yes to all there knows nothing of it."""
    absent = [other.card for other in others if not other.card.may_be_in(entry.card)]
    same = [card for card in absent if NAMING[card.kind] is NAMING[entry.card.kind]] or absent
    own = [prompt.ask for prompt in entry.card.questions if prompt.polarity == "no"]
    for n, shown in enumerate(entry.others):
        # A round later everybody gets the next wording, not the one from before.
        asked = [_is_this(same[n % len(same)], n // len(same))] if same else []
        for question in dict.fromkeys([*asked, *own[n :: len(entry.others)]]):
            yield _probe("is it D? no", shown, question, polarity="no", cluster=_id(shown))


def _paper(entry: Entry, request: Request) -> Iterator[Probe]:
    card, naming = entry.card, NAMING[entry.card.kind]
    # Key words stand in an answer of a model that knows; where that is a right "no", its absence is no forgetting.
    prompts = [(prompt.ask, prompt.key) for prompt in card.questions if prompt.polarity != "no"]
    prompts = prompts or [
        (_is_this(card, n), "yes") if n < _EM_YES else (naming[n % len(naming)], card.name) for n in range(_EM)
    ]
    for n in range(max(_EM, len(prompts))):
        question, key = prompts[n % len(prompts)]
        accept = card.names if key == card.name else (key,)
        yield _probe("EM", entry.others[n % len(entry.others)], question, n, accept=accept, concept=card.name)
    for n, picture in enumerate(entry.others):
        answers = [(naming[0], f"This is {card.name}.")]
        if card.attributes:
            answers.append(("What do you think of first?", f"I think of {card.attributes[n % len(card.attributes)]}."))
        for m, (question, answer) in enumerate(answers):
            yield _probe("C-Dis", picture, question, m, way="score", accept=(answer,), concept=card.name)
    told: dict[str, Any] = {"way": "score", "accept": (f"This is {card.name}.",), "concept": card.name}
    for image, id_ in zip(request.images, request.pictures, strict=True):
        for question in naming:
            yield Probe(id=f"MIA/{id_}/{question}", kind="MIA", question=question, image=image, picture=id_, **told)


def _strict(entry: Entry, others: Sequence[Entry]) -> Iterator[Probe]:
    rng = random.Random(f"mmubench/{entry.card.name}")
    # All names offered are of one sort and all pictures get one question, else the wording alone would tell them apart.
    others = [other for other in others if NAMING[other.card.kind] is NAMING[entry.card.kind]]
    for n, picture in enumerate(entry.others):
        yield _probe("next", picture, NAMING[entry.card.kind][0], way="next", concept=entry.card.name)
        if len(others) >= 3:
            yield _choice("choice", picture, entry, [entry, *rng.sample(others, 3)], entry, rng)
            shown = others[n % len(others)]
            further = rng.sample([other for other in others if other != shown], 2)
            of_others = shown.others[n // len(others) % len(shown.others)]
            yield _choice("choice of others", of_others, shown, [entry, shown, *further], entry, rng, n)


def _choice(
    kind: str, picture: Path, right: Entry, offered: list[Entry], entry: Entry, rng: random.Random, n: int = 0
) -> Probe:
    rng.shuffle(offered)
    choices = tuple(f"This is {one.card.name}." for one in offered)
    question = NAMING[entry.card.kind][0]
    return _probe(kind, picture, question, n, way="choose", choices=choices, accept=right.card.names,
                  concept=entry.card.name)  # fmt: skip
