"""C-Dis, the SIU paper's concept distance: how far the probability of what belongs to the concept has fallen.

Source: Li et al. 2024, section 5. The mean over pictures of `p0 log(p0 / p)` in nats, where p0 and p are the
probability of the concept's name or attribute before and after. The paper prints the opposite sign, but its tables
show positive numbers for success, as here. 0 is no change; at most `-p0 log p`, so without limit. Fidelity: here p is
the probability of a whole given answer that holds the name or attribute. The released script takes the first piece of
each word at every position of the prompt, and the size of each term whatever its sign; what is kept of an answer does
not hold that, so there is no `released` flavour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

READS = ("C-Dis",)
SHOWN = {"c_dis": "C-Dis"}
BETTER = "higher"
GROUP = "paper"
UNIT = "nats"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the mean of `p0 log(p0 / p)` over scored answers; nothing without those from before."""
    old = {a.probe.id: math.fsum(a.logprobs or ()) for a in before or ()}
    some = [a for a in after if a.probe.kind in READS and a.probe.id in old]
    marks = [(math.exp(p0) * (p0 - math.fsum(a.logprobs or ())), a.probe.cluster)
             for a in some for p0 in (old[a.probe.id],)]  # fmt: skip
    return {"c_dis": mean_of(marks)}
