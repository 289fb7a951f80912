"""Currencies by the signs and names that people write."""

from __future__ import annotations

from functools import cache

DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD", "MXN", "SGD", "HKD", "CLP", "COP", "ARS", "TWD"})
CROWNS = frozenset({"SEK", "NOK", "DKK", "ISK"})
YENS = frozenset({"JPY", "CNY"})
SIGNS = {
    "us$": "USD", "mx$": "MXN", "mex$": "MXN", "a$": "AUD", "au$": "AUD", "ca$": "CAD", "c$": "CAD", "can$": "CAD",
    "nz$": "NZD", "hk$": "HKD", "s$": "SGD", "sg$": "SGD", "nt$": "TWD", "r$": "BRL", "€": "EUR", "£": "GBP",
    "₹": "INR", "rs": "INR", "rs.": "INR", "₺": "TRY", "tl": "TRY", "₽": "RUB", "₩": "KRW", "₴": "UAH", "₪": "ILS",
    "₫": "VND", "฿": "THB", "₱": "PHP", "₦": "NGN", "zł": "PLN", "kč": "CZK", "ft": "HUF", "lei": "RON", "лв": "BGN",
    "лв.": "BGN", "fr.": "CHF", "sfr.": "CHF", "fr": "CHF", "cn¥": "CNY", "jp¥": "JPY", "元": "CNY", "円": "JPY",
    "euro": "EUR", "euros": "EUR", "dollar": "USD", "dollars": "USD",
}  # fmt: skip
NAME_LOCALES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl")


@cache
def codes() -> frozenset[str]:
    """Give the ISO 4217 codes that CLDR knows."""
    from babel import Locale

    return frozenset(code for code in map(str, Locale("en").currencies) if len(code) == 3)


def signs(company: str) -> dict[str, str]:
    """Give the currency by its sign or code in small letters, as an amount may have beside it.

    A sign of several currencies (``$``, ``kr``, ``¥``) is the company's own where that is one of them; else a dollar is
    the American one, a yen the Japanese one, and a crown nobody's.
    """
    found = {code.lower(): code for code in sorted(codes())} | SIGNS
    found["$"] = company if company in DOLLARS else "USD"
    found["¥"] = company if company in YENS else "JPY"
    if company in CROWNS:
        found |= {"kr": company, "kr.": company}
    return found


@cache
def _names() -> dict[str, str]:
    from babel import Locale
    from babel.numbers import get_currency_name

    found: dict[str, str] = {}
    for language in NAME_LOCALES:
        locale = Locale(language)
        for code in sorted(codes()):
            for count in (None, 1, 2):
                found.setdefault(get_currency_name(code, count, locale).lower(), code)
    return found


def named_currency(word: str, company: str) -> str | None:
    """Give the code of a currency by its name in words (``US Dollar``) or its sign; None where nothing knows it."""
    text = word.strip().lower()
    if len(text) == 3 and text.upper() in codes():
        return text.upper()
    if text in ("$", "€", "£", "¥", "₹", "zł", "r$"):
        return signs(company)[text]
    names = _names()
    inside = text.rpartition("(")[2].rstrip(")").strip()  # "Euro (EUR)"
    if inside and len(inside) == 3 and inside.upper() in codes():
        return inside.upper()
    plain = text.replace(".", "").replace("us dollars", "us dollar").replace("united states dollar", "us dollar")
    return names.get(text) or names.get(plain) or {"euro": "EUR", "pound sterling": "GBP"}.get(plain)
