"""Files that several processes may want at once."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}\.(tmp|old|lock)")
"""The names of what a killed process leaves half written, by `write_whole` or `folder_whole`."""


@contextmanager
def locked(folder: Path, message: str) -> Iterator[None]:
    """Hold a folder for this process alone for the length of a `with` block.

    A lock that a killed process left behind does not count.

    Args:
        folder: an existing folder; the lock is on the file `.lock` in it, and ends with the process that holds it.
        message: what to say if another process holds it.

    Raises:
        BlockingIOError: another process of this machine holds the folder.
    """
    try:
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"{message}; wait for it, or stop it first") from None
    try:
        yield
    finally:  # the file stays: whoever removed it might remove one that the next process has locked already
        lock.release()


def write_whole(file: Path, data: bytes) -> None:
    """Write a file that only its owner may read. Whoever reads it, at any time, sees all of the old or all of the new.

    Everything is written to a file beside it, `.name.<hex>.tmp`, and then renamed. A killed process may leave that one.

    Raises:
        OSError: It could not be written, and what was there before is still there; the message names the file.
    """
    fresh = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
    with explained(f"cannot write {file}"):
        try:
            with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as writer:
                writer.write(data)
                writer.flush()
                os.fsync(writer.fileno())
            os.replace(fresh, file)
        finally:
            fresh.unlink(missing_ok=True)
        _settle(file.parent)


@contextmanager
def folder_whole(folder: Path) -> Iterator[Path]:
    """Write a folder. Whoever reads it, at any time, sees all of the old or all of the new, or for a moment none.

    What is to be in it is written, inside the `with`, to a folder beside it, `.name.<hex>.tmp`, and then renamed. A
    killed process may leave that one, and whoever writes the same folder next removes it.

    Args:
        folder: A new folder, or one that is replaced as a whole.

    Yields:
        The folder to write to.

    Raises:
        OSError: It could not be written, and what was there before is still there; the message names the folder.
    """
    fresh = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.tmp"
    old = fresh.with_suffix(".old")
    with explained(f"cannot write {folder}"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
    with explained(f"cannot write {folder}"), _held(fresh):
        try:
            fresh.mkdir()
            yield fresh
            for file in filter(Path.is_file, fresh.rglob("*")):
                with open(file, "rb+") as written:
                    os.fsync(written.fileno())
            _settle(fresh)
            if folder.exists():
                folder.rename(old)  # a folder with files in it cannot be replaced in one step
            try:
                fresh.rename(folder)
            except BaseException:  # Ctrl-C between the two renames must not cost the older one
                if old.exists():
                    old.rename(folder)
                raise
            _settle(folder.parent)
        except SafetensorError as error:
            raise _of_the_system(error) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _held(fresh: Path) -> Iterator[None]:
    """Hold the lock of a folder that is being written, before it is there and until it is gone.

    Raises:
        Timeout: Another process holds it.
    """
    lock = FileLock(fresh.with_suffix(".lock"), timeout=0)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)  # its name is used once, so nobody waits for it


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half written of a folder, but nothing that another still writes."""
    ours = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{32}}\.(tmp|old)")
    for left in [each for each in folder.parent.iterdir() if ours.fullmatch(each.name)]:
        fresh, old = left.with_suffix(".tmp"), left.with_suffix(".old")
        if not left.with_suffix(".lock").exists():
            continue  # nothing tells whether somebody writes it
        if old.exists() and not folder.exists():
            continue  # killed between the two renames: these are all there is of the folder
        with suppress(Timeout), _held(fresh):
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _of_the_system(error: SafetensorError) -> Exception:
    """Return the error of the operating system, such as a full disk, that safetensors only quotes; else the error."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else error


@contextmanager
def explained(what: str, remedy: str = "mend its permissions, or choose another place") -> Iterator[None]:
    """Say in one line what could not be done, and what to do, where the operating system refuses inside the `with`.

    The kind of error and its number stay. Errors in our own words, which come without those of the system, pass.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None:
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "make some room, then give the same command again"
        retold = type(error)(f"{what}: {error.strerror}; {remedy}")
        retold.errno = error.errno
        raise retold from error


def _settle(folder: Path) -> None:
    """Let renames survive a power cut, where the system can promise that."""
    with suppress(OSError):  # Windows cannot open folders, and some network file systems cannot sync them
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
