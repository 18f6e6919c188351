"""What is freed is kept for what comes next, and is not counted as taken."""

import json
import os
import platform
import subprocess
import sys

import pytest

from unsee import allocator

TOLD = """
import json, resource, sys, torch
from unsee import allocator, memory
kept = sys.argv[1] == "keeps" and allocator.keep_freed()
def ask():
    for _ in range(8):
        torch.ones(12_000_000)
free = memory.free(torch.device("cpu"))
ask()
after = memory.free(torch.device("cpu"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
ask()
print(json.dumps([kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, free - after, allocator.kept()]))
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def told(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", TOLD, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return json.loads(done.stdout)


@glibc
@pytest.mark.parametrize(("how", "most", "least"), [("keeps", 100, 0), ("gives back", 1 << 30, 10_000)])
def test_what_is_freed_is_kept_for_what_comes_next(how, most, least):
    """Blocks of 48 MB, one after the other: pages are asked of the system once, or each time."""
    kept, faults, _, _ = told(how)
    assert kept == (how == "keeps")
    assert least <= faults <= most


@glibc
def test_what_is_kept_can_still_be_taken():
    """48 MB at least are held for nothing; what counts as free has not shrunk by them (other processes come and go)."""
    kept, _, less, held = told("keeps")
    assert kept
    assert held > 40e6
    assert less < 40e6


@glibc
def test_whoever_set_up_the_allocator_is_not_overruled():
    assert told("keeps", MALLOC_ARENA_MAX="2")[0] is False


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not allocator.keep_freed()
    assert allocator.kept() == 0
