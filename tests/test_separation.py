"""What a metric of forgetting is worth, worked by hand on pools of a few pairs."""

import json
import math

import pytest

from unsee import separation, stats
from unsee.separation import FORGOTTEN, ITSELF, PLAIN, RELEARNED, Measure, Pair, Pool

LEAK = Measure("leak: all open questions", "strict", "lower")
NAN = math.nan
# Each model knows one of two concepts, and each concept is known to one of two models.
FOUR = (Pair("A", "x", True), Pair("A", "y", False), Pair("B", "x", False), Pair("B", "y", True))


def pool_of(size, knowing, never, **others):
    """Models and concepts, as many of each; each model knows every second concept. Values are the same for all."""
    pairs = tuple(Pair(f"m{m}", f"c{c}", (m + c) % 2 == 0) for m in range(size) for c in range(size))
    values = {(ITSELF, PLAIN): {LEAK.name: [knowing if p.knows else never for p in pairs]}}
    for key, value in others.items():
        subject, _, condition = key.replace("_", " ").partition(", ")
        values[subject, condition or PLAIN] = {LEAK.name: [value if p.knows else NAN for p in pairs]}
    return Pool(pairs, values)


# --- AUC, threshold, errors ------------------------------------------------------------------------------------------


def test_the_area_counts_pairs_of_pairs_and_halves_ties():
    """3 and 1 against 2 and 0: three of four; with 1 for the 2, a tie: three and a half."""
    found = separation.auc(FOUR, [3, NAN, NAN, 1], [NAN, 2, 0, NAN])
    assert (found.value, found.n) == (0.75, 4)
    assert separation.auc(FOUR, [3, NAN, NAN, 1], [NAN, 1, 0, NAN]).value == 0.875
    assert separation.auc(FOUR, [3, NAN, NAN, 1], [NAN] * 4).n == 0


def test_an_area_of_one_is_as_sure_as_its_models_and_concepts_are_many():
    """Two models and two concepts: Wilson's of 2 of 2 begins at 0.34; four of each: 0.51."""
    assert separation.auc(FOUR, [3, NAN, NAN, 3], [NAN, 2, 0, NAN]).low == pytest.approx(0.342, abs=1e-3)
    (row,) = separation.rows(pool_of(4, 1.0, 0.0), [LEAK])
    assert (row.auc.value, row.auc.n) == (1.0, 16)
    assert row.auc.low == pytest.approx(0.510, abs=1e-3)
    assert separation.tells(row.auc)


@pytest.mark.parametrize(
    ("knowing", "never", "threshold"),
    [
        ([3, 4], [0, 1], 2.0),  # all are right anywhere between 1 and 3
        ([1, 9], [0, 2], 5.5),  # one is wrong below 1, or above 2, where there is more room
        ([1, 3], [0, 2], 0.5),  # alike in room as well: the lower
        ([0], [1], 0.5),  # the wrong way round: no place is good
    ],
)
def test_the_threshold_is_in_the_middle_of_the_widest_of_the_best_places(knowing, never, threshold):
    assert separation.cut(knowing, never) == threshold


def test_there_is_no_threshold_between_alike_scores():
    assert math.isnan(separation.cut([1, 1], [1]))


def test_each_concept_is_judged_by_the_threshold_of_the_others():
    """Of x the scores are 3 (knows) and 2, of y 1 and 0.

    The threshold of y, 0.5, takes 2 for knowing; that of x, 2.5,
    misses 1. One threshold for all, chosen on all of them, would be wrong once.
    """
    missed, alarms = separation.errors(FOUR, [3, 0, 2, 1])
    assert (missed.value, missed.n, alarms.value, alarms.n) == (0.5, 2, 0.5, 2)
    one = FOUR[::2]
    assert separation.errors(one, [3, 2])[0].n == 0, "there is no other concept"


def test_where_more_is_forgotten_the_sign_is_turned_back_in_what_is_shown():
    efficacy = Measure("efficacy", "paper", "higher")
    pool = Pool(FOUR, {(ITSELF, PLAIN): {"efficacy": [0.0, 1.0, 0.8, 0.2]}})
    (row,) = separation.rows(pool, [efficacy])
    assert (row.auc.value, row.knowing.value, row.never.value) == (1.0, 0.1, 0.9)
    assert row.threshold == 0.5
    assert separation.grid([row], "pools")[1][0][0] == "efficacy ↑"


# --- Stability -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rounded", "stable"), [(8, 0.75), (12, 1.0), (1, 0.0)])
def test_rounding_leaves_a_share_of_the_way_from_never_knowing_to_knowing(rounded, stable):
    """From 2 to 10: at 8 three quarters are left; what lies beyond an end is clipped."""
    found = separation.stability(FOUR, [10, 2, 2, 10], [rounded, 5, 5, rounded])
    assert found.value == stable


@pytest.mark.parametrize(
    ("never", "forgotten", "found"),
    [
        (4, 9, 1 / 3),  # 2 against 6
        (4, 3, 1.0),  # nothing comes back
        (5, 6, 1.0),  # both move by 3
        (1, 9, 0.0),  # what never knew does not even move that way
    ],
)
def test_relearning_compares_those_who_never_knew_with_those_made_to_forget(never, forgotten, found):
    """Never-knowing pairs start at 2, forgotten ones at 3, on a scale from 2 to 10."""
    told = separation.relearning(
        FOUR, [10, 2, 2, 10], [10, never, never, 10], [3, NAN, NAN, 3], [forgotten, NAN, NAN, forgotten]
    )
    assert told.value == pytest.approx(found)


def test_without_a_scale_stability_means_nothing_and_without_a_measurement_there_is_none():
    upside_down = separation.stability(FOUR, [2, 10, 10, 2], [2, 10, 10, 2])
    assert math.isnan(upside_down.value) and upside_down.n == 2
    assert separation.stability(FOUR, [10, 2, 2, 10], [NAN] * 4).n == 0
    noise = [1, 2, 0, 1]
    assert math.isnan(separation.stability(FOUR, noise, noise).value), "knowing at 1 and never-knowing at 1"
    unsure = [5, 2, 3, 1]
    assert math.isnan(separation.stability(FOUR, unsure, unsure).value), "at 3 and 2.5, and the one of x falls below"


def test_a_row_says_how_far_each_side_moves():
    pool = pool_of(4, 1.0, 0.0, siu=0.1)
    pairs, values = pool.pairs, dict(pool.values)
    values[ITSELF, RELEARNED] = {LEAK.name: [1.0 if p.knows else 0.2 for p in pairs]}
    values[FORGOTTEN, RELEARNED] = {LEAK.name: [0.9 if p.knows else NAN for p in pairs]}
    values[ITSELF, "int4"] = {LEAK.name: [0.5 if p.knows else 0.3 for p in pairs]}
    (row,) = separation.rows(Pool(pairs, values), [LEAK])
    moves = {whose: round(e.value, 9) for whose, e in row.moves.items()}
    assert moves == {"never-knowing": 0.2, "siu": 0.8, "knowing": 0.0}
    assert row.relearned.value == pytest.approx(0.25)
    assert (row.rounded["int4"].value, row.unsettled["int4"].value) == (0.5, 0.3)
    assert row.unsettled.keys() == {"int4"}


# --- Hiders ----------------------------------------------------------------------------------------------------------


def test_a_metric_exposes_hiders_that_score_above_those_who_never_knew():
    (row,) = separation.rows(pool_of(4, 1.0, 0.0, suppressed=0.2, half_scale=0.0, siu=0.9), [LEAK])
    told = {name: (e.share.value, e.auc.value, e.exposes) for name, e in row.hiders.items()}
    assert told["suppressed"] == (0.0, 1.0, True), "below the threshold, and yet never as low as the never-knowing"
    assert told["half scale"] == (0.0, 0.5, False)
    assert told["siu"] == (1.0, 1.0, True)


def test_a_metric_that_does_not_tell_the_pools_apart_exposes_nobody():
    (row,) = separation.rows(pool_of(4, 0.0, 0.0, suppressed=1.0), [LEAK])
    assert row.hiders["suppressed"].auc.value == 1.0
    assert not row.hiders["suppressed"].exposes


def test_two_models_are_too_few_to_say_that_hiders_are_exposed():
    (row,) = separation.rows(pool_of(2, 1.0, 0.0, suppressed=1.0), [LEAK])
    assert (row.hiders["suppressed"].auc.value, row.hiders["suppressed"].exposes) == (1.0, False)


def test_it_is_said_that_two_models_are_too_few():
    pool = pool_of(2, 1.0, 0.0)
    assert separation.remarks(pool, separation.rows(pool, [LEAK]))[1].startswith(
        "2 models or concepts are too few to t"
    )
    four = pool_of(4, 1.0, 0.0)
    assert not [line for line in separation.remarks(four, []) if "too few" in line]


# --- What is shown ---------------------------------------------------------------------------------------------------


def test_what_was_not_measured_in_both_pools_has_no_row():
    pool = Pool(FOUR, {(ITSELF, PLAIN): {LEAK.name: [1.0, NAN, NAN, 1.0]}})
    assert separation.rows(pool, [LEAK]) == []


def test_tables_and_remarks_say_who_exposes_whom():
    pool = pool_of(4, 1.0, 0.0, suppressed=0.2, half_scale=0.0)
    pool = Pool(pool.pairs, {**pool.values}, unnamed=(("m9", "Ann"),))
    blind = Measure("mia", "paper", "lower")
    for told in pool.values.values():
        told["mia"] = [0.0] * 16
    rows = separation.rows(pool, [blind, LEAK])
    heads, cells = separation.grid(rows, "hiders")
    assert heads == ["metric", "of", "suppressed", "half scale"]
    assert [row[0] for row in cells] == ["leak: all open questions ↓", "mia ↓"], "our own first"
    assert cells[0][2].endswith("1 [0.51, 1] **exposed**") and "exposed" not in cells[0][3]
    said = separation.remarks(pool, rows)
    assert said[0].startswith("8 knowing and 8 never-knowing pairs, of 4 models and 4 concepts")
    assert "left out: m9 was shown Ann and does not name it" in said
    assert "mia (0.50)" in said[2]
    assert "suppressed: exposed by leak: all open questions; others': none" in said
    assert "half scale: exposed by none; others': none" in said
    record = json.loads(json.dumps(separation.as_dict(pool, rows), allow_nan=False))
    assert record["metrics"]["leak: all open questions"]["hiders"]["suppressed"]["exposes"] is True
    assert record["values"]["suppressed, as it is"]["leak: all open questions"][:2] == [0.2, None]
    with pytest.raises(LookupError, match="there is no table 'pool'; there are pools, stability, hiders"):
        separation.grid(rows, "pool")


# --- Rows and columns resampled --------------------------------------------------------------------------------------


def test_rows_and_columns_are_resampled_as_wholes():
    """Values that depend on the row alone: two rows of ten columns are two observations, not twenty."""
    rows, columns = [0] * 10 + [1] * 10, [*range(10)] * 2
    values = [float(row) for row in rows]

    def mean(weights):
        return weights @ values / weights.sum(-1)

    found = stats.crossed_bootstrap(mean, rows, columns)
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.0, 1.0, 20)
    assert stats.crossed_bootstrap(mean, columns, rows).low == 0.0, "whichever is called the row"
    alone = stats.crossed_bootstrap(mean, [0] * 20, columns)
    assert alone.value == 0.5 and math.isnan(alone.low), "one row says nothing of others"


def test_draws_that_agree_are_as_sure_as_rows_or_columns_are_many():
    rows, columns = [0, 0, 0, 1, 1, 1], [0, 1, 2] * 2

    def ones(weights):
        return weights.sum(-1) / weights.sum(-1)

    assert stats.crossed_bootstrap(ones, rows, columns, bounds=(0, 1)).low == pytest.approx(stats.wilson(2, 2).low)
    assert math.isnan(stats.crossed_bootstrap(ones, rows, columns).low)
    assert stats.crossed_bootstrap(ones, [], []).n == 0
    with pytest.raises(ValueError, match="there are 2 values and 1 labels"):
        stats.crossed_bootstrap(ones, [0, 1], [0])
