"""Labels: what became of a snapshot's lead, as known at the cutoff."""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features import lifecycle, point_in_time, snapshots, wall_clock
from features.materialise import to_frame
from features.schema import Tables

WON, LOST = 1, 2


SHORTEST_DAYS = 1e-6
"""Where the clocks are set back between a date and the end, the wall clock may not have moved on at all."""


def labels(snapshots: ir.Table, outcomes: ir.Table, cutoff: datetime, timezone: str = "UTC") -> ir.Table:
    """Say how and after how many days each snapshot's lead ended, as far as was known at the cutoff.

    Won and lost compete; a lead that joined another's deal has left without money of its own, as a lost one. A lead
    still open at the cutoff is censored there, one that ended with nobody knowing how at its end. An end that had
    happened before ``as_of`` but was heard of only later counts when it was heard of: that is when a scoring job would
    have seen it.

    Parameters
    ----------
    snapshots : ibis table
        ``lead_id, episode, as_of``.
    outcomes : ibis table
        `lifecycle.outcomes` at the same cutoff.
    cutoff : datetime
        Later than every ``as_of``.
    timezone : str, default="UTC"
        Where the company's days begin and end: durations are days of its wall clock.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of, event`` (0 censored, 1 won, 2 lost), ``duration_days`` (from ``as_of``, above 0),
        ``amount`` (of the won ones).
    """
    facts = outcomes.select("lead_id", "episode", "outcome", "ended_at", "end_known_at", "amount")
    rows = snapshots.select("lead_id", "episode", "as_of").join(facts, ["lead_id", "episode"])
    end = ibis.ifelse(rows.ended_at > rows.as_of, rows.ended_at, rows.end_known_at)
    rows = rows.mutate(end=ibis.ifelse(rows.outcome == "open", point_in_time.instant(cutoff), end))
    rows = rows.filter(rows.end > rows.as_of)
    is_won = rows.outcome == "won"
    return rows.select(
        "lead_id",
        "episode",
        "as_of",
        event=ibis.cases((is_won, WON), (rows.outcome.isin(["lost", "joined"]), LOST), else_=0).cast("int64"),
        duration_days=ibis.greatest(wall_clock.days_between(rows.as_of, rows.end, timezone), SHORTEST_DAYS),
        amount=ibis.ifelse(is_won, rows.amount, ibis.null("float64")),
    )


def observed_outcomes(
    tables: Tables,
    keys: pd.DataFrame,
    *,
    as_of: datetime,
    known_at: datetime,
    amount_window_days: int,
    timezone: str = "UTC",
) -> pd.DataFrame:
    """Say what became of leads that were open at `as_of`, by what was known at `known_at`.

    Parameters
    ----------
    tables : Tables
    keys : data frame
        ``lead_id``, ``episode`` of the leads, in the order wanted.
    as_of, known_at : datetime
        Naive UTC.
    amount_window_days : int
        Deals won within so many days of a lead's first won deal add up to its amount.
    timezone : str, default="UTC"
        Where the company's days begin and end.

    Returns
    -------
    data frame of shape (n_leads, 3)
        ``event`` (0 open, 1 won, 2 lost), ``duration`` in days from `as_of`, ``amount`` of those won.
    """
    outcomes = lifecycle.outcomes(tables, known_at=known_at, amount_window_days=amount_window_days)
    observed = to_frame(labels(snapshots.open_leads(tables, as_of), outcomes, known_at, timezone))
    observed = keys[["lead_id", "episode"]].merge(
        observed, on=["lead_id", "episode"], how="left", validate="one_to_one"
    )
    return pd.DataFrame(
        {
            "event": observed["event"].fillna(0).to_numpy(int),
            "duration": observed["duration_days"].to_numpy(float),
            "amount": np.where(observed["event"] == WON, observed["amount"], np.nan).astype(float),
        }
    )
