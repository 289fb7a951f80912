# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Traces of machines and moves in the data.

One lead with most events, thousands of leads at one instant, columns that are filled only since some day, or until one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from features.schema import TIME
from pipeline.common.sql import quoted
from pipeline.config.data_contract import TABLES
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.staging import REASON

EVENTS_SHARE, EVENTS_LEAST = 0.3, 200
"""A lead with this share of all events, and no fewer than that, is hardly a lead."""
INSTANT_SHARE, INSTANT_LEAST = 0.1, 50
"""So many leads created at one instant came with an import."""
PARTS, FILLED_SHARE, EMPTY_SHARE, FILLED_LEAST = 20, 0.6, 0.02, 30
"""A column is emptied (filled) since a day where it was at least this much filled before (after) and no more after
(before), by twentieths of the leads in the order of their creation."""
_NOT_COMPARED = frozenset({"lead_id", "created_at", "known_at", "recorded_at", "closed_at", "status", "deal_id"})


def crowding_warnings(loaded: LoadedCompany, as_of: datetime, warn: Callable[..., None]) -> None:
    """Warn of leads and columns that an import or a change of practice made what they are."""
    connection = loaded.connection
    if loaded.tables.has("events"):
        rows = connection.execute(
            "SELECT lead_id, count(*) AS n, sum(count(*)) OVER () AS every FROM events GROUP BY lead_id "
            "ORDER BY n DESC, lead_id LIMIT 1"
        ).fetchall()
        leads = connection.execute("SELECT count(*) FROM leads").fetchall()[0][0]
        if rows and rows[0][1] >= max(EVENTS_LEAST, EVENTS_SHARE * rows[0][2]) and leads > 10:
            lead, n, every = rows[0]
            text = f"events: {n:,} of {every:,} are of one lead ({lead}): a test, a shared address or a machine?"
            warn("crowded_lead", text, table="events", count=n)
    rows = connection.execute(
        "SELECT created_at, count(*) AS n, sum(count(*)) OVER () AS every FROM leads GROUP BY created_at "
        "ORDER BY n DESC, created_at LIMIT 1"
    ).fetchall()
    # A date without a time stands for a whole day.
    if rows and rows[0][1] >= max(INSTANT_LEAST, INSTANT_SHARE * rows[0][2]) and rows[0][0].microsecond != 999_999:
        moment, n, every = rows[0]
        text = (
            f"leads: {n:,} of {every:,} are created at one instant, {moment:%Y-%m-%d %H:%M} UTC: that is the day of an "
            "import, not of their interest, and their age is not what it seems"
        )
        warn("mass_import", text, table="leads", column="created_at", count=n)
    _since_some_day(loaded, warn)


def _since_some_day(loaded: LoadedCompany, warn: Callable[..., None]) -> None:
    staged = loaded.staged["leads"]
    names = [name for name in TABLES["leads"] if name in staged.present and name not in _NOT_COMPARED]
    names = [name for name in names if TABLES["leads"][name] != TIME] + list(staged.attributes)
    if not names:
        return
    counts = ", ".join(f"count({quoted(name)})" for name in names)
    rows = loaded.connection.execute(
        f"SELECT part, min(created_at), count(*), {counts} FROM (SELECT *, ntile({PARTS}) OVER (ORDER BY created_at, "
        f"lead_id) AS part FROM staged_leads WHERE {REASON} IS NULL) GROUP BY part ORDER BY part"
    ).fetchall()
    if len(rows) < PARTS or sum(row[2] for row in rows) < FILLED_LEAST * 4:
        return
    for place, name in enumerate(names, start=3):
        shares = [row[place] / row[2] for row in rows]
        for turn in range(2, PARTS - 1):
            before, after = shares[:turn], shares[turn:]
            count = sum(row[place] for row in rows)
            if count < FILLED_LEAST:
                break
            if min(before) >= FILLED_SHARE and max(after) <= EMPTY_SHARE:
                text = f"leads.{name} is empty since about {rows[turn][1]:%Y-%m-%d}, and was filled for "
                text += f"{sum(before) / len(before):.0%} of the leads before"
                warn("emptied", f"{text}: was it given up, or lost on the way?", table="leads", column=name)
                break
            if max(before) <= EMPTY_SHARE and min(after) >= FILLED_SHARE:
                text = f"leads.{name} is filled since about {rows[turn][1]:%Y-%m-%d} only, for "
                text += f"{sum(after) / len(after):.0%} of the leads after"
                warn("filled_since", f"{text}: it tells nothing of the leads before", table="leads", column=name)
                break
