"""The data contract: which columns each table may have, which it needs, and which words a column may hold."""

from __future__ import annotations

from features.schema import RATE, SCHEMAS

DERIVED = frozenset({"known_at", "system", "written_amount", "is_foreign", "found_by"})
"""Columns of the canonical tables that leadrev works out itself; no source maps them."""

TABLES: dict[str, dict[str, str]] = {
    **{
        table: {name: type_ for name, type_ in SCHEMAS[table].items() if name not in DERIVED}
        for table in ("leads", "deals", "accounts", "events")
    },
    "changes": {
        "table": "string", "row_id": "string", "field": "string", "changed_at": "timestamp(6)",
        "old_value": "string", "new_value": "string",
    },
    "owners": {"owner_id": "string", "name": "string", "team": "string", "territory": "string"},
    "rates": {"currency": "string", "valid_from": "timestamp(6)", "rate": RATE},
}  # fmt: skip
"""Contract column and its type, for each table a company may give."""

for _table in ("leads", "accounts", "events", "deals", "changes"):
    TABLES[_table] = {**TABLES[_table], "recorded_at": "timestamp(6)"}
TABLES["leads"] = {**TABLES["leads"], "deal_id": "string"}
TABLES["events"] = {**TABLES["events"], "email": "string", "phone": "string"}

EVENT_KEYS = ("lead_id", "deal_id", "contact_id", "email", "phone", "account_id")
"""What an event may name to say whose it is, the surest first (`pipeline.ingest.event_linking`)."""

NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "leads": (("lead_id",), ("created_at",)),
    "deals": (("deal_id",), ("lead_id", "account_id"), ("outcome",), ("closed_at",)),
    "accounts": (("account_id",),),
    "events": (EVENT_KEYS, ("occurred_at",), ("kind",)),
    "changes": (("table",), ("row_id",), ("field",), ("changed_at",), ("new_value",)),
    "owners": (("owner_id",),),
    "rates": (("currency",), ("valid_from",), ("rate",)),
}
"""For each table, groups of columns of which one must be there."""

WORDS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("deals", "outcome"): {
        "won": ("won", "closed won", "closedwon", "closed-won", "win"),
        "lost": ("lost", "closed lost", "closedlost", "closed-lost", "loss"),
        "open": ("open", "in progress", "pending"),
    },
    ("deals", "kind"): {
        "new_business": ("new_business", "new business", "new"),
        "expansion": ("expansion", "existing business", "upsell"),
    },
    ("leads", "kind"): {
        "new_business": ("new_business", "new business", "new"),
        "expansion": ("expansion", "existing business", "upsell"),
    },
    ("leads", "entry"): {
        "hand_raised": ("hand_raised", "hand raised", "inbound"),
        "contact": ("contact", "outbound", "list"),
    },
    ("leads", "status"): {
        "open": ("open", "new", "working", "contacted", "qualified"),
        "lost": ("lost", "closed lost", "disqualified", "unqualified"),
        "converted": ("converted", "won", "closed won"),
    },
    ("changes", "table"): {
        "leads": ("leads", "lead"),
        "deals": ("deals", "deal", "opportunity", "opportunities"),
        "accounts": ("accounts", "account", "company", "companies"),
    },
    ("events", "direction"): {
        "inbound": ("inbound", "in", "incoming"),
        "outbound": ("outbound", "out", "outgoing"),
    },
}
"""Canonical words of a column, and what is read as each unless `values` in params says otherwise."""
