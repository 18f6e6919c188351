"""Specificity: right answers about everything that has nothing to do with the concept, all kinds weighing the same.

Source: Li et al. 2024, section 5, where it is the mean over eight benchmarks of visual questions (some tables show
MM-Vet alone). On the pocket world its place is taken by the kinds of questions about others listed here. From 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import right
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import balanced

READS = ("others", "two others", "own pictures", "others' facts", "others' multi-hop")
SHOWN = {"specificity": "specificity"}
BETTER = "higher"
GROUP = "paper"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the mean over kinds of the share of right answers."""
    kinds = [[(float(right(a)), a.probe.cluster) for a in after if a.probe.kind == kind] for kind in READS]
    return {"specificity": balanced([some for some in kinds if some])}
