"""Folders for temporary data that are gone when their process is, however it ended."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

PREFIX = "leadrev-"
ALIVE = ".alive"
UNMARKED_SECONDS = 24 * 3600


class ScratchFolder(tempfile.TemporaryDirectory):
    """A temporary folder, removed at the end of its use or of its process.

    A process that is killed leaves it behind: whoever makes the next one removes those whose process is dead. Alive is
    who holds the lock of the file ``.alive`` in it, which the system takes back from the dead.
    """

    def __init__(self) -> None:
        remove_dead()
        super().__init__(prefix=PREFIX, ignore_cleanup_errors=True)
        self._alive = os.open(Path(self.name) / ALIVE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._alive, fcntl.LOCK_EX)


def remove_dead() -> None:
    """Remove temporary folders that are ours and whose process is dead; nobody else's, and no link is followed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            try:
                alive = os.open(path / ALIVE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:  # just being made, unless it is old
                if time.time() - found.st_mtime > UNMARKED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(alive)
        except OSError:  # somebody holds it, or was faster
            continue
