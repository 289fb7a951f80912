"""What flows into a company's feature matrix: chosen once, at training, and kept with the model."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime

import ibis
import ibis.expr.types as ir

from features import point_in_time
from features.schema import Tables
from features.set_aside import stand_ins, without_words
from features.versions import happened_events

KINDS_LIMIT = 15
WORDS_LIMIT = 30
CHANNELS_LIMIT = 6
TOPICS_LIMIT = 6
WORDS = ("source", "campaign", "entry", "kind", "product")
"""Columns of leads whose words are features."""
CONVERTING = ("source", "campaign", "product", "owner_id")
"""Columns of leads, besides their text attributes, whose values are told apart by how their leads converted."""

RECENT_RATIO = ("source", "campaign", "owner_id")
"""Those of them whose last months are looked at as well."""
COMPANY_FIELDS = ("employees", "annual_revenue", "industry", "country", "founded_year")
LINKS = ("contact_id", "email", "phone", "account_id")
"""Columns of leads by which events find them."""
FORM_FIELDS = ("email", "phone", "title", "name", "company_name")
"""What a person fills in; a field written later by sales would tell the future."""


def slugs(words: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Give each of a company's own words a name fit for a column; different words get different names, none `taken`."""
    names: dict[str, str] = {}
    for word in words:
        plain = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode().lower()
        name = base = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "other"
        number = 2
        while name in names.values() or name in taken:
            name, number = f"{base}_{number}", number + 1
        names[word] = name
    return names


def _attribute_type(column: ir.Column) -> str | None:
    """Say how an attribute flows in: as a 'number', a 'time' or a 'category'; None if it cannot."""
    kind = column.type()
    if kind.is_numeric() or kind.is_boolean():
        return "number"
    if kind.is_temporal() and not kind.is_time() and not kind.is_interval():
        return "time"
    return "category" if kind.is_string() else None


def without_addresses(value: ir.StringValue) -> ir.StringValue:
    """Leave out a word that holds a mail address: it is a person's, and no word of the business."""
    address = value.contains("@") & value.re_search(r"[^\s@]+@[^\s@]+\.[^\s@]+")
    return ibis.ifelse(address, ibis.null("string"), value)


def _most_frequent(values: ir.Table, column: str, limit: int) -> tuple[str, ...]:
    counts = values.filter(without_addresses(values[column]).notnull()).group_by(column).agg(rows=ibis._.count())
    counts = counts.order_by(counts.rows.desc(), counts[column].asc()).limit(limit)
    return tuple(counts.to_pandas()[column])


@dataclass(frozen=True)
class FeatureSpec:
    """All that is needed to build the same features again on another day.

    Parameters
    ----------
    columns : tuple of str
        The company's own canonical columns that may be used, as ``table.column``.
    lead_attributes, account_attributes : tuple of (str, str)
        The company's other columns that may be used, each with its type: 'number', 'time' or 'category'.
    event_kinds, channels, topics : tuple of str
        The most frequent kinds, channels and topics of events, most frequent first.
    excluded_kinds : tuple of str
        Kinds of events that must stay out: no feature counts them, not even among all events.
    outbound_kinds : tuple of str
        Those kinds that mostly the company's own people do.
    windows_days : tuple of int
        How far back events are counted; ascending.
    primary_horizon_days : int
        The horizon at which the calendar is read as well.
    timezone : str
        Where the company's days begin and end.
    fiscal_year_start_month : int
        1 to 12.
    wide_columns : tuple of str
        Columns of leads with so many different words that only the words' conversion is used, not the words.
    history_days : int
        Days from the first lead to training. A season can be told from a trend only where it came round twice.
    set_aside : tuple of (str, str)
        Words, each with its column as ``table.column``, that no feature reads; see `features.set_aside`.
    stand_ins : tuple of (str, str or None, str)
        What is drawn in their place.
    planned : tuple of str
        Columns of dates, as ``table.column``, of which it is known what they were at any date: those may lie ahead.
    excluded_links : tuple of str
        Columns of leads that must stay out, so that events which found their lead by them do as well.
    """

    columns: tuple[str, ...]
    lead_attributes: tuple[tuple[str, str], ...] = ()
    account_attributes: tuple[tuple[str, str], ...] = ()
    event_kinds: tuple[str, ...] = ()
    excluded_kinds: tuple[str, ...] = ()
    outbound_kinds: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    windows_days: tuple[int, ...] = (7, 30, 90)
    primary_horizon_days: int = 90
    timezone: str = "UTC"
    fiscal_year_start_month: int = 1
    wide_columns: tuple[str, ...] = ()
    history_days: int = 3650
    set_aside: tuple[tuple[str, str], ...] = ()
    stand_ins: tuple[tuple[str, str | None, str], ...] = ()
    planned: tuple[str, ...] = ()
    excluded_links: tuple[str, ...] = ()

    @classmethod
    def from_tables(
        cls,
        tables: Tables,
        known_at: datetime,
        *,
        windows_days: Collection[int] = (7, 30, 90),
        primary_horizon_days: int = 90,
        timezone: str = "UTC",
        fiscal_year_start_month: int = 1,
        excluded: Collection[str] = (),
        excluded_kinds: Collection[str] = (),
        set_aside: Mapping[str, Collection[str]] | None = None,
        known_at_creation: Collection[str] = (),
    ) -> FeatureSpec:
        """Choose what flows in, from what the company has and what was known at ``known_at``.

        Parameters
        ----------
        tables : Tables
        known_at : datetime
            Kinds, channels and topics of events are those seen by then.
        windows_days, primary_horizon_days, timezone, fiscal_year_start_month
            As in the class.
        excluded, excluded_kinds : collection of str
            What must stay out: columns, as ``table.column``, and kinds of events. What is reached only through such
            a column stays out with it: without ``leads.account_id``, all of the company.
        set_aside : mapping of str to collection of str, optional
            Words that must stay out, by their column as ``table.column``.
        known_at_creation : collection of str
            Columns, as ``table.column``, which a person says never change. A date in one of them, or in one with a
            history in ``changes``, may be looked at while it lies ahead.
        """
        unreached = {"accounts"} if "leads.account_id" in excluded else set()

        def allowed(table: str, column: str) -> bool:
            return table not in unreached and f"{table}.{column}" not in excluded

        columns = tuple(
            sorted(
                f"{table}.{name}" for table, names in tables.present.items() for name in names if allowed(table, name)
            )
        )
        attributes = {}
        for table in ("leads", "accounts"):
            names = [name for name in tables.attributes.get(table, ()) if allowed(table, name)]
            typed = [(name, _attribute_type(getattr(tables, table)[name])) for name in names]
            attributes[table] = tuple((name, type_) for name, type_ in typed if type_)
        kinds: tuple[str, ...] = ()
        kinds_out: tuple[str, ...] = ()
        channels: tuple[str, ...] = ()
        topics: tuple[str, ...] = ()
        outbound: tuple[str, ...] = ()
        if tables.has("events"):
            links = tuple(name for name in LINKS if f"leads.{name}" in excluded)
            events = happened_events(tables, excluded_links=links)
            events = events.filter(point_in_time.known_by(events.visible_at, known_at))
            if excluded_kinds:
                left_out = events.filter(events.kind.isin(sorted(excluded_kinds))).select("kind").distinct()
                kinds_out = tuple(sorted(left_out.to_pandas()["kind"]))
                events = events.filter(events.kind.notin(kinds_out)) if kinds_out else events
            kinds = _most_frequent(events, "kind", KINDS_LIMIT)
            if "events.channel" in columns:
                channels = _most_frequent(events, "channel", CHANNELS_LIMIT)
            if "events.topic" in columns:
                topics = _most_frequent(events, "topic", TOPICS_LIMIT)
            if "events.direction" in columns:
                shares = events.group_by("kind").agg(
                    ours=(events.direction == "outbound").cast("int64").sum(), rows=events.direction.count()
                )
                shares = shares.to_pandas()
                ours_mostly = set(shares.kind[shares.ours * 2 > shares.rows])
                outbound = tuple(kind for kind in kinds if kind in ours_mostly)
        leads = tables.leads.filter(point_in_time.known_by(tables.leads.known_at, known_at))
        aside = {name: words for name, words in (set_aside or {}).items() if allowed(*name.split(".", 1))}
        drawn = [
            drawn
            for name, words in sorted(aside.items())
            for drawn in stand_ins(
                leads if name.startswith("leads.") else tables.accounts, name.split(".", 1)[1], name, words
            )
        ]
        words = [name for name in WORDS if f"leads.{name}" in columns]
        words += [name for name, type_ in attributes["leads"] if type_ == "category"]
        facts = leads.agg(
            first=point_in_time.days_between(leads.known_at.min(), known_at),
            **{name: leads[name].nunique() for name in words},
        )
        found = facts.to_pandas().iloc[0]
        return cls(
            columns=columns,
            wide_columns=tuple(name for name in words if found[name] > WORDS_LIMIT),
            history_days=0 if found["first"] != found["first"] else int(found["first"]),
            lead_attributes=attributes["leads"],
            account_attributes=attributes["accounts"],
            event_kinds=kinds,
            excluded_kinds=kinds_out,
            outbound_kinds=outbound,
            channels=channels,
            topics=topics,
            windows_days=tuple(sorted(set(windows_days))),
            primary_horizon_days=primary_horizon_days,
            timezone=timezone,
            fiscal_year_start_month=fiscal_year_start_month,
            set_aside=tuple((name, word) for name in sorted(aside) for word in sorted(aside[name])),
            stand_ins=tuple(drawn),
            planned=tuple(
                f"{table}.{name}"
                for table, typed in attributes.items()
                for name, type_ in typed
                if type_ == "time" and (f"{table}.{name}" in known_at_creation or name in tables.tracked(table))
            ),
            excluded_links=tuple(name for name in LINKS if f"leads.{name}" in excluded),
        )

    def without_set_aside(self, value: ir.StringValue, key: ir.StringValue, qualified: str) -> ir.StringValue:
        """Give a column (``table.column``) of rows with the id `key` without its set-aside words."""
        words: dict[str, list[str]] = {}
        for name, word in self.set_aside:
            words.setdefault(name, []).append(word)
        return without_words(value, key, qualified, words, self.stand_ins)

    def has(self, *columns: str) -> bool:
        """Whether all of these (``table.column``) may be used."""
        return all(column in self.columns for column in columns)

    @property
    def middle_window_days(self) -> int:
        """The window used where one is enough."""
        return self.windows_days[len(self.windows_days) // 2]

    @property
    def kind_windows_days(self) -> tuple[int, ...]:
        """The windows over which each kind of event is counted; its count so far stands for longer ones."""
        return self.windows_days[: len(self.windows_days) // 2 + 1]

    def form_columns(self) -> list[str]:
        """Name the contact's fields that the company keeps."""
        return [f"leads.{name}" for name in FORM_FIELDS if self.has(f"leads.{name}")]

    def company_columns(self) -> list[str]:
        """Name the canonical fields of a company that may be used."""
        return [f"accounts.{name}" for name in COMPANY_FIELDS if self.has("accounts.account_id", f"accounts.{name}")]

    def word_columns(self) -> list[str]:
        """Name the canonical columns of leads whose words are features themselves."""
        return [name for name in WORDS if self.has(f"leads.{name}") and name not in self.wide_columns]

    def has_quarters(self) -> bool:
        """Whether the history holds enough quarter ends to learn from."""
        return self.history_days >= 365

    def has_seasons(self) -> bool:
        """Whether the history holds every month twice."""
        return self.history_days >= 730

    def has_open_deals(self) -> bool:
        """Whether it can be known that a deal was open before it closed."""
        return self.has("deals.opened_at") or self.has("deals.recorded_at")

    def has_deal_history(self, column: str) -> bool:
        """Whether it is known what a column of an open deal was at a date."""
        return self.has(f"deals.{column}") and (self.has("deals.recorded_at") or self.has(f"changes.deals.{column}"))

    def kind_names(self) -> dict[str, str]:
        """Name each kind of event so that none is mistaken for a count of ours ('inbound', 'channel_web', '7d')."""
        taken = {"inbound", "outbound", "active_days", "topics"}
        taken |= {f"channel_{name}" for name in slugs(self.channels).values()}
        taken |= {f"topic_{name}" for name in slugs(self.topics).values()}
        windows = [f"{days}d" for days in self.windows_days]
        taken |= {f"{name}_{window}" for name in slugs(self.event_kinds).values() for window in windows}
        return slugs(self.event_kinds, taken=taken | set(windows))

    def attribute_names(self, table: str) -> dict[str, str]:
        """Name the feature of each attribute of ``leads`` or ``accounts``."""
        attributes = self.lead_attributes if table == "leads" else self.account_attributes
        prefix = "lead" if table == "leads" else "acct"
        # "own" keeps a company's column apart from a feature of ours that happens to have its name.
        return {word: f"{prefix}_own_{slug}" for word, slug in slugs(name for name, _ in attributes).items()}

    def planned_features(self) -> tuple[str, ...]:
        """Name the features that count the days since (negative: until) a date that may lie ahead."""
        return tuple(
            name
            for table in ("leads", "accounts")
            for column, name in self.attribute_names(table).items()
            if f"{table}.{column}" in self.planned
        )

    def converting_columns(self) -> dict[str, str]:
        """Name the feature stem of each column of leads whose values are told apart by how their leads converted."""
        stems = {name: f"lead_{name.removesuffix('_id')}" for name in CONVERTING if self.has(f"leads.{name}")}
        own = self.attribute_names("leads")
        return stems | {name: own[name] for name, type_ in self.lead_attributes if type_ == "category"}

    def to_json(self) -> str:
        """Give the spec as JSON text."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> FeatureSpec:
        """Read what `to_json` wrote."""
        found = json.loads(text)
        values = {item.name: found[item.name] for item in fields(cls)}
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(tuple(part) if isinstance(part, list) else part for part in value)
        return cls(**values)
