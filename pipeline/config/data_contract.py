"""The data contract: which columns each table may have, which it needs, and which words a column may hold."""

from __future__ import annotations

from features.schema import MONEY, RATE, SCHEMAS

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
    **{
        table: {name: type_ for name, type_ in SCHEMAS[table].items() if name != "system"}
        for table in ("campaigns", "contents", "experiments", "deal_lines", "quotas", "splits")
    },
}  # fmt: skip
"""Contract column and its type, for each table a company may give."""

TABLES["leads"] |= {"deal_id": "string"}
TABLES["deals"] |= {
    "forecast_category": "string", "campaign": "string", "recurring_amount": MONEY, "one_off_amount": MONEY,
    "term_months": "float64", "primary_contact_id": "string",
}  # fmt: skip
TABLES["owners"] |= {
    "email": "string", "manager_id": "string", "active": "string", "valid_from": "timestamp(6)",
}  # fmt: skip
for _table in ("leads", "accounts", "events", "deals", "changes", "owners"):
    TABLES[_table] = {**TABLES[_table], "recorded_at": "timestamp(6)"}
TABLES["events"] = {**TABLES["events"], "email": "string", "phone": "string"}

EVENT_KEYS = ("lead_id", "deal_id", "contact_id", "email", "phone", "account_id")
"""What an event may name to say whose it is, the surest first (`pipeline.ingest.event_linking`)."""

NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "leads": (("lead_id",), ("created_at",)),
    "deals": (("lead_id", "account_id"), ("outcome",), ("closed_at",)),
    "accounts": (("account_id",),),
    "events": (EVENT_KEYS, ("occurred_at",), ("kind",)),
    "changes": (("table",), ("row_id",), ("field",), ("changed_at",), ("new_value",)),
    "owners": (("owner_id",),),
    "rates": (("currency",), ("valid_from",), ("rate",)),
    "campaigns": (("campaign",),),
    "contents": (("content_id",),),
    "experiments": (("experiment",), ("lead_id",), ("arm",), ("assigned_at",)),
    "deal_lines": (("deal_id",), ("amount",)),
    "quotas": (("owner_id",), ("starts_on",), ("ends_on",), ("amount",)),
    "splits": (("deal_id",), ("owner_id",), ("share",)),
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
        "renewal": ("renewal", "renew"),
    },
    ("deal_lines", "kind"): {
        "recurring": ("recurring", "subscription", "license", "licence"),
        "one_off": ("one_off", "one-off", "one off", "one-time"),
        "services": ("services", "service"),
    },
    ("leads", "kind"): {
        "new_business": ("new_business", "new business", "new"),
        "expansion": ("expansion", "existing business", "upsell"),
        "renewal": ("renewal", "renew"),
    },
    ("leads", "entry"): {
        "hand_raised": ("hand_raised", "hand raised", "inbound"),
        "contact": ("contact", "outbound", "list"),
    },
    ("leads", "status"): {
        "open": ("open", "new", "working", "contacted", "qualified", "open - not contacted", "working - contacted"),
        "lost": ("lost", "closed lost", "disqualified", "unqualified", "closed - not converted"),
        "converted": ("converted", "won", "closed won", "closed - converted"),
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

USUAL_NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("leads", "deal_id"): ("convertedopportunityid", "converted_opportunity_id"),
    ("leads", "contact_id"): ("convertedcontactid", "converted_contact_id"),
}
"""Columns by which a lead is joined to what it became, under the names that CRMs give them: read unasked, and told."""

DELETED_NAMES = (
    "isdeleted", "is_deleted", "_fivetran_deleted", "_sdc_deleted_at", "_ab_cdc_deleted_at", "deleted_at", "deleted",
    "archived", "is_archived",
)  # fmt: skip
"""Columns that mark rows which somebody deleted."""

MERGED_NAMES = ("masterrecordid", "master_record_id", "merged_into_id", "masterid", "master_id", "_masterid_value")
"""Columns that name the record into which a row was merged."""

HISTORY_STARTS = ("_fivetran_start", "dbt_valid_from", "_sdc_start", "valid_from", "effective_from")
"""Columns that say from when a version held, where a table keeps a row per version."""

CHANGED_NAMES = (
    *HISTORY_STARTS, "systemmodstamp", "system_modstamp", "lastmodifieddate", "last_modified_date",
    "last modified date",
    "updated_at", "updatedat", "updated_time", "update_time", "updated", "modified_at", "modifiedon", "modified_on",
    "modified on", "(do not modify) modified on", "modified time", "moved_time", "changed_at",
    "modified_time", "date_modify", "write_date", "hs_lastmodifieddate",
    "property_hs_lastmodifieddate", "last_updated", "lastupdated", "last modified", "last activity modified",
    "_fivetran_synced", "_airbyte_extracted_at", "_airbyte_emitted_at", "_sdc_batched_at", "_sdc_extracted_at",
    "_dlt_load_time", "loaded_at", "synced_at", "_synced_at",
)  # fmt: skip
"""Columns that say when a row was last changed, the best first: they order the versions of a record."""
