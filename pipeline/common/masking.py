"""What logs and messages may say: no password, no mail address, no phone number, and of an error only its place."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

# Every repetition is bounded, so that a long text of strange signs takes no longer than any other.
MAIL = re.compile(r"[\w.+%-]{1,80}(?:@|%40)[\w-]{1,80}(?:\.[\w-]{1,80}){1,8}", re.IGNORECASE)
PHONE = re.compile(r"\+\d[\d\s()/.-]{6,40}\d|(?<!\d)\(?0\d{1,12}[\s/)][\d\s()/.-]{4,40}\d")
MASK = "•••"
_WORD = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|api_?key|access_?key)"
# user:password@, where the password may itself hold / : @ ? and #; the last @ before a blank or a quote ends it.
_USER_PASSWORD = re.compile(r"(://[^/@:\s'\"]{0,200}):[^\s'\"]{0,2000}@")
_NAMED = re.compile(
    rf"""(?P<name>\b[\w.-]{{0,40}}{_WORD}\w{{0,20}}["']?\s?[=:]\s?)(?P<value>"[^"]{{1,500}}"|'[^']{{1,500}}'|[^\s&;,'"]{{1,500}})""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)\s{1,9}[\w.~+/=-]{8,2000}", re.IGNORECASE)


def without_password(text: str) -> str:
    """Give an address, or a text with addresses in it, as it may be shown: the user stays, passwords and tokens go.

    Examples
    --------
    >>> without_password("postgresql://ann:se/cret@crm.example/sales?sslpassword=x&port=5432")
    'postgresql://ann:***@crm.example/sales?sslpassword=***&port=5432'
    """
    text = _USER_PASSWORD.sub(r"\1:***@", text)
    return _BEARER.sub(r"\1 ***", _NAMED.sub(r"\g<name>***", text))


def masked(text: str) -> str:
    """Give a text with passwords, mail addresses and phone numbers made unreadable.

    Examples
    --------
    >>> masked("row 7: 'alma.costa@example.com' is no date, ask +49 30 648543")
    "row 7: '•••' is no date, ask •••"
    """
    return PHONE.sub(MASK, MAIL.sub(MASK, without_password(text)))


def outline(text: str) -> str:
    """Give what a value looks like, with words that may be names made unreadable: those that begin with a capital.

    Examples
    --------
    >>> outline("31.02.2024 Anna Kaya"), outline("soon")
    ('31.02.2024 xxxx xxxx', 'soon')
    """
    words = re.compile(r"[^\W\d_]+")
    return words.sub(lambda word: word[0] if word[0].islower() else "x" * len(word[0]), masked(text))


def shape(text: str) -> str:
    """Give the shape of a value, never the value: 9 for a digit, A and a for letters, AM and PM as they stand.

    Examples
    --------
    >>> shape("05/23/24 08:55 PM"), shape("1.234,50 kr")
    ('99/99/99 99:99 PM', '9.999,99 aa')
    """
    shown = []
    for word in re.split(r"\b(AM|PM|am|pm)\b", text[:60]):
        keep = word.lower() in ("am", "pm")
        shown.append(word if keep else "".join(_shape_of(sign) for sign in word))
    return "".join(shown) + ("…" if len(text) > 60 else "")


def _shape_of(sign: str) -> str:
    if sign.isdigit():
        return "9"
    if sign.isalpha():
        return "A" if sign.isupper() else "a"
    return sign


def place_of(error: BaseException) -> str:
    """Say of an error its kind and where it happened; its words may hold the data."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return f"{type(error).__name__} at {' > '.join(f'{Path(frame.filename).name}:{frame.lineno}' for frame in frames)}"
