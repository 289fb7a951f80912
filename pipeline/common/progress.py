"""What a long command is doing, said while it does it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Show a step of long work and how long it took, on standard error.

    A terminal sees a spinner that becomes one line; a log file sees one line when the step is done.
    """
    started = time.perf_counter()
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(what):
            yield
    else:
        yield
    print(f"  {what} ({time.perf_counter() - started:.1f} s)", file=sys.stderr, flush=True)
