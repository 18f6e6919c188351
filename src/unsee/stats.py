"""Intervals. A proportion gets Wilson's; a mean over probes that share pictures gets a cluster bootstrap.

Numpy is imported when a bootstrap is run, not before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from unsee.records import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Return a proportion with Wilson's score interval, for observations that are independent of each other.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". With z the normal
    quantile, the interval is (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n): never empty, never outside [0, 1].

    Args:
        successes: How many of the n observations hold.
        n: How many observations there are; 0 gives `Estimate.nothing()`.
        confidence: Coverage of the interval, between 0 and 1.

    Raises:
        ValueError: `successes` is not between 0 and n, or `confidence` not between 0 and 1.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"wilson got {successes} successes of {n}; give 0 <= successes <= n")
    _check_confidence(confidence)
    if n == 0:
        return Estimate.nothing()
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At the ends the formula gives 0 and 1 exactly; floating point misses them by a hair.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(p, low, high, n)


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Return a mean with the percentile interval of a bootstrap that resamples whole clusters.

    With few clusters the interval is too narrow, for it has seen only those few: of intervals asked to cover 95 %,
    about 94 % do with 40 clusters, 91 % with 10, 82 % with 5 and 77 % with 3 (simulated, normal clusters). With one
    there is no interval, and low and high are NaN. Where all values agree a bootstrap would claim certainty;
    if the values are known to lie within bounds, the interval is instead what
    Wilson's says of as many observations as there are clusters (0 leaks in 10 clusters: [0, 0.28], not [0, 0]).

    Args:
        values: One number per observation.
        clusters: What each observation shares with others, usually its picture.
        confidence: Coverage of the interval, between 0 and 1.
        resamples: How many times clusters are drawn.
        seed: Of the drawing; the same seed gives the same interval.
        bounds: Least and greatest possible value, used where all values agree; (0, 1) if all values are 0 or 1.

    Returns:
        The estimate; `n` is the number of values.

    Raises:
        ValueError: Lengths differ, or a value or a setting is not allowed.
    """
    return two_level_bootstrap(
        values,
        [0] * len(values),
        clusters,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        bounds=bounds,
    )


def mean_of(marks: Sequence[tuple[float, Hashable]], *, bounds: tuple[float, float] | None = None) -> Estimate:
    """Return the `cluster_bootstrap` of (value, cluster) pairs, or that nothing was measured where there are none."""
    if not marks:
        return Estimate.nothing()
    values, clusters = zip(*marks, strict=True)
    return cluster_bootstrap(values, clusters, bounds=bounds)


def balanced(groups: Sequence[Sequence[tuple[float, Hashable]]]) -> Estimate:
    """Return the mean of the groups' means, of values from 0 to 1; the interval resamples clusters.

    Args:
        groups: (value, cluster) pairs, group by group; nothing is measured if there are no groups or one is empty.
    """
    if not groups or not all(groups):
        return Estimate.nothing()
    import numpy as np

    means = [math.fsum(v for v, _ in some) / len(some) for some in groups]
    value, n = math.fsum(means) / len(means), sum(map(len, groups))
    if all(len({v for v, _ in some}) == 1 for some in groups):  # a bootstrap would have no width
        sure = [mean_of(some, bounds=(0, 1)) for some in groups]
        return Estimate(
            value, math.fsum(e.low for e in sure) / len(sure), math.fsum(e.high for e in sure) / len(sure), n
        )
    labels = {label: place for place, label in enumerate(dict.fromkeys(c for some in groups for _, c in some))}
    sums, counts = np.zeros((2, len(groups), len(labels)))
    for number, some in enumerate(groups):
        for v, c in some:
            sums[number, labels[c]] += v
            counts[number, labels[c]] += 1
    drawn = _draw(np.random.default_rng(0), np.full(2000, len(labels)), len(labels))
    totals = drawn @ counts.T
    whole = (totals > 0).all(-1)  # a group may have been left out of a draw
    found = ((drawn @ sums.T)[whole] / totals[whole]).mean(-1)
    return _percentiles(value, found, 0.95, n)


def two_level_bootstrap(
    values: Sequence[float],
    concepts: Sequence[Hashable],
    clusters: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Return a mean with the interval of a bootstrap that resamples concepts, then clusters within each.

    This is the interval of a bench: it asks what other concepts would have given, not only other pictures of these.
    A cluster counts within its concept, so one label may appear under two concepts. With a single concept this is
    `cluster_bootstrap`, whose remarks on few clusters hold for few concepts too.

    Args:
        values: One number per observation.
        concepts: The concept each observation is about.
        clusters: What each observation shares with others of its concept, usually its picture.
        confidence: Coverage of the interval, between 0 and 1.
        resamples: How many times concepts and clusters are drawn.
        seed: Of the drawing.
        bounds: Least and greatest possible value, used where all values agree; (0, 1) if all values are 0 or 1.

    Returns:
        The estimate; `n` is the number of values, each of which weighs the same.

    Raises:
        ValueError: Lengths differ, or a value or a setting is not allowed.
    """
    _check_sample(values, concepts, clusters, confidence=confidence, resamples=resamples)
    if not values:
        return Estimate.nothing()
    value = math.fsum(values) / len(values)
    groups = _groups(values, concepts, clusters)
    units = len(groups) if len(groups) > 1 else len(next(iter(groups.values())))
    if bounds is None and all(v in (0, 1) for v in values):
        bounds = (0.0, 1.0)
    if bounds is not None and min(values) == max(values):
        return _unanimous(value, units, len(values), confidence, bounds)
    if units < 2:
        return Estimate(value, math.nan, math.nan, len(values))
    return _percentiles(value, _resampled_means(groups, resamples, seed), confidence, len(values))


def crossed_bootstrap(
    statistic: Callable[[Floats], Floats],
    rows: Sequence[Hashable],
    columns: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Return a statistic of observations that share rows and columns of a table, such as models and concepts.

    Both are resampled, each as a whole, and an observation counts as often as its row times its column was drawn
    (McCullagh 2000, "Resampling and exchangeable arrays"): what other models and other concepts would have given.

    Args:
        statistic: Maps weights of the observations `[draws, n]` to values `[draws]`, NaN where a draw tells nothing.
        rows: The row of each observation.
        columns: Its column.
        confidence: Coverage of the interval, between 0 and 1.
        resamples: How many times rows and columns are drawn.
        seed: Of the drawing.
        bounds: Least and greatest possible value, used where all draws agree: the interval is then what Wilson's says
            of as many observations as there are rows or columns, whichever are fewer.

    Returns:
        The estimate; `n` counts observations. It has no interval where there is one row or one column alone, or where
        all draws agree and no bounds are known.

    Raises:
        ValueError: Lengths differ, or a setting is not allowed.
    """
    import numpy as np

    _check_sample([0.0] * len(rows), rows, columns, confidence=confidence, resamples=resamples)
    if not rows:
        return Estimate.nothing()
    rng = np.random.default_rng(seed)
    weights = np.ones((resamples + 1, len(rows)))
    units = []
    for labels in (rows, columns):
        places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
        drawn = _draw(rng, np.full(resamples, len(places)), len(places))
        weights[1:] *= drawn[:, [places[label] for label in labels]]
        units.append(len(places))
    first, *others = statistic(weights).tolist()
    drawn_values = np.asarray([value for value in others if not math.isnan(value)])
    if math.isnan(first) or min(units) < 2 or not len(drawn_values):
        return Estimate(first, math.nan, math.nan, len(rows))
    if max(drawn_values.max(), first) - min(drawn_values.min(), first) > 1e-12:
        return _percentiles(first, drawn_values, confidence, len(rows))
    return _unanimous(first, min(units), len(rows), confidence, bounds or (-math.inf, math.inf))


def auc(
    positives: Sequence[float],
    negatives: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the area under the ROC curve: how often a positive is above a negative; ties count half.

    Source: Bamber 1975 (the Mann-Whitney form). The interval is a percentile bootstrap that resamples both sides. Where
    all pairs agree it is Wilson's of the smaller side, which is wider than the bootstrap's, that has no width there;
    where all scores are tied there is nothing to tell an interval from.

    Args:
        positives: Scores of independent observations that should be high.
        negatives: Scores of those that should be low.
        confidence: Coverage of the interval, between 0 and 1.
        resamples: How many times both sides are drawn.
        seed: Of the drawing.

    Returns:
        The estimate; `n` counts both sides, and nothing is measured if one is empty.

    Raises:
        ValueError: A score is not a number, or a setting is not allowed.
    """
    import numpy as np

    clusters = range(len(positives) + len(negatives))
    _check_sample([*positives, *negatives], clusters, confidence=confidence, resamples=resamples)
    if not positives or not negatives:
        return Estimate.nothing()
    high, low = np.asarray(positives, float)[:, None], np.asarray(negatives, float)
    above = (high > low) + 0.5 * (high == low)
    value, n = float(above.mean()), above.shape[0] + above.shape[1]
    if above.min() == above.max():
        if value not in (0, 1):
            return Estimate(value, math.nan, math.nan, n)
        least = min(above.shape)
        sure = wilson(int(value) * least, least, confidence)
        return Estimate(value, sure.low, sure.high, n)
    rng = np.random.default_rng(seed)
    rows, columns = (_draw(rng, np.full(resamples, size), size) for size in above.shape)
    means = ((rows @ above) * columns).sum(-1) / above.size
    return _percentiles(value, means, confidence, n)


def auc_difference(
    scores: Sequence[float],
    labels: Sequence[bool],
    others: Sequence[float],
    their_labels: Sequence[bool],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return one area under the ROC curve less another, of scores of the same observations.

    The interval resamples observations, for both alike. There is none where all resamples agree.

    Args:
        scores: One number per observation.
        labels: Which of them should be high.
        others: Other scores of the same observations.
        their_labels: Which of those should be high.
        confidence: Coverage of the interval, between 0 and 1.
        resamples: How many times observations are drawn.
        seed: Of the drawing.

    Raises:
        ValueError: Lengths differ, or a score is not a number, or a setting is not allowed.
    """
    import numpy as np

    for some in (scores, others):
        _check_sample(some, labels, their_labels, confidence=confidence, resamples=resamples)
    n = len(scores)
    if any(all(some) or not any(some) for some in (labels, their_labels)):
        return Estimate.nothing()
    drawn = np.concatenate([np.ones((1, n)), _draw(np.random.default_rng(seed), np.full(resamples, n), n)])
    areas, whole = [], np.ones(resamples + 1, dtype=bool)
    for some, which in ((scores, labels), (others, their_labels)):
        values, high = np.asarray(some, float), np.asarray(which, bool)
        above = (values[high][:, None] > values[~high]) + 0.5 * (values[high][:, None] == values[~high])
        rows, columns = drawn[:, high], drawn[:, ~high]
        pairs = rows.sum(-1) * columns.sum(-1)
        whole &= pairs > 0  # a draw may hold one side alone
        areas.append(((rows @ above) * columns).sum(-1) / np.maximum(pairs, 1))
    apart = areas[0] - areas[1]
    drawn_apart = apart[1:][whole[1:]]
    if drawn_apart.min() == drawn_apart.max():
        return Estimate(float(apart[0]), math.nan, math.nan, n)
    return _percentiles(float(apart[0]), drawn_apart, confidence, n)


def ks(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the two-sample Kolmogorov-Smirnov statistic, the greatest distance of two cumulative distributions.

    From 0 (alike) to 1 (apart). There is no interval: the statistic is biased away from 0, and a bootstrap's more so.

    Args:
        ours: One sample.
        theirs: The other.
    """
    if not ours or not theirs:
        return Estimate.nothing()
    both = sorted({*ours, *theirs})
    a, b = sorted(ours), sorted(theirs)
    most = max(abs(bisect_right(a, x) / len(a) - bisect_right(b, x) / len(b)) for x in both)
    return Estimate(most, math.nan, math.nan, len(a) + len(b))


def anchored(
    values: Sequence[float],
    before: Sequence[float],
    never: Sequence[float | Mapping[str, float]],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return where a mean stands between two others: 0 is the model from before, 1 one that never knew.

    It may be below 0 or above 1. Means are anchored, not each concept's value, because a concept on which both anchors
    agree has no scale of its own. Of several models that never knew, the mean is 1, and every resample takes one of
    them, so the interval is as wide as they are apart. One more of them has 1 within its own in about 83 of 100
    where there are five that differ as much as concepts do, in 70 if they differ much more; less with two or three.

    Args:
        values: One number per concept.
        before: Those of the model from before, in the same order.
        never: Those of a model that never saw the concepts; of several, for every concept the number of each by name.
            Not every model need have one for every concept.
        confidence: Coverage of the interval, between 0 and 1.
        resamples: How many times concepts are drawn, for all alike.
        seed: Of the drawing.

    Returns:
        The estimate; `n` counts concepts. It is NaN where the anchors' difference cannot be told from 0, and has no
        interval where all resamples agree.

    Raises:
        ValueError: Lengths differ, or a value or a setting is not allowed.
    """
    import numpy as np

    named = [each if isinstance(each, Mapping) else {"": each} for each in never]
    _check_sample(values, before, named, confidence=confidence, resamples=resamples)
    for some in (before, [value for each in named for value in each.values()]):
        _check_sample(some, confidence=confidence, resamples=resamples)
    if not all(named):
        raise ValueError(f"concept {named.index({})} has no model that never knew it; leave it out")
    if not values:
        return Estimate.nothing()
    n = len(values)
    models = dict.fromkeys(name for each in named for name in each)
    ends = np.asarray([[each.get(name, math.nan) for each in named] for name in models], dtype=np.float64)
    # Each resample has an order of its own; of the models that have a number for a concept, the first counts.
    order = np.random.default_rng(seed + 1).random((resamples, len(models), 1)) + np.where(np.isnan(ends), 1, 0)
    taken = ends[order.argmin(1), np.arange(n)]
    drawn = _draw(np.random.default_rng(seed), np.full(resamples, n), n)
    after, start, end = ((drawn * some).sum(-1) for some in (np.asarray(values), np.asarray(before), taken))
    low, high = np.quantile(end - start, [(1 - confidence) / 2, (1 + confidence) / 2])
    if low <= 0 <= high:
        return Estimate(math.nan, math.nan, math.nan, n)
    mine, first, last = sum(values), sum(before), np.nanmean(ends, axis=0).sum()
    apart = end != start  # a draw of concepts on which the anchors agree has no scale
    found = _percentiles(
        float((mine - first) / (last - first)), (after - start)[apart] / (end - start)[apart], confidence, n
    )
    value, low, high = (round(x, 12) + 0.0 for x in (found.value, found.low, found.high))  # nor -0 nor 2e-18
    return Estimate(value, low, high, n) if low < high else Estimate(value, math.nan, math.nan, n)


def paired_difference(
    after: Sequence[float],
    before: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the mean of `after - before`, observation by observation, with a cluster bootstrap interval.

    Args:
        after: One number per probe.
        before: The numbers of the same probes, in the same order.
        clusters: The cluster of each probe.
        confidence: Coverage of the interval, between 0 and 1.
        resamples: How many times clusters are drawn.
        seed: Of the drawing.

    Raises:
        ValueError: Lengths differ, or a value or a setting is not allowed.
    """
    if len(after) != len(before):
        raise ValueError(f"after has {len(after)} values and before {len(before)}; give the same probes in both")
    yes_no = all(value in (0, 1) for value in (*after, *before))
    return cluster_bootstrap(
        [a - b for a, b in zip(after, before, strict=True)],
        clusters,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        # Explicit bounds: differences that are all 0 or 1 by chance may still be -1 elsewhere.
        bounds=(-1.0, 1.0) if yes_no else (-math.inf, math.inf),
    )


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; give a share between 0 and 1, such as 0.95")


def _check_sample(values: Sequence[float], *labels: Sequence[Hashable], confidence: float, resamples: int) -> None:
    _check_confidence(confidence)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples!r}; give at least 1, and 1000 or more for a stable interval")
    for labelling in labels:
        if len(labelling) != len(values):
            raise ValueError(f"there are {len(values)} values and {len(labelling)} labels; give one label per value")
    for place, value in enumerate(values):
        if not math.isfinite(value):
            raise ValueError(f"value {place} is {value!r}; leave out what was not measured, so that n says so")


def _unanimous(value: float, units: int, n: int, confidence: float, bounds: tuple[float, float]) -> Estimate:
    """Interval where every value is the same: the share of units that differ may still be up to Wilson's bound."""
    least, greatest = bounds
    if not least <= value <= greatest:
        raise ValueError(f"all values are {value!r}, outside bounds={bounds}; widen the bounds")
    if not (math.isfinite(least) and math.isfinite(greatest)):
        return Estimate(value, math.nan, math.nan, n)
    unseen = wilson(0, units, confidence).high
    return Estimate(value, value - unseen * (value - least), value + unseen * (greatest - value), n)


def _groups(
    values: Sequence[float], concepts: Sequence[Hashable], clusters: Sequence[Hashable]
) -> dict[Hashable, dict[Hashable, tuple[float, int]]]:
    """Sum and count of each cluster of each concept, in order of first appearance."""
    groups: dict[Hashable, dict[Hashable, tuple[float, int]]] = {}
    for value, concept, cluster in zip(values, concepts, clusters, strict=True):
        group = groups.setdefault(concept, {})
        total, count = group.get(cluster, (0.0, 0))
        group[cluster] = (total + value, count + 1)
    return groups


def _resampled_means(groups: dict[Hashable, dict[Hashable, tuple[float, int]]], resamples: int, seed: int) -> Floats:
    """Means of resamples: `(resamples,)`."""
    import numpy as np

    rng = np.random.default_rng(seed)
    drawn = _draw(rng, np.full(resamples, len(groups)), len(groups))
    sums, counts = np.zeros(resamples), np.zeros(resamples)
    for column, group in enumerate(groups.values()):
        # A concept drawn m times brings m independent resamples of its clusters: m times as many draws.
        weights = _draw(rng, drawn[:, column] * len(group), len(group))
        table = np.asarray(list(group.values()), dtype=np.float64)
        sums += weights @ table[:, 0]
        counts += weights @ table[:, 1]
    return np.asarray(sums / counts, dtype=np.float64)


def _draw(rng: np.random.Generator, times: NDArray[Any], among: int) -> NDArray[Any]:
    """How often each of `among` equals comes up in `times` draws: `(resamples, among)`."""
    return rng.multinomial(times, [1 / among] * among)


def _percentiles(value: float, means: Floats, confidence: float, n: int) -> Estimate:
    import numpy as np

    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    # A skewed sample can leave its own mean outside the percentiles; an interval that does so would mislead.
    return Estimate(value, min(float(low), value), max(float(high), value), n)
