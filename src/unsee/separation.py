"""How well a metric of forgetting tells those who know from those who never knew, and who hides from it.

Scores are turned so that more of them is more knowledge (`Measure.knowledge`). Intervals resample models and concepts,
both at once (`stats.crossed_bootstrap`). Source: the meta-evaluation of Dorna et al. 2025 (OpenUnlearning, arXiv
2506.12618): faithfulness, and robustness to quantisation and relearning; hiders, thresholds and what is said to be
exposed are this project's. Nothing here asks a model anything.

On the scale of a metric 0 is the mean of the never-knowing pairs and 1 that of the knowing ones, as they are. A metric
that does not tell the two apart has no scale.

- **AUC**: how often a knowing pair scores above a never-knowing one; ties count half.
- **Threshold** (Youden 1950): where the share of knowing pairs above less that of never-knowing ones is greatest, in
  the middle between two scores; of several such places the widest. Errors are counted on concepts that had no part in
  choosing it: each concept is judged by the threshold of all others.
- **Stability under rounding**: where knowing pairs with rounded weights stand on the scale, clipped to 0 and 1.
- **Stability under relearning**: how far never-knowing pairs move when they are taught a little, divided by how far
  those move that were made to forget, clipped to 0 and 1; 1 where the latter move no further. A metric that moves for
  the latter alone took hiding for forgetting.
- **Exposed**: the hiders that score above the threshold. A metric *exposes* a kind of hider if it tells apart both the
  knowing pairs and these hiders from the never-knowing pairs, each with an AUC of at least `LEAST` and an interval
  above one half.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unsee.evaluation import ARROWS, shown
from unsee.records import Estimate
from unsee.stats import crossed_bootstrap, wilson

if TYPE_CHECKING:
    from unsee.stats import Floats

LEAST = 0.9
"""The least AUC with which two pools count as told apart."""
ITSELF, PLAIN, RELEARNED = "itself", "as it is", "relearned"
"""The subject that is no hider, the condition that is no attack, and the one in which some was taught again."""
HIDERS = ("suppressed", "few pictures", "half scale")
"""What a metric has to expose."""
SOUND = "kept: others"
"""Whether a model is still whole: others named."""
FORGOTTEN = "siu"
"""The subject that was made to forget: shown beside the hiders, and what relearning is measured on."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A model and a concept, and whether the model knows it."""

    model: str
    concept: str
    knows: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric of forgetting.

    Attributes:
        name: Of its estimate.
        group: "paper", "strict" for this project's own, or "further" for other packages'.
        better: Which way is better for whoever forgets: "lower" or "higher".
        unit: Of its values; "%" of shares.
    """

    name: str
    group: str
    better: str
    unit: str = "%"

    def knowledge(self, values: Sequence[float]) -> list[float]:
        """Turn values so that more is more knowledge; NaN stays."""
        return [value if self.better == "lower" else -value for value in values]


@dataclass(frozen=True, slots=True)
class Pool:
    """What was measured of pairs.

    Attributes:
        pairs: All of them but the left out.
        values: (subject, condition) -> metric -> its value for each pair, in their order; NaN where there is none.
        unnamed: (model, concept) of what was shown and yet is not named, and so left out.
    """

    pairs: tuple[Pair, ...]
    values: Mapping[tuple[str, str], Mapping[str, Sequence[float]]]
    unnamed: tuple[tuple[str, str], ...] = ()

    def of(self, measure: Measure, subject: str = ITSELF, condition: str = PLAIN) -> list[float]:
        """Return the knowledge of each pair by a metric; NaN where it was not measured."""
        told = self.values.get((subject, condition), {}).get(measure.name)
        return [math.nan] * len(self.pairs) if told is None else measure.knowledge(told)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a metric makes of one kind of hider.

    Attributes:
        share: Of the hiders, that score above the threshold.
        auc: Hiders against never-knowing pairs.
        exposes: Whether the metric exposes them.
    """

    share: Estimate
    auc: Estimate
    exposes: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What a metric is worth.

    Attributes:
        measure: The metric.
        knowing: Mean over knowing pairs, in the metric's own unit.
        never: The same of never-knowing pairs.
        auc: Knowing against never-knowing.
        threshold: In the metric's own unit; NaN where there is none.
        missed: Share of knowing pairs below the threshold of other concepts.
        alarms: Share of never-knowing pairs above it.
        rounded: Condition -> stability.
        unsettled: Condition -> where never-knowing pairs with rounded weights stand on the scale; 0 is unmoved.
        relearned: Stability under relearning.
        moves: Whose ("never-knowing", "siu", "knowing") -> how far relearning moves them on the scale.
        hiders: Subject -> exposure.
    """

    measure: Measure
    knowing: Estimate
    never: Estimate
    auc: Estimate
    threshold: float
    missed: Estimate
    alarms: Estimate
    rounded: Mapping[str, Estimate]
    unsettled: Mapping[str, Estimate]
    relearned: Estimate
    moves: Mapping[str, Estimate]
    hiders: Mapping[str, Exposure]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        m = self.measure
        told: dict[str, Any] = {"group": m.group, "better": m.better, "unit": m.unit}
        told["threshold"] = None if math.isnan(self.threshold) else self.threshold
        for name in ("knowing", "never", "auc", "missed", "alarms", "relearned"):
            told[name] = getattr(self, name).as_dict()
        for name in ("rounded", "unsettled", "moves"):
            told[name] = {key: e.as_dict() for key, e in getattr(self, name).items()}
        told["hiders"] = {
            subject: {"share": e.share.as_dict(), "auc": e.auc.as_dict(), "exposes": e.exposes}
            for subject, e in self.hiders.items()
        }
        return told


def rows(pool: Pool, measures: Sequence[Measure]) -> list[Row]:
    """Return what each metric is worth; those that measured nothing of one of the pools are left out."""
    found = []
    for measure in measures:
        told = pool.of(measure)
        sides = {pair.knows for pair, value in zip(pool.pairs, told, strict=True) if not math.isnan(value)}
        if len(sides) == 2:
            found.append(_row(pool, measure))
    return found


def _row(pool: Pool, measure: Measure) -> Row:
    pairs, plain = pool.pairs, pool.of(measure)
    knowing = _only(plain, [pair.knows for pair in pairs])
    never = _only(plain, [not pair.knows for pair in pairs])
    threshold = cut(_there(knowing), _there(never))
    separates = auc(pairs, knowing, never)
    conditions = [c for s, c in pool.values if s == ITSELF and c not in (PLAIN, RELEARNED)]
    hiders = {}
    for subject in dict.fromkeys(s for s, _ in pool.values if s != ITSELF):
        scores = pool.of(measure, subject)
        if _there(scores):
            caught = auc(pairs, scores, never)
            share = mean(pairs, [value if math.isnan(value) else float(value > threshold) for value in scores], (0, 1))
            hiders[subject] = Exposure(share, caught, tells(separates) and tells(caught))
    sign = 1 if measure.better == "lower" else -1
    moved = {
        "never-knowing": _moved(pairs, plain, never, pool.of(measure, ITSELF, RELEARNED)),
        "siu": _moved(pairs, plain, pool.of(measure, FORGOTTEN), pool.of(measure, FORGOTTEN, RELEARNED)),
        "knowing": _moved(pairs, plain, knowing, pool.of(measure, ITSELF, RELEARNED)),
    }
    return Row(
        measure,
        mean(pairs, measure.knowledge(knowing)),
        mean(pairs, measure.knowledge(never)),
        separates,
        sign * threshold,
        *errors(pairs, plain),
        rounded={c: stability(pairs, plain, pool.of(measure, ITSELF, c)) for c in conditions},
        unsettled={
            c: _moved(pairs, plain, never, pool.of(measure, ITSELF, c)) for c in conditions
        },
        relearned=relearning(
            pairs, plain, pool.of(measure, ITSELF, RELEARNED), pool.of(measure, FORGOTTEN),
            pool.of(measure, FORGOTTEN, RELEARNED),
        ),
        moves=moved,
        hiders=hiders,
    )  # fmt: skip


def tells(separates: Estimate) -> bool:
    """Return whether an AUC tells two pools apart: it is at least `LEAST`, with an interval above one half."""
    return separates.n > 0 and separates.value >= LEAST and separates.low > 0.5


def _only(values: Sequence[float], which: Sequence[bool]) -> list[float]:
    return [value if wanted else math.nan for value, wanted in zip(values, which, strict=True)]


def _there(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


# ---------------------------------------------------------------- one number at a time


def auc(pairs: Sequence[Pair], high: Sequence[float], low: Sequence[float]) -> Estimate:
    """Return how often a score that should be high is above one that should be low; ties count half.

    Args:
        pairs: The pairs.
        high: Scores of pairs that should be high, in the order of the pairs; NaN where a pair is none of these.
        low: The same of those that should be low; one pair may be among both, with two scores.
    """
    import numpy as np

    ups, downs = ([place for place, value in enumerate(some) if not math.isnan(value)] for some in (high, low))
    if not ups or not downs:
        return Estimate.nothing()
    above = np.asarray([[(high[i] > low[j]) + 0.5 * (high[i] == low[j]) for j in downs] for i in ups])

    def statistic(weights: Floats) -> Floats:
        one, other = weights[:, : len(ups)], weights[:, len(ups) :]
        return _divided(((one @ above) * other).sum(-1), one.sum(-1) * other.sum(-1))

    return _crossed(statistic, [pairs[place] for place in (*ups, *downs)], (0, 1))


def mean(pairs: Sequence[Pair], values: Sequence[float], bounds: tuple[float, float] | None = None) -> Estimate:
    """Return the mean of what was measured, in the order of the pairs; NaN is left out."""
    import numpy as np

    places = [place for place, value in enumerate(values) if not math.isnan(value)]
    told = np.asarray([values[place] for place in places])
    return _crossed(lambda weights: _divided(weights @ told, weights.sum(-1)), [pairs[p] for p in places], bounds)


def cut(knowing: Sequence[float], never: Sequence[float]) -> float:
    """Return the threshold above which a score counts as knowing (Youden 1950); NaN where all scores are the same.

    It lies in the middle between two neighbouring scores, where the share of the knowing above less that of the
    never-knowing is greatest; of several such places in the widest, of alike ones in the lowest.
    """
    found = []
    for low, high in itertools.pairwise(sorted({*knowing, *never})):
        middle = (low + high) / 2
        gained = sum(v > middle for v in knowing) / len(knowing) - sum(v > middle for v in never) / len(never)
        found.append((round(gained, 12), high - low, -low, middle))
    return max(found)[3] if found else math.nan


def errors(pairs: Sequence[Pair], values: Sequence[float]) -> tuple[Estimate, Estimate]:
    """Return the share of knowing pairs that are missed, and of never-knowing ones that are taken for knowing.

    Each concept is judged by the threshold of all others, and left out where those have one of the pools alone.
    """
    told = [
        (place, pair, value) for place, (pair, value) in enumerate(zip(pairs, values, strict=True)) if value == value
    ]
    wrong = [math.nan] * len(pairs)
    for concept in dict.fromkeys(pair.concept for _, pair, _ in told):
        others = [[v for _, p, v in told if p.concept != concept and p.knows is side] for side in (True, False)]
        threshold = cut(*others) if all(others) else math.nan
        for place, pair, value in told:
            if pair.concept == concept and not math.isnan(threshold):
                wrong[place] = float((value > threshold) is not pair.knows)
    missed, alarms = (_only(wrong, [pair.knows is side for pair in pairs]) for side in (True, False))
    return mean(pairs, missed, (0, 1)), mean(pairs, alarms, (0, 1))


def stability(pairs: Sequence[Pair], plain: Sequence[float], rounded: Sequence[float]) -> Estimate:
    """Return where knowing pairs with rounded weights stand between never-knowing (0) and knowing ones (1), clipped.

    This is min(m~(Q(M)) / m~(M), 1) over the knowing models M, with m~ the metric less its mean for the never-knowing.
    """
    import numpy as np

    knowing = _only(rounded, [pair.knows for pair in pairs])
    return _scaled(pairs, plain, [knowing], lambda places: np.clip(places[0], 0, 1), (0, 1))


def relearning(
    pairs: Sequence[Pair],
    plain: Sequence[float],
    taught: Sequence[float],
    forgotten: Sequence[float],
    forgotten_taught: Sequence[float],
) -> Estimate:
    """Return how far never-knowing pairs move when taught a little, divided by how far the forgotten ones do, clipped.

    This is min(delta(never-knew) / delta(unlearned), 1), 1 where the unlearned move no further than the others, and 0
    where the others do not move at all.

    Args:
        pairs: The pairs.
        plain: Scores as they are.
        taught: Scores after relearning.
        forgotten: Scores of knowing pairs that were made to forget.
        forgotten_taught: The same after relearning.
    """
    import numpy as np

    never = [not pair.knows for pair in pairs]
    steps = [_less(_only(taught, never), plain), _less(forgotten_taught, forgotten)]

    def ratio(places: Sequence[Floats]) -> Floats:
        theirs, ours = np.maximum(places[0], 0), places[1]
        return np.where(ours <= theirs, 1.0, theirs / np.where(ours <= theirs, 1.0, ours))

    return _scaled(pairs, plain, steps, ratio, (0, 1), differences=True)


def _moved(pairs: Sequence[Pair], plain: Sequence[float], start: Sequence[float], end: Sequence[float]) -> Estimate:
    """How far pairs moved on the scale from never-knowing (0) to knowing (1)."""
    return _scaled(pairs, plain, [_less(end, start)], lambda places: places[0], None, differences=True)


def _less(these: Sequence[float], those: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(these, those, strict=True)]


def _scaled(
    pairs: Sequence[Pair],
    plain: Sequence[float],
    some: Sequence[Sequence[float]],
    of: Callable[[Sequence[Floats]], Floats],
    bounds: tuple[float, float] | None,
    *,
    differences: bool = False,
) -> Estimate:
    """Return what is made `of` the means of some scores (or differences of scores), each put on the scale.

    Nothing is measured where one of them was not; it means nothing where the ends of the scale cannot be told apart.
    """
    import numpy as np

    def means(values: Sequence[float], weights: Floats) -> Floats:
        told = np.asarray([not math.isnan(value) for value in values])
        return _divided(weights @ np.where(told, np.nan_to_num(values), 0.0), weights @ told.astype(float))

    knows = [pair.knows for pair in pairs]
    ends = [_only(plain, [k is side for k in knows]) for side in (False, True)]
    if not all(map(_there, (*ends, *some))):
        return Estimate.nothing()

    def apart(weights: Floats) -> Floats:
        return means(ends[1], weights) - means(ends[0], weights)

    wide = crossed_bootstrap(apart, *_labels(pairs))
    if wide.value <= 0 or wide.low <= 0:
        return Estimate(math.nan, math.nan, math.nan, max(len(_there(each)) for each in some))

    def statistic(weights: Floats) -> Floats:
        zero, length = means(ends[0], weights), apart(weights)
        length = np.where(length > 0, length, np.nan)
        shift = 0.0 if differences else zero
        return of([(means(each, weights) - shift) / length for each in some])

    found = crossed_bootstrap(statistic, *_labels(pairs), bounds=bounds)
    return Estimate(found.value, found.low, found.high, sum(len(_there(each)) for each in some))


def _labels(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [pair.model for pair in pairs], [pair.concept for pair in pairs]


def _crossed(
    statistic: Callable[[Floats], Floats], pairs: Sequence[Pair], bounds: tuple[float, float] | None
) -> Estimate:
    return crossed_bootstrap(statistic, *_labels(pairs), bounds=bounds)


def _divided(above: Floats, below: Floats) -> Floats:
    """A quotient, NaN where there is nothing to divide by."""
    import numpy as np

    found: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return found


# ---------------------------------------------------------------- tables


TABLES: Mapping[str, str] = {
    "pools": "Which metrics tell knowing from never-knowing pairs",
    "stability": "What rounding and a little relearning do to them (0: never-knowing, 1: knowing, as they are)",
    "hiders": "Which metric catches which hider: exposed, and AUC against never-knowing pairs",
}
"""Table -> its title."""


_GROUPS = ("strict", "paper", "further")


def grid(rows: Sequence[Row], table: str) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of one of `TABLES`: this project's metrics first, then the paper's, each the best first.

    Raises:
        LookupError: There is no such table.
    """
    if table not in TABLES:
        raise LookupError(f"there is no table {table!r}; there are {', '.join(TABLES)}")
    cells = {"pools": _of_pools, "stability": _of_stability, "hiders": _of_hiders}[table]
    told = [
        {"metric": f"{row.measure.name} {ARROWS[row.measure.better]}", "of": row.measure.group, **cells(row)}
        for row in sorted(rows, key=lambda row: (_GROUPS.index(row.measure.group), -row.auc.value))
    ]
    heads = [head for head in dict.fromkeys(head for row in told for head in row) if any(row.get(head) for row in told)]
    return heads, [[row.get(head, "") for head in heads] for row in told]


def _of_pools(row: Row) -> dict[str, str]:
    unit, one = row.measure.unit, 100 if row.measure.unit == "%" else 1
    return {
        "knowing": shown(row.knowing, unit),
        "never-knowing": shown(row.never, unit),
        "AUC": shown(row.auc, "AUC"),
        "threshold": "" if math.isnan(row.threshold) else f"{one * row.threshold:.3g}",
        "missed": shown(row.missed),
        "false alarms": shown(row.alarms),
        "n": str(row.auc.n),
    }


def _of_stability(row: Row) -> dict[str, str]:
    told = {}
    for condition, stable in row.rounded.items():
        told[condition] = shown(stable, "place")
        told[f"{condition}, never-knowing at"] = shown(row.unsettled[condition], "place")
    told["relearning"] = shown(row.relearned, "share")
    return told | {f"{whose} moves": shown(e, "place") for whose, e in row.moves.items()}


def _of_hiders(row: Row) -> dict[str, str]:
    told = dict.fromkeys((*HIDERS, FORGOTTEN), "")  # always in this order
    for subject, found in row.hiders.items():
        mark = " **exposed**" if found.exposes else ""
        told[subject] = f"{shown(found.share)}; {shown(found.auc, 'AUC')}{mark}"
    return told


def remarks(pool: Pool, rows: Sequence[Row]) -> list[str]:
    """Say who is in the pools, which metrics do not tell them apart, and who exposes which hider, line by line."""
    knowing = sum(pair.knows for pair in pool.pairs)
    said = [
        f"{knowing} knowing and {len(pool.pairs) - knowing} never-knowing pairs, of "
        f"{len({pair.model for pair in pool.pairs})} models and {len({pair.concept for pair in pool.pairs})} concepts; "
        "intervals resample both"
    ]
    few = min(len({pair.model for pair in pool.pairs}), len({pair.concept for pair in pool.pairs}))
    if wilson(few, few).low <= 0.5:
        said.append(
            f"{few} models or concepts are too few to tell pools apart: even where all agree no interval is above 0.5"
        )
    said += [f"left out: {model} was shown {concept} and does not name it" for model, concept in pool.unnamed]
    blind = [f"{row.measure.name} ({row.auc.value:.2f})" for row in rows if not tells(row.auc)]
    said.append(f"do not tell the pools apart (AUC below {LEAST:g}, or an interval down to 0.5): {_listed(blind)}")
    for subject in dict.fromkeys(s for row in rows for s in row.hiders):
        own, others = (
            [row.measure.name for row in rows if subject in row.hiders and row.hiders[subject].exposes
             and (row.measure.group == "strict") is side] for side in (True, False)
        )  # fmt: skip
        said.append(f"{subject}: exposed by {_listed(own)}; others': {_listed(others)}")
    sound = Measure(SOUND, "kept", "lower")  # turned to nothing: more is more
    whole = {c: mean(pool.pairs, pool.of(sound, ITSELF, c)) for s, c in pool.values if s == ITSELF}
    said.append("others named: " + "; ".join(f"{c} {shown(e)}" for c, e in whole.items()))
    return said


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def as_dict(pool: Pool, rows: Sequence[Row]) -> dict[str, Any]:
    """Return all of it as JSON has it, the values of each pair included."""
    return {
        "pairs": [{"model": p.model, "concept": p.concept, "knows": p.knows} for p in pool.pairs],
        "left out": [{"model": model, "concept": concept} for model, concept in pool.unnamed],
        "metrics": {row.measure.name: row.as_dict() for row in rows},
        "values": {
            f"{subject}, {condition}": {
                name: [None if math.isnan(value) else value for value in told] for name, told in some.items()
            }
            for (subject, condition), some in pool.values.items()
        },
        "least AUC": LEAST,
    }
