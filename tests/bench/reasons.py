"""Speed of the reasons beside what else splits a booster's scores, and of a whole scoring run after its features."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.materialise import open_leads_matrix
from pipeline.common.atomic_write import written_whole
from pipeline.config.params import load_params
from pipeline.ingest.load import company_at
from pipeline.insights.profile_won_leads import profile_won_leads
from pipeline.insights.reason_blocks import explained_blocks
from pipeline.model_registry.model_artifact import StoredModel, read_model
from pipeline.scoring import artifacts, forecast
from pipeline.simulation.simulate import simulate
from pipeline.training.fit import learn

LEADS, QUICK_LEADS = 20_000, 3_000
ROWS = 20_000
PEERS_ROWS = {"shap.TreeExplainer": 24, "LightGBM pred_contrib": 2_000}
SIZES = (100_000, 1_000_000)


def run(quick: bool = False) -> None:
    """Print every table."""
    with tempfile.TemporaryDirectory() as folder:
        stored, matrix = made_up(Path(folder), QUICK_LEADS if quick else LEADS)
        peers(stored, matrix)
        for size in SIZES[:1] if quick else SIZES:
            whole_run(Path(folder), size)


def made_up(folder: Path, leads: int) -> tuple[StoredModel, pd.DataFrame]:
    """Make up the demo's company, train on it as the demo does, and build the features of its open leads."""
    from dataclasses import replace

    simulate(folder, leads=leads)
    params = load_params(folder / "params.yaml")
    company, as_of = company_at(params, None)
    training = learn(company, params, as_of)
    won = profile_won_leads(
        company.tables, training.stored, training.X, training.y, as_of, params.data.amount_window_days
    )
    stored = replace(training.stored, won_leads=won)
    (folder / "model").mkdir()
    stored.write(folder / "model")
    return stored, open_leads_matrix(company.on_engine, stored.spec, as_of)


def peers(stored: StoredModel, matrix: pd.DataFrame) -> None:
    """Print leads per second of everything that splits the demo's boosters."""
    forecaster = stored.forecaster
    X = stored.feature_columns(matrix).iloc[np.resize(np.arange(len(matrix)), ROWS)].reset_index(drop=True)
    margins = forecaster.margins(X)
    explained = forecaster.explainer().margins
    pieces = forecaster.incidence_.grid_.pieces_count
    boosters = [margin.booster for margin in explained]
    trees = sum(booster.num_trees() for booster in boosters)
    print(
        f"\nReasons, demo: {len(boosters)} boosters, {trees} trees, {pieces} pieces of time, {X.shape[1]} features, "
        f"{len(explained[0].background)} leads as the background"
    )
    print(f"  {'':62}{'leads':>8}{'wall s':>8}{'leads/s':>9}{'leads/s of one core':>21}")

    def designs(rows: int) -> list[np.ndarray]:
        incidence, value = forecaster.incidence_, forecaster.value_
        encoded = incidence.encoder_.transform(X.head(rows))
        return [encoded] * len(incidence.boosters_) + ([value.encoder_.transform(X.head(rows))] if value else [])

    def by_shap(rows: int) -> None:
        for margin, design in zip(explained, designs(rows), strict=True):
            for _ in margin.of_trees_by_shap(design):
                pass

    def by_contrib(rows: int) -> None:
        for booster, design in zip(boosters, designs(rows), strict=True):
            for piece in range(pieces):
                booster.predict(np.column_stack([design, np.full(rows, float(piece))]), pred_contrib=True)

    def by_ours(rows: int) -> None:
        for margin, design in zip(explained, designs(rows), strict=True):
            for _ in margin.of_trees(design):
                pass

    def complete(rows: int) -> None:
        for _ in explained_blocks(stored, X.head(rows), margins[:rows]):
            pass

    complete(10)  # what is compiled or imported once is not counted
    lines: list[tuple[str, Callable[[int], None], int]] = [
        ("shap.TreeExplainer, interventional: scores split", by_shap, PEERS_ROWS["shap.TreeExplainer"]),
        ("LightGBM pred_contrib: scores split, path-dependent", by_contrib, PEERS_ROWS["LightGBM pred_contrib"]),
        ("ours: scores split", by_ours, ROWS),
        ("ours, complete: money, points, days, text, checked", complete, ROWS),
    ]
    for name, work, rows in lines:
        wall, processor = time.perf_counter(), time.process_time()
        work(rows)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(f"  {name:62}{rows:>8,}{wall:>8.1f}{rows / wall:>9,.0f}{rows / processor:>21,.0f}")


def whole_run(folder: Path, rows: int) -> None:
    """Score and explain so many leads in a process of its own, and print time and memory after the features."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.reasons", str(folder), str(rows)],
        capture_output=True,
        text=True,
        check=True,
    )
    print(ran.stdout.strip().splitlines()[-1])


def score_many(folder: Path, rows: int) -> None:
    """Do all of ``score --explain all`` after its features, for the open leads repeated up to `rows`."""
    params = load_params(folder / "params.yaml")
    company, as_of = company_at(params, None)
    stored = read_model(folder / "model")
    matrix = open_leads_matrix(company.on_engine, stored.spec, as_of)
    copies = np.arange(rows) // len(matrix)
    many = matrix.iloc[np.resize(np.arange(len(matrix)), rows)].reset_index(drop=True)
    many["lead_id"] = many["lead_id"].where(copies == 0, many["lead_id"] + "~" + pd.Series(copies).astype(str))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, processor = time.perf_counter(), time.process_time()
    given: dict[str, Any] = {"version": "1", "explained": None}
    honest, forecast.open_leads_matrix = forecast.open_leads_matrix, lambda *_: many
    with written_whole(folder / f"scored-{rows}", seal=artifacts.MANIFEST) as staging:
        result = forecast.forecast_leads(company, stored, as_of, **given)
        loaded = forecast.Loaded(company, stored, "1", as_of)
        artifacts.write_scores(staging, result, loaded, folder / "nothing before")
    forecast.open_leads_matrix = honest
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"  score --explain all of {rows:,} leads after their features: {wall:.0f} s ({processor:.0f} s of processor "
        f"time), at most {peak / 1e6:.1f} GB, {before / 1e6:.1f} GB of it before"
    )


if __name__ == "__main__":
    score_many(Path(sys.argv[1]), int(sys.argv[2]))
