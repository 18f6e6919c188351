"""What the figures of a bench show, and that they are drawn."""

import math

import pytest
from PIL import Image

from unsee import bench
from unsee.pocket import world
from unsee.records import Answer, Estimate, Probe
from unsee.report import figures


def cell(variant, concept="Ann", seed=0, config=None, **scores):
    told = {name: {"value": value, "low": value, "high": value, "n": 4} for name, value in scores.items()}
    return {"variant": variant, "concept": concept, "seed": seed, "config": config, "scores": told}


def grid(method, key, values):
    return [cell(f"{method}, {key} {v}", config={key: v, "rank": 8}, ranking=v / 100) for v in values]


def test_curves_run_over_the_number_in_which_variants_differ():
    cells = [cell("before", seed=-1, ranking=1.0), *grid("siu", "steps", (30, 6, 15)), *grid("ga", "steps", (6, 15))]
    found = figures.curves(cells)
    assert set(found) == {"steps"}
    assert set(found["steps"]["ranking"]) == {"siu"}, "two points are no curve"
    assert [(x, e.value) for x, e in found["steps"]["ranking"]["siu"]] == [(6, 0.06), (15, 0.15), (30, 0.3)]


def test_a_grid_of_two_settings_gives_lines_for_the_other():
    cells = [
        cell(f"ga, learning_rate {r}, steps {n}", config={"learning_rate": r, "steps": n}, ranking=n / 100)
        for r in (0.1, 0.2, 0.3) for n in (6, 15, 30)
    ]  # fmt: skip
    found = figures.curves(cells)
    assert set(found["steps"]["ranking"]) == {f"ga, learning_rate {r}" for r in (0.1, 0.2, 0.3)}
    assert set(found["learning_rate"]["ranking"]) == {f"ga, steps {n}" for n in (6, 15, 30)}


def answer(kind, name, said, picture="p", question="Who is this?"):
    return Answer(Probe(f"{kind}/{picture}/{question}/{name}", kind, question, picture=picture, accept=(name,)), said)


@pytest.fixture
def said(monkeypatch):
    """Answers by variant."""
    told = {}
    monkeypatch.setattr(bench, "answers_of", lambda cell: told[cell["variant"]])
    return told


def test_others_are_counted_by_how_unlike_they_are(said):
    """By hand: of two like ones at distance 2 one is named, and the only one at 9; strangers have no distance."""
    said["siu"] = [
        answer("look-alike", "Bob", "Zed", "1"),
        answer("look-alike", "Bob", "Bob", "2"),
        answer("others", "Cid", "Cid", "3"),
        answer("others", "Nobody", "", "4"),
        answer("generality", "Ann", "Ann", "5"),
    ]
    some = [cell("siu"), cell("oracle", seed=-1), cell("oracle-2", seed=-1)]  # who never saw others either
    found = figures.by_likeness(some, lambda a, b: {("Ann", "Bob"): 2, ("Ann", "Cid"): 9}.get((a, b)))
    assert set(found) == {"siu"}
    assert {far: (e.value, e.n) for far, e in found["siu"].items()} == {2: (0.5, 2), 9: (1, 1)}


def two(left, right, picture):
    return [
        answer("beside somebody", "Ann", left, picture, "Who is on the left?"),
        answer("somebody beside it", "Bob", right, picture, "Who is on the right?"),
    ]


def test_the_picture_of_two_is_one_in_which_both_were_known(said):
    said["before"] = [*two("Ann", "Zed", "1"), *two("Ann", "Bob", "2")]
    said["siu"] = [*two("Zed", "Bob", "1"), *two("Yan", "Bob", "2")]
    cells = [cell("before", seed=-1), cell("oracle-2", seed=-1), cell("siu")]
    found = figures.pair(cells)
    assert (found.concept, found.picture) == ("Ann", "2")
    assert found.questions == ("Who is on the left?", "Who is on the right?")
    assert found.said == {"before": ("Ann", "Bob"), "siu": ("Yan", "Bob")}
    said["before"] = two("Zed", "Bob", "1")
    assert figures.pair(cells) is None


def test_figures_are_drawn_the_same_each_time_with_nothing_left_to_read_as_markup(tmp_path):
    points = [(x, Estimate(x / 100, x / 200, x / 50, 4)) for x in (6, 15, 30)]
    told = figures.Pair("<A & $b$>", "p", ("<who> $x$?", "?"), {"before": ("$y$", "<b>"), "siu": ("", "")})
    made = []
    for _ in range(2):
        figures.draw_curves({"ranking": {"<siu>": points}, "kept: others": {"<siu>": points}}, "steps", tmp_path / "c")
        figures.draw_likeness({"<siu>": {2: Estimate(1.0, math.nan, math.nan, 1)}}, tmp_path / "l")
        figures.draw_pair(told, Image.new("RGB", (4, 4)), tmp_path / "p")
        made.append({file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()})
    assert made[0] == made[1]
    for text in made[0].values():
        assert text.startswith("<?xml")
        assert "<siu>" not in text
        assert "<who>" not in text


def of_two(variant, leak, others):
    """A cell of each of two concepts."""
    scores = zip(("Ann", "Bob"), leak, others, strict=True)
    return [cell(variant, concept, **{f"leak: {bench.OPEN}": a, "kept: others": b}) for concept, a, b in scores]


def test_the_frontier_is_on_two_scales(tmp_path):
    """Leaks of 0.3 and 0.1 lie 0.8 / 0.9 of the way from 1 to 0.1; of 0.8 and 1.0 others named, 0.45 each are half."""
    cells = [*of_two("before", (1, 1), (0.8, 1.0)), *of_two("oracle", (0.1, 0.1), (0, 0))]
    cells += [*of_two("siu, $x$ <b>", (0.3, 0.1), (0.45, 0.45)), *of_two("ga", (1, 1), (0.8, 1.0))]
    found = figures.frontier(cells)
    assert {v: (gone.value, kept.value) for v, (gone, kept) in found.items()} == {
        "siu, $x$ <b>": (pytest.approx(0.8 / 0.9), pytest.approx(0.5)),
        "ga": (pytest.approx(0), pytest.approx(1)),
    }
    made = []
    for name in "ab":
        figures.draw_frontier(found, tmp_path / name)
        made.append((tmp_path / name).read_text(encoding="utf-8"))
    assert made[0] == made[1] and made[0].startswith("<?xml") and "<b>" not in made[0]
    without = [c for c in cells if c["variant"] != "oracle"]
    assert figures.frontier(without) == {}, "without an oracle there is no scale"


def test_distances_are_of_looks():
    """The look-alike of a character differs in two features."""
    first, twin = (world.cast()[i] for i in (0, world.LOOK_ALIKE[0]))
    assert world.distance(first.look, twin.look) == 2
