"""Files that several processes may want at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, message: str) -> Iterator[None]:
    """Hold a folder for this process alone for the length of a `with` block.

    A lock that a killed process left behind does not count.

    Args:
        folder: an existing folder; the lock is the file `.lock` in it, which holds the owner's process id.
        message: what to say if another process holds it; the process id is added.

    Raises:
        BlockingIOError: another process of this machine holds the folder.
    """
    lock = folder / ".lock"
    while True:
        try:
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            owner = _owner(lock)
            if owner and _runs(owner):
                raise BlockingIOError(f"{message} (process {owner}); wait for it, or stop it first") from None
            lock.unlink(missing_ok=True)
    try:
        os.write(handle, str(os.getpid()).encode())
        os.close(handle)
        yield
    finally:
        lock.unlink(missing_ok=True)


def _owner(lock: Path) -> int:
    try:
        return int(lock.read_text() or 0)
    except (OSError, ValueError):
        return 0


def _runs(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
