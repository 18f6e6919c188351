"""Where the SIU paper's ranking of methods holds on the pocket model, and where it does not, from kept cells.

    python benchmarks/against_paper.py [NAME]      of benchmarks/cells/NAME.jsonl.xz; table1 if no name is given

Only orders are compared: the paper's numbers (siu_paper.yaml) are of LLaVA and one person, ours of the pocket model and
all its bench characters. A pair of methods is *confirmed* where the better one of the paper is the better one here and
the 95 % interval of the difference, paired by character and seed, leaves out 0; *contradicted* where the other one is,
by the same measure; *undecided* where 0 is inside. Two that are alike in the paper are a *tie*: nothing to confirm.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import kept
import yaml

from unsee import bench, evaluation
from unsee.records import Estimate
from unsee.stats import cluster_bootstrap

Cells = Sequence[Mapping[str, Any]]
METHODS = {"po": "PO", "ga": "GA", "ga_kl": "GA+KL", "siu": "SIU"}
PAIRS = tuple(itertools.combinations(reversed(METHODS), 2))
SAID = yaml.safe_load((Path(__file__).parent / "siu_paper.yaml").read_text(encoding="utf-8"))
PAPER, LARGER = SAID["LLaVA-1.5-7B"], SAID["LLaVA-1.5-13B"]


def groups(variants: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return settings -> name -> variant ("po, as the paper" is `po` in the settings `as the paper`).

    SIU has no grid: beside tuned baselines stand its recommended settings, which have no name. Settings in which there
    are no two of the paper's methods are left out.
    """
    found: dict[str, dict[str, str]] = {}
    for variant in dict.fromkeys(variants):
        name, _, settings = variant.partition(", ")
        found.setdefault(settings, {})[name] = variant
    if "siu" not in found.get("tuned", {"siu": ""}):
        found["tuned"] = found.get("", {}) | found["tuned"]
    return {settings: names for settings, names in found.items() if len(METHODS.keys() & names) > 1}


def unit(metric: str) -> str:
    """Return the unit of a metric."""
    return str(getattr(_plugin(metric), "UNIT", "%"))


def _plugin(metric: str) -> Any:
    return evaluation.plugged()[metric.partition(": ")[0]]


def combined(cells: Cells, metric: str, weights: Mapping[Any, float]) -> Estimate:
    """Return a weighted sum of variants (and of the number 1), each with the others of its character and seed.

    The interval resamples characters, with all their seeds. Nothing is measured if a variant is not there.
    """
    scores: dict[tuple[str, int], dict[Any, float]] = {}
    for cell in cells:
        if metric in cell["scores"]:
            some = scores.setdefault((cell["concept"], cell["seed"]), {1: 1.0})
            some[cell["variant"]] = cell["scores"][metric]["value"]
    whole = {key: some for key, some in scores.items() if weights.keys() <= some.keys()}
    if not whole:
        return Estimate.nothing()
    # Rounded, or what cancels would leave 1e-17, the same everywhere, and that leaves out 0.
    sums = [round(sum(w * some[v] for v, w in weights.items()), 12) for some in whole.values()]
    own = [weight for variant, weight in weights.items() if variant != 1]
    least, most = (weights.get(1, 0) + sum(end(weight, 0) for weight in own) for end in (min, max))  # shares: 0 to 1
    bounds = (least, most) if unit(metric) == "%" else (-math.inf, math.inf)
    return cluster_bootstrap(sums, [concept for concept, _ in whole], bounds=bounds)


def signed(estimate: Estimate, metric: str) -> str:
    """Return a difference in the metric's unit, with signs, and fine enough to see on which side of 0 an end is."""
    scale = 100 if unit(metric) == "%" else 1
    return "{:+.3g} [{:+.3g}, {:+.3g}]".format(*(scale * x for x in (estimate.value, estimate.low, estimate.high)))


def verdict(expected: float, found: Estimate) -> str:
    """Say whether a difference has the sign of what is expected; one without an interval decides nothing."""
    if not expected:
        return "tie"
    if not (found.low > 0 or found.high < 0):
        return "undecided"
    return "confirmed" if (found.value > 0) == (expected > 0) else "contradicted"


def concluded(verdicts: Iterable[str]) -> str:
    """Return what follows for a claim that needs every verdict to be "confirmed"."""
    every = set(verdicts)
    if "contradicted" in every:
        return "not confirmed"
    return "confirmed" if every == {"confirmed"} else "cannot be told here"


def paired(cells: Cells, metric: str, names: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, Estimate]]:
    """Return pair of methods -> the verdict, and how far the first is above the second here."""
    there = PAPER[metric].keys() & names.keys()
    found = {(a, b): combined(cells, metric, {names[a]: 1, names[b]: -1}) for a, b in PAIRS if {a, b} <= there}
    return {(a, b): (verdict(PAPER[metric][a] - PAPER[metric][b], e), e) for (a, b), e in found.items() if e.n}


def best_first(metric: str) -> list[str]:
    """Return the methods that the paper has a metric of, in its order."""
    said = PAPER[metric]
    return sorted(said, key=said.get, reverse=_plugin(metric).BETTER == "higher")


def ranked(metric: str, verdicts: Mapping[tuple[str, str], str]) -> str:
    """Say of a metric how much of the paper's order is confirmed, and whether its best method is the best here."""
    said, times = PAPER[metric], Counter(verdicts.values())
    best, *others = best_first(metric)
    counts = f"{times['confirmed']} of {len(verdicts) - times['tie']} confirmed"
    counts += "".join(f", {times[word]} {word}" for word in ("contradicted", "undecided", "tie") if times[word])
    if len(set(said.values())) == 1:
        return f"{bench.PAPER[metric]}: all alike in the paper"
    order = " > ".join(METHODS[method] for method in (best, *others))
    first = concluded(each for pair, each in verdicts.items() if best in pair)
    line = f"{bench.PAPER[metric]} ({order}): {counts}; {METHODS[best]} first: {first}"
    if large := LARGER.get(metric):
        same = sum((said[a] - said[b]) * (large[a] - large[b]) > 0 for a, b in PAIRS)
        line += f"; {same} of {len(PAIRS)} pairs of the paper's 13B are in this order"
    return line


def ahead(metric: str, found: Mapping[tuple[str, str], tuple[str, Estimate]]) -> str:
    """Say how far the paper's best method is ahead here of the one nearest to it; an order alone hides that."""
    said, up = PAPER[metric], _plugin(metric).BETTER == "higher"
    best = best_first(metric)[0]
    margins = {
        b if a == best else a: e.value * (1 if (a == best) == up else -1)
        for (a, b), (_, e) in found.items() if best in (a, b)
    }  # fmt: skip
    if not margins or len(set(said.values())) == 1:
        return ""
    rival = min(margins, key=lambda method: margins[method])
    here = margins[rival] * (100 if unit(metric) == "%" else 1)
    there = abs(said[best] - said[rival])
    where = "ahead of" if here > 0 else "behind" if here < 0 else "level with"
    by = f" by {abs(here):.3g}" if here else ""
    return f"; {where} {METHODS[rival]}{by} (in the paper ahead by {there:.3g})"


def claimed(cells: Cells, names: Mapping[str, str]) -> list[str]:
    """Say of each claim of the paper whether it is confirmed, and by what margin."""
    lines = []
    for method, e in bench.scored(cells, ["efficacy"]).get("efficacy", {}).items():
        if method in [names.get(each) for each in METHODS]:
            met = "met" if e.value >= 0.995 else "not met" if e.high < 0.995 else "cannot be told here"
            lines.append(f"efficacy is 100 ({method}): {met}, {evaluation.shown(e)}")
    for claim in SAID["claims"]:
        e = combined(cells, claim["metric"], {names.get(v, v): weight for v, weight in claim["sum"].items()})
        margin = f", margin {signed(e, claim['metric'])}" if e.n else ", no cells of it"
        lines.append(f"{claim['says']}: {concluded([verdict(1, e)])}{margin}")
    return lines


def compared(cells: Cells, names: Mapping[str, str]) -> str:
    """Return the table of a group of settings, and beneath it what of the paper is confirmed."""
    means, rows, lines, decidable = bench.scored(cells, list(PAPER)), [], [], 0
    for metric, said in PAPER.items():
        found = paired(cells, metric, names)
        if not found:
            lines.append(f"{bench.PAPER[metric]}: cannot be told here, no cells of it")
            continue
        here = [evaluation.shown(means[metric].get(names.get(m, "")), unit(metric)) for m in METHODS]
        pairs = [f"{found[p][0]} {signed(found[p][1], metric)}" if p in found else "" for p in PAIRS]
        both = [f"{said.get(m, 'none')} / {mean or 'none'}" for m, mean in zip(METHODS, here, strict=True)]
        rows.append([f"{bench.PAPER[metric]} {evaluation.ARROWS[_plugin(metric).BETTER]}", *both, *pairs])
        lines.append(ranked(metric, {pair: each for pair, (each, _) in found.items()}) + ahead(metric, found))
        decidable += sum(each != "tie" for each, _ in found.values())
    heads = ["paper / here", *METHODS.values(), *(f"{METHODS[a]} less {METHODS[b]}" for a, b in PAIRS)]
    chance = f"about {decidable / 20:.0f} of {decidable} pairs would be decided by chance alone"
    few = f"an interval of {len({cell['concept'] for cell in cells})} characters is a little narrow"
    lines += [*claimed(cells, names), f"{chance}, or some more: {few}"]
    return bench.written(heads, rows, "md", [f"- {line}" for line in lines])


def main() -> None:
    """Read and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="table1", help="of kept cells")
    name = parser.parse_args().name
    if not (kept.CELLS / f"{name}.jsonl.xz").exists():
        parser.error(f"no cells are kept under {name!r}; `kept.py pack` keeps those of a bench")
    cells = kept.read(name)
    if bench.chosen_on(cells):
        parser.error(f"{name} is about characters that settings are chosen on; nothing but the choice is told of them")
    found = groups(cell["variant"] for cell in cells)
    if not found:
        parser.error(f"{name} does not hold two of the paper's methods in the same settings")
    for names in found.values():
        print(f"Of {'; '.join(names[method] for method in METHODS if method in names)}:\n")
        print(compared([cell for cell in cells if cell["variant"] in names.values()], names))


if __name__ == "__main__":
    main()
