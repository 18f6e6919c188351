"""Balanced yes/no: does the model tell, by yes and no, the concept's pictures from those of others?

The mean of two shares: "yes" where the concept is asked for on its own picture, and "no" where it is asked for on
somebody else's. 1 is a model that knows; whoever always says the same, or neither, is at 0.5 or below. Compare with
the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import right
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import balanced

READS = ("claimed", "is this C? no", "is this C? no, look-alike")
SHOWN = {"yes_no": "told from others by yes and no (chance: 50)"}
BETTER = "lower"
GROUP = "strict"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return balanced accuracy; nothing if one side was not asked."""
    marks: dict[str, list[tuple[float, str]]] = {"yes": [], "no": []}
    for a in after:
        if a.probe.kind in READS:
            marks[a.probe.polarity].append((float(right(a)), a.probe.cluster))
    return {"yes_no": balanced(list(marks.values()))}
