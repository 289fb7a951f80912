"""Results are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipeline.common.errors import DiskFullError, UserError

STAGING_PREFIX = ".staging-"
COMMITTED_PREFIX = ".committed-"
_SEAL_NAME = ".seal"


ROOM_BYTES = 1_000_000
"""Room that a disk must have before work begins: one that is full takes not even that."""


class Staging:
    """A hidden folder beside the result, where files wait until all of them are complete."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where to write the file that will be called `name`."""
        return self.folder / f"{name}.partial"

    def names(self) -> list[str]:
        """Name the files written so far, under their final names."""
        return sorted(path.name.removesuffix(".partial") for path in self.folder.glob("*.partial"))


@contextlib.contextmanager
def written_whole(folder: Path, *, seal: str | None = None) -> Iterator[Staging]:
    """Write several files so that a killed run leaves none of them half written.

    Everything is written into a staging folder inside `folder` (so on the same file system) and flushed to disk. Then
    the staging folder gets another name, by one atomic rename: from then on the result counts as written. Each file is
    moved into place by one more rename, the `seal` taken away first and put back last: while it is there, the files
    around it belong together. A run killed before the first rename leaves the old result; one killed after it leaves
    moves that the next run finishes first (`finish_moves`).

    Parameters
    ----------
    folder : Path
        Where the files end up; made if it is not there. Other files in it are left alone.
    seal : str, optional
        The name of the file that says that the result is whole.

    Yields
    ------
    Staging
        Gives the path to write each file to.

    Raises
    ------
    UserError
        If another process is writing into the same folder, or the folder cannot be written to.
    """
    check_writable(folder)
    with open_lock(folder / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder}: another leadrev run is writing here; wait, or choose another --out") from None
        finish_moves(folder)
        for stale in folder.glob(f"{STAGING_PREFIX}*"):
            shutil.rmtree(stale, ignore_errors=True)
        staging = Staging(Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder)))
        try:
            yield staging
            for name in staging.names():
                staging.path(name).chmod(0o600)  # what is forecast of whom is its owner's to share
                flush(staging.path(name))
            if seal is not None:
                (staging.folder / _SEAL_NAME).write_text(seal, encoding="utf-8")
            flush(staging.folder)
            committed = staging.folder.with_name(staging.folder.name.replace(STAGING_PREFIX, COMMITTED_PREFIX))
            os.replace(staging.folder, committed)
            finish_moves(folder)
        finally:
            shutil.rmtree(staging.folder, ignore_errors=True)


def finish_moves(folder: Path) -> None:
    """Move results into place that a killed run had written whole; nothing happens where there are none.

    For a process that holds the folder's lock, or that nobody writes beside.
    """
    for committed in sorted(folder.glob(f"{COMMITTED_PREFIX}*")):
        seal_path = committed / _SEAL_NAME
        seal = seal_path.read_text(encoding="utf-8") if seal_path.exists() else None
        waiting = Staging(committed)
        names = waiting.names()
        if seal is not None and seal in names:
            (folder / seal).unlink(missing_ok=True)
        for name in sorted(names, key=lambda name: name == seal):
            os.replace(waiting.path(name), folder / name)
        flush(folder)
        shutil.rmtree(committed)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file in one atomic step: after a kill it holds the old content or the new one."""
    waiting = path.with_name(f".{path.name}.partial")
    waiting.unlink(missing_ok=True)
    with open(os.open(waiting, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(waiting, path)
    flush(path.parent)


def open_lock(path: Path) -> IO[str]:
    """Open a file to lock, made if it is not there: no link is followed, and nothing in it is lost.

    Raises
    ------
    UserError
        If something else than a file stands there.
    """
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise UserError(f"{path}: cannot be locked ({error.strerror}); it must be a plain file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: cannot be locked; it must be a plain file")
    return os.fdopen(descriptor, "r+", encoding="utf-8")


def check_writable(folder: Path, remedy: str = "choose another --out") -> None:
    """Make the folder, and see that it takes files and its disk has room for some, before the work starts.

    Parameters
    ----------
    folder : Path
    remedy : str
        What to do where it cannot be written into.

    Raises
    ------
    UserError
        If they cannot; `DiskFullError` where there is no room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * ROOM_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        message = f"{folder}: cannot write there ({error.strerror}); {remedy}"
        raise (DiskFullError if is_full else UserError)(message) from None


def write_whole(folder: Path, files: dict[str, bytes], *, seal: str | None = None) -> None:
    """Write small files, given as their content, as `written_whole` does."""
    with written_whole(folder, seal=seal) as staging:
        for name, content in files.items():
            staging.path(name).write_bytes(content)


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
