"""The SIU paper's membership inference: how much of the old answers comes back where they still seem known.

Source: Li et al. 2024, section 5. For each training question, Min-K of the true answer is the mean of its 40 % least
likely token log-probabilities. A question is suspicious if Min-K after unlearning is within a factor of 1.15 of Min-K
before. The score is the mean, over all questions, of the ROUGE-L recall of the old answer in the new one for
suspicious questions; recalls of at most 0.1 count as 0, and so do questions that are not suspicious. From 0 to 1.
Limit: recall of a whole sentence, so "This is" alone scores half of "This is Ann Abel"; a model that knows and says
another name scores too.

Where the true answers are not known, as in the authors' file of prompts, the old answers stand for them: ask the model
from before, ask both models what `to_score` makes of that, and give all the answers to `measure`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from unsee.metrics.agreement import Words
from unsee.records import Answer, Estimate, Probe, Verdict
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


def to_score(before: Sequence[Answer]) -> tuple[Probe, ...]:
    """Return what to ask of both models where no true answer is known: the probability of each old answer.

    An empty old answer has no probability and nothing that could come back, so its question is in no mean.

    Args:
        before: Answers of the model from before, of which those generated for probes of kind "MIA" are taken.

    Raises:
        ValueError: There is none of these, or all are empty.
    """
    some = [a for a in before if a.probe.kind == "MIA" and a.probe.way == "generate"]
    found = tuple(
        replace(a.probe, id=f"{a.probe.id}/scored", way="score", accept=(a.text,)) for a in some if a.text.strip()
    )
    if not found:
        said = "are all empty" if some else "are none"
        raise ValueError(
            f"of {len(before)} answers, those generated for probes of kind 'MIA' {said}, so no membership can be "
            "inferred; ask the model from before unsee.released.probes(FILE, ..., kind='MIA')"
        )
    return found


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
        # The text of what is scored was given, not said.
        some = (a for a in answers or () if a.probe.kind in READS and a.probe.way == "generate" and a.logprobs is None)
        return {(a.probe.picture, a.probe.question): a.text for a in some}

    old = {a.probe.id: min_k(a.logprobs) for a in before or () if a.probe.kind == "MIA" and a.logprobs is not None}
    texts, now = said(before), said(after)
    marks = []
    for a in after:
        key = (a.probe.picture, a.probe.question)
        if a.probe.id in old and a.logprobs is not None and key in texts and key in now:
            was, new = old[a.probe.id], min_k(a.logprobs)
            suspicious = was == new or (new != 0 and 1 / FACTOR <= was / new <= FACTOR)
            recall = float(scorer.score(texts[key], now[key])["rougeL"].recall) if suspicious else 0.0
            marks.append((recall if recall > LEAST else 0.0, a.probe.cluster))
    return {"mia": mean_of(marks, bounds=(0, 1))}
