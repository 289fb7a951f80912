"""Days and fiscal quarters, as the company counts them; instants as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def quarter_ends(as_of: datetime, timezone: str, first_month: int) -> tuple[datetime, datetime]:
    """When the fiscal quarter of an instant ends, and when the next one does.

    Parameters
    ----------
    as_of : datetime
        UTC, without a zone.
    timezone : str
        The company's time zone; quarters end at its midnights.
    first_month : int
        The month (1 to 12) in which the fiscal year starts.

    Returns
    -------
    tuple of datetime
        Two instants, UTC without a zone, both after `as_of`.
    """
    utc, local = ZoneInfo("UTC"), ZoneInfo(timezone)
    here = as_of.replace(tzinfo=utc).astimezone(local)
    months_to_end = 3 - (here.month - first_month) % 3

    def month_start(months_ahead: int) -> datetime:
        month = here.year * 12 + here.month - 1 + months_ahead
        midnight = datetime(month // 12, month % 12 + 1, 1, tzinfo=local)
        return midnight.astimezone(utc).replace(tzinfo=None)

    return month_start(months_to_end), month_start(months_to_end + 3)


def iso(instant: datetime) -> str:
    """Write an instant as text: ISO 8601 in UTC, to the second."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def local_iso(instant: datetime, timezone: str) -> str:
    """Write an instant (UTC, without a zone) as a person of the company would: its day, or its local time with offset.

    The start and the end of a day are that day.
    """
    here = _here(instant, timezone)
    if (here.hour, here.minute, here.second) in ((0, 0, 0), (23, 59, 59)):
        return here.date().isoformat()
    return here.isoformat(timespec="seconds")


def days_later(instant: datetime, days: float, timezone: str) -> datetime:
    """Give the instant so many days of the company's wall clock after another, or before it; UTC without a zone."""
    wall = _here(instant, timezone).replace(tzinfo=None) + timedelta(days=days)
    return wall.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC).replace(tzinfo=None)


def days_between(earlier: datetime, later: datetime, timezone: str) -> float:
    """Days, with their fraction, that the company's wall clock moves on from one instant to another."""
    walls = [_here(moment, timezone).replace(tzinfo=None) for moment in (earlier, later)]
    return (walls[1] - walls[0]) / timedelta(days=1)


def _here(instant: datetime, timezone: str) -> datetime:
    return instant.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone))
