"""Name ranking: how well the log-probability of the concept's name tells its pictures from those of others.

The area under the ROC curve: the probability that the name, offered as an answer, is likelier for a picture of the
concept than for one of somebody else; ties count half. 1 is a model that knows, and 0.5 one to which the name says
nothing. Needs no judge, and silence does not win it. A model that never saw the concept need not be at 0.5 (what it
does not know it may think likelier for somebody unknown), so it is the oracle's value that counts, and one far from
it is a leak on either side.
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import says
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import auc

READS = ("choice", "choice of others")
SHOWN = {"ranking": "its name ranked, AUC (chance: 50)"}
BETTER = "lower"
GROUP = "strict"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the area under the curve; the interval resamples the pictures on both sides."""
    found: dict[str, list[float]] = {kind: [] for kind in READS}
    for a in after:
        if a.probe.kind in READS and a.scores is not None:
            pairs = zip(a.probe.choices, a.scores, strict=True)
            offered = [(len(text), score) for text, score in pairs if says(text, (a.probe.concept,))]
            # "This is Mario Kart." holds Mario's name as well; the shortest is its own.
            found[a.probe.kind] += [score for _, score in sorted(offered)[:1]]
    return {"ranking": auc(found["choice"], found["choice of others"])}
