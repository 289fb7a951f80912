"""Money: lines add up to deals to the cent, what recurs, one deal of several contacts, customers apart."""

from __future__ import annotations

from datetime import datetime

import pytest
import yaml
from company_files import load_company, write_company, write_rows

from features import lifecycle
from pipeline.audit.reconciliation import reconcile
from pipeline.common.errors import UserError
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables

LEADS = [
    {"lead_id": f"L{n}", "created_at": f"2024-01-0{n} 09:00", "account_id": "A1", "contact_id": f"C{n}",
     "kind": "new_business"}
    for n in range(1, 6)
]  # fmt: skip
AS_OF = datetime(2025, 6, 1)


def deal(number, lead="L1", amount="", **more):
    return {"deal_id": f"D{number}", "lead_id": lead, "outcome": "won", "opened_at": "2024-02-01 09:00",
            "closed_at": "2024-03-01 09:00", "amount": amount, **more}  # fmt: skip


def with_lines(folder, deals, lines, **params):
    path = write_company(folder, leads=LEADS, deals=deals, **params)
    write_rows(folder / "deal_lines.csv", lines)
    content = yaml.safe_load(path.read_text())
    content["data"]["sources"]["deal_lines"] = {"from": "deal_lines.csv"}
    path.write_text(yaml.safe_dump(content))
    return load_tables(load_params(path))


LINES = [
    {"deal_id": "D1", "amount": "70.10", "kind": "Subscription", "term_months": "24"},
    {"deal_id": "D1", "amount": "30.05", "kind": "services", "term_months": ""},
    {"deal_id": "D2", "amount": "10", "kind": "one-off", "term_months": ""},
    {"deal_id": "D9", "amount": "5", "kind": "one-off", "term_months": ""},
]


def won_amounts(company):
    rows = company.connection.execute("SELECT deal_id, amount FROM deals WHERE outcome = 'won' ORDER BY 1").fetchall()
    return {name: None if amount is None else float(amount) for name, amount in rows}


def test_lines_are_held_against_deals_and_fill_what_is_missing(tmp_path):
    deals = [deal(1, amount="100.15"), deal(2, "L2", "12.00"), deal(3, "L3")]
    company = with_lines(tmp_path, deals, [*LINES, {"deal_id": "D3", "amount": "8", "kind": "", "term_months": ""}])
    sums = company.counts["deal_lines"]["sums"]
    assert (sums["deals"], sums["equal"], sums["orphans"]) == (2, 1, 1)
    assert sums["differing"] == [{"deal_id": "D2", "amount": 12.0, "lines": 10.0}]
    assert won_amounts(company) == {"D1": 100.15, "D2": 12.0, "D3": 8.0}
    told = reconcile(company)
    assert told.is_exact
    assert float(told.total.revenue["loaded"]) == 120.15


def test_recurring_revenue_counts_where_the_company_counts_so(tmp_path):
    deals = [
        deal(1, amount="100.15", recurring_amount="", one_off_amount=""),
        deal(2, "L2", "12.00", recurring_amount="6.50", one_off_amount="1"),
        deal(3, "L3", "20.00", recurring_amount="", one_off_amount="20.00"),
    ]
    company = with_lines(tmp_path, deals, LINES, money={"counts": "arr"})
    assert won_amounts(company) == {"D1": 35.05, "D2": 6.5, "D3": 0.0}
    told = reconcile(company)
    assert told.is_exact
    assert float(told.total.revenue["source"]) == 41.55


def test_bookings_without_an_amount_are_what_recurs_over_the_term_and_what_does_not(tmp_path):
    deals = [deal(1, recurring_amount="12.00", one_off_amount="3.10", term_months="18")]
    company = load_company(tmp_path, leads=LEADS, deals=deals)
    assert won_amounts(company) == {"D1": 21.1}
    assert reconcile(company).is_exact


def test_recurring_revenue_that_nothing_tells_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"money\.counts: arr: nothing says what recurs"):
        load_company(tmp_path, leads=LEADS, deals=[deal(1, amount="5")], money={"counts": "arr"})


@pytest.mark.parametrize(("primary", "whose"), [("C1", "L1"), ("C2", "L2"), ("", "L3")])
def test_a_deal_of_several_contacts_is_won_once_by_its_primary_contact_else_the_newest(tmp_path, primary, whose):
    deals = [deal(1, lead="C1;C3;C2", amount="100", primary_contact_id=primary)]
    columns = {"deals": {"columns": {"lead_id": {"column": "lead_id", "split": ";"}}}}
    company = load_company(tmp_path, leads=LEADS, deals=deals, sources=columns)
    ends = lifecycle.standings(company.tables, AS_OF).to_pandas().set_index("lead_id")
    assert ends["outcome"].to_dict() == {
        name: "won" if name == whose else "joined" if name in ("L1", "L2", "L3") else "open"
        for name in ("L1", "L2", "L3", "L4", "L5")
    }
    assert ends["amount"].sum() == 100
    assert reconcile(company).is_exact
    before = lifecycle.standings(company.tables, datetime(2024, 1, 20)).to_pandas()
    assert set(before["outcome"]) == {"open"}  # nobody had joined before the deal was there


def test_what_customers_buy_again_wins_no_lead_of_new_business(tmp_path):
    renewal = {**deal(2, amount="50", kind="renewal", account_id="A1"), "lead_id": ""}
    deals = [
        {**deal(1, amount="100", kind="new_business"), "account_id": "A1"},
        renewal, {**renewal, "deal_id": "D3", "kind": "expansion", "amount": "7"},
        {**renewal, "deal_id": "D4", "kind": "new_business", "amount": "9"},
    ]  # fmt: skip
    company = load_company(tmp_path, leads=LEADS, deals=deals)
    ends = lifecycle.standings(company.tables, AS_OF).to_pandas().set_index("lead_id")
    assert ends.loc[ends["outcome"] == "won", "amount"].to_dict() == {"L1": 100, "L5": 9}
    alone = lifecycle.unattached_deals(company.tables, AS_OF).to_pandas()
    assert set(alone["deal_id"]) == {"D2", "D3"}
    assert reconcile(company).is_exact


def test_a_row_of_the_new_tables_that_lacks_what_it_needs_is_quarantined(tmp_path):
    lines = [*LINES, {"deal_id": "D1", "amount": "many", "kind": "", "term_months": ""},
             {"deal_id": "", "amount": "1", "kind": "", "term_months": ""}]  # fmt: skip
    company = with_lines(tmp_path, [deal(1, amount="100.15")], lines, data={"quarantined_share_limit": 0.6})
    count = company.counts["deal_lines"]
    assert (count["rows"], count["loaded"], count["quarantined"]) == (6, 4, 2)
    assert count["reasons"] == {"amount: unreadable number": 1, "deal_id: no deal_id": 1}
