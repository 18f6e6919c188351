"""Diversity: how many different words the answers about the concept's pictures have.

Source: Li et al. 2024, section 5: "unique words in all generated output", as a share here, so that it does not grow
with the number of questions (`all answers`; Li et al. 2016, distinct-1, and `pairs`, distinct-2). The released script
takes the share within each answer and the mean of those (`released`), so answers of one word each, all the same,
reach 1. From 0 to 1. Words are cut at spaces, and letter case does not count. Only values for the same questions
compare, and short answers of one form have few different words by nature.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = ("generality", "held-out phrasing", "description")
SHOWN = {
    "diversity: released": "diversity as the released script has it",
    "diversity: all answers": "diversity of all answers",
    "diversity: pairs": "the same, of pairs of words",
}
BETTER = "higher"
GROUP = "paper"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return three shares; the two that are of all answers together have no interval."""
    words = [(a.text.lower().split(), a.probe.cluster) for a in after if a.probe.kind in READS]
    pairs = [pair for some, _ in words for pair in itertools.pairwise(some)]
    return {
        "diversity: released": mean_of([(len({*some}) / len(some) if some else 0.0, c) for some, c in words]),
        "diversity: all answers": _distinct([word for some, _ in words for word in some], len(words)),
        "diversity: pairs": _distinct(pairs, len(words)),
    }


def _distinct(things: Sequence[object], n: int) -> Estimate:
    if not n:
        return Estimate.nothing()
    return Estimate(len({*things}) / len(things) if things else 0.0, math.nan, math.nan, n)
