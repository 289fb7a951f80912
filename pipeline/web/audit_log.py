"""Who logged in, was refused, took leads along, or answered: one line each, kept and rotated, without any secret."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import threading
import time
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

FILE = "access_log.jsonl"
FILE_BYTES = 5_000_000
FILES_KEPT = 20
REFUSALS_A_MINUTE = 60


class AuditLog:
    """Appends JSON lines ``{at, what, who, address, …}`` to ``access_log.jsonl``, readable by its owner alone.

    A full file is renamed to ``access_log.jsonl.1`` and so on; the last 20 are kept. Refusals cost whoever makes them
    nothing, so at most 60 of them are written a minute; a line says how many were not.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path):
        self._handler = _Rotated(
            folder / FILE, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", delay=True
        )
        self._handler.setFormatter(logging.Formatter("%(message)s"))
        self._counting = threading.Lock()
        self._minute, self._refusals = 0, 0

    def record(self, what: str, who: str | None, address: str, **detail: Any) -> None:
        """Write a line.

        Parameters
        ----------
        what : str
            ``log-in``, ``log-out``, ``refused``, ``export`` or ``answer``.
        who : str or None
            A person's name; None for somebody unknown.
        address : str
            Where the request came from.
        **detail
            What else to say: never a token, a key or what somebody searched for.
        """
        if what == "refused" and not self._counts_refusal():
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"at": at, "what": what, "who": who, "address": address, **detail}, ensure_ascii=False)
        self._handler.handle(logging.makeLogRecord({"msg": "%s", "args": (line,)}))

    def _counts_refusal(self) -> bool:
        with self._counting:
            minute = int(time.monotonic() // 60)
            left_out = 0
            if minute != self._minute:
                left_out = self._refusals - REFUSALS_A_MINUTE
                self._minute, self._refusals = minute, 0
            self._refusals += 1
            written = self._refusals <= REFUSALS_A_MINUTE
        if left_out > 0:
            self.record("refusals not written", None, "", count=left_out)
        return written


class _Rotated(logging.handlers.RotatingFileHandler):
    """A rotated file that only its owner reads, and that no link leads elsewhere."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8")
