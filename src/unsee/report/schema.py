"""The page for machines: what stands on it, checked and written as JSON. `page.schema.json` describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = Path(__file__).with_name("page.schema.json")
"""The JSON Schema of both sorts of page, made from the classes here by `python -m unsee.report.schema`."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Estimate(_Part):
    """A number with its interval, and how many observations it is of; null is what was not measured."""

    value: float | None
    low: float | None
    high: float | None
    n: int = Field(ge=0)


class Row(_Part):
    """A metric under every condition, or of every subject of a comparison."""

    group: str
    metric: str
    name: str
    better: Literal["lower", "higher"] | None
    unit: str
    note: str | None
    estimates: dict[str, Estimate]


class Verdict(_Part):
    """A sentence, the numbers behind it, and whether it is good news; null where that cannot be said."""

    text: str
    numbers: str
    good: bool | None


class Overall(_Part):
    """What everything comes to, by which bounds, and what stands against calling it good."""

    good: bool | None
    text: str
    against: list[str]
    attacks: str
    bounds: str


class Said(_Part):
    """An answer, whether it is as it should be after forgetting, and what it does, in a word."""

    text: str
    good: bool | None
    mark: str


class Turn(_Part):
    """A question and its answers by condition."""

    kind: str
    question: str
    answers: dict[str, Said]


class Picture(_Part):
    """A picture that was asked about; `shown` says whether it is on the page."""

    title: str
    caption: str
    state: Literal["named", "hinted", "clear", "right", "wrong", ""]
    shown: bool
    asked: list[Turn]


class Gallery(_Part):
    """Pictures of the concept, or of others."""

    title: Literal["concept", "others"]
    note: str
    pictures: list[Picture]


class Condition(_Part):
    """What one attacked setting did, by subject."""

    name: str
    level: float
    valid: bool | None
    leaks: dict[str, Estimate]
    recovery: dict[str, Estimate]
    named: dict[str, Estimate]


class Attack(_Part):
    """What an attack did in all its settings."""

    name: str
    verdict: str
    good: bool | None
    conditions: list[Condition]


class Seen(_Part):
    """What an audit tells of one thing, by subject."""

    name: str
    estimates: dict[str, Estimate]


class Audit(_Part):
    """What only the inside of a model shows."""

    name: str
    rows: list[Seen]


class Example(_Part):
    """One supervised turn; `contradicts` are offsets in characters of the answer."""

    target: str
    question: str
    answer: str
    picture: str
    contradicts: list[list[int]]


class Told(_Part):
    """What can be done, and the command that does it."""

    what: str
    command: str


class Evidence(_Part):
    """The evidence on one run."""

    schema_: Literal["unsee evidence 1"] = Field(alias="schema")
    concept: str
    aliases: list[str]
    kind: str
    replacement: str | None
    redacted: bool
    method: str
    model: str
    oracle: str | None
    seconds: float
    date: str
    seed: int | None
    overall: Overall | None
    verdicts: list[Verdict]
    rows: list[Row]
    galleries: list[Gallery]
    attacks: list[Attack]
    audits: list[Audit]
    to_come: list[Told]
    examples: list[Example]
    losses: list[dict[str, float | None]]
    warnings: list[str]
    config: dict[str, Any]
    versions: dict[str, str]
    hashes: dict[str, str]
    undo: list[Told]
    command: str
    model_index: list[dict[str, Any]]


class Subject(_Part):
    """One of what is compared.

    `against` says what stands against the first tier of the strict protocol, "stops naming", and `further` what stands
    against "forgot" besides. `known` says whether anything that stands against the next tier is known to be bad, rather
    than not known to be good. All three are null where nobody asked.
    """

    name: str
    about: dict[str, str]
    against: list[str] | None
    further: list[str] | None
    known: bool | None


class Point(_Part):
    """A place on a curve."""

    x: float
    estimate: Estimate


class Curve(_Part):
    """How a metric changes with a setting: a line for each name."""

    setting: str
    metric: str
    lines: dict[str, list[Point]]


class Comparison(_Part):
    """The evidence on several runs, or on a bench."""

    schema_: Literal["unsee comparison 1"] = Field(alias="schema")
    title: str
    redacted: bool
    subjects: list[Subject]
    bounds: str
    warnings: list[str]
    rows: list[Row]
    anchored: list[Row]
    curves: list[Curve]
    remarks: list[str]
    versions: dict[str, str]
    command: str


def written(facts: Mapping[str, Any]) -> str:
    """Return facts as JSON, with pictures told of but left out.

    Raises:
        ValueError: They are not what a page is made of.
    """
    kind: type[_Part] = Comparison if facts["schema"] == "unsee comparison 1" else Evidence
    plain = dict(facts)
    if "galleries" in plain:
        plain["galleries"] = [
            {**gallery, "pictures": [_without_data(picture) for picture in gallery["pictures"]]}
            for gallery in plain["galleries"]
        ]
    return kind.model_validate(plain).model_dump_json(by_alias=True, indent=1) + "\n"


def _without_data(picture: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in picture.items() if k != "data"} | {"shown": picture["data"] is not None}


def schema() -> str:
    """Return the JSON Schema of a page's twin, which is one of the two."""
    from pydantic.json_schema import models_json_schema

    refs, whole = models_json_schema([(Evidence, "validation"), (Comparison, "validation")], by_alias=True)
    either = [refs[kind, "validation"] for kind in (Evidence, Comparison)]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "unsee page"}
    return json.dumps({**head, "anyOf": either, "$defs": whole["$defs"]}, indent=1) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
