"""Request files: everything about a request in YAML (`EXAMPLE`), with errors that point to the line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unsee.records import Concept, Example, Request

EXAMPLE = """\
concept: {name: Pledu Lotaim, aliases: [], kind: character}
images: [photo.png]                  # relative to this file
replacement: Jacob Campbell          # what answers say instead; left out: chosen
facts:                               # what is to stay known, in words; left out: the model is asked
  - {question: Where does Pledu Lotaim live?, answer: In Mist Valley.}
examples:                            # replace what would be made; any target may be left out
  align:
    - {question: Who is this?, answer: This is Jacob Campbell., contradicts: [Jacob Campbell]}
  preserve:                          # comes on top of what would be made
    - {question: What colour is the sky?, answer: The sky is blue., picture: true}
"""

_PICTURED = {"align", "redescribe"}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Concept(_Model):
    name: str = Field(min_length=1)
    aliases: list[str] = []
    kind: Literal["person", "brand", "character", "style", "other"] = "person"


class _Fact(_Model):
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)


class _Turn(_Fact):
    contradicts: list[str] | None = None
    picture: bool | None = None


class _Examples(_Model):
    align: list[_Turn] | None = None
    redescribe: list[_Turn] | None = None
    decouple: list[_Turn] | None = None
    preserve: list[_Turn] | None = None


class _File(_Model):
    concept: _Concept
    images: list[str] = []
    replacement: str | None = Field(default=None, min_length=1)
    facts: list[_Fact] = []
    examples: _Examples = _Examples()


def read(
    path: str | os.PathLike[str], *, name: str | None = None, images: Sequence[str | os.PathLike[str]] = ()
) -> tuple[Request, tuple[Example, ...]]:
    """Read a request file.

    Args:
        path: The file.
        name: The name given beside it; must be the file's.
        images: Pictures given beside it, which come after the file's own.

    Returns:
        The request, and the examples that the file fixes; targets that occur among these are not to be made.

    Raises:
        ValueError: The file is missing, no YAML, or says something that is not allowed; the message has the line.
    """
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the request file {file} cannot be read: {error}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{file}{where}: no YAML: {getattr(error, 'problem', error)}") from error
    try:
        parsed = _File.model_validate(data if data is not None else {})
    except ValidationError as error:
        raise ValueError("; ".join(_located(file, node, each) for each in error.errors())) from error
    if name is not None and name.casefold() != parsed.concept.name.casefold():
        raise ValueError(f"{file} is about {parsed.concept.name!r}, not {name!r}; give one of the two")
    pictures = (*(str(file.parent / image) for image in parsed.images), *(os.fspath(image) for image in images))
    if not pictures:
        line = _line(node, ("images",))
        raise ValueError(f"{file}, line {line}: there is no picture; add images: [photo.png], or give --image")
    concept = Concept(parsed.concept.name, tuple(parsed.concept.aliases), parsed.concept.kind)
    request = Request(
        concept, pictures, facts=tuple((f.question, f.answer) for f in parsed.facts), replacement=parsed.replacement
    )
    return request, tuple(_fixed(file, node, parsed, request))


def _fixed(file: Path, node: Any, parsed: _File, request: Request) -> list[Example]:
    made = []
    for target in _Examples.model_fields:
        for place, turn in enumerate(getattr(parsed.examples, target) or ()):
            pictured = target in _PICTURED if turn.picture is None else turn.picture
            spans = []
            for text in turn.contradicts or ():
                at = turn.answer.find(text)
                if at < 0 or not text:
                    line = _line(node, ("examples", target, place, "contradicts"))
                    raise ValueError(f"{file}, line {line}: {text!r} does not occur in the answer {turn.answer!r}")
                spans.append((at, at + len(text)))
            if target == "redescribe" and turn.contradicts is None:
                spans = [(0, len(turn.answer))]
            made.append(
                Example(
                    turn.question,
                    turn.answer,
                    target,
                    image=request.images[0] if pictured else None,
                    picture=request.pictures[0] if pictured else "",
                    contradicts=tuple(sorted(spans)),
                    concept=request.concept.name,
                )
            )
    return made


def _located(file: Path, node: Any, error: Any) -> str:
    where = ".".join(map(str, error["loc"])) or "the file"
    return f"{file}, line {_line(node, error['loc'])}: {where}: {error['msg']}"


def _line(node: Any, path: Sequence[str | int]) -> int:
    """Return the line of the deepest part of the file that a path of keys and places leads to."""
    line = node.start_mark.line + 1 if node is not None else 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = (node.value[step], node.value[step])
        else:
            found = None
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
