"""Intervals on numbers that can be checked on paper, and on samples whose truth is known."""

import math
import random

import pytest

from unsee import stats
from unsee.stats import cluster_bootstrap, paired_difference, two_level_bootstrap, wilson


def numbers(estimate):
    return estimate.value, estimate.low, estimate.high


def test_wilson_none_of_ten():
    """With p = 0, centre and half width are both (z²/2n)/(1 + z²/n), and the upper end is z²/(n + z²).

    With z = 1.95996, z² = 3.84146: 3.84146 / 13.84146 = 0.27753.
    """
    assert numbers(wilson(0, 10)) == pytest.approx((0.0, 0.0, 0.27753), abs=1e-5)


def test_wilson_all_of_ten():
    """The mirror image of none of ten: the lower end is n/(n + z²) = 10 / 13.84146 = 0.72247."""
    assert numbers(wilson(10, 10)) == pytest.approx((1.0, 0.72247, 1.0), abs=1e-5)


def test_wilson_seven_of_ten():
    """Centre (0.7 + 0.192073) / 1.384146 = 0.644493.

    Half width 1.959964 sqrt(0.021 + 0.0096036) / 1.384146 = 1.959964 * 0.174939 / 1.384146 = 0.247715.
    """
    assert numbers(wilson(7, 10)) == pytest.approx((0.7, 0.396778, 0.892209), abs=1e-5)


def test_wilson_of_nothing_is_nothing():
    assert math.isnan(wilson(0, 0).value)
    assert wilson(0, 0).n == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((3, 2), "3 successes of 2"), ((-1, 2), "-1 successes"), ((1, 2, 95), "confidence is 95; give a share")],
)
def test_wilson_refuses_impossible_counts(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson(*arguments)


def test_two_clusters_that_disagree():
    """Drawing two of {0, 1} with replacement gives means 0, 1/2, 1 with chances 1/4, 1/2, 1/4.

    So the 2.5 % and 97.5 % points are 0 and 1, however many phrasings each picture has.
    """
    estimate = cluster_bootstrap([0, 0, 0, 1, 1, 1], ["a", "a", "a", "b", "b", "b"])
    assert numbers(estimate) == (0.5, 0.0, 1.0)
    assert estimate.n == 6


def test_more_phrasings_of_the_same_pictures_do_not_narrow_the_interval():
    once = cluster_bootstrap([0, 1, 1, 0, 1], "abcde")
    often = cluster_bootstrap([0, 1, 1, 0, 1] * 9, "abcde" * 9)
    assert numbers(often) == pytest.approx(numbers(once))
    assert (once.n, often.n) == (5, 45)


def test_agreement_is_not_certainty():
    """40 probes on 10 pictures without a leak say as much as 10 independent ones: up to 3.84146/13.84146."""
    estimate = cluster_bootstrap([0] * 40, [probe // 4 for probe in range(40)])
    assert numbers(estimate) == pytest.approx((0.0, 0.0, 0.27753), abs=1e-5)
    assert numbers(cluster_bootstrap([1], ["a"])) == pytest.approx((1.0, 0.20654, 1.0), abs=1e-5)


def test_one_cluster_has_no_interval():
    estimate = cluster_bootstrap([0.2, 0.4], ["a", "a"])
    assert estimate.value == pytest.approx(0.3)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_nothing_asked_is_nothing_measured():
    assert cluster_bootstrap([], []).n == 0
    assert math.isnan(cluster_bootstrap([], []).value)


def test_the_seed_decides():
    values, clusters = [0.1, 0.5, 0.7, 0.2, 0.9, 0.4], "abcabc"
    assert cluster_bootstrap(values, clusters, seed=3) == cluster_bootstrap(values, clusters, seed=3)


def test_forty_clusters_cover_about_as_often_as_asked():
    """A true 95 % interval covers in 95 of 100 samples, give or take 4; one that ignored clusters, in about 60."""
    rng = random.Random(0)
    hits = 0
    for seed in range(100):
        centres = [rng.gauss(0, 1) for _ in range(40)]
        values = [rng.gauss(centre, 0.2) for centre in centres for _ in range(4)]
        estimate = cluster_bootstrap(values, [place // 4 for place in range(160)], resamples=500, seed=seed)
        hits += estimate.low <= 0 <= estimate.high
    assert 86 <= hits <= 100


def test_concepts_that_differ_widen_the_interval():
    """Two concepts, one always leaking and one never: two of {0, 1} again, so 0 to 1; pictures alone say far less."""
    values, concepts, pictures = [0] * 20 + [1] * 20, ["a"] * 20 + ["b"] * 20, list(range(20)) * 2
    assert numbers(two_level_bootstrap(values, concepts, pictures)) == (0.5, 0.0, 1.0)
    within = cluster_bootstrap(values, list(range(40)))
    assert within.high - within.low < 0.4


def test_one_concept_is_a_cluster_bootstrap():
    values, pictures = [0.1, 0.5, 0.7, 0.2], "abca"
    assert two_level_bootstrap(values, "kkkk", pictures) == cluster_bootstrap(values, pictures)


def test_a_paired_difference_cancels_what_both_share():
    """Pictures range from 0 to 0.9 in difficulty, but each gets better by 0.1 or 0.2: the difference is narrow."""
    before = [place / 10 for place in range(10)]
    after = [value + 0.1 + 0.1 * (place % 2) for place, value in enumerate(before)]
    estimate = paired_difference(after, before, range(10))
    assert estimate.value == pytest.approx(0.15)
    assert 0.1 <= estimate.low < estimate.high <= 0.2


def test_no_difference_seen_may_be_one_either_way():
    """None of 10 pictures changed: with yes or no, up to 0.27753 of them may, in either direction."""
    estimate = paired_difference([1, 0] * 5, [1, 0] * 5, range(10))
    assert numbers(estimate) == pytest.approx((0.0, -0.27753, 0.27753), abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cluster_bootstrap([1, 2], ["a"]), "2 values and 1 labels; give one label per value"),
        (lambda: cluster_bootstrap([1, math.nan], "ab"), "value 1 is nan; leave out what was not measured"),
        (lambda: cluster_bootstrap([1], "a", resamples=0), "resamples is 0"),
        (lambda: cluster_bootstrap([2, 2], "ab", bounds=(0, 1)), "outside bounds=(0, 1); widen"),
        (lambda: paired_difference([1], [1, 2], "a"), "after has 1 values and before 2"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


# --- The anchored scale ----------------------------------------------------------------------------------------------


def test_anchored_by_hand():
    """Means of 0.5 between 0.9 and 0.1: half of the way; the anchors themselves are at 0 and 1."""
    before, never = [0.8, 1.0, 0.9], [0.0, 0.2, 0.1]
    half = stats.anchored([0.3, 0.5, 0.7], before, never)
    assert half.value == pytest.approx(0.5)
    assert 0.2 < half.low < 0.5 < half.high < 0.8
    assert half.n == 3
    for values, place in ((before, 0), (never, 1)):
        there = stats.anchored(values, before, never)
        assert (there.value, there.n) == (pytest.approx(place), 3)
        assert math.copysign(1, there.value) == 1, "never -0"
    assert stats.anchored([-0.7, -0.7, -0.7], before, never).value == pytest.approx(2), "past the oracle"


def test_anchors_that_cannot_be_told_apart_are_no_scale():
    """Higher for one concept and lower for the other; and alike for all."""
    assert math.isnan(stats.anchored([1, 1], [0, 1], [1, 0]).value)
    same = stats.anchored([1, 1], [0.5, 0.5], [0.5, 0.5])
    assert math.isnan(same.value)
    assert same.n == 2
    assert stats.anchored([], [], []).n == 0
    with pytest.raises(ValueError, match="give one label per value"):
        stats.anchored([1, 1], [1], [0, 0])


def test_a_concept_on_which_anchors_agree_counts_in_the_mean():
    """By hand: anchors 1 and 0 for three concepts, 1 and 1 for a fourth; values 0, 0, 0, 1 have gone all of the way."""
    found = stats.anchored([0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 1])
    assert found.value == 1
    assert math.isnan(found.low), "every draw says 1, which is not certainty"


def test_of_several_models_that_never_knew_every_resample_takes_one():
    """By hand, from 1 to 0 or 0.5: 0.6 has gone 0.4 or 0.8 of the way, 8 fifteenths to the mean; C is known to one."""
    never = [{"a": 0.0, "b": 0.5}, {"b": 0.5, "a": 0.0}]
    found = stats.anchored([0.6, 0.6], [1, 1], never)
    assert (found.value, found.low, found.high) == pytest.approx((8 / 15, 0.4, 0.8))
    found = stats.anchored([0.6, 0.6, 0.6], [1, 1, 1], [*never, {"a": 0.0}])
    assert found.value == pytest.approx(1.2 / (0.75 + 0.75 + 1))
    alone = [{"a": value} for value in (0.0, 0.2, 0.1)]
    values, before = [0.3, 0.5, 0.7], [0.8, 1.0, 0.9]
    assert stats.anchored(values, before, alone) == stats.anchored(values, before, [0.0, 0.2, 0.1])
    with pytest.raises(ValueError, match="concept 1 has no model that never knew it; leave it out"):
        stats.anchored([1, 1], [1, 1], [{"a": 0.0}, {}])


@pytest.mark.parametrize(("apart", "five", "one"), [(0.1, (155, 180), 120), (0.3, (130, 160), 60)])
def test_one_more_model_that_never_knew_mostly_has_one_within_its_interval(apart, five, one):
    """Of 200, if models differ as much as concepts or three times as much: five for a scale tell it, one does not."""
    rng, within = random.Random(0), {1: 0, 5: 0}
    for _ in range(200):
        mine, *others = (
            [rng.gauss(0.3, 0.1) + shift for _ in range(8)] for shift in (rng.gauss(0, apart) for _ in range(6))
        )
        for count in within:
            never = [{str(n): other[i] for n, other in enumerate(others[:count])} for i in range(8)]
            found = stats.anchored(mine, [3.0] * 8, never, resamples=200)
            within[count] += found.low <= 1 <= found.high
    assert five[0] <= within[5] <= five[1]
    assert within[1] <= one


def test_the_difference_of_two_areas_is_paired():
    """By hand: 1, 2 against 0, 3 is above in two pairs of four; by the other labels in none of four: a half apart."""
    scores, labels = [1.0, 2.0, 0.0, 3.0], [True, True, False, False]
    found = stats.auc_difference(scores, labels, [0.0, 0.0, 1.0, 1.0], labels)
    assert (found.value, found.n) == (0.5, 4)
    alike = stats.auc_difference(scores * 10, labels * 10, scores * 10, labels * 10)
    assert alike.value == 0
    assert math.isnan(alike.low), "all resamples agree"
    rng = random.Random(0)
    noise = [[rng.gauss(0, 1) + 2 * (n % 2 and told) for n in range(80)] for told in (1, 0)]
    which = [bool(n % 2) for n in range(80)]
    apart = stats.auc_difference(noise[0], which, noise[1], which)
    assert apart.low > 0.2
    areas = [stats.auc(some[1::2], some[::2]).value for some in noise]
    assert apart.value == pytest.approx(areas[0] - areas[1])
    assert stats.auc_difference([1.0], [True], [1.0], [True]).n == 0
