"""Many requests, settings and seeds: forget each bench character in each way, and compare the ways.

Every cell (variant, character, seed) is written as soon as it is done, so a stopped bench goes on where it was. All
variants are asked the same probes about the same characters with the same seeds; differences are paired.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee import evaluation, judge, plugins, runs
from unsee.files import locked, write_whole
from unsee.metrics import kept, leak
from unsee.records import Answer, Estimate, Probe, Request
from unsee.stats import two_level_bootstrap

if TYPE_CHECKING:
    from unsee.vlm import VLM

# Variant -> method and the settings in which it differs from the recommended ones.
ABLATION: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "siu": ("siu", {}),
    "cross-entropy only": ("siu", {"beta": 0.0}),
    "no token mask": ("siu", {"mask_tokens": False}),
    "token mask without name ends": ("siu", {"mask_ends": False}),
    "no vocabulary mask": ("siu", {"mask_vocabulary": "none"}),
    "neither mask": ("siu", {"mask_tokens": False, "mask_vocabulary": "none"}),
    "distinctive vocabulary mask": ("siu", {"mask_vocabulary": "distinctive"}),
    "renormalised": ("siu", {"renormalise": True}),
    "without align": ("siu", {"without": ("align",)}),
    "without redescribe": ("siu", {"without": ("redescribe",)}),
    "without decouple": ("siu", {"without": ("decouple",)}),
    "without preserve": ("siu", {"without": ("preserve",)}),
    "text preserve only": ("siu", {"preserve": "text"}),
    "A not aimed": ("siu", {"aim": 0}),
    "no other views of the picture": ("siu", {"views": False}),
    "a description instead of a name": ("siu", {"replace_with": "description"}),
    "released trainer": ("siu_released", {}),
}
OPEN = "all open questions"


def sample(probes: Sequence[Probe], most: int | None) -> list[Probe]:
    """Return at most so many probes of each kind, spread evenly; None returns all."""
    if most is None:
        return list(probes)
    kinds: dict[str, list[Probe]] = {}
    for probe in probes:
        kinds.setdefault(probe.kind, []).append(probe)
    return [some[i * len(some) // min(most, len(some))] for some in kinds.values() for i in range(min(most, len(some)))]


def marks(answers: Iterable[Answer], wording: Any, replacement: str | None) -> dict[str, list[tuple[float, str]]]:
    """Return (value, cluster) of every answer by metric: 1 is a leak, a right answer, or a proper sentence."""
    found: dict[str, list[tuple[float, str]]] = {}
    answers = list(answers)
    for answer in answers:
        probe = answer.probe
        if probe.kind in leak.READS:
            value = float(leak.leaks(answer))
            found.setdefault(f"leak: {probe.kind}", []).append((value, probe.cluster))
            if probe.kind in leak.OPEN:
                found.setdefault(f"leak: {OPEN}", []).append((value, probe.cluster))
        elif probe.kind in kept.READS:
            found.setdefault(f"kept: {probe.kind}", []).append((float(judge.right(answer)), probe.cluster))
    clusters = {answer.probe.id: answer.probe.cluster for answer in answers}
    for verdict in evaluation.verdicts_on(answers, wording, replacement):
        found.setdefault("form: well-formed", []).append((verdict.value, clusters[verdict.probe]))
    return found


def run(
    vlm: VLM,
    requests: Sequence[Request],
    variants: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    seeds: Sequence[int],
    folder: Path,
    oracle: VLM | None = None,
    most: int | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Fill in every cell that `cells.jsonl` in the folder does not hold yet, and return all.

    Args:
        vlm: The model.
        requests: Whom to forget, one at a time.
        variants: See `ABLATION`.
        seeds: Of every variant and request.
        folder: Where the cells are kept; made if it is not there.
        oracle: A model that never saw the concepts, asked once per request.
        most: Probes of each kind; None asks all.
        settings: Settings of all variants, which those of a variant come on top of.
        progress: Whether to say on stderr what is being done.

    Raises:
        FileExistsError: The folder holds cells of another model or oracle, of other probes or other settings.
        BlockingIOError: Another process is at work on the folder.
    """
    import sys

    bench = plugins.load("benchmarks", "pocket")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cells.jsonl"
    setting = {"model": vlm.fingerprint(), "oracle": oracle and oracle.fingerprint(), "most": most}
    with locked(folder, f"another bench is at work on {folder}"):
        cells = _cells(file, setting)
        if not cells:
            write_whole(file, (json.dumps({**setting, "versions": runs.versions()}) + "\n").encode())
        done = {(c["variant"], c["concept"], c["seed"]): c["config"] for c in cells}
        anchors = [("before", vlm), *([("oracle", oracle)] if oracle else [])]
        for request in requests:
            name = request.concept.name
            todo = []
            for variant, seed in [*((v, s) for v in variants for s in seeds), *((a, -1) for a, _ in anchors)]:
                wanted = None if seed < 0 else _resolved(vlm, *variants[variant], settings, seed)[1]
                before = done.get((variant, name, seed), wanted)
                if before != wanted:
                    now, then = wanted or {}, before or {}
                    key = next(k for k in {**now, **then} if now.get(k) != then.get(k))
                    raise FileExistsError(
                        f"{file} holds {variant}, {name}, seed {seed} with {key} = {then.get(key)!r}, not "
                        f"{now.get(key)!r}; name another folder"
                    )
                if (variant, name, seed) not in done:
                    todo.append((variant, seed))
            if not todo:
                continue
            probes = sample(bench.probes(request), most)
            for variant, seed in todo:
                begin = time.monotonic()
                told, seconds, settled = request.replacement, 0.0, None
                if seed < 0:
                    answers = evaluation.ask(dict(anchors)[variant], probes)
                else:
                    plugin = plugins.load("methods", variants[variant][0])
                    config, settled = _resolved(vlm, *variants[variant], settings, seed)
                    (wish,) = plugin.prepare(vlm, (request,), config) if hasattr(plugin, "prepare") else (request,)
                    edit = plugin.unlearn(vlm, (wish,), bench.retain(request), config)
                    told, seconds = wish.replacement, time.monotonic() - begin
                    answers = evaluation.ask(vlm, probes, edit)
                cell = {"variant": variant, "concept": name, "seed": seed, "seconds": round(seconds, 2)}
                cell |= {"replacement": told, "config": settled, "marks": marks(answers, vlm.family.wording, told)}
                with file.open("a") as writer:
                    writer.write(json.dumps(cell) + "\n")
                cells.append(cell)
                if progress:
                    print(f"{variant}, {name}, seed {seed}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return cells


def _resolved(
    vlm: VLM, method: str, own: Mapping[str, Any], settings: Mapping[str, Any] | None, seed: int
) -> tuple[Any, dict[str, Any]]:
    """Return the config of a cell, and everything in it as JSON gives it back, with what the family fills in."""
    config = plugins.load("methods", method).Config(**{**(settings or {}), **own, "seed": seed})
    filled = dataclasses.asdict(config.schedule(vlm)) if hasattr(config, "schedule") else {}
    return config, json.loads(json.dumps({**dataclasses.asdict(config), **filled}))


def _cells(file: Path, setting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the cells that are there; a last line that was cut off in the middle is dropped."""
    lines = file.read_text().split("\n") if file.exists() else []
    if len(lines) < 2:  # killed before the first line was whole
        return []
    head = json.loads(lines[0])
    for name, value in setting.items():
        if head[name] != value:
            raise FileExistsError(f"{file} was made with {name} {head[name]!r}, not {value!r}; name another folder")
    if lines[-1]:  # killed while writing: every whole line ends with a line break
        write_whole(file, "".join(line + "\n" for line in lines[:-1]).encode())
    return [json.loads(line) for line in lines[1:-1]]


def summary(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Return metric -> variant -> estimate; the interval resamples characters, then pictures."""
    found: dict[str, dict[str, Estimate]] = {}
    for variant in dict.fromkeys(c["variant"] for c in cells):
        mine = [c for c in cells if c["variant"] == variant]
        for metric in dict.fromkeys(m for c in mine for m in c["marks"]):
            rows = [(v, c["concept"], k) for c in mine for v, k in c["marks"].get(metric, ())]
            values, concepts, clusters = zip(*rows, strict=True)
            found.setdefault(metric, {})[variant] = two_level_bootstrap(values, concepts, clusters)
    return found


def worst(cells: Sequence[Mapping[str, Any]], metric: str, variant: str) -> tuple[str, float]:
    """Return the character with the highest mean of a metric, over all seeds, and that mean."""
    means: dict[str, list[float]] = {}
    for cell in cells:
        if cell["variant"] == variant and metric in cell["marks"]:
            means.setdefault(cell["concept"], []).extend(v for v, _ in cell["marks"][metric])
    return max(((name, sum(v) / len(v)) for name, v in means.items()), key=lambda pair: pair[1])


def differences(cells: Sequence[Mapping[str, Any]], metric: str, base: str = "siu") -> dict[str, Estimate]:
    """Return variant minus base, paired by character, seed and probe; the interval resamples characters, then pictures.

    Nothing is returned for a variant that was tried on one character only: that would tell nothing about others.
    """
    by = {(c["variant"], c["concept"], c["seed"]): c["marks"].get(metric, []) for c in cells}
    found = {}
    for variant in dict.fromkeys(c["variant"] for c in cells):
        rows: list[tuple[float, str, str]] = []
        for (name, concept, seed), some in by.items():
            other = by.get((base, concept, seed))
            if name == variant and variant != base and other is not None and len(other) == len(some):
                rows += [(v - u, concept, k) for (v, k), (u, _) in zip(some, other, strict=True)]
        if len({concept for _, concept, _ in rows}) > 1:
            values, concepts, clusters = zip(*rows, strict=True)
            found[variant] = two_level_bootstrap(values, concepts, clusters, bounds=(-1, 1))
    return found


COLUMNS = {
    f"leak: {OPEN}": "leak",
    "leak: Spanish": "leak, Spanish",
    "leak: claimed": "claimed",
    "leak: multi-hop": "multi-hop leak",
    "form: well-formed": "well-formed",
    "kept: others": "others",
    "kept: look-alike": "look-alike",
    "kept: somebody beside it": "beside it",
    "kept: own pictures": "own pictures",
    "kept: its facts": "its facts",
    "kept: is this D? yes": "is this D?",
}
"""The metrics that a table of variants shows, and their headings."""


def markdown(cells: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with one line per variant, in per cent with intervals."""
    found = summary(cells)
    variants = dict.fromkeys(c["variant"] for c in cells)
    ordered = [
        *(a for a in ("before", "oracle") if a in variants),
        *(v for v in variants if v not in ("before", "oracle")),
    ]
    columns = {metric: title for metric, title in COLUMNS.items() if metric in found}
    out = ["| | " + " | ".join(columns.values()) + " | seconds |", "|---" * (len(columns) + 2) + "|"]
    for variant in ordered:
        shown = [evaluation.percent(found[metric].get(variant)) for metric in columns]
        seconds = sorted(c["seconds"] for c in cells if c["variant"] == variant)
        shown.append(f"{seconds[len(seconds) // 2]:.1f}" if seconds[-1] else "")
        out.append(f"| {variant} | " + " | ".join(shown) + " |")
    return "\n".join(out)


def remarks(cells: Sequence[Mapping[str, Any]], base: str = "siu") -> list[str]:
    """Say in which columns each variant differs from the base by more than chance, or that none can be told."""
    apart: dict[str, list[str]] = {
        v: [] for v in dict.fromkeys(c["variant"] for c in cells if c["seed"] >= 0) if v != base
    }
    for metric, title in COLUMNS.items():
        for variant, e in differences(cells, metric, base).items():
            if variant in apart and (e.low > 0 or e.high < 0):
                apart[variant].append(f"{title} {100 * e.value:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]")
    compared = len(apart) * sum(metric in COLUMNS for metric in {m for c in cells for m in c["marks"]})
    none = "no difference in any column; the pocket cannot show one at this size"
    lines = [f"{variant}: {', '.join(some) or none}" for variant, some in apart.items()]
    if compared:
        lines.append(f"({compared} comparisons at 95 %: about {compared / 20:.0f} would stand out by chance alone)")
    return lines
