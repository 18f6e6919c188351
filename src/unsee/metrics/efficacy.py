"""Efficacy as the SIU paper has it: the share of answers about the training picture that do not name the concept.

Source: Li et al. 2024, appendix C. From 0 to 1; the strict counterpart is `leak`, which half a name is enough for.
The name counts as whole words; `released` is the script's lower-cased substring, which finds "Ann" in "cannot".
"""

from __future__ import annotations

from collections.abc import Sequence

from unsee.judge import says, spells
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = ("efficacy",)
SHOWN = {
    "efficacy": "efficacy: its name not said of the training picture",
    "efficacy: released": "efficacy as the released script matches",
}
BETTER = "higher"
GROUP = "paper"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the share of answers without the name or an alias, found in two ways."""
    some = [a for a in after if a.probe.kind in READS]
    return {
        name: mean_of([(float(not found(a.text, a.probe.accept)), a.probe.cluster) for a in some])
        for name, found in (("efficacy", says), ("efficacy: released", spells))
    }
