"""Fields, deals and companies as they were: what ``changes`` and versions tell of a date."""

from datetime import datetime
from decimal import Decimal

import ibis
import pytest
from company_files import load_company

from features import lifecycle, point_in_time, snapshots
from features.versions import as_they_were

LEADS = [
    {"lead_id": "L1", "created_at": "2024-01-01 09:00:00", "status": "open", "closed_at": "", "segment": "big"},
    {"lead_id": "L2", "created_at": "2024-01-02 09:00:00", "status": "Disqualified", "closed_at": "2024-06-01 12:00:00",
     "segment": "small"},
]  # fmt: skip
DEAL = {"deal_id": "D1", "lead_id": "L1", "StageName": "Offer", "opened_at": "2024-02-01 09:00:00",
        "CloseDate": "2024-09-30", "amount": "900"}  # fmt: skip
SALES = {
    "deals": {
        "columns": {"stage": "StageName", "outcome": "StageName", "closed_at": "CloseDate"},
        "values": {"outcome": {"won": ["Closed Won"], "lost": ["Closed Lost"], "open": ["Offer", "Talk"]}},
    }
}


def change(field: str, at: str, old: str, new: str, row_id: str = "D1", table: str = "Opportunity") -> dict:
    return {"table": table, "row_id": row_id, "field": field, "changed_at": at, "old_value": old, "new_value": new}


def deals_at(tables, as_of: datetime) -> dict:
    versions = lifecycle.lead_deal_versions(tables)
    rows = versions.filter(point_in_time.current_at(versions, as_of)).to_pandas().set_index("deal_id")
    return rows.astype(object).where(rows.notna(), None).to_dict("index")


def test_an_open_deal_is_what_its_history_says_of_the_date(tmp_path):
    changes = [
        change("StageName", "2024-03-01 10:00:00", "Talk", "Offer"),
        change("Amount", "2024-03-05 10:00:00", "500", "900"),
        change("CloseDate", "2024-04-01 10:00:00", "2024-05-31", "2024-09-30"),
        change("Probability", "2024-04-01 10:00:00", "10", "20"),
    ]
    loaded = load_company(tmp_path, leads=LEADS, deals=[DEAL], changes=changes, sources=SALES,
                          data={"known_until": "2024-07-01"})  # fmt: skip
    assert loaded.tables.tracked("deals") == {"stage", "outcome", "amount", "expected_close_at"}
    assert loaded.counts["changes"]["unread"] == {"deals.Probability": 1}
    days = ("2024-02-02", "2024-03-02", "2024-03-06", "2024-04-02")
    at = {day: deals_at(loaded.tables, datetime.fromisoformat(day))["D1"] for day in days}
    assert [found["stage"] for found in at.values()] == ["Talk", "Offer", "Offer", "Offer"]
    assert [found["amount"] for found in at.values()] == [
        Decimal("500"),
        Decimal("500"),
        Decimal("900"),
        Decimal("900"),
    ]
    assert [str(found["expected_close_at"])[:10] for found in at.values()] == ["2024-05-31"] * 3 + ["2024-09-30"]
    assert {found["outcome"] for found in at.values()} == {"open"}
    assert deals_at(loaded.tables, datetime(2024, 1, 15)) == {}


def test_what_has_no_history_is_not_told_of_an_open_deal(tmp_path):
    loaded = load_company(tmp_path, leads=LEADS, deals=[DEAL], sources=SALES, data={"known_until": "2024-07-01"},
                          changes=[change("StageName", "2024-03-01 10:00:00", "Talk", "Offer")])  # fmt: skip
    found = deals_at(loaded.tables, datetime(2024, 4, 1))["D1"]
    assert found["stage"] == "Offer"
    assert found["amount"] is found["expected_close_at"] is None


def test_a_deal_lost_and_taken_up_again_begins_a_new_episode_of_its_lead(tmp_path):
    deal = DEAL | {"StageName": "Closed Won", "CloseDate": "2024-06-10"}
    turns = [("2024-03-01 10:00:00", "Talk", "Closed Lost"), ("2024-05-01 10:00:00", "Closed Lost", "Offer"),
             ("2024-06-10 15:00:00", "Offer", "Closed Won")]  # fmt: skip
    changes = [change("StageName", *turn) for turn in turns]
    loaded = load_company(tmp_path, leads=LEADS, deals=[deal], changes=changes, sources=SALES)
    rows = lifecycle.outcomes(loaded.tables, datetime(2024, 7, 1)).to_pandas()
    rows = rows[rows.lead_id == "L1"].set_index("episode").sort_index()
    assert rows.outcome.to_dict() == {1: "lost", 2: "won"}
    assert str(rows.ended_at[1]) == "2024-03-01 10:00:00"
    assert str(rows.ended_at[2])[:10] == "2024-06-10"
    assert rows.amount.fillna(0).to_dict() == {1: 0, 2: 900}
    for day, episodes in (("2024-02-15", [1]), ("2024-04-01", []), ("2024-05-15", [2]), ("2024-06-12", [])):
        seen = snapshots.open_leads(loaded.tables, datetime.fromisoformat(day)).to_pandas()
        assert seen[seen.lead_id == "L1"].episode.tolist() == episodes, day


def test_a_status_opened_again_begins_a_new_episode_and_forgets_lost_deals(tmp_path):
    deals = [{"deal_id": "D9", "lead_id": "L2", "outcome": "lost", "closed_at": "2024-02-01 09:00:00", "amount": "5"}]
    changes = [
        change("status", "2024-02-01 10:00:00", "Open", "Disqualified", "L2", "Lead"),
        change("status", "2024-04-01 10:00:00", "Disqualified", "Working", "L2", "Lead"),
        change("status", "2024-06-01 12:00:00", "Working", "Disqualified", "L2", "Lead"),
    ]
    tables = load_company(tmp_path, leads=LEADS, deals=deals, changes=changes).tables
    rows = lifecycle.outcomes(tables, datetime(2024, 7, 1)).to_pandas()
    rows = rows[rows.lead_id == "L2"].sort_values("episode")
    assert rows.outcome.tolist() == ["lost", "lost"]
    assert [str(at) for at in rows.ended_at] == ["2024-02-01 09:00:00", "2024-06-01 12:00:00"]
    assert (
        lifecycle.standings(tables, datetime(2024, 5, 1)).filter(ibis._.lead_id == "L2").outcome.to_pandas()[0]
        == "open"
    )


def test_a_lead_is_shown_as_it_was(tmp_path):
    changes = [
        change("segment", "2024-03-01", "small", "big", "L1", "leads"),
        change("segment", "2024-02-01", "tiny", "small", "L1", "leads"),
        change("segment", "2024-02-01", "x", "y", "L77", "leads"),
        change("segment", "2024-02-01", "x", "y", "L1", "Contact"),
    ]
    loaded = load_company(tmp_path, leads=LEADS, deals=[DEAL], changes=changes, sources=SALES,
                          data={"known_until": "2024-07-01", "quarantined_share_limit": 0.6})  # fmt: skip
    days = [datetime(2024, 1, 20), datetime(2024, 2, 20), datetime(2024, 3, 20)]
    leads = loaded.tables.leads
    seen = []
    for day in days:
        rows = leads.select("lead_id", "segment", as_of=point_in_time.instant(day))
        rows = as_they_were(rows, loaded.tables, "leads", "lead_id")
        seen.append(rows.order_by("lead_id").segment.to_pandas().tolist())
    assert seen == [["tiny", "small"], ["small", "small"], ["big", "small"]]
    assert loaded.counts["changes"]["reasons"] == {"row_id: leads to no lead": 1, "table: unreadable table": 1}
    assert loaded.counts["changes"]["rows"] == loaded.counts["changes"]["loaded"] + 2


@pytest.mark.parametrize("later", ["2024-05-01 10:00:00", "2024-08-01 10:00:00"])
def test_a_change_known_later_never_changes_what_was_known(tmp_path, later):
    known = [change("Amount", "2024-03-05 10:00:00", "500", "700")]
    news = change("Amount", later, "700", "900")
    before = load_company(tmp_path, leads=LEADS, deals=[DEAL | {"amount": "700"}], changes=known, sources=SALES,
                          data={"known_until": "2024-07-01"})  # fmt: skip
    dates = [datetime(2024, 2, 10), datetime(2024, 4, 30)]
    told = [deals_at(before.tables, day)["D1"]["amount"] for day in dates]
    after = load_company(tmp_path, leads=LEADS, deals=[DEAL], changes=[*known, news], sources=SALES,
                         data={"known_until": "2024-07-01"})  # fmt: skip
    assert [deals_at(after.tables, day)["D1"]["amount"] for day in dates] == told == [Decimal("500"), Decimal("700")]


def test_a_deal_that_ends_unreadably_was_open_before_and_its_lead_is_censored_then(tmp_path):
    deals = [{"deal_id": "D1", "lead_id": "L1", "outcome": "???", "opened_at": "2024-02-01 09:00:00",
              "closed_at": "2024-04-01 09:00:00", "amount": "5"},
             {"deal_id": "D2", "lead_id": "L2", "outcome": "won", "opened_at": "2024-02-01 09:00:00",
              "closed_at": "2024-02-03 09:00:00", "amount": "7"}]  # fmt: skip
    loaded = load_company(tmp_path, leads=LEADS, deals=deals, data={"quarantined_share_limit": 0.5})
    assert deals_at(loaded.tables, datetime(2024, 3, 1))["D1"]["outcome"] == "open"
    rows = lifecycle.standings(loaded.tables, datetime(2024, 5, 1)).to_pandas().set_index("lead_id")
    assert rows.outcome["L1"] == "unknown"
    assert str(rows.ended_at["L1"]) == "2024-04-01 09:00:00"
    assert snapshots.open_leads(loaded.tables, datetime(2024, 3, 1)).lead_id.to_pandas().tolist() == ["L1"]
    assert loaded.counts["deals"]["quarantined"] == 1
