"""Names of months in the languages in which companies keep their records, from CLDR."""

from __future__ import annotations

from functools import cache

LOCALES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "ro", "hu", "tr")


@cache
def month_numbers() -> dict[str, str]:
    """Give the number of a month (``02``) by its name, whole or short, in small letters without a full stop.

    A name that means two months in two languages is left out.
    """
    from babel.dates import get_month_names

    found: dict[str, set[int]] = {}
    for locale in LOCALES:
        for width in ("wide", "abbreviated"):
            for context in ("format", "stand-alone"):
                for number, name in get_month_names(width, context, locale).items():
                    word = name.lower().strip(". ")
                    if len(word) >= 3 and word.isalpha():
                        found.setdefault(word, set()).add(number)
    found.setdefault("sept", {9})
    found.setdefault("mrz", {3})
    return {word: f"{min(numbers):02d}" for word, numbers in sorted(found.items()) if len(numbers) == 1}
