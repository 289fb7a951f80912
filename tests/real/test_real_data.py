from datetime import timedelta
from pathlib import Path

import pytest
from funnel_sums import assert_sums_hold

from features import lifecycle, snapshots
from pipeline.audit.leakage_audit import audit
from pipeline.audit.reconciliation import reconcile
from pipeline.config.params import load_params
from pipeline.ingest.as_of import parse_as_of
from pipeline.ingest.load import load_tables
from pipeline.revenue.campaign_report import campaigns
from pipeline.revenue.funnel import funnel

REAL = Path(__file__).parent
DATA = REAL / "../../../shared/data"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the real data are not beside the project (../shared/data)")
FACTS = (
    "business_segment", "lead_type", "lead_behaviour_profile", "has_company", "has_gtin", "average_stock",
    "business_type", "declared_product_catalog_size", "declared_monthly_revenue", "sdr_id",
)  # fmt: skip


@pytest.fixture(scope="module")
def olist():
    return load_tables(load_params(REAL / "olist.yaml"))


@pytest.fixture(scope="module")
def bpi2012():
    return load_tables(load_params(REAL / "bpi2012.yaml"))


def test_olist_is_the_company_that_the_design_describes(olist):
    assert olist.tables.leads.count().execute() == 8000
    assert reconcile(olist).is_exact
    assert reconcile(olist).total.deals["loaded"] == 842
    as_of = parse_as_of("2018-04-01", olist.params)
    open_leads = snapshots.open_leads(olist.tables, as_of)
    later = lifecycle.outcomes(olist.tables, olist.known_until)
    won = later.filter((later.outcome == "won") & (later.ended_at <= as_of + timedelta(days=90)))
    assert open_leads.count().execute() == 5009
    assert open_leads.semi_join(won, "lead_id").count().execute() == 121


def test_revenue_on_olist_is_known_only_ninety_days_after_winning(olist):
    as_of = parse_as_of("2018-04-01", olist.params)
    known = lifecycle.outcomes(olist.tables, as_of).to_pandas()
    won = known[known["outcome"] == "won"]
    assert won.loc[won["ended_at"] > as_of - timedelta(days=90), "amount"].isna().all()


def test_the_one_deal_closed_before_its_lead_existed_is_kept_and_flagged(olist):
    known = lifecycle.outcomes(olist.tables, olist.known_until).to_pandas()
    assert known["closed_before_created"].sum() == 1


def test_the_facts_that_exist_only_for_won_sellers_are_kept_out(tmp_path):
    text = (REAL / "olist.yaml").read_text()
    leads = "../../../shared/data/olist/olist_marketing_qualified_leads_dataset.csv"
    deals = "../../../shared/data/olist/olist_closed_deals_dataset.csv"
    query = f"FROM '{leads}' LEFT JOIN '{deals}' USING (mql_id) SELECT * EXCLUDE (won_date, seller_id)"
    offered = f"sql: {query}"
    text = text.replace(f"from: {leads}", offered).replace("../../../shared/data", str(DATA.resolve()))
    (tmp_path / "olist.yaml").write_text(text)
    company = load_tables(load_params(tmp_path / "olist.yaml"))
    assert set(FACTS) <= set(audit(company, company.known_until).excluded)


def test_bpi2012_is_loaded_whole(bpi2012):
    assert reconcile(bpi2012).is_exact
    assert bpi2012.counts["leads"]["loaded"] == 13_087
    known = lifecycle.outcomes(bpi2012.tables, bpi2012.known_until)
    counts = dict(known.group_by("outcome").agg(n=known.count()).to_pandas().itertuples(index=False, name=None))
    assert counts == {"won": 2246, "lost": 10_442, "open": 399}


def test_activities_that_happen_with_the_decision_are_named(tmp_path):
    text = (REAL / "bpi2012.yaml").read_text().replace("../../../shared/data", str(DATA.resolve()))
    text = text.replace(", 'A_REGISTERED', 'A_ACTIVATED', 'O_ACCEPTED')", ")")
    (tmp_path / "bpi.yaml").write_text(text)
    company = load_tables(load_params(tmp_path / "bpi.yaml"))
    assert {"A_REGISTERED", "A_ACTIVATED", "O_ACCEPTED"} <= set(audit(company, company.known_until).excluded)


def stage_rows(content):
    return {row["stage"]: row for row in content["rows"] if (row["cohort"], row["segment"]) == ("all", "all")}


def test_the_funnel_of_bpi_2012_is_the_one_counted_in_sql(bpi2012, tmp_path):
    """Counts by SQL over the log; chances and days by an independent Aalen-Johansen in pandas, once, by hand."""
    content = funnel(bpi2012, bpi2012.known_until, by=None, cohort="month", scores=tmp_path)
    assert_sums_hold(content)
    rows = stage_rows(content)
    log = DATA / "bpi2012/events.parquet"
    counted = bpi2012.connection.execute(
        "SELECT activity, count(DISTINCT case_id) FROM read_parquet($1) GROUP BY ALL", [str(log.resolve())]
    ).fetchall()
    names = {"submitted": "A_SUBMITTED", "pre-accepted": "A_PREACCEPTED", "accepted": "A_ACCEPTED",
             "offer sent": "O_SENT", "sent back": "O_SENT_BACK", "approved": "A_APPROVED"}  # fmt: skip
    assert {stage: rows[stage]["entered"] for stage in names} == {
        stage: dict(counted)[activity] for stage, activity in names.items()
    }
    by_hand = {  # entered, advanced, lost, there, within 30 days, ever, median days
        "submitted": (13087, 7367, 5720, 0, 0.562925, 0.562925, 0.000509),
        "pre-accepted": (7367, 5113, 2185, 69, 0.694191, 0.694191, 0.171867),
        "accepted": (5113, 5015, 95, 3, 0.980833, 0.980833, 0.002186),
        "offer sent": (5015, 3254, 1530, 231, 0.642344, 0.663662, 9.066223),
        "sent back": (3254, 3209, 1, 44, 0.999688, 0.999688, 2.198477),
        "validated": (3209, 2246, 911, 52, 0.706583, 0.710573, 0.784090),
    }
    for stage, (entered, advanced, lost, there, month, ever, days) in by_hand.items():
        row = rows[stage]
        assert (row["entered"], row["advanced"], row["lost"], row["there"]) == (entered, advanced, lost, there)
        assert row["chance"]["30d"]["value"] == pytest.approx(month, abs=1e-6)
        assert row["chance"]["ever"]["value"] == pytest.approx(ever, abs=1e-6)
        assert row["median_days"]["value"] == pytest.approx(days, abs=1e-6)


def test_the_funnel_of_olist_holds_its_sums_and_says_what_is_absent(olist, tmp_path):
    content = funnel(olist, olist.known_until, by="source", cohort="quarter", scores=tmp_path)
    assert_sums_hold(content)
    rows = stage_rows(content)
    assert content["stages"] == ["inquiry", "won"]
    assert (rows["inquiry"]["entered"], rows["inquiry"]["advanced"], rows["inquiry"]["there"]) == (8000, 842, 7158)
    assert "opened_at" in content["notes"]["stage opportunity"]
    assert "nobody is known to have left" in content["notes"]["lost"]
    money = content["revenue"]
    assert money["total"] == pytest.approx(float(reconcile(olist).total.revenue["loaded"]))
    assert money["new_business"] == money["total"]


def test_the_landing_pages_of_olist_earn_what_their_leads_bring(olist, tmp_path):
    text = (REAL / "olist.yaml").read_text().replace("source: origin}", "source: origin, campaign: landing_page_id}")
    text = text.replace("../../../shared/data", str(DATA.resolve()))
    (tmp_path / "olist.yaml").write_text(text)
    company = load_tables(load_params(tmp_path / "olist.yaml"))
    content = campaigns(company, company.known_until, since=None, attribution="linear", forecast=(None, "not asked"))
    leads = company.connection.execute("SELECT lead_id, campaign, source FROM leads").df()
    deals = olist.connection.execute(
        "SELECT lead_id, arg_max(amount, recorded_at) FILTER (amount IS NOT NULL) AS amount FROM deals GROUP BY lead_id"
    ).df()
    by_hand = leads.merge(deals, on="lead_id", how="left").fillna({"amount": 0}).groupby("campaign")["amount"].sum()
    found = {row["campaign"]: row["revenue_won"] for row in content["campaigns"] if row["campaign"] is not None}
    assert found == pytest.approx(by_hand.astype(float).to_dict(), abs=0.005)
    assert round(sum(found.values()), 2) == content["totals"]["revenue_won"] == 295_732.43
    assert round(sum(row["revenue_won"] for row in content["channels"]), 2) == 295_732.43
