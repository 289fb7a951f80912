"""The true chances and the true money: what an oracle would say that sees intent, interest and the calls planned.

Nothing is estimated: the daily chain of `pipeline.simulation.lead_process` is carried forward over its four states.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.outcome_codes import LOST, OPEN, WON
from pipeline.simulation import seasonality
from pipeline.simulation.company import Territory
from pipeline.simulation.lead_process import DEAL_BY_INTEREST, LOST_BY_STATE, WON_BY_STATE, Lives, contact_lift, pace

HORIZONS_DAYS = (30, 90, 180, 365)
_OUTCOME_WORDS = {OPEN: "open", WON: "won", LOST: "lost"}
_STATES = ((0, 0), (0, 1), (1, 0), (1, 1))

Array = NDArray[np.float64]


def true_forecast(
    truth: pd.DataFrame, as_of: datetime | None = None, horizons_days: Sequence[int] = HORIZONS_DAYS
) -> pd.DataFrame:
    """Chance that a lead open at ``as_of`` is won, and lost, within so many days from then, and the money it brings.

    Given the lead's latent parameters, its interest and its deal as they were at as_of, and the calls planned; interest
    and deal after that are averaged over. Nothing that happened after as_of goes in.

    Parameters
    ----------
    truth : DataFrame
        Rows of ``truth.parquet``.
    as_of : datetime, optional
        Naive UTC; default: where the data ends. The chain moves by local days: an instant within a day counts as
        that day's beginning.
    horizons_days : sequence of int
        In days from as_of.

    Returns
    -------
    DataFrame
        One row per lead of ``truth``, in its order and with its index: ``lead_id``; for each horizon h ``p_win_{h}d``,
        ``p_lost_{h}d`` and ``expected_revenue_{h}d`` (win probability × mean amount; euro); ``amount_mean``;
        ``hazard_won_per_day`` and ``hazard_lost_per_day`` on the day that begins at as_of. All but the id and the
        amount are null where the lead was not open at as_of.

    Raises
    ------
    ValueError
        Where as_of + horizon lies more than a year after the end of the data.
    """
    today = seasonality.HISTORY_DAYS if as_of is None else int(seasonality.to_day(as_of)[0])
    longest = max(horizons_days)
    if today + longest > seasonality.HISTORY_DAYS + seasonality.HORIZON_DAYS:
        raise ValueError(f"the truth is known for a year after the end of the data; asked for {longest} days more")
    created = truth["created_day"].to_numpy()
    is_open = (created < today) & (truth["end_day"].to_numpy() >= today)
    leads = truth.loc[is_open]
    result = pd.DataFrame({"lead_id": truth["lead_id"], "amount_mean": truth["amount_mean"]}, index=truth.index)
    rates, at_horizon = _carry_forward(leads, today, sorted(set(horizons_days)))
    columns = {"hazard_won_per_day": rates[0], "hazard_lost_per_day": rates[1]}
    for horizon in horizons_days:
        won, lost = at_horizon[horizon]
        columns[f"p_win_{horizon}d"] = won
        columns[f"p_lost_{horizon}d"] = lost
        columns[f"expected_revenue_{horizon}d"] = won * leads["amount_mean"].to_numpy()
    for name, values in columns.items():
        column = np.full(len(truth), np.nan)
        column[is_open] = values
        result[name] = column
    return result


def _state_at(leads: pd.DataFrame, day: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Interest and deal as the day begins; (n,), (n,)."""
    switches = leads["interest_switch_days"]
    lengths = switches.map(len).to_numpy(dtype=np.int64)
    days = np.concatenate([*switches, np.empty(0, dtype=np.int64)]).astype(np.int64)
    owner = np.repeat(np.arange(len(leads)), lengths)
    turns = np.bincount(owner[days < day], minlength=len(leads))
    warm = leads["warm_at_start"].to_numpy(dtype=bool) ^ (turns % 2 == 1)
    return warm, leads["deal_day"].to_numpy() < day


def _carry_forward(
    leads: pd.DataFrame, today: int, horizons: list[int]
) -> tuple[tuple[Array, Array], dict[int, tuple[Array, Array]]]:
    """Carry the four states' chances forward; the first day's rates, and the chances (won, lost) at each horizon."""
    n = len(leads)
    column = {name: leads[name].to_numpy() for name in leads.columns if name != "interest_switch_days"}
    warm, deal = _state_at(leads, today)
    chance = np.zeros((4, n))
    chance[warm * 2 + deal, np.arange(n)] = 1.0
    won, lost = np.zeros(n), np.zeros(n)
    cool, wake = column["cool_per_day"], column["wake_per_day"]
    wins, losses = seasonality.wins(), seasonality.losses()
    first: tuple[Array, Array] = (np.empty(0), np.empty(0))
    at_horizon = {}
    for ahead in range(horizons[-1]):
        day = today + ahead
        age = day - column["created_day"]
        lift = contact_lift(age, column["first_round_age_days"], column["second_round_age_days"])
        won_scale = column["won_scale"] * pace(age, column["pace_days"], column["pace_shape"]) * lift * wins[day]
        lost_scale = column["lost_scale"] * np.minimum(1.0, age / 21.0) * losses[day]
        if ahead == 0:
            first = won_scale * WON_BY_STATE[warm * 1, deal * 1], lost_scale * LOST_BY_STATE[warm * 1, deal * 1]
        for state, (is_warm, has_deal) in enumerate(_STATES):
            won_rate = won_scale * WON_BY_STATE[is_warm, has_deal]
            lost_rate = lost_scale * LOST_BY_STATE[is_warm, has_deal]
            total = won_rate + lost_rate
            ends = -np.expm1(-total) * chance[state]
            won_share = np.divide(won_rate, total, out=np.zeros(n), where=total > 0)
            won += ends * won_share
            lost += ends * (1.0 - won_share)
            chance[state] -= ends
        for is_warm in (0, 1):
            opened = chance[is_warm * 2] * np.minimum(1.0, column["deal_per_day"] * DEAL_BY_INTEREST[is_warm] * lift)
            chance[is_warm * 2] -= opened
            chance[is_warm * 2 + 1] += opened
        for has_deal in (0, 1):
            flow = chance[2 + has_deal] * cool - chance[has_deal] * wake
            chance[has_deal] += flow
            chance[2 + has_deal] -= flow
        if ahead + 1 in horizons:
            at_horizon[ahead + 1] = won.copy(), lost.copy()
    return first, at_horizon


def truth_table(
    territory: Territory,
    lives: Lives,
    lead_id: pd.Series,
    ended_at: pd.Series,
    as_of: datetime | None = None,
) -> pd.DataFrame:
    """Everything that the oracle knows of a territory's leads, and its forecast where the data ends.

    Parameters
    ----------
    territory, lives
        As drawn and as lived.
    lead_id, ended_at : Series
        The lead's name in the tables, and the instant of its end (UTC; null while open).
    as_of : datetime, optional
        Where the data ends (UTC, without a zone), where that is earlier than the end of the content.

    Returns
    -------
    DataFrame
        One row per lead: ``lead_id``, ``created_at``, ``outcome``, ``ended_at``; the latent parameters; then the
        columns of `true_forecast` at the data's end. Days (``created_day``, ``end_day``, ``deal_day``,
        ``interest_switch_days``) are local days since `seasons.FIRST_DAY`; what never happened has the day
        `pipeline.simulation.company.NEVER`.
    """
    leads = territory.leads
    starts = np.searchsorted(lives.switch_lead, np.arange(len(leads) + 1))
    switch_days = lives.switch_day.astype(np.int16)
    table = pd.DataFrame(
        {
            "lead_id": lead_id,
            "created_at": seasonality.to_utc(leads["created_day"].to_numpy(), leads["created_share"].to_numpy()),
            "outcome": pd.Series(lives.outcome).map(_OUTCOME_WORDS),
            "ended_at": ended_at,
            "expansion": lives.expansion,
            "created_day": leads["created_day"],
            "end_day": lives.end_day,
            "deal_day": lives.deal_day,
            "interest_switch_days": np.split(switch_days, starts[1:-1]),
        }
    )
    latent = [
        "intent", "won_scale", "lost_scale", "pace_days", "pace_shape", "warm_at_start", "cool_per_day", "wake_per_day",
        "deal_per_day", "first_round_age_days", "second_round_age_days", "amount_mean", "amount_log_sd",
    ]  # fmt: skip
    table[latent] = leads[latent]
    forecast = true_forecast(table, as_of)
    return pd.concat([table, forecast.drop(columns=["lead_id", "amount_mean"])], axis=1)
