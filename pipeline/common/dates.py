"""Fiscal quarters, as the company counts them."""

from __future__ import annotations

from datetime import datetime
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
