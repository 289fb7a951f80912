"""Names that people write nearly right: what they may have meant, and what is allowed."""

from __future__ import annotations

import difflib
from typing import Any


def near_miss(word: str, known: Any) -> str:
    """``"; did you mean 'x'?"`` where a known word is close, else a full stop."""
    folded = {str(name).lower(): str(name) for name in known}
    close = difflib.get_close_matches(str(word).lower(), folded, n=1, cutoff=0.6)
    return f"; did you mean '{folded[close[0]]}'?" if close else "."


def check_names(where: str, given: Any, known: Any) -> None:
    """Refuse a name that is none of those known.

    Raises
    ------
    ValueError
        The message names it, the nearest known one, and all that are allowed.
    """
    for name in given:
        if name not in known:
            raise ValueError(f"{where}.{name}: unknown name{near_miss(name, known)} Allowed: {', '.join(known)}")
