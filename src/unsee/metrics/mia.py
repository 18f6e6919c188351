"""The SIU paper's membership inference: how much of the old answers comes back where they still seem known.

Source: Li et al. 2024, section 5. For each training question, Min-K of the true answer is the mean of its 40 % least
likely token log-probabilities. A question is suspicious if Min-K after unlearning is within a factor of 1.15 of Min-K
before. The score is the mean, over all questions, of the ROUGE-L recall of the old answer in the new one for
suspicious questions; recalls of at most 0.1 count as 0, and so do questions that are not suspicious. From 0 to 1.
Limit: recall of a whole sentence, so "This is" alone scores half of "This is Ann Abel"; a model that knows and says
another name scores too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unsee.metrics.agreement import Words
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = ("MIA", "efficacy")
SHOWN = {"mia": "membership inference"}
BETTER = "lower"
GROUP = "paper"
SHARE, FACTOR, LEAST = 0.4, 1.15, 0.1


def min_k(logprobs: Sequence[float], share: float = SHARE) -> float:
    """Return the mean of the lowest `share` of log-probabilities, rounded up to whole tokens; NaN of none."""
    lowest = sorted(logprobs)[: math.ceil(share * len(logprobs))]
    return math.fsum(lowest) / len(lowest) if lowest else math.nan


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the mean over training questions; nothing without the answers from before."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=Words())

    def said(answers: Sequence[Answer] | None) -> dict[tuple[str, str], str]:
        return {(a.probe.picture, a.probe.question): a.text for a in answers or () if a.probe.kind == "efficacy"}

    old = {a.probe.id: min_k(a.logprobs or ()) for a in before or () if a.probe.kind == "MIA"}
    texts, now = said(before), said(after)
    marks = []
    for a in after:
        key = (a.probe.picture, a.probe.question)
        if a.probe.kind == "MIA" and a.probe.id in old and key in texts and key in now:
            was, new = old[a.probe.id], min_k(a.logprobs or ())
            suspicious = was == new or (new != 0 and 1 / FACTOR <= was / new <= FACTOR)
            recall = float(scorer.score(texts[key], now[key])["rougeL"].recall) if suspicious else 0.0
            marks.append((recall if recall > LEAST else 0.0, a.probe.cluster))
    return {"mia": mean_of(marks, bounds=(0, 1))}
