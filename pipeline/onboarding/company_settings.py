"""What holds for the company as a whole, as far as its tables tell: its currency and its time zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from babel import UnknownLocaleError
from babel.core import Locale, get_global
from babel.numbers import list_currencies

from pipeline.onboarding.draft import Doubt, Draft, SourceDraft, money_of
from pipeline.onboarding.recognise import Match

LEAST_SHARE = 0.5


def settle_currency(draft: Draft) -> None:
    """Take the currency that most of the deals' revenue is written in; in place."""
    for source in draft.of("deals"):
        column = source.column("currency")
        counts = Counter(
            {code: n for word, n in source.profile.words(column).items() if (code := _code(word))} if column else {}
        )
        if counts:
            code, n = counts.most_common(1)[0]
            total = sum(counts.values())
            draft.settings["currency"] = (code, f"{column} of {n:,} of {total:,} deals")
            _name_currencies(draft)
            if n < total:
                others = ", ".join(f"{other} ({count:,})" for other, count in counts.most_common()[1:5])
                where = f"{source.profile.text(column or '')} <> '{code}'"
                money = money_of(source.profile, source.column("amount"), where)
                text = f"deals in {others} have no amount in {code} until there is a table of rates"
                draft.doubts.append(Doubt("currency", text, money))
            return
    draft.settings["currency"] = ("EUR", "no column says which")
    amounts = [
        money_of(source.profile, source.column("amount"), source.reading.get("won", "true"))
        for source in draft.of("deals")
    ]
    money = max((amount for amount in amounts if amount is not None), default=None)
    draft.doubts.append(Doubt("currency", "no column says in which currency amounts are", money))


def _name_currencies(draft: Draft) -> None:
    """Read currencies that are written by name, such as Euro, as their codes."""
    for source in draft.of("deals"):
        column = source.column("currency")
        names: dict[str, list[str]] = {}
        for word in source.profile.words(column) if column else ():
            if (code := _code(word)) and word.upper() != code:
                names.setdefault(code, []).append(word)
        if names:
            source.values["currency"] = names


def _code(word: str) -> str | None:
    """Give a currency's code, from the code itself or an English name."""
    text = word.strip()
    if len(text) == 3 and text.upper() in list_currencies():
        return text.upper()
    names = Locale("en").currencies
    return next((code for code, name in names.items() if name.lower() == text.lower()), None)


def settle_time_zone(draft: Draft, matches: Sequence[Match]) -> None:
    """Take the zone that users' own settings name, else that of the country where most companies are; in place."""
    for match in matches:
        column = match.find(match.record.time_zone)
        zones = Counter(
            {zone: n for zone, n in match.profile.words(column).items() if zone in available_timezones()}
            if column
            else {}
        )
        if zones:
            zone, n = zones.most_common(1)[0]
            draft.settings["data.timezone"] = (zone, f"{column} of {n:,} rows of {match.profile.label}")
            return
    zone, why = _zone_of_country(draft.sources)
    draft.settings["data.timezone"] = (zone, why)
    draft.doubts.append(
        Doubt(
            "data.timezone",
            f"no column says which; {why}. It decides on which day a deal is closed, and so in which month",
        )
    )


def _zone_of_country(sources: Sequence[SourceDraft]) -> tuple[str, str]:
    for source in sorted(sources, key=lambda source: source.table != "accounts"):
        candidates = [source.column("country"), *(n for n in source.profile.columns if "country" in n.lower())]
        column = next((name for name in candidates if name), None)
        counts = Counter(
            {code: n for word, n in source.profile.words(column).items() if (code := _territory(word))}
            if column
            else {}
        )
        if not counts:
            continue
        by_time: Counter[tuple] = Counter()
        for code, n in counts.items():
            by_time[_offsets(code)] += n
        offsets, n = by_time.most_common(1)[0]
        share = n / sum(counts.values())
        if offsets and share >= LEAST_SHARE:
            code = next(code for code, _ in counts.most_common() if _offsets(code) == offsets)
            zone = get_global("territory_zones")[code][0]
            return zone, f"{share:.0%} of the companies in {source.profile.label} are in countries of its time"
    return "UTC", "UTC is assumed"


def _offsets(code: str) -> tuple:
    """Give a country's times in winter and summer as they differ from UTC; empty where it has several."""
    zones = [ZoneInfo(zone) for zone in get_global("territory_zones").get(code, [])]
    found = {tuple(zone.utcoffset(datetime(2024, month, 15)) for month in (1, 7)) for zone in zones}
    return found.pop() if len(found) == 1 else ()


def _territory(word: str) -> str | None:
    """Give a country's code, from the code itself or its name in a few languages."""
    text = word.strip()
    territories = Locale("en").territories
    if len(text) == 2 and text.upper() in territories:
        return text.upper()
    for language in ("en", "de", "fr", "es", "pt", "it", "nl"):
        try:
            names = Locale(language).territories
        except UnknownLocaleError:
            continue
        found = next((code for code, name in names.items() if len(code) == 2 and name.lower() == text.lower()), None)
        if found:
            return found
    return "US" if text.lower() in ("usa", "us", "united states of america") else None
