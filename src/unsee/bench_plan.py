"""Plan files: what a bench compares, on whom and how often, in YAML (`EXAMPLE`), with errors that point to the line."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from unsee.bench import is_anchor
from unsee.request_file import loaded, located

EXAMPLE = """\
split: bench              # or selection: four characters to choose settings on, which no result is reported of
seeds: 3                  # 0, 1 and 2
most: 24                  # probes of each kind; left out: all
variants:                 # name: method and settings; differences are to the first
  siu: {method: siu}
  po, as the paper: {method: po, paper: true}
  po, slow: {method: po, learning_rate: 0.0003, steps: 15}
grid:                     # a variant for each combination
  - {method: [po, ga], learning_rate: [0.0003, 0.0007], steps: [6, 15]}
  - {name: no KL, method: siu, beta: 0, steps: [6, 15]}     # "no KL, steps 6" and "no KL, steps 15"
"""


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Literal["bench", "selection"] = "bench"
    seeds: Annotated[int, Field(ge=1)] = 1
    most: Annotated[int, Field(ge=1)] | None = None
    variants: dict[str, dict[str, str]] = {}
    grid: list[dict[str, Annotated[list[str], BeforeValidator(_listed)]]] = []


@dataclass(frozen=True, slots=True)
class Plan:
    """What a bench compares.

    Attributes:
        split: "bench", the characters that results are of, or "selection", those that settings are chosen on.
        seeds: How many seeds per character.
        most: Probes of each kind; None asks all.
        variants: Name -> method and the settings in which it differs from the recommended ones.
    """

    split: str
    seeds: int
    most: int | None
    variants: Mapping[str, tuple[str, Mapping[str, Any]]]


def read(path: str | os.PathLike[str], settings: Callable[[str, tuple[str, ...], bool], Mapping[str, Any]]) -> Plan:
    """Read a plan file.

    Args:
        path: The file.
        settings: Makes settings of a method's name, `key=value` texts, and whether to start from the paper's.

    Raises:
        ValueError: The file is missing, no YAML, or says something that is not allowed; the message has the place.
    """
    file = Path(path)
    node, data = loaded(file)
    try:
        parsed = _File.model_validate({} if data is None else data)
    except ValidationError as error:
        raise ValueError(
            "; ".join(located(file, node, each, list(_File.model_fields)) for each in error.errors())
        ) from error
    told = dict(parsed.variants)
    for some in parsed.grid:
        for values in itertools.product(*some.values()):
            each = dict(zip(some, values, strict=True))
            called = each.pop("name", None)  # says what all have in common, so only what varies is added
            theirs = ["as the paper"] if each.get("paper") == "true" and not called else []
            telling = [key for key in each if key not in ("method", "paper") and (not called or len(some[key]) > 1)]
            name = ", ".join([called or each.get("method", ""), *theirs, *(f"{key} {each[key]}" for key in telling)])
            if name in told:
                raise ValueError(f"{file}: the grid and the variants both hold {name!r}; keep one")
            told[name] = each
    if not told:
        raise ValueError(f"{file}: there is nothing to compare; add variants: {{siu: {{method: siu}}}}")
    variants = {}
    for name, given in told.items():
        if is_anchor(name):
            raise ValueError(f"{file}: no variant can be called {name!r}, which all are compared with; rename it")
        own = dict(given)
        method, paper = own.pop("method", None), own.pop("paper", "false")
        if method is None:
            raise ValueError(f"{file}: variant {name!r} has no method; add method: siu")
        if paper not in ("true", "false"):
            raise ValueError(f"{file}: variant {name!r} has paper: {paper}; write true or false")
        if "seed" in own:
            raise ValueError(f"{file}: variant {name!r} has a seed; seeds: 3 takes the seeds 0, 1 and 2")
        try:
            variants[name] = (method, settings(method, tuple(f"{k}={v}" for k, v in own.items()), paper == "true"))
        except (ValueError, LookupError) as error:
            raise ValueError(f"{file}: variant {name!r}: {error}") from error
    return Plan(parsed.split, parsed.seeds, parsed.most, variants)
