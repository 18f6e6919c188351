"""What the page of a run says, in plain values: read from the run's folder, without asking a model anything."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee import battery, evaluation, judge, runs
from unsee.evaluation import Scores
from unsee.metrics import kept, leak
from unsee.records import Answer, Estimate
from unsee.report import card, pictures
from unsee.runs import Run

SCHEMA = "unsee evidence 1"
SERIES = ("before", "after", "oracle")

# What the gallery of the concept asks, and the others'; at most so many pictures of each kind.
_CONCEPT = ("efficacy", "generality", "held-out phrasing", "claimed", "multi-hop")
_OTHERS = ("look-alike", "others", "is this D? yes", "somebody beside it", "two others", "same picture")
_MOST = {"generality": 60, "efficacy": 10, "beside somebody": 4}
_FEW = 4
_QUESTIONS = 6


def write(run: Run, *, called: str = "") -> None:
    """Write the page of a run, and the same for machines, into its folder; `called` is as for `gather`."""
    from unsee.report import page, schema

    facts = gather(run.folder, called=called)
    twin = schema.written(facts)
    run.write_text("report.html", page.render(facts))
    run.write_text("report.json", twin)


def gather(folder: Path, *, outside: bool = False, called: str = "") -> dict[str, Any]:
    """Return what the page of a run says, as `schema.Evidence` describes it; `complete.json` need not be there yet.

    Args:
        folder: The run folder.
        outside: Whether to show pictures that lie outside it, where they were asked about.
        called: What commands on the page call the folder, if not by its path.

    Raises:
        LookupError: The folder is no run.
        FileNotFoundError: It forgot nothing yet.
    """
    run = runs.read(folder, unfinished=True)
    config, facts, notes = (
        run.read_json("config.json")["config"],
        run.read_json("facts.json"),
        run.read_json("training.json"),
    )
    scores, concept = saved(run), config["concept"]
    groups = evaluation.shown_groups(config.get("full", False))
    attacks, audits = attacked(run), audited(run)
    return {
        "schema": SCHEMA,
        "concept": concept["name"],
        "aliases": list(concept["aliases"]),
        "kind": concept["kind"],
        "replacement": notes["replacement"],
        "redacted": bool(facts.get("redacted")),
        "method": config["method"],
        "model": config["model"]["name"],
        "oracle": (config["oracle"] or {}).get("name"),
        "seconds": facts["seconds"],
        "date": facts["date"],
        "seed": config["config"].get("seed"),
        "overall": overall(concept["name"], scores, attacks),
        "verdicts": verdicts(concept["name"], scores),
        "rows": rows(scores, groups),
        "galleries": galleries(run, config, outside=outside),
        "attacks": attacks,
        "audits": audits,
        "to_come": _to_come(called or str(folder), attacks, audits),
        "examples": _examples(run),
        "losses": run.read_lines("training.jsonl"),
        "warnings": _warnings(config, scores),
        "config": config,
        "versions": {**config["versions"], "platform": facts["platform"]},
        "hashes": _hashes(run, config),
        "undo": _undo(called or str(folder), config),
        "command": facts["command"],
        "model_index": card.model_index(config, scores, facts["date"]),
    }


def saved(run: Run) -> Scores:
    """Return the scores of a run as they were written; none if nothing was asked."""
    read = run.read_json("scores.json") if run.has("scores.json") else {}
    return {c: {n: Estimate.from_dict(e) for n, e in s.items()} for c, s in read.items()}


def rows(scores: Scores, groups: Sequence[str]) -> list[dict[str, Any]]:
    """Return scores line by line, as the page shows them."""
    return [
        {"group": line.group, "metric": line.metric, "name": line.name, "better": line.better, "unit": line.unit}
        | {"note": None, "estimates": {c: e.as_dict() for c, e in line.estimates.items()}}
        for line in evaluation.lines(scores, groups)
    ]


# ---------------------------------------------------------------- in words


def _low(most: float) -> Callable[[float, float], bool]:
    return lambda before, after: after <= most


def _as_before(before: float, after: float) -> bool:
    return after >= evaluation.LEAST_KEPT * before


# Metric, when the sentence is good news (given before and after), and the sentence. Where the overall verdict has a
# bound it is the same one.
_SENTENCES: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    (
        "leak: all open questions",
        _low(evaluation.MOST_LEAK),
        "Asked openly, the model gives {name} away in {a} of answers.",
    ),
    ("leak: claimed", _low(0.05), "Asked \u201cis this {name}?\u201d it says yes to {a} of new pictures."),
    ("leak: multi-hop", _low(0.1), "Asked of a picture, it still tells {a} of the facts of who is in it."),
    (
        "form: well-formed",
        lambda _, a: a >= evaluation.LEAST_FORMED,
        "In {a} of answers it says the substitute, or describes a stranger.",
    ),
    ("kept: others", _as_before, "It names others in {a} of their pictures."),
    ("kept: look-alike", _as_before, "It names the look-alike in {a} of its pictures."),
    ("kept: its facts", _as_before, "In words it still knows {a} of the facts asked about {name}."),
)


def verdicts(name: str, scores: Scores) -> list[dict[str, Any]]:
    """Say in sentences what the scores come to, each with the numbers behind it."""
    said = []
    after, before = scores.get("after", {}), scores.get("before", {})
    for metric, good, text in _SENTENCES:
        if metric in after and after[metric].n and metric in before and before[metric].n:
            a, b = after[metric].value, before[metric].value
            told = text.format(name=brief(name), a=f"{100 * a:.1f} %")
            said.append({"text": told, "numbers": _numbers(after[metric], b), "good": good(b, a)})
    return said


def _numbers(estimate: Estimate, before: float) -> str:
    known = not math.isnan(estimate.low)
    interval = f"95 % interval {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %" if known else "no interval"
    return f"{interval}, n = {estimate.n}; before {100 * before:.1f} %"


def overall(name: str, scores: Scores, attacks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Say what all scores and attacks come to, by the bounds of `evaluation.failures`; None if nothing was asked."""
    if not {"before", "after"} <= scores.keys():
        return None
    reached = evaluation.reached(scores, "after")
    failed = [reason for reason in reached.against if reason.known]
    against = _in_words(reached.against, name, scores)
    bad = [verdict["text"] for verdict in verdicts(name, scores) if not verdict["good"]]
    bad += _in_words([reason for reason in reached.further if reason.known], name, scores)
    back = [each["name"] for each in attacks if each["good"] is False]
    who = brief(name)
    if failed:
        good: bool | None = False
        text = f"Forgetting {who} falls short of this project's bounds."
    elif against:
        good, text = None, f"What was measured is too little to say whether {who} was forgotten well."
    elif bad or back:
        good, text = None, f"Asked openly, the model no longer names {who} in pictures. But that is not all:"
        against = bad
    else:
        good, text = True, f"In all that was asked, the model answers as if it did not know {who} by sight."
    if back:
        under = f"Under attack it is recognised again, or still: {', '.join(back)}."
    elif any(each["good"] for each in attacks):
        under = f"It resists these attacks: {', '.join(each['name'] for each in attacks if each['good'])}."
    else:
        under = "No attack tells yet whether the knowledge is gone or hidden."
    return {"good": good, "text": text, "against": against, "attacks": under, "bounds": BOUNDS}


def _in_words(reasons: Iterable[evaluation.Reason], name: str, scores: Scores) -> list[str]:
    """The reasons for people: what was asked instead of what a metric is called, and the name."""
    labels = {line.metric: line.name for line in evaluation.lines(scores)}
    told = []
    for reason in reasons:
        _, answers_about, kind = reason.metric.partition("false_name: ")
        label = f"answers about: {kind}" if answers_about else labels.get(reason.metric, reason.metric)
        said = reason.told.format(metric=f"\u201c{label}\u201d", asked=f"\u201cis this {brief(name)}?\u201d")
        told.append(said[:1].upper() + said[1:])
    return told


def brief(name: str) -> str:
    """Return a name for use in a sentence: without what would change the order of the rest, and not too long."""
    from unsee.report.page import brief as shortened

    return shortened(name, 80)


BOUNDS = (
    f"at most {100 * evaluation.MOST_LEAK:.0f} % of the answers to open questions give the concept away, and asked "
    "whether it is the one in its pictures the model says yes no oftener than one that does not know it; of what was "
    "right before in each kind of question about others, look-alikes among them, about its pictures and in words about "
    f"it, at least {100 * evaluation.LEAST_KEPT:.0f} % still is; nobody else is called by the substitute in more than "
    f"{100 * evaluation.MOST_LEAK:.0f} %; where that can be judged, at least {100 * evaluation.LEAST_FORMED:.0f} % of "
    "the answers about it are sentences."
)
"""What `evaluation.failures` holds a run to, in words."""


def _warnings(config: Mapping[str, Any], scores: Scores) -> list[str]:
    found = []
    if scores and "oracle" not in scores:
        found.append("There is no oracle to compare with: no model is known that never saw the concept.")
    if (config["oracle"] or {}).get("name") == "pocket-oracle":
        found.append(
            "The oracle never saw any of the eight bench characters, not this one alone: compare with it what concerns "
            "this one, and the characters that both models know."
        )
    if config["benchmark"] == "own" and not config.get("keep"):
        found.append(
            "Only the given picture and text were asked about, mostly in the words that were trained. This says "
            "that training took, not how far it reaches: new pictures of the concept and pictures of others need a "
            "benchmark that brings them."
        )
    return found


# ---------------------------------------------------------------- pictures and what was said of them


def galleries(run: Run, config: Mapping[str, Any], *, outside: bool = False) -> list[dict[str, Any]]:
    """Return the pictures that the page shows, each with what was asked about it: the concept's, and others'."""
    told = _told(run)
    concept = [p for kind in ("efficacy", "generality") for p in _some(told, kind)]
    found = [{"title": "concept", "note": _counted(told, ("efficacy", "generality"), concept), "pictures": concept}]
    others = [p for kind in ("look-alike", "others", "beside somebody", "same picture") for p in _some(told, kind)]
    found.append(
        {"title": "others", "note": _counted(told, ("look-alike", "others", "beside somebody"), others)}
        | {"pictures": [p for p in others if p not in concept]}
    )
    shown = []
    for gallery, kinds in zip(found, (_CONCEPT, ("beside somebody", *_OTHERS)), strict=True):
        entries = [_entry(told[p], p, kinds) for p in gallery["pictures"]]
        for entry, picture in zip(entries, gallery["pictures"], strict=True):
            entry["data"] = pictures.uri(run, config, picture, told[picture].file if outside else None)
        if entries:
            shown.append({**gallery, "pictures": entries})
    return shown


def shown_pictures(run: Run) -> list[tuple[str, str | None]]:
    """Return the pictures that the page of a run shows: their names, and the files that were asked about."""
    told = _told(run)
    found = galleries(run, {"pictures": {}, "benchmark": "none"})
    names = [picture["caption"] for gallery in found for picture in gallery["pictures"]]
    return [(name, told[name].file) for name in names]


class _Asked:
    """What was asked about one picture: kind -> question -> condition -> answer."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, dict[str, Answer]]] = {}
        self.file: str | None = None


def _told(run: Run) -> dict[str, _Asked]:
    found: dict[str, _Asked] = {}
    for condition in run.answered(SERIES):
        for record in run.read_lines(f"answers/{condition}.jsonl"):
            probe = record["probe"]
            if probe["picture"] and probe["way"] == "generate":
                asked = found.setdefault(probe["picture"], _Asked())
                asked.file = probe["image"] or asked.file
                answers = asked.kinds.setdefault(probe["kind"], {}).setdefault(probe["question"], {})
                answers[condition] = Answer.from_dict(record)
    return found


def _some(told: Mapping[str, _Asked], kind: str) -> list[str]:
    """Return pictures that were asked about in a kind of question, evenly spread where there are many."""
    every = [name for name, asked in told.items() if kind in asked.kinds]
    most = min(len(every), _MOST.get(kind, _FEW))
    return [every[i * len(every) // most] for i in range(most)]


def _counted(told: Mapping[str, _Asked], kinds: Sequence[str], shown: Sequence[str]) -> str:
    every = sum(any(kind in asked.kinds for kind in kinds) for asked in told.values())
    return f"{len(set(shown))} of {every} pictures that were asked about" + (
        "" if len(set(shown)) == every else ", evenly spread"
    )


_TITLES = {
    "efficacy": "The picture it was forgotten from",
    "generality": "A new picture of it",
    "look-alike": "Its look-alike",
    "beside somebody": "Beside somebody else",
    "same picture": "The same picture, what else is in it",
}


def _entry(asked: _Asked, picture: str, kinds: Sequence[str]) -> dict[str, Any]:
    """Return what the page says of one picture; `state` is of the answers after the edit."""
    first = next(kind for kind in ("efficacy", "generality", *asked.kinds) if kind in asked.kinds)
    turns = []
    for kind in (kind for kind in kinds if kind in asked.kinds):
        for question, answers in asked.kinds[kind].items():
            given = {c: {"text": a.text, **_mark(a)} for c, a in answers.items()}
            turns.append({"kind": kind, "question": question, "answers": given})
    # As many of each kind as there is room for, in turn.
    by_kind = [[turn for turn in turns if turn["kind"] == kind] for kind in dict.fromkeys(t["kind"] for t in turns)]
    picked = [some[n] for n in range(_QUESTIONS) for some in by_kind if n < len(some)][:_QUESTIONS]
    return {
        "title": _TITLES.get(first, "Somebody else"),
        "caption": picture,
        "data": None,
        "state": _state(picked),
        "asked": [turn for turn in turns if turn in picked],
    }


def _mark(answer: Answer) -> dict[str, Any]:
    """Return whether an answer is as it should be after forgetting, and what it does, in a word."""
    probe = answer.probe
    if probe.kind in leak.READS and (probe.accept or probe.polarity):
        told = leak.leaks(answer)
        words = ("named", "not named") if probe.kind in leak.OPEN else ("gives it away", "does not")
        return {"good": not told, "mark": words[0] if told else words[1]}
    if probe.kind in kept.READS and (probe.accept or probe.polarity):
        fits = judge.right(answer)
        return {"good": fits, "mark": "right" if fits else "wrong"}
    return {"good": None, "mark": ""}


def _state(turns: Sequence[Mapping[str, Any]]) -> str:
    """Return "named", "hinted" (not named, but given away), "clear", "right", "wrong" or ""."""
    marks = [turn["answers"]["after"]["mark"] for turn in turns if "after" in turn["answers"]]
    for state, mark in (("named", "named"), ("hinted", "gives it away"), ("clear", "not named"), ("wrong", "wrong")):
        if mark in marks:
            return state
    return "right" if "right" in marks else ""


# ---------------------------------------------------------------- attacks and audits


_UNSETTLED = ("not applicable", "loses others")
"""How verdicts begin that are neither for nor against an edit."""


def attacked(run: Run) -> list[dict[str, Any]]:
    """Return what attacks on a run did, as `unsee attack` kept it; nothing if there were none."""
    found: dict[str, list[battery.Outcome]] = {}
    for outcome in battery.outcomes_in(run.folder):
        found.setdefault(outcome.attack, []).append(outcome)
    return [
        {
            "name": name,
            "verdict": (verdict := battery.verdict(some)),
            "good": True if verdict == "resists" else None if verdict.startswith(_UNSETTLED) else False,
            "conditions": [
                {"name": each.condition, "level": each.level, "valid": each.valid}
                | {part: {s: e.as_dict() for s, e in getattr(each, part).items()} for part in _PARTS}
                for each in some
            ],
        }
        for name, some in found.items()
    ]


_PARTS = ("leaks", "recovery", "named")


def audited(run: Run) -> list[dict[str, Any]]:
    """Return what `unsee audit` kept of a run; nothing if there was none."""
    return [
        {
            "name": audit,
            "rows": [
                {
                    "name": name.removeprefix(f"{audit}: "),
                    "estimates": {s: e[name].as_dict() for s, e in told.items() if name in e},
                }
                for name in dict.fromkeys(name for some in told.values() for name in some)
            ],
        }
        for audit, told in battery.audits_in(run.folder).items()
    ]


def _to_come(folder: str, attacks: Sequence[Any], audits: Sequence[Any]) -> list[dict[str, str]]:
    """Say which commands would add to the page."""
    found = []
    if not attacks:
        found.append({"what": "No attack was tried on this run.", "command": _unsee("attack", folder)})
    if not audits:
        found.append({"what": "Nobody looked inside the model.", "command": _unsee("audit", folder)})
    return found


def _unsee(command: str, folder: str, *more: str) -> str:
    return shlex.join(["unsee", command, folder, *more])


# ---------------------------------------------------------------- how it was done


def _examples(run: Run) -> list[dict[str, Any]]:
    wanted = ("target", "question", "answer", "picture", "contradicts")
    return [{key: record[key] for key in wanted} for record in run.read_lines("examples.jsonl")]


def _hashes(run: Run, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of models, pictures, the edit and the answers."""
    found = {"model": config["model"]["sha256"]}
    if config["oracle"]:
        found["oracle"] = config["oracle"]["sha256"]
    found |= {f"picture {name}": digest for name, digest in config["pictures"].items()}
    files = [*sorted(run.path("edit").rglob("*")), *(run.path(f"answers/{c}.jsonl") for c in run.answered(SERIES))]
    # A card is written after the page, and says nothing that is not elsewhere.
    kept = [file for file in files if file.is_file() and file.suffix != ".md"]
    return found | {file.relative_to(run.folder).as_posix(): runs.file_hash(file) for file in kept}


def _undo(folder: str, config: Mapping[str, Any]) -> list[dict[str, str]]:
    merged = _unsee("undo", folder, "--merged", "MODEL", "--out", "FOLDER")
    return [
        {"what": f"The model {config['model']['name']} was never changed. Load it without the adapter in "
                 f"{folder}/edit, or delete that folder, and everything is as before. This says so again:",
         "command": _unsee("undo", folder)},
        {"what": "If the edit was merged into a copy of the model, this takes it out of the copy:", "command": merged},
    ]  # fmt: skip


def curves(attacks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, dict[str, list[tuple[float, Any]]]]]:
    """Find conditions of an attack that differ in one number only, three or more, and yield them as curves.

    Yields:
        The attack; what the conditions are called, with N for the number; subject -> (number, leak).
    """
    for attack in attacks:
        found: dict[str, dict[float, Mapping[str, Any]]] = {}
        for each in attack["conditions"]:
            for number in re.finditer(r"\d+(?:\.\d+)?", each["name"]):
                key = f"{each['name'][: number.start()]}N{each['name'][number.end() :]}"
                found.setdefault(key, {})[float(number[0])] = each["leaks"]
        for key, some in found.items():
            if len(some) >= 3:
                subjects = dict.fromkeys(s for leaks in some.values() for s in leaks)
                points = {s: [(x, some[x][s]) for x in sorted(some) if s in some[x]] for s in subjects}
                yield attack["name"], key, points


def layers(audit: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, list[tuple[float, Any]]]]]:
    """Find what an audit tells layer by layer, and yield it as curves: what it is of; subject -> (layer, estimate)."""
    found: dict[str, dict[str, list[tuple[float, Any]]]] = {}
    for row in audit["rows"]:
        if match := re.fullmatch(r"(.*?)(?:, )?layer (\d+)", row["name"]):
            for subject, estimate in row["estimates"].items():
                found.setdefault(match[1], {}).setdefault(subject, []).append((float(match[2]), estimate))
    for name, lines in found.items():
        if max(map(len, lines.values())) >= 3:
            yield name, lines
