"""Snapshots: the same lead seen on several dates while it was open, as a scoring job would have seen it."""

from __future__ import annotations

import math
from datetime import datetime

import ibis
import ibis.expr.types as ir

from features import lifecycle, point_in_time
from features.schema import TIME, Tables

EVERY_DAYS_LIMIT = 28


def open_leads(tables: Tables, as_of: datetime) -> ir.Table:
    """Give the leads known at ``as_of`` and not known to have ended by then.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of``; one row per open lead.
    """
    spells = lifecycle.open_spells(tables)
    seen = spells.filter(point_in_time.current_at(spells, as_of))
    return seen.select("lead_id", "episode", as_of=point_in_time.instant(as_of))


def training_snapshots(tables: Tables, cutoff: datetime, rows_limit: int = 150_000, seed: int = 0) -> ir.Table:
    """Give every lead at every date of a calendar grid before the cutoff on which it was seen open.

    The dates are ``cutoff - k * every_days`` for k = 1, 2, …, with the smallest ``every_days`` (1 to 28) that keeps to
    about ``rows_limit`` rows; past that, snapshots are drawn by a hash of lead and date, and each says how many it
    stands for: weighted so, they look like what is scored. Single snapshots are drawn and not whole leads, because two
    leads tell more than one lead twice; those of leads won by the cutoff are drawn first (up to half of the rows),
    because they are few and tell most (case-cohort sampling; Prentice 1986).

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
        ``lead_id, episode, as_of, weight`` (how many snapshots of the grid it stands for, ≥ 1). Leads that were closed
        before they were created (entered after the fact) are left out.
    """
    spells = lifecycle.open_spells(tables)
    spells = spells.filter(point_in_time.known_by(spells.known_from, cutoff))
    spells = spells.mutate(known_until=ibis.least(spells.known_until, point_in_time.instant(cutoff)))
    late = lifecycle.outcomes(tables, cutoff)
    entered_late = late.filter(late.closed_before_created & (late.episode == 1)).select("lead_id")
    spells = spells.anti_join(entered_late, "lead_id")
    # A spell holds the grid dates from the first at or after its start to the last before its end.
    first_back = point_in_time.microseconds_between(spells.known_from, cutoff)
    last_back = point_in_time.microseconds_between(spells.known_until, cutoff)
    spells = spells.select("lead_id", "episode", first_back=first_back, last_back=last_back)
    won = late.filter(late.outcome == "won").select("lead_id", "episode", is_won=True)
    spells = spells.left_join(won, ["lead_id", "episode"]).drop("lead_id_right", "episode_right")
    spells = spells.mutate(is_won=ibis.coalesce(spells.is_won, False))
    lengths = spells.group_by("is_won").agg(total=(spells.first_back - spells.last_back).sum().cast("float64"))
    days = {row.is_won: row.total / point_in_time.MICROSECONDS_PER_DAY for row in lengths.to_pandas().itertuples()}
    every_days = min(max(math.ceil(sum(days.values()) / rows_limit), 1), EVERY_DAYS_LIMIT)
    won_share, other_share = _shares(days.get(True, 0.0) / every_days, days.get(False, 0.0) / every_days, rows_limit)
    step = every_days * point_in_time.MICROSECONDS_PER_DAY
    spells = spells.mutate(
        first_step=(spells.first_back / step).floor().cast("int64"),
        last_step=ibis.greatest((spells.last_back / step).floor().cast("int64"), 0),
    )
    steps = spells.mutate(step=ibis.range(spells.last_step + 1, spells.first_step + 1).unnest())
    share = ibis.ifelse(steps.is_won, won_share, other_share)
    steps = steps.mutate(weight=1.0 / share)
    if min(won_share, other_share) < 1:
        # md5 is the one hash that every engine works out alike.
        name = ibis.literal(f"{seed}:").concat(steps["step"].cast("string"), ":", steps.lead_id)
        limits = (f"{min(int(share * 16**8), 16**8 - 1):08x}" for share in (won_share, other_share))
        steps = steps.filter(name.hexdigest("md5").substr(0, 8) <= ibis.ifelse(steps.is_won, *limits))
    back = (steps["step"] * every_days).as_interval("D")
    return steps.select("lead_id", "episode", "weight", as_of=(point_in_time.instant(cutoff) - back).cast(TIME))


def _shares(won_rows: float, other_rows: float, rows_limit: int) -> tuple[float, float]:
    """Say which shares of the snapshots of won and of other leads keep to the limit."""
    won_share = min(1.0, rows_limit / 2 / won_rows) if won_rows else 1.0
    left = rows_limit - won_share * won_rows
    return won_share, min(1.0, left / other_rows) if other_rows else 1.0
