"""Campaigns are named for much or little revenue only beyond chance, after the number of comparisons."""

import numpy as np
import pandas as pd
import pytest

from pipeline.revenue.campaign_verdicts import campaign_verdicts

NAMED = ["much_counted_little_earned", "little_counted_much_earned"]


def leads(seed, count=6000, campaigns=25, win_share=0.06, spread=1.3):
    """Leads of campaigns that are all alike, amounts heavy-tailed, winning rates that move from quarter to quarter."""
    rng = np.random.default_rng(seed)
    cohort = rng.integers(0, 8, count)
    is_won = rng.random(count) < win_share * (0.5 + cohort / 7)
    return pd.DataFrame(
        {
            "campaign": rng.choice([f"C{n}" for n in range(campaigns)], count, p=rng.dirichlet(np.ones(campaigns))),
            "cohort": cohort,
            "revenue": np.where(is_won, np.exp(rng.normal(9, spread, count)), 0.0),
            "is_won": is_won,
        }
    )


def test_campaigns_that_are_all_alike_are_hardly_ever_named():
    worlds = [campaign_verdicts(leads(seed)) for seed in range(20)]
    assert sum(world["verdict"].isin(NAMED).any() for world in worlds) <= 3
    values = np.concatenate([world["p_value"] for world in worlds])
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (values <= level).mean() <= level * 1.3 + 0.01


def test_a_prize_draw_and_a_quiet_winner_are_named():
    company = leads(1)
    rng = np.random.default_rng(2)
    draw = company.sample(1500, random_state=1).index
    company.loc[draw, "campaign"] = "prize draw"
    spared = rng.random(len(draw)) < 0.1
    company.loc[draw[~spared], ["revenue", "is_won"]] = 0
    quiet = company.index.difference(draw)[:80]
    company.loc[quiet, "campaign"] = "quiet"
    company.loc[quiet[:20], "is_won"] = True
    company.loc[quiet[:20], "revenue"] = np.exp(rng.normal(9.5, 1, 20))
    found = campaign_verdicts(company.astype({"is_won": bool}))
    assert found.loc["prize draw", "verdict"] == NAMED[0]
    assert found.loc["quiet", "verdict"] == NAMED[1]
    assert found.loc[["prize draw", "quiet"], "ratio"].between(0, 0.5).tolist() == [True, False]


def test_young_leads_are_held_against_leads_as_young():
    company = leads(3, campaigns=2)
    company["campaign"] = np.where(company["cohort"] == 7, "this quarter", company["campaign"])
    company.loc[company["cohort"] == 7, ["revenue", "is_won"]] = 0
    found = campaign_verdicts(company.astype({"is_won": bool}))
    assert found.loc["this quarter", "verdict"] == "too_early"
    assert np.isnan(found.loc["this quarter", "ratio"])
    assert found.loc["this quarter", "p_value"] == 1


def test_little_is_said_of_few_leads():
    company = leads(4)
    company.loc[company.index[:5], "campaign"] = "five cards"
    assert campaign_verdicts(company).loc["five cards", "verdict"] == "too_early"


@pytest.mark.parametrize("revenue", [0.0, 100.0])
def test_where_amounts_do_not_vary_nothing_breaks(revenue):
    company = leads(5, count=300).assign(revenue=revenue, is_won=True)
    assert (campaign_verdicts(company)["p_value"] == 1).all()
