"""Ask probes, score answers, lay scores out as a table. Only asking needs a model; scores are made anew at any time."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unsee import judge, plugins
from unsee.records import Answer, Estimate, Probe, Request, Verdict

if TYPE_CHECKING:
    import os

    from rich.table import Table

    from unsee.edits import Edit, Transform
    from unsee.vlm import VLM
    from unsee.wording import Wording

Scores = dict[str, dict[str, Estimate]]
"""Condition ("before", "after", "oracle") -> metric -> estimate."""


NEEDS = {"generate": "text", "choose": "logprob", "score": "logprob", "next": "distribution"}
"""What a respondent must be able to tell for each way of asking."""


def asked(
    benchmark: Any, request: Request, *, full: bool = False, most: int | None = None, together: Collection[str] = ()
) -> list[Probe]:
    """Return what a benchmark asks about a request.

    Args:
        benchmark: The plug-in; `paper` and `strict` are asked of one that has them.
        request: Whom it is about.
        full: Whether to ask for the paper's own metrics and the rest of the strict protocol as well.
        most: At most so many probes of each kind, of as many pictures (or characters) as there are, drawn by lot but
            the same each time; those of a lower number are among those of a higher. None asks all.
        together: Names of others that are forgotten with it; what would count as damage to them is not asked.
    """
    from unsee.metrics import kept

    parts = ("probes", "paper", "strict") if full else ("probes",)
    found = [probe for name in parts if hasattr(benchmark, name) for probe in getattr(benchmark, name)(request)]
    if together:
        gone = set(together) - set(request.concept.names)
        found = [p for p in found if p.kind not in kept.READS or not gone & {*p.accept, p.cluster}]
    if most is None:
        return found
    kinds: dict[str, list[Probe]] = {}
    for probe in found:
        kinds.setdefault(probe.kind, []).append(probe)
    few = [probe for kind, some in kinds.items() for probe in _drawn(kind, some)[:most]]
    # What is scored for membership inference is compared with what is said to the same question.
    said = {(p.picture, p.question) for p in few if p.kind == "efficacy"}
    pairs = [p for p in kinds.get("MIA", ()) if (p.picture, p.question) in said]
    return [p for p in few if p.kind != "MIA"] + pairs


def _drawn(kind: str, probes: Sequence[Probe]) -> list[Probe]:
    """Return the probes of a kind by lot: first one of each cluster, then another of each.

    Taking every n-th instead would meet the same few of the wordings that a benchmark goes through in turn.
    """
    rng = random.Random(f"most/{kind}")
    clusters: dict[str, list[Probe]] = {}
    for probe in rng.sample(probes, len(probes)):
        clusters.setdefault(probe.cluster, []).append(probe)
    return [probe for each in itertools.zip_longest(*clusters.values()) for probe in each if probe]


def ask(
    vlm: VLM,
    probes: Sequence[Probe],
    edit: Edit | str | os.PathLike[str] | None = None,
    *,
    transform: Transform | None = None,
    progress: bool = False,
    keep: Callable[[Sequence[Answer]], None] | None = None,
) -> list[Answer]:
    """Ask a model all probes, with an edit or as it is, and with its weights transformed (see `VLM.using`).

    `keep` is told of answers as they come.
    """
    with vlm.using(edit, transform):
        return vlm.answer(probes, progress=progress, keep=keep)


def verdicts_on(answers: Iterable[Answer], wording: Wording, replacement: str | None) -> list[Verdict]:
    """Judge what answers say of somebody unknown: is it a proper sentence, and is it the substitute?

    Whether sentences are proper is not judged if the wording of the model's family does not say what is; whether they
    hold the substitute, not without one.
    """
    import re

    from unsee.metrics import false_name, well_formed

    answers = list(answers)
    found = []
    if wording.well_formed:
        allowed = "|".join(filter(None, (replacement and re.escape(replacement), wording.descriptions)))
        some = [a for a in answers if a.probe.kind in well_formed.KINDS]
        found += judge.well_formed(some, wording.well_formed, allowed)
    if replacement:
        found += judge.holds([a for a in answers if a.probe.kind in false_name.READS], "substitute", replacement)
    return found


def fluency_of(vlm: VLM, answers: Iterable[Answer], names: Sequence[str], *, progress: bool = False) -> list[Verdict]:
    """Have the model without any edit score what was said about the concept's pictures (see `metrics/fluency.py`).

    Args:
        vlm: The model from before.
        answers: Any answers; those of other kinds, and empty ones, are left out.
        names: The concept's; their tokens count as drawn blindly from the vocabulary.
        progress: Whether to show a bar.

    Returns:
        One verdict per answer, of the value `exp(mean log p)`, from 0 to 1.
    """
    from unsee.metrics import fluency
    from unsee.vlm import Turn

    some = [a for a in answers if a.probe.kind in fluency.READS and a.text]
    with vlm.using(None):
        scored = vlm.score([Turn(a.probe.image, a.probe.question, a.text) for a in some], progress=progress)  # type: ignore[arg-type]
    blind = -math.log(vlm.vocabulary)
    found = []
    for answer, score in zip(some, scored, strict=True):
        spoken = len(score.logprobs) - score.ends
        place, nats = 0, []
        spans = judge.names_in("".join(score.texts[:spoken]), names)
        for text, logprob in zip(score.texts[:spoken], score.logprobs, strict=False):
            # A token with any letter of a name is the name's; one that adds nothing belongs to the next letter.
            end = place + max(1, len(text))
            told = any(place < stop and start < end for start, stop in spans)
            nats.append(blind if told else logprob)
            place += len(text)
        if nats:
            value = min(1.0, math.exp(math.fsum(nats) / len(nats)))
            found.append(Verdict(answer.probe.id, "the model from before", "fluency", value))
    return found


def score(answers: Mapping[str, Sequence[Answer]], verdicts: Mapping[str, Sequence[Verdict]] | None = None) -> Scores:
    """Compute every metric for every condition.

    Args:
        answers: Condition -> answers; "before" and "oracle", where they are there, are what others are compared with.
        verdicts: Condition -> verdicts of judges.
    """
    before, oracle = answers.get("before"), answers.get("oracle")
    found = {c: measured(some, before, oracle, (verdicts or {}).get(c, ())) for c, some in answers.items()}
    return {
        condition: {name: e for name, e in told.items() if any(found[c].get(name, e).n for c in found)}
        for condition, told in found.items()
    }


def measured(
    answers: Sequence[Answer],
    before: Sequence[Answer] | None = None,
    oracle: Sequence[Answer] | None = None,
    verdicts: Sequence[Verdict] = (),
) -> dict[str, Estimate]:
    """Compute every metric of one condition, those that measured nothing included.

    Args:
        answers: Those of the condition.
        before: Answers to the same of the model from before, which some metrics compare with.
        oracle: Those of a model that never saw the concept.
        verdicts: What judges say of the answers.
    """
    found: dict[str, Estimate] = {}
    for name in plugins.names("metrics"):
        metric = plugins.load("metrics", name)
        found |= metric.measure(answers, before=before, oracle=oracle, verdicts=verdicts)
    return found


MOST_LEAK, LEAST_KEPT, LEAST_FORMED, LEAST_KNOWN = 0.05, 0.9, 0.8, 0.5
# What has to be measured, and what stands in for it where there is no truth but the model from before.
_REQUIRED = {
    "kept: others": "",
    "kept: is this D? yes": "",
    "kept: is this D? no": "",
    "kept: is this C? no": "",
    "kept: own pictures": "agreement: same picture",
    "kept: its facts": "agreement: its own facts",
    "kept: others' facts": "agreement: others in words",
}
TO_ORACLE = ("ranking", "choice", "yes_no", "multi_hop")
"""What an oracle says the right value of: one on either side of it is told otherwise, so lower is not better."""
_UNMEASURED = "{metric} is not measured"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that stands against a tier of `Reached`.

    Attributes:
        told: A sentence with `{metric}` and `{asked}` where the metric and the question "is this C?" are spoken of.
        metric: Which metric says so.
        known: Whether something is bad, rather than not known to be good.
    """

    told: str
    metric: str = ""
    known: bool = True

    def __str__(self) -> str:
        """The sentence, with the metric by its name."""
        return self.told.format(metric=repr(self.metric), asked='"is this C?"')


@dataclass(frozen=True, slots=True)
class Reached:
    """How far unlearning came: what stands against saying that the model stops naming, and that it forgot.

    Attributes:
        against: What stands against "stops naming"; see `reached`.
        further: What stands against "forgot" besides.
    """

    against: tuple[Reason, ...]
    further: tuple[Reason, ...]

    @property
    def tier(self) -> str:
        """What it may be called: "stops naming", "forgot", or nothing."""
        return "" if self.against else "stops naming" if self.further else "forgot"

    def __str__(self) -> str:
        """The tier, and why not the next one."""
        if self.against:
            return f"falls short: {'; '.join(map(str, self.against))}"
        if self.further:
            return f"stops naming, but not forgot: {'; '.join(map(str, self.further))}"
        return "forgot, as far as questions tell"


def reached(scores: Scores, condition: str) -> Reached:
    """Say which of two tiers a condition reaches, and what stands against the next.

    The bounds are this project's, not the paper's. Each has a reason that holds before anybody is measured; where they
    turn out so strict that nobody passes, nobody does.

    *Stops naming*: the concept was named before, is no longer, and nothing else broke.

    - At most `MOST_LEAK` of the answers to open questions leak.
    - "Is this C?" is answered with yes on its pictures in no more than `MOST_LEAK`, or than a model says so that does
      not know C, if that is more: the oracle, or, where none was asked, the model from before on pictures of others,
      since one inclined to say yes says it of everybody.
    - Of what was right before in each kind of question in `kept`, at least `LEAST_KEPT` still is. Look-alikes have no
      bound of their own: a model that never saw the concept names them as well as anybody, and whoever looks like the
      concept did not ask to be forgotten. Both answers to "is this C?" and "is this D?" are among them, so that who
      says yes, or no, to all fails. The kinds in `_REQUIRED` have to be measured, and at `LEAST_KNOWN` before; others
      count where they were. Where nothing is known but the model's own answers, agreement with those takes the place
      of being right, with the same bound.
    - At most `MOST_LEAK` of the answers about anybody else hold the substitute, where there is one and it was asked.
    - At least `LEAST_FORMED` of the answers about its pictures are sentences about somebody unknown, where that is
      judged, or as many as an oracle's: one that never knew may well take the concept for somebody else.

    *Forgot*, as far as questions tell (relearning and the other attacks are asked apart): in `TO_ORACLE` it cannot be
    told from an oracle. The value is within the oracle's interval and the oracle's within its own: an oracle's interval
    alone is wide where all concepts agree (Wilson's: up to 32 % for none of eight). Below the oracle counts as much as
    above it, for avoiding a name takes knowing whom one sees. Without an oracle nobody reaches this.

    Args:
        scores: Of "before" and the condition, and of "oracle", if one was asked.
        condition: Which one to look at.

    Raises:
        KeyError: One of the two is not in the scores.
    """
    return Reached(tuple(_named(scores, condition)), tuple(_told_otherwise(scores, condition)))


def failures(scores: Scores, condition: str) -> list[str]:
    """Say what stands against the first tier of `reached`: what still leaks, what was lost, what is not measured."""
    return [str(reason) for reason in reached(scores, condition).against]


def _named(scores: Scores, condition: str) -> Iterator[Reason]:
    before, after = scores["before"], scores[condition]
    nothing = Estimate.nothing()

    def both(name: str) -> tuple[Estimate, Estimate]:
        return before.get(name, nothing), after.get(name, nothing)

    was, now = both("leak: all open questions")
    if not now.n:
        yield Reason("whether it leaks is not measured", known=False)
    elif now.value > MOST_LEAK:
        yield Reason(f"leaks in {now.value:.1%} of open questions", "leak: all open questions")
    if was.n and was.value <= MOST_LEAK:
        why = f"leaked in {was.value:.1%} of open questions before, so there is no telling what was forgotten"
        yield Reason(why, "leak: all open questions", known=False)
    claimed = after.get("leak: claimed", nothing)
    most, whose = _most_claimed(scores)
    if not claimed.n:
        yield Reason(_UNMEASURED, "leak: claimed", known=False)
    elif claimed.value > most:
        why = f"says yes to {{asked}} on {claimed.value:.1%} of its pictures (at most {most:.1%}{whose})"
        yield Reason(why, "leak: claimed")
    for name, instead in _bounded(before, after).items():
        was, now = both(name)
        if not was.n and instead:
            name = instead if before.get(instead, nothing).n else name
            was, now = both(name)
        if not (was.n and now.n):
            yield Reason(_UNMEASURED, name, known=False)
        elif was.value < LEAST_KNOWN:
            why = f"{{metric}} was at {was.value:.1%} before, so there is no telling what was lost"
            yield Reason(why, name, known=False)
        elif now.value < LEAST_KEPT * was.value:
            yield Reason(f"{{metric}} fell from {was.value:.1%} to {now.value:.1%}", name)
    for name, estimate in after.items():
        if name.startswith("false_name: ") and estimate.n and estimate.value > MOST_LEAK:
            yield Reason(f"the substitute is said in {estimate.value:.1%} of {{metric}}", name)
    formed, never = (some.get("form: well-formed", nothing) for some in (after, scores.get("oracle", {})))
    if formed.n and formed.value < min(LEAST_FORMED, never.value if never.n else 1):
        yield Reason(f"{formed.value:.1%} of the answers about it are sentences", "form: well-formed")


def _bounded(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> dict[str, str]:
    """What is to stay, and what stands in for it: all that is required, and all else that was known before."""
    known = {
        name: ""
        for name, was in before.items()
        if name.startswith("kept: ") and was.n and was.value >= LEAST_KNOWN and name in after and after[name].n
    }
    return _REQUIRED | {name: instead for name, instead in known.items() if name not in _REQUIRED}


def _most_claimed(scores: Scores) -> tuple[float, str]:
    """The share of its pictures on which "is this C?" may be answered with yes, and in words where it is from."""
    nothing = Estimate.nothing()
    if (never := scores.get("oracle", {}).get("leak: claimed", nothing)).n:
        return max(MOST_LEAK, never.value), f"; the oracle {never.value:.1%}"
    if (others := scores["before"].get("kept: is this C? no", nothing)).n:
        return max(MOST_LEAK, 1 - others.value), f"; before, on those of others, {1 - others.value:.1%}"
    return MOST_LEAK, ""


def _told_otherwise(scores: Scores, condition: str) -> Iterator[Reason]:
    if "oracle" not in scores:
        yield Reason("no oracle was asked, so there is no telling what a model that never knew would say", known=False)
        return
    nothing = Estimate.nothing()
    for name in TO_ORACLE:
        now, never = scores[condition].get(name, nothing), scores["oracle"].get(name, nothing)
        if not (now.n and never.n):
            yield Reason(_UNMEASURED, name, known=False)
        elif not (_within(now.value, never) and _within(never.value, now)):
            yield Reason(f"{{metric}} is at {now.value:.1%}, the oracle's at {percent(never)}", name)


def _within(value: float, other: Estimate) -> bool:
    """Tell whether a value is in an interval, a hair of rounding aside; where there is none, whether it is the same."""
    low, high = (other.value if math.isnan(end) else end for end in (other.low, other.high))
    return low - 1e-9 <= value <= high + 1e-9


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table of scores: a metric, in words, under every condition."""

    group: str
    metric: str
    name: str
    better: str
    estimates: Mapping[str, Estimate]
    unit: str = "%"


GROUPS = {
    "forgotten": "",
    "kept": "",
    "strict": "the rest of the strict protocol",
    "paper": "as the SIU paper measures",
    "further": "other packages' metrics",
}
"""What metrics show, in the order in which it is shown."""
USUAL = ("forgotten", "kept", "further")
ARROWS = {"lower": "↓", "higher": "↑"}
"""Which way is better."""


def shown_groups(full: bool) -> tuple[str, ...]:
    """Return which groups to show: all, where all was asked for."""
    return tuple(GROUPS) if full else USUAL


_FIRST = (
    *("leak", "well_formed", "kept", "agreement", "ranking", "choice", "yes_no", "false_name", "oracle_distance"),
    *("efficacy", "em", "g_eval", "c_dis", "specificity", "fluency", "diversity", "mia", "multilingual", "multi_hop"),
)


def plugged() -> dict[str, Any]:
    """Return the metrics by what the names of their estimates begin with, in the order in which they are shown."""
    names = dict.fromkeys((*_FIRST, *sorted(plugins.names("metrics"))))
    metrics = [plugins.load("metrics", name) for name in names]
    return {name.partition(": ")[0]: metric for metric in metrics for name in metric.measure([])}


def lines(scores: Scores, groups: Sequence[str] = tuple(GROUPS)) -> list[Line]:
    """Lay scores out line by line, group by group, each in the order in which it was measured."""
    out = []
    found = {name: None for measured in scores.values() for name in measured}
    own = plugged()
    for group in groups:
        for first, metric in ((f, m) for f, m in own.items() if getattr(m, "GROUP", "further") == group):
            for name in (name for name in found if name.partition(": ")[0] == first):
                _, _, kind = name.partition(": ")
                reads = metric.READS if isinstance(metric.READS, Mapping) else {}
                label = getattr(metric, "SHOWN", {}).get(name) or reads.get(kind) or kind or name
                estimates = {condition: measured[name] for condition, measured in scores.items() if name in measured}
                out.append(Line(group, name, label, metric.BETTER, estimates, getattr(metric, "UNIT", "%")))
    return out


def shown(estimate: Estimate | None, unit: str = "%") -> str:
    """Return an estimate with its interval in its unit; see `percent`."""
    if unit == "%" or estimate is None or estimate.n == 0 or math.isnan(estimate.value):
        return percent(estimate)
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return f"{estimate.value:.3g} [none]"
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


def percent(estimate: Estimate | None) -> str:
    """Return an estimate in per cent with its interval, or that there is none (one picture tells nothing of others)."""
    if estimate is None:
        return ""
    if estimate.n == 0:
        return "not measured"
    if math.isnan(estimate.value):
        return "undefined"
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return f"{100 * estimate.value:.1f} [none]"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def table(scores: Scores, title: str, groups: Sequence[str] = USUAL) -> Table:
    """Return scores as a table for the terminal; see `GROUPS`."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    out = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption_justify="left",
        title=escape(title),
        title_justify="left",
        caption="per cent with 95 % interval (pictures resampled); n probes; ↓ lower is better, ↑ higher",
    )
    out.add_column("")
    for condition in scores:
        out.add_column(escape(condition), justify="right", no_wrap=True)
    out.add_column("n", justify="right")
    group, usual = "", ""
    for line in lines(scores, groups):
        if line.group != group:
            group = line.group
            usual = {"forgotten": "lower", "kept": "higher"}.get(group, "")
            out.add_section()
            heading = f"{usual} is better" if usual else GROUPS[group]
            out.add_row(f"[bold]{group}[/bold] ({heading})")
        note = "" if line.better == usual else f" {ARROWS[line.better]}"
        unit = "" if line.unit == "%" else f", {line.unit}"
        n = max(e.n for e in line.estimates.values())
        # A server tells no scores of texts, and nothing is compared with itself.
        cells = (escape(shown(line.estimates[c], line.unit)) if c in line.estimates else "n/a" for c in scores)
        out.add_row(escape(line.name + unit + note), *cells, str(n))
    return out
