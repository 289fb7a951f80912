"""Campaigns that are named: the prize draw and the quiet winner where there are some, nobody where all are alike."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.commands.train import train
from pipeline.config.params import load_params
from pipeline.funnel.journeys import journeys
from pipeline.ingest.load import load_tables
from pipeline.model_registry.promotion import promote
from pipeline.revenue.campaign_report import campaigns
from pipeline.revenue.campaign_touches import campaign_touches
from pipeline.revenue.campaign_verdicts import campaign_verdicts
from pipeline.revenue.campaigns import leads_that_count
from pipeline.simulation.revenue_company import BIRTHDAY_MAIL, simulate_revenue
from pipeline.simulation.revenue_story import PRIZE_DRAW, QUIET_WINNER

SEEDS, LEADS = 20, 5_000


def run(*, quick: bool = False) -> None:
    """Print on how many simulated companies each is named; wanted: 18 and 15 of 20, and nobody in 17 of 20."""
    seeds = range(5 if quick else SEEDS)
    counts = {"prize draw": 0, "quiet winner": 0, "another, though its leads are no worse": 0, "all alike: nobody": 0}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            simulate_revenue(Path(folder), leads=LEADS, seed=seed)
            company = load_tables(load_params(Path(folder) / "params.yaml"))
            found = campaign_touches(company, company.known_until)
            ways = journeys(company, company.known_until)
        leads = leads_that_count(ways, found, None)
        leads["campaign"] = leads["created_with"]
        verdict = campaign_verdicts(leads)["verdict"]
        counts["prize draw"] += verdict.get(PRIZE_DRAW) == "much_counted_little_earned"
        counts["quiet winner"] += verdict.get(QUIET_WINNER) == "little_counted_much_earned"
        alike = _shuffled(leads, seed)
        counts["all alike: nobody"] += (
            not campaign_verdicts(alike)["verdict"]
            .isin(["much_counted_little_earned", "little_counted_much_earned"])
            .any()
        )
        others = verdict.drop([PRIZE_DRAW, QUIET_WINNER], errors="ignore")
        counts["another, though its leads are no worse"] += int(others.isin(["much_counted_little_earned"]).sum())
    _print_credit_without_effect(seeds=1 if quick else 3)
    print(f"\n## Campaigns named, of {len(seeds)} simulated companies of {LEADS:,} leads")
    for name, count in counts.items():
        print(f"  {name:42}{count:>4}")


def _print_credit_without_effect(seeds: int) -> None:
    """Print what a mail that does nothing, sent to a randomised arm, is credited with; wanted of ``model``: nothing."""
    print("\n## Share of won revenue credited to a mail without any effect")
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            simulate_revenue(Path(folder), leads=LEADS, seed=seed)
            params = load_params(Path(folder) / "params.yaml")
            version = train(params, None).version
            promote(params, version, by="bench", because="the only one", force=True)
            company = load_tables(params)
            shares = {}
            for rule in ("linear", "model"):
                content = campaigns(
                    company, company.known_until, since=None, attribution=rule, forecast=(None, "not asked")
                )
                own = [row["revenue_won"] for row in content["campaigns"] if row["campaign"] == BIRTHDAY_MAIL]
                shares[rule] = sum(own) / content["totals"]["revenue_won"]
        print(f"  seed {seed}: " + ", ".join(f"{rule} {share:+.1%}" for rule, share in shares.items()))


def _shuffled(leads: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Deal the campaigns out anew among the leads of a quarter: then all are alike."""
    rng = np.random.default_rng(seed)
    dealt = leads.groupby("cohort")["campaign"].transform(lambda names: rng.permutation(names.to_numpy(object)))
    return leads.assign(campaign=dealt)
