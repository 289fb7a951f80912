"""Wins by the day they became known, how late they are entered, and in what bulks: what the monitor observes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import lifecycle
from pipeline.ingest.company import LoadedCompany
from pipeline.operations.expected_wins import Calendar
from pipeline.operations.monitoring import dispersion_of

LAGS_LEAST, LAG_LIMIT_DAYS, PAST_DAYS = 20, 120, 730
KINDS = {"source": "Source", "kind": "Kind"}


@dataclass(frozen=True)
class Habits:
    """How wins of the past were entered.

    Parameters
    ----------
    lags_days : ndarray of int
        Days from each win to its entry.
    dispersion : float
        Variance of the number of wins over its mean.
    counted_twice : float
        Wins that a model trained on these labels expects beyond one each: a lead that was won and not entered yet is
        still scored as open, and its entry counts as its win from there.
    """

    lags_days: NDArray[np.intp]
    dispersion: float
    counted_twice: float


def won_leads(company: LoadedCompany, as_of: datetime) -> pd.DataFrame:
    """Give every win known at a date.

    Returns
    -------
    DataFrame
        ``lead_id, episode, created_at`` (the later of creation and when it was known), ``ended_at, end_known_at,
        amount``; naive UTC.
    """
    window = company.params.data.amount_window_days
    found = lifecycle.outcomes(company.tables, known_at=as_of, amount_window_days=window)
    found = found.filter(found.outcome == "won").select(
        "lead_id", "episode", "created_at", "lead_known_at", "ended_at", "end_known_at", "amount"
    )
    frame = found.to_pandas().sort_values(["end_known_at", "lead_id"], ignore_index=True)
    for name in ("created_at", "lead_known_at", "ended_at", "end_known_at"):
        frame[name] = pd.to_datetime(frame[name])
    frame["created_at"] = frame[["created_at", "lead_known_at"]].max(axis=1)
    frame["end_known_at"] = frame[["end_known_at", "ended_at"]].max(axis=1)
    return frame.drop(columns="lead_known_at")


def segments_of(company: LoadedCompany) -> pd.DataFrame:
    """Give each lead's segments: by lead_id, a column each of words like ``Source: fair``."""
    leads = company.tables.leads.select("lead_id", *KINDS).to_pandas().drop_duplicates("lead_id").set_index("lead_id")
    return pd.DataFrame(
        {label: label + ": " + leads[name].astype(object).where(leads[name].notna(), "unknown").astype(str)
         for name, label in KINDS.items() if leads[name].nunique() > 1},
        index=leads.index,
    )  # fmt: skip


def was_forecast(wins: pd.DataFrame, instants: list[datetime]) -> NDArray[np.bool_]:
    """Say of each win whether some forecast saw its lead open: made after it was created, before the win was known."""
    if not instants:
        return np.zeros(len(wins), dtype=bool)
    times = np.array(instants, dtype="datetime64[us]")
    after = np.searchsorted(times, wins["created_at"].to_numpy("datetime64[us]"), side="left")
    last = np.searchsorted(times, wins["end_known_at"].to_numpy("datetime64[us]"), side="left")
    started = wins["ended_at"].to_numpy("datetime64[us]") > times[0]
    return np.asarray((after < last) & started)


def habits(wins: pd.DataFrame, calendar: Calendar, first_bin_days: float) -> Habits:
    """Learn from wins before the first forecast how they are entered; from all of them where those are few.

    Parameters
    ----------
    wins : DataFrame
        As `won_leads` gives them.
    calendar : Calendar
    first_bin_days : float
        How finely the model tells the next days apart.
    """
    known, ended = calendar.days(wins["end_known_at"]), calendar.days(wins["ended_at"])
    past = (known < 0) & (known >= -PAST_DAYS)
    lags = np.clip(known - ended, 0, LAG_LIMIT_DAYS)
    chosen = lags[past] if past.sum() >= LAGS_LEAST else lags
    daily = np.bincount(known[past] + PAST_DAYS, minlength=PAST_DAYS)
    begun = int(np.flatnonzero(daily)[0]) if daily.any() else PAST_DAYS
    twice = float(np.minimum(chosen, first_bin_days).mean() / first_bin_days) if len(chosen) else 0.0
    return Habits(chosen.astype(np.intp), dispersion_of(daily[begun:]), twice)
