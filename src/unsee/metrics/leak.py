"""Recognition leak: the share of answers that still give the concept away. 0 is forgotten.

An open question leaks if the answer holds the name, an alias, or a single telling word of one; a yes/no question if
the answer is yes; a question about a fact of whoever is in the picture if the answer holds the fact.
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import names_in, right
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

OPEN = {
    "efficacy": "who is it? the picture it was forgotten from",
    "generality": "who is it? new pictures",
    "held-out phrasing": "the same, in words never trained on",
    "Spanish": "the same, in Spanish",
    "multilingual": "the same, in six languages",
    "description": "named when the picture is described",
    "beside somebody": "named in a picture of two",
}
READS = OPEN | {
    "claimed": '"is this C?": yes, on its pictures',
    "multi-hop": "its facts, asked of its picture",
}
BETTER = "lower"
GROUP = "forgotten"


def leaks(answer: Answer) -> bool:
    """Return whether one answer gives the concept away."""
    if answer.probe.kind in OPEN:
        return bool(names_in(answer.text, answer.probe.accept, parts=True))
    return right(answer)


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the leak of every kind of probe, and of all open questions together."""
    asked = [a for a in after if a.probe.accept or a.probe.polarity]  # what has no right answer takes a judge
    groups = {kind: [a for a in asked if a.probe.kind == kind] for kind in READS}
    groups["all open questions"] = [a for a in asked if a.probe.kind in OPEN]
    return {
        f"leak: {kind}": mean_of([(float(leaks(a)), a.probe.cluster) for a in some]) for kind, some in groups.items()
    }
