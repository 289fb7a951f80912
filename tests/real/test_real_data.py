from datetime import timedelta
from pathlib import Path

import pytest

from features import lifecycle, snapshots
from pipeline.audit.leakage_audit import audit
from pipeline.audit.reconciliation import reconcile
from pipeline.config.params import load_params
from pipeline.ingest.as_of import parse_as_of
from pipeline.ingest.load import load_tables

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
