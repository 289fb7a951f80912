"""What each nightly run did: one run at a time, a folder each, and a line each in ``runs.jsonl``, only ever added to.

The lock is the operating system's and goes with its process; the lock file says whose it is. A run that was killed
wrote no line: whoever takes its lock over writes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable, open_lock, replace_file
from pipeline.common.errors import BusyError

LINES, LOCK, RECORD, LOG = "runs.jsonl", ".lock", "run.json", "log.txt"
COMPLETE, DEGRADED, FAILED = "complete", "degraded", "failed"


@dataclass
class Run:
    """One run.

    Parameters
    ----------
    folder : Path
        Its own; its name is the run's id.
    night : str
        The local date.
    started_at : str
        ISO 8601, UTC.
    taken_over : str, optional
        The id of a run that was killed, whose lock this one took over.
    """

    folder: Path
    night: str
    started_at: str
    taken_over: str | None = None
    state: str = FAILED
    ended_at: str | None = None
    as_of: str | None = None
    model_version: str | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    degraded: list[dict[str, str]] = field(default_factory=list)
    message: str = ""

    @property
    def run_id(self) -> str:
        """Its id."""
        return self.folder.name

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``runs.jsonl`` has it."""
        names = ("run_id", "night", "started_at", "ended_at", "state", "as_of", "model_version", "steps", "degraded")
        return {name: getattr(self, name) for name in names} | {"message": self.message}

    def keep(self) -> None:
        """Write down how far it is, for whoever finds it killed."""
        replace_file(self.folder / RECORD, _line(self.to_dict()))

    def log(self, text: str) -> None:
        """Add a line to its log; the caller sees to it that nothing secret or personal is in it."""
        with open(self.folder / LOG, "a", encoding="utf-8") as file:
            file.write(f"{_now()} {text}\n")


@contextlib.contextmanager
def one_run(folder: Path, night: str) -> Iterator[Run]:
    """Be the one run at work in `folder`, and add its line when it is over, however it ends.

    Parameters
    ----------
    folder : Path
        ``runs/``; made if need be.
    night : str

    Raises
    ------
    BusyError
        If another run is at work; the message names it.
    UserError
        If the folder cannot be written to.
    """
    check_writable(folder)
    with open_lock(folder / LOCK) as lock:
        lock.seek(0)
        holder = _holder(lock.read())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            who = holder.get("run_id", "another run")
            raise BusyError(
                f"{folder}: run {who} (process {holder.get('process', 'unknown')}, since "
                f"{holder.get('started_at', 'a moment ago')}) is at work; nothing was done"
            ) from None
        lock.seek(0)
        holder = _holder(lock.read())  # whoever held it may have ended in between
        started = datetime.now(UTC)
        run_id = new_id(started)
        run = Run(folder / run_id, night, _text(started), holder.get("run_id"))
        if run.taken_over and not any(line.get("run_id") == run.taken_over for line in read_lines(folder)):
            add_line(folder, _killed(folder, holder))
        lock.seek(0)
        lock.truncate()
        lock.write(json.dumps({"run_id": run_id, "process": os.getpid(), "started_at": run.started_at}))
        lock.flush()
        run.folder.mkdir()
        try:
            yield run
        finally:
            run.ended_at = _now()
            try:
                run.keep()
                add_line(folder, run.to_dict())
            finally:
                lock.seek(0)
                lock.truncate()


@contextlib.contextmanager
def no_run(folder: Path) -> Iterator[None]:
    """See to it that no run is at work, and none begins; what a killed one left is for the next run.

    Raises
    ------
    BusyError
        If a run is at work; the message names it.
    """
    if not folder.is_dir():
        yield
        return
    with open_lock(folder / LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            who = _holder(lock.read()).get("run_id", "another run")
            raise BusyError(f"{folder}: run {who} is at work; nothing was done") from None
        yield


def new_id(started: datetime) -> str:
    """Give a run an id that sorts by time and that no other has."""
    return f"{started:%Y-%m-%dT%H-%M-%SZ}-{secrets.token_hex(3)}"


def add_line(folder: Path, content: Mapping[str, Any], name: str = LINES) -> None:
    """Add a line to ``runs.jsonl`` or another such file, on the disk on return; one that a kill cut off stays."""
    with open(folder / name, "ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(_line(content))
        file.flush()
        os.fsync(file.fileno())


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """Give every run that is over, the oldest first; lines cut off are passed over."""
    found = []
    if (folder / LINES).is_file():
        for line in (folder / LINES).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return [line for line in found if isinstance(line, dict)]


def at_work(folder: Path) -> dict[str, Any] | None:
    """Give ``run_id``, ``process`` and ``started_at`` of the run at work, if one is."""
    if not (folder / LOCK).is_file():
        return None
    with open(folder / LOCK, encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _holder(lock.read())
    return None


def forget_before(folder: Path, keep_days: int) -> None:
    """Remove the folders of runs older than so many days; their lines stay."""
    first = f"{datetime.now(UTC) - timedelta(days=keep_days):%Y-%m-%dT%H-%M-%SZ}"
    for path in folder.glob("*Z-*"):
        if path.is_dir() and path.name < first:
            shutil.rmtree(path, ignore_errors=True)


def _killed(folder: Path, holder: Mapping[str, Any]) -> dict[str, Any]:
    """Tell of a run that was killed what it had written down."""
    try:
        found = json.loads((folder / str(holder["run_id"]) / RECORD).read_bytes())
    except (OSError, ValueError):
        found = {"run_id": holder["run_id"], "started_at": holder.get("started_at"), "steps": [], "degraded": []}
    return found | {"state": FAILED, "message": "killed: its process ended without a word"}


def _holder(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _line(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _now() -> str:
    return _text(datetime.now(UTC))
