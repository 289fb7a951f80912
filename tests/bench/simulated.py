"""leadrev against the truth of made-up companies: several companies, several dates, one table.

By hand, from the project's folder: ``python -m tests.bench.simulated [--seeds 0,1,2] [--cutoffs 6] [--leads 20000]``.
Each company is simulated into a folder that is gone afterwards; nothing of it is kept but the table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

WANTED = "wanted: captured at least 0.94 of the oracle, error of chances at most 0.40, money 0.90 to 1.10"
COLUMNS = (
    ("true top tenth", 15, ".3f"),
    ("of the oracle", 14, ".3f"),
    ("|p − true p|", 13, ".3f"),
    ("exp./true revenue", 18, ".3f"),
    ("exp./true wins", 15, ".3f"),
    ("AUC", 7, ".3f"),
    ("oracle AUC", 11, ".3f"),
    ("logistic of oracle", 19, ".3f"),
)


def run(seeds: tuple[int, ...] = (0, 1, 2), cutoffs: int = 6, leads: int = 20_000) -> None:
    """Print a row a company and date, then their means.

    Captured: the share of true expected revenue in the first tenth of the ranking, and that over the oracle's own.
    Error of chances: mean |p − true p| over that of their true mean for all. All within the primary horizon.
    """
    print(f"\nMade-up companies of {leads:,} leads, {cutoffs} dates each; {WANTED}")
    print(f"  {'company':9}{'as of':12}" + "".join(f"{name:>{width}}" for name, width, _ in COLUMNS) + f"{'s':>7}")
    rows = []
    for seed in seeds:
        started = time.process_time()
        for as_of, row in one_company(seed, cutoffs, leads):
            rows.append(row)
            _print(f"seed {seed}", as_of, row, time.process_time() - started)
            started = time.process_time()
    _print("mean", "", np.mean(rows, axis=0), float("nan"))
    _print("worst", "", _worst(np.array(rows)), float("nan"))


def one_company(seed: int, cutoffs: int, leads: int) -> list[tuple[str, np.ndarray]]:
    """Simulate a company, backtest it at dates a horizon apart, and give the figures of each date."""
    from pipeline.commands.backtest import backtest
    from pipeline.config.params import load_params
    from pipeline.simulation.simulate import simulate

    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder), leads=leads, seed=seed)
        params = load_params(Path(folder) / "params.yaml")
        tested = params.backtest.model_copy(update={"cutoffs_count": cutoffs, "bootstrap_count": 0})
        result = backtest(params.model_copy(update={"backtest": tested}), None, Path(folder) / "out")
    return [(evaluation.cutoff[:10], _row(evaluation.models)) for evaluation in result.evaluations]


def _row(models: dict[str, dict[str, Any]]) -> np.ndarray:
    own, oracle, logistic = models["leadrev"], models["oracle"], models["logistic_regression"]
    best = oracle["true_capture_at_10"]
    return np.array(
        [
            own["true_capture_at_10"],
            own["true_capture_at_10"] / best,
            own["true_p_error_ratio"],
            own["true_revenue_ratio"],
            own["expected_wins"] / oracle["expected_wins"],
            own["auc"],
            oracle["auc"],
            logistic["true_capture_at_10"] / best,
        ]
    )


def _worst(rows: np.ndarray) -> np.ndarray:
    """Give the worst row by what is wanted: the least captured, the largest error, the ratios furthest from 1."""
    furthest = [rows[np.abs(np.log(rows[:, place])).argmax(), place] for place in (3, 4)]
    lowest = rows.min(axis=0)
    return np.array([lowest[0], lowest[1], rows[:, 2].max(), *furthest, *lowest[5:]])


def _print(company: str, as_of: str, row: np.ndarray, seconds: float) -> None:
    cells = "".join(f"{value:{width}{form}}" for value, (_, width, form) in zip(row, COLUMNS, strict=True))
    took = f"{seconds:7.0f}" if seconds == seconds else ""
    print(f"  {company:9}{as_of:12}{cells}{took}", flush=True)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.simulated", description=__doc__)
    parser.add_argument("--seeds", default="0,1,2", help="companies, by the seed of each")
    parser.add_argument("--cutoffs", type=int, default=6, help="dates, a horizon apart, the last one a horizon ago")
    parser.add_argument("--leads", type=int, default=20_000, help="leads a company")
    given = parser.parse_args()
    run(tuple(int(seed) for seed in given.seeds.split(",")), given.cutoffs, given.leads)


if __name__ == "__main__":
    main()
