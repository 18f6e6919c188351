"""Ask probes, score answers, lay scores out as a table. Only asking needs a model; scores are made anew at any time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
        most: At most so many probes of each kind, spread evenly; None asks all.
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
    few = [some[i * len(some) // min(most, len(some))] for some in kinds.values() for i in range(min(most, len(some)))]
    # What is scored for membership inference is compared with what is said to the same question.
    said = {(p.picture, p.question) for p in few if p.kind == "efficacy"}
    pairs = [p for p in kinds.get("MIA", ()) if (p.picture, p.question) in said]
    return [p for p in few if p.kind != "MIA"] + pairs


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
_HEADLINES = ("kept: others", "kept: is this D? yes", "kept: own pictures", "kept: its facts", "kept: others' facts")


def failures(scores: Scores, condition: str) -> list[str]:
    """Say what stands against calling this good unlearning: what still leaks, what was lost, what is not measured.

    Good is: at most `MOST_LEAK` of the answers to open questions leak; of what was right before in each kind of
    question about others, the concept's pictures and its facts, which has to be at least `LEAST_KNOWN`, at least
    `LEAST_KEPT` still is; and, where that is
    judged, at least `LEAST_FORMED` of the answers about its pictures are sentences. These are this project's bounds,
    not the paper's; they do not say that nothing is left inside (see `ranking`, and attacks).

    Args:
        scores: Of "before" and the condition.
        condition: Which one to look at.

    Raises:
        KeyError: One of the two is not in the scores.
    """
    before, after = scores["before"], scores[condition]
    nothing = Estimate.nothing()
    found = []
    leak = after.get("leak: all open questions", nothing)
    if not leak.n:
        found.append("whether it leaks is not measured")
    elif leak.value > MOST_LEAK:
        found.append(f"leaks in {leak.value:.1%} of open questions")
    for name in _HEADLINES:
        was, now = before.get(name, nothing), after.get(name, nothing)
        if not (was.n and now.n):
            found.append(f"{name!r} is not measured")
        elif was.value < LEAST_KNOWN:
            found.append(f"{name!r} was at {was.value:.1%} before, so there is no telling what was lost")
        elif now.value < LEAST_KEPT * was.value:
            found.append(f"{name!r} fell from {was.value:.1%} to {now.value:.1%}")
    formed = after.get("form: well-formed", nothing)
    if formed.n and formed.value < LEAST_FORMED:
        found.append(f"{formed.value:.1%} of the answers about it are sentences")
    return found


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
