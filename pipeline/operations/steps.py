"""Steps with declared inputs, params and outputs, walked in order; one whose outputs are sealed is not repeated.

A step's key is what decides its outputs: what its inputs came to, and the values of its params. What a step came to is
written down after its outputs are whole, so that a run killed in between repeats the step, and one killed after it does
not. Outputs that were changed or removed since are made again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import duckdb

from pipeline.archive.runs import Run
from pipeline.common.atomic_write import check_writable, replace_file, sha256_of
from pipeline.common.errors import RunFailedError, UserError
from pipeline.common.masking import masked, place_of

DONE, UNCHANGED, FAILED = "done", "unchanged", "failed"


@dataclass(frozen=True)
class Outcome:
    """What a step came to.

    Parameters
    ----------
    message : str
        In a sentence, for people.
    rows : int, optional
        How many rows it wrote or read.
    files : sequence of Path
        Its outputs; their digests are kept.
    facts : mapping
        What later steps and runs need to know of it.
    """

    message: str
    rows: int | None = None
    files: Sequence[Path] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Night(Protocol):
    """What steps work on."""

    folder: Path

    def digest(self, name: str) -> str:
        """Digest of an input that is no step."""

    def param(self, key: str) -> Any:
        """Value of a dotted params key."""

    def adopt(self, step: str, facts: Mapping[str, Any]) -> None:
        """Take note of what a step came to, in this run or an earlier one."""


@dataclass(frozen=True)
class Step:
    """One step of a night.

    Parameters
    ----------
    name : str
    inputs : tuple of str
        Earlier steps, or what the night has a digest of.
    params : tuple of str
        Dotted params keys that decide the outputs.
    outputs : tuple of str
        What it writes, for people: relative to the artifacts folder.
    run : callable
        Takes the night, gives its `Outcome`.
    """

    name: str
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[[Any], Outcome]


class Records:
    """What each step of a night came to, in one small file.

    Parameters
    ----------
    path : Path
    folder : Path
        What the outputs' paths are written relative to: the whole may be moved.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self._found: dict[str, dict[str, Any]] = json.loads(path.read_bytes()) if path.is_file() else {}

    def get(self, step: str) -> dict[str, Any] | None:
        """Give what a step came to: ``key``, ``outputs`` (path to SHA-256), ``message``, ``rows``, ``facts``."""
        return self._found.get(step)

    def digest(self, step: str) -> str | None:
        """Digest of what a step came to, whatever it said of it."""
        found = self.get(step)
        return None if found is None else _digest({"outputs": found["outputs"], "facts": found["facts"]})

    def is_sealed(self, step: str, key: str) -> bool:
        """Whether a step is done with this key, and its outputs are as it left them."""
        found = self.get(step)
        if found is None or found["key"] != key:
            return False
        outputs = {self.folder / name: sha for name, sha in found["outputs"].items()}
        return all(path.is_file() and sha256_of(path) == sha for path, sha in outputs.items())

    def keep(self, step: str, key: str, outcome: Outcome) -> None:
        """Write down what a step came to."""
        self._found[step] = {
            "key": key,
            "outputs": {str(path.relative_to(self.folder)): sha256_of(path) for path in outcome.files},
            "message": outcome.message,
            "rows": outcome.rows,
            "facts": dict(outcome.facts),
        }
        self._write()

    def drop(self, steps: Sequence[str]) -> None:
        """Forget steps, so that they are done again."""
        self._found = {name: found for name, found in self._found.items() if name not in steps}
        self._write()

    def _write(self) -> None:
        check_writable(self.path.parent)
        replace_file(self.path, (json.dumps(self._found, indent=1, sort_keys=True) + "\n").encode())


def key_of(step: Step, night: Night, records: Records) -> str | None:
    """Give the key of a step; None while a step that it builds on has not been done."""
    inputs = {name: records.digest(name) if records.get(name) else night.digest(name) for name in step.inputs}
    if any(digest == "" for digest in inputs.values()):
        return None
    return _digest({"inputs": inputs, "params": {key: night.param(key) for key in step.params}})


def walk(steps: Sequence[Step], night: Night, records: Records, run: Run, say: Callable[[str], None]) -> None:
    """Do the steps in order, each unless its outputs are sealed; the result of each is added to the run.

    Raises
    ------
    RunFailedError
        A step cannot go on: a source is not what it must be, or the disk is full; the message names step and place.
    UserError
        A step found a mistake of the user's.
    """
    for step in steps:
        started = time.perf_counter()
        try:
            state, found = _do(step, night, records)
        except (Exception, KeyboardInterrupt) as error:
            mistake = _as_user_error(step, night, error)
            text = masked(str(mistake)) if isinstance(mistake, UserError) else place_of(error)
            run.steps.append(_line(step.name, FAILED, started, None, text))
            run.message = f"{step.name}: {text}"
            run.log(f"{step.name} failed: {text}")
            if mistake is error:
                raise
            raise mistake from error
        run.steps.append(_line(step.name, state, started, found["rows"], masked(found["message"])))
        run.keep()
        run.log(f"{step.name} {state}: {masked(found['message'])}")
        say(f"{step.name} ({state}, {time.perf_counter() - started:.1f} s): {found['message']}")


def _do(step: Step, night: Night, records: Records) -> tuple[str, dict[str, Any]]:
    key = key_of(step, night, records)
    if key is None:
        missing = next(name for name in step.inputs if not records.get(name) and not night.digest(name))
        raise UserError(f"--only {step.name}: {missing} has not been done tonight; leave --only out")
    state = UNCHANGED
    if not records.is_sealed(step.name, key):
        state = DONE
        records.keep(step.name, key, step.run(night))
    found = records.get(step.name)
    assert found is not None
    night.adopt(step.name, found["facts"])
    return state, found


def _as_user_error(step: Step, night: Night, error: BaseException) -> BaseException:
    """Say it in a user's words: what the machine would not do, with the place; of what nobody foresaw only where.

    The words of such an error may hold the data, and a night's last line lands in a log.
    """
    if isinstance(error, UserError | KeyboardInterrupt):
        return error
    if (fault := machine_fault(error, night.folder, step.name)) is not None:
        return fault
    return RunFailedError(f"{step.name}: unexpected {place_of(error)} (--debug shows more). The last results stay")


def machine_fault(error: BaseException, folder: Path, what: str) -> RunFailedError | None:
    """Say in a user's words that a disk is full or a file cannot be touched; None where it is something else.

    Parameters
    ----------
    error : exception
    folder : Path
        The place, where the error names none.
    what : str
        What was being done.
    """
    if isinstance(error, OSError):  # pyarrow's errors of writing are OSErrors too
        reason, place = error.strerror or str(error), error.filename or folder
    elif isinstance(error, duckdb.OperationalError):
        reason, place = " ".join(str(error).split())[:300], folder
    else:
        return None
    return RunFailedError(
        f"{what}: cannot write or read {place}: {reason}. The last results stay as they are; mend that (make room, "
        "give the right to write) and run `leadrev nightly` again: it goes on where it stopped"
    )


def _line(name: str, state: str, started: float, rows: int | None, message: str) -> dict[str, Any]:
    seconds = round(time.perf_counter() - started, 1)
    return {"name": name, "state": state, "seconds": seconds, "rows": rows, "message": message}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
