"""Closings that tell nothing of how long leads take: stamped in bulk, before the lead existed, on the day it came."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from features import lifecycle, point_in_time
from features.wall_clock import local
from pipeline.common.formatting import count as counted
from pipeline.ingest.company import LoadedCompany

SHOWN = 5
"""So many leads are named."""
INSTANT_SHARE, INSTANT_LEAST = 0.1, 10
DAY_SHARE, DAY_LEAST = 0.25, 20
"""Closings at one instant, or on one day, beyond this share of all and this number were written in bulk."""
USUAL_DAYS = 10.0
"""A day is no usual one with so many times the closings of a mean day on which anything closed."""


def closing_warnings(loaded: LoadedCompany, as_of: datetime) -> list[dict[str, Any]]:
    """Say which closings teach nothing, how many there are, and what that means.

    Parameters
    ----------
    loaded : LoadedCompany
    as_of : datetime
        Naive UTC; closings known later have no say.

    Returns
    -------
    list of dict
        ``code``, ``text``, ``table``, ``count``.
    """
    found = _closings(loaded, as_of)
    return [
        *(warning for word in ("won", "lost") for warning in _in_bulk(found[found["outcome"] == word], word)),
        *_before_created(found, loaded),
        *_never_open(found, loaded),
    ]


def _closings(loaded: LoadedCompany, as_of: datetime) -> pd.DataFrame:
    """List the won and lost leads: ``lead_id, outcome, ended_at, created_at`` and the local days of both."""
    zone = loaded.params.data.timezone
    known = lifecycle.standings(loaded.tables, as_of, loaded.params.data.amount_window_days)
    known = known.filter(known.outcome.isin(["won", "lost"]), known.ended_at.notnull())
    rows = known.select(
        "lead_id",
        "outcome",
        "ended_at",
        "closed_before_created",
        ended_day=local(known.ended_at, zone).truncate("D"),
        created_day=local(known.created_at, zone).truncate("D"),
        # By then a scoring job that runs once a day has seen the lead.
        known_day=local(point_in_time.instant(known.lead_known_at), zone).truncate("D"),
    )
    return rows.order_by("lead_id").to_pandas()


def _in_bulk(rows: pd.DataFrame, word: str) -> list[dict[str, Any]]:
    total = len(rows)
    if not total:
        return []
    at_day_end = rows["ended_at"].dt.microsecond == 999_999  # a date without a time: no instant
    instants = rows.loc[~at_day_end, "ended_at"].value_counts()
    days = rows["ended_day"].value_counts()
    means = (
        "their closing dates say when they were entered, not when they ended, so that the days to winning that are "
        "learnt from them are wrong: map the true closing date, or leave these deals out"
    )
    if len(instants) and instants.iloc[0] >= max(INSTANT_LEAST, INSTANT_SHARE * total):
        n, when = int(instants.iloc[0]), instants.index[0]
        text = f"{n:,} of {total:,} {word} leads closed at the same instant ({when:%Y-%m-%d %H:%M:%S} UTC): {means}"
        return [{"code": "closed_in_bulk", "text": text, "table": "deals", "count": n}]
    others = (total - days.iloc[0]) / max(len(days) - 1, 1)
    if days.iloc[0] >= max(DAY_LEAST, DAY_SHARE * total) and days.iloc[0] >= USUAL_DAYS * others:
        n, when = int(days.iloc[0]), days.index[0]
        text = f"{n:,} of {total:,} {word} leads closed on one day ({when:%Y-%m-%d}): {means}"
        return [{"code": "closed_in_bulk", "text": text, "table": "deals", "count": n}]
    return []


def _before_created(rows: pd.DataFrame, loaded: LoadedCompany) -> list[dict[str, Any]]:
    early = rows[rows["closed_before_created"]]
    if not len(early):
        return []
    n = len(early)
    leads = "1 lead was" if n == 1 else f"{n:,} leads were"
    text = (
        f"{leads} closed before the lead was created{_by_outcome(early)}: {_named(early)}; they count in revenue, and "
        "nothing is learnt from them: is created_at the day of an import?"
    )
    return [{"code": "closed_before_created", "text": text, "table": "leads", "count": n}]


def _never_open(rows: pd.DataFrame, loaded: LoadedCompany) -> list[dict[str, Any]]:
    """Count the leads that no scoring job, run once a day, would have seen open."""
    won = rows[rows["outcome"] == "won"]
    seen = won[["created_day", "known_day"]].max(axis=1)
    never = won[won["ended_day"] <= seen]
    if not len(never):
        return []
    early, n = int(never["closed_before_created"].sum()), len(never)
    same_day = int((never["ended_day"] == never["created_day"]).sum())
    parts = [f"{same_day:,} closed on the day they came"] if same_day else []
    parts += [f"{early:,} before it"] if early else []
    text = (
        f"{n:,} of {counted(len(won), 'won lead', 'won leads')} {'was' if n == 1 else 'were'} never open at a day's end"
        + (f" ({', '.join(parts)})" if parts else "")
        + ": nothing can be learnt from them, as no forecast could have been made; they count in revenue"
    )
    return [{"code": "never_open", "text": text, "table": "leads", "count": n}]


def _by_outcome(rows: pd.DataFrame) -> str:
    counts = rows["outcome"].value_counts()
    return " (" + ", ".join(f"{counts[word]:,} {word}" for word in ("won", "lost") if word in counts) + ")"


def _named(rows: pd.DataFrame) -> str:
    named = ", ".join(str(lead) for lead in rows["lead_id"].head(SHOWN))
    return named + (f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else "")
