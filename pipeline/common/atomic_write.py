"""Results are written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import UserError

STAGING_PREFIX = ".staging-"


class Staging:
    """A hidden folder beside the result, where files wait until all of them are complete."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where to write the file that will be called `name`."""
        return self.folder / f"{name}.partial"

    def names(self) -> list[str]:
        """Name the files written so far, under their final names."""
        return sorted(path.name.removesuffix(".partial") for path in self.folder.iterdir())


@contextlib.contextmanager
def written_whole(folder: Path, *, seal: str | None = None) -> Iterator[Staging]:
    """Write several files so that a killed run leaves none of them half written.

    Everything is written into a staging folder inside `folder` (so on the same file system), flushed to disk, and only
    then moved into place, each file by one atomic rename. The `seal` is taken away first and put back last: while it is
    there, the files around it belong together. What a killed run left behind is removed by the next one.

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
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder}: another leadrev run is writing here; wait, or choose another --out") from None
        for stale in folder.glob(f"{STAGING_PREFIX}*"):
            shutil.rmtree(stale, ignore_errors=True)
        staging = Staging(Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder)))
        try:
            yield staging
            names = staging.names()
            for name in names:
                _flush(staging.path(name))
            if seal is not None:
                (folder / seal).unlink(missing_ok=True)
            for name in sorted(names, key=lambda name: name == seal):
                os.replace(staging.path(name), folder / name)
            _flush(folder)
        finally:
            shutil.rmtree(staging.folder, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Make the folder, and see that files can be written into it, before the work starts.

    Raises
    ------
    UserError
        If they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot write there ({error.strerror}); choose another --out") from None


def write_whole(folder: Path, files: dict[str, bytes], *, seal: str | None = None) -> None:
    """Write small files, given as their content, as `written_whole` does."""
    with written_whole(folder, seal=seal) as staging:
        for name, content in files.items():
            staging.path(name).write_bytes(content)


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
