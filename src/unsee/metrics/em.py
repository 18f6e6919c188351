"""EM, the SIU paper's measure of generality: the share of prompts on new pictures whose key word the answer lacks.

Source: Li et al. 2024, section 5 and appendix C. Each prompt has one key word, which stands in an answer of a model
that knows the concept: the name, or "yes". From 0 to 1. Three of four prompts ask "is this X?", so whoever always
says "no", or nothing at all, reaches 1: see `yes_no` and `leak` for what that hides. So the same is told of prompts
whose key word is a yes (`yes/no`) and of all others (`open`), which `words` weighs 77 to 23. Fidelity: the paper does
not say how words are matched; `words` takes whole words, `released` the script's lower-cased substring, which finds
"yes" in "eyes". The paper keeps only what the model names in its pictures, so a picture is left out of which the model
from before names the concept in less than half of its answers to "who is it?" (other questions than the prompts);
the script leaves out none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from unsee.judge import says, spells, yes_or_no
from unsee.records import Answer, Estimate, Verdict
from unsee.stats import mean_of

_WHO = ("generality", "held-out phrasing")
READS = ("EM", *_WHO)
SHOWN = {
    "em: words": "EM: key words absent",
    "em: open": "the same, of open questions",
    "em: yes/no": 'the same, of "is this X?"',
    "em: released": "EM as the released script matches",
}
BETTER = "higher"
GROUP = "paper"


def measure(
    after: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] | None = None,
) -> dict[str, Estimate]:
    """Return the share of prompts whose key word, one of those accepted, is not in the answer."""
    unknown = _unknown(before or ())
    asked = [a for a in after if a.probe.kind == "EM"]
    some = [a for a in asked if a.probe.picture not in unknown]
    absent = [(float(not says(a.text, a.probe.accept)), a.probe.cluster) for a in some]
    asks_yes = [all(yes_or_no(word) == "yes" for word in a.probe.accept) for a in some]
    lacks = {
        "words": absent,
        "open": [mark for mark, yes in zip(absent, asks_yes, strict=True) if not yes],
        "yes/no": [mark for mark, yes in zip(absent, asks_yes, strict=True) if yes],
        "released": [(float(not spells(a.text, a.probe.accept)), a.probe.cluster) for a in asked],
    }
    return {f"em: {flavour}": mean_of(marks) for flavour, marks in lacks.items()}


def _unknown(before: Sequence[Answer]) -> set[str]:
    """Return the pictures that the model from before mostly does not recognise: nothing there is to be forgotten."""
    named: dict[str, list[bool]] = defaultdict(list)
    for answer in before:
        if answer.probe.kind in _WHO:
            named[answer.probe.picture].append(says(answer.text, answer.probe.accept))
    return {picture for picture, each in named.items() if 2 * sum(each) < len(each)}
