import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from models.forecaster import LeadForecaster
from models.grading import Grading
from models.hazards import cumulative_incidence

DAYS = 600
SETTINGS = {"trees": 30, "leaves": 4, "pieces": 3, "random_state": 0, "threads": 1}
QUARTERS = (40.0, 130.0)
COLUMNS = [
    "p_win_30d", "p_win_90d", "p_win_180d", "p_win_365d", "p_win_ever", "p_lost_ever", "p_win_this_quarter",
    "days_to_win_p10", "days_to_win_p50", "days_to_win_p90", "days_to_win_mean",
    "deal_value", "deal_value_p10", "deal_value_p90",
    "expected_revenue_30d", "expected_revenue_90d", "expected_revenue_180d", "expected_revenue_365d",
    "expected_revenue_ever", "expected_revenue_this_quarter", "expected_revenue_next_quarter", "score", "grade",
]  # fmt: skip


def made_up(leads=2500, seed=0, days=DAYS, has_lost=True, has_amounts=True, every=30, won_rate=0.004, shuffled=False):
    """Snapshots of leads with constant hazards, and each one's true chance and revenue within 90 days."""
    rng = np.random.default_rng(seed)
    size, intent, source = rng.lognormal(3, 1.2, leads), rng.normal(size=leads), rng.integers(0, 4, leads)
    created = rng.uniform(0, days, leads)
    won_per_day = won_rate * np.exp(0.8 * intent + np.array([-1.0, -0.3, 0.3, 0.8])[source])
    lost_per_day = 0.006 * np.exp(-0.3 * intent) if has_lost else np.zeros(leads)
    per_day = won_per_day + lost_per_day
    end = created + rng.exponential(1 / per_day)
    won = rng.uniform(size=leads) < won_per_day / per_day
    amount = 300 * size**0.7 * np.exp(0.8 * rng.normal(size=leads))
    touches = rng.poisson(np.exp(0.8 * intent + 1))
    grid = np.arange(days, 0, -every, dtype=float)
    step, lead = np.nonzero((created < grid[:, None]) & (end > grid[:, None]))
    as_of = grid[step]
    # Shuffled: every lead looks like another one, in all its snapshots; its outcome is its own.
    looks = (rng.permutation(leads) if shuffled else np.arange(leads))[lead]
    X = pd.DataFrame(
        {
            "acct_size": np.where(rng.uniform(size=leads) < 0.1, np.nan, size)[looks],
            "touch_count": touches[looks].astype(float),
            "lead_source": np.array(["ads", "fair", "web", "friend"], dtype=object)[source[looks]],
            "lead_age_days": as_of - created[lead],
        }
    )
    ended = end <= days
    y = pd.DataFrame(
        {
            "event": np.where(ended, np.where(won, 1, 2), 0)[lead],
            "duration": np.maximum(np.minimum(end, days)[lead] - as_of, 1e-3),
            "amount": np.where(ended & won & has_amounts, amount, np.nan)[lead],
            "as_of": pd.Timestamp("2020-01-01") + pd.to_timedelta(as_of, unit="D"),
            "lead_id": [f"L{i}" for i in lead],
        }
    )
    # The last date's leads have nothing but their future: they are who is scored.
    chance = (won_per_day / per_day * (1 - np.exp(-90 * per_day)))[lead]
    last = as_of == days
    return X, y, last, chance, chance * (300 * size**0.7 * np.exp(0.32))[lead]


@pytest.fixture(scope="module")
def company():
    return made_up()


@pytest.fixture(scope="module")
def forecaster(company):
    return LeadForecaster(**SETTINGS).fit(company[0], company[1])


@pytest.fixture(scope="module")
def forecast(company, forecaster):
    X, _, last, _, _ = company
    return forecaster.predict(X[last], QUARTERS)


def test_recovers_the_truth_of_a_company_that_is_made_up(company, forecast):
    _, _, last, chance, revenue = company
    error = np.abs(forecast["p_win_90d"] - chance[last]).mean()
    assert error < 0.8 * np.abs(chance[last].mean() - chance[last]).mean()
    assert 0.8 < forecast["p_win_90d"].sum() / chance[last].sum() < 1.25
    assert 0.75 < forecast["expected_revenue_90d"].sum() / revenue[last].sum() < 1.33
    best = np.argsort(-forecast["expected_revenue_90d"].to_numpy())[: last.sum() // 10]
    oracle = np.sort(revenue[last])[::-1][: last.sum() // 10].sum()
    assert revenue[last][best].sum() > 0.7 * oracle


def test_has_every_column_of_the_contract_and_nothing_empty(forecast):
    assert list(forecast.columns) == COLUMNS
    assert forecast.notna().all(axis=None)


def test_numbers_of_a_lead_fit_each_other(forecast):
    chances = forecast[["p_win_30d", "p_win_90d", "p_win_180d", "p_win_365d"]].to_numpy()
    revenues = forecast[[f"expected_revenue_{h}d" for h in (30, 90, 180, 365)]].to_numpy()
    assert (np.diff(chances, axis=1) >= 0).all()
    assert (np.diff(revenues, axis=1) >= 0).all()
    assert ((forecast["p_win_ever"] + forecast["p_lost_ever"]) <= 1).all()
    assert forecast["p_win_this_quarter"].between(forecast["p_win_30d"], forecast["p_win_90d"]).all()
    days = forecast[["days_to_win_p10", "days_to_win_p50", "days_to_win_p90"]].to_numpy()
    assert (np.diff(days, axis=1) > 0).all()
    np.testing.assert_allclose(forecast["deal_value"] * forecast["p_win_ever"], forecast["expected_revenue_ever"])
    assert (forecast["deal_value_p10"] < forecast["deal_value_p90"]).all()


def test_two_quarters_together_are_the_revenue_until_the_second_ends(company, forecaster):
    X = company[0].iloc[:50]
    days = np.linspace(20, 170, 50)
    apart = forecaster.predict(X, (days / 2, days))
    whole = forecaster.predict(X, (days, days))
    together = apart["expected_revenue_this_quarter"] + apart["expected_revenue_next_quarter"]
    np.testing.assert_allclose(together, whole["expected_revenue_this_quarter"])


def test_reasons_add_up_to_what_is_shown(company, forecaster, forecast):
    X, _, last, _, _ = company
    reasons = forecaster.explain(X[last], check_count=0)
    assert list(reasons.money.columns) == list(X.columns)
    assert reasons.money.index.equals(forecast.index)
    for base, parts, shown in (
        (reasons.base_money, reasons.money, forecast["expected_revenue_90d"]),
        (reasons.base_points, reasons.points, 100 * forecast["p_win_90d"]),
        (reasons.base_days, reasons.days, forecast["days_to_win_mean"]),
    ):
        np.testing.assert_allclose(base + parts.sum(axis=1), shown, rtol=1e-6)


def test_the_margins_that_are_explained_are_those_of_the_incidence(company, forecaster, forecast):
    X, _, last, _, _ = company
    margins = forecaster.incidence_.margins(X[last])
    chance = cumulative_incidence(margins, forecaster.incidence_.grid_, [90.0])[:, 1, 0]
    np.testing.assert_array_equal(chance, forecast["p_win_90d"])


def test_a_fresh_process_gives_the_same_numbers(company, forecaster, forecast, tmp_path):
    X, _, last, _, _ = company
    (tmp_path / "forecaster.json").write_text(json.dumps(forecaster.to_dict()))
    X[last].to_parquet(tmp_path / "leads.parquet")
    code = (
        "import json, sys, pathlib, pandas as pd\n"
        "from models.forecaster import LeadForecaster\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "content = json.loads((folder / 'forecaster.json').read_text())\n"
        "forecaster, X = LeadForecaster.from_dict(content), pd.read_parquet(folder / 'leads.parquet')\n"
        f"forecaster.predict(X, {QUARTERS}).to_parquet(folder / 'forecast.parquet')\n"
        "forecaster.explain(X, check_count=0).money.to_parquet(folder / 'money.parquet')\n"
        "assert forecaster.to_dict() == content\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], check=True)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "forecast.parquet"), forecast, check_exact=True)
    money = forecaster.explain(X[last], check_count=0).money
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "money.parquet"), money, check_exact=True)


def test_the_same_input_gives_the_same_bytes(company):
    X, y = company[0].iloc[:3000], company[1].iloc[:3000]
    settings = {**SETTINGS, "trees": 5}
    assert LeadForecaster(**settings).fit(X, y).to_dict() == LeadForecaster(**settings).fit(X, y).to_dict()


def test_a_lead_is_forecast_alone_as_among_others_whatever_the_order_of_columns(company, forecaster, forecast):
    X, _, last, _, _ = company
    alone = forecaster.predict(X[last].iloc[[7]][X.columns[::-1]].assign(other=1.0), QUARTERS)
    pd.testing.assert_frame_equal(alone, forecast.iloc[[7]])


def test_scores_and_grades_are_places_in_the_frozen_population(company, forecaster, forecast):
    value = forecast["expected_revenue_90d"]
    by_value = forecast.sort_values("expected_revenue_90d")
    assert by_value["score"].is_monotonic_increasing
    assert forecast["score"].between(1, 99).all()
    assert (by_value["grade"].map({"D": 0, "C": 1, "B": 2, "A": 3})).is_monotonic_increasing
    # The leads of the last date are much like those of the last three months.
    assert 40 < forecast["score"].median() < 60
    assert 0.05 < (forecast["grade"] == "A").mean() < 0.15
    few = forecaster.predict(company[0].iloc[value.argmax() : value.argmax() + 1], QUARTERS)
    assert few["score"].iloc[0] == forecaster.grading_.score(few["expected_revenue_90d"])[0]


def test_leads_that_cannot_be_told_apart_are_in_the_middle():
    grading = Grading.of_population(np.full(50, 7.0))
    assert set(grading.score([7.0])) == {50}
    assert [*grading.grade([6.0, 7.0, 8.0])] == ["D", "C", "A"]
    apart = Grading.of_population(np.arange(1000.0))
    assert [*apart.grade(list(apart.grade_cuts.values()))] == ["A", "B", "C"]
    assert (np.diff(apart.score(apart.score_cuts)) == 1).all()
    assert apart.score(apart.score_cuts)[-1] == 99


def test_without_amounts_there_is_no_money_and_chances_rank():
    X, y, last, _, _ = made_up(800, has_amounts=False)
    forecaster = LeadForecaster(**SETTINGS).fit(X, y)
    forecast = forecaster.predict(X[last], QUARTERS)
    money = [column for column in COLUMNS if column.startswith(("deal_value", "expected_revenue"))]
    assert not forecaster.has_value_
    assert forecast[money].isna().all(axis=None)
    assert set(forecaster.absent_) == set(money)
    assert forecaster.rank_key_ == "p_win_90d"
    assert forecaster.explain(X[last].iloc[:5], check_count=0).money is None
    again = LeadForecaster.from_dict(forecaster.to_dict())
    pd.testing.assert_frame_equal(again.predict(X[last], QUARTERS), forecast)


def test_without_lost_leads_losing_is_left_empty():
    X, y, last, _, _ = made_up(800, has_lost=False)
    forecaster = LeadForecaster(**SETTINGS).fit(X, y)
    forecast = forecaster.predict(X[last], QUARTERS)
    assert forecast["p_lost_ever"].isna().all()
    assert set(forecaster.absent_) == {"p_lost_ever"}
    assert forecast.drop(columns="p_lost_ever").notna().all(axis=None)


def test_what_was_never_observed_is_left_empty_and_said():
    X, y, last, _, _ = made_up(2500, days=80, won_rate=0.01)
    forecaster = LeadForecaster(**SETTINGS).fit(X, y)
    forecast = forecaster.predict(X[last], (40.0, 130.0))
    assert forecaster.ever_days_ == 30
    assert forecaster.rank_key_ == "expected_revenue_ever"
    unsaid = [f"{name}_{days}d" for name in ("p_win", "expected_revenue") for days in (90, 180, 365)]
    assert set(forecaster.absent_) == set(unsaid)
    assert all("followed" in reason for reason in forecaster.absent_.values())
    assert forecast[unsaid].isna().all(axis=None)
    assert forecast["expected_revenue_next_quarter"].isna().all()
    assert "expected_revenue_next_quarter" in forecaster.absent((40.0, 130.0))
    # A quarter is never worth more than ever: what ends after that is left out, and says why.
    assert "after 'ever' (30 days)" in forecaster.absent((40.0, 130.0))["p_win_this_quarter"]
    assert "p_win_this_quarter" not in forecaster.absent((25.0, 130.0))
    assert "ever_is_shorter" in forecaster.notes_
    np.testing.assert_array_equal(forecast["p_win_ever"], forecast["p_win_30d"])
    reasons = forecaster.explain(X[last], check_count=0)
    np.testing.assert_allclose(
        reasons.base_money + reasons.money.sum(axis=1), forecast["expected_revenue_ever"], rtol=1e-6
    )


@pytest.mark.parametrize(("leads", "spread"), [(200, 0.75), (700, 0.5), (3500, 0.3)])
def test_shuffled_outcomes_draw_the_scores_to_the_base_rate(leads, spread):
    ratios, wins = [], []
    for seed in range(3 if leads < 1000 else 1):
        said = {}
        for shuffled in (False, True):
            X, y, last, chance, _ = made_up(leads, seed, shuffled=shuffled)
            forecaster = LeadForecaster(trees=60, random_state=0, threads=1)
            p = forecaster.fit(X, y).predict(X[last])["p_win_90d"]
            said[shuffled] = p.std()
        ratios.append([said[True] / said[False], p.mean() / chance[last].mean(), p.max() / p.mean()])
        wins.append(forecaster.wins_count_)
    narrower, level, highest = np.mean(ratios, axis=0)
    assert (np.array(wins) < 120).all() == (leads < 300)
    assert narrower < spread
    assert 0.7 < level < 1.4
    assert highest < 3, "a confident number from noise"


def test_few_wins_leave_smoothed_rates_that_say_so_and_still_order_leads():
    captured, errors = [], []
    for seed in range(4):
        X, y, last, chance, _ = made_up(150, seed)
        forecaster = LeadForecaster(random_state=0, threads=1).fit(X, y)
        assert forecaster.wins_count_ < 120
        assert f"only {forecaster.wins_count_} won leads" in forecaster.notes_["few_wins"]
        assert (forecaster.incidence_.line_share_ == 1).all()
        forecast = forecaster.predict(X[last])
        captured.append(np.corrcoef(forecast["p_win_90d"], chance[last])[0, 1])
        errors.append(np.abs(forecast["p_win_90d"] - chance[last]).mean() / np.abs(chance[last] - chance.mean()).mean())
        reasons = forecaster.explain(X[last], check_count=0)
        shown = reasons.base_money + reasons.money.sum(axis=1)
        np.testing.assert_allclose(shown, forecast["expected_revenue_90d"], rtol=1e-6)
    assert np.mean(captured) > 0.5
    assert np.mean(errors) < 0.95


def test_a_total_lies_between_its_bounds_and_a_level_that_wanders_widens_them(company, forecaster, forecast):
    low, high = forecaster.total(forecast["p_win_90d"], forecast["expected_revenue_90d"])
    assert low < forecast["expected_revenue_90d"].sum() < high
    assert forecaster.level_sd_ < 0.25, "nothing drifts here"
    X, y, *_ = company
    # Nobody is won in every other 60 days: seasons that no feature knows.
    won_at = (y["as_of"] + pd.to_timedelta(y["duration"], unit="D") - pd.Timestamp("2020-01-01")).dt.days
    seasonal = LeadForecaster(**SETTINGS).fit(X, y.assign(event=y["event"].where((won_at // 60) % 2 == 0, 0)))
    assert seasonal.level_sd_ > 0.5


def test_what_cannot_be_said_has_no_bounds(forecaster):
    assert np.isnan(forecaster.total([0.5], [np.nan])).all()
    np.testing.assert_array_equal(forecaster.total([], []), [0.0, 0.0])


def test_leads_without_weight_and_numbers_of_numpy(company):
    X, y = company[0].iloc[:2000], company[1].iloc[:2000]
    old = (y["as_of"] < y["as_of"].median()).astype(float)
    settings = {**SETTINGS, "trees": 5, "random_state": np.int64(1), "horizons_days": np.array([30, 90])}
    forecaster = LeadForecaster(**settings).fit(X, y, old)
    again = LeadForecaster.from_dict(forecaster.to_dict())
    pd.testing.assert_frame_equal(again.predict(X), forecaster.predict(X))


def test_a_users_mistakes_are_named(company, forecaster):
    X, y, *_ = company
    with pytest.raises(ValueError, match="no lead was won"):
        LeadForecaster(**SETTINGS).fit(X, y.assign(event=y["event"].where(y["event"] != 1, 0)))
    with pytest.raises(ValueError, match="y lacks"):
        LeadForecaster(**SETTINGS).fit(X, y.drop(columns="lead_id"))
    with pytest.raises(ValueError, match="strings as names"):
        LeadForecaster(**SETTINGS).fit(X.set_axis(range(X.shape[1]), axis=1), y)
    with pytest.raises(ValueError, match="primary_horizon_days"):
        LeadForecaster(primary_horizon_days=45).fit(X, y)
    with pytest.raises(ValueError, match="acct_size"):
        forecaster.predict(X.drop(columns="acct_size"))
