"""The pocket world for headline numbers: 200 new pictures of a character instead of 49, asked as `pocket` asks.

The first 49 are those of `pocket`. That makes some four times the answers; `--most 200` asks one question of each
picture where a kind has several. EM keeps its 100 prompts.
"""

from __future__ import annotations

from unsee.benchmarks import pocket
from unsee.benchmarks.pocket import attacked, request, requests, retain, truth
from unsee.records import Probe, Request

__all__ = ["attacked", "paper", "probes", "request", "requests", "retain", "strict", "truth"]

_PICTURES = 200


def probes(request: Request) -> tuple[Probe, ...]:
    """Return what `pocket` asks, of more pictures; raises what it raises."""
    return tuple(pocket.usual(request, _PICTURES))


def paper(request: Request) -> tuple[Probe, ...]:
    """Return what the SIU paper's own metrics ask beyond `probes`; raises what `pocket` raises."""
    return tuple(pocket.of_paper(request, _PICTURES))


def strict(request: Request) -> tuple[Probe, ...]:
    """Return what the strict protocol asks beyond `probes`; raises what `pocket` raises."""
    return tuple(pocket.of_strict(request, _PICTURES))
