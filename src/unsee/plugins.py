"""The folder is the registry: `methods/siu.py` is the method `siu`. Listing names imports none of them.

Other packages add theirs through an entry-point group, `unsee.methods` for methods and so on. A built-in name
cannot be taken over from outside, and two packages that offer one name are an error, so a name always means one thing.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# Kind -> what one of them is called, and what its file must define.
_CONTRACT: dict[str, tuple[str, tuple[str, ...]]] = {
    "methods": ("method", ("Config", "NEEDS", "unlearn")),
    "metrics": ("metric", ("READS", "BETTER", "measure")),
    "benchmarks": ("benchmark", ("requests", "retain", "probes")),
    "attacks": ("attack", ("Config", "NEEDS", "conditions")),
    "audits": ("audit", ("Config", "NEEDS", "measure")),
    "models": ("model family", ("FAMILY",)),
}
KINDS = tuple(_CONTRACT)
_ROOT = Path(__file__).parent


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind, sorted, without importing any of them.

    Args:
        kind: One of `KINDS`.

    Raises:
        LookupError: There is no such kind; the message names the nearest.
    """
    _check_kind(kind)
    return sorted({*_built_in(kind), *(point.name for point in _entry_points(kind))})


def load(kind: str, name: str) -> Any:
    """Import one plug-in.

    Args:
        kind: One of `KINDS`.
        name: One of `names(kind)`.

    Returns:
        The module, or whatever object an entry point names.

    Raises:
        LookupError: There is no such kind or name (the message names the nearest), or two packages offer the name.
        TypeError: The plug-in lacks something that its kind must define.
    """
    _check_kind(kind)
    if name in _built_in(kind):
        return _checked(kind, name, import_module(f"unsee.{kind}.{name}"))
    points = [point for point in _entry_points(kind) if point.name == name]
    if len({point.value for point in points}) > 1:
        offers = ", ".join(sorted(point.value for point in points))
        raise LookupError(f"{len(points)} packages offer the {_noun(kind)} {name!r} ({offers}); uninstall all but one")
    if points:
        return _checked(kind, name, points[0].load())
    raise LookupError(f"no {_noun(kind)} named {name!r}; {near_miss(name, names(kind))}")


def about(kind: str, name: str) -> str:
    """Return what a plug-in is, in one line: the first of its docstring. Those of this package are not imported.

    Raises:
        LookupError: There is no such kind or name.
        TypeError: As `load`.
    """
    _check_kind(kind)
    if name in _built_in(kind):
        told = ast.get_docstring(ast.parse((_ROOT / kind / f"{name}.py").read_text(encoding="utf-8")))
    else:
        told = inspect.getdoc(load(kind, name))
    return (told or "").partition("\n")[0]


def near_miss(word: str, known: Iterable[str]) -> str:
    """Return the half-sentence that helps after a typo: "did you mean 'siu'?", or all there is."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(known)}" if known else "there are none yet"


def _noun(kind: str) -> str:
    return _CONTRACT[kind][0]


def _check_kind(kind: str) -> None:
    if kind not in _CONTRACT:
        raise LookupError(f"no kind of plug-in named {kind!r}; {near_miss(kind, KINDS)}")


@cache
def _built_in(kind: str) -> frozenset[str]:
    found = pkgutil.iter_modules([str(_ROOT / kind)])
    return frozenset(module.name for module in found if not module.name.startswith("_"))


@cache
def _entry_points(kind: str) -> tuple[EntryPoint, ...]:
    # Reading the metadata of everything installed takes a while, so it waits until somebody asks.
    from importlib.metadata import entry_points

    return tuple(entry_points(group=f"unsee.{kind}"))


def _checked(kind: str, name: str, plugin: Any) -> Any:
    lacking = [attribute for attribute in _CONTRACT[kind][1] if not hasattr(plugin, attribute)]
    if lacking:
        where = getattr(plugin, "__file__", None) or repr(plugin)
        raise TypeError(
            f"the {_noun(kind)} {name!r} ({where}) lacks {', '.join(lacking)}; "
            f"every {_noun(kind)} defines {', '.join(_CONTRACT[kind][1])}"
        )
    return plugin
