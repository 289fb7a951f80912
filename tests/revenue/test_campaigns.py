"""Campaigns by revenue: rows add up to the company's money to the cent, and know nothing of the future."""

from __future__ import annotations

import json
from datetime import datetime

import pandas as pd
import pytest
from company_files import load_company
from conftest import leadrev, refusal

from pipeline.ingest.load import load_tables
from pipeline.revenue.attribution import RULES
from pipeline.revenue.campaign_costs import campaign_costs, payback_days
from pipeline.revenue.campaign_report import campaigns
from pipeline.revenue.campaign_touches import campaign_touches
from pipeline.revenue.hidden_revenue import hidden_revenue

AS_OF = datetime(2024, 12, 1)
LEADS = [
    {"lead_id": "A", "created_at": "2024-01-01 09:00", "campaign": "fair", "source": "booth"},
    {"lead_id": "B", "created_at": "2024-01-05 09:00", "campaign": "", "source": "web"},
    {"lead_id": "C", "created_at": "2024-02-01 09:00", "campaign": "fair", "source": "booth"},
    {"lead_id": "D", "created_at": "2024-03-01 09:00", "campaign": "ads", "source": "web"},
]
DEALS = [
    {"deal_id": "1", "lead_id": "A", "account_id": "", "outcome": "won", "opened_at": "2024-02-01 09:00",
     "closed_at": "2024-03-01 09:00", "amount": "100.01", "campaign": ""},
    {"deal_id": "2", "lead_id": "B", "account_id": "", "outcome": "won", "opened_at": "2024-02-01 09:00",
     "closed_at": "2024-04-01 09:00", "amount": "50.00", "campaign": "webinar"},
    {"deal_id": "3", "lead_id": "", "account_id": "K", "outcome": "won", "opened_at": "2024-02-01 09:00",
     "closed_at": "2024-04-02 09:00", "amount": "7.77", "campaign": ""},
    {"deal_id": "4", "lead_id": "C", "account_id": "", "outcome": "lost", "opened_at": "2024-02-11 09:00",
     "closed_at": "2024-04-02 09:00", "amount": "900", "campaign": ""},
]  # fmt: skip
EVENTS = [
    {"lead_id": "A", "occurred_at": "2024-01-20 09:00", "kind": "click", "direction": "inbound", "campaign": "mail"},
    {"lead_id": "A", "occurred_at": "2024-01-20 08:00", "kind": "send", "direction": "outbound", "campaign": "spam"},
    {"lead_id": "A", "occurred_at": "2024-02-20 09:00", "kind": "click", "direction": "inbound", "campaign": "late"},
    {"lead_id": "B", "occurred_at": "2024-01-25 09:00", "kind": "click", "direction": "inbound", "campaign": "mail"},
]  # fmt: skip
CAMPAIGNS = [
    {"campaign": "fair", "channel": "events", "started_at": "2024-01-01", "ended_at": "", "cost": "40", "currency": ""},
    {"campaign": "fair", "channel": "events", "started_at": "2024-02-01", "ended_at": "", "cost": "20", "currency": ""},
    {"campaign": "ads", "channel": "online", "started_at": "2024-03-01", "ended_at": "2024-03-11", "cost": "$10",
     "currency": ""},
    {"campaign": "next year", "channel": "online", "started_at": "2025-03-01", "ended_at": "", "cost": "5",
     "currency": ""},
]  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The company as it stands above."""
    folder = tmp_path_factory.mktemp("campaigns")
    return load_company(folder, leads=LEADS, deals=DEALS, events=EVENTS, campaigns=CAMPAIGNS)


def rows_of(company, rule="linear", since=None, as_of=AS_OF):
    content = campaigns(company, as_of, since=since, attribution=rule, forecast=(None, "no forecast"))
    return {row["campaign"]: row for row in content["campaigns"]}, content


def test_touches_are_what_leads_did_until_the_deal_opened(small):
    found = campaign_touches(small, AS_OF)
    touched = {deal: list(rows["campaign"]) for deal, rows in found.touches.groupby("deal")}
    ids = found.deals.set_index("deal")["deal_id"]
    assert {ids[deal]: names for deal, names in touched.items()} == {"1": ["fair", "mail"], "2": ["mail", "webinar"]}
    assert found.first.to_dict() == {"A": "fair", "B": "mail", "C": "fair", "D": "ads"}


def test_the_touches_of_every_contact_of_a_deal_count(tmp_path):
    """The deal belongs to its newest lead; what reached the others until the day it opened counts, too."""
    deals = [{**DEALS[0], "lead_id": "A;C"}, *DEALS[1:3]]
    leads = [*LEADS[:2], {**LEADS[2], "campaign": "ads", "created_at": "2024-02-01 15:00"}]
    split = {"deals": {"columns": {"lead_id": {"column": "lead_id", "split": ";"}}}}
    company = load_company(tmp_path, leads=leads, deals=deals, events=EVENTS, sources=split)
    found = campaign_touches(company, AS_OF)
    ids = found.deals.set_index("deal")["deal_id"]
    touched = {ids[deal]: list(rows["campaign"]) for deal, rows in found.touches.groupby("deal")}
    assert touched["1"] == ["fair", "mail", "ads"]
    rows, content = rows_of(company)
    assert [rows[name]["revenue_won"] for name in ("fair", "ads")] == [33.34, 33.34]
    assert round(sum(row["revenue_won"] for row in rows.values()), 2) == content["totals"]["revenue_won"] == 157.78


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "model"])
def test_rows_add_up_to_the_company_s_money_to_the_cent(small, rule):
    rows, content = rows_of(small, rule)
    for part in (content["campaigns"], content["channels"]):
        assert round(sum(row["revenue_won"] for row in part), 2) == content["totals"]["revenue_won"] == 157.78
        assert sum(row["leads"] for row in part) == content["totals"]["leads"] == 4
        assert sum(row["won"] for row in part) == 2
    assert rows[None]["revenue_won"] == 7.77
    assert rows[None]["leads"] == 0


def test_money_is_shared_by_touches_and_leads_count_by_the_first(small):
    rows, _ = rows_of(small)
    won = {name: row["revenue_won"] for name, row in rows.items()}
    assert won == {"fair": 50.01, "mail": 75.0, "webinar": 25.0, None: 7.77, "ads": 0.0}
    assert (rows["fair"]["leads"], rows["fair"]["won"], rows["mail"]["leads"], rows["mail"]["won"]) == (2, 1, 1, 1)
    assert rows["fair"]["channel"] == "events"
    assert rows["mail"]["channel"] == "web", "where no table says it, the source of most of its leads"


def test_costs_of_a_span_are_spread_over_days_and_left_out_without_a_rate(small, tmp_path):
    costs = campaign_costs(small, AS_OF)
    assert costs.cents.to_dict() == {"fair": 6000}
    assert any("USD" in note for note in costs.notes)
    assert campaign_costs(small, AS_OF, datetime(2024, 1, 15)).cents.to_dict() == {"fair": 2000}
    euros = [{**row, "cost": row["cost"].strip("$")} for row in CAMPAIGNS]
    in_euros = load_company(tmp_path, leads=LEADS, deals=DEALS, campaigns=euros)
    half = campaign_costs(in_euros, datetime(2024, 3, 6, 23, 59, 59)).cents
    assert half["ads"] == pytest.approx(500, abs=5)


def test_a_campaign_has_paid_back_when_what_it_brought_covers_its_cost_by_then():
    at = pd.Timestamp("2024-01-01")
    spent = pd.DataFrame({"campaign": ["a", "a", "b"], "spent_at": [at, at + pd.Timedelta(days=30), at],
                          "cents": [100, 100, 50]})  # fmt: skip
    revenue = pd.DataFrame({"campaign": ["a", "a", "c"], "cents": [90, 120, 70],
                            "closed_at": [at + pd.Timedelta(days=day) for day in (10, 45, 5)]})  # fmt: skip
    assert payback_days(revenue, spent) == {"a": 45.0, "b": None}


def test_only_leads_since_a_date_count_with_all_they_brought(small):
    rows, content = rows_of(small, since=datetime(2024, 1, 3))
    assert content["totals"]["leads"] == 3
    assert content["totals"]["revenue_won"] == 57.77
    assert "fair" in rows
    assert rows["fair"]["leads"] == 1


def test_what_is_recorded_later_changes_no_figure(tmp_path):
    as_of = datetime(2024, 3, 15)
    early = [row for row in EVENTS if row["occurred_at"] < "2024-03"]
    later = [{**row, "recorded_at": ""} for row in EVENTS]
    later += [{**EVENTS[0], "recorded_at": "2024-06-01 09:00", "campaign": "learnt later"}]
    deals = [{**row, "amount": "1"} if row["deal_id"] in "23" else row for row in DEALS]
    leads = [*LEADS, {"lead_id": "E", "created_at": "2024-07-01 09:00", "campaign": "fair", "source": "web"}]
    found = []
    for name, tables in (
        ("a", {"leads": LEADS, "deals": DEALS, "events": early}),
        ("b", {"leads": leads, "deals": deals, "events": later}),
    ):
        company = load_company(tmp_path / name, campaigns=CAMPAIGNS, **tables)
        rows, content = rows_of(company, as_of=as_of)
        hidden = hidden_revenue(company, as_of, "source = 'booth'", (None, "no forecast"))
        found.append((content, hidden))
    assert found[0] == found[1]
    assert round(rows["fair"]["revenue_won"] + rows["mail"]["revenue_won"], 2) == 100.01


def test_a_company_without_campaigns_is_told_what_to_map(tmp_path):
    leads = [{name: value for name, value in row.items() if name != "campaign"} for row in LEADS]
    deals = [{name: value for name, value in row.items() if name != "campaign"} for row in DEALS]
    load_company(tmp_path / "bare", leads=leads, deals=deals)
    assert "names a campaign" in refusal("campaigns", folder=tmp_path / "bare")


class TestOfTheCompany:
    """The command on the small simulated company."""

    def test_under_every_rule_won_and_expected_revenue_add_up(self, company, tmp_path):
        for rule in ("time_decay", "model"):
            ran = leadrev("campaigns", "--attribution", rule, "--out", tmp_path, folder=company.folder)
            assert ran.code == 0, ran.err
            content = json.loads((tmp_path / "campaigns.json").read_text())
            assert content["attribution"] == rule
            totals = content["totals"]
            for name in ("revenue_won", "revenue_expected_90d", "revenue_expected_ever"):
                for part in (content["campaigns"], content["channels"]):
                    assert round(sum(row[name] for row in part), 2) == totals[name] > 0
            assert (tmp_path / "campaigns.html").read_text().count("<tr>") > len(content["campaigns"])

    def test_what_a_filter_hides_equals_a_recount_by_hand(self, company, tmp_path):
        ran = leadrev("campaigns", "--filter", "employees >= 50", "--out", tmp_path, folder=company.folder)
        assert ran.code == 0, ran.err
        hidden = json.loads((tmp_path / "filter.json").read_text())
        leads, accounts, deals = (
            pd.read_parquet(company.folder / f"{name}.parquet") for name in ("leads", "accounts", "deals")
        )
        sizes = leads["account_id"].map(accounts.set_index("account_id")["employees"])
        small = set(leads.loc[~(sizes >= 50), "lead_id"])
        scores = pd.read_parquet(company.folder / "scores.parquet")
        own = scores[scores["lead_id"].isin(small)]
        assert hidden["leads_hidden"] == len(own)
        assert hidden["revenue_hidden_this_quarter"] == round(own["expected_revenue_this_quarter"].sum(), 2)
        assert hidden["largest"][0]["lead_id"] == own.sort_values("rank")["lead_id"].iloc[0] or own.empty
        end = load_tables(company.params).known_until
        past = pd.to_datetime(deals["closed_at"], utc=True) > pd.Timestamp(end, tz="UTC") - pd.Timedelta(days=365)
        won = deals[(deals["outcome"] == "won") & past & deals["lead_id"].isin(small)]
        assert hidden["revenue_hidden_past_year"] == round(won["amount"].sum(), 2)

    @pytest.mark.parametrize("condition", ["employes > 5", "1); DROP TABLE leads; SELECT (1", "employees >"])
    def test_a_condition_that_cannot_be_read_is_one_line(self, company, tmp_path, condition):
        line = refusal("campaigns", "--filter", condition, "--out", tmp_path, folder=company.folder)
        assert "--filter" in line
