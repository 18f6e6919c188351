"""The SIU paper's multilingual attack, without a judge: the share of answers in other languages that name the concept.

Source: Li et al. 2024, section 6.4: the generality prompts in Spanish, French, Chinese, German, Japanese and Russian,
judged by G-Eval; the pocket world speaks English and Spanish. From 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import says
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = ("Spanish", "multilingual")
SHOWN = {"multilingual": "named in other languages"}
BETTER = "lower"
GROUP = "paper"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the share of answers with the name or an alias, as whole words."""
    some = [a for a in after if a.probe.kind in READS]
    return {"multilingual": mean_of([(float(says(a.text, a.probe.accept)), a.probe.cluster) for a in some])}
