"""Snapshots: the same lead seen on several dates while it was open, as a scoring job would have seen it."""

from __future__ import annotations

import math
from datetime import datetime

import ibis
import ibis.expr.types as ir

from features import clock, lifecycle
from features.tables import TIME, Tables

EVERY_DAYS_LIMIT = 28
KEYS = ("lead_id", "episode", "as_of")


def open_leads(tables: Tables, as_of: datetime) -> ir.Table:
    """Give the leads known at ``as_of`` and not known to have ended by then.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of``; one row per open lead.
    """
    spells = lifecycle.open_spells(tables)
    seen = spells.filter(clock.current_at(spells, as_of))
    return seen.select("lead_id", "episode", as_of=clock.instant(as_of))


def training_snapshots(tables: Tables, cutoff: datetime, rows_limit: int = 150_000, seed: int = 0) -> ir.Table:
    """Give every lead at every date of a calendar grid before the cutoff on which it was seen open.

    The dates are ``cutoff - k * every_days`` for k = 1, 2, …, with the smallest ``every_days`` (1 to 28) that keeps to
    about ``rows_limit`` rows; past that, snapshots are drawn by a hash of lead and date. Every grid date shows all that
    was open then, or a fair draw of it, so the snapshots look like what is scored. Single snapshots are drawn and not
    whole leads, because two leads tell more than one lead twice.

    Parameters
    ----------
    tables : Tables
    cutoff : datetime
        Training knows nothing later.
    rows_limit : int, default=150_000
        About how many rows there may be.
    seed : int, default=0
        Which snapshots are drawn, where not all are taken.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of``. Leads that were closed before they were created (entered after the fact) are left
        out.
    """
    spells = lifecycle.open_spells(tables)
    spells = spells.filter(clock.known_by(spells.known_from, cutoff))
    spells = spells.mutate(known_until=ibis.least(spells.known_until, clock.instant(cutoff)))
    late = lifecycle.outcomes(tables, cutoff)
    spells = spells.anti_join(late.filter(late.closed_before_created), "lead_id")
    # A spell holds the grid dates from the first at or after its start to the last before its end.
    first_back = clock.microseconds_between(spells.known_from, cutoff)
    last_back = clock.microseconds_between(spells.known_until, cutoff)
    spells = spells.select("lead_id", "episode", first_back=first_back, last_back=last_back)
    total = spells.agg(total=(spells.first_back - spells.last_back).sum().cast("float64")).to_pandas()["total"][0]
    open_days = 0.0 if total is None or math.isnan(total) else total / clock.MICROSECONDS_PER_DAY
    every_days = min(max(math.ceil(open_days / rows_limit), 1), EVERY_DAYS_LIMIT)
    share = min(rows_limit * every_days / open_days, 1.0) if open_days else 1.0
    step = every_days * clock.MICROSECONDS_PER_DAY
    spells = spells.mutate(
        first_step=(spells.first_back / step).floor().cast("int64"),
        last_step=ibis.greatest((spells.last_back / step).floor().cast("int64"), 0),
    )
    steps = spells.mutate(step=ibis.range(spells.last_step + 1, spells.first_step + 1).unnest())
    if share < 1:
        # md5 is the one hash that every engine works out alike.
        name = ibis.literal(f"{seed}:").concat(steps["step"].cast("string"), ":", steps.lead_id)
        steps = steps.filter(name.hexdigest("md5").substr(0, 8) < f"{int(share * 16**8):08x}")
    back = (steps["step"] * every_days).as_interval("D")
    return steps.select("lead_id", "episode", as_of=(clock.instant(cutoff) - back).cast(TIME))
