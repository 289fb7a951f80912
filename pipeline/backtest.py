"""Train at each cutoff, score what was open then, compare with what came, beside what a company would use instead."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.evaluation import Evaluation, evaluate
from pipeline.formatting import money
from pipeline.learning import learn
from pipeline.params import Params
from pipeline.progress import step
from pipeline.stored_model import iso
from pipeline.tables import LoadedCompany, load_tables, parse_as_of
from pipeline.writing import write_whole

NAMES = {
    "leadrev": "leadrev",
    "recent_activity": "most recent activity first",
    "biggest_company": "biggest company first",
    "logistic_regression": "logistic regression",
    "oracle": "oracle (knows the truth)",
}


@dataclass(frozen=True)
class Backtest:
    """The cutoffs of a backtest and the verdict on them; `to_dict` is ``backtest.json``."""

    params: Params
    known_until: datetime
    evaluations: list[Evaluation]
    verdict: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Give the content of ``backtest.json``."""
        return {
            "company": self.params.company,
            "currency": self.params.currency,
            "timezone": self.params.data.timezone,
            "primary_horizon_days": self.params.primary_horizon_days,
            "known_until": iso(self.known_until),
            "cutoffs": [evaluation.to_dict() for evaluation in self.evaluations],
            "verdict": self.verdict,
        }


def backtest(params: Params, cutoffs: list[str] | None, out: Path) -> Backtest:
    """Run a backtest and write ``backtest.json`` and ``backtest.html``.

    Parameters
    ----------
    params : Params
        The company.
    cutoffs : list of str, optional
        Dates as the user wrote them; by default ``backtest.cutoffs_count`` of them, the last one primary horizon
        before the data end, a horizon apart.
    out : Path
        Folder to write to.

    Returns
    -------
    Backtest

    Raises
    ------
    UserError
        If a cutoff lies too late for its horizon to have passed, or nothing can be learned by it.
    """
    from pipeline.pages import render_backtest

    with step("reading and checking the sources"):
        company = load_tables(params)
    instants = _cutoffs(params, company, cutoffs)
    truth = _truth(params)
    evaluations = []
    for cutoff in instants:
        with step(f"training and scoring as of {iso(cutoff)[:10]}"):
            try:
                training = learn(company, params, cutoff)
            except UserError as reason:
                if cutoffs is not None:
                    raise UserError(f"--cutoffs: {iso(cutoff)}: {reason}") from None
                continue  # a default cutoff before the first deal was won
            true = _true_forecast(truth, cutoff, params.primary_horizon_days)
            evaluations.append(evaluate(company, params, training, cutoff, known_at=company.known_until, truth=true))
    if not evaluations:
        raise UserError(
            "no cutoff could be tested: no lead had been won a horizon before the data end; "
            "backtest needs a longer history, or a shorter primary_horizon_days"
        )
    result = Backtest(params, company.known_until, evaluations, verdict(evaluations))
    content = result.to_dict()
    files = {
        "backtest.json": (json.dumps(content, indent=2, allow_nan=False) + "\n").encode(),
        "backtest.html": render_backtest(content).encode(),
    }
    write_whole(out, files)
    return result


def _cutoffs(params: Params, company: LoadedCompany, cutoffs: list[str] | None) -> list[datetime]:
    horizon = timedelta(days=params.primary_horizon_days)
    latest = company.known_until - horizon
    if cutoffs is None:
        return [latest - k * horizon for k in range(params.backtest.cutoffs_count)][::-1]
    instants = sorted({parse_as_of(text.strip(), params) for text in cutoffs})
    for instant in instants:
        if instant > latest:
            raise UserError(
                f"--cutoffs: {iso(instant)} is too late: what is known ends at {iso(company.known_until)}, so the "
                f"{params.primary_horizon_days} days after it are not over; use {iso(latest)} or earlier"
            )
    return instants


def verdict(evaluations: list[Evaluation]) -> dict[str, str]:
    """Say in plain words whether to use the forecasts: ``yes``, ``with care`` or ``no``, and why.

    *No* where leadrev ranks no better than the best baseline it was measured against, or than chance; *with care*
    where wins or revenue in total were off by more than a quarter, or there were few wins to judge by.
    """
    own = [evaluation.models["leadrev"] for evaluation in evaluations]
    baselines = {
        name: [evaluation.models[name] for evaluation in evaluations if name in evaluation.models]
        for name in ("recent_activity", "biggest_company", "logistic_regression")
    }
    auc, capture = _mean(own, "auc"), _mean(own, "capture_at_10")
    best_auc = _best(baselines, "auc")
    best_capture = _best(baselines, "capture_at_10")
    wins_ratio = _total_ratio(own, "expected_wins", "actual_wins")
    won = int(sum(figures["actual_wins"] for figures in own))
    ranks = (
        f"it ranks with an AUC of {auc:.2f}, the best baseline ({NAMES[best_auc[0]]}) with {best_auc[1]:.2f}; its top "
        f"tenth holds {capture:.0%} of what came, the best baseline's ({NAMES[best_capture[0]]}) {best_capture[1]:.0%}"
    )
    level = f"it expected {wins_ratio:.2f} times the {won:,} wins that came"
    if not np.isfinite(auc) or auc <= max(0.52, best_auc[1] - 0.01):
        return {"use": "no", "text": f"No better than the baseline: over {len(own)} cutoffs {ranks}."}
    doubts = []
    if won < 100:
        doubts.append(f"only {won} wins to judge by")
    if not 0.75 <= wins_ratio <= 1.33:
        doubts.append(f"the level was off: {level}")
    if capture < best_capture[1] - 0.02:
        doubts.append("a baseline's top tenth held more")
    if doubts:
        return {"use": "with care", "text": f"{'; '.join(doubts).capitalize()}. Over {len(own)} cutoffs {ranks}."}
    return {"use": "yes", "text": f"Over {len(own)} cutoffs {ranks}; {level}."}


def summary(result: Backtest) -> str:
    """Say how the backtest came out: the verdict, then a table a cutoff."""
    lines = [f"Use it: {result.verdict['use']}. {result.verdict['text']}"]
    for evaluation in result.evaluations:
        revenue = evaluation.actual_revenue
        brought = f", {money(revenue, result.params.currency)}" if revenue is not None else ""
        lines += [
            "",
            f"As of {evaluation.cutoff[:10]}: {evaluation.open_count:,} leads open; {evaluation.won_count:,} of them "
            f"won within {evaluation.horizon_days} days{brought}",
            f"  {'':28}{'AUC (90% interval)':>22}{'Brier':>8}{'IBS':>8}{'top tenth':>11}{'wins exp./act.':>16}"
            f"{'revenue exp./act.':>19}" + (f"{'true top tenth':>16}" if "oracle" in evaluation.models else ""),
        ]
        for name, figures in evaluation.models.items():
            low, high = figures["intervals"]["auc"]
            cells = [f"  {NAMES[name]:28}", f"{figures['auc']:.3f} ({low:.2f}–{high:.2f})".rjust(22)]
            cells += [
                _shown(figures.get(metric, np.nan), form).rjust(width)
                for metric, form, width in (
                    ("brier", ".4f", 8),
                    ("ibs", ".4f", 8),
                    ("capture_at_10", ".1%", 11),
                    ("wins_ratio", ".2f", 16),
                    ("forecast_ratio", ".2f", 19),
                    ("true_capture_at_10", ".1%", 16),
                )
            ]
            lines.append("".join(cells).rstrip(" –") if "true_capture_at_10" not in figures else "".join(cells))
        lines += [f"  without {NAMES[name]}: {why}" for name, why in evaluation.absent.items()]
    return "\n".join(lines)


def _truth(params: Params) -> pd.DataFrame | None:
    """Read the truth of a simulated company, where the params name it."""
    if params.backtest.truth is None:
        return None
    path = params.folder / params.backtest.truth
    if not path.exists():
        raise UserError(f"backtest.truth: found no file {path}; only `leadrev simulate` writes one: leave the key out")
    return pd.read_parquet(path)


def _true_forecast(truth: pd.DataFrame | None, as_of: datetime, horizon_days: int) -> pd.DataFrame | None:
    if truth is None:
        return None
    from pipeline.simulation.truth import true_forecast

    forecast = true_forecast(truth, as_of, [horizon_days])
    names = {f"p_win_{horizon_days}d": "p_win", f"expected_revenue_{horizon_days}d": "expected_revenue"}
    return forecast.rename(columns=names)[["lead_id", "p_win", "expected_revenue"]]


def _mean(figures: list[dict[str, Any]], name: str) -> float:
    values = [one[name] for one in figures if np.isfinite(one[name])]
    return float(np.mean(values)) if values else float("nan")


def _best(baselines: dict[str, list[dict[str, Any]]], metric: str) -> tuple[str, float]:
    means = {name: _mean(figures, metric) for name, figures in baselines.items() if figures}
    name = max(means, key=lambda name: -np.inf if np.isnan(means[name]) else means[name])
    return name, means[name]


def _total_ratio(figures: list[dict[str, Any]], expected: str, actual: str) -> float:
    came = sum(one[actual] for one in figures)
    return sum(one[expected] for one in figures) / came if came else float("nan")


def _shown(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "–"
