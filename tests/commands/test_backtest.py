"""A whole backtest on a small company that also has a score of its own and its salespeople's probabilities."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from conftest import Company, only_once, refusal

from pipeline.reporting.backtest_page import render_backtest

CUTOFFS = ("2025-08-15", "2025-11-15")
CONTRACT = {"auc", "brier", "ece", "ibs", "capture_at_10", "forecast_ratio", "interval_coverage"}
BESIDE = {"concordance", "median_days_error", "capture_at_1", "capture_at_5", "capture_at_20", "capture_at_capacity"}


@pytest.fixture(scope="module")
def tested(company, shared_folder) -> Company:
    def make(folder):
        copied = company.copy(folder, backtest={"truth": "truth.parquet", "bootstrap_count": 30, "capacity_calls": 40})
        rng = np.random.default_rng(0)
        leads, deals = (pd.read_parquet(folder / f"{name}.parquet") for name in ("leads", "deals"))
        leads["existing_score"] = rng.integers(0, 100, len(leads)).astype(float)
        leads.to_parquet(folder / "leads.parquet", index=False)
        opened = deals.assign(recorded_at=deals["opened_at"], outcome="open", amount=np.nan)
        opened["closed_at"] = opened["closed_at"].where(opened["outcome"] != "open")
        opened["probability"] = rng.random(len(deals))
        closed = deals[deals["outcome"] != "open"]
        closed = closed.assign(recorded_at=closed["closed_at"], probability=(closed["outcome"] == "won") * 1.0)
        pd.concat([opened, closed]).to_parquet(folder / "deals.parquet", index=False)
        ran = copied.run("backtest", "--cutoffs", ",".join(CUTOFFS))
        (folder / "backtest.out").write_text(ran.out)

    only_once(shared_folder / "tested", make)
    return Company(shared_folder / "tested")


@pytest.fixture(scope="module")
def content(tested) -> dict:
    return json.loads((tested.folder / "backtest.json").read_text())


def test_every_model_has_every_figure_of_the_contract(content):
    for part in (*content["cutoffs"], content["overall"]):
        assert {"leadrev", "recent_activity", "biggest_company", "logistic_regression", "aalen_johansen", "oracle",
                "existing_score", "rep_probability"} == set(part["models"])  # fmt: skip
        for name, figures in part["models"].items():
            assert set(figures) >= CONTRACT | BESIDE, name
            for metric, (low, high) in figures["intervals"].items():
                assert low is None or low <= high, (name, metric)
        own = part["models"]["leadrev"]
        assert all(own[metric] is not None for metric in CONTRACT | BESIDE)
        assert own["capture_at_1"] <= own["capture_at_5"] <= own["capture_at_10"] <= own["capture_at_20"] <= 1
        assert own["intervals"]["auc"][0] < own["auc"] < own["intervals"]["auc"][1]
        assert part["models"]["existing_score"]["brier"] is None


def test_months_add_up_to_what_came(content):
    for cutoff in content["cutoffs"]:
        *months, total = cutoff["months"]
        assert total["month"] == "total"
        assert sum(month["actual_revenue"] for month in months) == pytest.approx(cutoff["actual_revenue"])
        assert sum(month["actual_wins"] for month in months) == cutoff["won_count"] == total["actual_wins"]
        assert sum(month["expected_revenue"] for month in months) == pytest.approx(total["expected_revenue"])
        assert all(month["low"] < month["expected_revenue"] < month["high"] for month in cutoff["months"])
        own = cutoff["models"]["leadrev"]
        assert total["expected_wins"] == pytest.approx(own["expected_wins"])
        assert total["expected_revenue"] == pytest.approx(own["forecast_ratio"] * cutoff["actual_revenue"])
        by_age = cutoff["models"]["aalen_johansen"]
        assert total["ratios"]["aalen_johansen"]["ratio"] == pytest.approx(by_age["forecast_ratio"])
        assert [total["ratios"]["leadrev"][key] for key in ("low", "high")] == own["intervals"]["forecast_ratio"]
        for month in months:
            if month["actual_revenue"]:
                expected = month["ratios"]["leadrev"]["ratio"] * month["actual_revenue"]
                assert expected == pytest.approx(month["expected_revenue"])


def test_segments_of_a_trait_hold_all_leads_but_the_rare(content):
    leads = sum(cutoff["open_count"] for cutoff in content["cutoffs"])
    ages = [row for row in content["overall"]["segments"] if row["by"] == "age of the lead"]
    assert 0.9 * leads <= sum(row["leads"] for row in ages) <= leads
    assert all(row["models"]["leadrev"]["wins_ratio"] > 0 or row["won"] == 0 for row in ages)
    thirds = [row for row in content["overall"]["segments"] if row["by"] == "deal expected if won"]
    assert [row["value"] for row in thirds] == ["smallest third", "middle third", "largest third"]
    own = [row["models"]["leadrev"] for row in thirds]
    assert sum(figures.get("priced", 0) for figures in own) == sum(row["won"] for row in thirds)
    assert all(0 <= figures.get("interval_coverage", 0) <= 1 for figures in own)
    assert all(set(row["models"]) == set(content["overall"]["models"]) for row in thirds), "rankings have an AUC too"
    assert content["overall"]["won_leads"] == sum(cutoff["won_count"] for cutoff in content["cutoffs"])


def test_leadrev_is_set_against_all_but_the_oracle_and_what_may_know_too_much(content):
    assert set(content["overall"]["differences"]) == {
        "recent_activity", "biggest_company", "logistic_regression", "aalen_johansen", "rep_probability"
    }  # fmt: skip
    assert all("existing_score" in cutoff["caveats"] for cutoff in content["cutoffs"])
    noise = content["overall"]["differences"]["rep_probability"]["auc"]
    assert noise["low"] <= noise["difference"] <= noise["high"]
    assert content["overall"]["models"]["rep_probability"]["auc"] < 0.9, "closed deals would know the end"


def test_the_oracle_knows_the_truth(content):
    oracle = content["overall"]["models"]["oracle"]
    assert oracle["true_p_error_ratio"] == 0
    assert oracle["true_revenue_ratio"] == pytest.approx(1)
    own = content["overall"]["models"]["leadrev"]
    assert own["true_capture_at_10"] < oracle["true_capture_at_10"]
    assert 0 < own["true_p_error_ratio"] < 1.5


def test_a_champion_is_compared_only_where_it_could_not_know(content, tested):
    for cutoff in content["cutoffs"]:
        assert "after this date" in cutoff["absent"]["champion"]
    assert "without the champion so far: version 1 was trained" in (tested.folder / "backtest.out").read_text()


def test_the_page_says_what_the_file_says(content, tested):
    html = (tested.folder / "backtest.html").read_text()
    assert content["verdict"]["doubts"] == [] or content["verdict"]["doubts"][0][1:] in html
    assert f"{content['cutoffs'][0]['won_count']:,}" in html


def test_a_date_at_which_no_amount_was_known_has_a_page_too(content):
    early = json.loads(json.dumps(content))
    for month in early["cutoffs"][0]["months"]:
        for name in ("low", "high", "expected_revenue", "actual_revenue"):
            month.pop(name)
    assert "no amounts were known then" in render_backtest(early)


def test_a_cutoff_whose_horizon_is_not_over_is_refused(tested):
    assert "--cutoffs: 2026-05-01 is too late" in refusal("backtest", "--cutoffs", "2026-05-01", folder=tested.folder)
    assert "--cutoffs: 2020-01-01" in refusal("backtest", "--cutoffs", "2020-01-01", folder=tested.folder)


def test_the_same_cutoff_again_gives_the_same_figures(content, tested, tmp_path):
    tested.run("backtest", "--cutoffs", CUTOFFS[0], "--out", tmp_path)
    assert json.loads((tmp_path / "backtest.json").read_text())["cutoffs"] == content["cutoffs"][:1]


def test_where_features_carry_no_signal_it_is_no_better_than_the_baseline(company, tmp_path):
    copied = company.copy(tmp_path, models=False, backtest={"bootstrap_count": 60, "capacity_calls": 40})
    rng = np.random.default_rng(0)
    leads, deals, events = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("leads", "deals", "events"))
    # Outcomes are dealt out anew among leads that came at about the same time: only their age still says something.
    leads = leads.sort_values("created_at", ignore_index=True)
    place = np.arange(len(leads))
    other = np.concatenate([rng.permutation(block) for block in np.array_split(place, len(leads) // 40)])
    facts = [name for name in leads.columns if name not in ("lead_id", "created_at", "status", "closed_at")]
    leads[facts] = leads[facts].iloc[other].to_numpy()
    renamed = dict(zip(leads["lead_id"].iloc[other], leads["lead_id"], strict=True))
    leads.to_parquet(tmp_path / "leads.parquet", index=False)
    events.assign(lead_id=events["lead_id"].map(renamed)).to_parquet(tmp_path / "events.parquet", index=False)
    closed = deals[deals["outcome"] != "open"].drop(columns=["account_id", "opened_at", "expected_close_at", "stage"])
    closed.to_parquet(tmp_path / "deals.parquet", index=False)
    ran = copied.run("backtest", "--cutoffs", CUTOFFS[1])
    content = json.loads((tmp_path / "backtest.json").read_text())
    own, by_age = (content["overall"]["models"][name] for name in ("leadrev", "aalen_johansen"))
    assert own["auc"] < by_age["auc"] + 0.03
    assert content["verdict"]["use"] == "no"
    assert any(f"{word} than the baseline" in ran.out.lower() for word in ("no better", "worse"))
