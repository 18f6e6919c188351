"""Many requests, settings and seeds: forget each bench character in each way, and compare the ways.

Every cell (variant, character, seed) is written as soon as it is done, so a stopped bench goes on where it was: a line
in `cells.jsonl`, and its run folder, with all that any run has. What is asked of the model from before and of the
oracle is asked once per character. All variants are asked the same probes about the same characters with the same
seeds; differences are paired.
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
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee import evaluation, flow, judge, plugins, runs, stats
from unsee.files import folder_whole, locked, write_whole
from unsee.metrics import kept, leak
from unsee.records import Answer, Estimate, Request, Verdict
from unsee.stats import cluster_bootstrap, two_level_bootstrap

if TYPE_CHECKING:
    from unsee.edits import Edit
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


_PROTOCOL = 4  # changes whenever the same command would ask something else
_ANCHORS = ("before", "oracle")
_DISTANCES_TO = "oracle"  # the oracle that distances are taken to: at 0 from itself, as no other model can be


def is_oracle(variant: str) -> bool:
    """Tell whether a variant is an oracle: the first, or one of those beside it."""
    return bool(re.fullmatch(r"oracle(-\d+)?", variant))


def is_anchor(variant: str) -> bool:
    """Tell whether a variant is the model from before or an oracle."""
    return variant == "before" or is_oracle(variant)


def anchors_first(variants: Iterable[str]) -> list[str]:
    """Return variants with the model from before and the oracles by number at the front, and otherwise as they come."""

    def place(variant: str) -> tuple[bool, int]:
        anchor, number = is_anchor(variant.partition(", ")[0]), re.search(r"-(\d+)", variant)
        return not anchor, int(number[1]) if anchor and number else 0

    return sorted(variants, key=place)


def marks(answers: Sequence[Answer], verdicts: Iterable[Verdict]) -> dict[str, list[tuple[float, str]]]:
    """Return (value, cluster) of every answer by metric: 1 is a leak, a right answer, or a proper sentence."""
    found: dict[str, list[tuple[float, str]]] = {}
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
    for verdict in verdicts:
        if verdict.name == "well-formed":
            found.setdefault("form: well-formed", []).append((verdict.value, clusters[verdict.probe]))
    return found


def run(
    vlm: VLM,
    requests: Sequence[Request],
    variants: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    seeds: Sequence[int],
    folder: Path,
    benchmark: str = "pocket",
    oracle: VLM | None = None,
    further: Sequence[VLM] = (),
    most: int | None = None,
    joint: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Fill in every cell that `cells.jsonl` in the folder does not hold yet, and return all.

    Args:
        vlm: The model.
        requests: Whom to forget.
        variants: See `ABLATION`.
        seeds: Of every variant and request.
        folder: Where the cells are kept; made if it is not there.
        benchmark: What to ask; the paper's metrics and the strict protocol are asked as well.
        oracle: A model that never saw the concepts, asked once per request.
        further: More such models, for the scale alone (`anchored`). Each is asked about those concepts that it does not
            recognise, so one that never saw some of them will do. One that guesses a name it never learned is left
            out with that concept, too.
        most: Probes of each kind; None asks all.
        joint: Whether to forget all of them at once, with one edit, rather than each on its own.
        settings: Settings of all variants, which those of a variant come on top of.
        progress: Whether to say on stderr what is being done.

    Raises:
        ValueError: An oracle is given twice.
        NotRecognisedError: The model does not know a concept; the cells of those before it are kept.
        FileExistsError: The folder holds cells of another model or oracle, of other probes or other settings.
        BlockingIOError: Another process is at work on the folder.
    """
    import sys

    every = [other.fingerprint() for other in (oracle, *further) if other]
    if len(set(every)) < len(every):
        raise ValueError("an oracle is given twice, so it would seem that oracles are alike; give each once")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cells.jsonl"
    setting = {
        "model": vlm.fingerprint(),
        "oracle": every[0] if every else None,
        "oracles": every[1:] or None,
        "benchmark": benchmark,
        "most": most,
        "together": [request.concept.name for request in requests] if joint else None,
        "protocol": _PROTOCOL,
    }
    others = {f"oracle-{number}": other for number, other in enumerate(further, 2)}
    anchors = [*(_ANCHORS if oracle else _ANCHORS[:1]), *others]
    with locked(folder, f"another bench is at work on {folder}"):
        cells = _cells(file, setting)
        if not cells:
            write_whole(file, (json.dumps({**setting, "versions": runs.versions()}) + "\n").encode())
        todo = _todo(vlm, requests, variants, seeds, settings, cells, file, anchors)
        todo = [each for each in todo if not _knows(others.get(each[1]["variant"]), each[0])]
        start = time.monotonic()
        for number, (request, cell, config) in enumerate(todo):
            begin = time.monotonic()
            asked: dict[str, Any] = {"benchmark": benchmark, "full": True, "most": most}
            asked["together"] = setting["together"] or ()
            there = place(folder, {**cell, "variant": "before", "seed": -1})
            flow.ask_anchors(vlm, request, there, oracle=oracle or "none", **asked)
            if other := others.get(cell["variant"]):
                flow.ask_besides(other, cell["variant"], vlm, request, there, **asked)
            if config is not None:
                inside = place(folder, cell)
                if not runs.Run(inside).complete:  # else it was finished and its line never written
                    method, edit = variants[cell["variant"]][0], None
                    if joint:
                        edit, told = _together(folder, vlm, requests, cell, method, config, benchmark)
                        cell |= {"seconds of all": told["seconds"]}
                        request = dataclasses.replace(request, replacement=told["replacements"][request.concept.name])
                    flow.forget(
                        vlm, request, method=method, config=config, out=inside, begun=there, made=edit,
                        oracle=oracle or "none", **asked,
                    )  # fmt: skip
                cell |= runs.read(inside).read_json("training.json")  # seconds and replacement
            cell |= _measured(folder, cell)
            with file.open("a") as writer:
                writer.write(json.dumps(cell) + "\n")
            cells.append(cell)
            if progress:
                left = (time.monotonic() - start) / (number + 1) * (len(todo) - number - 1)
                print(
                    f"[{number + 1}/{len(todo)}] {cell['variant']}, {cell['concept']}, seed {cell['seed']}: "
                    f"{time.monotonic() - begin:.0f} s; about {math.ceil(left / 60)} min left",
                    file=sys.stderr,
                )
    return cells


def _knows(other: VLM | None, request: Request) -> bool:
    try:
        return other is not None and bool(flow.preflight(other, request))
    except flow.NotRecognisedError:
        return False


def recognised(vlm: VLM, requests: Sequence[Request]) -> tuple[list[Request], dict[str, str]]:
    """Return the requests whose concepts the model knows, and why the others cannot be asked for, by name."""
    known, refused = [], {}
    for request in requests:
        try:
            flow.preflight(vlm, request)
            known.append(request)
        except flow.NotRecognisedError as error:
            refused[request.concept.name] = str(error)
    return known, refused


def _together(
    folder: Path,
    vlm: VLM,
    requests: Sequence[Request],
    cell: Mapping[str, Any],
    method: str,
    config: Any,
    benchmark: str,
) -> tuple[Edit, dict[str, Any]]:
    """Return the edit that forgets all requests at once, made if it is not there; how long that took; substitutes."""
    from unsee.edits import Edit

    there = folder / "together" / _named(cell["variant"]) / f"seed-{cell['seed']}"
    if not there.exists():
        plugin, bench = plugins.load("methods", method), plugins.load("benchmarks", benchmark)
        begin = time.monotonic()
        wishes = flow.prepared(vlm, plugin, tuple(requests), config)
        held = [example for request in requests for example in bench.retain(request)]
        edit = plugin.unlearn(vlm, wishes, held, config)
        with folder_whole(there) as fresh:
            edit.save(fresh / "edit")
            told = {
                "config": cell["config"],
                "seconds": round(time.monotonic() - begin, 2),
                "replacements": {wish.concept.name: wish.replacement for wish in wishes},
            }
            (fresh / "notes.json").write_text(json.dumps(told), encoding="utf-8")
    notes = json.loads((there / "notes.json").read_text(encoding="utf-8"))
    if _on(notes["config"]) != _on(cell["config"]):
        raise FileExistsError(f"{there} holds an edit with other settings; name another folder")
    return Edit.load(there / "edit"), notes


def _todo(
    vlm: VLM,
    requests: Sequence[Request],
    variants: Mapping[str, tuple[str, Mapping[str, Any]]],
    seeds: Sequence[int],
    settings: Mapping[str, Any] | None,
    cells: Sequence[Mapping[str, Any]],
    file: Path,
    anchors: Sequence[str],
) -> list[tuple[Request, dict[str, Any], Any]]:
    """Return request, beginning of the record, and config (None for an anchor) of every cell that is not there.

    Raises:
        FileExistsError: One is there with other settings.
    """
    done = {(c["variant"], c["concept"], c["seed"]): c["config"] for c in cells}
    every: list[tuple[str, int, Any, Any]] = [(anchor, -1, None, None) for anchor in anchors]
    every += [(v, seed, *_resolved(vlm, *variants[v], settings, seed)) for v in variants for seed in seeds]
    todo = []
    for request in requests:
        for variant, seed, config, settled in every:
            cell = {"variant": variant, "concept": request.concept.name, "seed": seed}
            key = tuple(cell.values())
            if key not in done:
                cell |= {"seconds": 0.0, "replacement": None, "config": settled}
                todo.append((request, cell, config))
            elif (then := _on(done[key])) != (now := _on(settled)):
                name = next(k for k in {**now, **then} if now.get(k) != then.get(k))
                raise FileExistsError(
                    f"{file} holds {variant}, {key[1]}, seed {seed} with {name} = {(done[key] or {}).get(name)!r}, not "
                    f"{(settled or {}).get(name)!r}; name another folder"
                )
    return todo


def _on(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings that are not off: one that came later is off in cells that do not have it."""
    return {name: value for name, value in (config or {}).items() if value}


def _named(text: str) -> str:
    # Two names that differ in odd characters only must not share a folder.
    plain = re.sub(r"\W+", "-", text).strip("-")[:60]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def place(folder: Path, cell: Mapping[str, Any]) -> Path:
    """Return the run folder of a cell, or, of anchors, the folder of their answers."""
    if cell["seed"] < 0:
        return folder / "anchors" / _named(cell["concept"])
    return folder / "cells" / _named(cell["variant"]) / _named(cell["concept"]) / f"seed-{cell['seed']}"


def _measured(folder: Path, cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the marks and the scores of a cell."""
    there, condition = runs.read(place(folder, cell)), _condition(cell)
    answers = answers_of({**cell, "folder": str(folder)})
    verdicts = flow.verdicts_in(there, "verdicts.jsonl").get(condition, [])
    scores = {name: e for name, e in there.read_json("scores.json")[condition].items() if e["value"] is not None}
    return {"marks": marks(answers, verdicts), "scores": scores}


def _condition(cell: Mapping[str, Any]) -> str:
    return str(cell["variant"]) if cell["seed"] < 0 else "after"


def answers_of(cell: Mapping[str, Any]) -> list[Answer]:
    """Return what was answered in a cell that `joined` returned."""
    there = runs.Run(place(Path(cell["folder"]), cell))
    return [Answer.from_dict(record) for record in there.read_lines(f"answers/{_condition(cell)}.jsonl")]


def rescore(folder: Path) -> list[dict[str, Any]]:
    """Make the marks and scores of all cells anew from the answers that were kept; nothing is asked.

    Raises:
        LookupError: There are no cells, or the folder of one is gone.
        BlockingIOError: Another process is at work on the folder.
    """
    file = folder / "cells.jsonl"
    if not file.exists():
        raise LookupError(f"there is no bench in {folder}; name the folder of --out")
    with locked(folder, f"another bench is at work on {folder}"):
        head = _lines(file)[0]
        cells = _cells(file, {})
        for inside in dict.fromkeys(place(folder, cell) for cell in cells):
            flow.rescore(inside)
        for cell in cells:
            cell |= _measured(folder, cell)
        write_whole(file, "".join(line + "\n" for line in (head, *map(json.dumps, cells))).encode())
    return cells


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the cells of a bench as they are; nothing is asked, and nothing made anew.

    Raises:
        LookupError: There are none.
    """
    file = folder / "cells.jsonl"
    whole = file.read_text(encoding="utf-8").split("\n")[1:-1] if file.exists() else []  # every one ends with a break
    if not whole:
        raise LookupError(f"there is no bench in {folder}, or nothing was done in it yet; name the folder of its --out")
    return [json.loads(line) for line in whole]


def _lines(file: Path) -> list[str]:
    # Not splitlines: it also breaks lines at U+2028 and its like.
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def joined(cells: Sequence[dict[str, Any]], folder: Path, others: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the cells of a folder and those of others, each (variant, character, seed) once; the first is taken.

    Each says in "folder" which of them it is in.

    Raises:
        FileNotFoundError: A folder holds no cells.
        ValueError: One was made with another model, or asked something else.
    """
    found = {(c["variant"], c["concept"], c["seed"]): {**c, "folder": str(folder)} for c in cells}
    ours = json.loads(_lines(folder / "cells.jsonl")[0])
    for other in others:
        if not (other / "cells.jsonl").exists():
            raise FileNotFoundError(f"there is no bench in {other}; name the folder of its --out")
        head, *more = map(json.loads, _lines(other / "cells.jsonl"))
        for name in ("model", "oracle", "oracles", "benchmark", "most", "protocol"):
            if name == "oracles" and not (head.get(name) and ours.get(name)):
                continue  # further ones touch no cell but their own
            if head.get(name) != ours.get(name):
                raise ValueError(
                    f"{other} was made with {name} {head.get(name)!r}, {folder} with {ours.get(name)!r}; join like ones"
                )
        for concept in dict.fromkeys(cell["concept"] for cell in more):
            here, there = (_asked_of(each, concept) for each in (folder, other))
            if here and there and here != there:
                raise ValueError(
                    f"{other} and {folder} asked different things of {concept}, though with the same settings: the "
                    "pictures or the questions of the benchmark changed in between; make one of the two anew"
                )
        for cell in more:
            found.setdefault((cell["variant"], cell["concept"], cell["seed"]), {**cell, "folder": str(other)})
    settings: dict[str, Any] = {}
    for cell in found.values():
        config = {key: value for key, value in _on(cell["config"]).items() if key != "seed"}
        if config != settings.setdefault(cell["variant"], config):
            raise ValueError(
                f"{cell['variant']} was made with different settings in these folders; rename one of the two"
            )
    return list(found.values())


def _asked_of(folder: Path, concept: str) -> str:
    """Return the hash of the ids of all probes about a concept in a bench; nothing if it was not asked about."""
    run_ = runs.Run(place(folder, {"variant": "before", "concept": concept, "seed": -1}))
    return str(run_.read_json("config.json")["config"]["probes"]) if run_.has("config.json") else ""


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


def chosen_on(cells: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the selection characters among those that cells are about; of them nothing is told but the choice."""
    from unsee.pocket import world

    return {cell["concept"] for cell in cells} & {world.cast()[i].name for i in world.SELECTION}


def summary(
    cells: Sequence[Mapping[str, Any]], metrics: Collection[str] | None = None
) -> dict[str, dict[str, Estimate]]:
    """Return metric -> variant -> estimate, of some metrics or of all; intervals resample characters, then pictures."""
    found: dict[str, dict[str, Estimate]] = {}
    for variant in dict.fromkeys(c["variant"] for c in cells):
        mine = [c for c in cells if c["variant"] == variant]
        for metric in dict.fromkeys(m for c in mine for m in c["marks"] if metrics is None or m in metrics):
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
    "em: open": "EM, open",
    "em: yes/no": "EM, yes/no",
    "g_eval": "G-Eval",
    "c_dis": "C-Dis",
    "specificity": "specificity",
    "fluency": "fluency",
    "diversity: released": "diversity, as released",
    "diversity: all answers": "diversity of all",
    "mia": "MIA",
    "multilingual": "multilingual",
    "multi_hop": "multi-hop",
}
"""The metrics of the SIU paper's tables 1 and 4, in their order, and their headings."""

ANCHORED = {
    f"leak: {OPEN}": "leak",
    "leak: claimed": "claimed",
    "ranking": "name AUC",
    "choice": "choice of 4",
    "yes_no": "yes/no",
    "multi_hop": "multi-hop",
    "em: words": "EM",
    "c_dis": "C-Dis",
    "mia": "MIA",
    "oracle_distance: next": "distance to oracle",
    "oracle_distance: truth ratio": "truth ratios, KS",
}
"""The metrics of the anchored table, and their headings."""

STRICT = {
    f"leak: {OPEN}": "leak",
    "leak: claimed": "claimed",
    "ranking": "name AUC",
    "apart: ranking": "name AUC, off",
    "choice": "choice of 4",
    "apart: choice": "choice of 4, off",
    "yes_no": "yes/no",
    "apart: yes_no": "yes/no, off",
    "multi_hop": "multi-hop",
    "apart: multi_hop": "multi-hop, off",
    "form: well-formed": "well-formed",
    "kept: others": "others",
    "kept: look-alike": "look-alike",
    "kept: somebody beside it": "beside it",
    "kept: own pictures": "own pictures",
    "kept: its facts": "its facts",
    "false_name: stranger": "strangers misnamed",
    "oracle_distance: next": "distance to oracle",
    "oracle_distance: truth ratio": "truth ratios, KS",
}
"""The metrics of the strict table, and their headings; "off" is how far a number is from the oracle's (`apart`)."""
TABLES = {"short": COLUMNS, "strict": STRICT, "paper": PAPER, "anchored": ANCHORED}
_UNFAIR = "†"  # beside a distance to the oracle of what does not aim at what the oracle says
_SAME_MARKS = {"multi_hop": "leak: multi-hop"}  # metrics whose marks are kept under another name


def scored(
    cells: Sequence[Mapping[str, Any]], metrics: Collection[str] | None = None
) -> dict[str, dict[str, Estimate]]:
    """Return metric -> variant -> mean over cells of the metric, and how far some are from the oracle's (`apart`).

    Where the cells hold marks of a metric, the interval resamples characters, then pictures, as in `summary`, and each
    answer weighs the same. Of what is no mean over answers (areas, ratios, distances) a cell holds one number, so
    characters alone are resampled. n counts the observations in all cells. A metric with no value in a cell is left
    out of its mean.

    Args:
        cells: Of a bench.
        metrics: Which ones; None is all.
    """
    every = dict.fromkeys(m for c in cells for m in c["scores"] if metrics is None or m in metrics)
    found: dict[str, dict[str, Estimate]] = {}
    for variant in dict.fromkeys(c["variant"] for c in cells):
        mine = [c for c in cells if c["variant"] == variant]
        for metric in every:
            if some := [c for c in mine if metric in c["scores"]]:
                found.setdefault(metric, {})[variant] = _scored(some, metric)
    told = {f"{_APART}{metric}": estimates for metric, estimates in apart(cells).items()}
    return found | {name: e for name, e in told.items() if metrics is None or name in metrics}


def _scored(cells: Sequence[Mapping[str, Any]], metric: str, *, interval: bool = True) -> Estimate:
    """Return the mean of a metric that every one of some cells has; without its interval it takes no time."""
    marked = [c.get("marks", {}).get(_SAME_MARKS.get(metric, metric)) for c in cells]
    if all(marked):
        rows = [(v, c["concept"], k) for c, some in zip(cells, marked, strict=True) for v, k in some or ()]
        values, concepts, clusters = zip(*rows, strict=True)
        n = len(values)
    else:
        values, concepts = zip(*((c["scores"][metric]["value"], c["concept"]) for c in cells), strict=True)
        clusters, n = (), sum(c["scores"][metric]["n"] for c in cells)
    if not interval:
        return Estimate(math.fsum(values) / len(values), math.nan, math.nan, n)
    mean = two_level_bootstrap(values, concepts, clusters) if clusters else cluster_bootstrap(values, concepts)
    return dataclasses.replace(mean, n=n)


_APART = "apart: "


def apart(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Return metric -> variant -> how far it is from the oracle's, the mean over characters of the absolute difference.

    Of the metrics in `evaluation.TO_ORACLE`, each character's mean over seeds against the same character's of the
    oracle, so that a variant above it on one and below it on another is not thought near. The model from before is
    among the variants, and so is every further oracle; the oracle itself is not. The interval resamples characters.
    """
    means = _by_concept(cells, evaluation.TO_ORACLE)
    found: dict[str, dict[str, Estimate]] = {}
    for (variant, metric), mine in means.items():
        never = means.get((_DISTANCES_TO, metric), {})
        both = [concept for concept in mine if concept in never]
        if both and variant != _DISTANCES_TO:
            off = [abs(mine[concept] - never[concept]) for concept in both]
            found.setdefault(metric, {})[variant] = cluster_bootstrap(off, both, bounds=(0, 1))
    return {metric: found[metric] for metric in evaluation.TO_ORACLE if metric in found}


def reached(cells: Sequence[Mapping[str, Any]]) -> dict[str, evaluation.Reached]:
    """Return `evaluation.reached` of every variant over all characters and seeds, anchors left out.

    The model from before and the oracle are those of the same characters, so nobody is judged by another's.
    """
    found = {}
    for variant in dict.fromkeys(c["variant"] for c in cells):
        if not is_anchor(variant):
            found[variant] = evaluation.reached(_like(cells, variant), variant)
    return found


def _like(cells: Sequence[Mapping[str, Any]], variant: str) -> evaluation.Scores:
    """Scores of a variant, of the model from before and of the oracle, over the variant's characters."""
    whose = {c["concept"] for c in cells if c["variant"] == variant}
    found: evaluation.Scores = {}
    for name in dict.fromkeys((*_ANCHORS, variant)):
        some = [c for c in cells if c["variant"] == name and c["concept"] in whose]
        by = {m: [c for c in some if m in c["scores"]] for m in dict.fromkeys(m for c in some for m in c["scores"])}
        if some:  # an interval is needed of what is compared with an oracle's alone
            found[name] = {m: _scored(with_it, m, interval=m in evaluation.TO_ORACLE) for m, with_it in by.items()}
    return found


def anchored(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Return metric -> variant -> the mean, on the scale from before (0) to the oracle (1); see `stats.anchored`.

    Of the metrics in `ANCHORED`, and of concepts that a variant and both anchors were asked about. What is to stay as
    it was has no place on this scale: the oracle never saw the other concepts either. Where there are several oracles,
    each is placed between the model from before and the others.
    """
    means = _by_concept(cells, ANCHORED)
    found: dict[str, dict[str, Estimate]] = {}
    for (variant, metric), mine in means.items():
        before = means.get(("before", metric), {})
        never: dict[str, dict[str, float]] = {}  # concept -> oracle -> value
        for name, value in _oracles(means, metric, besides=variant).items():
            for concept in value:
                never.setdefault(concept, {})[name] = value[concept]
        if both := [concept for concept in mine if concept in before and concept in never]:
            values, start = ([some[concept] for concept in both] for some in (mine, before))
            found.setdefault(metric, {})[variant] = stats.anchored(values, start, [never[c] for c in both])
    return found


def _oracles(
    means: Mapping[tuple[str, str], Mapping[str, float]], metric: str, besides: str
) -> dict[str, Mapping[str, float]]:
    """Oracle -> concept -> value, of those that a variant may be placed by: the only one, or all but itself."""
    every = {v: value for (v, m), value in means.items() if m == metric and is_oracle(v)}
    if len(every) == 1:
        return every
    if metric.startswith("oracle_distance"):
        distant = {v: value for v, value in every.items() if v != _DISTANCES_TO}
        every = {} if besides == _DISTANCES_TO else distant
    return {v: value for v, value in every.items() if v != besides}


def retained(cells: Sequence[Mapping[str, Any]], metric: str = "kept: others") -> dict[str, Estimate]:
    """Return variant -> how much is left of what the model from before could do: 0 is nothing, 1 all of it.

    The oracle has no place on this scale: it never saw the others either.
    """
    means = _by_concept(cells, (metric,))
    before = means.get(("before", metric), {})
    found = {}
    for (variant, _), mine in means.items():
        both = [concept for concept in mine if concept in before]
        if both and not is_anchor(variant):
            values, whole = ([some[concept] for concept in both] for some in (mine, before))
            found[variant] = stats.anchored(values, [0.0] * len(both), whole)
    return found


def _by_concept(cells: Sequence[Mapping[str, Any]], metrics: Iterable[str]) -> dict[tuple[str, str], dict[str, float]]:
    """(variant, metric) -> concept -> mean over seeds of its scores."""
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for cell in cells:
        for metric in set(metrics) & cell["scores"].keys():
            some = values.setdefault((cell["variant"], metric), {})
            some.setdefault(cell["concept"], []).append(cell["scores"][metric]["value"])
    return {key: {concept: sum(v) / len(v) for concept, v in some.items()} for key, some in values.items()}


def grid(
    found: Mapping[str, Mapping[str, Estimate]], columns: Mapping[str, str], *, unit: str | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of a table: variants down, metrics across.

    Args:
        found: Metric -> variant -> estimate, as `scored` and `anchored` return it.
        columns: Metric -> heading. Headings get an arrow in the direction that is better, or the mark of what is to be
            where the oracle is, if how far it is from there stands beside it.
        unit: Of all numbers; None takes that of each metric, which is per cent if it says nothing.
    """
    metrics = evaluation.plugged()
    shown = {metric: title for metric, title in columns.items() if metric in found}
    variants = list(dict.fromkeys(v for some in found.values() for v in some))
    heads, units = [""], list[str]()
    for metric, title in shown.items():
        own = metrics.get(metric.removeprefix(_APART).partition(": ")[0])
        better = "lower" if metric.startswith(_APART) else "oracle" if f"{_APART}{metric}" in shown else own.BETTER  # type: ignore[union-attr]
        heads.append(f"{title} {_ARROWS[better]}" if unit is None else title)
        units.append(str(unit or getattr(own, "UNIT", "%")))
    rows = []
    for variant in anchors_first(variants):
        rows.append([variant, *(evaluation.shown(found[m].get(variant), u) for m, u in zip(shown, units, strict=True))])
    return heads, rows


_ARROWS = evaluation.ARROWS | {"oracle": "≈"}


def tabled(cells: Sequence[Mapping[str, Any]], which: str = "short") -> tuple[list[str], list[list[str]], list[str]]:
    """Return the headings, the rows and the notes of one of `TABLES`, with the seconds that requests took.

    Seconds are the median over requests of making examples and training. Notes say what the marks in the table mean,
    and how many answers of how many characters each column is made of.

    Raises:
        ValueError: The anchored table is asked for, and no oracle was asked.
    """
    columns = TABLES[which]
    if which == "anchored":
        found, unit = anchored(cells), "of the way"
        if not found:
            raise ValueError("no oracle was asked, so there is no scale to anchor; name one with --oracle")
    else:
        found, unit = scored(cells, columns), None
    columns = {metric: title for metric, title in columns.items() if metric in found}
    heads, rows = grid(found, columns, unit=unit)
    notes = []
    for row in rows:
        mine = [c for c in cells if c["variant"] == row[0]]
        if "oracle_distance: next" in columns and not (is_anchor(row[0]) or all(map(_aims, mine))):
            place = 1 + list(columns).index("oracle_distance: next")
            if row[place]:
                row[place] += f" {_UNFAIR}"
                notes = [
                    f"{_UNFAIR} Not trained to describe somebody unknown, as the oracle does, so no measure of it."
                ]
        taken = sorted(c["seconds"] for c in mine if "seconds" in c)
        row.append(f"{taken[len(taken) // 2]:.1f}" if taken and taken[-1] else "")
    if any(metric.startswith(_APART) for metric in columns):
        notes.insert(0, "≈ to be where the oracle is, not beyond; off: how far from it, character by character.")
    return [*heads, "seconds"], rows, [_counted(cells, found, columns), *notes]


def _counted(
    cells: Sequence[Mapping[str, Any]], found: Mapping[str, Mapping[str, Estimate]], columns: Mapping[str, str]
) -> str:
    """Say how many answers, of how many characters, are behind each column."""
    concepts = len({c["concept"] for c in cells})
    # How far off is told of characters, not of answers.
    answers = [metric for metric in columns if not metric.startswith(_APART)]
    of_rows = {metric: {e.n for e in found[metric].values() if e.n} for metric in answers}
    counts = {metric: sorted(some) for metric, some in of_rows.items() if some}
    told = [f"{columns[m]} {some[0]}" + (f" to {some[-1]}" if len(some) > 1 else "") for m, some in counts.items()]
    return f"n, over {concepts} concept{'s' * (concepts != 1)}: {'; '.join(told)}."


def _aims(cell: Mapping[str, Any]) -> bool:
    """Tell whether a cell was trained to describe somebody unknown, as the oracle does, rather than to say a name."""
    config = cell.get("config") or {}
    return "replace_with" in config and (config["replace_with"] == "description" or not cell["replacement"])


def written(heads: Sequence[str], rows: Sequence[Sequence[str]], form: str, notes: Sequence[str] = ()) -> str:
    """Return a table as "md", "csv", "tex" or "html"; whatever stands in a cell is escaped.

    Args:
        heads: The headings.
        rows: The rows, each as long.
        form: See above.
        notes: What is to be said beneath it, line by line; CSV has no place for that.

    Raises:
        ValueError: It is none of these.
    """
    if form == "md":
        every = [heads, ["---"] * len(heads), *rows]
        whole = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in every)
        return whole + ("\n" + "\n".join(notes) + "\n" if notes else "")
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([heads, *rows])
        return text.getvalue()
    if form == "tex":
        marks = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "≈": r"$\approx$", "†": r"$\dagger$"}
        marks["\\"] = r"\textbackslash{}"
        marks |= {char: f"\\{char}" for char in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}

        def plain(cell: str) -> str:
            return "".join(marks.get(char, char) for char in cell)

        lines = [" & ".join(map(plain, line)) + r" \\" for line in (heads, *rows)]
        middle = [lines[0], r"\midrule", *lines[1:]]
        begin = r"\begin{tabular}{l" + "r" * (len(heads) - 1) + "}"
        below = ["", "\\par\n".join(map(plain, notes))] if notes else []
        return "\n".join([begin, r"\toprule", *middle, r"\bottomrule", r"\end{tabular}", *below, ""])
    if form == "html":
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
        body = "\n".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        said = "".join(f"<p>{html.escape(note)}</p>\n" for note in notes)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n{said}"
    raise ValueError(f"there is no table of the form {form!r}; give md, csv, tex or html")


CHOSEN_BY = (f"leak: {OPEN}", "kept: others")
"""The metrics that settings are chosen by."""


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
    means = summary(cells, CHOSEN_BY)
    leaks, named = (means[metric] for metric in CHOSEN_BY)
    found: dict[str, tuple[str, float, float]] = {}
    for method in dict.fromkeys(v.partition(",")[0] for v in named if not is_anchor(v)):
        tried = [(v, leaks[v].value, named[v].value / named["before"].value)
                 for v in named if v.partition(",")[0] == method]  # fmt: skip
        enough = [row for row in tried if row[2] >= least]
        found[method] = min(enough, key=lambda row: (row[1], -row[2])) if enough else max(tried, key=lambda row: row[2])
    return found


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
