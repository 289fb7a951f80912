"""What logs and messages may say: no mail address, no phone number, and of an error with the data only its place."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

MAIL = re.compile(r"[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
PHONE = re.compile(r"\+\d[\d\s()/.-]{6,}\d|(?<!\d)\(?0\d+[\s/)][\d\s()/.-]{4,}\d")
MASK = "•••"


def masked(text: str) -> str:
    """Give a text with mail addresses and phone numbers made unreadable.

    Examples
    --------
    >>> masked("row 7: 'alma.costa@example.com' is no date, ask +49 30 648543")
    "row 7: '•••' is no date, ask •••"
    """
    return PHONE.sub(MASK, MAIL.sub(MASK, text))


def outline(text: str) -> str:
    """Give what a value looks like, with words that may be names made unreadable: those that begin with a capital.

    Examples
    --------
    >>> outline("31.02.2024 Anna Kaya"), outline("soon")
    ('31.02.2024 xxxx xxxx', 'soon')
    """
    words = re.compile(r"[^\W\d_]+")
    return words.sub(lambda word: word[0] if word[0].islower() else "x" * len(word[0]), masked(text))


def place_of(error: BaseException) -> str:
    """Say of an error its kind and where it happened; its words may hold the data."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return f"{type(error).__name__} at {' > '.join(f'{Path(frame.filename).name}:{frame.lineno}' for frame in frames)}"
