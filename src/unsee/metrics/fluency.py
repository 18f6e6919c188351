"""Fluency: perplexity, under the model from before, of what is said about the concept's pictures.

Source: Li et al. 2024, eq. 6: tokens of the concept count as drawn blindly from the vocabulary (probability 1/V), so
that not saying the name costs nothing. From 1, without limit; the exponential of the mean over answers of each
answer's mean negative log-probability, so that a few absurd answers do not stand for all. Only the answer is scored,
never the question (the released script's labels are shifted, so its values, about 60, cannot be compared). The
verdicts named "fluency" come from `unsee.evaluation.fluency_of`: `exp(mean log p)` of each answer. An answer that is
empty has none. A model that always says the same fluent thing is fluent: see `diversity`, `form`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = ("generality", "held-out phrasing", "description")
SHOWN = {"fluency": "fluency"}
BETTER = "lower"
GROUP = "paper"
UNIT = "perplexity"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the perplexity of the answers that there are verdicts on."""
    clusters = {a.probe.id: a.probe.cluster for a in after if a.probe.kind in READS}
    mine = [v for v in verdicts or () if v.name == "fluency" and v.probe in clusters and v.value > 0]
    nats = mean_of([(-math.log(v.value), clusters[v.probe]) for v in mine])
    if not nats.n:
        return {"fluency": nats}
    return {"fluency": Estimate(math.exp(nats.value), math.exp(nats.low), math.exp(nats.high), nats.n)}
