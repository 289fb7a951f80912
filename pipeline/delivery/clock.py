"""Now, and waiting: what tests put a clock of their own in the place of."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Says what time it is, and waits."""

    def now(self) -> datetime:
        """Say what time it is, UTC without a zone."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's."""

    def now(self) -> datetime:
        """Say what time it is, UTC without a zone."""
        return datetime.now(UTC).replace(tzinfo=None)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
