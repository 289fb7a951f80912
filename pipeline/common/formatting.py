"""Money, chances, spans of time and dates as a salesperson reads them.

Currencies, dates and plurals are English as Babel (the CLDR) has it. What is unknown is an en dash, never a zero.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.numbers import get_currency_precision, get_currency_symbol

UNKNOWN = "–"
LOCALE = Locale("en")


def known(value: object) -> bool:
    """Whether a figure is there: neither missing nor NaN nor infinite."""
    return isinstance(value, int | float) and math.isfinite(value)


@cache
def currency_prefix(currency: str) -> str:
    """Return what stands before an amount: a symbol, or the code and a space that does not break."""
    symbol = get_currency_symbol(currency.upper(), locale=LOCALE)
    return f"{symbol}\u00a0" if symbol.isalpha() else symbol


@cache
def currency_decimals(currency: str) -> int:
    """Return how many decimals amounts in a currency have: 2, and 0 of yen."""
    return get_currency_precision(currency.upper())


def money(value: float | None, currency: str, *, signed: bool = False, decimals: int | None = None) -> str:
    """Write an amount in full.

    Parameters
    ----------
    value : float or None
        The amount; None and NaN give an en dash.
    currency : str
        ISO 4217 code.
    signed : bool
        Put a plus before what is above zero too, as for a reason's weight.
    decimals : int, optional
        How many; by default the currency's own below 10 and none above, because nobody needs the cents of 4,100.

    Examples
    --------
    >>> money(4100.4, "EUR"), money(-900, "EUR", signed=True), money(3.2, "BRL")
    ('€4,100', '−€900', 'R$3.20')
    """
    if value is None or not known(value):
        return UNKNOWN
    if decimals is None:
        decimals = 0 if abs(value) >= 9.995 or value == 0 else currency_decimals(currency)
    digits = f"{abs(value):,.{decimals}f}"
    zero = float(digits.replace(",", "")) == 0
    sign = "" if zero else "−" if value < 0 else "+" if signed else ""
    return f"{sign}{currency_prefix(currency)}{digits}"


def money_short(value: float | None, currency: str) -> str:
    """Write an amount in three figures, for headlines and axes: €1.24M, €340k.

    Examples
    --------
    >>> money_short(1_238_000, "EUR"), money_short(999_700, "EUR"), money_short(740, "USD")
    ('€1.24M', '€1.00M', '$740')
    """
    if value is None or not known(value):
        return UNKNOWN
    for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        scaled = abs(value) / size
        if scaled >= 0.9995:
            decimals = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            if letter == "k" and scaled >= 9.995:
                decimals = 0
            sign = "−" if value < 0 else ""
            return f"{sign}{currency_prefix(currency)}{scaled:,.{decimals}f}{letter}"
    return money(value, currency)


def percent(share: float | None) -> str:
    """Write a share between 0 and 1 as a percentage that never claims none or all.

    Examples
    --------
    >>> percent(0.412), percent(0.034), percent(0.0004), percent(0.9996), percent(0.0)
    ('41%', '3.4%', 'below 0.1%', 'above 99.9%', '0%')
    """
    if share is None or not known(share):
        return UNKNOWN
    if share in (0, 1):
        return f"{share:.0%}"
    if 0 < share < 0.001:
        return "below 0.1%"
    if 0.999 < share < 1:
        return "above 99.9%"
    return f"{share:.1%}" if abs(share) < 0.0995 or share >= 0.995 else f"{share:.0%}"


def points(value: float | None) -> str:
    """Write percentage points with their sign: +3.4 points."""
    if value is None or not known(value):
        return UNKNOWN
    digits = f"{abs(value):.1f}"
    sign = "" if digits == "0.0" else "+" if value > 0 else "−"
    return f"{sign}{digits} {'point' if digits == '1.0' else 'points'}"


def count(value: float | None, one: str = "", many: str = "") -> str:
    """Write a whole number, and behind it the thing counted in the right number.

    Examples
    --------
    >>> count(1, "lead", "leads"), count(4987, "lead", "leads")
    ('1 lead', '4,987 leads')
    """
    if value is None or not known(value):
        return UNKNOWN
    word = one if LOCALE.plural_form(round(value)) == "one" else many
    return f"{value:,.0f} {word}".rstrip()


def number(value: float | None) -> str:
    """Write a plain number at the precision that a reader takes in.

    Examples
    --------
    >>> number(4321), number(12.5), number(1_240_000)
    ('4,320', '12.5', '1.2 million')
    """
    if value is None or not known(value):
        return UNKNOWN
    if abs(value) >= 999_500:
        return f"{value / 1e6:,.1f} million"
    if abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:,.1f}".removesuffix(".0")


def days(value: float | None) -> str:
    """Write a length of time in the unit that people would say; whole units that have passed, rounded from 60 days on.

    Examples
    --------
    >>> days(0.01), days(0.4), days(1), days(12.9), days(50), days(150), days(800)
    ('less than an hour', '9 hours', '1 day', '12 days', '50 days', '5 months', '2 years')
    """
    if value is None or not known(value):
        return UNKNOWN
    if value < 1 / 24:
        return "less than an hour"
    if value < 1:
        return count(math.floor(value * 24), "hour", "hours")
    if value < 60:
        return count(math.floor(value), "day", "days")
    if value < 700:
        return count(value / 30.44, "month", "months")
    return count(value / 365.25, "year", "years")


def to_instant(value: str | datetime) -> datetime:
    """Read an instant as naive UTC, as tables and files keep it; text with an offset is converted."""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant if instant.tzinfo is None else instant.astimezone(UTC).replace(tzinfo=None)


def local_date(value: str | datetime, timezone: str) -> date:
    """Return the company's calendar day at an instant given in UTC."""
    return to_instant(value).replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).date()


def day(value: date | None) -> str:
    """Write a calendar day so that nobody takes the month for the day: 1 Apr 2018."""
    return UNKNOWN if value is None else _day(value)


@lru_cache(maxsize=4096)
def _day(value: date) -> str:
    return format_date(value, "d MMM y", locale=LOCALE)


def day_near(value: date, today: date) -> str:
    """Write a calendar day beside today's date: without the year where that is today's.

    Examples
    --------
    >>> day_near(date(2026, 5, 13), date(2026, 5, 15)), day_near(date(2025, 11, 28), date(2026, 5, 15))
    ('13 May', '28 Nov 2025')
    """
    return day(value).removesuffix(f" {today.year}")


def instant(value: str | datetime | None, timezone: str = "UTC") -> str:
    """Write an instant given in UTC in the company's time zone: the day, and the time unless it is midnight."""
    if value is None:
        return UNKNOWN
    local = to_instant(value).replace(tzinfo=UTC).astimezone(ZoneInfo(timezone))
    clock = "" if (local.hour, local.minute) in ((0, 0), (23, 59)) else f", {local:%H:%M}"
    return day(local.date()) + clock
