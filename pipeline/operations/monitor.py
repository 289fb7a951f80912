"""Is it still right: what the archived nights expected against what became known, before outcomes are mature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from features.materialise import open_leads_matrix
from pipeline.archive.chain import Entry
from pipeline.archive.extracts import Extracts
from pipeline.archive.forecasts import Forecasts, read_scores
from pipeline.common.dates import iso
from pipeline.common.errors import UserError
from pipeline.ingest.company import LoadedCompany
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.operations import alerts
from pipeline.operations.expected_wins import ALL, Calendar, all_sums, archived_grids, made_at
from pipeline.operations.monitoring import ALARM, delayed, follow, weight_of
from pipeline.operations.observed_wins import Habits, habits, segments_of, was_forecast, won_leads
from pipeline.operations.score_drift import feature_drift, score_shift

UNSEEN_LIMIT = 0.1
Load = Callable[[str], StoredModel]


@dataclass(frozen=True)
class Monitored:
    """What the monitor found.

    Parameters
    ----------
    content : dict
        Of ``monitor.json``.
    sums : DataFrame
        What every night expects: `expected_wins.COLUMNS`; next time only new nights are worked out.
    """

    content: dict[str, Any]
    sums: pd.DataFrame


def monitor(company: LoadedCompany, as_of: datetime, load: Load, kept: pd.DataFrame | None = None) -> Monitored:
    """Compare every archived night with what is known at a date.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        UTC, without a zone. Nothing known later counts, nor a forecast made later.
    load : callable
        Gives a model by its version.
    kept : DataFrame, optional
        `Monitored.sums` of an earlier run.

    Raises
    ------
    UserError
        If no forecast was archived by then.
    """
    entries = [e for e in Forecasts(company.params.archive_folder).nights() if made_at(e) <= as_of]
    if not entries:
        raise UserError(
            f"archive: holds no forecast made by {iso(as_of)}; `leadrev nightly` archives one every night, and the "
            "monitor compares them with what comes"
        )
    grids = archived_grids(load)
    sums = all_sums(entries, kept, grids, lambda: segments_of(company))
    readable = set(sums["seal"])
    left_out = [entry.name for entry in entries if entry.digest not in readable]
    entries = [entry for entry in entries if entry.digest in readable]
    if not entries:
        raise UserError(
            f"archive: the models of its {len(left_out)} forecasts cannot be read any more, and their seals do not say "
            "what their margins mean; the next night is the first that can be compared"
        )
    calendar = Calendar(entries, as_of, company.params.data.timezone)
    version = str(entries[-1].seal["model_version"])
    wins = won_leads(company, as_of)
    grid = grids(entries[-1], version)
    learnt = habits(wins, calendar, 1.0 if grid is None else float(grid.bin_edges_days[1]))
    outcomes, daily = _outcomes(company, entries, calendar, sums, wins, learnt)
    inputs = _inputs(company, load, version, made_at(entries[-1]))
    scores = score_shift(read_scores(entries[-1]).to_pandas(), _before(entries))
    extracts = [
        e for e in Extracts(company.params.archive_folder).nights() if e.seal["night"] <= str(calendar.dates[-1])
    ]
    alarms = [
        *alerts.silent_sources(extracts),
        *alerts.outcome_alarms(outcomes),
        *alerts.input_alarms(inputs, UNSEEN_LIMIT),
    ]
    content = {
        "company": company.params.company, "timezone": company.params.data.timezone, "as_of": iso(as_of),
        "model_version": version, "nights": len(entries), "first_night": str(calendar.dates[0]),
        "left_out": left_out,
        "level_tolerance": company.params.monitor.level_tolerance, "alarm_at": ALARM,
        "entry_lag_days": _lag(learnt), "dispersion": round(learnt.dispersion, 3),
        "outcomes": outcomes, "daily": daily, "inputs": inputs, "scores": scores, "challengers": [], "alarms": alarms,
    }  # fmt: skip
    return Monitored(content, sums)


def _inputs(company: LoadedCompany, load: Load, version: str, as_of: datetime) -> list[dict[str, Any]]:
    """Compare features with training, where the model can still be read."""
    try:
        stored = load(version)
    except UserError:
        return []
    return feature_drift(stored, open_leads_matrix(company.on_engine, stored.spec, as_of))


def _before(entries: list[Entry]) -> pd.DataFrame | None:
    return read_scores(entries[-2]).to_pandas() if len(entries) > 1 else None


def _lag(learnt: Habits) -> dict[str, Any]:
    lags = learnt.lags_days
    if not len(lags):
        return {"wins": 0, "median": None, "p90": None}
    return {"wins": len(lags), "median": float(np.median(lags)), "p90": float(np.quantile(lags, 0.9))}


def _outcomes(
    company: LoadedCompany, entries: list[Entry], calendar: Calendar, sums: pd.DataFrame, wins: pd.DataFrame,
    learnt: Habits,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:  # fmt: skip
    """Follow all leads and each segment; give the rows of both, and the days of all leads."""
    if calendar.count < 1:
        return [], []
    expected = calendar.spread(sums, entries)
    counted = wins[was_forecast(wins, calendar.instants)]
    day = calendar.days(counted["end_known_at"])
    counted, day = counted[(day >= 0) & (day < calendar.count)], day[(day >= 0) & (day < calendar.count)]
    by_win = segments_of(company).reindex(counted["lead_id"])
    starts, tolerance = calendar.starts(), company.params.monitor.level_tolerance
    first = sums[sums["seal"] == entries[0].digest].set_index("segment")["wins_30d"]
    segments = [name for name in expected if name != ALL]
    segments.sort(key=lambda name: (-float(first.get(name, 0.0)), name))
    rows, daily = [], []
    for place, segment in enumerate([ALL, *segments]):
        of_segment = np.ones(len(counted), bool) if segment == ALL else (by_win == segment).any(axis=1).to_numpy()
        observed = np.bincount(day[of_segment], minlength=calendar.count)
        hoped = delayed(expected[segment], learnt.lags_days) / (1 + learnt.counted_twice)
        evidence = follow(observed, hoped, starts, dispersion=learnt.dispersion, tolerance=tolerance)
        weight = 0.5 if segment == ALL else 0.5 * weight_of(place - 1)
        alarm_day = evidence.alarm_day(weight)
        start = 0 if alarm_day is None else int(evidence.since[alarm_day])
        seen, due = int(observed[start:].sum()), float(hoped[start:].sum())
        rows.append({
            "segment": segment, "since": str(calendar.date_of(start)), "observed": seen, "expected": round(due, 3),
            "ratio": round(seen / due, 4) if due > 0 else None,
            "e_value": float(f"{np.exp(min(float(evidence.log_e[-1]), 700.0)):.6g}"),
            "alarm": alarm_day is not None, "alarm_at": round(ALARM / weight, 3),
            "alarm_on": None if alarm_day is None else str(calendar.date_of(alarm_day)),
            "observed_in_all": int(observed.sum()), "expected_in_all": round(float(hoped.sum()), 3),
        })  # fmt: skip
        if segment == ALL:
            e_values = np.exp(np.minimum(evidence.log_e, 700.0))
            daily = [
                {"date": str(calendar.date_of(d)), "observed": int(observed[d]), "expected": round(float(hoped[d]), 4),
                 "e_value": float(f"{e_values[d]:.6g}")}
                for d in range(calendar.count)
            ]  # fmt: skip
    return rows, daily
