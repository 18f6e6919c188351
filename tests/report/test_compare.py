"""Several runs on one page, and a whole bench."""

import json
import re
from pathlib import Path

import pytest
from made_up import NAME
from test_page import Page

from unsee import bench, evaluation
from unsee.pocket import world
from unsee.report import compare, make, page, schema


def test_runs_of_one_request_share_what_was_before(made_up, tmp_path):
    first, second = made_up("a/run"), made_up("b/run", said="This is Zarnath.", seed=1)
    told = compare.of_runs([first, second])
    assert [s["name"] for s in told["subjects"]] == ["a/run", "b/run"]
    assert list(told["rows"][0]["estimates"]) == ["before", "oracle", "a/run", "b/run"]
    assert told["warnings"] == []
    leaks = next(row for row in told["rows"] if row["metric"] == "leak: all open questions")
    assert [leaks["estimates"][s]["value"] for s in ("before", "a/run", "b/run")] == [1.0, 0.0, 1.0]
    assert "leaks in 100.0% of open questions" in told["subjects"][1]["against"]
    assert all(subject["further"] for subject in told["subjects"]), "what stands against the second tier is told too"
    assert told["subjects"][1]["about"]["leak"].startswith("100.0 [")
    made = make.make([first, second], tmp_path / "c.html", command="unsee report a/run b/run")
    shown = Page(made.page.read_text(encoding="utf-8"))
    assert "2 runs, side by side" in shown.text
    assert "unsee report a/run b/run" in shown.text
    assert not shown.all("script")
    schema.Comparison.model_validate_json(made.twin.read_bytes())


@pytest.mark.parametrize(
    ("against", "further", "said"),
    [
        (None, None, "was not measured against the model from before."),
        (
            ["'kept' is not measured"],
            ["knows"],
            "was measured too little to say whether it stops naming the concept and keeps the rest: 'kept' is not",
        ),
        (["leaks"], ["knows"], "is not within this project's bounds: leaks"),
        (["leaks", "'kept' is not measured"], [], "is not within this project's bounds: leaks; 'kept' is not measured"),
        ([], ["knows"], "stops naming the concept and keeps the rest, but has not forgotten it: knows"),
        (
            [],
            ["no oracle is measured"],
            "stops naming the concept and keeps the rest; whether it has forgotten it is not known: no oracle",
        ),
        ([], [], "answers as if it had never known, as far as questions tell."),
    ],
)
def test_each_tier_has_its_words(made_up, monkeypatch, against, further, said):
    """What is not known to be good is not called bad."""

    def reasons(some):
        return tuple(evaluation.Reason(text, known="measured" not in text) for text in some)

    folders = [made_up("one"), made_up("two", seed=1)]
    if against is None:
        told = compare.of_runs(folders)
        told["subjects"][0] |= dict.fromkeys(("against", "further", "known"))
    else:
        found = evaluation.Reached(reasons(against), reasons(further))
        monkeypatch.setattr(evaluation, "reached", lambda scores, condition: found)
        told = compare.of_runs(folders)
    shown = page.render_comparison(told | {"command": None})
    assert f"one {said}" in " ".join(Page(shown).text.split())
    schema.written(told)


def test_runs_that_were_asked_something_else_say_so(made_up):
    first, second = made_up("one"), made_up("two", name="Jo Vex", aliases=())
    told = compare.of_runs([first, second])
    assert told["warnings"] == ["These runs are about different concepts: only what they share can be compared."]
    assert {"before, one", "before, two"} < set(told["rows"][0]["estimates"])


def test_a_run_that_asked_nothing_cannot_be_compared(made_up):
    folder, other = made_up("one"), made_up("two")
    (folder / "scores.json").write_text("{}")
    with pytest.raises(ValueError, match=r"one asked nothing \(--benchmark none\), so there is nothing to compare"):
        compare.of_runs([folder, other])


def cell(variant, concept, seed, **changed):
    told = {"leak: all open questions": 0.0, "kept: others": 1.0, **changed}
    scores = {name: {"value": value, "low": value, "high": value, "n": 4} for name, value in told.items()}
    marks = {name: [[value, f"{concept}/{n}"] for n in range(4)] for name, value in told.items()}
    return {"variant": variant, "concept": concept, "seed": seed, "config": changed or None, "seconds": 2.0} | {
        "scores": scores, "marks": marks,
    }  # fmt: skip


@pytest.fixture
def benched(tmp_path):
    """Writes cells into the folder of a bench."""

    def write(*cells, half=""):
        head = {
            "model": "m",
            "oracle": None,
            "benchmark": "pocket",
            "most": None,
            "protocol": 2,
            "versions": {"unsee": "0"},
        }
        lines = [json.dumps(each) + "\n" for each in (head, *cells)]
        (tmp_path / "cells.jsonl").write_text("".join(lines) + half)
        return tmp_path

    return write


def test_a_bench_is_compared_by_its_settings(benched, tmp_path):
    people = ("Ann", "Bob")
    cells = [cell("before", p, -1) | {"config": None} for p in people]
    cells += [cell(f"siu, steps {n}", p, 0, steps=n) for p in people for n in (6, 15, 30)]
    for each in cells[:2]:
        each["scores"]["leak: all open questions"]["value"] = 1.0
    told = compare.of_bench(benched(*cells, half='{"variant": "cut'))
    assert told["title"] == "A bench: 3 settings, 2 concepts"
    assert [s["name"] for s in told["subjects"]] == ["siu, steps 6", "siu, steps 15", "siu, steps 30"]
    assert told["subjects"][0]["about"]["concepts"] == "2"
    assert told["warnings"] == ["There are 2 concepts; intervals over fewer than about eight are too narrow."]
    assert [p["x"] for p in told["curves"][0]["lines"]["siu"]] == [6.0, 15.0, 30.0]
    made = make.make([benched(*cells)], tmp_path / "bench.html")
    assert "siu, steps 15" in Page(made.page.read_text(encoding="utf-8")).text
    schema.Comparison.model_validate_json(made.twin.read_bytes())


def test_no_result_of_those_on_whom_settings_are_chosen_is_shown(benched):
    who = world.cast()[world.SELECTION[0]].name
    with pytest.raises(ValueError, match=f"is about {who}, on whom settings are chosen; of those no result is shown"):
        compare.of_bench(benched(cell("before", who, -1), cell("siu", who, 0)))


def test_cells_are_read_as_far_as_they_are_whole(benched):
    folder = benched(cell("siu", NAME, 0), half='{"variant":')
    assert [each["concept"] for each in bench.read(folder)] == [NAME]
    with pytest.raises(LookupError, match=r"there is no bench in .*, or nothing was done in it yet"):
        bench.read(benched())


def test_the_page_of_a_bench_is_redacted_with_all_its_names(benched, tmp_path):
    people = ("Quibbo Zarnath", "Wix Lorbem")
    folder = benched(*(cell(v, p, s) for p in people for v, s in (("before", -1), ("siu", 0))))
    made = make.make([folder], tmp_path / "page.html", redacted=True, command="unsee report lorbem")
    assert not any(word in (made.page.read_text() + made.twin.read_text()).lower() for word in ("zarnath", "lorbem"))


def test_what_both_pages_show_is_written_once():
    """No stretch of 120 letters stands in both templates; what both need is in parts.html."""
    stretches = []
    for name in ("page.html", "compare.html"):
        text = (Path(compare.__file__).parent / name).read_text(encoding="utf-8")
        text = re.sub(r"\s+", "", re.sub(r"{% from .*?%}", "", text))
        stretches.append({text[at : at + 120] for at in range(len(text) - 119)})
    assert all(stretches) and not stretches[0] & stretches[1]
