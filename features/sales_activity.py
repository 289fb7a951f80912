"""Sales activity: what the company's own people did for the lead, and how its open deals stand."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from features import clock, lifecycle
from features.spec import FeatureSpec
from features.tables import Tables

KEYS = ["lead_id", "episode", "as_of"]


def measures(pairs: ir.Table, spec: FeatureSpec) -> dict[str, ir.Value]:
    """Sum over a snapshot's events (see `clock.seen`) what sales did; integers.

    Parameters
    ----------
    pairs : ibis table
        With ``age, outbound, inbound``.
    spec : FeatureSpec
    """
    day = clock.MICROSECONDS_PER_DAY
    sums = {
        "touch_outbound_count": pairs.count(where=pairs.outbound),
        "touch_inbound_count": pairs.count(where=pairs.inbound),
        "touch_outbound_recency": pairs.age.min(where=pairs.outbound),
        "touch_outbound_oldest": pairs.age.max(where=pairs.outbound),
    }
    for days in spec.windows_days:
        sums[f"touch_outbound_{days}d_count"] = pairs.count(where=pairs.outbound & (pairs.age < days * day))
    return sums


def finished(rows: ir.Table) -> dict[str, ir.Value]:
    """Work out speed to lead and the share of the talk that is the lead's, from the sums and ``created_at``."""
    age = clock.microseconds_between(rows.created_at, rows.as_of)
    # Touched before it was a lead (a cold call): no delay at all.
    wait = ibis.greatest(age - rows.touch_outbound_oldest, 0)
    wait = ibis.ifelse(rows.touch_outbound_oldest.isnull(), ibis.null("int64"), wait)
    inbound, both = rows.touch_inbound_count, rows.touch_inbound_count + rows.touch_outbound_count
    return {
        "touch_speed_to_lead_days": wait.cast("float64") / clock.MICROSECONDS_PER_DAY,
        "touch_inbound_share": inbound.cast("float64") / both.cast("float64").nullif(0),
    }


def features(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Give each snapshot how its open deals stood, as known at its date.

    Amounts, stages and planned dates come only from deals with a history (``recorded_at``): without one nobody can
    tell when they were written.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of`` and the features of open deals.
    """
    rows = snapshots.select(*KEYS)
    versions = lifecycle.deal_versions(tables)
    versions = versions.filter(versions.lead_id.notnull(), versions.known_from < versions.known_until)
    in_order = ibis.window(group_by=["deal_id", "system"], order_by=versions.known_from)
    versions = versions.mutate(
        amount_changed=(versions.amount != versions.amount.lag().over(in_order)).cast("int64"),
        pushed=(versions.expected_close_at > versions.expected_close_at.lag().over(in_order)).cast("int64"),
    )
    pairs = rows.join(versions, "lead_id")
    now = clock.current_at(pairs, pairs.as_of) & (pairs.outcome == "open")
    # Deals without any date are known since ever; their age is not.
    opened_at = ibis.coalesce(pairs.opened_at, pairs.known_from.nullif(clock.instant(clock.ALWAYS)))
    day = clock.MICROSECONDS_PER_DAY
    ahead = clock.microseconds_between(pairs.as_of, pairs.expected_close_at)
    sums: dict[str, ir.Value] = {
        "open": pairs.count(where=now),
        "oldest": clock.microseconds_between(opened_at, pairs.as_of).max(where=now),
        "amount": pairs.amount.sum(where=now),
        "stage": pairs.stage.max(where=now),
        "close": ahead.min(where=now),
        "changed": pairs.amount_changed.sum(where=clock.known_by(pairs.known_from, pairs.as_of)),
        "pushed": pairs.pushed.sum(where=clock.known_by(pairs.known_from, pairs.as_of)),
    }
    found = rows.left_join(pairs.group_by(KEYS).agg(**sums), KEYS).drop(*(f"{key}_right" for key in KEYS))
    values: dict[str, ir.Value] = {
        "deal_open_count": ibis.coalesce(found.open, 0).cast("float64"),
        "deal_age_days": found.oldest.cast("float64") / day,
    }
    if spec.has("deals.recorded_at"):
        if spec.has("deals.stage"):
            values["deal_stage"] = found.stage
        if spec.has("deals.amount"):
            values["deal_amount"] = found.amount.cast("float64")
            values["deal_amount_changed_count"] = ibis.coalesce(found.changed, 0).cast("float64")
        if spec.has("deals.expected_close_at"):
            values["deal_expected_close_days"] = found.close.cast("float64") / day
            values["deal_pushed_count"] = ibis.coalesce(found.pushed, 0).cast("float64")
    return found.select(*KEYS, **values)
