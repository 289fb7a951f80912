"""The tables that features are built from, and the type of each of their columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import ibis.expr.types as ir

TIME = "timestamp(6)"
MONEY = "decimal(18, 4)"

LEADS = {
    "lead_id": "string", "created_at": TIME, "known_at": TIME, "account_id": "string", "contact_id": "string",
    "owner_id": "string", "source": "string", "campaign": "string", "title": "string", "kind": "string",
    "entry": "string", "product": "string", "status": "string", "closed_at": TIME, "existing_score": "float64",
    "email": "string", "phone": "string", "name": "string", "company_name": "string", "record_url": "string",
    "system": "string",
}  # fmt: skip
DEALS = {
    "deal_id": "string", "lead_id": "string", "account_id": "string", "outcome": "string", "closed_at": TIME,
    "opened_at": TIME, "recorded_at": TIME, "amount": MONEY, "currency": "string", "product": "string",
    "stage": "string", "expected_close_at": TIME, "probability": "float64", "owner_id": "string", "kind": "string",
    "system": "string",
}  # fmt: skip
ACCOUNTS = {
    "account_id": "string", "valid_from": TIME, "known_at": TIME, "employees": "float64", "annual_revenue": "float64",
    "industry": "string", "country": "string", "founded_year": "float64", "parent_id": "string", "system": "string",
}  # fmt: skip
EVENTS = {
    "event_id": "string", "lead_id": "string", "contact_id": "string", "account_id": "string", "deal_id": "string",
    "occurred_at": TIME, "known_at": TIME, "kind": "string", "direction": "string", "channel": "string",
    "topic": "string", "campaign": "string", "owner_id": "string", "system": "string",
}  # fmt: skip
CLOSINGS = {"lead_id": "string", "closed_at": TIME, "known_at": TIME}

SCHEMAS = {"leads": LEADS, "deals": DEALS, "accounts": ACCOUNTS, "events": EVENTS, "closings": CLOSINGS}


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
        Leads that were closed with an outcome nobody can read: no longer open, censored at ``closed_at``.
    present : dict of str to frozenset of str
        The columns that the company's own tables have; an empty set for a table that it does not have.
    attributes : dict of str to tuple of str
        The company's own columns of a table that may become features.
    """

    leads: ir.Table
    deals: ir.Table
    accounts: ir.Table
    events: ir.Table
    closings: ir.Table
    present: dict[str, frozenset[str]]
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def has(self, table: str, column: str | None = None) -> bool:
        """Whether the company has the table, or that column of it."""
        columns = self.present.get(table, frozenset())
        return bool(columns) if column is None else column in columns
