"""False naming: how often others are called by the name that was to replace the concept's.

Verdicts named "substitute" (`unsee.evaluation.verdicts_on`) say which answers hold it. 0 is right; without a
substitute nothing is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = {
    "stranger": "strangers called by the substitute",
    "others": "other characters called by it",
    "look-alike": "its look-alike called by it",
}
BETTER = "lower"
GROUP = "strict"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the share of answers with the substitute, for every kind of picture."""
    asked = {a.probe.id: a.probe for a in after if a.probe.kind in READS}
    found = [(asked[v.probe], v.value) for v in verdicts or () if v.name == "substitute" and v.probe in asked]
    return {
        f"false_name: {kind}": mean_of([(value, probe.cluster) for probe, value in found if probe.kind == kind])
        for kind in READS
    }
