"""The catalogue: every feature's name, unit, theme and origin, and the sentence that sales reads."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from features import wording
from features.spec import RECENT_RATIO, FeatureSpec, slugs

THEMES = ("fit", "source", "engagement", "sales activity", "history", "timing")


@dataclass(frozen=True)
class Feature:
    """One column of the feature matrix and what it tells.

    Parameters
    ----------
    name : str
        Its column; the prefix is its provenance.
    unit : str
        'count', 'days', 'share', 'ratio' (1 is average), 'money', 'number', 'yes or no', 'rank', 'weekday', 'month',
        'years' or 'category'.
    theme : str
        One of `THEMES`.
    provenance : str
        The tables and columns it is built from.
    group : str
        Features that tell the same signal; a reader is shown one of them.
    meaning : str
        What it is, for people who work with data.
    text : str
        What sales reads. It may hold ``{value}`` (with its unit), ``{times}``, ``{count}``.
    unknown : str
        What sales reads where it is unknown; also says what unknown means.
    none : str
        What sales reads for 0; as `text` where empty.
    against : str
        What sales reads of a word, or of a time of a day or more, that speaks against the lead; as `text` where empty.
    low, low_below : str, float
        What sales reads for a value below ``low_below``; as `text` where empty.
    noun, plural : str
        What ``{count}`` counts.
    is_reason : bool
        Whether sales may be shown it. What tells of the person and not of the business is never a reason.
    is_rising : bool
        Whether more of it can only mean a better chance to be won, by what it is: a model may be held to that.
    """

    name: str
    unit: str
    theme: str
    provenance: str
    group: str
    meaning: str
    text: str
    unknown: str
    none: str = ""
    against: str = ""
    low: str = ""
    low_below: float = 0.0
    noun: str = ""
    plural: str = ""
    is_reason: bool = True
    is_rising: bool = False

    @property
    def is_category(self) -> bool:
        """Whether the column holds words."""
        return self.unit == "category"


def sentence(feature: Feature, value: float | str | None, favourable: bool) -> str:
    """Say in sales' own words what a feature tells of a lead.

    Parameters
    ----------
    feature : Feature
    value : float, str or None
        As in the matrix; None and NaN are unknown.
    favourable : bool
        Whether it speaks for the lead.
    """
    if value is None or value != value or value == "":
        return feature.unknown
    against = bool(feature.against) and not favourable
    if isinstance(value, str):
        return (feature.against if against else feature.text).format(value=wording.readable_value(value))
    value = float(value)
    if feature.none and round(value, 3) == 0:
        return feature.none
    template = feature.text
    if feature.low and value < feature.low_below:
        template = feature.low
    elif against and (feature.unit != "days" or value >= 1):
        template = feature.against
    return template.format(
        value=_with_unit(feature.unit, value),
        times=wording.times(value),
        count=wording.counted(value, feature.noun or "time", feature.plural or None),
    )


def _with_unit(unit: str, value: float) -> str:
    if unit == "days":
        return wording.days(value)
    if unit == "years":
        return wording.counted(value, "year")
    if unit == "share":
        return f"{value:.0%}"
    if unit == "weekday":
        return calendar.day_name[round(value) % 7]
    if unit == "month":
        return calendar.month_name[(round(value) - 1) % 12 + 1]
    if unit == "rank":
        return ("unknown", "junior", "staff", "manager", "director", "top management")[min(max(round(value), 0), 5)]
    if unit == "ratio":
        return f"{value:.1f}"
    return wording.number(value)


def _timing(spec: FeatureSpec) -> Iterator[Feature]:
    made, date = "leads.created_at", "the date itself"
    yield Feature(
        "lead_age_days", "days", "timing", made, "lead_age", "Days since the lead was created",
        "Came in {value} ago", "Unknown when it came in", against="Has been open for {value}",
    )  # fmt: skip
    yield Feature(
        "lead_created_weekday", "weekday", "timing", made, "lead_created_weekday", "Weekday of creation, Monday is 0",
        "Came in on a {value}", "Unknown when it came in",
    )  # fmt: skip
    yield Feature(
        "cal_weekday", "weekday", "timing", date, "cal_season", "Weekday of the date, Monday is 0",
        "Today is a {value}", "Unknown weekday",
    )  # fmt: skip
    if spec.has_seasons():
        yield _month()
    if spec.has_quarters():
        yield from _quarters(spec)


def _month() -> Feature:
    return Feature(
        "cal_month", "month", "timing", "the date itself", "cal_season", "Month of the date",
        "Time of the year: {value}", "Unknown month",
    )  # fmt: skip


def _quarters(spec: FeatureSpec) -> Iterator[Feature]:
    date = "the date itself"
    yield Feature(
        "cal_quarter_end_days", "days", "timing", date, "cal_quarter", "Days to the end of the fiscal quarter",
        "The quarter ends in {value}", "Unknown quarter",
    )  # fmt: skip
    yield Feature(
        "cal_quarter_end_at_horizon_days", "days", "timing", date, "cal_quarter",
        f"Days to the end of the fiscal quarter, {spec.primary_horizon_days} days from the date",
        f"In {spec.primary_horizon_days} days, a quarter's end is {{value}} away", "Unknown quarter",
    )  # fmt: skip


def _own(spec: FeatureSpec, table: str) -> Iterator[Feature]:
    attributes = spec.lead_attributes if table == "leads" else spec.account_attributes
    names = spec.attribute_names(table)
    for column, type_ in attributes:
        if table == "leads" and column in spec.wide_columns:
            continue
        words = wording.readable(column)
        label = words[:1].upper() + words[1:]
        personal = bool(wording.PERSONAL.search(words.replace(" ", "_")))
        unit = {"number": "number", "time": "days", "category": "category"}[type_]
        text = f"{label}: {{value}} ago" if type_ == "time" else f"{label}: {{value}}"
        yield Feature(
            names[column], unit, "fit", f"{table}.{column}", names[column],
            f"The company's own column {column}" + (", days since" if type_ == "time" else ""),
            text, f"{label} not known", is_reason=not personal,
        )  # fmt: skip


def _fit(spec: FeatureSpec) -> Iterator[Feature]:
    yield from _own(spec, "leads")
    if spec.has("leads.email"):
        yield Feature(
            "lead_free_mail", "yes or no", "fit", "leads.email", "lead_free_mail",
            "Whether the mail address is one that anyone can have (1) or a company's own (0)",
            "Writes from a free mail address", "No readable mail address", none="Writes from a company's mail address",
        )  # fmt: skip
    if len(spec.form_columns()) > 1:
        yield Feature(
            "lead_filled_share", "share", "fit", ", ".join(spec.form_columns()), "lead_filled",
            "Share of the contact's fields that are filled in",
            "{value} of the contact's details are filled in", "Contact's details unknown",
            none="None of the contact's details are filled in",
        )  # fmt: skip
    if spec.has("leads.title"):
        yield Feature(
            "lead_title_seniority", "rank", "fit", "leads.title", "lead_title",
            "Seniority read from the job title: 1 junior, 2 staff, 3 manager, 4 director, 5 top management",
            "Job title: {value}", "No job title",
        )  # fmt: skip
        yield Feature(
            "lead_title_department", "category", "fit", "leads.title", "lead_title_department",
            "Department read from the job title", "Works in {value}", "No job title",
        )  # fmt: skip
    if spec.has("accounts.employees"):
        yield Feature(
            "acct_employees", "count", "fit", "accounts.employees", "acct_size", "Employees of the company",
            "Company of {count}", "Company size not known", noun="person", plural="people",
        )  # fmt: skip
    if spec.has("accounts.annual_revenue"):
        yield Feature(
            "acct_annual_revenue", "money", "fit", "accounts.annual_revenue", "acct_size",
            "The company's own revenue a year", "Company with a revenue of {value} a year", "Company revenue not known",
        )  # fmt: skip
    for name in ("industry", "country"):
        if spec.has(f"accounts.{name}"):
            label = name.capitalize()
            yield Feature(
                f"acct_{name}", "category", "fit", f"accounts.{name}", f"acct_{name}", f"{label} of the company",
                f"{label}: {{value}}", f"{label} not known",
            )  # fmt: skip
    if spec.has("accounts.founded_year"):
        yield Feature(
            "acct_age_years", "years", "fit", "accounts.founded_year", "acct_age_years", "Years since the founding",
            "Company founded {value} ago", "Company's age not known",
        )  # fmt: skip
    if spec.has("accounts.account_id"):
        yield from _own(spec, "accounts")


def _source(spec: FeatureSpec) -> Iterator[Feature]:
    for name in spec.word_columns():
        label = "Came in as" if name == "entry" else name.capitalize()
        yield Feature(
            f"lead_{name}", "category", "source", f"leads.{name}", f"lead_{name}", f"The lead's {name}",
            f"{label}: {{value}}", f"{name.capitalize()} not known",
        )  # fmt: skip
    for column, stem in spec.converting_columns().items():
        own = column == "owner_id"
        noun = {"owner_id": "this salesperson"}.get(column, f"the same {wording.readable(column)}")
        origin = f"leads.{column}, earlier leads and their ends"
        theme = "history" if own else "source"
        yield Feature(
            f"{stem}_conversion_ratio", "ratio", theme, origin, stem,
            "Wins so far over those expected of leads of the same ages; 1 is average",
            f"Leads with {noun} were won {{value}} times as often as usual", "No earlier leads to compare with",
            is_rising=True,
        )  # fmt: skip
        if column in RECENT_RATIO:
            yield Feature(
                f"{stem}_recent_ratio", "ratio", "history", origin, stem,
                "As the conversion ratio, over the last 90 days only",
                f"Lately, leads with {noun} were won {{value}} times as often as usual",
                "No earlier leads to compare with", is_rising=True,
            )  # fmt: skip


def _engagement(spec: FeatureSpec) -> Iterator[Feature]:
    middle = spec.middle_window_days

    def of(name: str, unit: str, meaning: str, text: str, unknown: str, **more: Any) -> Feature:
        group = more.pop("group", "touch")
        theme, origin = more.pop("theme", "engagement"), more.pop("provenance", "events")
        return Feature(f"touch_{name}", unit, theme, origin, group, meaning, text, unknown, **more)

    nothing = "Nothing has happened so far"
    if spec.has("events.kind"):
        counted = {"noun": "contact"}
        yield of("count", "count", "Events so far", "{count} so far", nothing, none=nothing, **counted)
        yield of("recency_days", "days", "Days since the last event", "Last contact {value} ago", nothing,
                 against="Nothing has happened for {value}")  # fmt: skip
        for days in spec.windows_days:
            yield of(f"{days}d_count", "count", f"Events in the last {days} days", f"{{count}} in the last {days} days",
                     nothing, none=f"Nothing in the last {days} days", **counted)  # fmt: skip
        yield of("momentum_ratio", "ratio", "Events of the last 7 days against the weekly average of the 21 before, "
                 "each plus 1", "At {value} times last month's pace", nothing,
                 low="Has cooled down: {value} times last month's pace", low_below=1.0)  # fmt: skip
        yield of("decayed_count", "number", "Events so far, each counting half after every 14 days", "Busy lately",
                 nothing, none="Quiet for a long time", low="Little has happened lately", low_below=1.0)  # fmt: skip
        yield of("active_days_count", "count", "Different days with an event", "Active on {count} so far", nothing,
                 none=nothing, noun="day")  # fmt: skip
        yield of(f"active_days_{middle}d_count", "count", f"Different days with an event in the last {middle} days",
                 f"Active on {{count}} in the last {middle} days", nothing,
                 none=f"Nothing in the last {middle} days", noun="day")  # fmt: skip
        if spec.has("events.topic"):
            yield of("topics_count", "count", "Different topics so far", "Looked at {count}", "No topic so far",
                     none="No topic so far", noun="topic", group="touch_topics", provenance="events.topic")  # fmt: skip
        for kind, name in slugs(spec.event_kinds).items():
            yield from _kind(kind, name, spec)
        for channel, name in slugs(spec.channels).items():
            plain = wording.readable(channel)
            yield of(f"channel_{name}_{middle}d_count", "count", f"Events by {channel} in the last {middle} days",
                     f"{{count}} by {plain} in the last {middle} days", nothing,
                     none=f"Nothing by {plain} in the last {middle} days", noun="contact",
                     group=f"touch_channel_{name}", provenance="events.channel")  # fmt: skip
    if spec.has("events.direction"):
        shared = {"group": "touch_inbound", "provenance": "events.direction"}
        silent = "Has not got in touch so far"
        silence = "Has not got in touch for {value}"
        yield of("inbound_count", "count", "Events from the lead's side so far", "Got in touch {times} so far", silent,
                 none=silent, **shared)  # fmt: skip
        yield of("inbound_recency_days", "days", "Days since the lead last got in touch",
                 "Last got in touch {value} ago", silent, against=silence, **shared)  # fmt: skip
        for days in spec.windows_days:
            yield of(f"inbound_{days}d_count", "count", f"Events from the lead's side in the last {days} days",
                     f"Got in touch {{times}} in the last {days} days", silent,
                     none=f"Has not got in touch in the last {days} days", **shared)  # fmt: skip
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
                none="No contact with others at this company in the last 30 days", noun="contact",
            )  # fmt: skip


def _kind(kind: str, name: str, spec: FeatureSpec) -> Iterator[Feature]:
    """One kind of event: how lately, and how often over each window."""
    did, noun = wording.event_words(kind)
    theme = "sales activity" if kind in spec.outbound_kinds else "engagement"
    never = f"No {noun} so far"
    yield Feature(
        f"touch_{name}_recency_days", "days", theme, f"events.kind {kind}", f"touch_{name}",
        f"Days since the last {kind}", f"Last {noun} {{value}} ago", never, against=f"No {noun} for {{value}}",
    )  # fmt: skip
    for days in spec.windows_days:
        yield Feature(
            f"touch_{name}_{days}d_count", "count", theme, f"events.kind {kind}", f"touch_{name}",
            f"How often {kind} in the last {days} days", f"{did} {{times}} in the last {days} days", never,
            none=f"No {noun} in the last {days} days",
        )  # fmt: skip


def _sales_activity(spec: FeatureSpec) -> Iterator[Feature]:
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
                        f"We got in touch {{times}} in the last {days} days", idle,
                        none=f"We have not got in touch in the last {days} days")  # fmt: skip
        yield touch("speed_to_lead_days", "days", "Days from the lead's creation to our first touch",
                    "We first got in touch after {value}", idle, none="We got in touch at once",
                    group="touch_speed_to_lead")  # fmt: skip
        yield touch("inbound_share", "share", "Share of the events that came from the lead's side",
                    "{value} of the contacts came from the lead", "Nothing has happened so far",
                    none="A monologue: the lead has never got in touch", group="touch_inbound_share")  # fmt: skip
    if spec.has_open_deals():

        def deal(name: str, unit: str, meaning: str, text: str, unknown: str, **more: Any) -> Feature:
            group = f"deal_{name}"
            return Feature(f"deal_{name}", unit, "sales activity", "deals", group, meaning, text, unknown, **more)

        yield deal("open_count", "count", "Open deals of the lead", "{count}", "No open deal", none="No open deal",
                   noun="open deal")  # fmt: skip
        yield deal("age_days", "days", "Days since the oldest open deal was opened", "Deal opened {value} ago",
                   "No open deal", against="Deal has been open for {value}")  # fmt: skip
        if spec.has("deals.recorded_at", "deals.stage"):
            yield deal("stage", "category", "Stage of the open deal", "Deal stage: {value}", "No deal stage known")
        if spec.has("deals.recorded_at", "deals.amount"):
            yield deal("amount", "money", "Amount of the open deals", "Open deal of {value}", "No deal amount known")
            yield deal("amount_changed_count", "count", "How often a deal's amount changed",
                       "Deal amount changed {times}", "No deal", none="Deal amount never changed")  # fmt: skip
        if spec.has("deals.recorded_at", "deals.expected_close_at"):
            yield deal("expected_close_days", "days", "Days to the deal's planned closing (negative: overdue)",
                       "Planned closing {value} away", "No planned closing")  # fmt: skip
            yield deal("pushed_count", "count", "How often a deal's planned closing was put off",
                       "Planned closing put off {times}", "No deal", none="Planned closing never put off")  # fmt: skip


def _history(spec: FeatureSpec) -> Iterator[Feature]:
    if not spec.has("leads.account_id"):
        return

    def of(name: str, unit: str, meaning: str, text: str, unknown: str, **more: Any) -> Feature:
        return Feature(f"acct_{name}", unit, "history", "deals, leads.account_id", "acct_history", meaning, text,
                       unknown, **more)  # fmt: skip

    yield of("won_count", "count", "Deals the company has won us so far", "Customer with {count} so far",
             "Company not known", none="Not a customer yet", noun="deal")  # fmt: skip
    yield of("lost_count", "count", "Deals with the company lost so far", "{count} with this company so far",
             "Company not known", none="No lost deal with this company", noun="lost deal")  # fmt: skip
    yield of("last_won_days", "days", "Days since the company last bought", "Last bought {value} ago",
             "Not a customer yet")  # fmt: skip
    if spec.has("deals.amount"):
        yield of("revenue", "money", "Revenue with the company so far", "Has bought for {value} so far",
                 "Company not known", none="No revenue with this company yet")  # fmt: skip


def entries(spec: FeatureSpec) -> list[Feature]:
    """Give one entry for each column of the feature matrix, in the matrix's order.

    Parameters
    ----------
    spec : FeatureSpec
    """
    parts = (_fit, _source, _engagement, _sales_activity, _history, _timing)
    return [feature for part in parts for feature in part(spec)]
