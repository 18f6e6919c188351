"""The folder of concepts: a folder of pictures for each, with a card, and what a model recognised of them.

mmubench/DonaldTrump/*.jpg       the first by name, or the one that the card names, is the given one
mmubench/DonaldTrump/card.yaml   may be left out for the paper's 20 concepts
mmubench/filtered.json           made by `unsee mmubench filter`; what it leaves out is not there
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

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
foreign_names: {ru: [Джейн Роу]}   # accepted there besides; without any, zh, ja and ru are not asked in
also_in: [Jane Doe]                # kinds and names in whose pictures it may be too: not asked for there
"""
CARD, FILTERED = "card.yaml", "filtered.json"
_CARDS = Path(__file__).parent / "cards"
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})

Language = Literal["es", "fr", "zh", "de", "ja", "ru"]
Kind = Literal["person", "character", "brand", "place", "object", "style", "other"]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Texts = Annotated[list[_Text], Field(min_length=1)]
COMMON_NOUNS = ("object", "style", "other")  # written in small letters, and another word in another language
_T = TypeVar("_T")
_ALSO_IN: dict[str, tuple[str, ...]] = {
    "object": ("person", "character", "style"),
    "other": ("person", "character", "style", "other"),
    "style": ("character", "style"),
}
"""Of which kinds pictures may show something of a kind, too: people wear and own things, what is drawn has a style."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(_Model):
    """A question, and what answers it."""

    question: _Text
    accept: _Texts


class _Prompt(_Model):
    ask: _Text
    key: _Text
    polarity: Literal["", "yes", "no"] = ""


class Card(_Model):
    """What is asked about a concept; see `EXAMPLE`."""

    name: _Text
    kind: Kind = "person"
    aliases: list[_Text] = []
    picture: _Text | None = None
    attributes: list[_Text] = []
    facts: list[Asked] = []
    multi_hop: list[Asked] = []
    questions: list[_Prompt] = []
    translations: dict[Language, _Texts] = {}
    foreign_names: dict[Language, _Texts] = {}
    also_in: list[_Text] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the aliases."""
        return (self.name, *self.aliases)

    def names_of(self, language: Language) -> tuple[str, ...]:
        """Return what counts as its name in an answer in a language; nothing if no answer in it could be judged."""
        there = tuple(self.foreign_names.get(language, ()))
        latin = language in ("es", "fr", "de")
        return (*self.names, *there) if there or (latin and self.kind not in COMMON_NOUNS) else ()

    def may_be_in(self, shown: Card) -> bool:
        """Return whether pictures of another concept may show this one, too, so that nobody knows a right answer."""
        where = _ALSO_IN.get(self.kind, ()) if self.also_in is None else self.also_in
        return not {each.casefold() for each in where}.isdisjoint((shown.kind, shown.name.casefold()))


@dataclass(frozen=True, slots=True)
class Entry:
    """A concept: its card, the given picture, and all others, as paths."""

    card: Card
    given: Path
    others: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Where its pictures are."""
        return self.given.parent

    @property
    def pictures(self) -> tuple[Path, ...]:
        """All its pictures, the given one first."""
        return (self.given, *self.others)


class Seen(_Model):
    """What a model said of one picture, and whether that names the concept."""

    recognised: bool
    said: str
    sha256: str


class Sifted(_Model):
    """What a model recognised of a concept; `why` says what speaks against keeping it."""

    name: str
    question: str
    kept: bool
    why: str = ""
    pictures: Annotated[dict[str, Seen], Field(min_length=1)]

    @property
    def recognised(self) -> int:
        """In how many pictures it was named."""
        return sum(seen.recognised for seen in self.pictures.values())

    @property
    def share(self) -> float:
        """In which share of its pictures it was named."""
        return self.recognised / len(self.pictures)


class Filtered(_Model):
    """What `unsee mmubench filter` found: concepts by folder."""

    model: str
    least: Annotated[float, Field(ge=0, le=1)]
    concepts: dict[str, Sifted]


def folder() -> Path:
    """Return where the concepts' folders are looked for."""
    return Path(os.environ.get(VARIABLE) or "mmubench")


def entries(root: Path | None = None, *, everything: bool = False) -> tuple[Entry, ...]:
    """Return the concepts in a folder, by name.

    Args:
        root: The folder; `folder()` if not given.
        everything: Whether to return also what `filtered.json` leaves out.

    Raises:
        FileNotFoundError: The folder is not there or holds no concepts, or one lacks a card or pictures.
        ValueError: A card is broken, two concepts have one name, or `filtered.json` is broken or does not know
            a picture that is there.
        LookupError: `filtered.json` leaves no concept.
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
    sifted = None if everything else read_filtered(root)
    if sifted is None:
        return found
    left = tuple(entry for entry in (_left(each, sifted, root / FILTERED) for each in found) if entry)
    if not left:
        raise LookupError(f"{root / FILTERED} leaves no concept: {sifted.model} recognises none; {_DELETE}")
    return left


_DELETE = "delete that file to ask about all"


def _left(entry: Entry, sifted: Filtered, file: Path) -> Entry | None:
    """Return what is left of a concept, or nothing."""
    found = sifted.concepts.get(entry.folder.name)
    new = [p.name for p in entry.pictures if found is None or p.name not in found.pictures]
    if new or found is None:
        raise ValueError(
            f"{file} does not know {len(new)} pictures in {entry.folder}, such as {new[0]}; give `unsee mmubench "
            f"filter` again, which asks only about new ones, or {_DELETE}"
        )
    if not found.kept:
        return None
    left = tuple(p for p in entry.pictures if found.pictures[p.name].recognised)
    if len(left) < 2:
        raise FileNotFoundError(
            f"{entry.folder} holds {len(left)} of the pictures that {file} keeps; at least two are needed; filter again"
        )
    return Entry(entry.card, left[0], left[1:])


def read_filtered(root: Path) -> Filtered | None:
    """Read what `unsee mmubench filter` wrote, if it did.

    Raises:
        ValueError: It is something else.
    """
    file = root / FILTERED
    if not file.exists():
        return None
    try:
        return Filtered.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{file} is not what `unsee mmubench filter` writes: {f'{where}: ' if where else ''}{first['msg']}; "
            "delete it, and filter again"
        ) from error


def left_out(name: str, root: Path | None = None) -> str:
    """Say why `filtered.json` leaves out the concept of that name; empty if it does not."""
    root = folder() if root is None else root
    sifted = read_filtered(root)
    for found in sifted.concepts.values() if sifted else ():
        if found.name.casefold() == name.casefold() and not found.kept:
            return f"{root / FILTERED} leaves {found.name!r} out ({found.why}); {_DELETE}"
    return ""


def pictures(inside: Path) -> tuple[Path, ...]:
    """Return the pictures of a concept's folder, by name.

    Raises:
        FileNotFoundError: There are fewer than two.
    """
    found = tuple(sorted(file for file in inside.iterdir() if file.suffix.lower() in _SUFFIXES))
    if len(found) < 2:
        raise FileNotFoundError(f"{inside} holds {len(found)} pictures; at least two are needed, to train and to test")
    return found


def _entry(inside: Path) -> Entry:
    card, shown = _card(inside), pictures(inside)
    given = inside / card.picture if card.picture else shown[0]
    if given not in shown:
        raise FileNotFoundError(f"the card of {inside} gives the picture {card.picture!r}, which is not there")
    return Entry(card, given, tuple(picture for picture in shown if picture != given))


def _card(inside: Path) -> Card:
    file = inside / CARD
    if not file.exists():
        known = our_card(inside)
        if known is None:
            raise FileNotFoundError(
                f"{inside} has no card.yaml, and none of ours is called so; `unsee mmubench init` drafts one, and "
                f"docs/mmubench.md shows one; the least is a line such as {EXAMPLE.partition(chr(10))[0]!r}"
            )
        file = known
    return unchanged(read_card, file)


def our_card(inside: Path) -> Path | None:
    """Return the card that comes with unsee for a folder called so, if there is one."""
    plain = "".join(filter(str.isalnum, inside.name.casefold()))
    return next((file for file in _CARDS.glob("*.yaml") if file.stem.casefold() == plain), None)


def read_card(file: Path) -> Card:
    """Read a card.

    Raises:
        ValueError: It is no YAML, or says something that is not allowed; the message has the line.
    """
    node, data = loaded(file)
    try:
        return Card.model_validate({} if data is None else data)
    except ValidationError as error:
        known = [*Card.model_fields, *Asked.model_fields, *_Prompt.model_fields]
        raise ValueError("; ".join(located(file, node, each, known) for each in error.errors())) from error


def unchanged(read: Callable[[Path], _T], file: Path) -> _T:
    """Return what reading a file gives, which is read again only once it has changed.

    A benchmark is asked for its probes in several parts, and each would read all cards and pictures anew.
    """
    told = file.stat()
    return cast(_T, _kept(read, file, (told.st_dev, told.st_ino, told.st_mtime_ns, told.st_size)))


@lru_cache(maxsize=4096)
def _kept(read: Callable[[Path], object], file: Path, state: tuple[int, ...]) -> object:
    return read(file)
