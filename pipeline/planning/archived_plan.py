"""The plan archived beside a forecast: what leads yet to arrive, and existing business, were to bring in the month."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pipeline.archive.chain import Entry
from pipeline.common.formatting import local_date
from pipeline.planning.bridge import to_units

FILE = "plan.json"


@dataclass(frozen=True)
class ArchivedPlan:
    """A plan of one month.

    Parameters
    ----------
    arrivals, existing_business : int
        What leads yet to arrive, and existing business, were expected to bring, in units.
    total : tuple of int or None
        Value, low and high of all together, in units; None where the plan has no range.
    """

    arrivals: int
    existing_business: int
    total: tuple[int, int, int] | None

    @property
    def planned(self) -> dict[str, int]:
        """By the steps of the bridge."""
        return {"arrivals": self.arrivals, "existing_business": self.existing_business}


def archived_plan(
    entry: Entry, start: datetime, end: datetime, timezone: str
) -> tuple[ArchivedPlan | None, str | None]:
    """Read the plan that was archived with a forecast, if it is of the same month.

    Parameters
    ----------
    entry : Entry
    start, end : datetime
        The month's first instant, and the first one after it; naive UTC.
    timezone : str
        The company's.

    Returns
    -------
    plan : ArchivedPlan or None
    why : str or None
        Why there is none.
    """
    nothing = "arrivals and existing business are held against nothing"
    if FILE not in entry.seal["files"]:
        return None, f"the archive has no plan of this month: {nothing}"
    content = json.loads((entry.folder / FILE).read_bytes())
    first, last = local_date(start, timezone), local_date(end, timezone) - timedelta(days=1)
    of = tuple(date.fromisoformat(str(content[name])[:10]) for name in ("from", "until"))
    if of != (first, last):
        return None, f"the archived plan is of {of[0]} to {of[1]}, not of this month: {nothing}"
    total = content.get("total")
    with_range = isinstance(total, dict) and {"value", "low", "high"} <= set(total)
    return ArchivedPlan(
        to_units(_value(content.get("to_come"))),
        to_units(_value(content.get("existing"))),
        (to_units(total["value"]), to_units(total["low"]), to_units(total["high"])) if with_range else None,
    ), None


def _value(figure: Any) -> Any:
    """Give a figure that may have a range, without it; a float in whole cents."""
    value = figure.get("value") if isinstance(figure, dict) else figure
    return round(value, 2) if isinstance(value, float) else value
