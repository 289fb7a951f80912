"""Engagement: what the lead did, how often, how lately, and whether others at its company did too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis
import ibis.expr.types as ir

from features import clock, sales_activity, wording
from features.feature import Feature
from features.sales_activity import among
from features.spec import FeatureSpec, slugs
from features.tables import TIME, Tables
from features.timing import standard_offset_seconds

HALF_LIFE_DAYS = 14
MOMENTUM_DAYS = (7, 28)
OTHERS_DAYS = 30
WEIGHT_SCALE = 1_000_000
KEYS = ["lead_id", "episode", "as_of"]


def _happened(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Give the events of the leads asked for."""
    events = clock.happened_events(tables, spec.excluded_kinds)
    return events.semi_join(snapshots.select("lead_id").distinct(), "lead_id")


def _events(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Slim the events to what is counted: words as places in the spec's lists, direction as flags."""
    events = _happened(tables, snapshots, spec)
    columns = {
        f"{name}_place": ibis.cases(*((events[name] == word, i) for i, word in enumerate(words)), else_=-1)
        for name, words in (("kind", spec.event_kinds), ("channel", spec.channels), ("topic", spec.topics))
        if words
    }
    if spec.has("events.direction"):
        columns["outbound"] = ibis.coalesce(events.direction == "outbound", False)
        columns["inbound"] = ibis.coalesce(events.direction == "inbound", False)
    return events.select("lead_id", "visible_at", "occurred_at", **columns)


def _bundles(pairs: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Bundle a snapshot's events that look alike: few sums over many rows here, many sums over few rows afterwards.

    Returns
    -------
    ibis table
        `KEYS`, what tells events apart, and per bundle ``events``, ``latest`` and ``oldest`` (age in microseconds),
        ``decayed``, and ``events_{d}d`` of the last d days; integers, so that no order of adding changes a sum.
    """
    day, age = clock.MICROSECONDS_PER_DAY, pairs.age
    weight = (2.0 ** (-age.cast("float64") / (HALF_LIFE_DAYS * day)) * WEIGHT_SCALE).round().cast("int64")
    windows = {f"events_{days}d": pairs.count(where=age < days * day) for days in (*MOMENTUM_DAYS, *spec.windows_days)}
    alike = [name for name in pairs.columns if name not in ("age", *KEYS)]
    return pairs.group_by(*KEYS, *alike).agg(
        events=pairs.count(), latest=age.min(), oldest=age.max(), decayed=weight.sum().cast("int64"), **windows
    )


def _measures(bundles: ir.Table, spec: FeatureSpec) -> dict[str, ir.Value]:
    """Sum over a snapshot's bundles."""
    middle = bundles[f"events_{spec.middle_window_days}d"]
    measures = {
        "touch_count": bundles.events.sum(),
        "touch_recency": bundles.latest.min(),
        "touch_decayed": bundles.decayed.sum(),
        "touch_week_count": bundles[f"events_{MOMENTUM_DAYS[0]}d"].sum(),
        "touch_month_count": bundles[f"events_{MOMENTUM_DAYS[1]}d"].sum(),
    }
    for days in spec.windows_days:
        measures[f"touch_{days}d_count"] = bundles[f"events_{days}d"].sum()
    for kind, name in spec.kind_names().items():
        is_kind = bundles.kind_place == spec.event_kinds.index(kind)
        measures[f"touch_{name}_recency"] = among(is_kind, bundles.latest).min()
        measures[f"touch_{name}_count"] = among(is_kind, bundles.events).sum()
        for days in spec.kind_windows_days:
            measures[f"touch_{name}_{days}d_count"] = among(is_kind, bundles[f"events_{days}d"]).sum()
    for channel, name in slugs(spec.channels).items():
        is_channel = bundles.channel_place == spec.channels.index(channel)
        measures[f"touch_channel_{name}_{spec.middle_window_days}d_count"] = among(is_channel, middle).sum()
    for topic, name in slugs(spec.topics).items():
        about = bundles.topic_place == spec.topics.index(topic)
        own = about & ~bundles.outbound if spec.has("events.direction") else about
        measures[f"touch_topic_{name}_count"] = among(own, bundles.events).sum()
    if spec.has("events.direction"):
        measures["touch_inbound_recency"] = among(bundles.inbound, bundles.latest).min()
        for days in spec.windows_days:
            measures[f"touch_inbound_{days}d_count"] = among(bundles.inbound, bundles[f"events_{days}d"]).sum()
        measures |= sales_activity.measures(bundles, spec)
    return measures


def _replies(events: ir.Table) -> ir.Table:
    """Give when each lead first answered us, and how long that took.

    Only the first outbound touch that was known counts: later news can then not change who answered whom.

    Returns
    -------
    ibis table
        ``lead_id, replied_at`` (when the answer was known) and ``reply_delay`` in microseconds.
    """
    first = events.filter(events.outbound).group_by("lead_id").agg(first_outbound_at=ibis._.visible_at.min())
    answers = events.filter(events.inbound).select("lead_id", "visible_at")
    answers = answers.join(first, ["lead_id", answers.visible_at > first.first_outbound_at])
    answers = answers.group_by("lead_id", "first_outbound_at").agg(replied_at=answers.visible_at.min())
    return answers.select(
        "lead_id", "replied_at", reply_delay=clock.microseconds_between(answers.first_outbound_at, answers.replied_at)
    )


def _firsts(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Give the instant at which each active day of a lead, and each topic it touched, was first known."""
    events = _happened(tables, snapshots, spec)
    offset = ibis.interval(seconds=standard_offset_seconds(spec.timezone))
    days = events.mutate(day=(events.occurred_at + offset).truncate("D"))
    days = days.group_by("lead_id", "day").agg(visible_at=days.visible_at.min())
    firsts = days.select("lead_id", "visible_at", is_day=ibis.literal(True), starts_at=(days.day - offset).cast(TIME))
    if spec.has("events.topic"):
        topics = events.filter(events.topic.notnull())
        topics = topics.group_by("lead_id", "topic").agg(visible_at=topics.visible_at.min())
        topics = topics.select("lead_id", "visible_at", is_day=ibis.literal(False), starts_at=ibis.null(TIME))
        firsts = firsts.union(topics)
    return firsts


def _others(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Count the people known of the lead's company, and the others among them who did something lately."""
    leads = tables.leads
    people = leads.filter(leads.account_id.notnull()).select("lead_id", "account_id", "known_at")
    rows = snapshots.select(*KEYS).join(people.drop("known_at"), "lead_id")
    dates = rows.select("account_id", "as_of").distinct()
    known = people.rename(person="lead_id").join(dates, "account_id")
    known = known.filter(clock.known_by(known.known_at, known.as_of))
    counts = known.group_by("account_id", "as_of").agg(acct_people_count=known.count())
    rows = rows.left_join(counts, ["account_id", "as_of"]).drop("account_id_right", "as_of_right")
    if not spec.has("events.kind"):
        return rows.select(*KEYS, "acct_people_count")
    shared = people.group_by("account_id").agg(size=ibis._.count())
    shared = shared.filter(shared["size"] > 1)
    # What one person did counts once a day, whoever looks: pairs stay few.
    events = clock.happened_events(tables, spec.excluded_kinds).select("lead_id", "visible_at", "occurred_at")
    events = events.join(people.drop("known_at").semi_join(shared, "account_id"), "lead_id")
    seen = events.join(dates, "account_id")
    seen = seen.filter(clock.within_days(seen.visible_at, seen.occurred_at, seen.as_of, OTHERS_DAYS))
    active = seen.group_by("account_id", "as_of", "lead_id").agg(touches=seen.count())
    totals = active.group_by("account_id", "as_of").agg(people=active.count(), touches=active.touches.sum())
    own = active.select("lead_id", "as_of", own_touches="touches")
    rows = rows.left_join(totals, ["account_id", "as_of"]).drop("account_id_right", "as_of_right")
    rows = rows.left_join(own, ["lead_id", "as_of"]).drop("lead_id_right", "as_of_right")
    others = ibis.coalesce(rows.people, 0) - rows.own_touches.notnull().cast("int64")
    touches = ibis.coalesce(rows.touches, 0) - ibis.coalesce(rows.own_touches, 0)
    return rows.select(
        *KEYS,
        "acct_people_count",
        acct_others_active_count=others.cast("float64"),
        acct_others_touch_count=touches.cast("float64"),
    )


def features(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Give each snapshot its engagement and, from the same pass over the events, its sales activity.

    Every sum is over integers; one pass over the pairs of a snapshot and an event known by then.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of`` and the features of engagement and sales activity; nothing done counts 0, a time
        since something that never was is unknown.
    """
    rows = snapshots.select(*KEYS)
    if spec.has("events.kind"):
        events = _events(tables, snapshots, spec)
        bundles = _bundles(clock.seen(snapshots, events, KEYS), spec)
        measures = _measures(bundles, spec)
        rows = _left(rows, bundles.group_by(KEYS).agg(**measures))
        if spec.has("events.direction"):
            rows = rows.left_join(_replies(events), "lead_id").drop("lead_id_right")
        firsts = clock.seen(snapshots, _firsts(tables, snapshots, spec).rename(occurred_at="starts_at"), KEYS)
        window = spec.middle_window_days * clock.MICROSECONDS_PER_DAY
        distinct = {
            "touch_active_days_count": firsts.count(where=firsts.is_day),
            f"touch_active_days_{spec.middle_window_days}d_count": firsts.count(
                where=firsts.is_day & (firsts.age < window)
            ),
        }
        if spec.has("events.topic"):
            distinct["touch_topics_count"] = firsts.count(where=~firsts.is_day)
        rows = _left(rows, firsts.group_by(KEYS).agg(**distinct))
        rows = _finished(rows, tables, snapshots, [*measures, *distinct], spec)
    if spec.has("leads.account_id"):
        rows = _left(rows, _others(tables, snapshots, spec))
        if "acct_people_count" in rows.columns:
            rows = rows.mutate(acct_people_count=rows.acct_people_count.cast("float64"))
    return rows


def _left(rows: ir.Table, facts: ir.Table) -> ir.Table:
    return rows.left_join(facts, KEYS).drop(*(f"{key}_right" for key in KEYS))


def _finished(rows: ir.Table, tables: Tables, snapshots: ir.Table, names: list[str], spec: FeatureSpec) -> ir.Table:
    """Turn sums into features: counts and days as numbers, momentum, decay and shares worked out."""
    day = clock.MICROSECONDS_PER_DAY
    values: dict[str, ir.Value] = {}
    for name in names:
        if name.endswith("_count"):
            values[name] = ibis.coalesce(rows[name], 0).cast("float64")
        elif name.endswith("_recency"):
            values[f"{name}_days"] = rows[name].cast("float64") / day
    week, month = values.pop("touch_week_count"), values.pop("touch_month_count")
    weeks_before = (MOMENTUM_DAYS[1] - MOMENTUM_DAYS[0]) // 7
    values["touch_momentum_ratio"] = (week + 1) / ((month - week) / weeks_before + 1)
    values["touch_decayed_count"] = ibis.coalesce(rows.touch_decayed, 0).cast("float64") / WEIGHT_SCALE
    if spec.has("events.direction"):
        answered = clock.known_by(ibis.coalesce(rows.replied_at, clock.instant(clock.NEVER)), rows.as_of)
        delay = ibis.ifelse(answered, rows.reply_delay, ibis.null("int64"))
        values["touch_reply_delay_days"] = delay.cast("float64") / day
        created = tables.leads.select("lead_id", "created_at")
        rows = rows.left_join(created, "lead_id").drop("lead_id_right")
        of_won = sales_activity.touches_of_won(tables, snapshots, spec)
        rows = rows.left_join(of_won, "as_of").drop("as_of_right")
        values |= sales_activity.finished(rows)
    return rows.select(*KEYS, **values)


def entries(spec: FeatureSpec) -> Iterator[Feature]:
    """Describe what the lead and its company did."""
    middle = spec.middle_window_days

    def of(name: str, unit: str, meaning: str, text: str, unknown: str, **more: Any) -> Feature:
        group = more.pop("group", "touch")
        theme, origin = more.pop("theme", "engagement"), more.pop("provenance", "events")
        return Feature(f"touch_{name}", unit, theme, origin, group, meaning, text, unknown, **more)

    nothing = "Nothing has happened so far"
    if spec.has("events.kind"):
        counted = {"noun": "interaction"}
        yield of("count", "count", "Events so far", "{count} so far", nothing, none=nothing, **counted)
        yield of("recency_days", "days", "Days since the last event", "Last contact {value} ago", nothing,
                 against="Nothing has happened for {value}")  # fmt: skip
        for days in spec.windows_days:
            yield of(f"{days}d_count", "count", f"Events in the last {days} days",
                     f"{{count}} in {wording.lately(days)}", nothing,
                     none=f"Nothing in {wording.lately(days)}", **counted)  # fmt: skip
        yield of("momentum_ratio", "ratio", "Events of the last 7 days against the weekly average of the 21 before, "
                 "each plus 1", "Active {value} in the last 7 days", nothing,
                 low="Cooled down: active {value} in the last 7 days", low_below=0.95)  # fmt: skip
        yield of("decayed_count", "number", "Events so far, each counting half after every 14 days",
                 "{count} lately, older ones counting less", nothing, none="Quiet for a long time",
                 low="Little has happened lately", low_below=1.0,
                 told_by=(f"touch_{middle}d_count", "touch_recency_days"), **counted)  # fmt: skip
        yield of("active_days_count", "count", "Different days with an event", "Active on {count} so far", nothing,
                 none=nothing, noun="day")  # fmt: skip
        yield of(f"active_days_{middle}d_count", "count", f"Different days with an event in the last {middle} days",
                 f"Active on {{count}} in {wording.lately(middle)}", nothing,
                 none=f"Nothing in {wording.lately(middle)}", noun="day")  # fmt: skip
        if spec.has("events.topic"):
            none = "Interested in no topic so far"
            yield of("topics_count", "count", "Different topics so far", "Interested in {count} so far", none,
                     none=none, noun="topic", group="touch_topics", provenance="events.topic")  # fmt: skip
        for topic, name in slugs(spec.topics).items():
            plain = wording.readable(topic)
            yield of(f"topic_{name}_count", "count", f"Events about {topic} so far, without our own",
                     f"{plain[:1].upper()}{plain[1:]} came up {{times}} so far", nothing,
                     none=f"Nothing about {plain} so far",
                     group=f"touch_topic_{name}", provenance="events.topic")  # fmt: skip
        for kind, name in spec.kind_names().items():
            yield from _kind(kind, name, spec)
        for channel, name in slugs(spec.channels).items():
            plain = wording.readable(channel)
            yield of(f"channel_{name}_{middle}d_count", "count", f"Events by {channel} in the last {middle} days",
                     f"{{count}} by {plain} in {wording.lately(middle)}", nothing,
                     none=f"Nothing by {plain} in {wording.lately(middle)}", noun="interaction",
                     group=f"touch_channel_{name}", provenance="events.channel")  # fmt: skip
    if spec.has("events.direction"):
        shared = {"group": "touch_inbound", "provenance": "events.direction"}
        silent = "Has not got in touch so far"
        silence = "Has not got in touch for {value}"
        yield of("inbound_count", "count", "Events from the lead's side so far", "Got in touch {times} so far", silent,
                 none=silent, **shared)  # fmt: skip
        yield of("inbound_recency_days", "days", "Days since the lead last got in touch",
                 "Got in touch {value} ago", silent, against=silence, **shared)  # fmt: skip
        for days in spec.windows_days:
            yield of(f"inbound_{days}d_count", "count", f"Events from the lead's side in the last {days} days",
                     f"Got in touch {{times}} in {wording.lately(days)}", silent,
                     none=f"Has not got in touch in {wording.lately(days)}", **shared)  # fmt: skip
        yield of("reply_delay_days", "days", "Days from our first touch to the lead's first answer",
                 "Answered {value} after our first contact", "Has not answered so far",
                 provenance="events.direction", group="touch_reply")  # fmt: skip
    if spec.has("leads.account_id"):
        yield Feature(
            "acct_people_count", "count", "engagement", "leads.account_id", "acct_people",
            "Leads known of the same company", "{count} known at this company", "Company not known",
            noun="person", plural="people",
        )  # fmt: skip
        if spec.has("events.kind"):
            yield Feature(
                "acct_others_active_count", "count", "engagement", "events, leads.account_id", "acct_people",
                "Other leads of the same company with an event in the last 30 days",
                "{count} at this company active in the last 30 days", "Company not known",
                none="Nobody else at this company was active in the last 30 days",
                noun="other person", plural="other people",
            )  # fmt: skip
            yield Feature(
                "acct_others_touch_count", "count", "engagement", "events, leads.account_id", "acct_people",
                "Events of other leads of the same company in the last 30 days",
                "{count} with others at this company in the last 30 days", "Company not known",
                none="No interaction with others at this company in the last 30 days", noun="interaction",
            )  # fmt: skip


def _kind(kind: str, name: str, spec: FeatureSpec) -> Iterator[Feature]:
    """One kind of event: how lately, and how often over each window."""
    noun = wording.event_words(kind)[1]
    lately, silent, often = wording.event_templates(kind)
    plural = wording.plural(noun)
    theme = "sales activity" if kind in spec.outbound_kinds else "engagement"
    never = f"No {noun} so far"
    yield Feature(
        f"touch_{name}_recency_days", "days", theme, f"events.kind {kind}", f"touch_{name}",
        f"Days since the last of the kind {kind}", lately, never, against=silent, told_by=(f"touch_{name}_count",),
    )  # fmt: skip
    yield Feature(
        f"touch_{name}_count", "count", theme, f"events.kind {kind}", f"touch_{name}",
        f"Events of the kind {kind} so far", f"{often} so far", never, none=never, noun=noun,
        plural=plural,
    )  # fmt: skip
    for days in spec.kind_windows_days:
        yield Feature(
            f"touch_{name}_{days}d_count", "count", theme, f"events.kind {kind}", f"touch_{name}",
            f"Events of the kind {kind} in the last {days} days", f"{often} in {wording.lately(days)}", never,
            none=f"No {noun} in {wording.lately(days)}", noun=noun, plural=plural,
        )  # fmt: skip
