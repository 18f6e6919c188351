"""What the page of several runs, or of a bench, says, in plain values: read from folders, asking no model anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee import bench, evaluation, runs
from unsee.evaluation import Scores
from unsee.records import Estimate
from unsee.report import evidence, figures

SCHEMA = "unsee comparison 1"
_ANCHORS = ("before", "oracle")
_HEADLINES = {
    "leak: all open questions": "leak",
    "leak: claimed": "claimed",
    "leak: multi-hop": "its facts by picture",
    "kept: others": "others named",
    "kept: look-alike": "look-alike named",
}
_SAME = {"concept": "concepts", "model": "models", "probes": "questions", "oracle": "oracles"}


def of_runs(folders: Sequence[Path]) -> dict[str, Any]:
    """Return what the page of several runs says, as `schema.Comparison` describes it.

    Each run is shown with its edit. The model from before and the oracle are shown once, if all runs share them and
    were asked the same; else each run brings its own.

    Raises:
        LookupError: A folder is no run.
        ValueError: A run is given twice, or it asked nothing.
    """
    told = [(folder, runs.read(folder)) for folder in folders]
    if len({folder.resolve() for folder, _ in told}) < len(told):
        raise ValueError("a run is given twice; a comparison takes each once")
    configs = [run.read_json("config.json")["config"] for _, run in told]
    names = _names([folder for folder, _ in told])
    differing = [what for key, what in _SAME.items() if len({json.dumps(c.get(key)) for c in configs}) > 1]
    scores: Scores = {}
    subjects = []
    for name, (folder, run), config in zip(names, told, configs, strict=True):
        mine = evidence.saved(run)
        if "after" not in mine:
            raise ValueError(f"{folder} asked nothing (--benchmark none), so there is nothing to compare")
        for anchor in (a for a in _ANCHORS if a in mine):
            scores.setdefault(f"{anchor}, {name}" if differing else anchor, mine[anchor])
        scores[name] = mine["after"]
        about = {
            "concept": config["concept"]["name"],
            "method": config["method"],
            "model": config["model"]["name"],
            "seed": str(config["config"].get("seed")),
            "seconds": f"{run.read_json('training.json')['seconds']:.1f}",
            "run": str(folder),
            **_headlines(mine["after"]),
        }
        reached = evaluation.reached(mine, "after") if "before" in mine else None
        subjects.append({"name": name, "about": about, **_against(reached)})
    warnings = []
    if differing:
        warnings.append(f"These runs are about different {_listed(differing)}: only what they share can be compared.")
    full = all(config.get("full", False) for config in configs)
    return _comparison(
        f"{len(told)} runs, side by side",
        subjects,
        _ordered(scores),
        evaluation.shown_groups(full),
        warnings=warnings,
        versions=configs[0]["versions"],
    )


def of_bench(folder: Path, others: Sequence[Path] = ()) -> dict[str, Any]:
    """Return what the page of a bench says, as `schema.Comparison` describes it.

    Args:
        folder: The folder of the bench.
        others: Folders of others, whose cells stand beside its own.

    Raises:
        LookupError: There is no bench in a folder, or nothing was done in it yet.
        ValueError: One was made with another model, or asked something else.
    """
    cells = bench.joined(bench.read(folder), folder, others)
    if selection := bench.chosen_on(cells):
        raise ValueError(
            f"{folder} is about {', '.join(sorted(selection))}, on whom settings are chosen; of those no result is "
            "shown but the choice (`unsee bench` prints it)"
        )
    found = bench.scored(cells)
    variants = list(dict.fromkeys(cell["variant"] for cell in cells))
    scores = {v: {metric: some[v] for metric, some in found.items() if v in some} for v in variants}
    chosen = [v for v in variants if not bench.is_anchor(v)]
    subjects, reached = [], bench.reached(cells)
    for variant in chosen:
        mine = [cell for cell in cells if cell["variant"] == variant]
        seconds = sorted(cell["seconds"] for cell in mine)
        about = {
            "concepts": str(len({cell["concept"] for cell in mine})),
            "seeds": str(len({cell["seed"] for cell in mine})),
            "seconds": f"{seconds[len(seconds) // 2]:.1f} (median)",
            **_headlines(scores[variant]),
        }
        subjects.append({"name": variant, "about": about, **_against(reached[variant])})
    # Of a single score nothing tells how it varies over characters.
    few = len({cell["concept"] for cell in cells})
    warnings = [f"There are {few} concepts; intervals over fewer than about eight are too narrow."] if few < 8 else []
    shown = bench.anchored(cells)
    curves = [
        {"setting": setting, "metric": figures.PANELS[metric]}
        | {"lines": {name: [{"x": x, "estimate": e.as_dict()} for x, e in line] for name, line in some.items()}}
        for setting, metrics in figures.curves(cells).items()
        for metric, some in metrics.items()
    ]
    return _comparison(
        f"A bench: {len(chosen)} settings, {few} concepts",
        subjects,
        _ordered(scores),
        tuple(evaluation.GROUPS),
        warnings=warnings,
        versions=json.loads((folder / "cells.jsonl").read_text(encoding="utf-8").split("\n")[0])["versions"],
        anchored=[
            {"group": "anchored", "metric": metric, "name": bench.ANCHORED[metric], "better": None}
            | {"unit": "of the way", "note": None, "estimates": {v: e.as_dict() for v, e in shown[metric].items()}}
            for metric in bench.ANCHORED
            if metric in shown
        ],
        curves=curves,
        remarks=bench.remarks(cells, chosen[0]) if chosen else [],
    )


def _comparison(
    title: str,
    subjects: Sequence[Mapping[str, Any]],
    scores: Scores,
    groups: Sequence[str],
    *,
    warnings: Sequence[str],
    versions: Mapping[str, str],
    anchored: Sequence[Mapping[str, Any]] = (),
    curves: Sequence[Mapping[str, Any]] = (),
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "title": title,
        "redacted": False,
        "subjects": list(subjects),
        "bounds": evidence.BOUNDS,
        "warnings": list(warnings),
        "rows": evidence.rows(scores, groups),
        "anchored": list(anchored),
        "curves": list(curves),
        "remarks": list(remarks),
        "versions": dict(versions),
        "command": "",
    }


def _against(reached: evaluation.Reached | None) -> dict[str, list[str] | bool | None]:
    """Return what stands against each of the two tiers, and whether something is known to be bad in the next one."""
    if reached is None:
        return {"against": None, "further": None, "known": None}
    bad = any(reason.known for reason in reached.against or reached.further)
    return {"against": [*map(str, reached.against)], "further": [*map(str, reached.further)], "known": bad}


def _headlines(scores: Mapping[str, Estimate]) -> dict[str, str]:
    known = {title: scores[metric] for metric, title in _HEADLINES.items() if metric in scores}
    return {title: f"{evaluation.percent(e)} %" for title, e in known.items() if e.n}


def _ordered(scores: Scores) -> Scores:
    """Put the model from before and the oracle first."""
    return {name: scores[name] for name in bench.anchors_first(scores)}


def _names(folders: Sequence[Path]) -> list[str]:
    """Return what to call runs: the end of their paths, as much of it as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
