"""Read the JSON files that the SIU paper's authors released: training conversations, and prompts for evaluation.

Source: the supplement of Li et al. 2024. Four shapes of rows are known, each told by its fields:

- `{"id", "conversations", "image"?, "target_phrase"?}`: a turn to train on, with the words of the answer that
  contradict what the model knows ("none" where there are none);
- `{"prompt", "target"}`: a question for EM, with the key word that a model which knows would say;
- `{"imgid", "prompt"}`: a multi-hop question about a picture of its own;
- `{"prompt"}`: a question in another language, or for membership inference.

Paths in these files are of the authors' machine, so pictures are looked up by name in a folder of yours. What the
commands make of them: `request` (`unsee request import`) and `unsee.mmubench.imported` (`unsee mmubench import`).
"""

from __future__ import annotations

import itertools
import json
import os
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from unsee.judge import names_in, says, yes_or_no
from unsee.records import Concept, Example, Probe, Request

_IMAGE = "<image>"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question of a file: its row, counted from 1, its key word without spaces around it, and its own picture."""

    row: int
    text: str
    key: str | None
    shown: str | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is as it should be, and cannot be carried over."""

    file: str
    row: int
    field: str
    why: str


def told(left: Iterable[LeftOut]) -> list[str]:
    """Say what was left out, rows with the same reason together."""
    rows: dict[tuple[str, str, str], list[int]] = {}
    for each in left:
        rows.setdefault((each.file, each.field, each.why), []).append(each.row)
    said = []
    for (file, field, why), some in rows.items():
        runs = [
            [row for _, row in run] for _, run in itertools.groupby(enumerate(some), lambda each: each[1] - each[0])
        ]
        spans = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
        said.append(f"{file}, row{'s' * (len(some) > 1)} {spans}, field {field!r}: {why}")
    return said


def examples(
    path: str | os.PathLike[str], names: Sequence[str], *, pictures: str | os.PathLike[str] | None = None
) -> tuple[Example, ...]:
    """Read training conversations as examples.

    The files do not say which of the paper's four targets a row belongs to. It follows from what they hold: of turns
    with a picture, those whose whole answer contradicts are `redescribe` and all others `align`; of turns without one,
    those about the concept are `decouple` and all others `preserve`. Rows without `target_phrase` (of the baselines)
    have no contradicting spans; those with a picture that ask about somebody else by name are `preserve` too.

    Args:
        path: The file.
        names: The concept's name and aliases, as the file spells them.
        pictures: A folder with the pictures; needed if a row has one.

    Raises:
        ValueError: The file is no such file; the message has the row, counted from 1, and the field.
        FileNotFoundError: A picture is not in the folder.
    """
    file = Path(path)
    return tuple(_example(file, number, row, names, pictures) for number, row in _rows(file))


def request(
    path: str | os.PathLike[str], concept: Concept, *, pictures: str | os.PathLike[str] | None = None
) -> tuple[Request, tuple[Example, ...], tuple[LeftOut, ...]]:
    """Read training conversations as a request with fixed examples, as a request file holds them.

    A request file shows one picture, so rows about another than the first are left out. What the answers that say who
    it is all say instead, if it is one name, is the request's replacement.

    Args:
        path: The file.
        concept: Whom it is about, with the names that the file has for it.
        pictures: A folder with the pictures.

    Raises:
        ValueError: As `examples`; no row has a picture; or an answer tells the name, which the request would teach.
        FileNotFoundError: As `examples`.
    """
    file, found = Path(path), examples(path, concept.names, pictures=pictures)
    shown = next((example for example in found if example.image is not None), None)
    if shown is None:
        raise ValueError(f"{file.name} has no row with a picture, and a request needs one")
    kept, left = [], []
    for number, example in enumerate(found, 1):
        if example.target == "align" and says(example.answer, concept.names) and yes_or_no(example.answer) != "no":
            raise ValueError(
                f"{file.name}, row {number}, field 'conversations': the answer {reprlib.repr(example.answer)} says who "
                "it is; a request's examples are learnt, so this file would teach it. It is one for gradient ascent: "
                "`unsee forget --method ga` asks the model for such answers by itself"
            )
        if example.image is not None and example.picture != shown.picture:
            why = f"is another picture than {shown.picture!r}, and a request file shows one"
            left.append(LeftOut(file.name, number, "image", why))
        else:
            kept.append(example)
    instead = {e.answer[a:b] for e in kept if e.target == "align" for a, b in e.contradicts}
    wish = Request(concept, (shown.image,), replacement=instead.pop() if len(instead) == 1 else None)
    return wish, tuple(kept), tuple(left)


def prompts(path: str | os.PathLike[str]) -> tuple[Prompt, ...]:
    """Read prompts as they are.

    Raises:
        ValueError: The file is no such file; the message has the row, counted from 1, and the field.
    """
    file = Path(path)
    return tuple(_prompt(file, number, row) for number, row in _rows(file))


def probes(
    path: str | os.PathLike[str], names: Sequence[str], *, kind: str, pictures: Sequence[str | os.PathLike[str]]
) -> tuple[Probe, ...]:
    """Read prompts as probes. As in the released scripts the pictures take turns, unless a row names its own.

    A key word counts without the spaces around it: with them, as some rows have it, no answer that begins with it
    would match, and the released script calls those forgotten.

    Args:
        path: The file.
        names: The concept's name and aliases; what an answer to a prompt without a key word is not to hold.
        kind: Of all probes; rows with a key word are of the kind "EM" whatever is given, those with a picture
            "multi-hop". For membership inference it is "MIA", and `unsee.metrics.mia.to_score` says what else to ask.
        pictures: Files; the name of each must be unique.

    Raises:
        ValueError: The file is no such file; the message has the row, counted from 1, and the field.
        FileNotFoundError: A row's own picture is not among the pictures.
    """
    file = Path(path)
    if not pictures:
        raise ValueError(f"there are no pictures to ask {file.name} about; give at least one")
    by_name = {Path(picture).name: os.fspath(picture) for picture in pictures}
    if len(by_name) < len(pictures):
        raise ValueError(f"of {len(pictures)} pictures some have the same name; rows name them, so rename or drop some")
    found = []
    for prompt in prompts(file):
        shown, accept, own = os.fspath(pictures[(prompt.row - 1) % len(pictures)]), tuple(names), kind
        if prompt.shown is not None:
            if prompt.shown not in by_name:
                raise FileNotFoundError(
                    f"{file.name}, row {prompt.row}, field 'imgid': there is no picture {prompt.shown!r}"
                )
            # The answers that would be right are not in the file, so nothing can be accepted without a judge.
            shown, accept, own = by_name[prompt.shown], (), "multi-hop"
        elif prompt.key is not None:
            accept, own = (prompt.key,), "EM"
        found.append(
            Probe(
                id=f"{own}/{file.stem}/{prompt.row}",
                kind=own,
                question=prompt.text,
                image=shown,
                picture=Path(shown).name,
                accept=accept,
                concept=names[0] if names else "",
            )
        )
    return tuple(found)


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        data = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}; give a JSON file") from error
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(data, list) or not data:
        raise ValueError(f"{file.name} holds {reprlib.repr(data)}; it should be a list of rows")
    for number, row in enumerate(data, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{file.name}, row {number}: there is {reprlib.repr(row)} instead of a record")
        yield number, row


def _text(file: Path, number: int, row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        said = f"is {reprlib.repr(value)}" if field in row else "is missing"
        raise ValueError(f"{file.name}, row {number}, field {field!r} {said}; it should be a text")
    return value


def _known(file: Path, number: int, row: Mapping[str, Any], fields: set[str]) -> None:
    for field in row.keys() - fields:
        raise ValueError(f"{file.name}, row {number}, field {field!r} is not known; known are {sorted(fields)}")


def _prompt(file: Path, number: int, row: Mapping[str, Any]) -> Prompt:
    if "conversations" in row:
        raise ValueError(
            f"{file.name}, row {number}, field 'conversations': this is a turn to train on, no prompt; "
            "`unsee request import` makes a request file of it"
        )
    text = _text(file, number, row, "prompt")
    key = _text(file, number, row, "target").strip() if "target" in row else None
    shown = _name(_text(file, number, row, "imgid")) if "imgid" in row else None
    _known(file, number, row, {"prompt", "target", "imgid"})
    return Prompt(number, text, key, shown)


def _name(path: str) -> str:
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name


def _example(
    file: Path, number: int, row: Mapping[str, Any], names: Sequence[str], pictures: str | os.PathLike[str] | None
) -> Example:
    if "prompt" in row:
        raise ValueError(
            f"{file.name}, row {number}, field 'prompt': this is a prompt to ask, no turn to train on; "
            "`unsee mmubench import` puts it into a concept's card"
        )
    _known(file, number, row, {"id", "image", "conversations", "target_phrase"})
    where = f"{file.name}, row {number}, field"
    question, answer = _turn(where, row.get("conversations"))
    shown = None
    if "image" in row:
        wanted = _name(_text(file, number, row, "image"))
        if pictures is None:
            raise ValueError(f"{where} 'image' is {wanted!r}; say which folder the pictures are in")
        shown = Path(pictures) / wanted
        if not shown.is_file():
            raise FileNotFoundError(f"{where} 'image': there is no picture {str(shown)!r}")
    elif question.startswith(_IMAGE):
        raise ValueError(f"{where} 'image' is missing, though the question begins with {_IMAGE}")
    question = question.removeprefix(_IMAGE).strip()
    phrase = row.get("target_phrase", "none")
    if not isinstance(phrase, str) or not phrase or (phrase != "none" and phrase not in answer):
        raise ValueError(
            f"{where} 'target_phrase' is {reprlib.repr(phrase)}, which the answer {answer!r} does not hold"
        )
    # The name of a person is often cut to its last word; some of it is enough to be about the concept.
    about = bool(names_in(question, names, parts=True) or names_in(answer, names, parts=True))
    whole = phrase.strip() == answer.strip()
    if shown is None:
        target = "decouple" if about else "preserve"
    elif phrase != "none" or "target_phrase" in row:
        target = "redescribe" if whole else "align"
    else:
        target = "align" if about or not _others(question) else "preserve"
    start = answer.find(phrase)
    return Example(
        question,
        answer,
        target,
        image=None if shown is None else str(shown),
        picture="" if shown is None else shown.name,
        contradicts=() if phrase == "none" else ((start, start + len(phrase)),),
        concept=names[0] if names else "",
    )


def _turn(where: str, said: Any) -> tuple[str, str]:
    told = f"{where} 'conversations'"
    if not isinstance(said, list) or len(said) != 2:
        raise ValueError(f"{told} is {reprlib.repr(said)}; it should be one question and one answer")
    texts = []
    for who, part in zip(("human", "gpt"), said, strict=True):
        if not isinstance(part, dict) or part.get("from") != who:
            raise ValueError(f"{told} holds {reprlib.repr(part)} where {who!r} should speak")
        value = part.get("value")
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{told} has value {reprlib.repr(value)} of {who!r}; it should be a text")
        texts.append(value)
    return texts[0], texts[1]


def _others(question: str) -> bool:
    """Whether a question about a picture names somebody: two words in a row that begin with capitals."""
    words = question.split()[1:]
    return any(a[:1].isupper() and b[:1].isupper() for a, b in itertools.pairwise(words))
