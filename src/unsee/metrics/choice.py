"""Four-way choice: how often the concept's name is the likeliest of four names offered for its pictures.

Chance is 1/4, and a model that knows reaches 1. Far below chance the model avoids the name, which also takes knowing
whom it sees; compare with the oracle. The same choice for pictures of others is in `kept`.
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import right
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = ("choice",)
SHOWN = {"choice": "its name chosen out of four (chance: 25)"}
BETTER = "lower"
GROUP = "strict"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the share of pictures for which the concept's name is chosen."""
    some = [a for a in after if a.probe.kind in READS]
    return {"choice": mean_of([(float(right(a)), a.probe.cluster) for a in some])}
