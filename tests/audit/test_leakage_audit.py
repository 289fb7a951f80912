from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from pipeline.audit.leakage_audit import audit
from pipeline.audit.outcome_groups import OutcomeGroups
from pipeline.audit.single_feature_auc import single_column_auc
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables

N = 1200
START = datetime(2023, 1, 1)
DATE = datetime(2024, 6, 1)


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """1,200 leads whose intent drives everything; some of their columns were written because of the outcome."""
    folder = tmp_path_factory.mktemp("audited")
    rng = np.random.default_rng(0)
    created = np.array([START + timedelta(minutes=int(m)) for m in np.sort(rng.integers(0, 700_000, N))])
    intent = rng.normal(size=N)
    fate = intent + rng.normal(size=N) * 0.6
    outcome = np.where(fate > 0.9, "won", np.where(rng.random(N) < 0.5, "lost", "open"))
    won, lost = outcome == "won", outcome == "lost"
    leads = pd.DataFrame(
        {
            "lead_id": [f"L{n:05d}" for n in range(N)],
            "created_at": created,
            "honest_score": intent,
            "demo_wanted": np.where(intent > 0.7, "yes", "no"),
            "rarely_asked": np.where(rng.random(N) < 0.03, rng.integers(1, 50, N), np.nan),
            "early_import": np.where(np.arange(N) < 60, "batch 1", None),
            "contract": np.where(won & (rng.random(N) < 0.1), rng.integers(1, 4, N), np.nan),
            "lost_reason": np.where(lost, rng.choice(["price", "timing"], N), None),
            "stage_now": np.where(won, "customer", np.where(lost, "archive", rng.choice(["a", "b"], N))),
            "billing_total": np.where(won, rng.normal(50, 1, N), rng.normal(0, 1, N)),
            "session": [f"s{n * 7919 % 100_003}" for n in range(N)],
            "one_value": "x",
        }
    )
    counts = rng.poisson(4, N)
    leads["touches_total"] = counts + np.where(won, rng.poisson(15, N), 0)
    # What ends within the first months has all ended by now, whatever was asked of it then.
    outcome[:60] = np.where(won[:60], "won", "lost")
    ended = outcome != "open"
    deals = pd.DataFrame(
        {
            "deal_id": leads["lead_id"], "lead_id": leads["lead_id"], "outcome": outcome,
            "closed_at": created + timedelta(days=20), "amount": 100.0,
        }
    )[ended]  # fmt: skip
    events = pd.DataFrame({"lead_id": np.repeat(leads["lead_id"], counts), "kind": "visit"})
    events["occurred_at"] = np.repeat(created, counts) + timedelta(days=1)
    signed = deals[deals["outcome"] == "won"]
    at_closing = pd.DataFrame(
        {"lead_id": signed["lead_id"], "kind": "contract_signed", "occurred_at": signed["closed_at"]}
    )
    leads.to_parquet(folder / "leads.parquet")
    deals.to_parquet(folder / "deals.parquet")
    pd.concat([events, at_closing]).to_parquet(folder / "events.parquet")
    path = folder / "params.yaml"
    path.write_text("""
company: audited
data:
  known_until: 2024-06-01
  sources:
    leads: {from: leads.parquet}
    deals: {from: deals.parquet}
    events: {from: events.parquet}
""")
    return path


def test_what_knows_the_future_is_kept_out_and_what_is_honest_is_not(company):
    found = audit(load_tables(load_params(company)), DATE)
    assert set(found.excluded) == {
        "contract", "lost_reason", "stage_now", "billing_total", "session", "one_value",
        "touches_total", "contract_signed",
    }  # fmt: skip
    assert "won" in found.excluded["contract"]
    assert "lost" in found.excluded["lost_reason"]


def test_a_person_may_vouch_for_a_column_and_the_audit_says_so(company):
    text = company.read_text()
    in_source = text.replace("from: leads.parquet", "from: leads.parquet, known_at_creation: [contract]")
    for vouched in (text + "audit: {keep: [Contract]}\n", in_source):
        path = company.with_name("vouched.yaml")
        path.write_text(vouched)
        found = audit(load_tables(load_params(path)), DATE)
        assert "contract" not in found.excluded
        assert any(warning["code"] == "kept" and warning["column"] == "contract" for warning in found.warnings)


def test_the_audit_sees_no_outcome_after_its_date(company):
    early = audit(load_tables(load_params(company)), START + timedelta(days=10))
    assert early.counts["won"] == early.counts["lost"] == 0
    assert "contract" not in early.excluded
    assert any(warning["code"] == "few_won" for warning in early.warnings)


def test_the_audit_is_the_same_every_time(company):
    results = [audit(load_tables(load_params(company)), DATE) for _ in range(2)]
    assert results[0] == results[1]


def test_auc_of_a_column_of_noise_is_a_half_and_of_the_outcome_itself_one():
    rng = np.random.default_rng(0)
    n = 20_000
    won = rng.random(n) < 0.1
    never = np.full(n, np.datetime64("NaT", "us"))
    groups = OutcomeGroups(won, ~won, ~won & False, rng.integers(0, 30, n), rng.integers(0, 2, n), never, never)
    for values in (pd.Series(rng.normal(size=n)), pd.Series(rng.integers(0, 5000, n).astype(str))):
        assert abs(single_column_auc(values, won, ~won, groups)[0] - 0.5) < 0.02
    assert single_column_auc(pd.Series(won.astype(float)), won, ~won, groups)[0] > 0.999
