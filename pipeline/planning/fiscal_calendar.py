"""The company's years, quarters and months: calendar months from any month on, or whole weeks (4-4-5 and its like)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.config.params import Params

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PERIODS_A_YEAR = 12


@dataclass(frozen=True)
class Span:
    """Days in a row.

    Parameters
    ----------
    first, last : date
        Both are part of it.
    """

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    @property
    def days_count(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    def instants(self, timezone: str) -> tuple[datetime, datetime]:
        """Give its first instant and the first one after it, UTC without a zone."""
        return midnight(self.first, timezone), midnight(self.last + timedelta(days=1), timezone)


@dataclass(frozen=True)
class FiscalCalendar:
    """Says which fiscal year, quarter and month a day lies in.

    Parameters
    ----------
    first_month : int
        The month (1 to 12) in which the fiscal year starts.
    weeks : tuple of int, optional
        Weeks of the three months of each quarter, 13 together; None: calendar months. A year of weeks ends on the last
        such weekday of the month before ``first_month``, or on the one nearest to that month's end; where it then has
        53 weeks, the last month has one more.
    week_ends_on : str
        One of `WEEKDAYS`.
    year_ends : str
        ``last`` or ``nearest``.
    """

    first_month: int = 1
    weeks: tuple[int, int, int] | None = None
    week_ends_on: str = "saturday"
    year_ends: str = "last"

    @classmethod
    def of(cls, params: Params) -> FiscalCalendar:
        """Give the calendar that the params ask for."""
        plan = params.plan
        weeks = None if plan.calendar == "months" else tuple(int(text) for text in plan.calendar.split("-"))
        return cls(params.fiscal_year_start_month, weeks, plan.week_ends_on, plan.year_ends)  # type: ignore[arg-type]

    def year(self, day: date) -> Span:
        """Give the fiscal year of a day."""
        return _enclosing(self._year_start, day.year, day)

    def months(self, day: date) -> list[Span]:
        """Give the twelve months of the fiscal year that a day lies in."""
        year = self.year(day)
        if self.weeks is None:
            starts = [_month_start(year.first.year, year.first.month + ahead) for ahead in range(PERIODS_A_YEAR)]
        else:
            starts, start = [], year.first
            for place in range(PERIODS_A_YEAR):
                starts.append(start)
                start += timedelta(weeks=self.weeks[place % 3])
        ends = [*(start - timedelta(days=1) for start in starts[1:]), year.last]
        return [Span(first, last) for first, last in zip(starts, ends, strict=True)]

    def month(self, day: date) -> Span:
        """Give the fiscal month of a day."""
        return next(month for month in self.months(day) if day in month)

    def quarter(self, day: date) -> Span:
        """Give the fiscal quarter of a day."""
        months = self.months(day)
        quarters = [Span(months[place].first, months[place + 2].last) for place in range(0, PERIODS_A_YEAR, 3)]
        return next(quarter for quarter in quarters if day in quarter)

    def quarters_before(self, day: date, count: int) -> list[Span]:
        """Give the quarters that ended before the one of a day, the latest first."""
        found = [self.quarter(day)]
        for _ in range(count):
            found.append(self.quarter(found[-1].first - timedelta(days=1)))
        return found[1:]

    def months_between(self, first: date, last: date) -> list[Span]:
        """Give the months that two days and those between lie in, cut off at both."""
        found, day = [], first
        while day <= last:
            month = self.month(day)
            found.append(Span(day, min(month.last, last)))
            day = month.last + timedelta(days=1)
        return found

    def name(self, month: Span) -> str:
        """Name a month: 2026-07 where it is one of the calendar, else the fiscal year's and its number in it."""
        if self.weeks is None:
            return f"{month.first:%Y-%m}"
        months = self.months(month.first)
        place = next(place for place, one in enumerate(months) if month.first in one)
        # A fiscal year is called after the calendar year in which it ends.
        return f"{(months[-1].last - timedelta(days=6)).year} month {place + 1}"

    def _year_start(self, year: int) -> date:
        """Give the start of the fiscal year that begins around the first month of a calendar year."""
        first = date(year, self.first_month, 1)
        if self.weeks is None:
            return first
        month_end = first - timedelta(days=1)
        back = (month_end.weekday() - WEEKDAYS.index(self.week_ends_on)) % 7
        if self.year_ends == "nearest" and back > 3:
            back -= 7
        return month_end - timedelta(days=back) + timedelta(days=1)


def midnight(day: date, timezone: str) -> datetime:
    """Give the instant at which a day of the company begins, UTC without a zone."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone)).astimezone(UTC).replace(tzinfo=None)


def _enclosing(year_start: Callable[[int], date], year: int, day: date) -> Span:
    start = max(one for one in map(year_start, (year - 1, year, year + 1)) if one <= day)
    following = min(one for one in map(year_start, (year, year + 1, year + 2)) if one > day)
    return Span(start, following - timedelta(days=1))


def _month_start(year: int, month: int) -> date:
    """Give the first day of a month, whose number may go beyond 12."""
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)
