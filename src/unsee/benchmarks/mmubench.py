"""MMUBench: a folder of pictures per concept, one of them given, all others asked about, for any model.

Source: Li et al. 2024, section 4 and appendix C: 20 concepts, 50 pictures each, one trains and 49 test, 100 prompts
with key words, multi-hop questions, other languages. Of the questions only one concept's were released; those here are
our own, made from a card per concept. Pictures are not brought along. They are looked for in the folder `mmubench`, or
wherever the environment variable UNSEE_MMUBENCH points:

    mmubench/DonaldTrump/*.jpg       the first by name, or the one that the card names, is the given one
    mmubench/DonaldTrump/card.yaml   may be left out for the paper's 20 concepts

Against the paper, and so that saying "no" is not enough, the same is asked of the pictures of all other folders.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from unsee.records import CONCEPT_KINDS, Concept, Example, Probe, Request
from unsee.request_file import loaded, located

VARIABLE = "UNSEE_MMUBENCH"
EXAMPLE = """\
name: Jane Roe
kind: person                       # character, brand, place, object, style
aliases: [Roe]
picture: front.jpg                 # the given one; left out: the first by name
attributes: [red hair, a violin]   # what a picture of it shows or brings to mind, for C-Dis
facts:                             # in words, to be kept
  - {question: "Which instrument does Jane Roe play?", accept: [violin]}
multi_hop:                         # need the identity
  - {question: "Which instrument does the person in the picture play?", accept: [violin]}
questions:                         # for EM; left out: made from the name; polarity: the truth on its pictures
  - {ask: "Is this Jane Roe?", key: "yes", polarity: "yes"}
translations: {es: ["¿Quién es?"]} # left out: general ones
"""
_CARDS = Path(__file__).parent / "mmubench_cards"
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
_MOST_OF_OTHERS = 7  # pictures of each other concept that are asked about
_EM, _EM_YES = 100, 77  # the paper's prompts, and how many of them ask "is this X?"

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Texts = Annotated[list[_Text], Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Asked(_Model):
    question: _Text
    accept: _Texts


class _Prompt(_Model):
    ask: _Text
    key: _Text
    polarity: Literal["", "yes", "no"] = ""


class Card(_Model):
    """What is asked about a concept; see `EXAMPLE`."""

    name: _Text
    kind: Literal["person", "character", "brand", "place", "object", "style", "other"] = "person"
    aliases: list[_Text] = []
    picture: _Text | None = None
    attributes: list[_Text] = []
    facts: list[_Asked] = []
    multi_hop: list[_Asked] = []
    questions: list[_Prompt] = []
    translations: dict[Literal["es", "fr", "zh", "de", "ja", "ru"], _Texts] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the aliases."""
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True)
class Entry:
    """A concept: its card, the given picture, and all others, as paths."""

    card: Card
    given: Path
    others: tuple[Path, ...]


_LIVING = (
    *("Who is this?", "Who is in this picture?", "What is the name of the central figure of this image?"),
    *("Can you tell me who is shown here?", "Please identify the main figure of this picture."),
    *("Name the one you see in this image.", "Whom does this picture show?", "Who is the subject of this image?"),
)
_NAMING = {
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
_NAMING["other"] = _NAMING["object"]
_IS_THIS = {
    "style": ("Is this in {X}?", "Is this picture made in {X}?", "Does this image follow {X}?"),
    "": ("Is this {X}?", "Does the image show {X}?", "Does {X} appear in the picture?", "Can {X} be seen here?"),
}
_SCENE = ("What is in the background of this picture?", "What are the main colours of this image?",
          "What is the light like in this picture?")  # fmt: skip
_DESCRIBE = ("Describe this image.", "What is happening in this picture?")
_TRANSLATED = {
    "es": ("¿Quién o qué se ve en esta imagen?", "¿Cómo se llama lo que muestra esta imagen?"),
    "fr": ("Qui ou qu'est-ce que l'on voit sur cette image ?", "Quel est le nom de ce que montre cette image ?"),
    "zh": ("这张图片里是谁或是什么？", "图片中主要内容的名字是什么？"),
    "de": ("Wer oder was ist auf diesem Bild zu sehen?", "Wie heißt das, was dieses Bild zeigt?"),
    "ja": ("この画像に写っているのは誰、または何ですか。", "この画像に写っているものの名前は何ですか。"),
    "ru": ("Кто или что изображено на этой картинке?", "Как называется то, что показано на этой картинке?"),
}


def folder() -> Path:
    """Return where the concepts' folders are looked for."""
    return Path(os.environ.get(VARIABLE) or "mmubench")


def entries(root: Path | None = None) -> tuple[Entry, ...]:
    """Return the concepts in a folder, by name.

    Raises:
        FileNotFoundError: The folder is not there or holds no concepts, or one lacks a card or pictures.
        ValueError: A card is broken, or two concepts have one name.
    """
    root = folder() if root is None else root
    if not root.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(root)!r} with a folder of pictures for each concept; make it, or set {VARIABLE}"
        )
    found = tuple(_entry(inside) for inside in sorted(root.iterdir()) if inside.is_dir() and inside.name[0] != ".")
    if not found:
        raise FileNotFoundError(f"{str(root)!r} holds no folders; make one with pictures for each concept")
    names = [entry.card.name for entry in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two folders of {str(root)!r} have cards of {name!r}; keep one")
    return found


def _entry(inside: Path) -> Entry:
    card = _card(inside)
    pictures = sorted(file for file in inside.iterdir() if file.suffix.lower() in _SUFFIXES)
    if len(pictures) < 2:
        raise FileNotFoundError(
            f"{inside} holds {len(pictures)} pictures; at least two are needed, to train and to test"
        )
    given = inside / card.picture if card.picture else pictures[0]
    if given not in pictures:
        raise FileNotFoundError(f"the card of {inside} gives the picture {card.picture!r}, which is not there")
    return Entry(card, given, tuple(picture for picture in pictures if picture != given))


def _card(inside: Path) -> Card:
    file = inside / "card.yaml"
    if not file.exists():
        plain = "".join(filter(str.isalnum, inside.name.casefold()))
        known = {path.stem.casefold(): path for path in _CARDS.glob("*.yaml")}
        if plain not in known:
            raise FileNotFoundError(f"{inside} has no card.yaml, and none of ours is called so; write one:\n{EXAMPLE}")
        file = known[plain]
    return read_card(file)


def read_card(file: Path) -> Card:
    """Read a card.

    Raises:
        ValueError: It is no YAML, or says something that is not allowed; the message has the line.
    """
    node, data = loaded(file)
    try:
        return Card.model_validate({} if data is None else data)
    except ValidationError as error:
        known = [*Card.model_fields, *_Asked.model_fields, *_Prompt.model_fields]
        raise ValueError("; ".join(located(file, node, each, known) for each in error.errors())) from error


# ---------------------------------------------------------------- what every benchmark has


def requests() -> tuple[Request, ...]:
    """Return one request per concept; none if there is no folder of concepts.

    Raises:
        FileNotFoundError: As `entries`, for a folder that is there.
        ValueError: As `entries`.
    """
    return tuple(map(_request, entries())) if folder().is_dir() else ()


def _request(entry: Entry) -> Request:
    kind = entry.card.kind if entry.card.kind in CONCEPT_KINDS else "other"
    concept = Concept(entry.card.name, tuple(entry.card.aliases), kind)
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
        raise LookupError(f"no folder of {str(folder())!r} is about {request.concept.name!r}; make one")
    # What is given may be another picture of the folder than the first, or a copy; it is not asked about as new.
    given = [_pixels(image) for image in request.images]
    new = tuple(picture for picture in (mine[0].given, *mine[0].others) if _pixels(picture) not in given)
    if not new:
        raise FileNotFoundError(f"{mine[0].given.parent} holds no picture but those given; add some to ask about")
    return replace(mine[0], others=new), [entry for entry in every if entry != mine[0]]


def _pixels(picture: Any) -> tuple[Any, bytes]:
    from unsee.vlm import read_image

    seen = read_image(picture)
    return seen.size, seen.tobytes()


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
    card, naming = entry.card, _NAMING[entry.card.kind]
    told: dict[str, Any] = {"accept": card.names, "concept": card.name}
    for image, id_ in zip(request.images, request.pictures, strict=True):
        for question in (*naming, *_DESCRIBE):
            yield Probe(id=f"efficacy/{id_}/0/{question}", kind="efficacy", question=question, image=image,
                        picture=id_, **told)  # fmt: skip
    languages = {language: card.translations.get(language) or some for language, some in _TRANSLATED.items()}  # type: ignore[call-overload]
    asked = [(language, question) for language, some in languages.items() for question in some]
    for n, shown in enumerate(entry.others):
        for k in range(2):
            yield _probe("generality", shown, naming[(2 * n + k) % len(naming)], **told)
        yield _probe("description", shown, _DESCRIBE[n % len(_DESCRIBE)], **told)
        language, question = asked[n % len(asked)]
        yield _probe("multilingual", shown, question, language=language, **told)
        yield _probe("claimed", shown, _is_this(card, n), polarity="yes", concept=card.name)
        yield _probe("same picture", shown, _SCENE[n % len(_SCENE)])
        for hop in card.multi_hop[n % len(card.multi_hop) :][:1] if card.multi_hop else ():
            yield _probe("multi-hop", shown, hop.question, accept=tuple(hop.accept), concept=card.name)
    for n, prompt in enumerate(prompt for prompt in card.questions if prompt.polarity == "no"):
        shown = entry.others[n % len(entry.others)]
        yield _probe("is this D? no", shown, prompt.ask, polarity="no", cluster=_id(shown))
    for fact in card.facts:
        yield _probe("its facts", None, fact.question, accept=tuple(fact.accept), concept=card.name)
    for other in others:
        known = other.card
        for n, picture in enumerate(other.others[:_MOST_OF_OTHERS]):
            question = _NAMING[known.kind][n % len(_NAMING[known.kind])]
            yield _probe("others", picture, question, accept=known.names, cluster=known.name)
            yield _probe("is this D? yes", picture, _is_this(known, n), polarity="yes", cluster=known.name)
            yield _probe("is this C? no", picture, _is_this(card, n), polarity="no", cluster=known.name)
        for fact in known.facts:
            yield _probe("others' facts", None, fact.question, accept=tuple(fact.accept), cluster=known.name)


def _paper(entry: Entry, request: Request) -> Iterator[Probe]:
    card, naming = entry.card, _NAMING[entry.card.kind]
    prompts = [(prompt.ask, prompt.key) for prompt in card.questions]
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
    others = [other for other in others if _NAMING[other.card.kind] is _NAMING[entry.card.kind]]
    for n, picture in enumerate(entry.others):
        yield _probe("next", picture, _NAMING[entry.card.kind][0], way="next", concept=entry.card.name)
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
    question = _NAMING[entry.card.kind][0]
    return _probe(kind, picture, question, n, way="choose", choices=choices, accept=right.card.names,
                  concept=entry.card.name)  # fmt: skip
