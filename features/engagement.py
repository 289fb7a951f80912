"""Engagement: what the lead did, how often, how lately, and whether others at its company did too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis
import ibis.expr.types as ir

from features import point_in_time, sales_activity, wording
from features.feature import Feature
from features.sales_activity import among
from features.snapshot_context import SnapshotContext, account_memberships, join_facts
from features.spec import FeatureSpec, slugs
from features.timing import standard_offset_seconds
from features.versions import happened_events

HALF_LIFE_DAYS = 14
MOMENTUM_DAYS = (7, 28)
OTHERS_DAYS = 30
WEIGHT_SCALE = 1_000_000


def _places(column: ir.StringColumn, words: tuple[str, ...]) -> ir.IntegerValue:
    """Give each word's place in a list, -1 for others."""
    return ibis.cases(*((column == word, ibis.literal(i, "int8")) for i, word in enumerate(words)), else_=-1).cast(
        "int8"
    )


def _events(context: SnapshotContext) -> ir.Table:
    """Slim the events of the leads asked for to what is counted: words as places in lists, direction as flags."""
    spec = context.spec
    events = happened_events(context.tables, spec.excluded_kinds, spec.excluded_links)
    events = events.join(context.every.select("lead_id", "lead").distinct(), "lead_id")
    columns = {
        f"{name}_place": _places(events[name], words)
        for name, words in (("kind", spec.event_kinds), ("channel", spec.channels), ("topic", spec.topics))
        if words
    }
    if spec.has("events.topic"):
        columns["topic"] = events.topic
    if spec.has("events.direction"):
        columns["outbound"] = ibis.coalesce(events.direction == "outbound", False)
        columns["inbound"] = ibis.coalesce(events.direction == "inbound", False)
    return events.select("lead", "visible_at", "occurred_at", **columns)


def _seen(context: SnapshotContext, happened: ir.Table) -> ir.Table:
    rows = context.rows.select("snapshot", "lead", "as_of")
    return point_in_time.events_as_of(rows, happened, "lead")


def _bundles(pairs: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Bundle a snapshot's events that look alike: few sums over many rows here, many sums over few rows afterwards.

    Returns
    -------
    ibis table
        ``snapshot``, kind, channel and direction, and per bundle ``events``, ``latest`` and ``oldest`` (age in
        microseconds), ``decayed``, and ``events_{d}d`` of the last d days; integers, so that no order of adding changes
        a sum.
    """
    day, age = point_in_time.MICROSECONDS_PER_DAY, pairs.age
    weight = (2.0 ** (-age.cast("float64") / (HALF_LIFE_DAYS * day)) * WEIGHT_SCALE).round().cast("int64")
    windows = {f"events_{days}d": pairs.count(where=age < days * day) for days in (*MOMENTUM_DAYS, *spec.windows_days)}
    # A topic tells nearly every event of a lead from the others: topics are counted by themselves.
    alike = [name for name in ("kind_place", "channel_place", "outbound", "inbound") if name in pairs.columns]
    return pairs.group_by("snapshot", *alike).agg(
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
    if spec.has("events.direction"):
        measures["touch_inbound_recency"] = among(bundles.inbound, bundles.latest).min()
        for days in spec.windows_days:
            measures[f"touch_inbound_{days}d_count"] = among(bundles.inbound, bundles[f"events_{days}d"]).sum()
        measures |= sales_activity.measures(bundles, spec)
    return measures


def _about(pairs: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Count a snapshot's events about each topic, without our own."""
    about = pairs.filter(pairs.topic_place >= 0)
    if spec.has("events.direction"):
        about = about.filter(~about.outbound)
    counts = {
        f"touch_topic_{name}_count": about.count(where=about.topic_place == spec.topics.index(topic))
        for topic, name in slugs(spec.topics).items()
    }
    return about.group_by("snapshot").agg(**counts)


def counts(context: SnapshotContext) -> ir.Table:
    """Count events by kind, channel, topic and direction over each window, with recency, momentum and decay.

    Returns
    -------
    ibis table
        ``snapshot`` and one column a feature.
    """
    spec, rows = context.spec, context.rows.select("snapshot", "created_at", "as_of")
    pairs = _seen(context, context.memoize("events", lambda: _events(context)))
    bundles = _bundles(pairs, spec)
    sums = _measures(bundles, spec)
    parts = [bundles.group_by("snapshot").agg(**sums)]
    if spec.topics:
        parts.append(_about(pairs, spec))
    names = [name for part in parts for name in part.columns if name != "snapshot"]
    rows = join_facts(rows, *parts)
    return rows.select("snapshot", **_finished(rows, names, spec))


def distincts(context: SnapshotContext) -> ir.Table:
    """Count the different days on which something happened, and the different topics.

    Each day and each topic of a lead has an instant at which it was first known; those known by a date count.

    Returns
    -------
    ibis table
        ``snapshot`` and the counts.
    """
    spec, events = context.spec, context.memoize("events", lambda: _events(context))
    offset = standard_offset_seconds(spec.timezone) * 1_000_000
    since = point_in_time.microseconds_between(point_in_time.instant(point_in_time.ALWAYS), events.occurred_at)
    days = events.mutate(day=((since + offset) // point_in_time.MICROSECONDS_PER_DAY).cast("int32"))
    days = days.group_by("lead", "day").agg(visible_at=days.visible_at.min())
    starts_at = point_in_time.instant(point_in_time.ALWAYS) + (
        days.day.cast("int64") * point_in_time.MICROSECONDS_PER_DAY - offset
    ).as_interval("us")
    active = _seen(context, days.select("lead", "visible_at", occurred_at=starts_at))
    window = spec.middle_window_days * point_in_time.MICROSECONDS_PER_DAY
    found = {
        "touch_active_days_count": active.count(),
        f"touch_active_days_{spec.middle_window_days}d_count": active.count(where=active.age < window),
    }
    parts = [active.group_by("snapshot").agg(**found)]
    if spec.has("events.topic"):
        topics = events.filter(events.topic.notnull())
        topics = topics.group_by("lead", "topic").agg(visible_at=topics.visible_at.min())
        topics = _seen(context, topics.select("lead", "visible_at", occurred_at="visible_at"))
        parts.append(topics.group_by("snapshot").agg(touch_topics_count=topics.count()))
    rows = join_facts(context.rows.select("snapshot"), *parts)
    names = [name for name in rows.columns if name != "snapshot"]
    return rows.select("snapshot", **{name: ibis.coalesce(rows[name], 0).cast("float64") for name in names})


def replies(context: SnapshotContext) -> ir.Table:
    """Say how long each lead took to answer us for the first time, once it had.

    Only the first outbound touch that was known counts: later news can then not change who answered whom.

    Returns
    -------
    ibis table
        ``snapshot, touch_reply_delay_days``.
    """
    rows = context.rows.select("snapshot", "lead", "as_of")
    events = context.memoize("events", lambda: _events(context)).semi_join(rows, "lead")
    first = events.filter(events.outbound).group_by("lead").agg(first_outbound_at=ibis._.visible_at.min())
    answers = events.filter(events.inbound).select("lead", "visible_at")
    answers = answers.join(first, ["lead", answers.visible_at > first.first_outbound_at])
    answers = answers.group_by("lead", "first_outbound_at").agg(replied_at=answers.visible_at.min())
    answers = rows.join(answers, "lead")
    answers = answers.filter(point_in_time.known_by(answers.replied_at, answers.as_of))
    delay = point_in_time.days_between(answers.first_outbound_at, answers.replied_at)
    return answers.select("snapshot", touch_reply_delay_days=delay)


def _others(context: SnapshotContext) -> ir.Table:
    """Count the people known of the lead's company, and the others among them who did something lately."""
    tables, spec = context.tables, context.spec
    members = account_memberships(tables)
    rows = context.every.filter(context.every.account_id.notnull()).select("snapshot", "lead_id", "account_id", "as_of")
    company = ["account_id", "as_of"]
    dates = rows.select(*company).distinct()
    known = members.join(dates, "account_id")
    known = known.filter(point_in_time.current_at(known, known.as_of))
    totals = known.group_by(company).agg(acct_people_count=known.count().cast("float64"))
    rows = rows.left_join(totals, company).drop("account_id_right", "as_of_right")
    if not spec.has("events.kind"):
        return rows.select("snapshot", "acct_people_count")
    shared = members.group_by("account_id").agg(size=members.lead_id.nunique())
    shared = shared.filter(shared["size"] > 1)
    # What one person did counts once a day, whoever looks: pairs stay few.
    events = happened_events(tables, spec.excluded_kinds, spec.excluded_links).select(
        "lead_id", "visible_at", "occurred_at"
    )
    events = events.join(members.semi_join(shared, "account_id"), "lead_id")
    seen = events.join(dates, "account_id")
    lately = point_in_time.within_days(seen.visible_at, seen.occurred_at, seen.as_of, OTHERS_DAYS)
    seen = seen.filter(lately, point_in_time.current_at(seen, seen.as_of))
    active = seen.group_by(*company, "lead_id").agg(touches=seen.count())
    totals = active.group_by(company).agg(account_memberships=active.count(), touches=active.touches.sum())
    own = active.select("lead_id", "as_of", own_touches="touches")
    rows = rows.left_join(totals, company).drop("account_id_right", "as_of_right")
    rows = rows.left_join(own, ["lead_id", "as_of"]).drop("lead_id_right", "as_of_right")
    others = ibis.coalesce(rows.account_memberships, 0) - rows.own_touches.notnull().cast("int64")
    touches = ibis.coalesce(rows.touches, 0) - ibis.coalesce(rows.own_touches, 0)
    return rows.select(
        "snapshot",
        "acct_people_count",
        acct_others_active_count=others.cast("float64"),
        acct_others_touch_count=touches.cast("float64"),
    )


def features(context: SnapshotContext) -> ir.Table:
    """Give each snapshot its engagement and, from the same pass over the events, its sales activity.

    Every sum is over integers; one pass over the pairs of a snapshot and an event known by then.

    Returns
    -------
    ibis table
        ``snapshot`` and the features of engagement and sales activity; nothing done counts 0, a time since something
        that never was is unknown.
    """
    spec, parts = context.spec, []
    if spec.has("events.kind"):
        parts += [counts(context), distincts(context)]
    if spec.has("leads.account_id"):
        parts.append(context.memoize("others", lambda: _others(context)))
    if not spec.has("events.kind", "events.direction"):
        return join_facts(context.rows.select("snapshot"), *parts)
    rows = join_facts(context.rows.select("snapshot", "as_of"), *parts, replies(context))
    of_won = context.memoize("touches_of_won", lambda: sales_activity.touches_of_won(context))
    rows = rows.left_join(of_won, "as_of").drop("as_of", "as_of_right")
    share = rows.touch_outbound_count / rows.won_touch_mean.nullif(0)
    return rows.mutate(touch_outbound_to_win_share=share).drop("won_touch_mean")


def _finished(rows: ir.Table, names: list[str], spec: FeatureSpec) -> dict[str, ir.Value]:
    """Turn sums into features: counts and days as numbers, momentum, decay and shares worked out."""
    day = point_in_time.MICROSECONDS_PER_DAY
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
    return values | (sales_activity.finished(rows) if spec.has("events.direction") else {})


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
                 clearer_columns=(f"touch_{middle}d_count", "touch_recency_days"), **counted)  # fmt: skip
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
        f"Days since the last of the kind {kind}", lately, never, against=silent,
        clearer_columns=(f"touch_{name}_count",),
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
