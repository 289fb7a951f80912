"""Accuracy and speed of `models.incidence` beside its peers: a real log, a known truth, and how cost grows."""

from __future__ import annotations

import importlib.util
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.baselines import AalenJohansen
from models.incidence import IncidenceBooster
from models.metrics import integrated_brier_score
from tests.bench.peers import PEERS

BPI = Path(__file__).parents[3] / "shared" / "data" / "bpi2012"


def run(quick: bool = False) -> None:
    """Print every table."""
    process_log(quick)
    competing_weibulls(quick)
    scaling(quick)


# By time-ordered folds within the training landmarks: notebooks/EXPERIMENTS.md.
BPI_SETTINGS = {"clocks": ("age_days", "since_last_days"), "pieces": 16, "recalibrate": False}


def models(quick: bool) -> Iterator[tuple[str, Any]]:
    """Ours, the featureless curve, and the peers that are installed."""
    yield "IncidenceBooster", IncidenceBooster(random_state=0)
    yield "… not recalibrated", IncidenceBooster(random_state=0, recalibrate=False)
    yield "Aalen-Johansen, no features", AalenJohansen()
    for name, (package, make, slow) in PEERS.items():
        if importlib.util.find_spec(package) is None:
            print(f"  {name}: left out, {package} is not installed")
        elif not (slow and quick):
            yield name, make()


def process_log(quick: bool) -> None:
    """BPI Challenge 2012: split, features and metric of its own ``split.py``."""
    if not BPI.exists() or importlib.util.find_spec("hazardous") is None:
        print("\nBPI 2012: left out, needs ../shared/data/bpi2012 and hazardous")
        return
    sys.path.insert(0, str(BPI))
    import split

    X_train, y_train, X_test, y_test = split.load()
    print(f"\nBPI 2012, {len(X_train):,} landmarks to learn from, {len(X_test):,} to forecast")
    print(f"  {'':28}{'mean IBS':>9}{'fit s':>8}{'predict s':>10}{'falls by':>10}")
    settled = [("IncidenceBooster, clocks", IncidenceBooster(random_state=0, **BPI_SETTINGS))]
    for name, model in chain(settled, models(quick)):
        try:
            fitted = _seconds(model.fit, X_train, y_train)
        except Exception as error:  # a peer that gives up is a finding, not the end of the table
            print(f"  {name:28}  gave up: {type(error).__name__}")
            continue
        start = time.perf_counter()
        incidence = model.predict_cumulative_incidence(X_test, split.TIMES)
        predicted = time.perf_counter() - start
        falls = max(0.0, float(-np.diff(incidence[:, 1:], axis=2).min()))
        score = split.mean_ibs(y_train, y_test, incidence)
        print(f"  {name:28}{score:9.4f}{fitted:8.1f}{predicted:10.1f}{falls:10.4f}", flush=True)


def competing_weibulls(quick: bool) -> None:
    """hazardous' competing Weibulls: distance from the true incidence, at heavy (0.5) and light (1.5) censoring."""
    if importlib.util.find_spec("hazardous") is None:
        print("\nCompeting Weibulls: left out, needs hazardous")
        return
    from hazardous.data import make_synthetic_competing_weibull

    for scale in (0.5, 1.5):
        # An integer seed would tie censoring to a feature.
        X, y = make_synthetic_competing_weibull(
            n_samples=15_000, censoring_relative_scale=scale, return_X_y=True, random_state=np.random.RandomState(0)
        )
        y["duration"] = y["duration"].clip(lower=0.05)  # rounded to a tenth, some to nothing
        X_train, y_train, X_test, y_test = X[:10_000], y[:10_000], X[10_000:], y[10_000:]
        times = np.linspace(y["duration"].quantile(0.02), y["duration"].quantile(0.95), 40)
        truth = weibull_incidence(X_test, times)
        print(f"\nCompeting Weibulls, 10,000 rows, {(y['event'] == 0).mean():.0%} censored (relative scale {scale})")
        print(f"  {'':28}{'|F − true F|':>13}{'mean IBS':>10}{'fit s':>8}")
        print(f"  {'the truth':28}{0:13.4f}{_mean_ibs(y_train, y_test, truth, times):10.4f}")
        for name, model in models(quick):
            fitted = _seconds(model.fit, X_train, y_train)
            incidence = model.predict_cumulative_incidence(X_test, times)
            apart = np.abs(incidence - truth)[:, 1:].mean()
            print(
                f"  {name:28}{apart:13.4f}{_mean_ibs(y_train, y_test, incidence, times):10.4f}{fitted:8.1f}", flush=True
            )


def weibull_incidence(X: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """True incidence of independent Weibull outcomes, of which the first ends the row; index 0 still open."""
    fine = np.concatenate([[0.0], np.geomspace(times[0] / 1000, times[-1], 2000)])
    result = np.zeros((len(X), 4, len(times)))
    for start in range(0, len(X), 500):
        part = X.iloc[start : start + 500]
        passed = np.stack(
            [
                (fine / part[f"scale_{k}"].to_numpy()[:, None]) ** part[f"shape_{k}"].to_numpy()[:, None]
                for k in (1, 2, 3)
            ],
            axis=1,
        )
        still_open = np.exp(-passed.sum(axis=1, keepdims=True))
        middle = (still_open[:, :, 1:] + still_open[:, :, :-1]) / 2
        reached = np.cumsum(np.diff(passed, axis=2) * middle, axis=2)
        at = np.searchsorted(fine[1:], times)
        result[start : start + 500, 1:] = reached[:, :, np.minimum(at, reached.shape[2] - 1)]
    result[:, 0] = 1 - result[:, 1:].sum(axis=1)
    return result


def scaling(quick: bool) -> None:
    """Print time and memory by number of snapshots, each in a process of its own."""
    print("\nSnapshots × 60 features, two outcomes, ten snapshots a lead, recalibrated")
    print(f"  {'snapshots':>10}{'fit s':>8}{'peak GB':>9}{'forecast of 100,000 s':>24}")
    for rows in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        command = [sys.executable, "-m", "tests.bench.incidence", str(rows)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def one_size(rows: int) -> None:
    """Fit one size and print its line."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((rows, 60), dtype=np.float32).astype(float))
    for column in range(0, 40):  # counts and gaps, as in a CRM
        X[column] = np.where(rng.random(rows) < 0.2, np.nan, np.floor(np.exp(X[column])))
    X.columns = [f"feature_{column}" for column in X.columns]
    rates = np.exp(
        np.stack([-6.5 + 0.6 * X["feature_50"] + 0.3 * X["feature_51"], -5.0 - 0.4 * X["feature_52"]], axis=1)
    )
    first = rng.exponential(1 / rates)
    as_of = rng.uniform(0, 700, size=rows)
    seen = 730 - as_of
    y = pd.DataFrame(
        {
            "event": np.where(first.min(axis=1) < seen, first.argmin(axis=1) + 1, 0),
            "duration": np.minimum(first.min(axis=1), seen),
            "as_of": as_of,
        }
    )
    del rates, first, seen
    lead = np.arange(rows) // 10
    model = IncidenceBooster(random_state=0, half_life_days=365.0)
    fitted = _seconds(model.fit, X, y, None, lead)
    forecast = _seconds(model.predict_proba, X.iloc[:100_000], 90.0) * max(1, 100_000 / rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    print(f"  {rows:10,}{fitted:8.1f}{peak:9.2f}{forecast:24.1f}")


def _seconds(work: Callable[..., Any], *given: Any) -> float:
    start = time.perf_counter()
    work(*given)
    return time.perf_counter() - start


def _mean_ibs(y_train: pd.DataFrame, y_test: pd.DataFrame, incidence: np.ndarray, times: np.ndarray) -> float:
    reference = (y_train["event"], y_train["duration"])
    return float(
        np.mean(
            [
                integrated_brier_score(y_test["event"], y_test["duration"], incidence[:, k], times, k, reference)
                for k in (1, 2, 3)
            ]
        )
    )


if __name__ == "__main__":
    one_size(int(sys.argv[1]))
