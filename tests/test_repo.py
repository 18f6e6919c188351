"""The repository keeps its own promises: documented commands exist, nothing private is named, the package is whole."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "unsee").rglob("*.py"))
PROSE = ["README.md", "CONTRIBUTING.md", "AGENTS.md", "CHANGELOG.md"]
PROSE += sorted(str(file.relative_to(ROOT)) for file in (ROOT / "docs").rglob("*.md"))
FORBIDDEN_LIBRARIES = ("torchvision", "timm", "open-clip", "open_clip")


def files():
    """Files that git knows or would add; without git, what lies in the folders that are ours."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        found = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        found = [*ROOT.glob("*.*"), *(f for part in ("src", "tests", "docs") for f in (ROOT / part).rglob("*"))]
    return [file for file in found if file.is_file()]


def text_of(file):
    """The text of a file, or nothing where it is a picture or weights."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def project():
    """Quoted requirements in pyproject.toml. Python 3.10 cannot read TOML by itself, and a search is enough here."""
    return (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", PROSE)
def test_every_make_command_in_the_prose_exists(name):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"(?:^|`|\$ )make ([a-z]+)", (ROOT / name).read_text(), re.MULTILINE))
    assert asked <= targets


@pytest.mark.parametrize("name", PROSE)
def test_every_unsee_command_in_the_prose_exists(name):
    from unsee.cli import _COMMANDS

    asked = re.findall(r"(?:`|\$ |-m )unsee ((?:(?:pocket|mmubench|request) )?[a-z]+)", (ROOT / name).read_text())
    assert set(asked) <= set(_COMMANDS)


def commands(text):
    """Whole command lines of unsee in blocks of code; those in running text are often a part of one."""
    from unsee.cli import _spelled_out as spelled_out

    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in re.findall(r"^\$ (.*)$", block.replace("\\\n", " "), re.MULTILINE)]
    lines += re.findall(r"^ {4}(unsee .*)$", text, re.MULTILINE)
    for line in lines:
        words = shlex.split(line, comments=True)
        if "unsee" in words[:3]:  # as it is, or python -m unsee
            yield spelled_out(words[words.index("unsee") + 1 :])


@pytest.mark.parametrize("name", PROSE)
def test_every_unsee_command_line_in_the_prose_can_be_read(name):
    """Its options exist, have values of their kind, and nothing is missing. Nothing is run."""
    from unsee.cli import _app

    for words in commands((ROOT / name).read_text()):
        if words not in ([], ["--help"]):
            _app().parse_args(words, exit_on_error=False, print_error=False)


def test_a_command_line_that_cannot_be_read_is_found():
    from cyclopts import CycloptsError

    from unsee.cli import _app

    text = '```console\n$ unsee forget "A B" --stepz 3   # none such\n$ python -m unsee list\n```\n    unsee bench\n'
    assert list(commands(text)) == [["forget", "A B", "--stepz", "3"], ["list"], ["bench"]]
    with pytest.raises(CycloptsError):
        _app().parse_args(["forget", "A B", "--stepz", "3"], exit_on_error=False, print_error=False)


@pytest.fixture(scope="module")
def options():
    """Command -> its options, those that come from a dataclass included; "" -> all of them."""
    from unsee.cli import _COMMANDS, _app

    told = {}
    for command in _COMMANDS:
        app = _app()
        for word in command.split():
            app = app[word]
        told[command] = {name for argument in app.assemble_argument_collection() for name in argument.names}
    return {"": {"--help"}.union(*told.values()), **{command: {"--help", *names} for command, names in told.items()}}


@pytest.mark.parametrize("name", PROSE)
def test_every_option_named_in_the_prose_exists(name, options):
    """Options that are named by themselves, such as `--most 24`, or behind a command in running text."""
    text = (ROOT / name).read_text()
    others = [line for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE) if not re.search(r"\bunsee\b", line)]
    foreign = set(re.findall(r"(?<!\S)--[a-z-]+", " ".join(others)))  # of another program, whose command line is shown
    for code in re.findall(r"`([^`\n]+)`", text):
        if code.startswith(("unsee ", "--")):
            words = code.removeprefix("unsee ").split()
            command = next((c for c in (" ".join(words[:2]), words[0]) if c in options), "")
            known = options[command] | (set() if command else foreign)
            assert set(re.findall(r"(?<!\S)--[a-z-]+", code)) <= known, code


def test_the_readme_opens_with_its_two_commands():
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:60])
    assert "make demo" in first_screen
    assert "other characters named" in first_screen, "the table that it prints"
    assert "docs/img/demo.png" in first_screen


def test_every_cell_of_the_comparison_says_how_it_was_checked():
    told = (ROOT / "README.md").read_text().partition("## How it compares")[2]
    first, _, *rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("|")]
    assert len(rows) >= 10
    for name, *cells in rows:
        assert len(cells) == len(first), name
        for cell in cells:
            assert re.search(r"\([tcdp](, [tcdp])*\)|\?$", cell), f"{name}: {cell}"


def test_every_link_of_the_prose_leads_somewhere():
    for name in PROSE:
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text()):
            if "://" not in target:
                assert ((ROOT / name).parent / target).exists(), f"{name} links to {target}, which is not there"


def test_no_file_names_the_machine_it_was_made_on():
    # Written in pieces, so that this file does not find itself.
    private = re.compile("|".join(["/" + "work/", "/" + "home/[a-z]", "/" + "root/", "/" + "tmp/", "file:" + "///"]))
    for file in files():
        found = private.search(text_of(file))
        assert not found, f"{file.relative_to(ROOT)} names {found[0]!r}"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_public_module_says_what_it_is_for(file):
    if not file.name.startswith("_") or file.name in ("__init__.py", "__main__.py"):
        assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_every_folder_with_code_is_a_package():
    """A folder without `__init__.py` would be left out of the wheel."""
    for folder in {file.parent for file in SOURCES}:
        assert (folder / "__init__.py").is_file(), f"{folder.relative_to(ROOT)} has no __init__.py"


def test_the_package_carries_the_weights():
    data = re.search(r"\[tool\.setuptools\.package-data\]\nunsee = \[(.*)\]", project())
    assert data
    assert '"pocket/weights/**"' in data[1]
    assert '"py.typed"' in data[1]


def test_the_wheel_holds_the_whole_package_and_nothing_else(tmp_path):
    """Built from a copy, because setuptools leaves its own folders where it works; and offline, with what is here."""
    pytest.importorskip("setuptools", minversion="77")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for weights in (tmp_path / "src").rglob("*.safetensors"):
        weights.write_bytes(b"")  # packing them would take most of the time
    ours = {file.relative_to(tmp_path / "src").as_posix() for file in (tmp_path / "src").rglob("*") if file.is_file()}
    build = "from setuptools.build_meta import build_wheel; build_wheel('made')"
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "made").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    about = {name for name in held if re.match(r"unsee-[^/]+\.dist-info/", name)}
    assert held - about == ours
    for kind in ("py.typed", "pocket/weights/*/model.safetensors", "report/*.html", "report/*.css",
                 "report/*.schema.json", "mmubench/cards/*.yaml"):  # fmt: skip
        assert any(Path(name).match(f"unsee/{kind}") for name in held), kind
    assert {"LICENSE", "entry_points.txt"} <= {Path(name).name for name in about}


def test_the_weights_are_not_ignored():
    ignored = (ROOT / ".gitignore").read_text()
    assert "weights" not in ignored
    assert "safetensors" not in ignored


def test_nothing_asks_for_torchvision():
    for library in FORBIDDEN_LIBRARIES:
        assert not re.search(rf'"{library}[^"]*"', project())
    assert "torchvision==0.0.0" in (ROOT / "constraints.txt").read_text()


def test_the_constraints_name_versions_and_nothing_else():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+(<|==)[0-9.]+", line), line


def test_the_licence_is_apache_2():
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert len(licence) == 11358
