"""Train at each cutoff, score what was open then, compare with outcomes, beside what a company would use instead."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models import metrics
from models.bootstrap import LeadDraws, interval
from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.dates import days_later, iso, local_iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.common.formatting import money, to_instant
from pipeline.common.progress import step
from pipeline.common.seals import sealed_json
from pipeline.config.params import Params
from pipeline.evaluation.cutoff import Evaluation, calibration, evaluate, figures, without_nan
from pipeline.evaluation.model_names import MODELS
from pipeline.evaluation.segment_metrics import segments
from pipeline.evaluation.verdict import verdict
from pipeline.ingest.as_of import parse_as_of
from pipeline.ingest.company import LoadedCompany, data_fingerprint
from pipeline.ingest.load import load_tables
from pipeline.model_registry.model_artifact import source_fingerprint
from pipeline.training.fit import learn

DIFFERENCES = ("auc", "capture_at_10", "brier", "ibs")
"""Figures in which leadrev is set against each of the others, lead by lead."""


@dataclass(frozen=True)
class Backtest:
    """The cutoffs of a backtest, all of them together, and the verdict; `to_dict` is ``backtest.json``."""

    params: Params
    known_until: datetime
    data_fingerprint: str
    evaluations: list[Evaluation]
    overall: dict[str, Any]
    verdict: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Give the content of ``backtest.json``."""
        return {
            "company": self.params.company,
            "currency": self.params.currency,
            "timezone": self.params.data.timezone,
            "primary_horizon_days": self.params.primary_horizon_days,
            "capacity_calls": self.params.backtest.capacity_calls,
            "known_until": iso(self.known_until),
            "data_fingerprint": self.data_fingerprint,
            "source_fingerprint": source_fingerprint(),
            "settings": self.params.model.model_dump(),
            "cutoffs": [evaluation.to_dict() for evaluation in self.evaluations],
            "overall": without_nan(self.overall),
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
    from pipeline.reporting.backtest_page import render_backtest

    for text in cutoffs or ():
        parse_as_of(text.strip(), params)  # a misspelt date is told before anything is read
    check_writable(out)
    with step("reading and checking the sources"):
        company = load_tables(params)
    instants = _cutoffs(params, company, cutoffs)
    truth = _truth(params)
    evaluations = []
    for cutoff in instants:
        with step(f"training and scoring as of {local_iso(cutoff, params.data.timezone)}"):
            try:
                training = learn(company, params, cutoff)
            except UserError as reason:
                if cutoffs is not None:
                    raise UserError(f"--cutoffs: {local_iso(cutoff, params.data.timezone)}: {reason}") from None
                continue  # a default cutoff before the first deal was won
            true = _true_forecast(truth, cutoff, params.primary_horizon_days)
            asked = training.audit.dominating
            other = (
                learn(company, params, cutoff, without=frozenset({asked}), findings=training.audit) if asked else None
            )
            evaluations.append(
                evaluate(
                    company,
                    params,
                    training,
                    cutoff,
                    known_at=company.known_until,
                    truth=true,
                    without_asked=other,
                )
            )
    if not evaluations:
        raise UserError(
            "no cutoff could be tested: no lead had been won a horizon before the data end; "
            "backtest needs a longer history, or a shorter primary_horizon_days"
        )
    with step("pooling the dates"):
        whole = overall(evaluations, params)
    judged = verdict(whole, len(evaluations), has_value=all(evaluation.has_value for evaluation in evaluations))
    result = Backtest(params, company.known_until, data_fingerprint(company), evaluations, whole, judged)
    content = result.to_dict()
    files = {
        "backtest.json": sealed_json(content),
        "backtest.html": render_backtest(content).encode(),
    }
    write_whole(out, files)
    return result


def _cutoffs(params: Params, company: LoadedCompany, cutoffs: list[str] | None) -> list[datetime]:
    horizon, zone = params.primary_horizon_days, params.data.timezone
    latest = days_later(company.known_until, -horizon, zone)
    if cutoffs is None:
        return [days_later(latest, -k * horizon, zone) for k in range(params.backtest.cutoffs_count)][::-1]
    instants = sorted({parse_as_of(text.strip(), params) for text in cutoffs})
    for instant in instants:
        if instant > latest:
            raise UserError(
                f"--cutoffs: {local_iso(instant, zone)} is too late: what is known ends at "
                f"{local_iso(company.known_until, zone)}, so the {horizon} days after it are not over; use "
                f"{local_iso(latest, zone)} or earlier"
            )
    return instants


def overall(evaluations: list[Evaluation], params: Params) -> dict[str, Any]:
    """Take the cutoffs together.

    Returns
    -------
    dict
        ``models``: figures as in each cutoff, with intervals from draws of leads that stand alike at every cutoff;
        ``differences``: leadrev less each of the others in `DIFFERENCES`, at the cutoffs that both have, with
        intervals from paired draws (the oracle, and what may know more than was known then, are not set against it);
        ``calibration``, ``segments``, ``won_leads``: how many leads were won, each counting once however many cutoffs
        it was open at, and ``totals``: how many months' totals lay in their interval.
    """
    names = list(dict.fromkeys(name for evaluation in evaluations for name in evaluation.models))
    repeats, seed = params.backtest.bootstrap_count, params.seed
    samples = {name: _over_cutoffs(evaluations, name, params) for name in names}
    models = {}
    for name in names:
        there = [evaluation.models[name] for evaluation in evaluations if name in evaluation.models]
        counts = {key: float(np.sum([one[key] for one in there])) for key in ("expected_wins", "actual_wins")}
        models[name] = figures(samples[name]) | counts | {"cutoffs_count": len(there)}
    caveats = {name for evaluation in evaluations for name in evaluation.caveats}
    differences = {}
    for name in names:
        if name not in {"leadrev", "without_asked", "oracle"} | caveats:
            both = [evaluation for evaluation in evaluations if name in evaluation.models]
            own = samples["leadrev"] if len(both) == len(evaluations) else _over_cutoffs(both, "leadrev", params)
            other = samples[name]
            less = {key: own[key] - other[key] for key in DIFFERENCES if key in own and key in other}
            differences[name] = {
                key: {"difference": float(values[0]), **dict(zip(("low", "high"), interval(values), strict=True))}
                for key, values in less.items()
            }
    p_win = _all(evaluations, lambda one: one.forecasts["leadrev"].p_win)
    won, known = _all(evaluations, lambda one: one.outcomes.won), _all(evaluations, lambda one: one.outcomes.known)
    draws = LeadDraws(_all(evaluations, lambda one: one.lead_ids), repeats, seed)
    totals = [
        month["low"] <= month["actual_revenue"] <= month["high"]
        for evaluation in evaluations
        for month in evaluation.months
        if "low" in month and month["month"] != "total"
    ]
    return {
        "models": models,
        "differences": differences,
        "calibration": calibration(won, p_win, known, draws) if len(p_win) else [],
        "segments": segments(evaluations, repeats, seed),
        "won_leads": int(pd.Series(_all(evaluations, lambda one: one.lead_ids))[won.astype(bool)].nunique()),
        "totals": {"inside": int(np.sum(totals)), "count": len(totals)},
    }


def _over_cutoffs(evaluations: list[Evaluation], name: str, params: Params) -> dict[str, np.ndarray]:
    """Take a model's figures, and those of every draw, over the cutoffs at which it was there.

    Expected over actual is taken over all their leads together; everything else is a mean over the cutoffs.
    """
    there = [evaluation for evaluation in evaluations if name in evaluation.samples]
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a figure that no cutoff can say stays NaN
        for metric in there[0].samples[name]:
            found[metric] = np.nanmean(
                [one.samples[name][metric] for one in there if metric in one.samples[name]], axis=0
            )
    pairs: dict[str, tuple[Callable[[Evaluation], Any], Callable[[Evaluation], Any]]] = {
        "wins_ratio": (lambda one: one.forecasts[name].p_win, lambda one: one.outcomes.won),
        "forecast_ratio": (lambda one: one.forecasts[name].expected_revenue, lambda one: one.outcomes.revenue),
    }
    for metric, (expected, outcomes) in pairs.items():
        with_metric = [one for one in there if metric in one.samples[name]]
        if with_metric:
            draws = LeadDraws(_all(with_metric, lambda one: one.lead_ids), params.backtest.bootstrap_count, params.seed)
            found |= draws.measure(
                {metric: partial(metrics.forecast_ratio, _all(with_metric, expected), _all(with_metric, outcomes))}
            )
    return found


def _all(evaluations: list[Evaluation], pick: Callable[[Evaluation], Any]) -> np.ndarray:
    """Put something of every cutoff's leads behind each other; empty where one of them lacks it."""
    parts = [pick(evaluation) for evaluation in evaluations]
    return np.empty(0) if any(part is None for part in parts) else np.concatenate(parts)


def summary(result: Backtest) -> str:
    """Say how the backtest came out: the verdict, then a table a cutoff."""
    lines = [f"Use it: {result.verdict['use']}. {result.verdict['text']}"]
    lines += [f"Watch {note}." for note in result.verdict["watch"]]
    zone = result.params.data.timezone
    for evaluation in result.evaluations:
        revenue = evaluation.actual_revenue
        brought = f", {money(revenue, result.params.currency)}" if revenue is not None else ""
        lines += [
            "",
            f"As of {local_iso(to_instant(evaluation.cutoff), zone)}: "
            f"{counted(evaluation.open_count, 'lead', 'leads')} open; "
            f"{evaluation.won_count:,} of them "
            f"won within {evaluation.horizon_days} days{brought}",
            *(f"  Note: {note}" for note in evaluation.notes.values()),
            f"  {'':34}{'AUC (90% interval)':>20}{'Brier':>8}{'IBS':>8}{'top tenth':>11}{'wins exp./act.':>16}"
            f"{'revenue exp./act.':>19}" + (f"{'true top tenth':>16}" if "oracle" in evaluation.models else ""),
        ]
        for name, measured in evaluation.models.items():
            low, high = measured["intervals"]["auc"]
            between = f" ({low:.2f}–{high:.2f})" if np.isfinite(low) else ""
            cells = [f"  {MODELS[name]:34}", f"{_shown(measured['auc'], '.3f')}{between}".rjust(20)]
            cells += [
                _shown(measured.get(metric, np.nan), form).rjust(width)
                for metric, form, width in (
                    ("brier", ".4f", 8),
                    ("ibs", ".4f", 8),
                    ("capture_at_10", ".1%", 11),
                    ("wins_ratio", ".2f", 16),
                    ("forecast_ratio", ".2f", 19),
                    ("true_capture_at_10", ".1%", 16),
                )
            ]
            lines.append("".join(cells).rstrip(" –") if "true_capture_at_10" not in measured else "".join(cells))
        lines += [f"  without {MODELS[name]}: {why}" for name, why in evaluation.absent.items()]
        lines += [f"  {MODELS[name]}: {why}" for name, why in evaluation.caveats.items()]
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
    from pipeline.simulation.ground_truth import true_forecast

    forecast = true_forecast(truth, as_of, [horizon_days])
    names = {f"p_win_{horizon_days}d": "p_win", f"expected_revenue_{horizon_days}d": "expected_revenue"}
    return forecast.rename(columns=names)[["lead_id", "p_win", "expected_revenue"]]


def _shown(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "–"
