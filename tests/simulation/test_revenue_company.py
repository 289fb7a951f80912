"""The company with a known way to revenue: the tables agree with each other and with the truth beside them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.simulation import revenue_story
from pipeline.simulation.revenue_company import simulate_revenue
from pipeline.simulation.revenue_story import CAMPAIGNS, DAYS, EXTRA_CALL_EFFECT, PRIZE_DRAW, QUIET_WINNER

END = pd.Timestamp(revenue_story.FIRST_DAY + DAYS, tz="UTC")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("revenue")
    simulate_revenue(made, leads=4000, seed=3)
    return made


@pytest.fixture(scope="module")
def tables(folder):
    return {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}


def test_the_same_seed_gives_the_same_bytes_and_another_another_company(folder, tmp_path):
    simulate_revenue(tmp_path / "same", leads=4000, seed=3)
    simulate_revenue(tmp_path / "other", leads=4000, seed=4)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "same" / path.name).read_bytes(), path.name
    assert (folder / "deals.parquet").read_bytes() != (tmp_path / "other" / "deals.parquet").read_bytes()


def test_nothing_happens_after_the_end_and_every_id_leads_somewhere(tables):
    for table in ("leads", "deals", "events", "changes", "experiments"):
        for name in tables[table].select_dtypes("datetimetz"):
            assert not (tables[table][name] > END).any(), (table, name)
    leads, deals = tables["leads"], tables["deals"]
    assert tables["events"]["lead_id"].isin(leads["lead_id"]).all()
    assert tables["changes"]["row_id"].isin(leads["lead_id"]).all()
    assert deals["account_id"].isin(tables["accounts"]["account_id"]).all()
    assert deals.loc[deals["outcome"] == "open", "closed_at"].isna().all()
    contacts = deals["contacts"].dropna().str.split(";").explode()
    assert contacts.isin(leads["contact_id"]).all()
    assert contacts.is_unique  # a contact stands on one deal
    assert set(tables["quotas"]["owner_id"]) == set(tables["owners"]["owner_id"])


def test_lines_add_up_to_their_deals_to_the_cent(tables):
    sums = tables["deal_lines"].groupby("deal_id")["amount"].sum().round(2)
    deals = tables["deals"].set_index("deal_id")
    np.testing.assert_array_equal(sums.loc[deals.index], deals["amount"].round(2))
    recurring = (deals["recurring_amount"] * deals["term_months"] / 12 + deals["one_off_amount"]).round(2)
    assert (recurring - deals["amount"]).abs().max() <= 0.02 + 1e-9  # a year's amount is rounded


def test_existing_business_is_kept_apart_and_the_truth_adds_up(folder, tables):
    truth = json.loads((folder / "truth.json").read_text())
    won = tables["deals"][tables["deals"]["outcome"] == "won"]
    assert set(truth["money"]["won"]) == {"new_business", "renewal", "expansion"}
    assert sum(truth["money"]["won"].values()) == pytest.approx(won["amount"].sum(), abs=0.01)
    first = won[won["kind"] == "new_business"].set_index("account_id")["closed_at"].groupby(level=0).min()
    later = won[won["kind"] == "renewal"]
    assert (later["closed_at"].to_numpy() > first.loc[later["account_id"]].to_numpy()).all()
    assert truth["money"]["joined_leads"] > 0


def test_the_prize_draw_is_large_and_worth_little_and_a_small_campaign_the_other_way_round(folder):
    truth = json.loads((folder / "truth.json").read_text())
    by_name = {row["campaign"]: row for row in truth["campaigns"]}
    draw, winner = by_name[PRIZE_DRAW], by_name[QUIET_WINNER]
    assert draw["leads"] == max(row["leads"] for row in truth["campaigns"])
    assert draw["expected_revenue_per_lead"] == min(row["expected_revenue_per_lead"] for row in truth["campaigns"])
    assert winner["expected_revenue_per_lead"] == max(row["expected_revenue_per_lead"] for row in truth["campaigns"])
    assert winner["leads"] < 0.1 * draw["leads"]
    assert len(by_name) == len(CAMPAIGNS)


def test_calls_look_better_than_they_are_and_the_arm_shows_what_it_does(folder, tables):
    """Who is called was chosen; who got the extra call was drawn."""
    truth, leads = json.loads((folder / "truth.json").read_text()), tables["truth_leads"]
    story = revenue_story.tell_story(4000, 3)
    called, chance = story.leads["called"].to_numpy(), story.chances[:, 0]
    seen = np.log(chance[called].mean() / (1 - chance[called].mean()))
    seen -= np.log(chance[~called].mean() / (1 - chance[~called].mean()))
    assert seen > 2 * truth["touches"]["call"]["log_odds"]
    in_it = story.leads["in_experiment"].to_numpy()
    treated = story.leads["treated"].to_numpy()[in_it]
    logit = np.log(story.chances[in_it, 2] / (1 - story.chances[in_it, 2]))
    assert logit[treated].mean() - logit[~treated].mean() == pytest.approx(EXTRA_CALL_EFFECT, abs=0.12)
    assert truth["experiments"]["extra call"]["effect_won_share"] == pytest.approx(
        leads["effect_extra_call"][in_it].mean()
    )


def test_leads_arrive_with_growth_and_season(folder):
    days = revenue_story.arrival_days(np.random.default_rng(0), 200_000)
    years = [((days >= start) & (days < start + 365)).sum() for start in (0, 365)]
    assert years[1] / years[0] == pytest.approx(1 + revenue_story.GROWTH_PER_YEAR, abs=0.03)
    months = (revenue_story.FIRST_DAY + days.astype(int)).astype("datetime64[M]").astype(int) % 12
    assert (months == 7).sum() < 0.7 * (months == 9).sum()  # August and October
