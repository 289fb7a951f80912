"""How right the forecasts were for kinds of leads: by source, size of company, age and the like, over all cutoffs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models import metrics
from models.bootstrap import LeadDraws, interval

if TYPE_CHECKING:
    from pipeline.evaluation.cutoff import Evaluation

VALUES_LIMIT = 6
LEADS_LEAST = 30
FORECAST_KINDS = ("risk", "p_win", "expected_revenue")


def segments(evaluations: list[Evaluation], repeats: int, seed: int) -> list[dict[str, Any]]:
    """Measure every kind of lead, the cutoffs taken together.

    Parameters
    ----------
    evaluations : list of Evaluation
    repeats, seed : int
        Draws of leads behind each interval.

    Returns
    -------
    list of dict
        ``by`` (the trait), ``value``, ``leads``, ``won``, ``revenue``, and ``models``: for each one that was there
        at every cutoff its ``auc``, where it has chances ``expected_wins``, ``wins_ratio`` and ``forecast_ratio``,
        with their ``intervals``, and where it has 80% intervals of the amounts ``interval_coverage`` and
        ``priced``, the share of the amounts inside and their number. At most six values a trait, those with most
        leads; kinds of fewer than 30 leads are left out.
    """
    kinds = pd.concat([evaluation.kinds for evaluation in evaluations], ignore_index=True)
    lead_ids = pd.concat([evaluation.lead_ids for evaluation in evaluations], ignore_index=True)
    won = np.concatenate([evaluation.outcomes.won for evaluation in evaluations])
    amount = np.concatenate([evaluation.outcomes.amount for evaluation in evaluations])
    known = np.concatenate([evaluation.outcomes.known for evaluation in evaluations])
    revenue = np.concatenate([evaluation.outcomes.revenue for evaluation in evaluations])
    found = []
    for trait in kinds:
        counts = kinds[trait].value_counts()
        listed = [value for value in counts.index[counts >= LEADS_LEAST] if value == value][:VALUES_LIMIT]
        order = listed if kinds[trait].dtype == object else [v for v in kinds[trait].cat.categories if v in listed]
        for value in order if len(order) > 1 else []:
            rows = (kinds[trait] == value).to_numpy()
            draws = LeadDraws(lead_ids[rows], repeats, seed)
            models = {}
            for name in evaluations[0].forecasts:
                if all(name in evaluation.forecasts for evaluation in evaluations):
                    pooled = {kind: _pooled(evaluations, name, rows, kind) for kind in FORECAST_KINDS}
                    models[name] = _figures(pooled, won[rows], known[rows], revenue[rows], draws)
                    _add_coverage(models[name], evaluations, name, rows, won & np.isfinite(amount), amount, draws)
            row = {"by": trait, "value": str(value), "leads": int(rows.sum()), "won": int(won[rows].sum())}
            found.append(row | {"revenue": float(revenue[rows].sum()), "models": models})
    return found


def _pooled(evaluations: list[Evaluation], name: str, rows: np.ndarray, kind: str) -> np.ndarray | None:
    """Give what a model said at all cutoffs; None where it did not at one of them."""
    parts = [getattr(evaluation.forecasts[name], kind) for evaluation in evaluations]
    return None if any(part is None for part in parts) else np.concatenate(parts)[rows]


def _add_coverage(
    figures: dict[str, Any],
    evaluations: list[Evaluation],
    name: str,
    rows: np.ndarray,
    priced: np.ndarray,
    amount: np.ndarray,
    draws: LeadDraws,
) -> None:
    """Say how many of the amounts lay in their 80% interval, of a model that has intervals at every cutoff."""
    forecasts = [evaluation.forecasts.get(name) for evaluation in evaluations]
    intervals = [forecast.interval for forecast in forecasts if forecast is not None and forecast.interval is not None]
    inside, mine = rows & priced, priced[rows]
    if len(intervals) < len(evaluations) or not inside.any():
        return
    low, high = (np.concatenate([one[place] for one in intervals])[inside] for place in (0, 1))
    covered = draws.measure({"": lambda w: metrics.interval_coverage(amount[inside], low, high, w[:, mine])})[""]
    figures |= {"interval_coverage": float(covered[0]), "priced": int(inside.sum())}
    figures["intervals"]["interval_coverage"] = list(interval(covered))


def _figures(
    pooled: dict[str, np.ndarray | None], won: np.ndarray, known: np.ndarray, revenue: np.ndarray, draws: LeadDraws
) -> dict[str, Any]:
    risk, p_win, money = (pooled[kind] for kind in FORECAST_KINDS)
    assert risk is not None, "every model ranks"
    statistics = {"auc": lambda w: metrics.auc(won[known], risk[known], w[:, known])}
    if p_win is not None:
        statistics["wins_ratio"] = lambda w: metrics.forecast_ratio(p_win, won, w)
    if p_win is not None and money is not None:
        statistics["forecast_ratio"] = lambda w: metrics.forecast_ratio(money, revenue, w)
    samples = draws.measure(statistics)
    found: dict[str, Any] = {} if p_win is None else {"expected_wins": float(p_win.sum())}
    found |= {name: float(values[0]) for name, values in samples.items()}
    return found | {"intervals": {name: list(interval(values)) for name, values in samples.items()}}
