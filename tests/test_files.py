"""Folders that are written whole, and what a killed process leaves of them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import pytest

from unsee.files import folder_whole

_WRITE = """
import sys
from pathlib import Path
from unsee.files import folder_whole

with folder_whole(Path(sys.argv[1])) as fresh:
    (fresh / "weights").write_text("half")
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def writing(folder):
    """Another process is in the middle of writing a folder; it is killed at the end."""
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline()
        yield
    finally:
        child.kill()
        child.communicate(timeout=60)


def hidden(place):
    return {path.name for path in place.iterdir() if path.name.startswith(".")}


def test_what_a_killed_process_left_is_swept_away_and_what_another_writes_is_not(tmp_path):
    target = tmp_path / "model [1]"
    with writing(target):
        held = hidden(tmp_path)
        with writing(target):
            left = hidden(tmp_path) - held
        assert {name.rsplit(".", 1)[1] for name in left} == {"tmp", "lock"}
        assert hidden(tmp_path) == held | left
        with folder_whole(target) as fresh:
            assert not hidden(tmp_path) & left, "at once: it may be as large as a model"
            (fresh / "weights").write_text("whole")
        assert hidden(tmp_path) == held
    assert (target / "weights").read_text() == "whole"
    with folder_whole(target):
        pass
    assert not hidden(tmp_path)


def test_only_what_is_known_to_be_nobodys_goes(tmp_path):
    target, digits = tmp_path / "model", "0" * 32
    others = {f".model.{digits}.tmp", f".other.{digits}.tmp", f".other.{digits}.lock", ".model.tmp", ".model.lock"}
    for name in others:  # the first lacks a lock, so it may be of a version that had none
        (tmp_path / name).mkdir() if name.endswith("tmp") else (tmp_path / name).touch()
    with folder_whole(target):
        pass
    assert hidden(tmp_path) == others


def test_a_folder_between_two_names_is_not_lost(tmp_path):
    """Killed after the older one was renamed and before the newer one was: both are all there is."""
    target, fresh = tmp_path / "edit", tmp_path / f".edit.{'0' * 32}.tmp"
    for path in (fresh, fresh.with_suffix(".old")):
        path.mkdir()
        (path / "weights").write_text("whole")
    fresh.with_suffix(".lock").touch()
    with pytest.raises(KeyError), folder_whole(target):
        raise KeyError
    assert (fresh / "weights").exists() and (fresh.with_suffix(".old") / "weights").exists()
    with folder_whole(target):
        pass
    with folder_whole(target):
        pass
    assert not hidden(tmp_path), "there is a newer one, so they are of no use"
