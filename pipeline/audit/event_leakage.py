# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Which kinds of events are the outcome itself: at the closing or after it, or only for leads that are won or lost.

Events have a time, so that the plainest sign needs no outcome at all: a lead has the event and is still open an hour
later, or not. Of a kind that tells the future something, hardly any lead is. To keep such a kind out costs nothing, as
no lead that is scored ever carries it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from scipy import stats

from features import point_in_time
from features.versions import happened_events
from pipeline.audit.leakage_tests import PURE_SHARE, USUAL_LIMIT
from pipeline.audit.outcome_groups import FILLED_LEAST, Finding, OutcomeGroups
from pipeline.ingest.company import LoadedCompany

OPEN_SHARE_LIMIT = 0.05
"""Of an honest kind more leads than these are still open an hour after it."""
HONEST_OPEN_SHARE = 0.25
"""The chance is that of an honest kind after which a quarter of the leads are still open an hour later."""
EVENT_LEADS_LEAST = 5
EARLY_SHARE = 0.5
"""Kinds after which so many are still open a day later warn early, and may stand with lost leads alone."""


def leaking_kinds(
    loaded: LoadedCompany, leads: pd.DataFrame, groups: OutcomeGroups, as_of: datetime, column: str = "kind"
) -> tuple[dict[str, Finding | None], int]:
    """Find kinds of events that know the future.

    Parameters
    ----------
    loaded : LoadedCompany
    leads : DataFrame
        ``lead_id, closing_from`` (from when on an event belongs to the closing; missing while open).
    groups : OutcomeGroups
    as_of : datetime
    column : str
        ``kind``, or another column of events with few values, such as ``channel``.

    Returns
    -------
    findings : dict of str to Finding or None
        Every kind seen by then, with the plainest sign against it.
    tests : int
        How many comparisons were made.
    """
    firsts = _first_events(loaded, leads, as_of, column)
    found: dict[str, Finding | None] = {}
    tests = 0
    place = pd.Series(np.arange(len(leads)), index=leads["lead_id"])
    horizon = pd.Timestamp(as_of) - timedelta(hours=1)
    closing = leads["closing_from"].to_numpy("datetime64[us]")
    for kind, rows in firsts.groupby("kind", sort=True):
        tests += 3
        at = place[rows["lead_id"]].to_numpy()
        first = rows["first_at"].to_numpy("datetime64[us]")
        # Young events of open leads cannot tell yet.
        judged = ~np.isnat(closing[at]) | (first < np.datetime64(horizon))
        until = np.where(np.isnat(closing[at]), np.datetime64(pd.Timestamp(as_of)), closing[at])
        still_open = first < until
        long_open = first < until - np.timedelta64(1, "D")
        flags = np.zeros(len(leads), dtype=bool)
        flags[at] = True
        finding = _at_the_closing(int(judged.sum()), int((still_open & judged).sum()))
        finding = finding or _one_ending_only(flags, float(long_open[judged].mean()) if judged.any() else 0.0, groups)
        found[str(kind)] = finding
    return found, tests


def _first_events(loaded: LoadedCompany, leads: pd.DataFrame, as_of: datetime, column: str) -> pd.DataFrame:
    events = happened_events(loaded.tables)
    events = events.filter(point_in_time.known_by(events.visible_at, as_of), events[column].notnull())
    firsts = events.group_by("lead_id", kind=events[column]).agg(first_at=events.occurred_at.min())
    connection = loaded.connection
    connection.register("audited", leads[["lead_id"]])
    found = connection.execute(
        f"SELECT lead_id, kind, first_at FROM ({loaded.backend.compile(firsts)}) SEMI JOIN audited USING (lead_id) "
        "ORDER BY kind, lead_id"
    ).df()
    connection.unregister("audited")
    return found


def _at_the_closing(count: int, still_open: int) -> Finding | None:
    if count < EVENT_LEADS_LEAST or still_open > OPEN_SHARE_LIMIT * count:
        return None
    return Finding(
        "event",
        f"happens at the closing or after it (of {count:,} leads that had it, {still_open:,} were still open an hour "
        "later): part of the outcome",
        float(stats.binom.logcdf(still_open, count, HONEST_OPEN_SHARE)),
    )


def _one_ending_only(rows: np.ndarray, early_share: float, groups: OutcomeGroups) -> Finding | None:
    count = int(rows.sum())
    if count < FILLED_LEAST:
        return None
    for flag, word in ((groups.won, "won"), (groups.lost, "lost")):
        together = int((flag & rows).sum())
        usual = groups.usual_share(flag, rows)
        if together < PURE_SHARE * count or usual > USUAL_LIMIT or (word == "lost" and early_share >= EARLY_SHARE):
            continue
        return Finding(
            "event",
            f"happens only to leads that are {word} ({together:,} of {count:,}; usual would be {usual:.0%}): part of "
            "the outcome",
            float(stats.binom.logsf(together - 1, count, usual)),
        )
    return None
