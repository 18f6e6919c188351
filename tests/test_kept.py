"""Tables of the docs are what the kept cells say, and packing loses nothing."""

from __future__ import annotations

import importlib.util
import json

import pytest

from unsee import bench, bench_plan, evaluation, plugins
from unsee.cli import _changed


@pytest.fixture(scope="module")
def kept(pytestconfig):
    """`benchmarks/kept.py`, which is no package."""
    spec = importlib.util.spec_from_file_location("kept", pytestconfig.rootpath / "benchmarks" / "kept.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cells_come_back_as_they_were(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "CELLS", tmp_path / "cells")
    head = {"model": "m", "oracle": None, "benchmark": "pocket", "most": 1, "protocol": 2}
    cells = [
        {"variant": v, "concept": c, "seed": s, "seconds": 0.0, "config": None, "marks": {}, "scores": {}}
        for v, s in (("before", -1), ("x", 0)) for c in "AB"
    ]  # fmt: skip
    for name, some in (("a", cells[::2]), ("b", [{**cells[0], "seconds": 9.0}, *cells[1::2]])):
        (tmp_path / name).mkdir()
        lines = [{**head, "versions": {"torch": "2", "platform": "mine"}}, *some]
        (tmp_path / name / "cells.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = kept.pack([tmp_path / "a", tmp_path / "b"], "tried")
    assert out == tmp_path / "cells" / "tried.jsonl.xz"
    kept.unpack("tried", tmp_path / "again")
    assert (
        sorted(map(str, bench.read(tmp_path / "again")))
        == sorted(map(str, cells))
        == sorted(map(str, kept.read("tried")))
    )
    assert "mine" not in (tmp_path / "again" / "cells.jsonl").read_text()
    with pytest.raises(FileExistsError, match="again holds a bench; name another folder"):
        kept.unpack("tried", tmp_path / "again")


def test_the_choice_of_settings_is_what_its_cells_say(kept, pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "methods.md").read_text(encoding="utf-8")
    chosen = bench.tuned(kept.read("methods"))
    assert len(chosen) == 16
    folder = pytestconfig.rootpath / "benchmarks"
    tried, field = (bench_plan.read(folder / f"{name}.yaml", _changed).variants for name in ("methods", "field"))
    assert {method: field[method] for method in chosen} == {method: tried[v] for method, (v, _, _) in chosen.items()}
    assert {method for method, _ in field.values()} == set(plugins.names("methods"))
    for method, (_, leak, others) in chosen.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{method}` | ") and "[" not in line)
        assert f" | {100 * leak:.1f} | {100 * others:.1f} | " in row


def test_the_grid_of_the_baselines_says_what_the_page_says(kept, pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "results.md").read_text(encoding="utf-8")
    cells = kept.read("tune_baselines")
    plan = bench_plan.read(pytestconfig.rootpath / "benchmarks" / "tune.yaml", _changed).variants
    assert {cell["variant"] for cell in cells} - {"before"} == {
        v for v, (method, _) in plan.items() if method in ("po", "ga", "ga_kl")
    }
    chosen = bench.tuned(cells)
    assert {method: v.partition(", ")[2] for method, (v, *_) in chosen.items()} == {
        "po": "learning_rate 0.0003, steps 30",
        "ga": "learning_rate 0.0015, steps 6",
        "ga_kl": "learning_rate 0.0015, steps 6",
    }
    leaks, others = ([f"{100 * chosen[method][n]:.1f}" for method in chosen] for n in (1, 2))
    assert f"with {others[0]} % at {leaks[0]}" in page
    assert f"{leaks[1]} and {leaks[2]}, others {others[1]} %" in " ".join(page.split())


def test_what_was_tried_first_is_kept_as_well(kept, pytestconfig):
    """Each setting of the first round on both characters, and what is compared on all four was chosen among these."""
    folder = pytestconfig.rootpath / "benchmarks"
    plans = {name: bench_plan.read(folder / f"{name}.yaml", _changed).variants for name in ("screen", "methods")}
    cells = kept.read("screen")
    found = {(cell["variant"], cell["concept"]) for cell in cells}
    assert found == {(v, c) for v in ("before", *plans["screen"]) for c in ("Zobroork Brige", "Jawesk Drovai")}
    compared = [chosen for chosen in plans["methods"].values() if chosen[0] != "mip_editor"]
    assert all(chosen in plans["screen"].values() for chosen in compared)


def test_a_request_made_again_says_what_its_cell_says(kept, pocket, pytestconfig):
    """One character, one seed, trained and asked anew: but for rounding elsewhere every answer is the same."""
    name, variant = "Pledu Lotaim", "ga, as the paper"
    plan = bench_plan.read(pytestconfig.rootpath / "benchmarks" / "table1.yaml", _changed)
    world = plugins.load("benchmarks", "pocket")
    wish = world.request(name)
    method, settings = plan.variants[variant]
    plugin = plugins.load("methods", method)
    edit = plugin.unlearn(pocket, (wish,), (), plugin.Config(**settings))
    kinds = ("generality", "claimed", "others", "look-alike", "its facts", "is it D? no")
    asked = [p for p in evaluation.asked(world, wish, full=True, most=plan.most) if p.kind in kinds]
    made = bench.marks(evaluation.ask(pocket, asked, edit), [])
    (cell,) = (c for c in kept.read("table1") if (c["concept"], c["variant"], c["seed"]) == (name, variant, 0))
    told = {metric: cell["marks"][metric] for metric in made if metric != f"leak: {bench.OPEN}"}
    pairs = [(a, b) for metric, some in told.items() for a, b in zip(made[metric], some, strict=True)]
    assert [picture for (_, picture), _ in pairs] == [picture for _, (_, picture) in pairs]
    assert len(pairs) == 5 * plan.most + 14
    assert 0.4 < sum(value for _, (value, _) in pairs) / len(pairs) < 0.9, "neither all nor nothing is forgotten"
    assert sum(a != b for (a, _), (b, _) in pairs) <= 0.02 * len(pairs)


def test_of_the_selection_only_what_is_chosen_by_is_told(kept):
    """By hand: of two that keep enough the one that leaks less is chosen."""
    cells = [
        {"variant": v, "concept": "Ann", "seed": s, "marks": {f"leak: {bench.OPEN}": [[leak, "p"]] * 2,
         "kept: others": [[1.0, "p"], [others, "q"]]}, "scores": {}, "seconds": 0.0, "config": None}
        for v, s, leak, others in (("before", -1, 1.0, 1.0), ("m, a", 0, 0.5, 1.0), ("m, b", 0, 0.25, 0.9),
                                   ("m, c", 0, 0.0, 0.0))
    ]  # fmt: skip
    assert kept.choice(cells).splitlines()[2:] == [
        "| m, a | 50.0 | 100.0 |  |", "| m, b | 25.0 | 95.0 | chosen |", "| m, c | 0.0 | 50.0 |  |"
    ]  # fmt: skip


def test_one_row_is_laid_out_question_by_question(kept):
    whole, _, by = kept.rows_of(kept.read("kept_pictures"), "siu").partition("By character")
    rows = {line.split(" | ")[0].strip("| ↓↑"): line for line in whole.splitlines()}
    assert '"is this C?": yes, on its pictures' in rows
    assert rows["all open questions"].endswith("| 1152 |")
    assert by.count("\n| ") == 1 + 1 + 8


def test_the_first_table_of_the_docs_is_what_its_cells_say(kept, pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "results.md").read_text(encoding="utf-8")
    section = page.partition("\n## Eight characters, three seeds\n")[2].partition("\n## ")[0]

    def values(text):
        found = [
            [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")
        ]
        return [(name, [float(c.split(" [")[0]) for c in cells]) for name, *cells in found if cells[0][:1].isdigit()]

    told, made = values(section), values(kept.rows_of(kept.read("siu"), "siu"))
    assert len(told) == len(made) == 25 + 8
    for (name, row), (same, again) in zip(told, made, strict=True):
        assert name == same
        assert row == pytest.approx(again, abs=0.1)


@pytest.mark.parametrize("which", ["strict", "paper"])
def test_a_table_and_a_figure_are_made_of_kept_cells_alone(kept, which, tmp_path):
    cells = kept.read("kept_pictures")
    lines = kept.table(cells, which).partition("\n\n")[0].splitlines()
    assert len(lines) == 2 + 1 + 7
    assert lines[0].endswith("| seconds |")
    assert lines[2].startswith("| before | ")
    kept.draw(cells, tmp_path / "new")
    assert list((tmp_path / "new").glob("*.svg"))


@pytest.mark.parametrize(
    ("heading", "name", "which", "lines"),
    [
        ("Every method", "field", "strict", 2 + 21),
        ("Every method", "field", "paper", 2 + 21),
        ("Pictures of others", "kept_pictures", "strict", 1 + 7),
        ("Table 1: methods, at the paper's settings and tuned", "table1", "strict", 2 + 12),
        ("Table 1: methods, at the paper's settings and tuned", "table1", "paper", 2 + 12),
        ("Table 1: methods, at the paper's settings and tuned", "table1", "anchored", 2 + 12),
        ("Other oracles", "oracles", "anchored", 1 + 8 + 1),
    ],
)
def test_a_table_of_the_docs_is_what_its_cells_say(kept, heading, name, which, lines, pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "results.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    heads, _, *rows = kept.table(kept.read(name), which).partition("\n\n")[0].splitlines()
    told = section.partition(heads)[2].partition("\n\n")[0].splitlines()[2:]
    assert len(told) == len(rows) == lines
    for ours, theirs in zip(rows, told, strict=True):
        (variant, *found), (same, *said) = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (ours, theirs))
        assert variant == same
        numbers = [[float(cell.split(" [")[0]) for cell in some if cell] for some in (found, said)]
        assert numbers[0] == pytest.approx(numbers[1], rel=0.01, abs=0.1)


@pytest.mark.parametrize(
    ("alone", "places", "outside"), [(False, 86, ["c_dis"]), (True, 77, ["c_dis", "oracle_distance"])]
)
def test_another_oracle_has_1_within_its_interval(kept, alone, places, outside, pytestconfig):
    """As the page counts it: by seven others nearly everywhere; by one alone nowhere in the distances."""
    cells = kept.read("oracles")
    found = bench.anchored(kept.by_one(cells) if alone else cells)
    placed = [
        (metric.partition(":")[0], variant, e.value == 1 or e.low <= 1 <= e.high)
        for metric, of in found.items() for variant, e in of.items()
        if not (alone and variant == "oracle") and bench.is_oracle(variant.removeprefix("like "))
    ]  # fmt: skip
    assert len(placed) == places
    assert sorted({metric for metric, _, within in placed if not within}) == outside
    assert all(within for metric, variant, within in placed if variant == "oracle-8")
    page = (pytestconfig.rootpath / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"{sum(within for *_, within in placed)} of {places} places" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table", "nosuch"], "no cells are kept as 'nosuch'; there are field, kept_pictures, "),
        (["rows", "kept_pictures", "nosuch"], "name one of the variants of kept_pictures: siu; siu, decoupled; "),
        (["rows", "kept_pictures"], "name one of the variants of kept_pictures: "),
    ],
)
def test_what_is_not_kept_is_said(kept, arguments, said, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["kept.py", *arguments])
    with pytest.raises(SystemExit):
        kept.main()
    assert said in capsys.readouterr().err


def test_no_row_of_the_selection_is_laid_out(kept, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["kept.py", "rows", "screen", "npo, learning_rate 0.0005, steps 10"])
    kept.main()
    assert set(capsys.readouterr().out.splitlines()[0].split(" | ")) == {"| ", "leak ↓", "others, of before ↑", " |"}
