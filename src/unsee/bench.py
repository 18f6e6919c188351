"""Many requests, settings and seeds: forget each bench character in each way, and compare the ways.

Every cell (variant, character, seed) is written as soon as it is done, so a stopped bench goes on where it was: a line
in `cells.jsonl`, and a folder with the edit, the answers and the verdicts, from which scores can be made anew. All
variants are asked the same probes about the same characters with the same seeds; differences are paired.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import html
import io
import json
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee import evaluation, judge, plugins, runs
from unsee.edits import Edit
from unsee.files import folder_whole, locked, write_whole
from unsee.metrics import kept, leak
from unsee.records import Answer, Estimate, Probe, Request, Verdict
from unsee.stats import cluster_bootstrap, two_level_bootstrap

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


_PROTOCOL = 2  # changes whenever the same command would ask something else


def asked(benchmark: Any, request: Request) -> list[Probe]:
    """Return all that a benchmark asks about a request, for the paper's metrics and the strict protocol as well."""
    parts = [getattr(benchmark, name) for name in ("probes", "paper", "strict") if hasattr(benchmark, name)]
    return [probe for part in parts for probe in part(request)]


def sample(probes: Sequence[Probe], most: int | None) -> list[Probe]:
    """Return at most so many probes of each kind, spread evenly; None returns all."""
    if most is None:
        return list(probes)
    kinds: dict[str, list[Probe]] = {}
    for probe in probes:
        kinds.setdefault(probe.kind, []).append(probe)
    found = [
        some[i * len(some) // min(most, len(some))] for some in kinds.values() for i in range(min(most, len(some)))
    ]
    # What is scored for membership inference is compared with what is said to the same question.
    said = {(p.picture, p.question) for p in found if p.kind == "efficacy"}
    pairs = [p for p in kinds.get("MIA", ()) if (p.picture, p.question) in said]
    return [p for p in found if p.kind != "MIA"] + pairs


def marks(answers: Iterable[Answer], wording: Any, replacement: str | None) -> dict[str, list[tuple[float, str]]]:
    """Return (value, cluster) of every answer by metric: 1 is a leak, a right answer, or a proper sentence."""
    found: dict[str, list[tuple[float, str]]] = {}
    answers = list(answers)
    for answer in answers:
        probe = answer.probe
        if probe.kind in leak.READS and (probe.accept or probe.polarity):
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
    setting = {
        "model": vlm.fingerprint(),
        "oracle": oracle and oracle.fingerprint(),
        "most": most,
        "protocol": _PROTOCOL,
    }
    with locked(folder, f"another bench is at work on {folder}"):
        cells = _cells(file, setting)
        if not cells:
            write_whole(file, (json.dumps({**setting, "versions": runs.versions()}) + "\n").encode())
        done = {(c["variant"], c["concept"], c["seed"]): c["config"] for c in cells}
        anchors = {"before": vlm} | ({"oracle": oracle} if oracle else {})
        every = [*((a, -1) for a in anchors), *((v, s) for v in variants for s in seeds)]
        todo = []
        for request in requests:
            name = request.concept.name
            for variant, seed in every:
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
                    todo.append((request, variant, seed))
        start = time.monotonic()
        for number, (request, variant, seed) in enumerate(todo):
            name, begin = request.concept.name, time.monotonic()
            probes = sample(asked(bench, request), most)
            told, seconds, settled, edit = request.replacement, 0.0, None, None
            if seed < 0:
                answers = evaluation.ask(anchors[variant], probes)
            else:
                plugin = plugins.load("methods", variants[variant][0])
                config, settled = _resolved(vlm, *variants[variant], settings, seed)
                (wish,) = plugin.prepare(vlm, (request,), config) if hasattr(plugin, "prepare") else (request,)
                edit = plugin.unlearn(vlm, (wish,), bench.retain(request), config)
                told, seconds = wish.replacement, time.monotonic() - begin
                answers = evaluation.ask(vlm, probes, edit)
            cell = {"variant": variant, "concept": name, "seed": seed, "seconds": round(seconds, 2)}
            cell |= {"replacement": told, "config": settled}
            verdicts = [
                *evaluation.verdicts_on(answers, vlm.family.wording, told),
                *evaluation.fluency_of(vlm, answers, request.concept.names),
            ]
            with folder_whole(place(folder, cell)) as fresh:
                for kind, records in (("answers", answers), ("verdicts", verdicts)):
                    lines = "".join(json.dumps(record.to_dict()) + "\n" for record in records)
                    (fresh / f"{kind}.jsonl").write_text(lines, encoding="utf-8")
                if isinstance(edit, Edit):
                    edit.save(fresh / "edit")
            cell |= _measured(folder, cell, answers, verdicts, vlm.family.wording)
            with file.open("a") as writer:
                writer.write(json.dumps(cell) + "\n")
            cells.append(cell)
            if progress:
                left = (time.monotonic() - start) / (number + 1) * (len(todo) - number - 1)
                print(
                    f"[{number + 1}/{len(todo)}] {variant}, {name}, seed {seed}: {time.monotonic() - begin:.0f} s; "
                    f"about {math.ceil(left / 60)} min left",
                    file=sys.stderr,
                )
    return cells


def place(folder: Path, cell: Mapping[str, Any]) -> Path:
    """Return where the answers, the verdicts and the edit of a cell are kept."""

    def named(text: str) -> str:
        # Two names that differ in odd characters only must not share a folder.
        plain = re.sub(r"\W+", "-", text).strip("-")[:60]
        return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    seed = "" if cell["seed"] < 0 else f"seed-{cell['seed']}"
    return folder / "cells" / named(cell["variant"]) / named(cell["concept"]) / seed


def _measured(
    folder: Path,
    cell: Mapping[str, Any],
    answers: Sequence[Answer],
    verdicts: Sequence[Verdict],
    wording: Any,
) -> dict[str, Any]:
    """Return the marks and the scores of a cell, the latter beside those from before and the oracle."""
    compared = {"cell": answers}
    for anchor in ("before", "oracle"):
        file = place(folder, {**cell, "variant": anchor, "seed": -1}) / "answers.jsonl"
        if file.exists():
            compared[anchor] = [Answer.from_dict(json.loads(line)) for line in _lines(file)]
    before, oracle = compared.get("before"), compared.get("oracle")
    scores: dict[str, Any] = {}
    for name in plugins.names("metrics"):
        found = plugins.load("metrics", name).measure(answers, before=before, oracle=oracle, verdicts=verdicts)
        scores |= {metric: e.as_dict() for metric, e in found.items() if e.n}
    return {"marks": marks(answers, wording, cell["replacement"]), "scores": scores}


def _lines(file: Path) -> list[str]:
    # Not splitlines: it also breaks lines at U+2028 and its like, which may stand in an answer.
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def rescore(vlm: VLM, folder: Path) -> list[dict[str, Any]]:
    """Make the marks and scores of all cells anew from the answers and verdicts that were kept; nothing is asked.

    Raises:
        FileNotFoundError: There are no cells, or the answers of one are gone.
        BlockingIOError: Another process is at work on the folder.
    """
    file = folder / "cells.jsonl"
    if not file.exists():
        raise FileNotFoundError(f"there is no bench in {folder}; name the folder of --out")
    with locked(folder, f"another bench is at work on {folder}"):
        head = json.loads(_lines(file)[0])
        cells = _cells(file, {})
        for cell in cells:
            inside = place(folder, cell)
            answers = [Answer.from_dict(json.loads(line)) for line in _lines(inside / "answers.jsonl")]
            verdicts = [Verdict.from_dict(json.loads(line)) for line in _lines(inside / "verdicts.jsonl") if line]
            # Rules may have changed since; what a model said of an answer has not.
            verdicts = [v for v in verdicts if v.judge != judge.VERSION]
            verdicts += evaluation.verdicts_on(answers, vlm.family.wording, cell["replacement"])
            cell |= _measured(folder, cell, answers, verdicts, vlm.family.wording)
        write_whole(file, "".join(json.dumps(line) + "\n" for line in (head, *cells)).encode())
    return cells


def joined(cells: Sequence[dict[str, Any]], folder: Path, others: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the cells of a folder and those of others, each (variant, character, seed) once; the first is taken.

    Raises:
        FileNotFoundError: A folder holds no cells.
        ValueError: One was made with another model, or asked something else.
    """
    found = {(c["variant"], c["concept"], c["seed"]): c for c in cells}
    ours = json.loads(_lines(folder / "cells.jsonl")[0])
    for other in others:
        if not (other / "cells.jsonl").exists():
            raise FileNotFoundError(f"there is no bench in {other}; name the folder of its --out")
        head, *more = map(json.loads, _lines(other / "cells.jsonl"))
        for name in ("model", "oracle", "most", "protocol"):
            if head.get(name) != ours[name]:
                raise ValueError(
                    f"{other} was made with {name} {head.get(name)!r}, {folder} with {ours[name]!r}; join like ones"
                )
        for cell in more:
            found.setdefault((cell["variant"], cell["concept"], cell["seed"]), cell)
    settings: dict[str, Any] = {}
    for cell in found.values():
        config = {key: value for key, value in (cell["config"] or {}).items() if key != "seed"}
        if config != settings.setdefault(cell["variant"], config):
            raise ValueError(
                f"{cell['variant']} was made with different settings in these folders; rename one of the two"
            )
    return list(found.values())


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
        if head.get(name) != value:
            raise FileExistsError(f"{file} was made with {name} {head.get(name)!r}, not {value!r}; name another folder")
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


PAPER = {
    "efficacy": "efficacy",
    "em: words": "EM",
    "c_dis": "C-Dis",
    "specificity": "specificity",
    "fluency": "fluency",
    "diversity: released": "diversity",
    "mia": "MIA",
    "multilingual": "multilingual",
    "multi_hop": "multi-hop",
}
"""The metrics of the SIU paper's tables 1 and 4, in their order, and their headings."""

STRICT = {
    f"leak: {OPEN}": "leak",
    "ranking": "name AUC",
    "choice": "choice of 4",
    "yes_no": "yes/no",
    "multi_hop": "multi-hop",
    "form: well-formed": "well-formed",
    "kept: others": "others",
    "kept: look-alike": "look-alike",
    "kept: somebody beside it": "beside it",
    "kept: own pictures": "own pictures",
    "kept: its facts": "its facts",
    "false_name: stranger": "strangers misnamed",
    "oracle_distance: next": "distance to oracle",
}
"""The metrics of the strict table, and their headings."""


def scored(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Return metric -> variant -> mean over cells of the metric; the interval resamples characters.

    n counts the observations in all cells. A metric with no value in a cell is left out of its mean.
    """
    found: dict[str, dict[str, Estimate]] = {}
    for variant in dict.fromkeys(c["variant"] for c in cells):
        mine = [c for c in cells if c["variant"] == variant]
        for metric in dict.fromkeys(m for c in mine for m in c["scores"]):
            rows = [(c["scores"][metric], c["concept"]) for c in mine if metric in c["scores"]]
            values, concepts = [e["value"] for e, _ in rows], [concept for _, concept in rows]
            mean = cluster_bootstrap(values, concepts)
            n = sum(e["n"] for e, _ in rows)
            found.setdefault(metric, {})[variant] = dataclasses.replace(mean, n=n)
    return found


def failed(cells: Sequence[Mapping[str, Any]], variant: str) -> list[str]:
    """Return `evaluation.failures` of a variant over all characters and seeds."""
    means = scored([c for c in cells if c["variant"] in ("before", variant)])
    scores = {v: {metric: some[v] for metric, some in means.items() if v in some} for v in ("before", variant)}
    return evaluation.failures(scores, variant)


def grid(cells: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of a table of `scored` cells: variants down, metrics across.

    Headings have an arrow in the direction that is better. Per cent, but for metrics in units of their own.
    """
    metrics = {name.partition(": ")[0]: m for m in _loaded() for name in m.measure([])}
    found = scored(cells)
    shown = {metric: title for metric, title in columns.items() if metric in found}
    variants = list(dict.fromkeys(c["variant"] for c in cells))
    first = [v for v in ("before", "oracle") if v in variants]
    heads = ["", *(
        f"{title} {'↓' if metrics[metric.partition(': ')[0]].BETTER == 'lower' else '↑'}"
        for metric, title in shown.items()
    )]  # fmt: skip
    rows = []
    for variant in [*first, *(v for v in variants if v not in first)]:
        units = [getattr(metrics[metric.partition(": ")[0]], "UNIT", "%") for metric in shown]
        rows.append([variant, *(evaluation.shown(found[m].get(variant), u) for m, u in zip(shown, units, strict=True))])
    return heads, rows


def _loaded() -> list[Any]:
    return [plugins.load("metrics", name) for name in plugins.names("metrics")]


def written(heads: Sequence[str], rows: Sequence[Sequence[str]], form: str) -> str:
    """Return a table as "md", "csv", "tex" or "html"; whatever stands in a cell is escaped.

    Raises:
        ValueError: It is none of these.
    """
    if form == "md":
        every = [heads, ["---"] * len(heads), *rows]
        return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in every)
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([heads, *rows])
        return text.getvalue()
    if form == "tex":
        marks = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "\\": r"\textbackslash{}"}
        marks |= {char: f"\\{char}" for char in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}

        def plain(cell: str) -> str:
            return "".join(marks.get(char, char) for char in cell)

        lines = [" & ".join(map(plain, line)) + r" \\" for line in (heads, *rows)]
        middle = [lines[0], r"\midrule", *lines[1:]]
        begin = r"\begin{tabular}{l" + "r" * (len(heads) - 1) + "}"
        return "\n".join([begin, r"\toprule", *middle, r"\bottomrule", r"\end{tabular}", ""])
    if form == "html":
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
        body = "\n".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
    raise ValueError(f"there is no table of the form {form!r}; give md, csv, tex or html")


def tuned(cells: Sequence[Mapping[str, Any]], least: float = 0.9) -> dict[str, tuple[str, float, float]]:
    """Return for each method the variant that leaks least, of those that keep enough of the others.

    The criterion is fixed beforehand: the least leak in open questions among variants after which others are still
    named at least `least` as often as before; of two alike, the one that keeps more. A method of which no variant
    keeps enough is represented by the one that keeps most.

    Args:
        cells: Of a grid on the selection characters. Variants of one method begin with its name and a comma.
        least: Share of what was named before.

    Returns:
        Method -> variant, its leak, and its share of others named, of before.
    """
    means = summary(cells)
    leaks, named = means[f"leak: {OPEN}"], means["kept: others"]
    found: dict[str, tuple[str, float, float]] = {}
    for method in dict.fromkeys(v.partition(",")[0] for v in named if v not in ("before", "oracle")):
        tried = [(v, leaks[v].value, named[v].value / named["before"].value)
                 for v in named if v.partition(",")[0] == method]  # fmt: skip
        enough = [row for row in tried if row[2] >= least]
        found[method] = min(enough, key=lambda row: (row[1], -row[2])) if enough else max(tried, key=lambda row: row[2])
    return found


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
        out.append(f"| {variant.replace('|', chr(92) + '|')} | " + " | ".join(shown) + " |")
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
