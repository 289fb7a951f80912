"""Since when a rule has been true of a lead: the first instant, by what was known then, in each of its episodes.

A fact counts for the episode in which it became known: of a lead's first episode also what was known before the lead
was, of one that was lost nothing after its end. Nothing known after the date that is asked about counts.
"""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from features import lifecycle, point_in_time
from features.schema import TIME, Tables, materialise
from features.versions import change_spans, happened_events
from pipeline.archive.forecasts import Forecasts, read_scores
from pipeline.config.stage_rules import Combined, Created, Date, Deal, Event, Field, Rule, Score
from pipeline.ingest.column_mapping import near_column
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.own_words import own_words

KEYS = ["lead_id", "episode"]
NOT_REACHED = 2**63 - 1
"""The instant of what has not happened."""


def episodes_table(tables: Tables, as_of: datetime, amount_window_days: int) -> ir.Table:
    """Give every episode of every lead known at a date, and over which time its facts count.

    Returns
    -------
    ibis table
        As `lifecycle.outcomes`, with ``started_at`` (when the lead was created, or the episode began), ``opens_at``
        and ``ends_at``: what became known from the one to the other belongs to the episode.
    """
    rows = lifecycle.outcomes(tables, as_of, amount_window_days)
    started_at = ibis.ifelse(
        rows.episode == 1, rows.created_at, ibis.coalesce(rows.episode_started_at, rows.created_at)
    )
    is_over = rows.outcome.isin(["lost", "unknown", "joined"])
    now = point_in_time.instant(as_of)
    rows = rows.mutate(
        started_at=started_at.cast(TIME),
        opens_at=ibis.ifelse(rows.episode == 1, point_in_time.instant(point_in_time.ALWAYS), started_at).cast(TIME),
        ends_at=ibis.ifelse(is_over, ibis.coalesce(rows.end_known_at, rows.ended_at), now).cast(TIME),
    )
    return materialise(rows)


class StageDates:
    """Dates rules for the leads of a company, as of a date.

    Parameters
    ----------
    company : LoadedCompany
    episodes : ibis table
        What `episodes_table` gives.
    as_of : datetime
        Naive UTC.
    """

    def __init__(self, company: LoadedCompany, episodes: ir.Table, as_of: datetime) -> None:
        self.company, self.tables, self.as_of = company, company.tables, as_of
        self.episodes = episodes
        self._spans = episodes.select(*KEYS, "opens_at", "ends_at")
        self._stages: dict[str, ir.Table] = {}

    def date(self, name: str, rule: Rule) -> ir.Table:
        """Say since when a stage's rule has been true: ``lead_id, episode, at``, a row for each of which it is."""
        found = materialise(self._rule(rule))
        self._stages[name] = found
        return found

    def _rule(self, rule: Rule) -> ir.Table:
        if isinstance(rule, Combined):
            return self._combined(rule)
        if isinstance(rule, Created):
            return self.episodes.select(*KEYS, at="started_at")
        if isinstance(rule, Event):
            return self._event(rule)
        if isinstance(rule, Deal):
            return self._deal(rule)
        if isinstance(rule, Field):
            return self._first(self._field(rule))
        if isinstance(rule, Date):
            return self._first(self._dated(rule))
        return self._first(self._graded(rule))

    def _combined(self, rule: Combined) -> ir.Table:
        parts = [self._rule(part) for part in rule.rules]
        every = reduce(lambda left, right: left.union(right), parts)
        grouped = every.group_by(KEYS)
        if rule.how == "any":
            return grouped.agg(at=every["at"].min())
        both = grouped.agg(at=every["at"].max(), true_count=every.count())
        return both.filter(both.true_count == len(parts)).drop("true_count")

    def _in_episode(self, facts: ir.Table) -> ir.Table:
        """Give each fact (``lead_id, at`` and more) the episode in which it became known."""
        pairs = facts.join(self._spans, "lead_id")
        return pairs.filter(pairs["at"] >= pairs.opens_at, pairs["at"] <= pairs.ends_at).drop("opens_at", "ends_at")

    def _first(self, facts: ir.Table) -> ir.Table:
        pairs = self._in_episode(facts.select("lead_id", "at"))
        return pairs.group_by(KEYS).agg(at=pairs["at"].min())

    def _event(self, rule: Event) -> ir.Table:
        events = happened_events(self.tables)
        events = events.filter(events.lead_id.notnull())
        if rule.kinds:
            events = events.filter(events.kind.strip().lower().isin([kind.strip().lower() for kind in rule.kinds]))
        if rule.direction:
            events = events.filter(events.direction == rule.direction)
        facts = events.select("lead_id", "occurred_at", at=events.visible_at.cast(TIME))
        pairs = self._in_episode(facts)
        if rule.after is not None:
            reached = self._stages[rule.after].rename(reached_at="at")
            pairs = pairs.join(reached, KEYS)
            pairs = pairs.filter(pairs["at"] > pairs.reached_at).drop("reached_at")
        if rule.count == 1:
            return pairs.group_by(KEYS).agg(at=pairs["at"].min())
        return self._counted(pairs, rule)

    def _counted(self, pairs: ir.Table, rule: Event) -> ir.Table:
        """Find when so many events of one window were known: the latest of the first so many known in it."""
        by_lead = [pairs[key] for key in KEYS]
        if rule.within_days is None:
            place = ibis.row_number().over(ibis.window(group_by=by_lead, order_by=pairs["at"]))
            nth = pairs.mutate(place=place)
            return nth.filter(nth.place == rule.count - 1).select(*KEYS, "at")
        second = point_in_time.microseconds_between(
            point_in_time.instant(point_in_time.ALWAYS), pairs.occurred_at
        ).cast("int64")
        pairs = pairs.mutate(second=second)
        length = rule.within_days * point_in_time.MICROSECONDS_PER_DAY - 1
        window = ibis.window(group_by=[pairs[key] for key in KEYS], order_by=pairs["second"], range=(-length, 0))
        known = pairs.mutate(known=pairs["at"].collect().over(window))
        known = known.filter(known.known.length() >= rule.count)
        known = known.mutate(at=known.known.sort()[rule.count - 1])
        return known.group_by(KEYS).agg(at=known["at"].min())

    def _deal(self, rule: Deal) -> ir.Table:
        deals = lifecycle.lead_deal_versions(self.tables)
        deals = deals.filter(deals.lead_id.notnull(), deals.known_from < deals.known_until)
        if rule.what == "won":
            # Won is who is won as of the date: a win that was taken back is none.
            won = self.episodes.filter(self.episodes.outcome == "won")
            first = self._first(deals.filter(deals.outcome == "won").select("lead_id", at="known_from"))
            found = won.left_join(first, KEYS)
            return found.select(*KEYS, at=ibis.coalesce(found["at"], found.end_known_at, found.ended_at).cast(TIME))
        if rule.what == "stage":
            wanted = [stage.strip().lower() for stage in rule.stages]
            deals = deals.filter(deals.stage.strip().lower().isin(wanted))
        return self._first(deals.select("lead_id", at="known_from"))

    def _field(self, rule: Field) -> ir.Table:
        words = own_words(self.company, rule.column)
        wanted = [word.strip().lower() for word in rule.values]
        return words.filter(words.word.isin(wanted)).select("lead_id", at="known_at")

    def _dated(self, rule: Date) -> ir.Table:
        tables = self.tables
        column = near_column(
            rule.column, [*tables.present["leads"], *tables.attributes["leads"]], f"stages: the date {rule.column}"
        )
        leads = tables.leads
        rows = leads.filter(leads[column].notnull()).select("lead_id", "known_at", at=leads[column].cast(TIME))
        if column in tables.tracked("leads"):
            past = change_spans(tables, "leads", column)
            rows = rows.anti_join(past, rows.lead_id == past.row_id)
            past = past.filter(past["value"].notnull()).select(
                lead_id="row_id", known_at="known_from", at=past["value"].cast(TIME)
            )
            rows = rows.union(past)
        # A date that lies ahead is a plan: it counts from its day on.
        return rows.select("lead_id", at=ibis.greatest(rows["at"], rows.known_at).cast(TIME))

    def _graded(self, rule: Score) -> ir.Table:
        facts = []
        for entry in Forecasts(self.company.params.archive_folder).chain.entries():
            scores = read_scores(entry).select(["lead_id", "as_of", "grade"])
            facts.append(scores)
        every = pa.concat_tables(facts)
        rows = ibis.memtable(
            pa.table({
                "lead_id": every["lead_id"].cast(pa.string()),
                "at": every["as_of"].cast(pa.timestamp("us")),
                "grade": every["grade"].cast(pa.string()),
            })
        )  # fmt: skip
        return rows.filter(rows.grade.isin(list(rule.grades))).select("lead_id", at=rows["at"].cast(TIME))


def to_numpy(table: ir.Table) -> dict[str, Any]:
    """Fetch a table of episodes in the order of its keys, column by column; instants as int64 microseconds.

    An instant that is missing is `NOT_REACHED`.
    """
    fetched = table.order_by(KEYS).to_pyarrow()
    found: dict[str, Any] = {}
    for name in fetched.column_names:
        column = fetched[name]
        if pa.types.is_timestamp(column.type):
            found[name] = column.cast(pa.timestamp("us")).cast(pa.int64()).fill_null(NOT_REACHED).to_numpy()
        else:
            found[name] = column.to_pandas().to_numpy()
    return found
