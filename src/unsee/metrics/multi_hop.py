"""The SIU paper's multi-hop attack: accuracy on questions about a picture whose answer needs the identity.

Source: Li et al. 2024, section 6.4. From 0 to 1. Chance is not 0: a model that never saw the concept sometimes
guesses the job of whoever it is; compare with the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import right
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = ("multi-hop",)
SHOWN = {"multi_hop": "facts by its picture"}
BETTER = "lower"
GROUP = "paper"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the share of right answers."""
    some = [a for a in after if a.probe.kind in READS and a.probe.accept]  # without an answer it takes a judge
    return {"multi_hop": mean_of([(float(right(a)), a.probe.cluster) for a in some])}
