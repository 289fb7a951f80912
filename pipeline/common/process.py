"""How a command runs as a process: what is written belongs to whoever runs it, and every end is tidy and one line."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from pipeline.common.errors import UserError
from pipeline.common.masking import masked

_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO})


def run_command(command: Callable[[], object], shows_tracebacks: Callable[[], bool]) -> None:
    """Run a command; a user's mistake ends in one line on standard error and exit code 2 (`UserError.exit_code`).

    Parameters
    ----------
    command : callable
    shows_tracebacks : callable
        Asked after a failure: whether the traceback is wanted instead of the line.

    Raises
    ------
    SystemExit
        With the exit code of a command that failed.
    """
    # Queries are trees of many small objects: hunting for cycles every 700 of them takes a third of their time.
    gc.set_threshold(50_000, 20, 20)
    os.umask(0o077)  # what is known of leads is for whoever runs this to share
    _end_tidily()
    try:
        command()
    except UserError as mistake:
        _fail(traceback.format_exc() if shows_tracebacks() else str(mistake), mistake.exit_code)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except Exception as error:
        if shows_tracebacks():
            _fail(traceback.format_exc(), 1)
        if "libgomp" in str(error) or "libomp" in str(error):
            _fail(
                "LightGBM needs the system's OpenMP library, which is missing: install libgomp1 (Debian, Ubuntu), "
                "libgomp (Fedora) or libomp (Homebrew)",
                2,
            )
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            place = f"{error.filename}: " if error.filename else ""
            _fail(f"{place}cannot be written or read ({error.strerror}): make room, or give the right to it", 2)
        _fail(f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]} (--debug shows where)", 1)


def _end_tidily() -> None:
    """Let a request to end (SIGTERM, SIGHUP) end as an interrupt does: what was begun is put away first."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, end)


def _fail(message: str, code: int) -> None:
    print(f"leadrev: {masked(message)}", file=sys.stderr)
    raise SystemExit(code)
