"""The paper's order of methods against kept cells: verdicts worked by hand, and what is printed of a real bench."""

from __future__ import annotations

import math
import sys

import pytest

from unsee.records import Estimate


@pytest.fixture
def against(pytestconfig, monkeypatch):
    """`benchmarks/against_paper.py`, which is no package and imports what stands beside it."""
    monkeypatch.syspath_prepend(pytestconfig.rootpath / "benchmarks")
    yield __import__("against_paper")
    for name in ("against_paper", "kept"):  # a name as short as `kept` must not stay importable
        del sys.modules[name]


def cells(metric, **values):
    """Cells of characters A, B, ..., by variant: a number for all seeds of each, or a list of one number per seed."""
    return [
        {"variant": variant, "concept": concept, "seed": seed, "marks": {}, "scores": {metric: {"value": v, "n": 1}}}
        for variant, some in values.items()
        for concept, of_seeds in zip("ABCDEFGH", some, strict=False)
        for seed, v in enumerate(of_seeds if isinstance(of_seeds, list) else [of_seeds])
    ]


NAMES = {method: method for method in ("po", "ga", "ga_kl", "siu")}


@pytest.mark.parametrize(
    ("expected", "low", "high", "said"),
    [
        (0.5, 0.1, 0.3, "confirmed"),
        (-0.5, -0.3, -0.1, "confirmed"),
        (0.5, -0.3, -0.1, "contradicted"),
        (-0.5, 0.1, 0.3, "contradicted"),
        (0.5, -0.1, 0.3, "undecided"),
        (0.5, 0.0, 0.4, "undecided"),
        (0.5, math.nan, math.nan, "undecided"),
        (0, 0.1, 0.3, "tie"),
    ],
)
def test_a_verdict_is_told_by_the_sign_and_the_interval(against, expected, low, high, said):
    assert against.verdict(expected, Estimate((low + high) / 2, low, high, 8)) == said


def test_a_pair_is_compared_within_each_character_and_seed(against):
    """PO is 0.1 and 0.2 above GA on A and B, though B alone lies 0.5 above A: paired, 0.15 [0.1, 0.2] is sure.

    The mean over seeds of each character: A 0.1 (0.0 and 0.2), B 0.2. Draws of two of {0.1, 0.2} lie between those.
    """
    some = cells("em: words", po=[[0.3, 0.5], 0.9], ga=[[0.3, 0.3], 0.7])
    (apart,) = {against.combined(some, "em: words", {"po": 1, "ga": -1})}
    assert (apart.value, apart.low, apart.high, apart.n) == pytest.approx((0.4 / 3, 0.1, 0.2, 3))
    assert against.paired(some, "em: words", NAMES)[("ga", "po")][0] == "confirmed"  # PO 58.3, GA 36.3 in the paper
    backwards = cells("em: words", po=[0.3, 0.7], ga=[0.5, 0.9])
    assert against.paired(backwards, "em: words", NAMES)[("ga", "po")][0] == "undecided"  # two alike tell little
    backwards = cells("em: words", po=[0.3, 0.6], ga=[0.5, 0.9])
    assert against.paired(backwards, "em: words", NAMES)[("ga", "po")][0] == "contradicted"


def test_only_what_both_were_asked_is_paired(against):
    some = cells("em: words", po=[0.5, 0.6, 0.1], ga=[0.3, 0.3])
    assert against.combined(some, "em: words", {"po": 1, "ga": -1}).value == pytest.approx(0.25)
    assert against.combined(some, "em: words", {"po": 1, "siu": -1}).n == 0
    assert against.paired(some, "c_dis", NAMES) == {}


def test_lower_is_confirmed_where_lower_is_the_papers_order(against):
    """Fluency of PO is 75.1, of GA 373.6: PO is to be lower, whatever its own numbers are."""
    some = cells("fluency", po=[5, 7], ga=[8, 9])
    ((pair, (said, apart)),) = against.paired(some, "fluency", NAMES).items()
    assert (pair, said, apart.value) == (("ga", "po"), "confirmed", 2.5)
    assert against.signed(apart, "fluency") == "+2.5 [+2, +3]"


def test_a_share_that_is_the_same_everywhere_is_not_certain(against):
    """8 characters with 1 for 0: Wilson leaves 0.32 of them open, so the difference is above 1 - 2 x 0.32 = 0.35.

    A number in the sum shifts its bounds: 0 less 0.9 may be 0.1 at most, so 0.32 of the way from -0.9 is -0.58.
    """
    some = cells("em: words", siu=[1.0] * 8, po=[0.0] * 8)
    assert against.combined(some, "em: words", {"siu": 1, "po": -1}).low == pytest.approx(0.351, abs=0.001)
    short = against.combined(some, "em: words", {"po": 1, 1: -0.9})
    assert (short.value, short.high) == pytest.approx((-0.9, -0.576), abs=0.001)
    assert against.paired(cells("em: words", siu=[0.1] * 8, po=[0.1] * 8), "em: words", NAMES)["siu", "po"][0] == (
        "undecided"
    )


def test_verdicts_are_counted_and_ties_are_not(against):
    """EM: of the six pairs SIU leads in three, one of which is undecided."""
    verdicts = dict.fromkeys(against.PAIRS, "confirmed") | {("siu", "po"): "undecided", ("ga", "po"): "contradicted"}
    said = against.ranked("em: words", verdicts)
    assert said.startswith(
        "EM (SIU > PO > GA > GA+KL): 4 of 6 confirmed, 1 contradicted, 1 undecided; SIU first: cannot"
    )
    # Of 13B's 90.0, 10.7, 24.7 and 17.3 SIU is above all, and GA above GA+KL; PO is last.
    assert said.endswith("; 4 of 6 pairs of the paper's 13B are in this order")
    assert "SIU first: confirmed" in against.ranked("em: words", verdicts | {("siu", "po"): "confirmed"})
    assert "SIU first: not confirmed" in against.ranked("em: words", verdicts | {("siu", "po"): "contradicted"})
    assert against.ranked("fluency", verdicts).startswith("fluency (SIU > PO > GA+KL > GA): ")
    tied = verdicts | {("ga_kl", "ga"): "tie"}
    assert ": 3 of 5 confirmed, 1 contradicted, 1 undecided, 1 tie; " in against.ranked("specificity", tied)
    assert against.ranked("efficacy", dict.fromkeys(against.PAIRS, "tie")) == "efficacy: all alike in the paper"


def test_rows_of_the_same_settings_stand_together(against):
    variants = ["before", "siu", "released trainer", *(f"{m}, tuned" for m in ("po", "ga"))]
    variants += [f"{m}, as the paper" for m in ("siu", "po", "released trainer")]
    found = against.groups(variants)
    assert list(found) == ["tuned", "as the paper"]
    assert {m: found["tuned"].get(m) for m in NAMES} == {
        "po": "po, tuned", "ga": "ga, tuned", "ga_kl": None, "siu": "siu",
    }  # fmt: skip
    assert found["as the paper"]["siu"] == "siu, as the paper"
    assert against.groups([*variants, "siu, tuned"])["tuned"]["siu"] == "siu, tuned"
    assert "ga" not in found["as the paper"]
    assert list(against.groups(["siu", "po", "ga"])) == [""]


def test_a_claim_is_confirmed_refuted_or_left_open(against):
    """GA's specificity of 0.1 is below half of SIU's 0.9 by 0.35; of 0.9 it is not."""
    ruined = against.claimed(cells("specificity", siu=[0.9, 0.92], ga=[0.1, 0.12]), NAMES)
    (line,) = (each for each in ruined if each.startswith("GA ruins specificity"))
    assert line.endswith("to below half of SIU's: confirmed, margin +34.5 [+34, +35]")
    sound = against.claimed(cells("specificity", siu=[0.9, 0.92], ga=[0.9, 0.94]), NAMES)
    assert any(each.startswith("GA ruins specificity") and ": not confirmed, margin -" in each for each in sound)


def test_it_is_told_how_far_ahead_the_best_is(against):
    """SIU's specificity of 0.9 is 2 points above GA+KL's and 5 above PO's; in the paper 0.7 and 2.4."""
    some = cells("specificity", siu=[0.9, 0.9], po=[0.85, 0.85], ga=[0.1, 0.1], ga_kl=[0.88, 0.88])
    assert against.ahead("specificity", against.paired(some, "specificity", NAMES)) == (
        "; ahead of GA+KL by 2 (in the paper ahead by 0.7)"
    )
    worse = cells("fluency", siu=[9.0, 9.0], po=[5.0, 5.0], ga=[4.0, 4.0])
    behind = "; behind GA by 5 (in the paper ahead by 312)"
    assert against.ahead("fluency", against.paired(worse, "fluency", NAMES)) == behind
    assert against.ahead("efficacy", against.paired(cells("efficacy", siu=[1.0], po=[1.0]), "efficacy", NAMES)) == ""


def test_what_the_paper_says_is_what_is_compared(against):
    """Every metric is one of our table of the paper's, and SIU is its best in all but G-Eval, where GA is."""
    assert set(against.PAPER) <= set(against.bench.PAPER)
    assert set(against.LARGER) < set(against.PAPER)
    assert all(list(said) == list(NAMES) for said in against.LARGER.values())
    first = {metric: against.ranked(metric, {}).partition(" (")[2].split(" > ")[0] for metric in against.PAPER}
    assert {metric for metric, method in first.items() if method != "SIU"} == {"efficacy", "g_eval"}
    assert first["g_eval"] == "GA"


def test_a_real_bench_is_compared(against, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["against_paper.py", "field"])
    against.main()
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert [row.split(" | ")[0] for row in rows[2:5]] == ["| efficacy ↑", "| EM ↑", "| C-Dis ↑"]
    assert "| 99.0 / 98.3 [95, 100] | confirmed +" in rows[3]
    assert "- G-Eval: cannot be told here, no cells of it\n" in printed
    assert "- C-Dis (SIU > GA > GA+KL > PO): 4 of 6 confirmed, 2 contradicted; SIU first: not confirmed; " in printed
    assert "- efficacy is 100 (po): not met, 76.2 [69, 82]\n" in printed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "no cells are kept under 'nothing'; `kept.py pack` keeps those of a bench"),
        ("kept_pictures", "kept_pictures does not hold two of the paper's methods in the same settings"),
    ],
)
def test_what_cannot_be_compared_is_told(against, name, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["against_paper.py", name])
    with pytest.raises(SystemExit, match="2"):
        against.main()
    assert said in capsys.readouterr().err
