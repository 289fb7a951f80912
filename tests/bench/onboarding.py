"""From a simulated export of each CRM to a backtest without an edit, beside the figures that are true of it."""

from __future__ import annotations

import json
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.commands.backtest import backtest
from pipeline.commands.init import init
from pipeline.config.params import load_params
from pipeline.onboarding.compare import open_checks
from pipeline.simulation.simulate import simulate
from pipeline.simulation.vendor_exports import VENDORS


def against_truth(truth: dict[str, Any], audit: dict[str, Any]) -> dict[str, bool]:
    """Whether what was read is what is true: counts of leads, deals and events, revenue, months and dates."""
    told = audit["reconciliation"]
    months = {month["month"]: (month["loaded_deals"], Decimal(str(month["loaded_amount"]))) for month in told["months"]}
    return {
        "leads": {word: audit["outcomes"].get(word, 0) for word in truth["leads"]} == truth["leads"]
        and not audit["outcomes"].get("unknown"),
        "won deals": told["total"]["loaded_deals"] == truth["deals"]["won"] and told["exact"],
        "revenue": Decimal(str(told["total"]["loaded_amount"])) == Decimal(truth["won_amount"]),
        "months": months
        == {month: (figures["deals"], Decimal(figures["amount"])) for month, figures in truth["won_by_month"].items()},
        "without a lead": (told["unattached"]["deals"], Decimal(str(told["unattached"]["amount"])))
        == (truth["won_without_a_lead"]["deals"], Decimal(truth["won_without_a_lead"]["amount"])),
        "events": audit["counts"]["events"]["loaded"] == truth["events"],
    }


def backtest_against_truth(truth: dict[str, Any], cutoff: dict[str, Any]) -> bool:
    """Whether a backtest finds the leads that were open at its date, and what they brought."""
    past = truth["forecast_again"]
    found = (cutoff["open_count"], cutoff["won_count"], round(Decimal(str(cutoff["actual_revenue"])), 2))
    return found == (past["open"], past["won"], Decimal(past["revenue"]))


def run(*, quick: bool = False) -> None:
    """Take every CRM's export from `init` to `backtest`, and print a line of each.

    Parameters
    ----------
    quick : bool
        A company of 600 leads instead of 2,000.
    """
    print("\nFrom an export to a backtest, without an edit")
    print(f"{'CRM':<12}{'right':<44}{'to decide':>10}{'AUC':>7}{'seconds':>9}")
    for vendor in VENDORS:
        with tempfile.TemporaryDirectory() as scratch:
            print(one(vendor, Path(scratch) / vendor, 600 if quick else 2000), flush=True)


def one(vendor: str, folder: Path, leads: int) -> str:
    """Take one CRM's export from `init` to `backtest`, and tell how it went."""
    simulate(folder, leads=leads, events_per_lead=4, export=vendor)
    truth = json.loads((folder / "truth.json").read_text())
    started = time.perf_counter()
    result = init([str(folder)], folder / "params.yaml")
    params = load_params(result.params)
    audit = json.loads((params.artifacts_folder / "audit.json").read_text())
    tested = backtest(params, [truth["forecast_again"]["as_of"]], params.artifacts_folder).to_dict()["cutoffs"][0]
    right = against_truth(truth, audit) | {"backtest": backtest_against_truth(truth, tested)}
    wrong = [name for name, is_right in right.items() if not is_right]
    checks = len(open_checks(result.params.read_text()))
    auc = tested["models"]["leadrev"]["auc"]
    seconds = time.perf_counter() - started
    return (
        f"{vendor:<12}{'all' if not wrong else 'all but ' + ', '.join(wrong):<44}{checks:>10}{auc:>7.2f}{seconds:>9.0f}"
    )
