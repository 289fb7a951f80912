"""Who a lead and its owner are, from the company's own tables."""

from datetime import datetime
from types import SimpleNamespace

import ibis

from pipeline.reporting.lead_names import NAMES, lead_names


def test_owners_have_names_where_their_table_says_and_companies_their_newest_size():
    texts = ("name", "company_name", "title", "source", "entry", "record_url")
    leads = {"lead_id": ["L1", "L2", "L3"], "owner_id": ["ana", "chi", None], "account_id": ["A1", None, "A2"]}
    leads |= {text: [f"{text} {n}" for n in range(3)] for text in texts}
    accounts = {"account_id": ["A1", "A1"], "employees": [9.0, 40.0]}
    accounts["valid_from"] = [datetime(2026, 1, 1), datetime(2026, 2, 1)]
    owners = {"owner_id": ["ana", "ben"], "name": ["Ana Costa", "Ben Ito"]}
    tables = SimpleNamespace(leads=ibis.memtable(leads), accounts=ibis.memtable(accounts), owners=ibis.memtable(owners))
    found = lead_names(SimpleNamespace(tables=tables))
    assert found.schema == NAMES
    rows = {row["lead_id"]: row for row in found.to_pylist()}
    assert {lead_id: row["owner_name"] for lead_id, row in rows.items()} == {"L1": "Ana Costa", "L2": None, "L3": None}
    assert {lead_id: row["employees"] for lead_id, row in rows.items()} == {"L1": 40.0, "L2": None, "L3": None}
    assert rows["L2"]["company_name"] == "company_name 1"


def test_pages_read_no_event_for_the_names(company, monkeypatch):
    """Events are most of a company's rows, and none of them names a lead."""
    from pipeline.ingest import load
    from pipeline.reporting.ranked_leads import open_ranking

    read = []
    honest = load.read_source
    monkeypatch.setattr(load, "read_source", lambda *given: read.append(given[1]) or honest(*given))
    open_ranking(company.params)
    assert "leads" in read
    assert "events" not in read
    few, every = (lead_names(load.load_tables(company.params, without=left_out)) for left_out in (("events",), ()))
    assert few.sort_by("lead_id").equals(every.sort_by("lead_id"))
