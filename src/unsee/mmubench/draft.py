"""Draft a concept's card by asking a model about it. What a model says may be wrong, so every entry is marked.

Weak models answer lists and forms badly, so each question asks for one short thing, or for a few with commas between.
What cannot serve is left out and said: nothing, refusals, whole sentences, a yes or no, what was said before, and the
name where it would give itself away. Questions and translations are made from the name and the kind; of the model are
only the names of others in questions whose right answer is no. Its names in other languages are not asked for: a wrong
one would be searched for in answers, and nobody who checks the card may know the script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from unsee.benchmarks.mmubench import NAMING
from unsee.files import write_whole
from unsee.interview import bare
from unsee.judge import names_in, says, yes_or_no
from unsee.kinds import FACTS
from unsee.mmubench import Respondent, templates
from unsee.mmubench.concepts import CARD, COMMON_NOUNS, Card, Kind, our_card, pictures, read_card
from unsee.records import Probe
from unsee.request_file import scalar
from unsee.wording import GENERAL

KINDS: tuple[str, ...] = get_args(Kind)
_MOST_LETTERS, _MOST_WORDS = 60, 6  # of one entry
_MOST = {"aliases": 5, "attributes": 5, "similar": 3}  # entries
_SHOWN = 3  # pictures that are asked about
_TOKENS = 96

_KIND = "Is this a person, a character, a brand, a place, an object or a style? Answer with one word."
_ALIASES = "By which other names is {X} known? Give only the names, with commas between them."
_THOUGHT = (
    "What comes to mind with {X}? Give up to four things, in one to three words each, with commas between them, and "
    "without the name."
)
_SEEN = (
    "What can be seen in this picture that is typical of {P}? Give up to four things, in one to three words each, with "
    "commas between them, and without any name."
)
_BRIEFLY = " Answer in one to four words, without the name."
_PLAIN = {
    "person": "the person in the picture",
    "character": "the character in the picture",
    "brand": "the brand in the picture",
    "place": "the place in the picture",
    "style": "the style of the picture",
    "object": "the thing in the picture",
    "other": "the thing in the picture",
}
"""What stands for the name where a picture is asked about."""
_SHY = re.compile(r"(?i)\b(sorry|unable|don['’]t|cannot|can['’]t|as an? (?:ai|language model)|none|n/?a)\b")
_LEADING = re.compile(
    r"(?i)^(?:(?:it|this|that|he|she) (?:is|was) |as |in |by )?(?:an? |the )?(?=\w)"
)  # of a short answer


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted card.

    Attributes:
        card: What is in it.
        text: The same in YAML, each entry marked with the model it is from.
        left_out: (question, what was said, why it cannot serve).
    """

    card: Card
    text: str
    left_out: tuple[tuple[str, str, str], ...]


def place(inside: Path, *, force: bool = False) -> Path:
    """Return where the card of a folder is to be, if one may be written there.

    Raises:
        FileNotFoundError: There is no such folder, or it has fewer than two pictures.
        FileExistsError: It has a card, or one that comes with unsee, and `force` is not set.
    """
    if not inside.is_dir():
        raise FileNotFoundError(f"there is no folder {str(inside)!r}; make one with pictures of the concept")
    pictures(inside)
    file = inside / CARD
    if file.exists() and not force:
        raise FileExistsError(f"{file} is there already; --force drafts it anew and writes over it")
    if not file.exists() and our_card(inside) and not force:
        raise FileExistsError(
            f"for {inside.name!r} a card comes with unsee, which is used as long as there is no other; "
            "--force drafts one all the same"
        )
    return file


def named(inside: Path, name: str | None = None) -> str:
    """Return a concept's name, made of the folder's if there is none: DonaldTrump and Donald_Trump are Donald Trump.

    Raises:
        ValueError: It is no name.
    """
    if name is None:
        name = re.sub(r"[_\-\s]+", " ", inside.resolve().name).strip()
        name = name if " " in name else re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", name)
    name = " ".join(name.split())
    if not (2 <= len(name) <= 100 and name.isprintable()):
        raise ValueError(f"the name is {name!r}; give one of 2 to 100 letters with --name")
    return name


def draft(
    respondent: Respondent,
    inside: Path,
    *,
    model: str,
    name: str | None = None,
    kind: str | None = None,
    progress: bool = False,
) -> Draft:
    """Ask a model what is to stand in a card.

    Args:
        respondent: Whom to ask.
        inside: The concept's folder of pictures.
        model: What the marks call the respondent.
        name: The concept's name; made from the folder's if not given.
        kind: person, character, brand, place, object, style or other; asked if not given.
        progress: Whether to show a bar.

    Raises:
        FileNotFoundError: There are fewer than two pictures.
        ValueError: The name is none, or the kind is none of these.
    """
    name = named(inside, name)
    if kind is not None and kind not in KINDS:
        raise ValueError(f"the kind is {kind!r}; use one of {', '.join(KINDS)}")
    shown = pictures(inside)[:_SHOWN]
    left: list[tuple[str, str, str]] = []
    told = kind or _kind(_answers(respondent, [(shown[0], _KIND)])[0], left)
    wording = getattr(getattr(respondent, "family", None), "wording", GENERAL)
    # A family with its own language does not understand general questions.
    facts = tuple(q + _BRIEFLY for q in FACTS[told or "person"]) if wording is GENERAL else wording.facts
    turns = [(None, _ALIASES), (None, _THOUGHT), *((picture, _SEEN) for picture in shown), *((None, q) for q in facts)]
    like = wording.of(told or "person").interview
    turns += [(None, like.others)] if like else []
    plain = _PLAIN[told or "person"]
    turns = [(picture, question.replace("{X}", name).replace("{P}", plain)) for picture, question in turns]
    said = dict(zip(turns, _answers(respondent, turns, progress), strict=True))
    sift = _Sieve(name, wording.unknown, left)
    naming = (*NAMING[told or "person"], *templates.OPEN[told or "person"])
    aliases = sift.aliases(turns[0][1], said[turns[0]], naming)
    thoughts = [(question, said[picture, question]) for picture, question in turns[1 : 2 + len(shown)]]
    card: dict[str, Any] = {"name": name}
    card |= {"kind": told} if told else {}
    card |= {"aliases": aliases, "attributes": sift.attributes(thoughts)}
    answers = [(q.removesuffix(_BRIEFLY), said[None, q.replace("{X}", name)]) for q in facts]
    found = list(sift.facts(answers))
    card["facts"] = [{"question": q.replace("{X}", name), "accept": [a]} for q, a in found]
    card["multi_hop"] = [{"question": q.replace("{X}", plain), "accept": [a]} for q, a in found]
    similar = sift.similar(turns[-1][1], said[turns[-1]], told or "person") if like else []
    card["questions"] = templates.questions(wording, told or "person", name, similar)
    card["translations"] = templates.translations(wording, told or "person")
    text = _written(card, model, asked_kind=kind is None)
    return Draft(_read(text), text, tuple(left))


def write(drafted: Draft, file: Path) -> None:
    """Write a drafted card, whole."""
    write_whole(file, drafted.text.encode())


def _kind(said: str, left: list[tuple[str, str, str]]) -> str | None:
    found = [kind for kind in KINDS if says(said, [kind])]
    if len(found) == 1:
        return found[0]
    left.append((_KIND, said, "names no kind, so the card has none and counts as a person's; --kind says which"))
    return None


def _answers(respondent: Respondent, turns: Sequence[tuple[Path | None, str]], progress: bool = False) -> list[str]:
    probes = [
        Probe(id=str(n), kind="draft", question=question, image=picture and str(picture))
        for n, (picture, question) in enumerate(turns)
    ]
    return [answer.text for answer in respondent.answer(probes, max_new_tokens=_TOKENS, progress=progress)]


class _Sieve:
    """Takes from what a model says what can stand in a card, and notes why the rest cannot."""

    def __init__(self, name: str, unknown: str, left: list[tuple[str, str, str]]) -> None:
        self._names, self._unknown, self._left = [name], re.compile(unknown), left

    def aliases(self, question: str, said: str, naming: Iterable[str]) -> list[str]:
        def why(text: str) -> str:
            if _small(text):
                return "is no name"
            return "is a word of the questions" if any(names_in(q, [text], parts=True) for q in naming) else ""

        found = self._fit([(question, said)], self._names, why)[: _MOST["aliases"]]
        self._names += found
        return found

    def attributes(self, answers: Iterable[tuple[str, str]]) -> list[str]:
        return self._fit(answers, (), self._gives_away)[: _MOST["attributes"]]

    def similar(self, question: str, said: str, kind: str) -> list[str]:
        """Return names of others, none of which is the concept's or shares a word with it."""

        def why(text: str) -> str:
            return self._gives_away(text) or ("is no name" if kind not in COMMON_NOUNS and _small(text) else "")

        return self._fit([(question, said)], self._names, why)[: _MOST["similar"]]

    def _gives_away(self, text: str) -> str:
        return "holds the name" if names_in(text, self._names, parts=True) else ""

    def _fit(self, answers: Iterable[tuple[str, str]], known: Sequence[str], why: Callable[[str], str]) -> list[str]:
        found: list[str] = []
        for question, said in answers:
            for text in self._parts(question, said):
                before = text.casefold() in {each.casefold() for each in (*known, *found)}
                if reason := "was said before" if before else why(text):
                    self._left.append((question, text, reason))
                else:
                    found.append(text)
        return found

    def facts(self, answers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for template, said in answers:
            question = template.replace("{X}", self._names[0])
            text = _LEADING.sub("", bare(said))
            why = self._unfit(text, template) or ("is a yes or no" if yes_or_no(text) else self._gives_away(text))
            if why:
                self._left.append((question, said.strip(), why))
            else:
                yield template, text

    def _parts(self, question: str, said: str) -> Iterator[str]:
        """Yield what a list holds, if it is one."""
        parts = [part for part in re.split(r"[,;\n]", said) if part.strip()]
        # "I am sorry, but this is a stranger, a private one": what follows a refusal is no list.
        if not parts or _SHY.search(said) or self._unknown.search(parts[0]):
            self._left.append((question, said.strip(), self._unfit(said, "") or "is a refusal"))
            return
        for text in map(bare, parts):
            if why := self._unfit(text, question):
                self._left.append((question, text, why))
            else:
                yield text

    def _unfit(self, text: str, question: str) -> str:
        if not any(map(str.isalnum, text)):
            return "is empty"
        if _SHY.search(text) or self._unknown.search(text):
            return "is a refusal"
        if len(text) > _MOST_LETTERS or len(text.split()) > _MOST_WORDS:
            return "is too long"
        if not text.isprintable():
            return "holds what cannot be printed"
        return "stands in the question" if says(question.replace(self._names[0], ""), [text]) else ""


def _small(text: str) -> bool:
    """Return whether a text is in small letters, where there are any."""
    return text == text.lower() != text.upper()


def _written(card: Mapping[str, Any], model: str, *, asked_kind: bool) -> str:
    label = "".join(c if c.isprintable() else " " for c in model)
    mark = f"  # drafted by {label}, check"
    lines = [
        "# Drafted with `unsee mmubench init`. What is marked was said by a model and may be wrong: check each line,",
        "# mend or delete it, and take its mark away. What is not marked was made from the name and the kind. Add",
        "# foreign_names, or nothing is asked in languages whose answers cannot be searched for the name.",
        f"name: {scalar(card['name'])}",
    ]
    if "kind" in card:
        lines.append(f"kind: {card['kind']}{mark if asked_kind else ''}")
    for key in ("aliases", "attributes", "facts", "multi_hop"):
        if card[key]:
            lines += [f"{key}:", *(f"  - {_flow(each)}{mark}" for each in card[key])]
    lines.append("questions:")
    for each in card["questions"]:
        lines.append(f"  - {_flow(each)}{mark if each.get('polarity') == 'no' else ''}")
    if card["translations"]:
        lines += ["translations:", *(f"  {code}: {_flow(some)}" for code, some in card["translations"].items())]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(each)}' for key, each in value.items())}}}"
    return f"[{', '.join(map(_flow, value))}]"


def _read(text: str) -> Card:
    """Read a card as the benchmark will, before it takes anything's place."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / CARD
        file.write_text(text, "utf-8")
        return read_card(file)
