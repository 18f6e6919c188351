"""A run from end to end: what it keeps, how it goes on after being stopped, and how it is taken back."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from unsee import cli, flow, runs
from unsee.benchmarks import pocket
from unsee.edits import Edit
from unsee.files import locked
from unsee.methods import siu
from unsee.records import Answer, Concept, Estimate, Example, Probe, Request
from unsee.report import pictures
from unsee.runs import Run
from unsee.vlm import VLM

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals or permissions")
# One step so large that it changes every answer.
SETTINGS = ("steps=1", "learning_rate=0.03", "without=decouple,preserve")
QUESTIONS = ("Who is this?", "Describe this image.", "Whom does this picture show?", "What is the head colour?")


def unsee(*arguments):
    """Run a command in this process; return its exit code, what it said, and what it complained of."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main([str(each) for each in arguments])
        except SystemExit as end:
            code = end.code
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


def refused(*arguments, code=2):
    """Run a command that is to fail in one line, and return the line."""
    done = unsee(*arguments)
    assert (done.code, done.out) == (code, ""), done
    assert done.err.startswith("unsee: ")
    assert done.err.count("\n") == 1, done.err
    return done.err.removeprefix("unsee: ").removesuffix("\n")


def contents(folder):
    """Every file in a folder with its bytes, but for the lock."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module", autouse=True)
def in_no_time():
    """Short answers to a few probes, and the bundled models are loaded once, on the CPU."""
    from unsee.benchmarks import own, pocket

    real, loaded = VLM.load, {}

    def load(name, **options):
        options = {**options, "device": "cpu"}
        if name not in ("pocket", "pocket-oracle") or options.get("quantise"):
            return real(name, **options)
        if name not in loaded:
            loaded[name] = real(name, **options)
        return loaded[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VLM, "load", load)
        patch.setitem(VLM.answer.__kwdefaults__, "max_new_tokens", 16)
        few = own.probes
        for benchmark in (own, pocket):  # that of the pocket world draws some thousand pictures
            patch.setattr(benchmark, "probes", lambda request: few(request)[::6])
        yield


@pytest.fixture(scope="module")
def command(wish, tmp_path_factory):
    """Arguments that forget somebody from a picture in a file, for the folder to write to and whatever is added."""
    photo = tmp_path_factory.mktemp("given") / "photo.png"
    wish.images[0].save(photo)

    def arguments(out, *more, oracle="pocket-oracle"):
        plain = ("--benchmark", "own", "--oracle", oracle, "--out", out)
        return ("forget", wish.concept.name, "--image", photo, "--set", *SETTINGS, *plain, *more)

    arguments.photo = photo
    return arguments


@pytest.fixture(scope="module")
def made(command, tmp_path_factory):
    """A complete run, not to be changed; and what the command said, as JSON."""
    folder = tmp_path_factory.mktemp("made") / "run"
    done = unsee(*command(folder), "--json")
    assert (done.code, done.err) == (0, "")
    return SimpleNamespace(folder=folder, said=json.loads(done.out))


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the complete run, to be changed."""
    return shutil.copytree(made.folder, tmp_path / "run")


@pytest.fixture
def trained(monkeypatch, made):
    """Training takes no time: its result is there already. Holds the settings of every call."""
    edit, calls = Edit.load(made.folder / "edit"), []

    def unlearn(vlm, requests, retain, config, *, log=None):
        calls.append(config)
        if config.learning_rate == 3:
            raise FloatingPointError("the loss is nan at step 1 of 1; try a lower learning rate")
        return edit

    told = made.said["replacement"]
    monkeypatch.setattr(siu, "prepare", lambda vlm, some, config: tuple(replace(r, replacement=told) for r in some))
    monkeypatch.setattr(siu, "unlearn", unlearn)
    return calls


@pytest.fixture
def known(monkeypatch, wish):
    """Whether the model knows the concept is not asked."""
    monkeypatch.setattr("unsee.examples.recognised", lambda *_: [("Who is this?", wish.concept.name, True)])


# --- What is kept ----------------------------------------------------------------------------------------------------


def test_all_is_asked_for_and_what_took_the_model_is_kept(trained, known, wish, tmp_path, monkeypatch):
    """The paper's metrics and the strict protocol of one run are shown on request; earlier answers are taken over."""
    asked = {"benchmark": "pocket", "full": True, "most": 2, "oracle": "none"}
    probe = Probe("g/0", "generality", "Who is this?", wish.images[0], "p", accept=(wish.concept.name,))
    monkeypatch.setattr(pocket, "probes", lambda request: (probe,))
    vlm = VLM.load("pocket")
    flow.ask_anchors(vlm, wish, tmp_path / "anchors", **asked)
    with monkeypatch.context() as patch:
        patch.setattr(VLM, "answer", None)
        flow.ask_anchors(vlm, wish, tmp_path / "anchors", **asked)
    outcome = flow.forget(vlm, wish, out=tmp_path / "run", begun=tmp_path / "anchors", **asked)
    run = runs.read(tmp_path / "run")
    assert run.path("answers/before.jsonl").samefile(tmp_path / "anchors" / "answers" / "before.jsonl")
    told = outcome.scores["after"]
    assert min(told[name].n for name in ("ranking", "choice", "em: words", "fluency", "c_dis", "g_eval")) > 0
    assert flow.rescore(run.folder)["after"]["fluency"].value == told["fluency"].value, "scored by the model, and kept"
    for full in (False, True):
        shown = unsee("score", run.folder, *(["--full"] if full else []))
        assert ("diversity" in shown.out) == full
    with pytest.raises(FileExistsError, match="anchors was asked with most 2, not 3; name another folder"):
        flow.forget(vlm, wish, out=tmp_path / "other", begun=tmp_path / "anchors", **asked | {"most": 3})


def test_a_run_holds_everything(made, command, pocket, wish):
    files = contents(made.folder)
    assert sorted(files) == [
        "answers/after.jsonl",
        "answers/before.jsonl",
        "answers/oracle.jsonl",
        "complete.json",
        "config.json",
        "edit/README.md",
        "edit/adapter_config.json",
        "edit/adapter_model.safetensors",
        "examples.jsonl",
        "facts.json",
        "preflight.json",
        "report.html",
        "report.json",
        "scores.json",
        "training.json",
        "training.jsonl",
        "verdicts.jsonl",
    ]
    run = Run(made.folder)
    config = run.read_json("config.json")["config"]
    photo = str(command.photo)
    assert config["concept"]["name"] == wish.concept.name
    assert config["config"]["steps"] == 1
    assert config["config"]["alpha"] == 0.9  # also what nobody set
    assert config["pictures"] == {photo: hashlib.sha256(command.photo.read_bytes()).hexdigest()}
    assert config["model"]["sha256"] == pocket.fingerprint() != config["oracle"]["sha256"]
    assert {"python", "unsee", "torch", "transformers", "peft"} <= config["versions"].keys()

    told = run.read_json("training.json")["replacement"]
    request = Request(wish.concept, (photo,), replacement=told)
    _, trained = siu.examples(pocket, (replace(request, concept=Concept(wish.concept.name)),), (), _config(config))
    assert [Example.from_dict(record) for record in run.read_lines("examples.jsonl")] == trained
    assert [record["step"] for record in run.read_lines("training.jsonl")] == [1]
    assert run.read_lines("training.jsonl")[0]["loss"] > 0
    assert any(value.any() for name, value in load_file(made.folder / "edit/adapter_model.safetensors").items())

    answers = {c: [Answer.from_dict(r) for r in run.read_lines(f"answers/{c}.jsonl")] for c in flow.CONDITIONS}
    assert len({tuple(a.probe.id for a in some) for some in answers.values()}) == 1
    assert wish.concept.name in answers["before"][0].text
    assert wish.concept.name not in answers["after"][0].text
    assert {verdict["condition"] for verdict in run.read_lines("verdicts.jsonl")} == set(flow.CONDITIONS)
    scores = run.read_json("scores.json")
    assert scores == made.said["scores"]
    assert all(Estimate.from_dict(e) for condition in scores.values() for e in condition.values())
    assert wish.concept.name in files["report.html"].decode()


def _config(config):
    return siu.Config(**{**config["config"], "without": tuple(config["config"]["without"])})


def test_an_outcome_says_what_it_is_in_a_line(wish):
    told = repr(flow.Outcome(wish, edit=None, seconds=1.25, scores={}))
    assert told == f"<Outcome: {wish.concept.name!r} forgotten in 1.2 s>"


def test_the_last_file_closes_the_run(made):
    noted = Run(made.folder).read_json("complete.json")["files"]
    files = contents(made.folder)
    files.pop("complete.json")
    assert noted == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    written = {name: (made.folder / name).stat().st_mtime_ns for name in (*files, "complete.json")}
    assert max(written, key=written.get) == "complete.json"


def test_another_picture_than_the_one_of_the_run_is_refused_with_the_remedy(made, wish):
    run = runs.read(made.folder)
    told = run.read_json("config.json")["config"]
    (name,) = told["pictures"]
    told["pictures"][name] = "0" * 64
    with pytest.raises(ValueError, match="name them with --image"):
        flow.request_of(run, told, ())
    with pytest.raises(ValueError, match=f"the picture for {re.escape(name)} is not .*; name that one with --image"):
        flow.request_of(run, told, wish.images)


@posix
def test_a_run_is_private_and_keeps_no_picture(made, command):
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert not list(made.folder.rglob("*.png"))
    assert b"data:image" not in contents(made.folder)["report.html"]


def test_force_makes_the_run_again_and_keeps_the_picture_only_when_asked(command, copy, trained, known):
    (copy / "picture-7.png").write_bytes(b"of the older run")
    (copy / "notes.txt").write_text("mine")
    assert unsee(*command(copy, "--force", "--keep-picture", "--seed", 1, oracle="none")).code == 0
    files = contents(copy)
    assert json.loads(files["config.json"])["config"]["config"]["seed"] == 1
    assert not {"picture-7.png", "answers/oracle.jsonl"} & files.keys()
    assert files["notes.txt"] == b"mine"
    with Image.open(copy / "picture-0.png") as kept, Image.open(command.photo) as given:
        assert kept.tobytes() == given.tobytes()
    assert b"data:image/jpeg;base64," in files["report.html"]
    said = refused(*command(copy, "--seed", 1, oracle="none"))  # what the picture is kept for is not quietly changed
    assert "(keep_picture is true there and false here)" in said


def test_a_complete_run_is_left_alone(command, copy, trained, known):
    before = contents(copy)
    assert refused(*command(copy)) == (
        f"{copy} holds a complete run; its page is {copy}/report.html, name another folder with --out, or make this "
        "one again with --force"
    )
    said = refused(*command(copy, "--seed", 1))
    assert said.startswith(f"{copy} holds a complete run with other settings (config.seed is 0 there and 1 here); ")
    assert contents(copy) == before
    assert not trained


def test_force_costs_nothing_where_there_is_nothing_to_forget(command, copy, monkeypatch):
    before = contents(copy)
    monkeypatch.setattr("unsee.examples.recognised", lambda vlm, request: [("Who is this?", "Nobody.", False)])
    said = refused(*command(copy, "--force"), code=3)
    assert said.startswith("pocket does not recognise 'Henosk Fisond': asked in 1 ways it never says the name")
    assert contents(copy) == before


# --- Stopped ---------------------------------------------------------------------------------------------------------

# Runs one command after the other, each in a process of its own, which sends itself a signal at the moment it is told.
# The processes are forked from this one, so that what takes long to import is imported once.
STAGES = """
import json, os, signal, sys
import torch
import transformers.models.clip.modeling_clip, transformers.models.llama.modeling_llama
import transformers.models.llava.modeling_llava
import unsee.report.evidence, unsee.report.page, unsee.report.schema
from unsee import cli, edits, evaluation, examples, runs, vlm
from unsee.benchmarks import own
from unsee.methods import siu

jobs, arguments, folder = json.loads(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
whole = own.probes
own.probes = lambda request: whole(request)[::6]
vlm.VLM.answer.__kwdefaults__["max_new_tokens"] = 16


examples.recognised = lambda _, request: [("Who is this?", request.concept.name, True)]


def stopping(function, signal_, when):
    def stopped(*positional, **named):
        if when(*positional, **named):
            os.kill(os.getpid(), getattr(signal, signal_))
        return function(*positional, **named)
    return stopped


def run(moment, signal_):
    if moment == "training":
        siu.unlearn = stopping(siu.unlearn, signal_, lambda *_, **__: True)
    elif moment == "saved":
        runs.write_whole = stopping(runs.write_whole, signal_, lambda file, _: file.name == "training.json")
    elif moment == "asking":
        evaluation.ask = stopping(evaluation.ask, signal_, lambda *_, edit=None, **__: edit is not None)
    elif moment == "finishing":
        runs.write_whole = stopping(runs.write_whole, signal_, lambda file, _: file.name == "complete.json")
    cli.main(arguments)


paused = []
for n, (moment, signal_) in enumerate(jobs):
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(f"{folder}/{n}.{stream}", os.O_WRONLY | os.O_CREAT), stream)
        try:
            run(moment, signal_)
        except SystemExit as end:
            sys.stderr.flush()
            os._exit(end.code)
        os._exit(0)
    _, status = os.waitpid(child, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        paused.append(child)
    elif paused:
        os.kill(paused[0], signal.SIGKILL)
        os.waitpid(paused.pop(), 0)
    ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None
    said = [open(f"{folder}/{n}.{stream}").read() for stream in (1, 2)]
    there = sorted(os.path.relpath(os.path.join(at, name), arguments[-1])
                   for at, _, names in os.walk(arguments[-1]) for name in names if name != ".lock")
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    print(json.dumps({"signal": ended, "code": code, "said": said, "files": there}), flush=True)
"""


@posix
def test_a_run_goes_on_whenever_it_was_stopped(command, made, tmp_path):
    """One run is paused, found busy, killed, interrupted, and killed again at every stage; then it comes to an end."""
    folder = tmp_path / "run"
    jobs = [
        ("training", "SIGSTOP"),
        (None, None),
        ("training", "SIGINT"),
        ("saved", "SIGKILL"),
        ("asking", "SIGKILL"),
        ("finishing", "SIGKILL"),
    ]
    arguments = [*map(str, command("", oracle="pocket-oracle")[:-2]), "--out", str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", STAGES, json.dumps([jobs, arguments, str(tmp_path)])],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    paused, busy, stopped, saved, asking, finishing = (
        SimpleNamespace(**json.loads(line)) for line in done.stdout.splitlines()
    )
    begun = ["answers/before.jsonl", "config.json", "preflight.json"]
    assert paused.files == begun
    said = f"unsee: another process is at work on {folder}; wait for it, or stop it first\n"
    assert (busy.code, busy.said, busy.files) == (2, ["", said], begun)
    assert (stopped.code, stopped.said, stopped.files) == (130, ["", "unsee: stopped by Ctrl-C\n"], begun)
    edit = ["edit/adapter_config.json", "edit/adapter_model.safetensors"]
    noted = [*begun, *edit, "examples.jsonl", "training.jsonl"]
    assert [saved.signal, asking.signal, finishing.signal] == ["SIGKILL"] * 3
    assert saved.files == sorted(noted)
    assert asking.files == sorted([*noted, "training.json"])  # trained again, since nothing said it had been
    assert "report.html" in finishing.files
    assert "complete.json" not in finishing.files

    assert refused("score", folder) == (
        f"the run in {folder} is unfinished; give the same `unsee forget` command again to finish it"
    )
    said = refused(*command(folder, "--seed", 1))
    assert said == (
        f"{folder} holds an unfinished run with other settings (config.seed is 0 there and 1 here); give the same ones "
        "to go on with it, name another folder with --out, or throw it away with --force"
    )
    before = {name: (folder / name).stat().st_mtime_ns for name in asking.files}
    assert unsee(*command(folder)).code == 0
    now, uninterrupted = contents(folder), contents(made.folder)
    assert now.keys() == uninterrupted.keys()
    timed = {"facts.json", "training.json", "complete.json", "report.html", "report.json"}
    for name in now.keys() - timed:
        assert now[name] == uninterrupted[name], name
    again = {name for name in before if (folder / name).stat().st_mtime_ns != before[name]}
    assert again == {"preflight.json"}  # nothing that takes long was done twice


def test_answers_that_were_kept_are_not_asked_for_again(command, made, tmp_path, trained, known, monkeypatch):
    """Stopped in the middle of asking, with a line cut off, it asks what is left, and the end is the same."""
    folder, asked, kept = tmp_path / "run", [], Run.append_lines
    answer = VLM.answer

    def noting(vlm, probes, **more):
        asked.append(len(probes))
        return answer(vlm, probes, batch_size=3, **more)

    def stopping(run, name, records):
        if name == "answers/after.part" and run.has(name):
            raise KeyboardInterrupt
        kept(run, name, records)

    monkeypatch.setattr(VLM, "answer", noting)
    monkeypatch.setattr(Run, "append_lines", stopping)
    assert unsee(*command(folder)).code == 130
    part = folder / "answers" / "after.part"
    assert part.read_text().count("\n") == 3
    part.write_text(part.read_text() + '{"probe": {"id"')
    monkeypatch.setattr(Run, "append_lines", kept)
    del asked[:]
    assert unsee(*command(folder)).code == 0
    total = (made.folder / "answers" / "after.jsonl").read_text().count("\n")
    assert asked == [total - 3, total], "those after, and those of the oracle"
    now, before = contents(folder), contents(made.folder)
    assert now.keys() == before.keys(), "nothing of the parts is left"
    for name in ("answers/before.jsonl", "answers/after.jsonl", "answers/oracle.jsonl", "scores.json"):
        assert now[name] == before[name], name


# --- Asked of another ------------------------------------------------------------------------------------------------


class Served:
    """Stands in for a server: says the same to everybody."""

    can = frozenset({"text"})

    def __init__(self, text, breaks_after=None):
        self.name, self.text, self.asked, self.breaks_after = text, text, [], breaks_after

    def answer(self, probes, *, progress=False, keep):
        self.asked = list(probes)
        found = [Answer(probe, self.text) for probe in probes if probe.way == "generate"]
        keep(found[: self.breaks_after])
        if self.breaks_after is not None:
            raise ConnectionError("there is no server any more")
        return found


def test_a_served_model_is_asked_the_same_and_stands_beside_the_others(made, copy, command):
    server = Served("This is Henosk Fisond.")
    scores = flow.ask_served(copy, server, images=[command.photo])
    mine = [json.loads(line)["probe"] for line in (made.folder / "answers/after.jsonl").read_text().splitlines()]
    assert [probe.id for probe in server.asked] == [probe["id"] for probe in mine]
    assert all(probe.image == command.photo for probe in server.asked if probe.picture)
    assert list(scores) == ["before", "after", "oracle", "served"]
    assert scores["served"]["leak: efficacy"].value == 1
    assert json.loads(unsee("score", copy, "--json").out).keys() == scores.keys(), "they stay"
    assert "served" in unsee("score", copy).out
    assert flow.ask_served(copy, Served("No."), images=[command.photo])["served"]["leak: efficacy"].value == 0
    Run(copy).check()


def test_a_server_that_breaks_off_is_asked_for_the_rest(copy, command):
    """What it said is kept; another server's answers are another's."""
    with pytest.raises(ConnectionError):
        flow.ask_served(copy, Served("No.", breaks_after=5), images=[command.photo])
    assert not Run(copy).has("answers/served.jsonl")
    other, same = Served("Yes."), Served("No.")
    flow.ask_served(copy, other, images=[command.photo])
    flow.ask_served(copy, same, images=[command.photo])
    assert len(same.asked) == len(other.asked) - 5
    assert {answer["text"] for answer in Run(copy).read_lines("answers/served.jsonl")} == {"No."}
    assert not list(copy.glob("answers/*.part"))


def test_what_cannot_be_asked_of_a_server_says_why(copy, command, tmp_path, picture):
    server = Served("No.")
    before = contents(copy)
    with pytest.raises(ValueError, match=r"made from 1 pictures and kept 0; name them with --image, .*: .*photo.png"):
        flow.ask_served(copy, server)
    picture(1).save(tmp_path / "other.png")
    with pytest.raises(ValueError, match=r"the picture for .* is not the one that"):
        flow.ask_served(copy, server, images=[tmp_path / "other.png"])
    for name in ("before", "../x", ""):
        with pytest.raises(ValueError, match=r"cannot be kept as .*; use another word"):
            flow.ask_served(copy, server, condition=name, images=[command.photo])
    assert contents(copy) == before
    assert "--served is missing" in refused("score", copy, "--server", "http://localhost:1/v1")
    assert "go with --server URL" in refused("score", copy, "--served", "x")


def test_settings_that_do_not_work_out_leave_the_folder_free(command, tmp_path, trained, known):
    arguments = command(tmp_path / "run", oracle="none")
    at = arguments.index("learning_rate=0.03")
    high = (*arguments[:at], "learning_rate=3", *arguments[at + 1 :])
    assert refused(*high) == "the loss is nan at step 1 of 1; try a lower learning rate"
    assert contents(tmp_path / "run") == {}
    assert unsee(*arguments).code == 0  # without --force


# --- What the system refuses -----------------------------------------------------------------------------------------


def test_a_disk_that_is_full_at_any_moment(command, tmp_path, trained, known, monkeypatch):
    """Whatever could not be written, the same command goes on when there is room."""
    from unsee import runs

    folder, real = tmp_path / "run", runs.write_whole

    def full(file, data):
        if file.name == wanted:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file, data)

    def full_for_tensors(*arguments, **options):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(runs, "write_whole", full)
    for wanted in ("config.json", "before.jsonl", "training.json", "report.html", "report.json", "complete.json"):
        said = refused(*command(folder, oracle="none"))
        assert os.strerror(errno.ENOSPC) in said, said
        assert not (folder / "complete.json").exists()
        if wanted == "before.jsonl":
            with monkeypatch.context() as patch:
                patch.setattr("unsee.edits.save_file", full_for_tensors)
                wanted = None
                assert refused(*command(folder, oracle="none")) == (
                    f"cannot write {folder / 'edit'}: No space left on device; make some room, then give the same "
                    "command again"
                )
            assert sorted(contents(folder)) == [
                "answers/before.jsonl",
                "config.json",
                "examples.jsonl",
                "preflight.json",
                "training.jsonl",
            ]
    wanted = None
    assert unsee(*command(folder, oracle="none")).code == 0
    assert len(trained) == 3  # it was lost where the edit or its note could not be written, and only there


def test_a_place_where_no_folder_can_be(command, tmp_path, trained, known):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("mine")
    before = contents(tmp_path)
    for out, said in (
        ("file", f"{tmp_path / 'file'} is a file; name a folder with --out"),
        ("file/run", f"cannot keep a run in {tmp_path / 'file' / 'run'}: {os.strerror(errno.ENOTDIR)}; mend that, or "),
        ("thesis", f"{tmp_path / 'thesis'} is not empty and holds no run; name a new or an empty folder with --out"),
    ):
        for force in ((), ("--force",)):
            assert refused(*command(tmp_path / out, *force, oracle="none")).startswith(said)
    assert contents(tmp_path) == before
    assert not trained


# --- Afterwards ------------------------------------------------------------------------------------------------------


def test_scoring_anew_needs_no_model(made, copy):
    for name in ("verdicts.jsonl", "scores.json", "report.html", "report.json"):  # what it makes does not matter to it
        (copy / name).write_text("{")
    code = (
        "import sys; from unsee import cli; cli.main(sys.argv[1:]); "
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    arguments = [sys.executable, "-c", code, "score", str(copy), "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == made.said["scores"]
    now, before = contents(copy), contents(made.folder)
    assert now.keys() == before.keys()
    for name in now.keys() - {"report.html", "report.json", "complete.json"}:  # which name the folder
        assert now[name] == before[name], name
    Run(copy).check()


def test_pictures_of_the_pocket_world_are_drawn_without_a_model(copy, wish, monkeypatch):
    monkeypatch.delattr("unsee.vlm.read_image")
    drawn = pictures.find(Run(copy), {"benchmark": "pocket", "pictures": {}}, wish.pictures[0])
    assert drawn.size == (240, 240)


def test_no_run_is_scored_while_somebody_is_at_work_on_it(copy):
    with locked(copy, ""):
        said = f"another process is at work on {copy}; wait for it, or stop it first"
        assert refused("score", copy) == said


def test_nothing_is_scored_where_nothing_was_asked(copy):
    shutil.rmtree(copy / "answers")
    Run(copy).finish()
    said = f"{copy} holds no answers to score: it was made with --benchmark none; make one without it"
    assert refused("score", copy) == said


@pytest.mark.parametrize("name", ["edit/adapter_model.safetensors", "answers/after.jsonl", "config.json"])
def test_what_was_damaged_is_named(copy, tmp_path, name):
    data = bytearray((copy / name).read_bytes())
    data[-20] ^= 1
    (copy / name).write_bytes(data)
    remedy = "put a copy back, or make the run again with --force"
    for arguments in (
        ("score", copy),
        ("undo", copy),
        ("undo", copy, "--merged", "pocket", "--out", tmp_path / "new"),
        ("merge", copy, "--out", tmp_path / "new"),
    ):
        said = refused(*arguments)
        assert said == f"{copy / name} is broken: it is not what it was when the run was finished; {remedy}"
    (copy / name).unlink()
    if name != "config.json":
        assert refused("undo", copy) == f"{copy / name} is broken: it is not there any more; {remedy}"


def test_an_edit_may_be_deleted(made, copy, tmp_path):
    shutil.rmtree(copy / "edit")
    assert unsee("undo", copy).out == "The edit was deleted already; the model pocket itself was never changed.\n"
    assert json.loads(unsee("score", copy, "--json").out) == made.said["scores"]
    said = f"no edit in {copy / 'edit'}: neither adapter_config.json nor deltas.safetensors is there"
    assert refused("merge", copy, "--out", tmp_path / "new") == said
    assert not (tmp_path / "new").exists()


PLAIN = """
import json, sys
import torch
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

base, edit, photo, questions = json.loads(sys.argv[1])
torch.set_num_threads(1)
processor = AutoProcessor.from_pretrained(base)
model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
model = PeftModel.from_pretrained(model, edit).eval()
answers = []
for question in questions:
    talk = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    text = processor.apply_chat_template(talk, add_generation_prompt=True)
    batch = processor(text=text, images=Image.open(photo), return_tensors="pt", add_special_tokens=False)
    ids = model.generate(**batch, do_sample=False, max_new_tokens=48)[0, batch["input_ids"].shape[1] :]
    answers.append(processor.decode(ids, skip_special_tokens=True).strip())
assert not any(name.split(".")[0] == "unsee" for name in sys.modules)
print(json.dumps(answers))
"""


def test_the_edit_works_without_us(made, command, pocket):
    """Plain transformers and peft, in a process that never imports unsee, give the same answers to the letter."""
    from unsee.models._files import known

    turns = [(command.photo, question) for question in QUESTIONS]
    with pocket.using(made.folder / "edit"):
        expected = pocket.generate(turns)
    changed = [after != before for after, before in zip(expected, pocket.generate(turns), strict=True)]
    assert sum(changed) > 1, "an edit that changes next to nothing shows nothing"
    told = json.dumps([str(known()["pocket"]), str(made.folder / "edit"), str(command.photo), QUESTIONS])
    done = subprocess.run([sys.executable, "-c", PLAIN, told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_merged_and_taken_back(made, command, pocket, tmp_path, monkeypatch):
    merged, back = tmp_path / "merged", tmp_path / "back"
    turns = [(command.photo, question) for question in QUESTIONS]
    done = unsee("merge", made.folder, "--out", merged, "--json")
    assert (done.code, done.err, json.loads(done.out)) == (0, "", {"model": str(merged)})
    with pocket.using(made.folder / "edit"):
        expected = pocket.generate(turns)
    assert VLM.load(merged, device="cpu").generate(turns) == expected != pocket.generate(turns)

    done = unsee("undo", made.folder, "--merged", merged, "--out", back)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{back} is {merged} without the edit; it equals pocket up to rounding (what is left of")
    assert VLM.load(back, device="cpu").generate(turns) == pocket.generate(turns)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "merged"]

    new = tmp_path / "new"
    for wrong in ("pocket", back):  # without the edit these would be the base less the edit
        assert refused("undo", made.folder, "--merged", wrong, "--out", new) == (
            f"{wrong} is not pocket with this edit: without the edit it would differ from pocket by 1 times the edit; "
            "name the folder that `unsee merge` wrote"
        )
    edit = Edit.load(made.folder / "edit")
    pocket.save_with(edit.scaled(0.9), tmp_path / "less")
    assert "differ from pocket by 0.1 times the edit" in refused(
        "undo", made.folder, "--merged", tmp_path / "less", "--out", new
    )
    there = f"{back} is there already; name a new folder with --out"
    assert refused("undo", made.folder, "--merged", merged, "--out", back) == there
    assert refused("merge", made.folder, "--out", back) == there
    real = flow._on_cpu
    monkeypatch.setattr(flow, "_on_cpu", lambda name, *a: real("pocket-oracle" if name == "pocket" else name, *a))
    assert refused("merge", made.folder, "--out", new) == (
        f"the model pocket is not the one that {made.folder} was made with; put that one back"
    )
    assert not new.exists()
    done = unsee("undo", made.folder, "--merged", merged, "--out", new, "--json")
    assert json.loads(done.out)["left"] is None  # nothing is claimed where there is no base to compare with
    assert contents(new)["model.safetensors"] == contents(back)["model.safetensors"]


def test_a_model_that_cannot_be_written_leaves_nothing(made, tmp_path, monkeypatch):
    def full(self, edit, folder):
        (folder / "config.json").write_text("{}")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(VLM, "save_with", full)
    assert refused("merge", made.folder, "--out", tmp_path / "new") == (
        f"cannot write {tmp_path / 'new'}: No space left on device; make some room, then give the same command again"
    )
    assert not list(tmp_path.iterdir())


def test_undo_says_how(made, tmp_path):
    edit = made.folder / "edit"
    done = unsee("undo", made.folder)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"The edit is the folder {edit}; the model pocket itself was never changed.\n"
        "Load the model without that adapter, or delete the folder, and everything is as before.\n"
        f"If it was merged into a copy of the model: unsee undo {made.folder} --merged MODEL --out FOLDER\n"
    )
    record = json.loads(unsee("undo", made.folder, "--json").out)
    assert record == {"edit": str(edit), "model": "pocket", "merged": None}
    said = f"--out is '{tmp_path / 'new'}', but there is nothing to write without --merged MODEL; add it"
    assert refused("undo", made.folder, "--out", tmp_path / "new") == said
    said = "--out is missing; name a new folder for the model without the edit"
    assert refused("undo", made.folder, "--merged", "pocket") == said
    said = f"there is no run in {tmp_path}; name the folder that `unsee forget --out` wrote"
    for arguments in (("undo", tmp_path), ("score", tmp_path), ("merge", tmp_path, "--out", tmp_path / "new")):
        assert refused(*arguments) == said


def test_the_demo(tmp_path, trained):
    done = unsee("demo", "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["concept"] == "Pledu Lotaim"
    assert record["scores"].keys() == set(flow.CONDITIONS)
    assert trained == [siu.Config()]
    assert (tmp_path / "run" / "picture-0.png").is_file()
    assert "does not recognise 'Trilu Brukrait'" in refused(
        "demo", "--name", "Trilu Brukrait", "--out", tmp_path / "run", "--json", code=3
    )
    assert (tmp_path / "run" / "complete.json").is_file()


# --- Audits ----------------------------------------------------------------------------------------------------------


def test_an_audit_tells_how_much_the_weights_changed(copy):
    done = unsee("audit", copy, "--only", "delta_norm", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)["delta_norm"]["after"]
    edit = Edit.load(copy / "edit")
    assert found["delta_norm"]["value"] == pytest.approx(math.hypot(*edit.norms().values()))
    assert found["delta_norm"]["n"] == len(edit.norms())
    assert 0 < found["delta_norm: share"]["value"] < 1
    assert len(found) == 2 + 3
    plain = unsee("audit", copy, "--only", "delta_norm")
    assert re.search(r"^delta_norm: share +0\.\d", plain.out, re.MULTILINE)
    assert unsee("audit", copy, "--only", "delta_nrm").err.startswith("unsee: no audit named 'delta_nrm'; did you")
    file = copy / "attacks" / "audits.json"
    runs.read(copy)
    kept = json.loads(file.read_text())
    assert kept["delta_norm"]["after"] == found, "the run keeps it, and is whole all the same"
    file.write_text(json.dumps({"mine": {}, **kept}))
    unsee("audit", copy, "--only", "delta_norm")
    assert json.loads(file.read_text()) == {"mine": {}, **kept}, "beside what others found"
    shutil.rmtree(copy / "edit")
    gone = unsee("audit", copy)
    assert gone.code == 2
    assert "edit" in gone.err
    # Twice as strong an edit is twice as far away.
    from unsee.audits import delta_norm

    vlm = VLM.load("pocket")
    once, twice = (delta_norm.measure(vlm, some, (), delta_norm.Config()) for some in (edit, edit.scaled(2)))
    assert twice["delta_norm: share"].value == pytest.approx(2 * once["delta_norm: share"].value)
    strange = Edit(deltas={"nowhere.weight": torch.ones(2, 2)})
    with pytest.raises(ValueError, match=r"changes nowhere\.weight, which .* does not have"):
        delta_norm.measure(vlm, strange, (), delta_norm.Config())
