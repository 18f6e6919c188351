"""Ask probes, score answers, lay scores out as a table. Only asking needs a model; scores are made anew at any time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unsee import judge, plugins
from unsee.records import Answer, Estimate, Probe, Verdict

if TYPE_CHECKING:
    import os

    from rich.table import Table

    from unsee.edits import Edit
    from unsee.vlm import VLM
    from unsee.wording import Wording

Scores = dict[str, dict[str, Estimate]]
"""Condition ("before", "after", "oracle") -> metric -> estimate."""


NEEDS = {"generate": "text", "choose": "logprob", "score": "logprob", "next": "distribution"}
"""What a respondent must be able to tell for each way of asking."""


def ask(
    vlm: VLM,
    probes: Sequence[Probe],
    edit: Edit | str | os.PathLike[str] | None = None,
    *,
    progress: bool = False,
    keep: Callable[[Sequence[Answer]], None] | None = None,
) -> list[Answer]:
    """Ask a model all probes, with an edit or as it is; `keep` is told of answers as they come."""
    with vlm.using(edit):
        return vlm.answer(probes, progress=progress, keep=keep)


def verdicts_on(answers: Iterable[Answer], wording: Wording, replacement: str | None) -> list[Verdict]:
    """Judge whether answers about the concept's pictures are proper sentences about somebody unknown.

    Empty if the wording of the model's family does not say what a proper sentence is.
    """
    import re

    from unsee.metrics.well_formed import KINDS

    if not wording.well_formed:
        return []
    allowed = "|".join(filter(None, (replacement and re.escape(replacement), wording.descriptions)))
    return judge.well_formed([a for a in answers if a.probe.kind in KINDS], wording.well_formed, allowed)


def score(answers: Mapping[str, Sequence[Answer]], verdicts: Mapping[str, Sequence[Verdict]] | None = None) -> Scores:
    """Compute every metric for every condition.

    Args:
        answers: Condition -> answers; "before" and "oracle", where they are there, are what others are compared with.
        verdicts: Condition -> verdicts of judges.
    """
    before, oracle = answers.get("before"), answers.get("oracle")
    metrics = [plugins.load("metrics", name) for name in plugins.names("metrics")]
    found: Scores = {}
    for condition, some in answers.items():
        measured: dict[str, Estimate] = {}
        for metric in metrics:
            mine = (verdicts or {}).get(condition, ())
            measured |= metric.measure(some, before=before, oracle=oracle, verdicts=mine)
        found[condition] = measured
    return {
        condition: {name: e for name, e in measured.items() if any(found[c].get(name, e).n for c in found)}
        for condition, measured in found.items()
    }


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table of scores: a metric, in words, under every condition."""

    group: str
    metric: str
    name: str
    better: str
    estimates: Mapping[str, Estimate]


# Metric -> what its names begin with, and its group; others have their own name, and are shown after these.
_GROUPS = {
    "leak": ("leak", "forgotten"),
    "well_formed": ("form", "forgotten"),
    "kept": ("kept", "kept"),
    "agreement": ("agreement", "kept"),
}


def lines(scores: Scores) -> list[Line]:
    """Lay scores out line by line, metric by metric, each in the order in which it was measured."""
    out = []
    found = {name: None for measured in scores.values() for name in measured}
    for plugin_name in dict.fromkeys((*_GROUPS, *plugins.names("metrics"))):
        metric = plugins.load("metrics", plugin_name)
        prefix, group = _GROUPS.get(plugin_name, (plugin_name, "further"))
        for name in found:
            begin, _, kind = name.partition(": ")
            if begin != prefix:
                continue
            label = metric.READS[kind] if isinstance(metric.READS, Mapping) and kind in metric.READS else kind or name
            estimates = {condition: measured[name] for condition, measured in scores.items() if name in measured}
            out.append(Line(group, name, label, metric.BETTER, estimates))
    return out


def percent(estimate: Estimate | None) -> str:
    """Return an estimate in per cent with its interval, or that there is none (one picture tells nothing of others)."""
    if estimate is None:
        return ""
    if estimate.n == 0:
        return "not measured"
    if math.isnan(estimate.value):
        return "undefined"
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return f"{100 * estimate.value:.1f} (no interval)"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def table(scores: Scores, title: str) -> Table:
    """Return scores as a table for the terminal."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    shown = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption_justify="left",
        title=escape(title),
        title_justify="left",
        caption="per cent with 95 % interval (pictures resampled); n probes",
    )
    shown.add_column("")
    for condition in scores:
        shown.add_column(escape(condition), justify="right", no_wrap=True)
    shown.add_column("n", justify="right")
    group, usual = "", ""
    for line in lines(scores):
        if line.group != group:
            group = line.group
            usual = "lower" if group == "forgotten" else "higher"
            shown.add_section()
            shown.add_row(f"[bold]{group}[/bold] ({usual} is better)")
        note = "" if line.better == usual else f" ({line.better} is better)"
        n = max(e.n for e in line.estimates.values())
        shown.add_row(escape(line.name + note), *(percent(line.estimates.get(c)) for c in scores), str(n))
    return shown
