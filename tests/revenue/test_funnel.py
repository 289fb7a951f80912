"""The funnel: sums that hold, new business apart, nothing learnt later, and money as the scores have it."""

from __future__ import annotations

import json
from datetime import datetime
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from conftest import leadrev, refusal
from funnel_sums import assert_sums_hold
from random_company import random_frames, to_tables, with_another_future

from pipeline.config.params import Params, load_params
from pipeline.ingest.load import load_tables
from pipeline.revenue.funnel import funnel
from pipeline.revenue.leaks import benjamini_hochberg
from pipeline.simulation.simulate import simulate

AS_OF = datetime(2023, 11, 10)
STAGES = {
    "came": {"created": True},
    "warm": {"any": [{"event": {"kind": "visit", "count": 2, "within_days": 30}}, {"event": {"kind": "demo_request"}}]},
    "reached": {"event": {"direction": "outbound"}},
    "answered": {"event": {"direction": "inbound", "after": "reached"}},
    "deal": {"deal": "opened"},
    "won": {"deal": "won"},
}


def as_company(frames, stages=None):
    params = Params.model_validate({
        "company": "random", "seed": 3, "stages": stages, "data": {
            "timezone": "Europe/Lisbon", "sources": {"leads": {"from": "x"}, "deals": {"from": "x"}},
        }, "definitions": {"sales": {"stage": ["won"]}, "north": {"region": ["north"]}},
        "mlflow": {"tracking_uri": "sqlite:///nowhere.db"},
    })  # fmt: skip
    return SimpleNamespace(tables=to_tables(frames), params=params)


@pytest.mark.parametrize(
    ("seed", "by", "cohort"), [(0, "size", "month"), (1, "campaign", "quarter"), (2, "kind", None)]
)
def test_sums_hold_and_nothing_learnt_later_changes_a_figure(tmp_path, seed, by, cohort):
    frames = random_frames(seed, leads_count=150)
    stages = STAGES if seed else None
    now, then = (
        funnel(as_company(one, stages), AS_OF, by=by, cohort=cohort, scores=tmp_path)
        for one in (frames, with_another_future(frames, seed, AS_OF))
    )
    assert_sums_hold(now)
    assert now["rows"][0]["entered"] > 50
    assert json.dumps(now) == json.dumps(then)


def test_sums_hold_in_two_messy_exports(tmp_path):
    simulate(tmp_path, leads=500, events_per_lead=3, seed=2, mess=True)
    written = yaml.safe_load((tmp_path / "params.yaml").read_text())
    written["data"]["identity"] = {"link": "none"}  # who is whom is not asked here
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    company = load_tables(load_params(tmp_path / "params.yaml"))
    content = funnel(company, company.known_until, by=None, cohort="month", scores=tmp_path)
    assert_sums_hold(content)


@pytest.fixture(scope="module")
def written(company, tmp_path_factory):
    out = tmp_path_factory.mktemp("funnel")
    ran = leadrev("funnel", "--out", out, folder=company.folder)
    assert ran.code == 0, ran.err
    return json.loads((out / "funnel.json").read_text()), (out / "funnel.html").read_text(), ran.out


def test_the_command_writes_what_it_says(written, company):
    content, page, said = written
    assert_sums_hold(content)
    assert content["stages"] == ["inquiry", "touched", "engaged", "opportunity", "won"]
    assert set(content) >= {"as_of", "stages", "rows", "definitions", "disagreements", "leaks", "ideal", "notes"}
    for name in content["stages"]:
        assert name in said
        assert name in page
    assert "http" not in page.replace("http-equiv", "")
    leads = pd.read_parquet(company.folder / "leads.parquet")
    assert content["leads"] == len(leads)
    rows = [row for row in content["rows"] if (row["cohort"], row["segment"]) == ("all", "all")]
    assert rows[0]["entered"] == (leads["kind"] == "new_business").sum()
    assert content["existing_business"]["leads"] == (leads["kind"] == "expansion").sum()


def test_money_is_that_of_deals_and_scores(written, company, scores):
    content = written[0]
    deals = pd.read_parquet(company.folder / "deals.parquet")
    first = {
        kind: next(row for row in rows if row["stage"] == "inquiry")
        for kind, rows in (("new", content["rows"]), ("existing", content["existing_business"]["rows"]))
    }
    won = sum(row["revenue_won_total"] for row in first.values())
    assert won == pytest.approx(deals.loc[deals.outcome == "won", "amount"].sum())
    hoped = sum(row["revenue_expected_total"] for row in first.values())
    assert hoped == pytest.approx(scores["expected_revenue_ever"].sum())
    per_lead = first["new"]["revenue_won"]
    assert per_lead["value"] == pytest.approx(first["new"]["revenue_won_total"] / first["new"]["entered"])
    assert per_lead["low"] < per_lead["value"] < per_lead["high"]


def test_chances_are_not_shares_of_all_and_young_cohorts_say_so(written):
    rows = {(row["cohort"], row["stage"]): row for row in written[0]["rows"] if row["segment"] == "all"}
    whole = rows["all", "opportunity"]
    assert whole["chance"]["ever"]["value"] > whole["advanced"] / whole["entered"]  # many are still there
    chances = [whole["chance"][key]["value"] for key in ("30d", "90d", "365d", "ever")]
    assert chances == sorted(chances)
    youngest = max(cohort for cohort, _ in rows if cohort != "all")
    assert rows[youngest, "inquiry"]["chance"]["365d"] is None
    assert rows["all", "won"]["chance"]["ever"] is None


def test_departments_disagree_about_leads_that_add_up(written):
    content = written[0]
    sizes = {row["name"]: row["leads"] for row in content["definitions"]}
    apart = {(row["in"], row["not_in"]): row for row in content["disagreements"]}
    one, other = "marketing", "sales"
    both = sizes[one] - apart[one, other]["leads"]
    assert both == sizes[other] - apart.get((other, one), {"leads": 0})["leads"]
    shown = [lead["revenue_expected"] for lead in apart[one, other]["examples"]]
    assert len(shown) == 10
    assert shown == sorted(shown, reverse=True)


def test_the_scores_of_another_date_are_not_used(company, tmp_path):
    ran = leadrev("funnel", "--as-of", "2025-06-01", "--out", tmp_path, folder=company.folder)
    assert ran.code == 0, ran.err
    content = json.loads((tmp_path / "funnel.json").read_text())
    assert all(row["revenue_expected"] is None for row in content["rows"])
    assert "trained on what came later" in content["notes"]["revenue_expected"]


def test_mistakes_are_one_line(company, tmp_path):
    assert "allowed: source, campaign" in refusal("funnel", "--by", "colour", folder=company.folder)
    assert "no owners with a team" in refusal("funnel", "--by", "team", folder=company.folder)
    assert "allowed: month, quarter" in refusal("funnel", "--cohort", "week", folder=company.folder)


def test_benjamini_hochberg_by_hand():
    p = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]
    assert benjamini_hochberg(p, 0.05).tolist() == [True, True, *[False] * 8]
    assert benjamini_hochberg([0.04, 0.04], 0.05).tolist() == [True, True]
    assert benjamini_hochberg([], 0.05).tolist() == []
