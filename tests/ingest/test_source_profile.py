"""A company may give every column of the contract: each is read, and nothing that looks at the tables stumbles."""

from __future__ import annotations

from company_files import load_company

from pipeline.commands.check import audit_content
from pipeline.config.data_contract import TABLES
from pipeline.ingest.source_profile import compare, profile

KNOWN = {
    "lead_id": "L{n}", "account_id": "A{n}", "deal_id": "D{n}", "event_id": "E{n}", "owner_id": "U{n}",
    "contact_id": "C{n}",
    "created_at": "2024-01-0{n} 09:00", "occurred_at": "2024-01-1{n} 09:00", "opened_at": "2024-02-0{n} 09:00",
    "closed_at": "2024-03-0{n} 09:00", "recorded_at": "2024-03-0{n} 10:00", "valid_from": "2024-01-0{n} 09:00",
    "expected_close_at": "2024-03-05 09:00", "outcome": "won", "kind": "new_business", "status": "open",
    "direction": "inbound", "currency": "EUR", "probability": "0.5", "email": "p{n}@company.example",
    "phone": "+49 171 55500{n}", "record_url": "https://crm.example/{n}", "no_call": "no", "no_email": "no",
    "forecast_category": "commit", "parent_id": "",
}  # fmt: skip


def rows_of(table):
    def value(name, type_, n):
        if name in KNOWN:
            return KNOWN[name].format(n=n)
        return f"2024-01-0{n} 09:00" if "timestamp" in type_ else "7" if type_ != "string" else f"word {n}"

    # A lead that is open has no end.
    names = {name: type_ for name, type_ in TABLES[table].items() if (table, name) != ("leads", "closed_at")}
    return [{name: value(name, type_, n) for name, type_ in names.items()} for n in range(1, 5)]


def test_every_column_of_the_contract_may_be_given(tmp_path):
    tables = {table: rows_of(table) for table in ("leads", "deals", "accounts", "events", "owners")}
    company = load_company(tmp_path, **tables, data={"known_until": "2024-06-30"})
    assert {table: count["loaded"] for table, count in company.counts.items() if count["loaded"] != 4} == {}
    found = profile(company)
    given = {f"{table}.{name}" for table in ("leads", "deals", "accounts", "events") for name in tables[table][0]}
    assert given <= set(found["columns"]) | {"accounts.recorded_at"}
    assert compare(company, found, company.known_until) == []
    assert audit_content(company, company.known_until)["warnings"]
