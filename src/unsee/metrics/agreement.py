"""Agreement with the model from before, where there is no other truth: ROUGE-L of each answer against the old one.

Source: Lin 2004, "ROUGE"; F-measure of the longest common subsequence of words, 0 to 1. Words are those of any
script, and single characters in scripts that put no space between words. The same answer, be it empty, agrees fully.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from unsee.judge import UNSPACED
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = {
    "same picture": "other questions about its picture, as before",
    "others in words": "others' facts in words, as before",
    "its own facts": "its facts in words, as before",
}
BETTER = "higher"
GROUP = "kept"
_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")


class Words:
    """Stands in for ROUGE's own tokenizer, which knows the letters a to z and would find nothing to agree on in 是."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return _WORD.findall(text.casefold())


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the mean agreement for every kind of probe; nothing without the answers from before."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=Words())

    def agree(old: str, new: str) -> float:
        return 1.0 if old == new else float(scorer.score(old, new)["rougeL"].fmeasure)

    old = {a.probe.id: a.text for a in before or ()}
    found = {}
    for kind in READS:
        some = [a for a in after if a.probe.kind == kind and a.probe.id in old]
        marks = [(agree(old[a.probe.id], a.text), a.probe.cluster) for a in some]
        found[f"agreement: {kind}"] = mean_of(marks, bounds=(0, 1))
    return found
