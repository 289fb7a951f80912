"""Sales activity: what the company's own people did for the lead, and how its open deals stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis
import ibis.expr.types as ir

from features import lifecycle, point_in_time, wording
from features.feature import Feature
from features.schema import Tables
from features.snapshot_context import SnapshotContext, join_facts
from features.spec import FeatureSpec
from features.versions import happened_events

WINS_NEEDED = 10
"""So many leads have to be won before anybody can say how many touches winning takes."""


def among(rows: ir.BooleanValue, value: ir.IntegerValue) -> ir.IntegerValue:
    """Give the value where a row counts, else null; in DuckDB a third faster than a filter on each of many sums."""
    return ibis.ifelse(rows, value, ibis.null("int64"))


def measures(bundles: ir.Table, spec: FeatureSpec) -> dict[str, ir.Value]:
    """Sum over a snapshot's bundles of events (see `engagement`) what sales did; integers.

    Parameters
    ----------
    bundles : ibis table
        With ``outbound, inbound, events, latest, oldest`` and ``events_{d}d``.
    spec : FeatureSpec
    """
    sums = {
        "touch_outbound_count": among(bundles.outbound, bundles.events).sum(),
        "touch_inbound_count": among(bundles.inbound, bundles.events).sum(),
        "touch_outbound_recency": among(bundles.outbound, bundles.latest).min(),
        "touch_outbound_oldest": among(bundles.outbound, bundles.oldest).max(),
    }
    for days in spec.windows_days:
        sums[f"touch_outbound_{days}d_count"] = among(bundles.outbound, bundles[f"events_{days}d"]).sum()
    return sums


def finished(rows: ir.Table) -> dict[str, ir.Value]:
    """Work out speed to lead and whose talk it is, from the sums of a snapshot.

    Parameters
    ----------
    rows : ibis table
        ``as_of``, ``created_at`` and the sums of `measures`.
    """
    age = point_in_time.microseconds_between(rows.created_at, rows.as_of)
    # Touched before it was a lead (a cold call): no delay at all.
    wait = ibis.greatest(age - rows.touch_outbound_oldest, 0)
    wait = ibis.ifelse(rows.touch_outbound_oldest.isnull(), ibis.null("int64"), wait)
    inbound, outbound = (ibis.coalesce(rows[f"touch_{way}_count"], 0) for way in ("inbound", "outbound"))
    return {
        "touch_speed_to_lead_days": wait.cast("float64") / point_in_time.MICROSECONDS_PER_DAY,
        "touch_inbound_share": inbound.cast("float64") / (inbound + outbound).cast("float64").nullif(0),
    }


def touches_of_won(context: SnapshotContext) -> ir.Table:
    """Say how many touches of ours the leads won by each date had had when they were won.

    Returns
    -------
    ibis table
        ``as_of, won_touch_mean``; null before `WINS_NEEDED` wins.
    """
    tables = context.tables
    versions = lifecycle.lead_deal_versions(tables)
    won = versions.filter(versions.lead_id.notnull(), versions.outcome == "won")
    won = won.group_by("lead_id").agg(known_from=won.known_from.min())
    events = happened_events(tables, context.spec.excluded_kinds, context.spec.excluded_links)
    ours = events.filter(events.direction == "outbound").select("lead_id", "visible_at").join(won, "lead_id")
    ours = ours.filter(point_in_time.known_by(ours.visible_at, ours.known_from))
    facts = won.select("known_from", wins=ibis.literal(1, "int64"), touches=ibis.literal(0, "int64"))
    facts = facts.union(ours.select("known_from", wins=ibis.literal(0, "int64"), touches=ibis.literal(1, "int64")))
    sums = point_in_time.sums_by(facts, context.every.select("as_of").distinct(), ["wins", "touches"])
    mean = sums.touches.cast("float64") / sums.wins.cast("float64")
    return sums.select("as_of", won_touch_mean=ibis.ifelse(sums.wins >= WINS_NEEDED, mean, ibis.null("float64")))


def _moves(tables: Tables) -> ir.Table:
    """Give the versions of leads' deals, each with whether its amount changed or its planned date was put off by it."""
    versions = lifecycle.lead_deal_versions(tables)
    versions = versions.filter(versions.lead_id.notnull(), versions.known_from < versions.known_until)
    in_order = ibis.window(group_by=["deal_id", "system"], order_by=versions.known_from)
    return versions.select(
        "lead_id", "outcome", "opened_at", "amount", "stage", "expected_close_at", "known_from", "known_until",
        # In the currency it was written in: an exchange rate that moves changes no deal.
        amount_changed=(versions.written_amount != versions.written_amount.lag().over(in_order)).cast("int64"),
        pushed=(versions.expected_close_at > versions.expected_close_at.lag().over(in_order)).cast("int64"),
    )  # fmt: skip


def features(context: SnapshotContext) -> ir.Table:
    """Give each snapshot how its open deals stood, as known at its date.

    Amounts, stages and planned dates come only from deals with a history (``recorded_at`` or ``changes``): without one
    nobody can tell when they were written.

    Returns
    -------
    ibis table
        ``snapshot`` and the features of open deals.
    """
    spec, tables = context.spec, context.tables
    rows = context.rows.select("snapshot", "lead_id", "as_of")
    pairs = rows.join(tables.memoize("deal_moves", lambda: _moves(tables)), "lead_id")
    now = point_in_time.current_at(pairs, pairs.as_of) & (pairs.outcome == "open")
    # Deals without any date are known since ever; their age is not.
    opened_at = ibis.coalesce(pairs.opened_at, pairs.known_from.nullif(point_in_time.instant(point_in_time.ALWAYS)))
    day = point_in_time.MICROSECONDS_PER_DAY
    ahead = point_in_time.microseconds_between(pairs.as_of, pairs.expected_close_at)
    sums: dict[str, ir.Value] = {
        "open": pairs.count(where=now),
        "oldest": point_in_time.microseconds_between(opened_at, pairs.as_of).max(where=now),
        "amount": pairs.amount.sum(where=now),
        "stage": pairs.stage.max(where=now),
        "close": ahead.min(where=now),
        "changed": pairs.amount_changed.sum(where=point_in_time.known_by(pairs.known_from, pairs.as_of)),
        "pushed": pairs.pushed.sum(where=point_in_time.known_by(pairs.known_from, pairs.as_of)),
    }
    found = join_facts(rows.select("snapshot"), pairs.group_by("snapshot").agg(**sums))
    values: dict[str, ir.Value] = {
        "deal_open_count": ibis.coalesce(found.open, 0).cast("float64"),
        "deal_age_days": found.oldest.cast("float64") / day,
    }
    if spec.has_deal_history("stage"):
        values["deal_stage"] = found.stage
    if spec.has_deal_history("amount"):
        values["deal_amount"] = found.amount.cast("float64")
        values["deal_amount_changed_count"] = ibis.coalesce(found.changed, 0).cast("float64")
    if spec.has_deal_history("expected_close_at"):
        values["deal_expected_close_days"] = found.close.cast("float64") / day
        values["deal_pushed_count"] = ibis.coalesce(found.pushed, 0).cast("float64")
    return found.select("snapshot", **values)


def entries(spec: FeatureSpec) -> Iterator[Feature]:
    """Describe what our own people did, and how the deals stand."""

    def touch(name: str, unit: str, meaning: str, text: str, unknown: str, **more: Any) -> Feature:
        group = more.pop("group", "touch_outbound")
        origin = "events.direction"
        return Feature(f"touch_{name}", unit, "sales activity", origin, group, meaning, text, unknown, **more)

    if spec.has("events.direction"):
        idle = "We have not got in touch so far"
        yield touch("outbound_count", "count", "Our touches so far", "We got in touch {times} so far", idle, none=idle)
        yield touch("outbound_recency_days", "days", "Days since our last touch", "We last got in touch {value} ago",
                    idle, against="We have not got in touch for {value}")  # fmt: skip
        for days in spec.windows_days:
            yield touch(f"outbound_{days}d_count", "count", f"Our touches in the last {days} days",
                        f"We got in touch {{times}} in {wording.lately(days)}", idle,
                        none=f"We have not got in touch in {wording.lately(days)}")  # fmt: skip
        yield touch("outbound_to_win_share", "share", "Our touches so far over the mean that winning took "
                    f"(known from {WINS_NEEDED} wins on)", "We have got in touch as often as winning takes",
                    "Unknown how many touches winning takes", none=idle,
                    low="We have made {value} of the touches that winning takes", low_below=1.0)  # fmt: skip
        yield touch("speed_to_lead_days", "days", "Days from the lead's creation to our first touch",
                    "We first got in touch after {value}", idle, none="We got in touch at once",
                    group="touch_speed_to_lead")  # fmt: skip
        yield touch("inbound_share", "share", "Share of the events that came from the lead's side",
                    "{value} of the interactions came from the lead", "Nobody has got in touch so far",
                    none="A monologue: the lead has never got in touch", group="touch_inbound_share")  # fmt: skip
    if spec.has_open_deals():

        def deal(name: str, unit: str, meaning: str, text: str, unknown: str, **more: Any) -> Feature:
            group = f"deal_{name}"
            return Feature(f"deal_{name}", unit, "sales activity", "deals", group, meaning, text, unknown, **more)

        yield deal("open_count", "count", "Open deals of the lead", "{count}", "No open deal", none="No open deal",
                   noun="open deal")  # fmt: skip
        yield deal("age_days", "days", "Days since the oldest open deal was opened", "Deal opened {value} ago",
                   "No open deal", against="Deal has been open for {value}")  # fmt: skip
        if spec.has_deal_history("stage"):
            yield deal("stage", "category", "Stage of the open deal", "Deal stage: {value}", "No deal stage known")
        if spec.has_deal_history("amount"):
            yield deal("amount", "money", "Amount of the open deals", "Open deal of {value}", "No deal amount known")
            yield deal("amount_changed_count", "count", "How often a deal's amount changed",
                       "Deal amount changed {times}", "No deal", none="Deal amount never changed")  # fmt: skip
        if spec.has_deal_history("expected_close_at"):
            yield deal("expected_close_days", "days", "Days to the deal's planned closing (negative: overdue)",
                       "Planned closing {value} away", "No planned closing",
                       low="Planned closing {value} overdue")  # fmt: skip
            yield deal("pushed_count", "count", "How often a deal's planned closing was put off",
                       "Planned closing put off {times}", "No deal", none="Planned closing never put off")  # fmt: skip
