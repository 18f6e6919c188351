"""What is freed is kept for what comes next, and is not counted as taken."""

import json
import os
import platform
import subprocess
import sys

import pytest

from unsee import allocator

TOLD = """
import json, psutil, resource, sys, torch, types
from unsee import allocator, memory
psutil.virtual_memory = lambda: types.SimpleNamespace(available=0)  # what others take meanwhile does not count
kept = sys.argv[1] == "keeps" and allocator.keep_freed()
def ask():
    for _ in range(8):
        torch.ones(12_000_000)
ask()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
ask()
print(json.dumps([kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, memory.free(torch.device("cpu"))]))
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def told(*arguments, **environment):
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run(
        [sys.executable, "-c", TOLD, *arguments], capture_output=True, text=True, check=True, env=ours | environment
    )
    return json.loads(done.stdout)


@glibc
@pytest.mark.parametrize(("how", "most", "least"), [("keeps", 100, 0), ("gives back", 1 << 30, 10_000)])
def test_what_is_freed_is_kept_for_what_comes_next(how, most, least):
    """Blocks of 48 MB, one after the other: pages are asked of the system once, or each time."""
    kept, faults, _ = told(how)
    assert kept == (how == "keeps")
    assert least <= faults <= most


@glibc
def test_what_is_kept_can_still_be_taken():
    """48 MB at least are held for nothing, and count as free where the system has nothing left."""
    kept, _, free = told("keeps")
    assert kept
    assert free > 40e6


@glibc
def test_whoever_set_up_the_allocator_is_not_overruled():
    assert told("keeps", MALLOC_ARENA_MAX="2")[0] is False


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not allocator.keep_freed()
    assert allocator.kept() == 0
