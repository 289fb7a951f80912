"""The reps' own forecast of a month, and what became of the deals that they had dated in it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from features import lifecycle, point_in_time
from pipeline.ingest.company import LoadedCompany
from pipeline.planning.bridge import from_units, to_units


def rep_forecast(
    company: LoadedCompany, start: datetime, end: datetime, as_of: datetime
) -> tuple[dict[str, Any] | None, str | None]:
    """Sum probability × amount over the open deals that reps had dated in a month, as known on its first day.

    Parameters
    ----------
    company : LoadedCompany
    start, end : datetime
        The month's first instant, and the first one after it; naive UTC.
    as_of : datetime
        What became of them is told by what is known then.

    Returns
    -------
    reps : dict or None
        ``forecast`` (null where no deal has both), ``deals`` dated in the month, ``with_forecast`` of them, ``amount``,
        and ``won``, ``lost`` and ``slipped`` (open when the month ended), each ``deals`` and ``amount`` as dated.
    why : str or None
        Why there is none.
    """
    versions = lifecycle.lead_deal_versions(company.tables)
    dated = versions.filter(
        point_in_time.current_at(versions, start), versions.outcome == "open",
        versions.expected_close_at >= start, versions.expected_close_at < end,
    ).select("deal_id", "system", "amount", "probability")  # fmt: skip
    by_end = point_in_time.instant(min(as_of, end))
    later = versions.filter(point_in_time.current_at(versions, by_end)).select("deal_id", "system", ended="outcome")
    rows = dated.left_join(later, [dated.deal_id == later.deal_id, dated.system.identical_to(later.system)])
    frame = rows.drop("deal_id_right", "system_right").to_pandas()
    if not len(frame):
        return None, "no open deal was known on the first day to be planned for the month"
    units = frame["amount"].map(to_units)
    has_both = (frame["amount"].notna() & frame["probability"].notna()).to_numpy()
    hoped = (units * frame["probability"].astype(float))[has_both]

    def of(*outcomes: str) -> dict[str, Any]:
        own = frame["ended"].isin(outcomes).to_numpy()
        return {"deals": int(own.sum()), "amount": from_units(int(units[own].sum()))}

    return {
        "forecast": round(float(hoped.sum()) / 10_000, 2) if has_both.any() else None,
        "deals": len(frame),
        "with_forecast": int(has_both.sum()),
        "amount": from_units(int(units.sum())),
        "won": of("won"),
        "lost": of("lost", "unknown"),
        "slipped": of("open"),
    }, None
