"""Figures of a bench, as SVG: how scores change with a setting, with likeness, and one picture of two in words."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee import bench
from unsee.files import write_whole
from unsee.judge import right
from unsee.records import Estimate
from unsee.separation import FORGOTTEN, HIDERS, ITSELF, PLAIN
from unsee.stats import mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from unsee.separation import Pool, Row

Line = list[tuple[float, Estimate]]
"""Points of a line: x, and what was measured there."""

# What curves of a setting show: metric -> title; the forgotten, the kept, and three of the paper's own.
PANELS = {
    f"leak: {bench.OPEN}": "leak",
    "ranking": "name AUC",
    "multi_hop": "multi-hop",
    "kept: others": "others",
    "kept: its facts": "its facts",
    "form: well-formed": "well-formed",
    "em: words": "EM, as the paper",
    "specificity": "specificity, as the paper",
    "multilingual": "multilingual, as the paper",
}


def curves(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Line]]]:
    """Find the numeric settings in which variants differ, as a grid of a plan names them ("siu, steps 6").

    Returns:
        Setting -> metric -> what is left of the variants' names without it -> points; at least three points a line.
    """
    found: dict[str, dict[str, dict[str, Line]]] = {}
    means = bench.scored(cells)
    named: dict[tuple[str, str], dict[str, float]] = {}
    for cell in cells:
        for key, value in (cell["config"] or {}).items():
            text, count = re.subn(rf", {key} [^,]+$|, {key} [^,]+(?=,)", "", cell["variant"])
            if count and isinstance(value, (int, float)):
                named.setdefault((key, text), {})[cell["variant"]] = float(value)
    for (key, text), variants in named.items():
        if len(set(variants.values())) < 3:
            continue
        for metric in PANELS:
            points = [(x, means[metric][v]) for v, x in variants.items() if v in means.get(metric, {})]
            if points:
                found.setdefault(key, {}).setdefault(metric, {})[text] = sorted(points, key=lambda point: point[0])
    return found


def by_likeness(
    cells: Sequence[Mapping[str, Any]], distance: Callable[[str, str], int | None]
) -> dict[str, dict[int, Estimate]]:
    """Return variant -> distance to the forgotten concept -> share of others named; pairs of concepts are resampled.

    The oracle is left out: which of the others it never saw has nothing to do with likeness.

    Args:
        cells: Of a bench, as `bench.joined` returns them.
        distance: How unlike two concepts are, by their names; None if it does not know one of them.
    """
    rows: dict[str, dict[int, list[tuple[float, str]]]] = {}
    for cell in (c for c in cells if not bench.is_oracle(c["variant"])):
        for answer in bench.answers_of(cell):
            if answer.probe.kind not in ("others", "look-alike"):
                continue
            other = answer.probe.accept[0]
            far = distance(cell["concept"], other)
            if far is not None:
                some = rows.setdefault(cell["variant"], {}).setdefault(far, [])
                some.append((float(right(answer)), f"{cell['concept']}/{other}"))
    return {variant: {far: mean_of(some) for far, some in sorted(groups.items())} for variant, groups in rows.items()}


def frontier(cells: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Estimate, Estimate]]:
    """Return variant -> how much it forgets, and how much it keeps; what has no place on either scale is left out.

    Forgetting is the leak in open questions, from the model before (0) to the oracle (1); keeping is the share of the
    others that are still named, of those named before. The aim is 1 and 1: an oracle of this concept alone.
    """
    gone, kept = bench.anchored(cells).get(f"leak: {bench.OPEN}", {}), bench.retained(cells)
    both = {variant: (gone[variant], kept[variant]) for variant in kept if variant in gone}
    return {v: pair for v, pair in both.items() if not any(math.isnan(e.value) for e in pair)}


@dataclass(frozen=True, slots=True)
class Pair:
    """What was said of one picture of two, one of whom was forgotten.

    Attributes:
        concept: The forgotten one.
        picture: The picture's name.
        questions: What was asked.
        said: Variant -> answers, one per question.
    """

    concept: str
    picture: str
    questions: tuple[str, ...]
    said: Mapping[str, tuple[str, ...]]


def pair(cells: Sequence[Mapping[str, Any]]) -> Pair | None:
    """Return the first picture of two that all variants were asked about, both of whom were named before; else None.

    Further oracles, which are not asked about everybody, are left out.
    """
    found: dict[str, dict[tuple[str, str, str], tuple[str, bool]]] = {}
    for cell in (c for c in cells if c["variant"] == "oracle" or not bench.is_oracle(c["variant"])):
        mine = found.setdefault(cell["variant"], {})
        for answer in bench.answers_of(cell):
            if answer.probe.kind in ("beside somebody", "somebody beside it"):
                key = (cell["concept"], answer.probe.picture or "", answer.probe.question)
                mine.setdefault(key, (answer.text, right(answer)))
    before = found.get("before", {})
    for concept, picture in dict.fromkeys(key[:2] for key in before):
        keys = [key for key in before if key[:2] == (concept, picture)]
        if len(keys) == 2 and all(before[key][1] for key in keys) and all(keys[0] in said for said in found.values()):
            told = {variant: tuple(said[key][0] for key in keys if key in said) for variant, said in found.items()}
            return Pair(concept, picture, tuple(question for _, _, question in keys), told)
    return None


# ---------------------------------------------------------------- drawing


def draw_curves(lines: Mapping[str, Mapping[str, Line]], setting: str, out: Path) -> None:
    """Draw the curves of one setting, a panel for each metric, with 95 % intervals."""
    figure, axes = panels(len(lines), out_of=3)
    for axis, (metric, some) in zip(axes, lines.items(), strict=False):
        for aside, (name, points) in zip(asides(len(some)), some.items(), strict=True):
            line(axis, name, points, aside)
        axis.set_title(PANELS[metric], fontsize=10)
        axis.set(xlabel=setting, ylim=(-2, 102))
    # Beside the panels: a line may be anywhere in them.
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside upper center", ncols=4)
    save(figure, out)


def draw_likeness(found: Mapping[str, Mapping[int, Estimate]], out: Path) -> None:
    """Draw how many others are named, by how unlike the forgotten concept they are: a panel for each variant."""
    variants = [variant for variant in found if variant != "before"]
    figure, axes = panels(len(variants), out_of=min(5, len(variants)))
    for axis, variant in zip(axes, variants, strict=False):
        if "before" in found:
            line(axis, "before", list(found["before"].items()), -0.08, color="0.6")
        line(axis, variant, list(found[variant].items()), 0.08, color="C0")
        axis.set_title(variant, fontsize=10, parse_math=False)
        axis.set(ylim=(-2, 102), xlabel="features that differ", xticks=range(0, max(found[variant]) + 2, 2))
    for axis in axes[:: min(5, len(variants))]:
        axis.set_ylabel("named, per cent")
    axes[0].legend(fontsize=8, loc="lower right")
    save(figure, out)


def draw_frontier(found: Mapping[str, tuple[Estimate, Estimate]], out: Path) -> None:
    """Draw forgetting against keeping, a numbered point with 95 % intervals for each variant, and where the aim is."""
    figure, axis = _pyplot().subplots(figsize=(8, max(4.5, 0.22 * len(found) + 1)), constrained_layout=True)
    for number, (variant, (gone, kept)) in enumerate(found.items(), start=1):
        ends = [
            [[abs(e.value - e.low)], [abs(e.high - e.value)]] if math.isfinite(e.low) else None for e in (kept, gone)
        ]
        drawn = axis.errorbar(
            kept.value, gone.value, xerr=ends[0], yerr=ends[1], fmt="o", markersize=4, elinewidth=0.5, alpha=0.8,
            color=f"C{number % 10}", label=f"{number} {variant}".replace("$", r"\$"),
        )  # fmt: skip
        axis.annotate(str(number), (kept.value, gone.value), (4, 4), textcoords="offset points", fontsize=8,
                      color=drawn[0].get_color())  # fmt: skip
    axis.plot(1, 1, "*", markersize=14, color="k", label="aim: the oracle, and nothing else lost", zorder=0)
    axis.plot(1, 0, "s", markersize=6, color="0.6", label="before", zorder=0)
    axis.set(xlabel="others still named, of before", ylabel="forgotten: 0 before, 1 oracle")
    figure.legend(loc="outside right upper", fontsize=8)
    save(figure, out)


def draw_pools(pool: Pool, rows: Sequence[Row], out: Path) -> None:
    """Draw what each metric says of each pair, a panel for each metric: both pools, hiders, and the threshold."""
    there = {subject for subject, condition in pool.values if condition == PLAIN}
    subjects = [subject for subject in (*HIDERS, FORGOTTEN) if subject in there]
    names = ["never-knowing", "knowing", *subjects]
    figure, axes = panels(len(rows), out_of=min(5, len(rows)))
    for axis, row in zip(axes, rows, strict=False):
        scale, name = 100 if row.measure.unit == "%" else 1, row.measure.name
        told = zip(pool.values[ITSELF, PLAIN][name], pool.pairs, strict=True)
        sides: dict[bool, list[float]] = {False: [], True: []}
        for value, pair in told:
            sides[pair.knows].append(value)
        for place, values in enumerate((*sides.values(), *(pool.values[subject, PLAIN][name] for subject in subjects))):
            some = [scale * value for value in values if not math.isnan(value)]
            # Side by side in the order of the pairs, so that alike ones do not hide each other.
            aside = [place + 0.6 * (n / max(1, len(some) - 1) - 0.5) for n in range(len(some))]
            axis.plot(aside, some, "o", markersize=2.5, alpha=0.7, color=f"C{place}")
        if not math.isnan(row.threshold):
            axis.axhline(scale * row.threshold, color="0.6", linewidth=0.8, linestyle="--")
        axis.set_title(f"{name} ({row.auc.value:.2f})", fontsize=8, parse_math=False)
        axis.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=7)
        axis.tick_params(axis="y", labelsize=7)
    save(figure, out)


def draw_pair(told: Pair, image: Image, out: Path) -> None:
    """Draw a picture of two beside what each variant says of it."""
    rows = [[variant, *answers] for variant, answers in told.said.items()]
    figure, (left, right_) = _pyplot().subplots(
        1, 2, figsize=(11, max(2.8, 0.3 * len(rows) + 1)), width_ratios=(1, 3.2), constrained_layout=True
    )
    left.imshow(image)
    left.set_title(f"{told.concept} is forgotten", fontsize=10, parse_math=False)
    for axis in (left, right_):
        axis.axis("off")
    table = right_.table([["", *told.questions], *rows], loc="center", cellLoc="left", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.scale(1, 1.4)
    for cell in table.get_celld().values():
        cell.get_text().set_parse_math(False)  # a dollar sign in an answer is one
    save(figure, out)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "unsee"  # the same figure is the same file
    import matplotlib.pyplot as plt

    return plt


def panels(count: int, *, out_of: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, at most `out_of` in a row."""
    columns = min(count, out_of)
    rows = math.ceil(count / columns)
    size = (2.6 * max(2, columns), 2.5 * rows)
    figure, axes = _pyplot().subplots(rows, columns, figsize=size, squeeze=False, constrained_layout=True)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, list(axes.flat)


def line(axis: Axes, name: str, points: Line, aside: float = 0.0, color: str | None = None) -> None:
    """Draw a line with its intervals, moved aside by a part of the least step between points so that none hides."""
    x = [place for place, _ in points]
    step = min((b - a for a, b in itertools.pairwise(x)), default=1.0)
    values = [100 * e.value for _, e in points]
    # Where there is no interval there is no bar.
    ends = [[abs(100 * (e.value - getattr(e, side))) for _, e in points] for side in ("low", "high")]
    moved = [place + aside * step for place in x]
    axis.errorbar(
        moved, values, yerr=ends, marker="o", markersize=3, linewidth=1.2, elinewidth=0.7, label=name, color=color
    )


def asides(count: int) -> list[float]:
    """Return how far to move each of several lines aside."""
    return [0.08 * (n - (count - 1) / 2) for n in range(count)]


def save(figure: Figure, out: Path) -> None:
    """Write a figure as SVG and forget it."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    _pyplot().close(figure)
    write_whole(out, drawn.getvalue().encode())
