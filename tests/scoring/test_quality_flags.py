"""Flags say of each lead what is true of its data, on scores as a run writes them."""

import json

import pandas as pd
import pytest

from pipeline.scoring.quality_flags import FLAGS


def flagged(scores, code):
    return set(scores.loc[[code in json.loads(flags) for flags in scores["data_quality_flags"]], "lead_id"])


@pytest.fixture(scope="module")
def odd(company, tmp_path_factory):
    """The company after half of its open leads lost their company, and one got deals of before it was created."""
    copied = company.copy(tmp_path_factory.mktemp("odd"))
    scores = pd.read_parquet(company.folder / "scores.parquet")
    without, early = set(scores["lead_id"].iloc[::2]), scores["lead_id"].iloc[1]
    leads = pd.read_parquet(copied.folder / "leads.parquet")
    leads["account_id"] = leads["account_id"].where(~leads["lead_id"].isin(without))
    leads.to_parquet(copied.folder / "leads.parquet")
    deals = pd.read_parquet(copied.folder / "deals.parquet")
    created = leads.loc[leads["lead_id"] == early, "created_at"].iloc[0]
    own = deals[deals["outcome"] == "lost"].head(1).assign(lead_id=early, account_id=None)
    lost = own.assign(deal_id="before", closed_at=created - pd.Timedelta(days=3), opened_at=created)
    still = own.assign(deal_id="still", outcome="open", closed_at=pd.NaT, opened_at=created, amount=None)
    pd.concat([deals, lost, still]).to_parquet(copied.folder / "deals.parquet")
    copied.run("score", "--explain", "none")
    return without, early, pd.read_parquet(copied.folder / "scores.parquet")


def test_a_lead_without_any_event_so_far_has_never_been_touched(company, scores):
    events = pd.read_parquet(company.folder / "events.parquet", columns=["lead_id", "occurred_at"])
    known = events.loc[pd.to_datetime(events["occurred_at"], utc=True) <= scores["as_of"].iloc[0].tz_localize("UTC")]
    silent = set(scores["lead_id"]) - set(known["lead_id"])
    assert flagged(scores, "never_touched") == silent
    assert silent


def test_a_lead_of_no_company_has_no_company_facts(odd):
    without, _, scores = odd
    assert flagged(scores, "no_company_facts") == without & set(scores["lead_id"])


def test_a_deal_of_before_the_lead_is_said(odd):
    _, early, scores = odd
    assert flagged(scores, "closed_before_created") == {early}


def test_every_flag_is_reached_and_has_words(odd):
    _, _, scores = odd
    found = {flag for flags in scores["data_quality_flags"] for flag in json.loads(flags)}
    assert set(FLAGS) <= found
