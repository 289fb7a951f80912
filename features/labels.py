"""Labels: what became of a snapshot's lead, as known at the cutoff."""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir

from features import point_in_time

EVENTS = {"won": 1, "lost": 2}


def labels(snapshots: ir.Table, outcomes: ir.Table, cutoff: datetime) -> ir.Table:
    """Say how and after how many days each snapshot's lead ended, as far as was known at the cutoff.

    Won and lost compete. A lead still open at the cutoff is censored there, one that ended with nobody knowing how at
    its end. An end that had happened before ``as_of`` but was heard of only later counts when it was heard of: that is
    when a scoring job would have seen it.

    Parameters
    ----------
    snapshots : ibis table
        ``lead_id, episode, as_of``.
    outcomes : ibis table
        `lifecycle.outcomes` at the same cutoff.
    cutoff : datetime
        Later than every ``as_of``.

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
        event=ibis.cases((is_won, EVENTS["won"]), (rows.outcome == "lost", EVENTS["lost"]), else_=0).cast("int64"),
        duration_days=point_in_time.days_between(rows.as_of, rows.end),
        amount=ibis.ifelse(is_won, rows.amount, ibis.null("float64")),
    )
