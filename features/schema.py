"""The tables that features are built from, and the type of each of their columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import ibis.expr.types as ir

TIME = "timestamp(6)"
MONEY = "decimal(18, 4)"
RATE = "decimal(18, 10)"

LEADS = {
    "lead_id": "string", "created_at": TIME, "known_at": TIME, "account_id": "string", "contact_id": "string",
    "owner_id": "string", "source": "string", "campaign": "string", "title": "string", "kind": "string",
    "entry": "string", "product": "string", "status": "string", "closed_at": TIME, "existing_score": "float64",
    "email": "string", "phone": "string", "name": "string", "company_name": "string", "record_url": "string",
    "no_call": "string", "no_email": "string", "no_contact": "string", "system": "string",
}  # fmt: skip
DEALS = {
    "deal_id": "string", "lead_id": "string", "account_id": "string", "outcome": "string", "closed_at": TIME,
    "opened_at": TIME, "recorded_at": TIME, "amount": MONEY, "written_amount": MONEY, "currency": "string",
    "is_foreign": "boolean", "product": "string", "stage": "string", "expected_close_at": TIME,
    "probability": "float64", "owner_id": "string", "kind": "string", "system": "string",
}  # fmt: skip
ACCOUNTS = {
    "account_id": "string", "valid_from": TIME, "known_at": TIME, "employees": "float64", "annual_revenue": "float64",
    "industry": "string", "country": "string", "founded_year": "float64", "parent_id": "string", "system": "string",
}  # fmt: skip
EVENTS = {
    "event_id": "string", "lead_id": "string", "contact_id": "string", "account_id": "string", "deal_id": "string",
    "occurred_at": TIME, "known_at": TIME, "kind": "string", "direction": "string", "channel": "string",
    "topic": "string", "campaign": "string", "content_id": "string", "owner_id": "string", "system": "string",
    "found_by": "string",
}  # fmt: skip
CLOSINGS = {"lead_id": "string", "closed_at": TIME, "known_at": TIME, "outcome": "string"}
CHANGES = {
    "table": "string", "row_id": "string", "field": "string", "changed_at": TIME, "known_at": TIME,
    "old_value": "string", "new_value": "string",
}  # fmt: skip
OWNERS = {"owner_id": "string", "name": "string", "team": "string", "territory": "string", "system": "string"}
RATES = {"currency": "string", "valid_from": TIME, "rate": RATE}
CAMPAIGNS = {
    "campaign": "string", "name": "string", "channel": "string", "started_at": TIME, "ended_at": TIME, "cost": MONEY,
    "currency": "string", "system": "string",
}  # fmt: skip
CONTENTS = {
    "content_id": "string", "title": "string", "topic": "string", "stage": "string", "url": "string",
    "system": "string",
}  # fmt: skip
EXPERIMENTS = {
    "experiment": "string", "lead_id": "string", "arm": "string", "assigned_at": TIME, "probability": "float64",
    "system": "string",
}  # fmt: skip
DEAL_LINES = {
    "deal_id": "string", "product": "string", "amount": MONEY, "kind": "string", "term_months": "float64",
    "system": "string",
}  # fmt: skip
QUOTAS = {
    "owner_id": "string", "starts_on": TIME, "ends_on": TIME, "amount": MONEY, "currency": "string",
    "system": "string",
}  # fmt: skip
SPLITS = {"deal_id": "string", "owner_id": "string", "share": "float64", "system": "string"}

SCHEMAS = {
    "leads": LEADS, "deals": DEALS, "accounts": ACCOUNTS, "events": EVENTS, "closings": CLOSINGS, "changes": CHANGES,
    "owners": OWNERS, "rates": RATES, "campaigns": CAMPAIGNS, "contents": CONTENTS, "experiments": EXPERIMENTS,
    "deal_lines": DEAL_LINES, "quotas": QUOTAS, "splits": SPLITS,
}  # fmt: skip


def materialise(table: ir.Table) -> ir.Table:
    """Work a table out once and keep it where the data is; its types too, as Spark forgets the digits of times."""
    types = table.schema()
    return table.cache().cast(types)


@dataclass(frozen=True)
class Tables:
    """A company's history as Ibis tables, cleaned and typed.

    Times are UTC without a zone, in microseconds; a date without a time stands as the last microsecond of its day in
    the company's time zone. Every column of `SCHEMAS` is there, null where the company does not have it; a table the
    company does not have is empty.

    Parameters
    ----------
    leads, deals, accounts, events : ibis table
        As `SCHEMAS` types them, and behind those columns the company's own attributes.
    closings : ibis table
        Leads that ended without a deal of their own: no longer open from ``closed_at`` on. ``outcome`` is 'unknown'
        (nobody can read how; also where it is null) or 'joined' (the lead is a further contact of another lead's deal).
    changes : ibis table
        Histories of columns: ``field`` is a column of ``table`` by its name here, the values are text that casts to
        that column's type. `versions.as_they_were` and `versions.deal_versions` read them.
    owners : ibis table
        Salespeople, as they stand now: for showing and grouping, never a feature.
    rates : ibis table
        What one unit of a currency is worth in the company's, from ``valid_from`` on.
    campaigns, contents, experiments, deal_lines, quotas, splits : ibis table
        What campaigns cost; what is offered to read; who was drawn for what; what deals are made of; targets; shares of
        deals. Never features.
    present : dict of str to frozenset of str
        The columns that the company's own tables have; an empty set for a table that it does not have. Of ``changes``
        the columns that have a history, as ``table.column``.
    attributes : dict of str to tuple of str
        The company's own columns of a table that may become features.
    """

    leads: ir.Table
    deals: ir.Table
    accounts: ir.Table
    events: ir.Table
    closings: ir.Table
    changes: ir.Table
    owners: ir.Table
    rates: ir.Table
    campaigns: ir.Table
    contents: ir.Table
    experiments: ir.Table
    deal_lines: ir.Table
    quotas: ir.Table
    splits: ir.Table
    present: dict[str, frozenset[str]]
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _derived: dict[str, ir.Table] = field(default_factory=dict, init=False, repr=False, compare=False)

    def has(self, table: str, column: str | None = None) -> bool:
        """Whether the company has the table, or that column of it."""
        columns = self.present.get(table, frozenset())
        return bool(columns) if column is None else column in columns

    def tracked(self, table: str) -> frozenset[str]:
        """Name the columns of a table that have a history in ``changes``: what they were is known for every date."""
        every = self.present.get("changes", frozenset())
        return frozenset(name.removeprefix(f"{table}.") for name in every if name.startswith(f"{table}."))

    def memoize(self, name: str, make: Callable[[], ir.Table]) -> ir.Table:
        """Work out a table that depends on no date once, and keep it where the data is.

        Parameters
        ----------
        name : str
        make : callable
            Gives the expression when it is asked for the first time.
        """
        if name not in self._derived:
            self._derived[name] = materialise(make())
        return self._derived[name]
