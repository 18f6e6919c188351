"""The command line starts fast, speaks clean JSON, and fails in one line."""

import json
import subprocess
import sys
import time
import types

import pytest

from unsee import cli
from unsee.records import Estimate


def run(capsys, *arguments):
    """Run a command in this process; returns exit code, stdout, stderr."""
    code = 0
    try:
        cli.main(arguments)
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def unsee(*arguments):
    return subprocess.run([sys.executable, "-m", "unsee", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["pocket", "--help"], ["pocket", "exam", "--help"]])
def test_help_and_list_import_nothing_heavy(arguments):
    code = f"import sys; from unsee.cli import main; main({arguments!r}); print('|', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "transformers", "PIL"} & set(done.stdout.split("|")[-1].split())


def test_help_takes_a_blink():
    """The best of five, because a busy machine is no fault of ours."""
    took = []
    for _ in range(5):
        start = time.perf_counter()
        assert unsee("--help").returncode == 0
        took.append(time.perf_counter() - start)
    assert min(took) <= 0.3


def test_help_shows_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for command in ("list", "ask", "pocket draw", "pocket build", "pocket exam"):
        assert f"  {command} " in out


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_every_command_takes_json_and_describes_itself(capsys, name):
    code, out, _ = run(capsys, *name.split(), "--help")
    assert code == 0
    assert "--json" in out


def test_list_as_json_is_one_object(capsys):
    code, out, err = run(capsys, "list", "--json")
    assert (code, err) == (0, "")
    assert set(json.loads(out)) == {"methods", "metrics", "benchmarks", "attacks", "audits", "models"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "method"), "unsee: no kind of plug-in named 'method'; did you mean 'methods'?"),
        (("ask", "gone.png", "Who is this?"), "unsee: there is no picture at 'gone.png'; name another file"),
        (("ask", "none", " "), "unsee: the question is empty; ask something"),
        (("pocket", "draw", "--size", "5"), "unsee: --size is 5; give 16 to 2048 pixels"),
        (("pocket", "draw", "--pictures", "0"), "unsee: --pictures is 0; give 1 to 1000"),
        (("pocket", "draw", "--seed", "-1"), "unsee: --seed is -1; give 0 or more"),
        (("pocket", "draw", "--size", "big"), 'unsee: Invalid value for --size: unable to convert "big"'),
        (("pocket", "draw", "--out", "kip.gif"), "unsee: --out is 'kip.gif'; end it in .png, .jpg or .webp"),
        (("pocket", "draw", "--character", "Nobody"), "unsee: no character of the pocket world is called 'Nobody'"),
        (
            ("pocket", "build", "poket"),
            "unsee: no recipe for 'poket'; build pocket, pocket-oracle, or name who is left out",
        ),
        (
            ("pocket", "build", "mine", "--without", "Nobody"),
            "unsee: no character of the pocket world is called 'Nobody'",
        ),
        (("lst",), 'unsee: Unknown command "lst". Did you mean "list"?'),
        (("list", "--jsn"), "unsee: Unknown option: --jsn. Did you mean --json?"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def failing(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError("the disk\nis full"), 2, "unsee: the disk is full\n"),
        (KeyError("home"), 1, "unsee: internal error, KeyError: 'home'; UNSEE_DEBUG=1 shows where\n"),
        (RuntimeError("shapes"), 1, "unsee: internal error, RuntimeError: shapes; UNSEE_DEBUG=1 shows where\n"),
        (KeyboardInterrupt(), 130, "unsee: stopped by Ctrl-C\n"),
    ],
)
def test_no_traceback_whatever_happens(capsys, monkeypatch, error, code, message):
    monkeypatch.setitem(cli._COMMANDS, "fail", failing(error))
    assert run(capsys, "fail") == (code, "", message)


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setitem(cli._COMMANDS, "fail", failing(ValueError("why")))
    monkeypatch.setenv("UNSEE_DEBUG", "1")
    with pytest.raises(ValueError, match="why"):
        cli.main(["fail"])


def test_a_command_ends_quietly_when_its_reader_has_seen_enough():
    done = subprocess.run(
        f"'{sys.executable}' -m unsee list | true", shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_draw_writes_the_pictures_it_names(capsys, tmp_path):
    code, out, _ = run(
        capsys, "pocket", "draw", "--pictures", "2", "--size", "32", "--out", f"{tmp_path}/kip.png", "--json"
    )
    assert code == 0
    record = json.loads(out)
    assert record["files"] == [f"{tmp_path}/kip-000.png", f"{tmp_path}/kip-001.png"]
    assert len(set(record["pictures"])) == 2
    assert all((tmp_path / name).stat().st_size for name in ("kip-000.png", "kip-001.png"))


def test_draw_makes_a_contact_sheet(capsys, tmp_path):
    target = tmp_path / "new" / "sheet.png"
    code, out, _ = run(capsys, "pocket", "draw", "--sheet", "--pictures", "3", "--size", "32", "--out", str(target))
    assert (code, out.strip()) == (0, str(target))
    assert target.stat().st_size


def test_what_libraries_print_stays_off_stdout(capsys, monkeypatch):
    """Under --json there is one object on stdout, whatever the examination prints meanwhile."""
    estimate = Estimate(0.99, 0.97, 1.0, 200)
    row = types.SimpleNamespace(as_dict=lambda: {"section": "naming", "estimate": estimate.as_dict()})

    def chatty(model, *, quick):
        print("loading", model)
        return [row]

    fake = types.SimpleNamespace(exam=chatty, table=lambda rows: "table", markdown=lambda rows: "| markdown |")
    monkeypatch.setitem(sys.modules, "unsee.pocket.exam", fake)
    monkeypatch.setattr("unsee.pocket.exam", fake, raising=False)
    code, out, err = run(capsys, "pocket", "exam", "pocket", "--quick", "--json")
    assert (code, err) == (0, "loading pocket\n")
    assert json.loads(out)["rows"]["pocket"][0]["estimate"] == {"value": 0.99, "low": 0.97, "high": 1.0, "n": 200}
    assert run(capsys, "pocket", "exam", "--markdown")[1] == "| markdown |\n"
