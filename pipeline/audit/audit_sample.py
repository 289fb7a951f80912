# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What the audit looks at: one row a lead, one row a company, their groups, and every column that may flow in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features import point_in_time
from features.schema import SCHEMAS
from features.versions import account_versions, as_they_were, happened_events
from pipeline.audit.leakage_tests import OutcomeGroups
from pipeline.audit.pii import as_dates
from pipeline.ingest.company import LoadedCompany

ROWS_LIMIT = 200_000
"""The audit looks at so many leads (companies) at most, chosen by a hash of their ids."""
STRATUM_LEADS = 50
"""Leads are compared with those of the same calendar month, and of the same so many where a month has more."""
KINDS_LIMIT = 50
ASKED = "audit:asked_at"
FIT_COLUMNS = {
    "leads": ("source", "campaign", "title", "kind", "entry", "product", "owner_id", "existing_score"),
    "accounts": ("employees", "annual_revenue", "industry", "country", "founded_year"),
}
"""Columns of the contract that become features by their value; the audit holds them to the same tests as attributes."""
FILLED_COLUMNS = ("account_id", "contact_id", "email", "phone", "name", "company_name")
"""Columns of leads of which only whether they are filled becomes a feature."""


@dataclass(frozen=True)
class Column:
    """A column that may become a feature.

    Parameters
    ----------
    table, name : str
    filled_only : bool
        Only whether it is filled becomes a feature.
    is_attribute : bool
        A column of the company's own; the others are of the contract.
    values : Series
        Dates as dates, whatever type the table has.
    """

    table: str
    name: str
    filled_only: bool
    is_attribute: bool
    values: pd.Series

    @property
    def qualified(self) -> str:
        """The column with its table."""
        return f"{self.table}.{self.name}"


@dataclass(frozen=True)
class Audited:
    """One row a lead, or one row a company.

    Parameters
    ----------
    rows : DataFrame
        For leads: ``lead_id, created_at, outcome, ended_at, closing_from`` and their columns as ``table.column``.
    columns : list of Column
    groups : OutcomeGroups
    """

    rows: pd.DataFrame
    columns: list[Column]
    groups: OutcomeGroups


def audited_leads(loaded: LoadedCompany, known: ir.Table, as_of: datetime) -> Audited:
    """Give one row a lead known at `as_of`, as it stood then.

    Parameters
    ----------
    loaded : LoadedCompany
    known : ibis table
        As `lifecycle.outcomes` gives it.
    as_of : datetime
    """
    names = _names(loaded, "leads")
    leads = loaded.tables.leads.select("lead_id", *names)
    rows = _sample(loaded, _before_the_end(loaded, known, leads, "leads", "lead_id", as_of), "lead_id")
    events = _event_counts(loaded, rows, as_of)
    counts = events.drop(columns="last_event", errors="ignore")
    last = events["last_event"].to_numpy("datetime64[us]") if "last_event" in events else None
    return Audited(rows, _columns(loaded, rows, "leads"), _outcome_groups(rows, counts, last, "leads"))


def audited_accounts(loaded: LoadedCompany, known: ir.Table, as_of: datetime) -> Audited | None:
    """Give one row a company that has leads, with its columns as they were known before its end.

    A company is won with its first won lead, else open while one of its leads is, else lost with its last one. What was
    written about it on winning must not be mistaken for what was known when that was to be forecast: columns of a won
    or lost company are read from the version known just before.

    Returns
    -------
    Audited or None
        None where there are no companies.
    """
    names = _names(loaded, "accounts")
    if not names:
        return None
    leads = known.filter(known.account_id.notnull())
    won, open_, lost = (leads.outcome == word for word in ("won", "open", "lost"))
    sums = leads.group_by("account_id").agg(
        created_at=leads.created_at.min(),
        won_at=leads.ended_at.min(where=won),
        lost_at=leads.ended_at.max(where=lost),
        open_count=open_.sum(),
    )
    state = sums.select(
        "account_id",
        "created_at",
        outcome=ibis.cases(
            (sums.won_at.notnull(), "won"), (sums.open_count > 0, "open"), (sums.lost_at.notnull(), "lost")
        ),
        ended_at=ibis.cases((sums.won_at.notnull(), sums.won_at), (sums.open_count == 0, sums.lost_at)),
    )
    versions = account_versions(loaded.tables)
    pairs = state.join(versions.select("account_id", "known_from", "known_until"), "account_id")
    pairs = pairs.filter(point_in_time.current_at(pairs, _last_chance(pairs, as_of)))
    at = ["account_id", "known_from", "known_until"]
    current = pairs.select(*at).join(versions.select(*at, *names), at).drop("known_from", "known_until")
    rows = _sample(loaded, _before_the_end(loaded, state, current, "accounts", "account_id", as_of), "account_id")
    if not len(rows):
        return None
    return Audited(rows, _columns(loaded, rows, "accounts"), _outcome_groups(rows, pd.DataFrame(), None, "companies"))


def _last_chance(state: ir.Table, as_of: datetime) -> ir.TimestampValue:
    """Give the last instant at which a forecast was of use: just before the end, or `as_of`."""
    return ibis.coalesce(state.ended_at - ibis.interval(microseconds=1), point_in_time.instant(as_of))


def _before_the_end(
    loaded: LoadedCompany, state: ir.Table, rows: ir.Table, table: str, key: str, as_of: datetime
) -> ir.Table:
    """Join how each stood with its columns as they were just before, where ``changes`` tells."""
    names = [name for name in rows.columns if name != key]
    asked = state.select(key, **{ASKED: _last_chance(state, as_of)})
    then = as_they_were(rows.join(asked, key), loaded.tables, table, key, as_of=ASKED)
    then = then.select(key, **{f"{table}.{name}": name for name in names})
    return state.select(key, "created_at", "outcome", "ended_at").join(then, key)


def _names(loaded: LoadedCompany, table: str) -> list[str]:
    tables = loaded.tables
    if not tables.has(table):
        return []
    contract = [*FIT_COLUMNS[table], *(FILLED_COLUMNS if table == "leads" else ())]
    return [*(name for name in contract if tables.has(table, name)), *tables.attributes.get(table, ())]


def _columns(loaded: LoadedCompany, rows: pd.DataFrame, table: str) -> list[Column]:
    columns = []
    for name in _names(loaded, table):
        values = rows[f"{table}.{name}"]
        own = name not in SCHEMAS[table]
        if own:
            values = as_dates(values)
        if pd.api.types.is_bool_dtype(values):
            values = values.astype(float)
        columns.append(Column(table, name, table == "leads" and name in FILLED_COLUMNS, own, values))
    return columns


def _sample(loaded: LoadedCompany, frame: Any, key: str) -> pd.DataFrame:
    query = loaded.backend.compile(frame)
    # A date without a time stands at its day's end: it may have closed at any hour of that day.
    closing = (
        "CASE WHEN datepart('microsecond', ended_at) = 59999999 THEN ended_at - INTERVAL 1 DAY "
        "ELSE ended_at - INTERVAL 1 HOUR END"
    )
    return loaded.connection.execute(
        f"SELECT *, {closing} AS closing_from, hash({key} || 'fold') % 2 AS fold FROM ({query}) "
        f"ORDER BY hash({key}), {key} LIMIT {ROWS_LIMIT}"
    ).df()


def _event_counts(loaded: LoadedCompany, leads: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Count the events that each lead has had, all and by kind, and say when the last one happened."""
    if not loaded.tables.has("events"):
        return pd.DataFrame(index=leads.index)
    events = happened_events(loaded.tables)
    events = events.filter(point_in_time.known_by(events.visible_at, as_of))
    counts = events.group_by("lead_id", "kind").agg(n=events.count(), last=events.occurred_at.max())
    connection = loaded.connection
    connection.register("audited", leads[["lead_id"]])
    found = connection.execute(
        f"SELECT lead_id, kind, n, last FROM ({loaded.backend.compile(counts)}) SEMI JOIN audited USING (lead_id)"
    ).df()
    connection.unregister("audited")
    wide = found.pivot_table(index="lead_id", columns="kind", values="n", aggfunc="sum", fill_value=0)
    wide = wide[sorted(wide.columns, key=lambda kind: (-wide[kind].sum(), kind))[:KINDS_LIMIT]]
    wide.insert(0, "all its events", found.groupby("lead_id")["n"].sum())
    wide = wide.reindex(leads["lead_id"]).fillna(0)
    wide["last_event"] = found.groupby("lead_id")["last"].max()
    return wide.reset_index(drop=True)


def _outcome_groups(rows: pd.DataFrame, counts: pd.DataFrame, last_event: Any, row_noun: str) -> OutcomeGroups:
    outcome = rows["outcome"].to_numpy(dtype=object)
    created = rows["created_at"].to_numpy("datetime64[us]")
    return OutcomeGroups(
        won=outcome == "won",
        lost=outcome == "lost",
        open=outcome == "open",
        stratum=strata(created),
        fold=rows["fold"].to_numpy(np.int64),
        created=created,
        ended=rows["ended_at"].to_numpy("datetime64[us]"),
        event_counts=counts,
        last_event=np.array([], dtype="datetime64[us]") if last_event is None else last_event,
        row_noun=row_noun,
    )


def strata(created: np.ndarray) -> np.ndarray:
    """Give each the number of its group: created in the same month, and there among about `STRATUM_LEADS`."""
    order = np.argsort(created, kind="stable")
    month = created.astype("datetime64[M]").astype(np.int64)[order]
    place = pd.Series(month).groupby(month).cumcount().to_numpy()
    size = pd.Series(month).groupby(month).transform("size").to_numpy()
    parts = np.maximum(size // STRATUM_LEADS, 1)
    part = place * parts // np.maximum(size, 1)
    numbers = np.empty(len(created), dtype=np.int64)
    numbers[order] = pd.factorize(pd.Series(month * 10_000 + part))[0]
    return numbers
