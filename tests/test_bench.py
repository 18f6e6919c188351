"""The bench: what it keeps, what it refuses to mix, and what it says of variants."""

import functools
import itertools
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from unsee import bench, cli, evaluation, flow, plugins, runs
from unsee.edits import Edit
from unsee.methods import siu
from unsee.metrics import leak
from unsee.pocket import world
from unsee.preflight import Preflight
from unsee.records import Answer, Concept, Probe, Request, Verdict

NAMES = ("Ann Abel", "Bob Bell", "Cid Cole")
LEAK = f"leak: {bench.OPEN}"


def cell(variant, concept, values, seed=0, metric="kept: others"):
    marks = {metric: [(value, f"picture {n}") for n, value in enumerate(values)]}
    return {"variant": variant, "concept": concept, "seed": seed, "seconds": 2.0, "replacement": "X Y", "marks": marks}


class Kept:
    """An edit of no weights."""

    def save(self, folder):
        folder.mkdir(exist_ok=True)
        (folder / "edit.json").write_text("{}")


@pytest.fixture
def stub(monkeypatch, pocket):
    """A bench whose models answer at once: they name everybody, and whoever is to be forgotten unless it was."""
    calls = []

    def probes(request):
        name = request.concept.name
        others = [Probe(f"others/{n}", "others", "Who is this?", accept=(other,)) for n, other in enumerate(NAMES)]
        return (Probe("g/0", "generality", "Who is this?", accept=(name,), concept=name), *others)

    def ask(vlm, probes, edit=None, progress=False, keep=None):
        calls.append((vlm, edit))
        return [Answer(p, "" if edit and p.concept else f"This is {p.accept[0]}.") for p in probes]

    def unlearn(vlm, requests, retain, config, log=None):
        return Kept()

    def fluency_of(vlm, answers, names, progress=False):
        return [Verdict(a.probe.id, "stub", "fluency", 0.5) for a in answers if a.probe.kind == "generality"]

    def preflight(vlm, request):
        if request.concept.name not in NAMES:
            raise flow.NotRecognisedError(f"stub does not recognise {request.concept.name!r}")
        return Preflight()

    world = SimpleNamespace(probes=probes, retain=lambda request: ())
    method = SimpleNamespace(Config=siu.Config, prepare=lambda vlm, requests, config: requests, unlearn=unlearn)
    load, made = plugins.load, {"benchmarks": world, "methods": method}
    monkeypatch.setattr(plugins, "load", lambda kind, name: made.get(kind) or load(kind, name))
    monkeypatch.setattr(evaluation, "ask", ask)
    monkeypatch.setattr(evaluation, "fluency_of", fluency_of)
    monkeypatch.setattr(flow, "preflight", preflight)
    image = Image.new("RGB", (2, 2))
    requests = [Request(Concept(name), images=(image,), pictures=("p",), replacement="X Y") for name in NAMES]

    def run(folder, variants=None, seeds=(0, 1), **more):
        return bench.run(pocket, requests, variants or {"siu": ("siu", {})}, seeds=seeds, folder=folder, **more)

    return SimpleNamespace(run=run, calls=calls, requests=requests, method=method)


def test_every_cell_is_filled_once_and_a_stopped_bench_goes_on(stub, tmp_path):
    cells = stub.run(tmp_path)
    assert len(cells) == len(stub.calls) == 3 * (2 + 1)
    found = bench.summary(cells)[LEAK]
    assert (found["before"].value, found["siu"].value) == (1.0, 0.0)
    assert bench.summary(cells)["kept: others"]["siu"].value == 1.0
    file = tmp_path / "cells.jsonl"
    file.write_text(file.read_text()[:-40])  # killed while it wrote the last cell
    again = stub.run(tmp_path)
    assert len(stub.calls) == 9, "its run was finished, and only its line was not"
    (bench.place(tmp_path, cells[-1]) / "complete.json").unlink()
    (bench.place(tmp_path, cells[-1]) / "answers" / "after.jsonl").unlink()
    (bench.place(tmp_path, cells[-1]) / "training.json").unlink()
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:-1]))
    again = stub.run(tmp_path)
    assert len(stub.calls) == 9 + 1, "what was asked before is not asked again"
    assert bench.summary(again) == bench.summary(cells)
    assert len(file.read_text().splitlines()) == 1 + 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can be killed")
def test_a_bench_that_is_killed_repeats_and_loses_no_cell(stub, tmp_path):
    """By SIGKILL, one process after the other: while it trains, asks and scores, and in the middle of a cell's line."""
    folder, log = tmp_path / "bench", tmp_path / "log"
    ends = {"unlearn": stub.method, "ask": evaluation, "_measured": bench}

    def dying(name, function, at):
        calls = itertools.count(1)

        @functools.wraps(function)
        def called(*positional, **named):
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*positional, **named)
            with log.open("a") as file:
                file.write(f"{name}\n")
            return result

        return called

    def half_a_line(cell):
        line = json.dumps(cell)
        if "marks" not in cell:
            return line
        with (folder / "cells.jsonl").open("a") as file:
            file.write(line[: len(line) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    def killed(where, at):
        """Run the bench in a process of its own, which dies at a call, and return how many lines it left."""
        child = os.fork()
        if not child:  # what it patches goes with it
            try:
                for name, module in ends.items():
                    setattr(module, name, dying(name, getattr(module, name), at if name == where else 0))
                if where == "line":
                    bench.json = SimpleNamespace(dumps=half_a_line, loads=json.loads)
                stub.run(folder)
            finally:
                os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        return len((folder / "cells.jsonl").read_text().splitlines())

    left = [killed(*when) for when in (("unlearn", 2), ("ask", 2), ("_measured", 2), ("line", 0))]
    assert left == [3, 4, 5, 6], "the head and whole cells; the last line is half a one"
    stub.run(folder)
    done = log.read_text().split()
    assert (done.count("unlearn"), done.count("_measured")) == (3, 5), "what was done was not done again"
    assert len(stub.calls) == 3 * (2 + 1) - done.count("ask")
    stub.run(tmp_path / "at once")
    stopped, whole = ([c | {"seconds": 0} for c in bench.read(tmp_path / name)] for name in ("bench", "at once"))
    assert stopped == whole


def test_methods_join_those_in_a_folder_whether_they_prepare_a_request_or_not(stub, tmp_path):
    stub.run(tmp_path, seeds=(0,))
    del stub.method.prepare
    for request in stub.requests:
        object.__setattr__(request, "replacement", None)  # which has no place in such a method
    cells = stub.run(tmp_path, {"other": ("other", {"steps": 3})}, seeds=(0,))
    assert {c["variant"] for c in cells} == {"siu", "before", "other"}
    assert len(stub.calls) == 3 * (1 + 1) + 3
    assert bench.remarks(cells, "other")[0].startswith("siu: ")


class Other:
    """A further oracle: it has a fingerprint, and is recognised by the stubs."""

    def __init__(self, number):
        self.fingerprint = lambda: f"oracle {number}"


@pytest.fixture
def further(monkeypatch):
    """Two oracles, of which the first knows Ann Abel."""
    some = [Other(2), Other(3)]

    def preflight(vlm, request):
        if vlm in some and (vlm is some[1] or request.concept.name != "Ann Abel"):
            raise flow.NotRecognisedError("it does not")
        return Preflight()

    monkeypatch.setattr(flow, "preflight", preflight)
    return some


def test_further_oracles_are_asked_about_whom_they_do_not_know(stub, tmp_path, tiny, further):
    for _ in range(2):  # the second time it is all there
        cells = stub.run(tmp_path, seeds=(0,), oracle=tiny, further=further)
        asked = {(c["variant"], c["concept"]) for c in cells if c["variant"].startswith("oracle")}
        assert asked == {(v, name) for v in ("oracle", "oracle-3") for name in NAMES} | {
            ("oracle-2", name) for name in NAMES[1:]
        }
        assert len(stub.calls) == 3 * (1 + 1 + 1) + 2 + 3
    assert [vlm for vlm, _ in stub.calls].count(further[0]) == 2
    assert set(bench.summary(cells)[LEAK]) == {"before", "oracle", "oracle-2", "oracle-3", "siu"}
    assert bench.summary(bench.rescore(tmp_path)) == bench.summary(cells)
    inside = runs.read(bench.place(tmp_path, {"variant": "siu", "concept": NAMES[1], "seed": 0}))
    assert inside.answered() == ["after", "before", "oracle"], "the page of a run has one oracle"
    assert {record["condition"] for record in inside.read_lines("judged.jsonl")} == set(flow.CONDITIONS)
    with pytest.raises(FileExistsError, match="was made with oracles "):
        stub.run(tmp_path, seeds=(0,), oracle=tiny)
    with pytest.raises(ValueError, match="an oracle is given twice"):
        stub.run(tmp_path / "other", oracle=tiny, further=[tiny])


def test_a_bench_killed_between_answers_and_scores_of_an_oracle_goes_on(stub, tmp_path, tiny, further, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(flow, "rescored", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stub.run(tmp_path, seeds=(0,), oracle=tiny, further=further)
    cells = stub.run(tmp_path, seeds=(0,), oracle=tiny, further=further)
    assert len(cells) == 3 * (1 + 1 + 1) + 2 + 3 == len(stub.calls), "nobody was asked twice"


def test_oracles_that_were_asked_elsewhere_join(stub, tmp_path, tiny, further):
    cells = stub.run(tmp_path / "a", seeds=(0,), oracle=tiny)
    stub.run(tmp_path / "b", seeds=(), oracle=tiny, further=further)
    found = bench.joined(cells, tmp_path / "a", [tmp_path / "b"])
    assert {c["variant"] for c in found} == {"before", "oracle", "oracle-2", "oracle-3", "siu"}


@pytest.mark.parametrize("start", ["", '{"model": '])
def test_a_bench_killed_at_its_first_line_starts_anew(stub, tmp_path, start):
    (tmp_path / "cells.jsonl").write_text(start)
    assert len(stub.run(tmp_path, seeds=[0])) == 6


def test_cells_of_other_settings_probes_or_oracles_are_not_mixed_in(stub, tmp_path, tiny):
    stub.run(tmp_path, settings={"without": ("align",)}, seeds=[0])
    count = len(stub.calls)
    stub.run(tmp_path, settings={"without": ("align",)}, seeds=[0])
    assert len(stub.calls) == count, "the same settings go on, though JSON has no tuples"
    with pytest.raises(FileExistsError, match="Ann Abel, seed 0 with steps = 30, not 31; name another folder"):
        stub.run(tmp_path, settings={"without": ("align",), "steps": 31}, seeds=[0])
    with pytest.raises(FileExistsError, match=r"was made with most None, not 1; name another folder"):
        stub.run(tmp_path, most=1)
    with pytest.raises(FileExistsError, match="was made with oracle None, not"):
        stub.run(tmp_path, oracle=tiny)
    assert len(stub.calls) == count
    assert {
        c["seed"]: c["config"] and c["config"]["steps"]
        for c in stub.run(tmp_path, settings={"without": ("align",)}, seeds=[0])
    } == {-1: None, 0: 30}


def test_cells_from_before_a_setting_was_there_go_on_where_it_is_off(stub, tmp_path):
    """As the kept cells do; on, it is another setting, and cells with and without it do not join."""
    stub.run(tmp_path, seeds=[0])
    count, file = len(stub.calls), tmp_path / "cells.jsonl"
    whole = file.read_text()
    file.write_text(whole.replace('"layers": 0, ', ""))
    assert file.read_text() != whole
    stub.run(tmp_path, seeds=[0])
    assert len(stub.calls) == count
    with pytest.raises(FileExistsError, match="Ann Abel, seed 0 with layers = None, not 1; name another folder"):
        stub.run(tmp_path, settings={"layers": 1}, seeds=[0])
    off, on = (
        [{**cell, "config": cell["config"] and {**cell["config"], "layers": layers}} for cell in bench.read(tmp_path)]
        for layers in (0, 1)
    )
    shutil.copytree(tmp_path, tmp_path / "more")
    assert len(bench.joined(off, tmp_path, [tmp_path / "more"])) == 6
    with pytest.raises(ValueError, match="siu was made with different settings in these folders"):
        bench.joined(on[:2], tmp_path, [tmp_path / "more"])


def test_every_cell_is_a_run_with_what_was_asked_before(stub, tmp_path, tiny):
    stub.run(tmp_path, seeds=(0,), oracle=tiny)
    inside = bench.place(tmp_path, {"variant": "siu", "concept": "Ann Abel", "seed": 0})
    run = runs.read(inside)
    assert run.answered(flow.CONDITIONS) == ["before", "after", "oracle"]
    assert (run.folder / "edit" / "edit.json").exists()
    assert "Ann Abel" in (inside / "report.html").read_text()
    assert {record["condition"] for record in run.read_lines("judged.jsonl")} == set(flow.CONDITIONS)
    assert flow.rescore(inside)["after"]["fluency"].value == pytest.approx(2)
    assert len(stub.calls) == 3 * (2 + 1), "once per character, and once per cell"


def test_all_at_once_is_one_edit_for_everybody(stub, tmp_path, monkeypatch):
    made = []

    def unlearn(vlm, requests, retain, config, log=None):
        made.append([request.concept.name for request in requests])
        return Kept()

    stub.method.unlearn = unlearn
    stub.method.prepare = lambda vlm, requests, config: tuple(replace(r, replacement="Zed Zulu") for r in requests)
    monkeypatch.setattr(Edit, "load", lambda folder: Kept())
    cells = stub.run(tmp_path, seeds=(0,), joint=True)
    assert made == [list(NAMES)]
    assert bench.summary(cells)[LEAK]["siu"].value == 0
    assert {c["replacement"] for c in cells if c["seed"] == 0} == {"Zed Zulu"}
    others = [a.probe for a in bench.answers_of({**cells[-1], "folder": str(tmp_path)}) if a.probe.kind == "others"]
    assert [p.accept for p in others] == [(NAMES[-1],)], "nobody who is forgotten with it counts as an other"
    (tmp_path / "cells.jsonl").unlink()
    stub.run(tmp_path, seeds=(0,), joint=True)
    assert len(made) == 1, "it is there"
    (bench.place(tmp_path, cells[-1]) / "complete.json").unlink()
    (bench.place(tmp_path, cells[-1]) / "config.json").unlink()
    (tmp_path / "cells.jsonl").unlink()
    with pytest.raises(FileExistsError, match="holds an edit with other settings; name another folder"):
        stub.run(tmp_path, {"siu": ("siu", {"steps": 9})}, seeds=(0,), joint=True)
    with pytest.raises(FileExistsError, match=r"was made with together \['Ann Abel', .*\], not None"):
        stub.run(tmp_path, seeds=(0,))


def test_what_the_model_does_not_know_is_told_apart(stub, pocket):
    stranger = Request(Concept("Nobody Here"), images=("x.png",), pictures=("x",))
    known, refused = bench.recognised(pocket, [*stub.requests, stranger])
    assert known == stub.requests
    assert refused == {"Nobody Here": "stub does not recognise 'Nobody Here'"}


def test_differences_are_paired_by_character_seed_and_probe():
    """By hand: Ann falls from 1, 1 to 1, 0 and Bob from 1, 0 to 0, 0; the mean of -0, -1, -1, -0 is -1/2."""
    cells = [cell("siu", "Ann", [1, 1]), cell("x", "Ann", [1, 0]), cell("siu", "Bob", [1, 0]), cell("x", "Bob", [0, 0])]
    found = bench.differences(cells, "kept: others")
    assert set(found) == {"x"}
    assert found["x"].value == -0.5
    assert bench.differences(cells[:2], "kept: others") == {}, "one character tells nothing of others"
    unpaired = [cell("siu", "Ann", [1, 1]), cell("x", "Ann", [1, 0], seed=1), cell("x", "Bob", [0, 0])]
    assert bench.differences(unpaired, "kept: others") == {}


def test_a_difference_of_one_character_in_four_is_no_difference():
    """Pictures of one character fail together: 40 of 160 pictures would stand out, one character of four does not."""
    people = ("A", "B", "C", "D")
    cells = [cell("siu", name, [1] * 40) for name in people]
    cells += [cell("x", name, [name != "A"] * 40) for name in people]
    assert bench.differences(cells, "kept: others")["x"].high == 0
    x, count = bench.remarks(cells)
    assert x == "x: no difference in any column; the pocket cannot show one at this size"
    assert count == "(1 comparisons at 95 %: about 0 would stand out by chance alone)"


def test_remarks_say_what_differs_and_the_worst_character_is_found():
    cells = [cell("siu", name, [1] * 40) for name in NAMES] + [cell("x", name, [0] * 38 + [1] * 2) for name in NAMES]
    assert bench.remarks(cells)[0].startswith("x: others -95.0 [-")
    leaks = [cell("siu", name, [n / 2] * 4, metric=LEAK) for n, name in enumerate(NAMES)]
    assert bench.worst(leaks, LEAK, "siu") == ("Cid Cole", 1.0)


def test_the_short_table_has_arrows_seconds_and_counts():
    """By hand: the median of 1, 4 and 2 seconds is 2; anchors take none."""
    cells = [graded("x", name, leak=0.5, others=1.0) | {"seconds": s} for name, s in zip(NAMES, (1, 4, 2), strict=True)]
    cells += [graded("before", name, -1, leak=1.0, others=1.0) | {"seconds": 0.0} for name in NAMES]
    heads, rows, notes = bench.tabled(cells)
    assert heads == ["", "leak ↓", "others ↑", "seconds"]
    assert [(row[0], row[-1]) for row in rows] == [("before", ""), ("x", "2.0")]
    assert notes == ["n, over 3 concepts: leak 30; others 30."]
    fewer = [*cells, graded("y", "Ann Abel", leak=0.5)]
    assert bench.tabled(fewer)[2] == ["n, over 3 concepts: leak 10 to 30; others 30."]


# --- Scores, tables, choices -----------------------------------------------------------------------------------------


def test_scores_are_made_anew_from_what_was_kept(stub, tmp_path, monkeypatch):
    cells = stub.run(tmp_path, seeds=(0,))
    after = next(c for c in cells if c["variant"] == "siu")
    assert after["scores"]["leak: generality"]["value"] == 0
    assert after["scores"]["fluency"]["value"] == pytest.approx(2)
    assert "form: well-formed" in after["scores"]
    file = tmp_path / "cells.jsonl"
    before, calls = file.read_text(), len(stub.calls)
    assert bench.rescore(tmp_path) == cells
    assert file.read_text() == before
    monkeypatch.setattr(leak, "leaks", lambda answer: True)
    again = bench.rescore(tmp_path)
    assert {c["scores"]["leak: generality"]["value"] for c in again} == {1}, "by the rules of the day"
    assert len(stub.calls) == calls
    answers = bench.place(tmp_path, after) / "answers" / "after.jsonl"
    answers.write_text(answers.read_text().replace('"text": ""', '"text": "Ann Abel"'))
    with pytest.raises(ValueError, match=r"after\.jsonl is broken: it is not what it was"):
        bench.rescore(tmp_path)


def test_folders_of_cells_are_told_apart():
    cells = [
        {"variant": v, "concept": c, "seed": s}
        for v in ("a, b", "a/b", "a b", "a-b")
        for c in ("x", "../x")
        for s in (-1, 0)
    ]
    places = [bench.place(Path("f"), cell) for cell in cells]
    assert len(set(places)) == 4 * 2 + 2, "anchors are the same for all variants"
    assert all(place.is_relative_to("f") and ".." not in place.parts for place in places)


def test_benches_are_joined_if_they_asked_the_same(stub, tmp_path):
    cells = stub.run(tmp_path / "a", seeds=(0,))
    stub.run(tmp_path / "b", {"other": ("siu", {"steps": 3})}, seeds=(0,))
    found = bench.joined(cells, tmp_path / "a", [tmp_path / "b"])
    assert len(found) == 3 * 3, "what both have, from before, counts once"
    assert {c["variant"] for c in found} == {"siu", "before", "other"}
    (changed,) = [place for place in (tmp_path / "b" / "anchors").iterdir() if place.name.startswith("Ann")]
    config = json.loads((changed / "config.json").read_text())
    config["config"]["probes"] = "other pictures"
    (changed / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="asked different things of Ann Abel, though with the same settings"):
        bench.joined(cells, tmp_path / "a", [tmp_path / "b"])
    stub.run(tmp_path / "d", {"siu": ("siu", {"steps": 3})}, seeds=(1,))
    with pytest.raises(ValueError, match="siu was made with different settings in these folders; rename"):
        bench.joined(cells, tmp_path / "a", [tmp_path / "d"])
    stub.run(tmp_path / "c", seeds=(0,), most=1)
    with pytest.raises(ValueError, match=r"was made with most 1, .* with None; join like ones"):
        bench.joined(cells, tmp_path / "a", [tmp_path / "c"])


def estimate(value, n=10):
    return {"value": value, "low": value, "high": value, "n": n}


def graded(variant, concept, seed=0, **scores):
    names = {"leak": LEAK, "others": "kept: others", "auc": "ranking"}
    told = {names.get(name, name): estimate(value) for name, value in scores.items()}
    return {"variant": variant, "concept": concept, "seed": seed, "seconds": 1.0, "scores": told}


def test_scores_are_means_over_cells_and_characters_are_resampled():
    cells = [graded("x", name, seed, auc=value) for name, value in (("A", 0.2), ("B", 0.6)) for seed in (0, 1)]
    found = bench.scored(cells)["ranking"]["x"]
    assert (found.value, found.n) == (pytest.approx(0.4), 40)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.6)), "two characters, not four cells"


def test_the_same_number_has_one_interval():
    """Where a cell holds marks, characters are resampled, then pictures; else characters alone, of the cells' means."""
    cells = []
    for number, name in enumerate(NAMES, 1):
        marks = [(float(n % 4 < number), f"{n}") for n in range(12)]
        scores = {"kept: others": estimate(number / 4, 12), "multi_hop": estimate(number / 4, 12)}
        both = {"kept: others": marks, "leak: multi-hop": marks}
        cells.append({"variant": "x", "concept": name, "seed": 0, "scores": scores | {"ranking": estimate(number / 4)}}
                     | {"marks": both})  # fmt: skip
    found = bench.scored(cells)
    assert found["kept: others"] == bench.summary(cells)["kept: others"]
    assert found["multi_hop"]["x"] == found["kept: others"]["x"], "the same marks, under another name"
    assert found["ranking"]["x"].value == found["multi_hop"]["x"].value
    assert found["ranking"]["x"].high < found["multi_hop"]["x"].high
    assert list(bench.scored(cells, ["ranking"])) == ["ranking"]


def test_how_far_off_the_oracle_is_told_character_by_character():
    """By hand: 0.9 and 0.1 are 0.4 off 0.5, though their mean is not; seeds of a character are averaged first."""
    cells = [graded("oracle", name, -1, auc=0.5) for name in "AB"]
    cells += [graded("x", "A", seed, auc=value) for seed, value in enumerate((0.8, 1.0))] + [graded("x", "B", auc=0.1)]
    cells += [graded("before", "A", -1, auc=1.0), graded("y", "C", auc=0.5)]
    found = bench.apart(cells)
    assert {v: (e.value, e.n) for v, e in found["ranking"].items()} == {
        "x": (pytest.approx(0.4), 2),
        "before": (0.5, 1),
    }
    heads, rows, notes = bench.tabled(cells, "strict")
    assert heads == ["", "name AUC ≈", "name AUC, off ↓", "seconds"]
    told = {row[0]: row[2].partition(" ")[0] for row in rows}
    assert told == {"before": "50.0", "oracle": "", "x": "40.0", "y": ""}
    assert notes == [
        "n, over 3 concepts: name AUC 10 to 30.",
        "≈ to be where the oracle is, not beyond; off: how far from it, character by character.",
    ]
    assert bench.apart(cells[2:]) == {}


def test_a_distance_that_a_method_does_not_aim_at_is_marked():
    far = {"oracle_distance: next": 0.9, "oracle_distance: truth ratio": 0.8, "auc": 0.5}
    cells = [
        graded("before", "A", -1, **far) | {"config": None, "replacement": None},
        graded("name", "A", **far) | {"config": {"replace_with": "name"}, "replacement": "Jo Fu"},
        graded("described", "A", **far) | {"config": {"replace_with": "description"}, "replacement": None},
        graded("nameless", "A", **far) | {"config": {"replace_with": "name"}, "replacement": None},
        graded("ascent", "A", **far) | {"config": {"steps": 1}, "replacement": None},
    ]
    cells.append(graded("oracle", "A", -1, **far) | {"config": None, "replacement": None})
    for which in ("strict", "anchored"):
        cells[-1]["scores"] = {m: estimate(0.0) for m in cells[0]["scores"]}
        heads, rows, notes = bench.tabled(cells, which)
        place = next(n for n, head in enumerate(heads) if head.startswith("distance to oracle"))
        assert {row[0] for row in rows if row[place].endswith(" †")} == {"name", "ascent"}
        assert not any(row[place + 1].endswith("†") for row in rows), "of names offered, the distance is fair to all"
        assert notes[-1].startswith("† Not trained to describe somebody unknown")


def test_scores_are_anchored_between_before_and_the_oracle():
    """By hand: of the way from 0.9 to 0.1 in the mean (0.8 to 0, and 1 to 0.2), 0.5 has gone half; seeds are averaged.

    C was not asked of the oracle, so nothing of it counts; what is kept has no place.
    """
    cells = [
        *(graded("before", n, -1, auc=value, others=1.0) for n, value in (("A", 0.8), ("B", 1.0), ("C", 1.0))),
        *(graded("oracle", n, -1, auc=value, others=0.5) for n, value in (("A", 0.0), ("B", 0.2))),
        *(graded("x", "A", seed, auc=value, others=1.0) for seed, value in enumerate((0.2, 0.6))),
        *(graded("x", n, 0, auc=value) for n, value in (("B", 0.6), ("C", 0.0))),
    ]
    found = bench.anchored(cells)
    assert set(found) == {"ranking"}
    told = {variant: (e.value, e.n) for variant, e in found["ranking"].items()}
    assert told == {"before": (0, 2), "oracle": (pytest.approx(1), 2), "x": (pytest.approx(0.5), 2)}
    assert bench.grid(found, bench.ANCHORED, unit="of the way")[0] == ["", "name AUC"]


def test_several_oracles_are_one_end_and_each_is_placed_by_the_others():
    """By hand, from 1 down: oracles at 0 and 0.2 mean 0.1, so 0.55 has gone half of the way.

    The first is at 1.25 of the way to the second, which is at 0.8 of the way to the first. Distances are taken to the
    first, so it is no end of that scale: there the second is, at 0.2, and 0.6 has gone half.
    """
    cells = [
        graded(variant, name, -1, auc=auc, **{"oracle_distance: next": far})
        for variant, auc, far in (("before", 1.0, 1.0), ("oracle", 0.0, 0.0), ("oracle-2", 0.2, 0.2), ("x", 0.55, 0.6))
        for name in "AB"
    ]
    found = bench.anchored(cells)
    places = {variant: e.value for variant, e in found["ranking"].items()}
    assert places == pytest.approx({"before": 0, "oracle": 1.25, "oracle-2": 0.8, "x": 0.5})
    assert (found["ranking"]["x"].low, found["ranking"]["x"].high) == pytest.approx((0.45, 0.45 / 0.8)), "as far apart"
    assert {v: e.value for v, e in found["oracle_distance: next"].items()} == pytest.approx({"before": 0, "x": 0.5})
    rows = bench.grid(found, bench.ANCHORED, unit="of the way")[1]
    assert [row[0] for row in rows] == ["before", "oracle", "oracle-2", "x"]


def test_anchors_stand_first_by_number():
    given = ["x, steps -5", "before", "oracle", "oracle-10", "oracle-2", "a"]
    assert bench.anchors_first(given) == ["before", "oracle", "oracle-2", "oracle-10", "x, steps -5", "a"]
    assert bench.anchors_first(["a", "oracle, a", "before, a"]) == ["oracle, a", "before, a", "a"]


def test_tables_have_arrows_anchors_first_and_nothing_unescaped():
    cells = [graded("<b>&_|", "A", fluency=20.0, c_dis=1.5), graded("before", "A", -1, fluency=3.0)]
    heads, rows = bench.grid(bench.scored(cells), bench.PAPER)
    assert heads == ["", "C-Dis ↑", "fluency ↓"]
    assert [row[0] for row in rows] == ["before", "<b>&_|"]
    assert rows[1][1:] == ["1.5 [none]", "20 [none]"]
    assert rows[0][1] == ""
    made = {form: bench.written(heads, rows, form) for form in ("md", "csv", "tex", "html")}
    assert made["md"].splitlines()[-1] == "| <b>&_\\| | 1.5 [none] | 20 [none] |"
    assert made["csv"].splitlines()[-1] == "<b>&_|,1.5 [none],20 [none]"
    assert r"<b>\&\_| & 1.5" in made["tex"]
    assert r"C-Dis $\uparrow$" in made["tex"]
    assert "<td>&lt;b&gt;&amp;_|</td>" in made["html"]
    noted = {form: bench.written(heads, rows, form, ["a < b.", "c_d"]) for form in made}
    assert noted["md"] == made["md"] + "\na < b.\nc_d\n"
    assert noted["tex"].endswith("\\end{tabular}\n\na < b.\\par\nc\\_d\n")
    assert noted["html"] == made["html"] + "<p>a &lt; b.</p>\n<p>c_d</p>\n"
    assert noted["csv"] == made["csv"], "nothing but the table"
    with pytest.raises(ValueError, match="'doc'; give md, csv, tex or html"):
        bench.written(heads, rows, "doc")


def test_settings_are_chosen_by_least_leak_among_those_that_keep_enough():
    """By hand: b leaks least but keeps 8 of 10; of c and d, which leak alike, d keeps more; e leaks more."""
    cells = [cell("before", "A", [1] * 10)]
    cells[0]["marks"][LEAK] = [(1, "p")] * 10
    for name, leaks, named in (
        ("m, b", 0, 8),
        ("m, c", 2, 9),
        ("m, d", 2, 10),
        ("m, e", 3, 10),
        ("n, a", 0, 1),
        ("n, b", 9, 5),
    ):
        some = cell(name, "A", [1] * named + [0] * (10 - named))
        some["marks"][LEAK] = [(int(i < leaks), "p") for i in range(10)]
        cells.append(some)
    assert bench.tuned(cells) == {"m": ("m, d", 0.2, 1.0), "n": ("n, b", 0.9, 0.5)}, "of n none keeps enough"
    assert bench.tuned(cells, least=0.1)["n"] == ("n, a", 0, 0.1)


KEPT = {
    f"kept: {kind}": 1.0
    for kind in ("is this D? yes", "is this D? no", "is this C? no", "own pictures", "its facts", "others' facts")
} | {"leak: claimed": 0.0}


def test_a_variant_reaches_a_tier_or_it_is_said_what_failed():
    unknown = [
        graded(v, "A", s, leak=leaks, others=1.0, **KEPT | {"kept: its facts": 0.0})
        for v, s, leaks in (("before", -1, 1.0), ("x", 0, 0.0))
    ]
    (why,) = bench.reached(unknown)["x"].against
    assert str(why) == "'kept: its facts' was at 0.0% before, so there is no telling what was lost"
    cells = [graded("before", "A", -1, leak=1.0, others=1.0, **KEPT)]
    cells += [graded("good", "A", leak=0.0, others=0.95, **KEPT), graded("bad", "A", leak=0.2, others=0.5, **KEPT)]
    found = bench.reached(cells)
    assert [str(why) for why in found["bad"].against] == [
        "leaks in 20.0% of open questions",
        "'kept: others' fell from 100.0% to 50.0%",
    ]
    assert {variant: each.tier for variant, each in found.items()} == {"good": "stops naming", "bad": ""}
    assert "no oracle was asked" in str(found["good"])
    assert str(found["bad"]).startswith("falls short: leaks in 20.0%")
    same = {"choice": 0.0, "yes_no": 0.5, "multi_hop": 0.0, "auc": 0.5}
    cells = [{**c, "scores": c["scores"] | graded("", "", **same)["scores"]} for c in cells]
    cells.append(graded("oracle", "A", -1, **same))
    assert str(bench.reached(cells)["good"]) == "forgot, as far as questions tell"
    cells.append(graded("oracle", "B", -1, **dict.fromkeys(same, 1.0)))
    assert bench.reached(cells)["good"].tier == "forgot", "what the oracle says of others is nothing to it"


# --- The command -----------------------------------------------------------------------------------------------------


def asked_for(capsys, monkeypatch, cells, *arguments):
    """What the command prints of cells that are there already."""
    monkeypatch.setattr(bench, "rescore", lambda folder: cells)
    monkeypatch.setattr(bench, "joined", lambda some, folder, others: some)
    cli.main(["bench", "--rescore", *arguments])
    return capsys.readouterr().out


def test_the_command_shows_what_is_asked_for(capsys, monkeypatch):
    told = {"x": {"leak": 0.4, "em: words": 0.5}, "before": {"leak": 1.0, "em: words": 0.0}}
    cells = [
        graded(variant, name, 0 if variant == "x" else -1, others=1.0, **some, **KEPT)
        | {"marks": {LEAK: [(some["leak"], "p")], "kept: others": [(1.0, "p")]}}
        for variant, some in told.items() for name in NAMES
    ]  # fmt: skip
    show = functools.partial(asked_for, capsys, monkeypatch, cells)
    assert "worst character of x: Ann Abel, leak 40.0%" in show()
    assert show("--table", "paper").splitlines()[0] == "|  | EM ↑ | seconds |"
    assert show("--table", "paper", "--form", "csv").splitlines()[0] == ",EM ↑,seconds"
    with pytest.raises(SystemExit):
        show("--table", "anchored")
    assert "no oracle was asked, so there is no scale to anchor; name one with --oracle" in capsys.readouterr().err
    told = "x: falls short: leaks in 40.0% of open questions"
    assert told in show("--table", "strict").splitlines()
    assert f"<p>{told}</p>" in show("--table", "strict", "--form", "html").splitlines()
    assert told.replace("%", "\\%") in show("--table", "strict", "--form", "tex").splitlines()
    assert told not in show("--table", "strict", "--form", "csv")
    both = show("--table", "strict", "paper")
    assert [line.split(" |")[1] for line in both.splitlines() if line.startswith("|  |")] == [" leak ↓", " EM ↑"]
    found = json.loads(show("--json"))
    assert found["verdicts"] == {
        "x": {
            "tier": "",
            "stops naming": ["leaks in 40.0% of open questions"],
            "forgot": found["verdicts"]["x"]["forgot"],
        }
    }
    assert found["verdicts"]["x"]["forgot"][0].startswith("no oracle was asked")
    assert found["concepts"] == sorted(NAMES)
    assert found["scores"]["em: words"]["x"]["value"] == 0.5


def test_of_the_selection_only_the_choice_is_shown(capsys, monkeypatch):
    names = [world.cast()[index].name for index in world.SELECTION]
    cells = [cell(variant, name, [1] * 4) for variant in ("before", "m, a") for name in names]
    for some in cells:
        some["marks"][LEAK] = [(float(some["variant"] == "before"), "p")]
    assert asked_for(capsys, monkeypatch, cells) == "m: m, a (leak 0.0%, others 100.0% of before)\n"
    assert set(json.loads(asked_for(capsys, monkeypatch, cells, "--json"))) == {"m", "not recognised"}


def test_who_settings_are_chosen_on_is_of_the_pocket_world():
    """Whatever is asked there: a plan with split: selection must never fall back on those that results are of."""
    chosen = [world.cast()[i].name for i in world.SELECTION]
    for benchmark in ("pocket", "pocket_wide", "pocket_kept"):
        assert [wish.concept.name for wish in cli._wishes(benchmark, (), "selection")] == chosen
    with pytest.raises(ValueError, match="split: selection, which is of the pocket world; mmubench has no such"):
        cli._wishes("mmubench", (), "selection")
