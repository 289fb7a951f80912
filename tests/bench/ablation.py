"""What each group of features adds, and what it costs: the same model with and without it, on three companies.

Ranking and Brier score are of the chance to be won within the primary horizon, for the leads open at the cutoffs; on
the made-up company a lead counts as won with its true chance, so that luck does not blur the comparison.
It takes half an hour: ``python -m tests.bench ablation``.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from features import (
    account_history,
    catalogue,
    engagement,
    firmographics,
    lead_source,
    sales_activity,
    snapshots,
    timing,
)
from features.labels import WON, observed_outcomes
from features.materialise import open_leads_matrix
from features.schema import materialise
from features.snapshot_context import snapshot_context
from features.spec import FeatureSpec
from models.incidence import IncidenceBooster
from pipeline.config.params import load_params
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.load import load_tables
from pipeline.simulation.ground_truth import true_forecast
from pipeline.simulation.simulate import simulate
from pipeline.training.fit import Training, learn

REAL = Path(__file__).parent.parent / "real"
BUILDERS = {
    "timing": timing, "fit": firmographics, "source": lead_source, "engagement": engagement,
    "sales activity": sales_activity, "history": account_history,
}  # fmt: skip


def run(*, quick: bool = False) -> None:
    """Print a table a company; left out if quick, as it takes half an hour."""
    if quick:
        print("  left out")
        return
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder), leads=8000, events_per_lead=18, seed=0)
        truth = pd.read_parquet(Path(folder) / "truth.parquet")
        _table("made-up company", Path(folder) / "params.yaml", (0, 90), truth)
    for name, backs in (("olist", (230,)), ("bpi2012", (45,))):
        if (REAL / "../../../shared/data").exists():
            _table(name, REAL / f"{name}.yaml", backs)
        else:
            print(f"\n{name}: left out")


def _table(title: str, params_file: Path, days_back: tuple[int, ...], truth: pd.DataFrame | None = None) -> None:
    params = load_params(params_file)
    small = {"snapshots": params.snapshots.model_copy(update={"rows_limit": 12_000})}
    params = params.model_copy(update=small)
    company = load_tables(params)
    horizon = params.primary_horizon_days
    cases = []
    for back in days_back:
        cutoff = company.known_until - timedelta(days=back)
        training = learn(company, params, cutoff)
        matrix = open_leads_matrix(company.on_engine, training.stored.spec, cutoff)
        cases.append((training, matrix, _won(company, matrix, cutoff, horizon, truth)))
    spec = cases[0][0].stored.spec
    seconds = _seconds(company, spec, company.known_until - timedelta(days=days_back[0]))
    wins = sum(won.sum() for *_, won in cases)
    print(f"\n{title}: {sum(len(won) for *_, won in cases):,} open leads, {wins:.0f} won within {horizon} days")
    print(f"{'':34}{'columns':>8}{'seconds':>9}{'AUC':>8}{'Brier':>9}")
    whole = None
    for group, inside in _groups(spec):
        figures = np.mean([_figures(*case, horizon, inside) for case in cases], axis=0)
        whole = figures if whole is None else whole
        count = sum(map(inside, _names(spec))) if group != "everything" else len(_names(spec))
        shown = f"{figures[0]:8.4f}{figures[1]:9.5f}" if group == "everything" else ""
        shown = shown or f"{figures[0] - whole[0]:+8.4f}{figures[1] - whole[1]:+9.5f}"
        cost = f"{seconds[group]:9.2f}" if group in seconds else " " * 9
        print(f"{group if group == 'everything' else 'without ' + group:34}{count:8}{cost}{shown}", flush=True)


def _names(spec: FeatureSpec) -> list[str]:
    return [entry.name for entry in catalogue.entries(spec)]


def _groups(spec: FeatureSpec) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Name each group, and say which columns are in it."""
    theme_of = {entry.name: entry.theme for entry in catalogue.entries(spec)}
    kinds = "|".join(map(re.escape, spec.kind_names().values())) or "none"
    yield "everything", lambda name: False
    for theme in catalogue.THEMES:
        yield theme, lambda name, theme=theme: theme_of[name] == theme  # type: ignore[misc]
    patterns = {
        "each kind's recency": rf"touch_({kinds})_recency_days",
        "each kind so far": rf"touch_({kinds})_count",
        "each kind's windows": rf"touch_({kinds})_\d+d_count",
        "topics": r"touch_topics?_.*",
        "momentum and decay": r"touch_(momentum|decayed).*",
        "active days": r"touch_active_days.*",
        "the company's other people": r"acct_(people|others).*",
        "conversion ratios": r".*_(conversion|recent)_ratio",
        "touches against winning": r"touch_outbound_to_win_share",
        "soundness of the record": r"(lead|acct)_(filled|sound)_share",
    }
    for group, pattern in patterns.items():
        found = [name for name in theme_of if re.fullmatch(pattern, name)]
        if found:
            yield group, lambda name, found=frozenset(found): name in found  # type: ignore[misc]


def _won(
    company: LoadedCompany, matrix: pd.DataFrame, cutoff: datetime, horizon: int, truth: pd.DataFrame | None
) -> np.ndarray:
    """Say for each open lead whether it was won within the horizon, or how likely that was; (n,)."""
    if truth is None:
        came = observed_outcomes(
            company.tables,
            matrix,
            as_of=cutoff,
            known_at=company.known_until,
            amount_window_days=company.params.data.amount_window_days,
        )
        return ((came["event"] == WON) & (came["duration"] <= horizon)).to_numpy(float)
    chances = true_forecast(truth, cutoff, [horizon]).set_index("lead_id")[f"p_win_{horizon}d"]
    return chances.loc[matrix["lead_id"]].fillna(0.0).to_numpy()


def _figures(
    training: Training, matrix: pd.DataFrame, won: np.ndarray, horizon: int, left_out: Callable[[str], bool]
) -> tuple[float, float]:
    """Fit without some columns, and give AUC and Brier score."""
    names = [name for name in training.X.columns if not left_out(name)]
    settings = training.stored.forecaster.incidence_.get_params()
    settings["monotone_increasing"] = tuple(name for name in settings["monotone_increasing"] if name in names)
    y = training.y
    model = IncidenceBooster(**settings | {"threads": 1}).fit(
        training.X[names], y[["event", "duration", "as_of"]], y["weight"], groups=y["lead_id"]
    )
    p = model.predict_proba(matrix[names], horizon)[:, WON]
    return _expected_auc(won, p), float(np.mean(won * (1 - p) ** 2 + (1 - won) * p**2))


def _expected_auc(won: np.ndarray, p: np.ndarray) -> float:
    """AUC where lead i counts as won with the chance ``won[i]``; 0s and 1s give the usual one."""
    ranks = np.unique(p, return_inverse=True)[1]
    wins, others = np.bincount(ranks, won), np.bincount(ranks, 1 - won)
    below = np.cumsum(others) - others
    return float((wins * (below + others / 2)).sum() / (won.sum() * (1 - won).sum()))


def _seconds(company: LoadedCompany, spec: FeatureSpec, as_of: datetime) -> dict[str, float]:
    """Processor seconds to build each theme for all leads open at a date; our touches count as engagement."""
    asked = snapshot_context(company.tables, materialise(snapshots.open_leads(company.tables, as_of)), spec)
    found = {}
    for theme, module in BUILDERS.items():
        absent = (theme == "sales activity" and not spec.has_open_deals()) or (
            theme == "history" and not spec.has("leads.account_id")
        )
        start = time.process_time()
        if not absent:
            module.features(asked).to_pyarrow()
            found[theme] = time.process_time() - start
    return found
