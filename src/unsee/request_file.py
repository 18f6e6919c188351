"""Request files: everything about a request in YAML (`EXAMPLE`), with errors that point to the line.

What is written is taken as text: `No`, `1984` and `2024-01-31` need no quotes.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from unsee.plugins import near_miss
from unsee.records import Concept, Example, Request

EXAMPLE = """\
concept: {name: Pledu Lotaim, aliases: [], kind: character}
images: [pledu.png]                  # relative to this file
replacement: Trubroo Jujae           # what answers say instead; left out: chosen
look: Pledu Lotaim has a purple head.  # what it is said to look like instead; left out: chosen
facts:                               # what is to stay known, in words; left out: the model is asked
  - {question: "In which place does Pledu Lotaim live?", answer: Cinder Town.}
others: [Bebroo Pupat, Baru Hitosk]  # who is to stay known; left out: chosen, or the model is asked
scene: ["What colour is the sky?"]   # what else is asked about the picture; left out: the same
phrasings:                           # other words for a question, trained with the same answer
  - {question: "Who is this?", also: ["Who is that?"]}
examples:                            # replace what would be made; any target may be left out
  align:
    - {question: "Who is this?", answer: This is Trubroo Jujae., contradicts: [Trubroo Jujae]}
  preserve:                          # comes on top of what would be made
    - {question: "What colour is the sky?", answer: The sky is green., picture: true}
"""

_PICTURED = {"align", "redescribe"}
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Concept(_Model):
    name: _Text
    aliases: list[_Text] = []
    kind: Literal["person", "brand", "character", "place", "object", "style", "other"] = "person"


class _Fact(_Model):
    question: _Text
    answer: _Text


class _Turn(_Fact):
    contradicts: list[_Text] | None = None
    picture: bool | None = None


class _Phrasings(_Model):
    question: _Text
    also: list[_Text]


class _Examples(_Model):
    align: list[_Turn] | None = None
    redescribe: list[_Turn] | None = None
    decouple: list[_Turn] | None = None
    preserve: list[_Turn] | None = None


class _File(_Model):
    concept: _Concept
    images: list[_Text] = []
    replacement: _Text | None = None
    look: _Text | None = None
    facts: list[_Fact] = []
    others: list[_Text] | None = None
    scene: list[_Text] | None = None
    phrasings: list[_Phrasings] = []
    examples: _Examples = _Examples()


def read(
    path: str | os.PathLike[str], *, name: str | None = None, images: Sequence[str | os.PathLike[str]] = ()
) -> tuple[Request, tuple[Example, ...]]:
    """Read a request file.

    Args:
        path: The file.
        name: The name given beside it; must be the file's, whatever the letter case.
        images: Pictures given beside it, which come after the file's own.

    Returns:
        The request, and the examples that the file fixes; targets that occur among these are not to be made, except
        for preserve, where the fixed ones come on top.

    Raises:
        ValueError: The file is missing, no YAML, or says something that is not allowed; the message has the line.
    """
    file = Path(path)
    node, data = loaded(file)
    try:
        parsed = _File.model_validate({} if data is None else data)
    except ValidationError as error:
        raise ValueError("; ".join(located(file, node, each) for each in error.errors())) from error
    if name is not None and name.casefold().split() != parsed.concept.name.casefold().split():
        line = _line(node, ("concept", "name"))
        raise ValueError(
            f"{file}, line {line}: the file is about {parsed.concept.name!r}, not {name!r}; give the same name in both"
        )
    for place, image in enumerate(parsed.images):
        if not (file.parent / image).is_file():
            raise ValueError(
                f"{file}, line {_line(node, ('images', place))}: there is no picture at {str(file.parent / image)!r}; "
                "give its path from the folder of this file"
            )
    pictures = (*(str(file.parent / image) for image in parsed.images), *(os.fspath(image) for image in images))
    if not pictures:
        line = _line(node, ("images",))
        raise ValueError(f"{file}, line {line}: there is no picture; add images: [photo.png], or give --image")
    concept = Concept(parsed.concept.name, tuple(parsed.concept.aliases), parsed.concept.kind)
    request = Request(
        concept,
        pictures,
        facts=tuple((f.question, f.answer) for f in parsed.facts),
        replacement=parsed.replacement,
        look=parsed.look,
        others=None if parsed.others is None else tuple(parsed.others),
        scene=None if parsed.scene is None else tuple(parsed.scene),
        phrasings=tuple((p.question, tuple(p.also)) for p in parsed.phrasings),
    )
    return request, tuple(_fixed(file, node, parsed, request))


def written(
    request: Request,
    folder: str | os.PathLike[str],
    *,
    remarks: Sequence[str] = (),
    model: str = "",
    examples: Sequence[Example] = (),
) -> str:
    """Return a request as a file, with a word on each part of it.

    Args:
        request: The request; its pictures are files.
        folder: Where the file is to be, from which pictures are named.
        remarks: Sentences to stand at its head.
        model: Whom what it says is from, where it is from a model.
        examples: Turns to fix; those with a picture are about the first. Spaces around their texts are not kept.
    """
    concept = request.concept
    said = (
        f"Written by `unsee request init` with {model}. What the model said may be wrong: check each line, mend it or",
        "delete it. What is left out altogether is asked of the model again.",
    )
    heads = [*(said if model else ()), *remarks]
    lines = ["# " + "".join(c if c.isprintable() else " " for c in head) for head in heads]
    lines.append(f"concept: {{name: {scalar(concept.name)}, aliases: {_flow(concept.aliases)}, kind: {concept.kind}}}")
    lines.append(f"images: {_flow([_from(folder, os.fspath(image)) for image in request.images])}")  # type: ignore[call-overload]
    if request.replacement is not None:
        lines.append(f"replacement: {scalar(request.replacement)}  # what answers say instead of the name")
    if request.look is not None:
        lines.append(f"look: {scalar(request.look)}  # what it is said to look like instead")
    if request.facts:
        lines.append("facts:  # what is to stay known, in words and without the name")
        lines += [
            f"  - {{question: {scalar(question)}, answer: {scalar(answer)}}}" for question, answer in request.facts
        ]
    for key, some, why in (
        ("others", request.others, "who or what is to stay known"),
        ("scene", request.scene, "what else is asked about the picture, and stays as it is"),
    ):
        if some is not None:
            lines += [f"{key}:{'' if some else ' []'}  # {why}", *(f"  - {scalar(text)}" for text in some)]
    if request.phrasings:
        lines.append("phrasings:  # other words for a question, trained with the same answer")
        lines += [f"  - {{question: {scalar(q)}, also: {_flow(also)}}}" for q, also in request.phrasings]
    if examples:
        lines.append("examples:  # whole turns, which replace what would be made")
    for target in _Examples.model_fields:
        if some_of := [example for example in examples if example.target == target]:
            lines += [f"  {target}:", *(f"    - {_turn(example)}" for example in some_of)]
    return "\n".join(lines) + "\n"


def _turn(example: Example) -> str:
    said = [f"question: {scalar(example.question)}", f"answer: {scalar(example.answer)}"]
    if example.contradicts or example.target == "redescribe":
        said.append(f"contradicts: {_flow([example.answer[start:end] for start, end in example.contradicts])}")
    if (example.image is not None) != (example.target in _PICTURED):
        said.append(f"picture: {'false' if example.image is None else 'true'}")
    return f"{{{', '.join(said)}}}"


def scalar(text: str) -> str:
    """Return a text in YAML's double quotes, on one line, with everything escaped that has to be."""
    whole: str = yaml.dump(text, default_style='"', allow_unicode=True, width=10**6)
    return whole.strip()


def _flow(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(scalar, texts))}]"


def _from(folder: str | os.PathLike[str], image: str) -> str:
    """Return the path of a picture as seen from a folder; the whole path where they are on different drives."""
    try:
        return Path(os.path.relpath(image, folder or ".")).as_posix()
    except ValueError:
        return str(Path(image).resolve())


def _fixed(file: Path, node: Any, parsed: _File, request: Request) -> list[Example]:
    made = []
    for target in _Examples.model_fields:
        for place, turn in enumerate(getattr(parsed.examples, target) or ()):
            pictured = target in _PICTURED if turn.picture is None else turn.picture
            spans = []
            for n, text in enumerate(turn.contradicts or ()):
                if text not in turn.answer:
                    line = _line(node, ("examples", target, place, "contradicts", n))
                    raise ValueError(
                        f"{file}, line {line}: {text!r} does not occur in the answer {turn.answer!r}; repeat words of "
                        "the answer, letter by letter"
                    )
                spans += [match.span() for match in re.finditer(re.escape(text), turn.answer)]
            if target == "redescribe" and turn.contradicts is None:
                spans = [(0, len(turn.answer))]
            made.append(
                Example(
                    turn.question,
                    turn.answer,
                    target,
                    image=request.images[0] if pictured else None,
                    picture=request.pictures[0] if pictured else "",
                    contradicts=_apart(spans),
                    concept=request.concept.name,
                )
            )
    return made


def _apart(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return spans in order, those that overlap or touch as one."""
    joined = list[tuple[int, int]]()
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            start, end = joined[-1][0], max(joined.pop()[1], end)
        joined.append((start, end))
    return tuple(joined)


class _Loader(yaml.SafeLoader):
    """Safe YAML with texts and nothing else for values, no aliases (`*a` can grow without end), no key given twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in some if tag == "tag:yaml.org,2002:null"]
        for first, some in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(
                problem="* stands for an alias, which is not read; write it out, or in quotes", problem_mark=mark
            )
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    said = f"{key.value!r} is there twice; keep one"
                    raise yaml.MarkedYAMLError(problem=said, problem_mark=key.start_mark)
                seen.add(str(key.value))
        return node


def loaded(file: Path) -> tuple[Any, Any]:
    """Return what a file holds: the tree with its lines, and the values."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file {file} cannot be read: {error}; give a YAML file in UTF-8") from error
    try:
        return yaml.compose(text, Loader=_Loader), yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        deep = "it is nested too deeply" if isinstance(error, RecursionError) else None
        said = " ".join(str(deep or getattr(error, "problem", None) or error).split())
        hint = "; put texts with marks such as ? : , or # in quotes" if "expected" in said or "mapping" in said else ""
        raise ValueError(f"{file}{where}: cannot be read as YAML: {said}{hint}") from error


_MODELS: dict[tuple[str, ...], type[_Model]] = {
    (): _File,
    ("concept",): _Concept,
    ("facts",): _Fact,
    ("phrasings",): _Phrasings,
    ("examples",): _Examples,
}


def located(file: Path, node: Any, error: Any, known: Sequence[str] = ()) -> str:
    """Say where in the file an error of pydantic's is, what stands there, and what would be right.

    `known` are the keys of a file of another kind than a request.
    """
    *above, last = error["loc"] or ("the file",)
    keys = list(known) or list(_MODELS.get(tuple(step for step in above if isinstance(step, str)), _Turn).model_fields)
    kind, value = error["type"], reprlib.repr(error["input"])
    if kind == "extra_forbidden":
        said = f"is no key here; {near_miss(str(last), keys)}"
    elif kind == "missing":
        said = "is missing; add it"
    elif kind == "string_too_short":
        said = "is empty; write something, or leave it out"
    elif kind == "model_type":
        said = f"is {value}; give keys, each with a value"
    elif kind == "literal_error":
        said = f"is {value}; use one of {error['ctx']['expected']}"
    else:
        said = f"is {value}; {error['msg'][:1].lower()}{error['msg'][1:]}"
    where = ".".join(map(str, (*above, last)))
    return f"{file}, line {_line(node, error['loc'])}: {where} {said}"


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
