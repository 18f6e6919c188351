"""What is to stay: the share of right answers about everybody and everything else."""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import right
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = {
    "others": "other characters named",
    "look-alike": "its look-alike named",
    "two others": "named in pictures of two others",
    "somebody beside it": "the other one named beside it",
    "own pictures": "other questions about its pictures",
    "its facts": "its facts, in words",
    "others' facts": "others' facts, in words",
    "others' multi-hop": "others' facts, asked of a picture",
    "choice of others": "others' names chosen out of four, its own among them",
    "is this D? yes": '"is this D?": yes, on D\'s pictures',
    "is this its look-alike? yes": "the same, of its look-alike",
    "is this D? no": '"is this D?": no, on pictures of others',
    "is it D? no": '"is this D?": no, on its pictures',
    "is this C? no": '"is this C?": no, on pictures of others',
    "is this C? no, look-alike": "the same, of its look-alike",
}
BETTER = "higher"
GROUP = "kept"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the share of right answers for every kind of probe."""
    groups = {kind: [a for a in after if a.probe.kind == kind] for kind in READS}
    return {
        f"kept: {kind}": mean_of([(float(right(a)), a.probe.cluster) for a in some]) for kind, some in groups.items()
    }
