"""Kinds of events and columns of companies that know the future; versions told apart from leaks."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.spec import FeatureSpec
from pipeline.audit.leakage_audit import audit
from pipeline.common.errors import UserError
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables
from pipeline.training.fit import feature_spec

N = 500
START, END = datetime(2023, 1, 1), datetime(2024, 6, 1)
SOURCES = """
company: events
data:
  known_until: 2024-06-01
  sources:
    leads: {from: leads.parquet}
    deals: {from: deals.parquet}
    accounts: {from: accounts.parquet}
    events: {from: events.parquet}
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("company")
    rng = np.random.default_rng(0)
    created = pd.Series([START + timedelta(minutes=int(m)) for m in np.sort(rng.integers(0, 680_000, N))])
    outcome = np.where(rng.random(N) < 0.2, "won", np.where(rng.random(N) < 0.6, "lost", "open"))
    closed = created + pd.to_timedelta(rng.exponential(30, N) + 3, unit="D")
    outcome = np.where(closed < END, outcome, "open")
    won, lost, ended = outcome == "won", outcome == "lost", outcome != "open"
    ids = pd.Series([f"L{n:04d}" for n in range(N)])
    accounts = "A" + ids.str[1:]
    leads = pd.DataFrame({"lead_id": ids, "created_at": created, "account_id": accounts})
    leads["region"] = rng.choice(["north", "south"], N)
    leads["greeting"] = [f"Dear person{n}@firm.example" for n in range(N)]
    leads["CALL"] = rng.choice(["early", "late"], N)
    deals = pd.DataFrame(
        {"deal_id": ids, "lead_id": ids, "outcome": outcome, "closed_at": closed.where(ended), "amount": 10.0}
    )

    def events(kind, rows, at):
        return pd.DataFrame({"lead_id": ids[rows], "kind": kind, "occurred_at": at[rows]})

    often = rng.random(N) < 0.7
    late = closed.where(ended, created + timedelta(days=5))
    parts = [
        events("call", often, created + timedelta(days=1)),
        events("contract", won, closed),
        events("welcome", won, closed + timedelta(days=2)),
        events("signature", won, closed - timedelta(minutes=40)),
        events("tidied up", ended & often, closed + timedelta(minutes=5)),
        events("opted out", lost & often, closed - timedelta(days=2.5)),
        events("last question", often, late - timedelta(days=2)),
    ]
    everything = pd.concat(parts)
    # The company's row is written when it is found, and again when it becomes a customer.
    first = pd.DataFrame({"account_id": accounts, "valid_from": created, "region": rng.choice(["east", "west"], N)})
    first["number"] = np.where(won, "K" + ids.str[2:], None)
    first["tier"] = None
    second = first[won].assign(valid_from=closed[won], tier="gold")
    leads.to_parquet(folder / "leads.parquet")
    deals.to_parquet(folder / "deals.parquet")
    pd.concat([first, second]).to_parquet(folder / "accounts.parquet", index=False)
    everything.to_parquet(folder / "events.parquet", index=False)
    (folder / "params.yaml").write_text(SOURCES)
    return folder / "params.yaml"


def keeping(path, names):
    """Load the company with names in ``audit.keep``."""
    kept = path.with_name("kept.yaml")
    kept.write_text(f"{SOURCES}audit: {{keep: [{names}]}}\n")
    return load_tables(load_params(kept))


def test_what_happens_at_the_closing_is_no_event_of_an_open_lead(path):
    found = audit(load_tables(load_params(path)), END)
    assert found.excluded_kinds == {"contract", "welcome", "signature", "tidied up"}


def test_columns_of_companies_are_audited_as_they_were_before_the_end(path):
    company = load_tables(load_params(path))
    found = audit(company, END)
    assert found.excluded_columns == {"accounts.number", "leads.greeting"}
    assert "tier" not in {item["column"] for item in found.columns if item["verdict"] == "kept out"}
    spec = feature_spec(company, company.params, END, found)
    assert isinstance(spec, FeatureSpec)
    assert set(dict(spec.lead_attributes)) == {"region", "CALL"}
    assert set(dict(spec.account_attributes)) == {"region", "tier"}
    assert set(spec.event_kinds) == {"call", "opted out", "last question"}


def test_a_name_that_means_two_things_is_kept_apart_and_asked_for(path):
    company = load_tables(load_params(path))
    keys = {item["key"] for item in audit(company, END).columns}
    assert {"leads.region", "accounts.region", "leads.CALL"} <= keys
    company = keeping(path, "Region")
    with pytest.raises(UserError, match=r"audit.keep: 'Region' means more than one thing; write leads.region or"):
        audit(company, END)


def test_a_word_lets_a_column_in_but_never_a_mail_address(path):
    found = audit(keeping(path, "number, greeting, Welcome, nothing"), END)
    assert set(found.excluded) == {"greeting", "contract", "signature", "tidied up"}
    codes = {warning["code"] for warning in found.warnings}
    assert {"kept", "never", "keep_unknown", "personal"} <= codes
    assert "@" not in str(found)


def test_at_an_early_date_what_is_a_leak_later_is_kept_out_too(path):
    company = load_tables(load_params(path))
    for days in (60, 120, 240):
        found = audit(company, START + timedelta(days=days))
        assert "accounts.number" in found.excluded_columns
        assert not found.excluded_kinds & {"call", "opted out", "last question"}
