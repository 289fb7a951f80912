"""The catalogue: every feature's name, unit, theme and origin, and the sentence that sales reads.

Each theme's entries stand in the module that builds its columns.
"""

from __future__ import annotations

import calendar
from typing import Protocol

from features import account_history, engagement, firmographics, lead_source, sales_activity, timing, wording
from features.feature import THEMES, Feature
from features.spec import FeatureSpec

__all__ = ["THEMES", "Feature", "entries", "example", "sentence"]


def entries(spec: FeatureSpec) -> list[Feature]:
    """Give one entry for each column of the feature matrix, in the matrix's order.

    Parameters
    ----------
    spec : FeatureSpec
    """
    parts = (firmographics, lead_source, engagement, sales_activity, account_history, timing)
    return [feature for part in parts for feature in part.entries(spec)]


class Formats(Protocol):
    """How numbers are written wherever people read them: `pipeline.common.formatting`, handed in."""

    def money(self, value: float, currency: str) -> str: ...
    def money_short(self, value: float, currency: str) -> str: ...
    def number(self, value: float) -> str: ...
    def days(self, value: float) -> str: ...
    def count(self, value: float, one: str, many: str) -> str: ...


def sentence(
    feature: Feature, value: float | str | None, favourable: bool, formats: Formats, currency: str = ""
) -> str:
    """Say in sales' own words what a feature tells of a lead.

    Parameters
    ----------
    feature : Feature
    value : float, str or None
        As in the matrix; None and NaN are unknown.
    favourable : bool
        Whether it speaks for the lead.
    formats : Formats
    currency : str
        ISO 4217 code of amounts; plain numbers without.
    """
    if value is None or value != value or value == "":
        return feature.unknown
    against = bool(feature.against) and not favourable
    if isinstance(value, str):
        return (feature.against if against else feature.text).format(value=_word(feature, value))
    value = float(value)
    if feature.none and round(value, 3) == 0:
        return feature.none
    template = feature.text
    if feature.low and value < feature.low_below:
        template = feature.low
    elif against and (feature.unit != "days" or value >= 1):
        template = feature.against
    return template.format(
        value=_with_unit(feature.unit, value, formats, currency),
        times=wording.times(value),
        count=_counted(value, feature.noun or "time", feature.plural, formats),
    )


def _word(feature: Feature, value: str) -> str:
    if feature.name.endswith("country"):
        return wording.country(value)
    plain = wording.readable_value(value)
    if feature.name in wording.VALUE_WORDS:  # they open the sentence
        return wording.VALUE_WORDS[feature.name].get(value) or plain[:1].upper() + plain[1:]
    return plain


def _counted(value: float, noun: str, plural: str, formats: Formats) -> str:
    return formats.count(value, noun, plural or f"{noun}s")


def _with_unit(unit: str, value: float, formats: Formats, currency: str) -> str:
    if unit == "money" and currency:
        return formats.money_short(value, currency) if abs(value) >= 999_500 else formats.money(value, currency)
    if unit == "days":
        return formats.days(abs(value))
    if unit == "years":
        return _counted(value, "year", "", formats)
    if unit == "share":
        return "All" if value == 1 else f"{value:.0%}"
    if unit == "weekday":
        return calendar.day_name[round(value) % 7]
    if unit == "month":
        return calendar.month_name[(round(value) - 1) % 12 + 1]
    if unit == "rank":
        return ("unknown", "junior", "staff", "manager", "director", "top management")[min(max(round(value), 0), 5)]
    if unit == "ratio":
        return wording.compared(value)
    return formats.number(value)


def example(feature: Feature) -> str:
    """Give the sentence that sales reads with … in the place of the value."""
    nouns = feature.plural or f"{feature.noun or 'time'}s"
    return feature.text.format(value="…", times="… times", count=f"… {nouns}")
