"""What an answer says: whether it names the concept, agrees with the truth, or says yes. Rules only, no model.

Names are found as whole words whatever their letter case. Half a name gives a concept away too, so leaks count
single words of a name (of three letters and more, and not among words that stand in every text).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from unsee.records import Answer, Verdict

_COMMON = frozenset("a an and at by de der di el in la le of on the van von y".split())
_YES = frozenset("yes sí si yeah oui ja".split())
_NO = frozenset("no not nope non nein".split())
VERSION = "rules-1"


def names_in(text: str, names: Iterable[str], *, parts: bool = False) -> list[tuple[int, int]]:
    """Return where names stand in a text, as (start, end), in order and without overlaps.

    Args:
        text: What was said.
        names: The name and its aliases.
        parts: Whether single words of a name count as well.
    """
    wanted = {name.strip() for name in names if name.strip()}
    if parts:
        wanted |= {w for name in wanted for w in re.findall(r"\w+", name) if _tells(w)}
    # The longest first, so that a whole name is found before its words are.
    either = "|".join(re.escape(name) for name in sorted(wanted, key=len, reverse=True))
    found = re.finditer(rf"(?<!\w)(?:{either})(?!\w)", text, re.IGNORECASE) if either else ()
    return [match.span() for match in found]


def _tells(word: str) -> bool:
    return len(word) >= 3 and word.casefold() not in _COMMON


def says(text: str, accept: Iterable[str]) -> bool:
    """Return whether any of the accepted answers occurs in a text as whole words."""
    return bool(names_in(text, accept))


def yes_or_no(text: str) -> str:
    """Return "yes", "no" or "" as the first word of an answer has it."""
    word = next(iter(re.findall(r"\w+", text.casefold())), "")
    return "yes" if word in _YES else "no" if word in _NO else ""


def right(answer: Answer) -> bool:
    """Return whether an answer is what its probe accepts: the polarity if it has one, else any accepted text."""
    if answer.probe.polarity:
        return yes_or_no(answer.text) == answer.probe.polarity
    return says(answer.text, answer.probe.accept)


def well_formed(answers: Sequence[Answer], patterns: Sequence[str], allowed: str) -> list[Verdict]:
    """Judge whether whole answers are sentences the model would say of somebody it does not know.

    Args:
        answers: Answers to questions about who is in a picture.
        patterns: Regular expressions for whole answers, with `{N}` for who it is.
        allowed: Regular expression for who it may be: exactly the substitute, or a description.
    """
    whole = re.compile("|".join(f"(?:{p.replace('{N}', f'(?:{allowed})')})" for p in patterns), re.IGNORECASE)
    shown = hashlib.sha256(json.dumps([VERSION, whole.pattern]).encode()).hexdigest()[:12]
    return [
        Verdict(
            probe=answer.probe.id,
            judge=VERSION,
            name="well-formed",
            value=float(whole.fullmatch(answer.text.strip()) is not None),
            key=hashlib.sha256(f"{shown}/{answer.text}".encode()).hexdigest()[:16],
        )
        for answer in answers
    ]
