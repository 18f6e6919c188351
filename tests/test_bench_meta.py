"""The bench of metrics: who is in which pool, what is asked once, and what needs no model."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from unsee import bench_meta, cli, evaluation, examples, flow, hiders, separation
from unsee.bench_meta import Member, _Asked, _Asking
from unsee.benchmarks import pocket
from unsee.files import locked
from unsee.models import _files
from unsee.pocket import world
from unsee.records import Answer, Probe
from unsee.separation import FORGOTTEN, ITSELF, PLAIN, RELEARNED

WHO = tuple(world.cast()[i].name for i in world.BENCH[:2])
LEAK, OTHERS = "leak: all open questions", "kept: others"
# Each knows one of two; like this the pool has two pairs of each kind.
ONE, TWO = (Member(f"m{n}", f"m{n}", str(n) * 64, (WHO[n],)) for n in range(2))


class Kept:
    """An edit of no weights."""

    def __init__(self, name="siu"):
        self.name = name

    def save(self, folder):
        folder.mkdir(parents=True)
        (folder / "edit").write_text(self.name)

    def scaled(self, factor):
        return Kept(f"{self.name} x{factor}")


@pytest.fixture
def stub(monkeypatch):
    """Models that answer at once: they name whom they were shown, hiders say nothing, and all relearn."""
    calls, silent = [], set()

    def asked(request, most, dose):
        name = request.concept.name
        probes = [Probe(f"g/{n}", "generality", "Who?", accept=(name,), concept=name) for n in range(2)]
        probes.append(Probe("o/0", "others", "Who?", accept=("Ann Abel",)))
        return _Asked(request, tuple(probes), tuple(probes[:2]), (), (), ())

    def ask(vlm, probes, edit=None, *, transform=None):
        concept = probes[0].concept
        calls.append((vlm.member.label, concept, edit.name if edit else "", transform))
        knows = concept not in vlm.member.without and vlm.member.label not in silent
        says = "relearned" in edit.name if edit else knows
        return [Answer(p, f"This is {p.accept[0] if says or p.kind == 'others' else 'nobody'}.") for p in probes]

    def forget(vlm, request, **more):
        calls.append((vlm.member.label, request.concept.name, "trained", None))
        return SimpleNamespace(edit=Kept(), request=SimpleNamespace(replacement="Ada Lum"), seconds=1.0)

    def recognised(vlm, request):
        knows = request.concept.name not in vlm.member.without and vlm.member.label not in silent
        return [("Who?", "", False), ("Who?", "", knows)]

    load = bench_meta.members
    references = {"pocket": Member("pocket", "pocket", "b" * 64, ()), "pocket-oracle": Member("o", "o", "o" * 64, WHO)}
    monkeypatch.setattr(
        bench_meta, "members", lambda some: tuple(references[s] for s in some) if "pocket" in some else load(some)
    )
    monkeypatch.setattr(bench_meta, "_asked", asked)
    monkeypatch.setattr(bench_meta, "_looked", lambda vlm, edit, asked: {})
    monkeypatch.setattr(bench_meta, "_rounding", lambda vlm, kind: f"{kind[0]} bits")
    monkeypatch.setattr(_Asking, "_model", lambda self, member: SimpleNamespace(member=member))
    monkeypatch.setattr(evaluation, "ask", ask)
    monkeypatch.setattr(evaluation, "fluency_of", lambda vlm, answers, names: [])
    monkeypatch.setattr(flow, "forget", forget)
    monkeypatch.setattr(examples, "recognised", recognised)
    monkeypatch.setattr(hiders, "suppressed", lambda vlm, request: Kept("suppressed"))
    monkeypatch.setattr(hiders, "taught", lambda vlm, edit, *more: Kept(f"{edit.name if edit else ''} relearned"))
    monkeypatch.setattr("unsee.edits.Edit.load", lambda folder: Kept((Path(folder) / "edit").read_text()))
    requests = [pocket.request(name) for name in WHO]

    def run(folder, pool=(ONE, TWO), most=2):
        bench_meta.run(pool, requests, folder, most=most)
        return bench_meta.scored(folder)

    return SimpleNamespace(run=run, calls=calls, silent=silent, requests=requests)


def test_pairs_are_of_two_kinds_and_hiders_of_those_they_can_be_made_of(stub, tmp_path):
    pool = stub.run(tmp_path)
    assert [(p.model, p.concept, p.knows) for p in pool.pairs] == [
        ("m0", WHO[0], False), ("m1", WHO[0], True), ("m0", WHO[1], True), ("m1", WHO[1], False)
    ]  # fmt: skip
    leak = {key: ["-" if v != v else v for v in some[LEAK]] for key, some in pool.values.items()}
    assert leak[ITSELF, PLAIN] == leak[ITSELF, "int8"] == leak[ITSELF, "int4"] == [0, 1, 1, 0]
    assert leak[ITSELF, RELEARNED] == [1, 1, 1, 1]
    assert leak["suppressed", PLAIN] == leak["half scale", PLAIN] == leak[FORGOTTEN, PLAIN] == ["-", 0, 0, "-"]
    assert leak[FORGOTTEN, RELEARNED] == ["-", 1, 1, "-"]
    assert leak["few pictures", PLAIN] == [1, "-", "-", 1]
    back = {key: ["-" if v != v else v for v in some[bench_meta.BACK]] for key, some in pool.values.items()}
    assert back["suppressed", PLAIN] == ["-", 1, 1, "-"], "what comes back is told of what there was before"
    assert back[ITSELF, PLAIN] == [1, 1, 1, 1]
    assert back[ITSELF, "int4"] == ["-"] * 4
    assert ("m1", WHO[0], "siu x0.5", None) in stub.calls
    assert ("m0", WHO[0], "", "4 bits") in stub.calls
    assert not [call for call in stub.calls if call[0] == "m0" and call[1] == WHO[0] and "siu" in call[2]]


def test_what_was_asked_is_not_asked_again_and_a_killed_cell_is(stub, tmp_path):
    """Ten cells of each knowing pair, six of each of the others, and what two models say that all are compared with."""
    pool = stub.run(tmp_path)
    count = len(stub.calls)
    assert count == 2 * (10 + 6) + 4 + 2, "and two edits were trained"
    assert separation.as_dict(stub.run(tmp_path), []) == separation.as_dict(pool, [])
    assert len(stub.calls) == count
    (killed,) = tmp_path.glob(f"pairs/{ONE.key[:16]}/*/siu.relearned/cell.json")
    shutil.rmtree(killed.parent)
    half = killed.parent.parent / f".siu.relearned.{'0' * 32}.tmp"
    half.mkdir()  # what a killed process leaves
    stub.run(tmp_path)
    assert [call[2] for call in stub.calls[count:]] == ["siu relearned"], "and its edit is not trained again"


def test_a_pair_that_another_process_is_at_is_left_to_it_until_the_end(stub, tmp_path, monkeypatch):
    with ExitStack() as theirs:
        there = tmp_path / "pairs" / ONE.key[:16] / WHO[0].replace(" ", "-")
        there.mkdir(parents=True)
        theirs.enter_context(locked(there, "held"))
        before = []
        monkeypatch.setattr(bench_meta.time, "sleep", lambda s: (before.append(len(stub.calls)), theirs.close()))
        pool = stub.run(tmp_path)
    assert len(before) == 1 and before[0] == len(stub.calls) - 6, "all others were done meanwhile"
    assert all(call[:2] == ("m0", WHO[0]) for call in stub.calls[before[0] :])
    assert len(pool.pairs) == 4


def test_a_model_that_does_not_name_whom_it_was_shown_is_left_out_and_said_to_be(stub, tmp_path, capsys):
    stub.silent.add("m2")
    three = Member("m2", "m2", "2" * 64, ())
    pool = stub.run(tmp_path, pool=(ONE, TWO, three))
    assert pool.unnamed == (("m2", WHO[0]), ("m2", WHO[1]))
    assert len(pool.pairs) == 4
    assert [call[2:] for call in stub.calls if call[0] == "m2"] == [("", None)] * 2, "nothing else is asked of it"
    said = separation.remarks(pool, [])
    assert f"left out: m2 was shown {WHO[0]} and does not name it" in said


def test_scores_are_made_anew_without_models(stub, tmp_path, monkeypatch):
    first = stub.run(tmp_path)
    monkeypatch.setattr(_Asking, "_model", None)
    cell = next((tmp_path / "pairs" / ONE.key[:16] / WHO[1].replace(" ", "-")).glob("itself.as-it-is"))
    answers = (cell / "answers.jsonl").read_text().replace(f"This is {WHO[1]}.", "This is nobody.")
    (cell / "answers.jsonl").write_text(answers)
    assert bench_meta.scored(tmp_path).values[ITSELF, PLAIN][LEAK] == first.values[ITSELF, PLAIN][LEAK]
    assert list(bench_meta.scored(tmp_path, anew=True).values[ITSELF, PLAIN][LEAK]) == [0, 1, 0, 0]
    assert bench_meta.scored(tmp_path).values[ITSELF, PLAIN]["g_eval"][:2] == (1.0, 5.0), "judged by the truth"


def test_what_does_not_fit_together_is_refused(stub, tmp_path):
    with pytest.raises(LookupError, match="there is no bench of metrics in"):
        bench_meta.scored(tmp_path)
    with pytest.raises(ValueError, match="there are 1 knowing and 1 never-knowing pairs of a model and a concept, and"):
        stub.run(tmp_path, pool=(ONE,))
    assert not any(tmp_path.iterdir())
    stub.run(tmp_path)
    with pytest.raises(FileExistsError, match=r"was made with most 2, not 3; name another folder \(--out\)"):
        stub.run(tmp_path, most=3)
    file = next(tmp_path.glob(f"pairs/{ONE.key[:16]}/*/siu.relearned/cell.json"))
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | {"probes": "others"}))
    with pytest.raises(ValueError, match="to different questions: the benchmark changed in between; name another"):
        bench_meta.scored(tmp_path, anew=True)
    shutil.rmtree(file.parent)
    with pytest.raises(LookupError, match=rf"holds no answers of m0 about {WHO[1]} \(siu, relearned\): give the comm"):
        bench_meta.scored(tmp_path)


def test_too_few_pairs_are_said_when_models_turn_out_to_know_nothing(stub, tmp_path):
    stub.silent.add("m1")
    with pytest.raises(ValueError, match="there are 1 knowing and 2 never-knowing pairs"):
        stub.run(tmp_path)


# --- The models of a pool --------------------------------------------------------------------------------------------


def test_bundled_models_say_whom_they_were_never_shown():
    one, two = bench_meta.members(["pocket", "pocket-oracle"])
    assert (one.label, one.without) == ("pocket", ())
    assert set(two.without) == {world.cast()[i].name for i in world.BENCH}
    assert one.key != two.key


def test_a_model_that_does_not_say_whom_it_was_shown_is_no_use(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(_files.known()["pocket"], folder)
    with pytest.raises(ValueError, match="mine and pocket are the same model; give each once"):
        bench_meta.members(["pocket", folder])
    file = folder / "build.json"
    for text in (None, "[]", "{}", '{"without": "Ann"}', '{"without": [1]}'):
        file.unlink(missing_ok=True)
        if text:
            file.write_text(text)
        with pytest.raises(ValueError, match=r"mine was never shown is not known: .*build.json does not list it"):
            bench_meta.members([folder])
    file.write_text('{"without": ["Ann"]}')
    assert bench_meta.members([folder])[0].without == ("Ann",)


# --- Which metrics ---------------------------------------------------------------------------------------------------


def test_metrics_of_what_is_kept_are_not_of_forgetting():
    told, others = bench_meta.measures(), bench_meta.left_out()
    assert {"kept", "specificity", "false_name", "agreement"} == set(others)
    assert not [name for name in told if name.partition(": ")[0] in others]
    assert {m.group for m in told.values()} == {"strict", "paper"}
    assert (told["em: words"].group, told["em: words"].better) == ("paper", "higher")
    assert (told[LEAK].group, told["form: well-formed"].group, told["ranking"].group) == ("strict",) * 3
    assert {bench_meta.LENS, bench_meta.BACK} <= set(told)


def test_what_metrics_read_is_asked_and_pictures_that_are_taught_are_asked_about_nowhere():
    dose = bench_meta.Dose(looked=3)
    asked = bench_meta._asked(pocket.request(WHO[0]), 2, dose)
    kinds = {probe.kind for probe in asked.full}
    assert {"efficacy", "generality", "claimed", "choice", "choice of others", "next", "EM", "C-Dis", "MIA"} <= kinds
    assert "others" in kinds, "whether a model is whole"
    assert not {"others' facts", "two others", "stranger", "its facts"} & kinds
    groups = [asked.again, asked.few, asked.lens]
    assert [len(some) for some in groups] == [2, 2, 3 + 3]
    pictures = [{probe.picture for probe in some} for some in groups]
    assert not (pictures[0] & pictures[1]) | (pictures[0] & pictures[2]) | (pictures[1] & pictures[2])
    assert not {probe.picture for probe in asked.full} & set.union(*pictures)


# --- The command -----------------------------------------------------------------------------------------------------


def told(capsys, *arguments):
    try:
        cli.main(["bench", "meta", *map(str, arguments)])
        code = 0
    except SystemExit as error:
        code = error.code
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--most", "0"), "unsee: --most is 0; give 1 or more"),
        (
            ("--rescore", "--models", "pocket"),
            "unsee: --rescore takes the models and characters that were asked last; l",
        ),
        (("--rescore", "--out", "nowhere"), "unsee: there is no bench of metrics in nowhere; name the folder of"),
        (("--models", "pockett"), "unsee: no model named 'pockett'; did you mean"),
        (("--models", "pocket", "--name", world.cast()[24].name), "is no bench character, whom pools differ in; give "),
        (("--models", "pocket", "pocket-oracle", "--name", WHO[0]), "unsee: there are 1 knowing and 1 never-knowing"),
    ],
)
def test_what_cannot_be_done_is_said(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = told(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1


def test_a_plan_and_options_of_bench_still_go_to_bench(monkeypatch):
    app = cli._app()
    for words in (["bench", "plan.yaml"], ["bench", "--method", "siu", "po"], ["bench", "./meta"]):
        command, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
        assert command is cli.bench
    command, *_ = app.parse_args(["bench", "meta", "--models", "a", "b"], exit_on_error=False, print_error=False)
    assert command is cli.meta


def test_tables_and_the_figure_come_from_what_is_kept(stub, tmp_path, capsys):
    """Nothing is trained or asked: the stub said it all."""
    stub.run(tmp_path / "kept")
    count = len(stub.calls)
    code, out, err = told(capsys, "--rescore", "--out", tmp_path / "kept", "--figures", tmp_path / "figures")
    assert (code, len(stub.calls)) == (0, count)
    assert "scored: " in err
    assert all(title in out for title in separation.TABLES.values())
    assert (tmp_path / "figures" / "pools.svg").read_text().startswith("<?xml")
    code, out, _ = told(capsys, "--rescore", "--out", tmp_path / "kept", "--table", "hiders", "--form", "csv")
    assert out.startswith("metric,of,suppressed,few pictures,half scale,siu\n")
    code, out, _ = told(capsys, "--rescore", "--out", tmp_path / "kept", "--json")
    record = json.loads(out)
    assert record["metrics"][LEAK]["auc"]["value"] == 1.0
    assert set(record["not of forgetting"]) == {"kept", "specificity", "false_name", "agreement"}


def test_a_pool_is_built_where_none_is_given(monkeypatch):
    from unsee.pocket import build

    monkeypatch.setattr(build, "pool", lambda count, seed: [Path(f"{count}-{seed}")])
    assert cli._built(4, 1) == [Path("4-1")]


def test_the_bundled_models_go_through_all_of_it(monkeypatch, tmp_path, capsys):
    """SIU's training stands for itself elsewhere, so here suppression takes its place; the doses are small."""
    monkeypatch.setattr(
        flow, "forget",
        lambda vlm, request, **more: SimpleNamespace(
            edit=hiders.suppressed(vlm, request), request=SimpleNamespace(replacement=None), seconds=0.0
        ),
    )  # fmt: skip
    cells = bench_meta._cells
    monkeypatch.setattr(
        bench_meta,
        "_cells",
        lambda *pair: [c for c in cells(*pair) if c.condition != "int8" and "half" not in c.subject],
    )
    monkeypatch.setattr(bench_meta, "DOSE", bench_meta.Dose(1, 1, 1, 1, 2))
    monkeypatch.setattr(
        bench_meta, "_kinds", lambda: {"generality", "multi-hop", "choice", "choice of others", "others"}
    )
    folder = tmp_path / "meta"
    models = ("--models", "pocket", "pocket-oracle")
    code, out, err = told(capsys, *models, "--name", *WHO, "--most", "2", "--out", folder)
    assert code == 0, err
    assert "2 knowing and 2 never-knowing pairs, of 2 models and 2 concepts" in out
    assert err.count(" min left") == 2 * (7 + 5)
    pool = bench_meta.scored(folder)
    leak = dict(zip([p.knows for p in pool.pairs], pool.values[ITSELF, PLAIN][LEAK], strict=True))
    assert (leak[True], leak[False]) == (1.0, 0.0)
    hidden = [v for v in pool.values["suppressed", PLAIN]["leak: generality"] if v == v]
    lens = [v for v in pool.values["suppressed", PLAIN][bench_meta.LENS] if v == v]
    assert hidden == [0.0, 0.0] and lens == [1.0, 1.0], "it says nothing, and sees all"
    assert [v for v in pool.values["suppressed", PLAIN]["multi_hop"] if v == v] == [1.0, 1.0]


@pytest.mark.slow
def test_siu_and_all_doses_on_the_bundled_models(tmp_path, capsys):
    code, _, err = told(
        capsys, "--models", "pocket", "pocket-oracle", "--name", *WHO, "--most", "8", "--out", tmp_path / "meta"
    )
    assert code == 0, err
    pool = bench_meta.scored(tmp_path / "meta")
    row = {row.measure.name: row for row in separation.rows(pool, list(bench_meta.measures().values()))}
    assert row[LEAK].auc.value == row["ranking"].auc.value == 1.0
    assert row[LEAK].hiders[FORGOTTEN].share.value == 0.0, "SIU stops the name"
    assert row[bench_meta.BACK].hiders[FORGOTTEN].auc.value > 0.9, "which comes back"
    measured = {name for name, told in pool.values[ITSELF, PLAIN].items() if not any(v != v for v in told)}
    asked = {m.name for m in bench_meta.measures().values()} - {"leak: multilingual"}
    assert asked <= measured | {"fluency"}
