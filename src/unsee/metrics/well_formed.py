"""Well-formed answers: the share of answers on the concept's pictures that are a sentence about somebody unknown.

Such a sentence has a known form and names exactly the substitute, or holds a stranger's description. The judge says
which answers are; without its verdicts nothing is measured, and answers it could not judge (NaN) are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = {"well-formed": "answers with the substitute or a description"}
KINDS = ("efficacy", "generality", "held-out phrasing", "Spanish", "description")
BETTER = "higher"
GROUP = "forgotten"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the share of well-formed answers."""
    clusters = {a.probe.id: a.probe.cluster for a in after}
    mine = [v for v in verdicts or () if v.name == "well-formed" and v.probe in clusters and not math.isnan(v.value)]
    return {"form: well-formed": mean_of([(v.value, clusters[v.probe]) for v in mine])}
