"""Days as people count them: by the wall clock of the company's time zone.

Ninety days from the start of a local day end at the start of the local day ninety days on, also where the clocks change
in between: 90 times 24 hours would end an hour before it, or after.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from features import point_in_time

YEARS = (2000, 2045)


@lru_cache
def _offset_changes(timezone: str) -> tuple[tuple[datetime, int], ...]:
    """Give the instants (UTC) at which a zone's offset changes, each with the offset in seconds from then on."""
    zone = ZoneInfo(timezone)

    def offset(moment: datetime) -> int:
        return int(moment.astimezone(zone).utcoffset().total_seconds())  # type: ignore[union-attr]

    changes = []
    day, end = datetime(YEARS[0], 1, 1, tzinfo=UTC), datetime(YEARS[1], 1, 1, tzinfo=UTC)
    changes.append((point_in_time.ALWAYS, offset(day)))
    while day < end:
        following = day + timedelta(days=1)
        if offset(day) != offset(following):
            low, high = day, following
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                middle = middle.replace(second=0, microsecond=0)
                if middle <= low:
                    break
                low, high = (middle, high) if offset(middle) == offset(day) else (low, middle)
            changes.append((high.replace(tzinfo=None), offset(following)))
        day = following
    return tuple(changes)


def local(moment: ir.TimestampValue, timezone: str) -> ir.TimestampValue:
    """Give a moment in UTC as the wall clock of a zone."""
    changes = _offset_changes(timezone)
    if len(changes) == 1:
        return moment + ibis.interval(seconds=changes[0][1])
    branches = [(moment >= point_in_time.instant(since), ibis.literal(seconds)) for since, seconds in reversed(changes)]
    return moment + ibis.cases(*branches, else_=ibis.literal(changes[0][1])).as_interval("s")


def standard_offset_seconds(timezone: str) -> int:
    """Give the seconds from UTC to a zone's winter time: one figure, for where an hour does not matter."""
    newest = _offset_changes(timezone)[-2:]
    return min(seconds for _, seconds in newest)


def days_between(earlier: ir.TimestampValue, later: datetime | ir.TimestampValue, timezone: str) -> ir.FloatingValue:
    """Days, with their fraction, that the wall clock moves on from one moment in UTC to another."""
    moments = [local(point_in_time.instant(moment), timezone) for moment in (earlier, later)]
    return point_in_time.days_between(*moments)
