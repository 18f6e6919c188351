"""The folder is the registry, and a typo is answered with the near miss."""

import subprocess
import sys
import types
from importlib.metadata import EntryPoint

import pytest

from unsee import plugins


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A registry of its own with two methods, of which importing one is an error, and a private helper."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "grad_diff.py").write_text("raise RuntimeError('listing imported me')")
    (tmp_path / "methods" / "siu.py").write_text("")
    (tmp_path / "methods" / "_shared.py").write_text("")
    (tmp_path / "methods" / "notes.txt").write_text("")
    monkeypatch.setattr(plugins, "_ROOT", tmp_path)
    points: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "_entry_points", lambda kind: tuple(points) if kind == "methods" else ())
    plugins._built_in.cache_clear()
    yield points
    plugins._built_in.cache_clear()


def test_listing_reads_the_folder_and_imports_nothing(folder):
    assert plugins.names("methods") == ["grad_diff", "siu"]
    assert plugins.names("attacks") == []


def test_a_typo_names_the_near_miss(folder):
    with pytest.raises(LookupError) as error:
        plugins.load("methods", "grad_dif")
    assert str(error.value) == "no method named 'grad_dif'; did you mean 'grad_diff'?"


def test_what_resembles_nothing_is_answered_with_all_there_is(folder):
    with pytest.raises(LookupError, match="no method named 'zzz'; there are: grad_diff, siu"):
        plugins.load("methods", "zzz")
    with pytest.raises(LookupError, match="no attack named 'zzz'; there are none yet"):
        plugins.load("attacks", "zzz")


@pytest.mark.parametrize("call", [plugins.names, lambda kind: plugins.load(kind, "siu")])
def test_an_unknown_kind_names_the_near_miss(call):
    with pytest.raises(LookupError, match=r"no kind of plug-in named 'method'; did you mean 'methods'\?"):
        call("method")


def test_another_package_adds_a_method(folder):
    folder.append(EntryPoint("mine", "types:SimpleNamespace", "unsee.methods"))
    assert plugins.names("methods") == ["grad_diff", "mine", "siu"]
    with pytest.raises(TypeError, match=r"the method 'mine' .* lacks Config, NEEDS, unlearn; every method defines"):
        plugins.load("methods", "mine")


def test_two_packages_cannot_offer_one_name(folder):
    folder.append(EntryPoint("mine", "types:SimpleNamespace", "unsee.methods"))
    folder.append(EntryPoint("mine", "types:ModuleType", "unsee.methods"))
    with pytest.raises(LookupError, match="2 packages offer the method 'mine'"):
        plugins.load("methods", "mine")


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_plugin_keeps_the_contract_of_its_kind(kind):
    for name in plugins.names(kind):
        assert plugins.load(kind, name).__doc__, f"{kind}/{name}.py says nothing about itself"


def test_listing_every_kind_imports_nothing_heavy():
    code = "import sys; from unsee import plugins; [plugins.names(k) for k in plugins.KINDS]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "transformers", "peft", "PIL"} & set(loaded)


def test_a_public_name_loads_on_first_use():
    code = "import sys, unsee; assert 'torch' not in sys.modules; print(unsee.Estimate.nothing()); unsee.nonsense"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "not measured"
    assert "module 'unsee' has no attribute 'nonsense'; it offers VLM" in done.stderr


def test_what_a_plug_in_is_stands_in_its_first_line(monkeypatch):
    before = set(sys.modules)
    assert plugins.about("attacks", "relearn").startswith("Relearning: a few pictures of the concept")
    assert all(plugins.about(kind, name).endswith((".", "?")) for kind in plugins.KINDS for name in plugins.names(kind))
    assert set(sys.modules) == before, "nothing of this package is imported for it"
    mine = types.SimpleNamespace(__doc__="Mine: it does.\n\nMore.", Config=1, NEEDS=(), unlearn=1)
    point = types.SimpleNamespace(name="mine", value="mine:plugin", load=lambda: mine)
    monkeypatch.setattr(plugins, "_entry_points", lambda kind: (point,))
    assert plugins.about("methods", "mine") == "Mine: it does."
    with pytest.raises(LookupError, match="did you mean 'relearn'"):
        plugins.about("attacks", "relern")
