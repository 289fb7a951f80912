"""What logs may say: no mail address."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+\.\w+")


def masked(text: str) -> str:
    """Take the mail addresses out of a text.

    Examples
    --------
    >>> masked("row 7: 'alma.costa@example.com' is no date")
    "row 7: '…@…' is no date"
    """
    return _ADDRESS.sub("…@…", text)
