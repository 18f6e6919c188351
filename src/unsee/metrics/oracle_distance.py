"""Distance to a model that never saw the concept. Fair only to methods that aim at the oracle's answers.

`next`: Jensen-Shannon distance (the square root of the divergence, base 2; Lin 1991) of the next-token distributions
on the concept's pictures, 0 to 1. Tokens outside the likeliest kept of both models are one bin, so this is a lower
bound. `truth ratio`: two-sample Kolmogorov-Smirnov statistic, 0 to 1, of the truth ratios: mean probability of the
wrong names offered over that of the concept's (Maini et al. 2024, TOFU). A method that teaches a substitute name
cannot be close in `next`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unsee.judge import says
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import ks, mean_of

READS = ("next", "choice")
SHOWN = {
    "oracle_distance: next": "distance to the oracle, next tokens",
    "oracle_distance: truth ratio": "the same, truth ratios",
}
BETTER = "lower"
GROUP = "strict"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return both distances; nothing without the oracle's answers."""
    theirs = {a.probe.id: a for a in oracle or ()}
    marks = [
        (_js(a, theirs[a.probe.id]), a.probe.cluster) for a in after if a.probe.kind == "next" and a.probe.id in theirs
    ]
    mine = [_truth_ratio(a) for a in after if a.probe.kind == "choice" and a.scores]
    other = [_truth_ratio(a) for a in theirs.values() if a.probe.kind == "choice" and a.scores]
    return {
        "oracle_distance: next": mean_of(marks, bounds=(0, 1)),
        "oracle_distance: truth ratio": ks(mine, other),
    }


def _js(one: Answer, other: Answer) -> float:
    p, q = dict(one.top or ()), dict(other.top or ())
    both = sorted(p.keys() & q.keys())
    pairs = [(p[token], q[token]) for token in both]
    # Rounding may leave a sum a hair above 1.
    pairs.append((max(0.0, 1 - math.fsum(a for a, _ in pairs)), max(0.0, 1 - math.fsum(b for _, b in pairs))))

    def bits(a: float, b: float) -> float:
        return a * math.log2(2 * a / (a + b)) if a > 0 else 0.0

    return math.sqrt(min(1.0, max(0.0, math.fsum(bits(a, b) + bits(b, a) for a, b in pairs) / 2)))


def _truth_ratio(answer: Answer) -> float:
    scores = dict(zip(answer.probe.choices, answer.scores or (), strict=True))
    true = [s for text, s in scores.items() if says(text, answer.probe.accept)]
    wrong = [s for text, s in scores.items() if not says(text, answer.probe.accept)]
    # In logarithms, which order and so KS do not mind.
    return max(wrong) + math.log(math.fsum(math.exp(s - max(wrong)) for s in wrong) / len(wrong)) - true[0]
