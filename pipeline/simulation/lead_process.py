"""What happens to a lead from day to day: interest, deal, won, lost.

A lead is in one of four states, told apart by two things: whether its interest is warm, and whether a deal is open.
On local day d, at age a = d − created_day, given the state in which the day begins:

- won at the rate  λ_won = W · w[warm, deal] · ψ(a) · lift(a) · wins(d)  per day,
- lost at the rate λ_lost = L · l[warm, deal] · min(1, a / 21) · losses(d),

W and L being the lead's ``won_scale`` and ``lost_scale``, ψ(a) = (k/τ) u^(k−1) / (1 + u^k) with u = (a + ½)/τ the
log-logistic hazard with the lead's own pace τ and shape k, ``lift`` the effect of the calls made to it, and the factors
by date those of `pipeline.simulation.seasonality`. The chance to end that day is 1 − exp(−λ_won − λ_lost), shared in
proportion to the two rates. If it does not end, interest turns (warm to cold with ``cool_per_day``, cold to warm
with ``wake_per_day``), and a deal is opened with the chance deal_per_day · o[warm] · lift(a), both given the day's
beginning. The first day is the one after arrival. A lead that is won without an open deal buys on the spot.

An account that has won before its next lead arrives is a customer: that lead is an expansion, and won `EXPANSION`
times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.outcome_codes import LOST, WON
from pipeline.simulation import seasonality
from pipeline.simulation.company import FIRST_ROUND_CALLS, NEVER, SECOND_ROUND_CALLS, Territory

WON_BY_STATE = np.array([[0.02, 0.16], [0.22, 0.85]])
"""w[warm, deal]"""
LOST_BY_STATE = np.array([[1.0, 0.8], [0.20, 0.30]])
"""l[warm, deal]"""
DEAL_BY_INTEREST = np.array([0.03, 1.0])
"""o[warm]"""
EXPANSION = 1.6

Array = NDArray[np.float64]


def _lift_table() -> Array:
    days = np.arange(0, 800)
    return np.r_[0.0, np.exp(-days / 50.0)]


_LIFT = _lift_table()


def contact_lift(age: NDArray[np.int64], first_round: NDArray[np.int64], second_round: NDArray[np.int64]) -> Array:
    """Factor by which calls raise a lead's rates: 1 without, up to 2 on the day a round begins, fading by 50 days.

    Parameters
    ----------
    age, first_round, second_round : ndarray of int, shape (n,)
        The lead's age and the ages at which the rounds of calls begin, all in days.
    """
    last = len(_LIFT) - 2
    return (
        1.0 + _LIFT[np.clip(age - first_round, -1, last) + 1] + 0.7 * _LIFT[np.clip(age - second_round, -1, last) + 1]
    )


def pace(age: NDArray[np.int64], pace_days: Array, pace_shape: Array) -> Array:
    """ψ(a), the log-logistic hazard of the lead's own pace; (n,), per day."""
    u = (age + 0.5) / pace_days
    power = u**pace_shape
    return pace_shape / pace_days * power / (u * (1.0 + power))


@dataclass(frozen=True)
class Lives:
    """What became of a territory's leads.

    Parameters
    ----------
    outcome : ndarray of int8, shape (n,)
        `OPEN`, `WON` or `LOST` at the end of the history.
    end_day : ndarray of int64, shape (n,)
        Local day of the end; `seasons.HISTORY_DAYS` for an open lead.
    deal_day : ndarray of int64, shape (n,)
        Local day on which its deal was opened; `NEVER` without a deal.
    expansion : ndarray of bool, shape (n,)
        Whether the account was a customer when the lead came.
    switch_lead, switch_day : ndarray of int64, shape (m,)
        Every turn of interest, by lead and then by day.
    """

    outcome: NDArray[np.int8]
    end_day: NDArray[np.int64]
    deal_day: NDArray[np.int64]
    expansion: NDArray[np.bool_]
    switch_lead: NDArray[np.int64]
    switch_day: NDArray[np.int64]


def live(rng: np.random.Generator, territory: Territory) -> Lives:
    """Live through the history day by day; scales ``won_scale`` of expansions in place, as the truth needs it.

    All leads of a territory are advanced together, so that an account's first win makes its later leads expansions.
    """
    leads = territory.leads
    count = len(leads)
    created, account = leads["created_day"].to_numpy(), leads["account_at"].to_numpy()
    customer = territory.accounts["customer"].to_numpy().copy()
    won_scale = leads["won_scale"].to_numpy().copy()
    fixed = {name: leads[name].to_numpy() for name in _FIXED}
    warm = leads["warm_at_start"].to_numpy().copy()
    deal = np.zeros(count, dtype=bool)
    outcome = np.zeros(count, dtype=np.int8)
    end_day = np.full(count, seasonality.HISTORY_DAYS, dtype=np.int64)
    deal_day = np.full(count, NEVER, dtype=np.int64)
    expansion = np.zeros(count, dtype=bool)
    switches: list[NDArray[np.int64]] = []
    switch_days: list[NDArray[np.int64]] = []
    wins, losses = seasonality.wins(), seasonality.losses()
    # Leads are in order of arrival: those that arrived before a day are the first so many.
    arrived = np.searchsorted(created, np.arange(seasonality.HISTORY_DAYS + 1))
    active = np.empty(0, dtype=np.int64)
    for day in range(1, seasonality.HISTORY_DAYS):
        new = np.arange(arrived[day - 1], arrived[day])
        if len(new):
            # Wins of the day itself do not count: whoever came that day came before.
            expansion[new] = customer[account[new]]
            won_scale[new] *= np.where(expansion[new], EXPANSION, 1.0)
            active = np.concatenate([active, new])
        here = {name: values[active] for name, values in fixed.items()}
        is_warm, has_deal = warm[active], deal[active]
        age = day - created[active]
        lift = contact_lift(age, here["first_round_age_days"], here["second_round_age_days"])
        state = is_warm * 2 + has_deal
        won_rate = won_scale[active] * pace(age, here["pace_days"], here["pace_shape"]) * lift * wins[day]
        won_rate *= WON_BY_STATE.ravel()[state]
        lost_rate = here["lost_scale"] * LOST_BY_STATE.ravel()[state] * np.minimum(1.0, age / 21.0) * losses[day]
        total = won_rate + lost_rate
        chance, turn, opens = rng.random((3, len(active)))
        ends = chance < -np.expm1(-total)
        stays = ~ends
        if ends.any():
            ended = active[ends]
            is_won = rng.random(len(ended)) * total[ends] < won_rate[ends]
            outcome[ended] = np.where(is_won, WON, LOST)
            end_day[ended] = day
            customer[account[ended[is_won]]] = True
            bought = ended[is_won]
            deal_day[bought] = np.minimum(deal_day[bought], day)
        turns = stays & (turn < np.where(is_warm, here["cool_per_day"], here["wake_per_day"]))
        starts = stays & ~has_deal & (opens < here["deal_per_day"] * DEAL_BY_INTEREST[is_warm.astype(int)] * lift)
        turned, started = active[turns], active[starts]
        warm[turned] ^= True
        deal[started] = True
        deal_day[started] = day
        switches.append(turned)
        switch_days.append(np.full(len(turned), day, dtype=np.int64))
        active = active[stays]
    leads["won_scale"] = won_scale
    switch_lead, switch_day = np.concatenate(switches), np.concatenate(switch_days)
    order = np.lexsort((switch_day, switch_lead))
    # Leads of the very last day are open, whatever their account did.
    last = np.arange(arrived[-2], count)
    expansion[last] = customer[account[last]]
    leads.loc[last, "won_scale"] *= np.where(expansion[last], EXPANSION, 1.0)
    return Lives(outcome, end_day, deal_day, expansion, switch_lead[order], switch_day[order])


_FIXED = (
    "lost_scale", "pace_days", "pace_shape", "cool_per_day", "wake_per_day", "deal_per_day",
    "first_round_age_days", "second_round_age_days",
)  # fmt: skip


def rounds_of_calls(leads: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every planned call as (lead position, local day), in no order; whether it is still made is for the caller."""
    lead, day = [], []
    created = leads["created_day"].to_numpy()
    for column, calls in (("first_round_age_days", FIRST_ROUND_CALLS), ("second_round_age_days", SECOND_ROUND_CALLS)):
        age = leads[column].to_numpy()
        planned = np.flatnonzero(age < NEVER)
        for call in range(calls):
            lead.append(planned)
            day.append(created[planned] + age[planned] + 7 * call)
    return np.concatenate(lead), np.concatenate(day)
