"""The made-up company: its truth is true, and its content is told in its tables."""

import numpy as np
import pandas as pd
import pytest

from pipeline.common.errors import UserError
from pipeline.config.params import load_params
from pipeline.simulation import company, seasonality
from pipeline.simulation import simulate as verb
from pipeline.simulation.ground_truth import true_forecast
from pipeline.simulation.simulate import simulate, territory_tables


@pytest.fixture(scope="module")
def territory():
    return next(territory_tables(company.TERRITORY_LEADS, 18, seed=5))


def instant(day):
    """Instant (naive UTC) at which a local day of the content begins."""
    return pd.Timestamp(seasonality.to_utc(np.array([day]), np.array([0.0]))[0])


@pytest.mark.parametrize("mess", [False, True])
def test_same_seed_same_bytes(tmp_path, mess):
    for folder in ("a", "b"):
        simulate(tmp_path / folder, leads=400, mess=mess)
    simulate(tmp_path / "other", leads=400, seed=1, mess=mess)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == (16 if mess else 6)
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert (tmp_path / "a" / "truth.parquet").read_bytes() != (tmp_path / "other" / "truth.parquet").read_bytes()


def test_first_territory_does_not_depend_on_how_many_follow(monkeypatch):
    monkeypatch.setattr(verb, "TERRITORY_LEADS", 300)
    monkeypatch.setattr(company, "TERRITORY_LEADS", 300)
    (alone,), (first, second) = list(territory_tables(300, 9, 0)), list(territory_tables(450, 9, 0))
    for name in ("leads", "deals", "accounts", "events"):
        pd.testing.assert_frame_equal(getattr(alone.records, name), getattr(first.records, name))
        key = {"leads": "lead_id", "deals": "deal_id", "accounts": "account_id", "events": "event_id"}[name]
        ids = pd.concat([getattr(first.records, name)[key], getattr(second.records, name)[key]])
        assert ids.is_unique, f"{name}: ids of two territories collide"
    assert set(second.records.leads["account_id"]) <= set(second.records.accounts["account_id"])


@pytest.mark.parametrize("day", [250, 500, 700, 850, 1006])
@pytest.mark.parametrize("ending", ["win", "lost"])
def test_truth_is_recovered_by_what_came(territory, day, ending):
    truth = territory.truth
    forecast = true_forecast(truth, instant(day), [30, 90]).dropna()
    lives = truth.loc[forecast.index]
    word = {"win": "won", "lost": "lost"}[ending]
    for horizon in (30, 90):
        chance = forecast[f"p_{ending}_{horizon}d"]
        came = (lives["outcome"] == word) & (lives["end_day"] < day + horizon)
        # For all leads, and for the half with the lower and the half with the higher chances.
        for part in (slice(None), chance <= chance.median(), chance > chance.quantile(0.9)):
            spread = np.sqrt((chance[part] * (1 - chance[part])).sum())
            assert abs(came[part].sum() - chance[part].sum()) < 4 * spread + 1


def test_forecast_in_the_table_is_the_oracles_at_the_end(territory):
    truth = territory.truth
    again = true_forecast(truth)
    for name in ("p_win_30d", "p_win_365d", "p_lost_365d", "expected_revenue_90d", "hazard_won_per_day"):
        np.testing.assert_array_equal(truth[name], again[name])
    is_open = truth["outcome"] == "open"
    assert (truth["p_win_90d"].notna() == is_open).all()
    chances = truth.loc[is_open]
    assert (chances["p_win_30d"] <= chances["p_win_90d"]).all()
    assert (chances["p_win_180d"] <= chances["p_win_365d"]).all()
    assert (chances["p_win_365d"] + chances["p_lost_365d"] <= 1 + 1e-12).all()


def test_a_days_chance_is_its_hazards(territory):
    one = true_forecast(territory.truth, horizons_days=[1]).dropna()
    total = one["hazard_won_per_day"] + one["hazard_lost_per_day"]
    chance = -np.expm1(-total) * one["hazard_won_per_day"] / total
    np.testing.assert_allclose(one["p_win_1d"], chance, rtol=1e-12)


def test_nothing_after_as_of_goes_into_the_oracle(territory):
    truth, day = territory.truth.head(3000), 600
    until = truth.copy()
    until["interest_switch_days"] = until["interest_switch_days"].map(lambda days: days[days < day])
    until["deal_day"] = until["deal_day"].where(until["deal_day"] < day, company.NEVER)
    until["end_day"] = until["end_day"].clip(upper=day + 400)
    pd.testing.assert_frame_equal(true_forecast(truth, instant(day)), true_forecast(until, instant(day)))


def test_oracle_refuses_what_it_cannot_know(territory):
    with pytest.raises(ValueError, match="a year after"):
        true_forecast(territory.truth.head(10), horizons_days=[400])


def test_amounts_have_their_true_mean(territory):
    deals = territory.records.deals
    won = deals[deals["outcome"] == "won"]
    ratio = won["amount"] / won["lead_id"].map(territory.truth.set_index("lead_id")["amount_mean"])
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))
    assert (
        deals.set_index("lead_id")["outcome"] == territory.truth.set_index("lead_id")["outcome"].loc[deals["lead_id"]]
    ).all()


def test_the_company_is_as_told(territory):
    leads = territory.records.leads.merge(territory.records.accounts, on="account_id")
    leads = leads.merge(territory.truth[["lead_id", "outcome", "ended_at", "created_day", "end_day"]], on="lead_id")
    shares = leads["outcome"].value_counts(normalize=True)
    assert 0.08 < shares["won"] < 0.13
    assert 0.4 < shares["lost"] < 0.6
    won = leads["outcome"] == "won"
    rate = won.groupby(leads["source"]).mean()
    assert rate["referral"] > 5 * rate["bought_list"]
    assert rate["website"] > 3 * rate["prize_draw"]
    assert (leads.loc[leads["source"] == "bought_list", "entry"] == "contact").all()
    days = (leads["end_day"] - leads["created_day"])[won]
    small, large = leads["employees"] < 10, leads["employees"] > 150
    assert days[small].median() * 2 < days[large].median()
    amount = leads["lead_id"].map(territory.records.deals.set_index("lead_id")["amount"])
    assert amount[won & small].median() * 5 < amount[won & large].median()
    assert leads["employees"].quantile(0.99) > 20 * leads["employees"].median(), "sizes are heavy-tailed"
    assert (leads.groupby("kind")["outcome"].agg(lambda o: (o == "won").mean()).diff().dropna() < 0).all()


def test_quarters_end_with_a_rush_and_conversion_drifts():
    wins = seasonality.wins()
    dates = pd.date_range(seasonality.FIRST_DAY, periods=len(wins))
    work = dates.weekday < 5
    june = (dates.month == 6) & work
    assert wins[june & (dates.day > 20)].mean() > 1.5 * wins[june & (dates.day < 15)].mean()
    may = (dates.month == 5) & work
    assert wins[may & (dates.year == 2026)].mean() > 1.3 * wins[may & (dates.year == 2023)].mean()


def test_salespeople_keep_to_their_capacity(territory):
    events = territory.records.events
    calls = events[events["kind"].isin(["call", "call_attempt"])]
    week = seasonality.to_day(calls["occurred_at"].to_numpy()) // 7
    per_week = calls.groupby([calls["owner_id"], week]).size()
    most = (
        company.FIRST_ROUND_CAPACITY * company.FIRST_ROUND_CALLS
        + company.SECOND_ROUND_CAPACITY * company.SECOND_ROUND_CALLS
    )
    assert per_week.max() <= most
    assert per_week.max() > most / 2, "capacity is used"


def test_gut_feeling_favours_the_big(territory):
    called = territory.truth["first_round_age_days"] < company.NEVER
    size = territory.records.leads["account_id"].map(territory.records.accounts.set_index("account_id")["employees"])
    assert size[called].median() > 1.5 * size[~called].median()


def test_touches_lie_within_lives_and_show_intent(territory):
    events, truth = territory.records.events, territory.truth.set_index("lead_id")
    assert 0.9 * 18 < len(events) / len(truth) < 1.1 * 18
    lead = truth.loc[events["lead_id"]]
    occurred = events["occurred_at"].to_numpy()
    assert (occurred >= lead["created_at"].to_numpy()).all()
    ended = lead["ended_at"].fillna(pd.Timestamp("2026-05-14T22:00")).to_numpy()
    assert (occurred < ended).all()
    recent = events[(events["direction"] == "inbound") & (events["occurred_at"] >= instant(1066))]
    counts = truth.index.map(recent["lead_id"].value_counts()).fillna(0)
    still = truth["outcome"].to_numpy() == "open"
    chance = truth["p_win_90d"].to_numpy()
    assert chance[still & (counts > 2)].mean() > 4 * chance[still & (counts == 0)].mean()
    several = events.groupby("lead_id")["channel"].agg(set)
    assert (several.map(lambda channels: {"web", "phone"} <= channels)).mean() > 0.2


def test_gaps_say_nothing_about_the_end(territory):
    leads = territory.records.leads.merge(territory.records.accounts, on="account_id")
    won = (territory.truth["outcome"] == "won").to_numpy()
    for name in ("title", "industry", "founded_year"):
        filled = leads[name].notna().to_numpy()
        spread = np.sqrt(filled.mean() * (1 - filled.mean()) / won.sum())
        assert filled.mean() < 1
        assert abs(filled[won].mean() - filled[~won].mean()) < 5 * spread, name


def test_params_lie_beside_the_tables(tmp_path):
    counts = simulate(tmp_path / "new" / "folder", leads=50)
    params = load_params(tmp_path / "new" / "folder" / "params.yaml")
    assert counts["leads"] == 50
    assert params.data.timezone == seasonality.TIME_ZONE
    for table in ("leads", "deals", "accounts", "events"):
        (source,) = getattr(params.data.sources, table)
        assert len(pd.read_parquet(params.folder / source.from_)) == counts[table]
    truth = pd.read_parquet(params.folder / params.backtest.truth)
    pd.testing.assert_series_equal(true_forecast(truth)["p_win_90d"], truth["p_win_90d"])


def test_few_events_and_one_lead_are_possible(tmp_path):
    simulate(tmp_path / "one", leads=1, mess=True)
    sparse = next(territory_tables(2000, 1, 0))
    assert 0.8 < len(sparse.records.events) / 2000 < 1.2


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"leads": 0}, "--leads"), ({"events_per_lead": 0}, "--events-per-lead"), ({"seed": -1}, "--seed")],
)
def test_mistakes_are_named(tmp_path, wrong, named):
    with pytest.raises(UserError, match=named):
        simulate(tmp_path, **wrong)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        simulate(tmp_path / "taken", leads=1)
