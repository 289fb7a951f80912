"""What a leak touches stays out, what is honest stays in, and what nobody can settle from data is asked about."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from company_files import load_company
from ended_leads import company

from features.materialise import open_leads_matrix
from features.spec import FeatureSpec
from pipeline.audit.audit_sample import Column
from pipeline.audit.decisions import CLEARED, KEPT_OUT, Judged, decide, dominating, leave_out_unreached, name_keys
from pipeline.audit.leakage_tests import signs


def judged(columns, groups, table="leads"):
    """Judge columns of the company's own as the audit does."""
    made, tests = [], 0
    for name, values in columns.items():
        values = pd.Series(values)
        column = Column(table, name, False, True, values)
        found, count = signs(values, groups)
        made.append(Judged(table, name, found, column, groups))
        tests += count
    name_keys(made, [])
    decide(made, [], tests)
    return {item.name: item for item in made}


def sources(rng, groups, leaking_share):
    """Words that say nothing, but one that is written on so many of the won leads, and two slips of the pen."""
    words = rng.choice(["web", "fair", "call"], len(groups.won)).astype(object)
    won, others = np.flatnonzero(groups.won), np.flatnonzero(groups.lost)
    words[rng.choice(won, int(leaking_share * len(won)), replace=False)] = "Partner deal"
    words[rng.choice(others, 1)] = "Partner deal"
    return words


def test_one_leaking_word_is_set_aside_and_its_column_stays():
    rng, groups, _ = company(1, 3000)
    item = judged({"origin": sources(rng, groups, 0.3)}, groups)["origin"]
    assert item.verdict == CLEARED
    assert list(item.words) == ["Partner deal"]


def test_a_status_is_no_honest_column_with_a_leaking_word():
    rng, groups, _ = company(2, 3000)
    status = np.where(groups.won, "Customer", np.where(groups.lost, "Archived", "New"))
    found = judged({"state": status, "origin": sources(rng, groups, 0.8)}, groups)
    assert found["state"].verdict == KEPT_OUT
    assert found["origin"].verdict == KEPT_OUT


def test_too_few_is_never_said_where_more_leads_cannot_help():
    rng, groups, _ = company(3, 3_000)
    # Odds of 60: more than an honest column often has, fewer than none has.
    filled = np.where(rng.random(3_000) < np.where(groups.won, 0.987, 0.55), 1.0 + rng.random(3_000), np.nan)
    item = judged({"member": filled}, groups)["member"]
    assert item.is_out
    assert "too few" not in item.reason
    assert "audit.keep" in item.reason


def test_what_is_reached_through_a_column_that_stays_out_stays_out():
    rng, groups, _ = company(4)
    link = np.where(groups.won | groups.lost, "A1", None)
    items = [
        Judged("leads", "account_id", signs(pd.Series(link), groups)[0], None, groups),
        Judged("accounts", "employees", [], Column("accounts", "employees", False, False, pd.Series(rng.random(1200)))),
    ]
    name_keys(items, [])
    decide(items, [], 10)
    leave_out_unreached(items)
    assert [item.verdict for item in items] == [KEPT_OUT, KEPT_OUT]
    assert "leads.account_id" in items[1].reason


def test_a_column_that_decides_all_is_asked_about_unless_a_person_has_spoken():
    rng, groups, _ = company(5, 4000)
    columns = {"fit": np.where(groups.won, 1.6, 0.0) + rng.normal(size=4000), "noise": rng.normal(size=4000)}
    found = judged(columns, groups)
    assert dominating(found.values(), [], []) is found["fit"]
    assert dominating(found.values(), ["leads.fit"], []) is None
    assert dominating(found.values(), [], ["fit"]) is None
    assert dominating([found["noise"]], [], []) is None


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    leads = [
        {"lead_id": f"L{n}", "created_at": "2024-01-01", "account_id": f"A{n % 3}", "contact_id": f"C{n}",
         "source": "Partner" if n % 5 == 0 else "web"}
        for n in range(1, 21)
    ]  # fmt: skip
    accounts = [{"account_id": f"A{n}", "employees": str(10 + n), "sector": "x"} for n in range(3)]
    events = [
        {"lead_id": "L11", "contact_id": "", "occurred_at": "2024-02-01 10:00:00", "kind": "visit"},
        {"lead_id": "", "contact_id": "C12", "occurred_at": "2024-02-01 10:00:00", "kind": "visit"},
    ]
    return load_company(
        tmp_path_factory.mktemp("kept_out"), leads=leads, accounts=accounts, events=events,
        data={"quarantined_share_limit": 1.0, "known_until": "2024-06-30"},
    )  # fmt: skip


def matrix(loaded, **kept_out):
    spec = FeatureSpec.from_tables(loaded.tables, loaded.known_until, **kept_out)
    assert FeatureSpec.from_json(spec.to_json()) == spec
    return open_leads_matrix(loaded.tables, spec, loaded.known_until).set_index("lead_id")


def test_no_feature_comes_in_through_a_company_that_is_kept_out(loaded):
    assert any(name.startswith("acct_") for name in matrix(loaded))
    assert not any(name.startswith("acct_") for name in matrix(loaded, excluded={"leads.account_id"}))


def test_events_that_found_their_lead_by_a_kept_out_column_stay_out(loaded):
    assert matrix(loaded)["touch_count"].loc[["L11", "L12"]].tolist() == [1, 1]
    assert matrix(loaded, excluded={"leads.contact_id"})["touch_count"].loc[["L11", "L12"]].tolist() == [1, 0]


def test_no_feature_tells_a_lead_whose_word_is_set_aside(loaded):
    spec = FeatureSpec.from_tables(loaded.tables, loaded.known_until, set_aside={"leads.source": ["Partner"]})
    rows = open_leads_matrix(loaded.tables, spec, loaded.known_until)
    assert set(rows["lead_source"]) == {"web"}
    assert rows["lead_source_conversion_ratio"].nunique() == 1
    assert rows.equals(open_leads_matrix(loaded.tables, replace(spec), loaded.known_until))
