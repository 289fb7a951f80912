"""A company that sells software to other companies, and everybody who ever became one of its leads.

What happens, in the order in which it is drawn
--------------------------------------------
1. **Territories.** The company is a row of sales territories of `TERRITORY_LEADS` leads each, with accounts and
   salespeople of their own. Each is drawn from a seed of its own, so memory stays bounded and the first territories
   of a larger company are those of a smaller one.
2. **Accounts** have heavy-tailed sizes: log-normal, with a Pareto tail. One in fourteen has been a customer since
   before the history begins. An account has an unseen appetite, shared by all its people.
3. **Leads** come by ten sources of very different quality. Business cards from a prize draw arrive on the days of
   trade fairs, names from bought lists (``entry`` = contact) on the day a list is loaded; the others come with growth,
   weekday and season. One account may send several leads, and one person may come back.
4. **Intent** is unseen: appetite of the account, the person's own, the source's and the job title's. It raises the
   hazard of being won and the number and kind of touches. It leaves traces in what the lead says on arrival (landing
   page, time frame), noisy and often not filled in.
5. **Interest** is warm or cold. A warm lead cools down and a cold one may wake up, by chance, every day (a Markov
   chain). Warm leads visit, write and can be won; cold ones hardly.
6. **Attention** is limited. Every Monday a salesperson takes up `FIRST_ROUND_CAPACITY` of last week's new leads, those
   that feel best (size, title, what they asked for, and mood), and calls them once a week for three weeks; ten weeks
   later `SECOND_ROUND_CAPACITY` of the same leads, by the mood of that day, once a week for two weeks. It is planned
   when the lead comes, stops when the lead ends, and works: see `pipeline.simulation.lead_process.contact_lift`.
7. **The end.** A deal may be opened, and the lead may be won or lost, the two competing day by day: see
   `pipeline.simulation.lead_process`. Small firms decide fast, large ones slowly. Many leads are never tidied away.
8. **Amounts** are log-normal around the account's size and the product, not dependent on anything else, so a small
   firm's deals are small and fast, a large one's big and slow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.simulation import seasonality, vocabulary

TERRITORY_LEADS = 20_000
LEADS_PER_OWNER = 800
FIRST_ROUND_CAPACITY = 2
"""New leads that a salesperson takes up per week."""
SECOND_ROUND_CAPACITY = 1
"""Older leads that a salesperson takes up again per week."""
FIRST_ROUND_CALLS = 3
SECOND_ROUND_CALLS = 2
SECOND_ROUND_AFTER_WEEKS = 10
NEVER = np.int64(1 << 20)
"""Age in days of what does not happen."""

SOURCES = pd.DataFrame(
    [
        # source           share  intent  warm   size   entry
        ("website", 0.20, 0.25, 0.85, 0.0, "hand_raised"),
        ("search_ads", 0.15, 0.00, 0.75, -0.2, "hand_raised"),
        ("referral", 0.07, 0.75, 0.90, 0.1, "hand_raised"),
        ("partner", 0.06, 0.50, 0.80, 0.4, "hand_raised"),
        ("webinar", 0.09, 0.00, 0.60, 0.1, "hand_raised"),
        ("trade_fair", 0.08, 0.10, 0.50, 0.3, "hand_raised"),
        ("call_centre", 0.09, 0.20, 0.80, -0.2, "hand_raised"),
        ("social_media", 0.06, -0.35, 0.50, -0.1, "hand_raised"),
        ("bought_list", 0.13, -0.80, 0.06, 0.3, "contact"),
        ("prize_draw", 0.07, -1.00, 0.10, 0.0, "hand_raised"),
    ],
    columns=["source", "share", "intent", "warm_share", "size_tilt", "entry"],
)
FAIR_DAYS = np.array([128, 339, 492, 703, 858, 1060])
"""Local days on which a trade fair opens; each lasts three days."""
LIST_DAYS = np.array([57, 260, 440, 645, 830, 1010])
"""Local days on which a bought list is loaded."""

_TITLE_SHARE = np.array([0.10, 0.09, 0.05, 0.11, 0.09, 0.14, 0.13, 0.09, 0.09, 0.05, 0.03, 0.03])
_TITLE_INTENT = np.array([0.30, 0.30, 0.35, 0.25, 0.20, 0.10, 0.05, 0.0, -0.15, -0.15, -0.3, -1.0])
_TITLE_LOOKS = np.array([1.0, 0.9, 1.0, 0.7, 0.5, 0.4, 0.2, -0.1, -0.2, -0.3, -0.2, -1.0])
_TITLE_SIZE = np.array([-0.6, -1.0, 0.3, 0.3, 0.5, 0.2, 0.3, 0.2, 0.1, 0.2, 0.0, 0.1])
_LANDING_INTENT = np.array([0.7, 0.9, 0.1, 0.2, -0.1, -0.5, 0.0])
_LANDING_SHARE = np.array([0.14, 0.08, 0.24, 0.10, 0.08, 0.16, 0.20])
_INDUSTRY_SHARE = np.array([0.22, 0.16, 0.12, 0.15, 0.10, 0.11, 0.05, 0.09])
_INDUSTRY_FIT = np.array([0.35, 0.20, 0.30, 0.0, -0.10, -0.25, -0.7, -0.1])
_COUNTRY_SHARE = np.array([0.58, 0.13, 0.09, 0.08, 0.07, 0.05])


@dataclass(frozen=True)
class Territory:
    """One territory as it was drawn, before anything happens.

    Parameters
    ----------
    accounts : DataFrame
        One row per account, positions as index: ``account`` (number within the company), ``employees``, ``size``
        (standardised log of it), ``appetite``, ``industry``, ``country``, ``region``, ``founded_year``, ``customer``.
    leads : DataFrame
        One row per lead in order of arrival: what is known (as codes), and the latent parameters that
        `pipeline.simulation.lead_process` and `pipeline.simulation.ground_truth` work with.
    first_lead, first_account, first_owner : int
        How many of each the territories before this one hold.
    """

    accounts: pd.DataFrame
    leads: pd.DataFrame
    first_lead: int
    first_account: int
    first_owner: int


def owners_count(leads_count: int) -> int:
    """Salespeople in a territory of so many leads."""
    return max(2, round(leads_count / LEADS_PER_OWNER))


def draw_territory(rng: np.random.Generator, index: int, leads_count: int) -> Territory:
    """Draw a territory's accounts and leads: steps 2 to 6 and 8.

    Parameters
    ----------
    rng : numpy Generator
        The territory's own.
    index : int
        Which territory, from 0; all before it are full.
    leads_count : int
        Leads in it, at most `TERRITORY_LEADS`.
    """
    first_account = index * _accounts_count(TERRITORY_LEADS)
    accounts = _draw_accounts(rng, _accounts_count(leads_count), first_account)
    leads = _draw_arrivals(rng, accounts, leads_count)
    leads["owner"] = rng.integers(0, owners_count(leads_count), leads_count)
    leads = leads.sort_values(["created_day", "created_share"], kind="stable", ignore_index=True)
    _add_latent(rng, leads, accounts)
    _plan_attention(rng, leads)
    return Territory(
        accounts=accounts,
        leads=leads,
        first_lead=index * TERRITORY_LEADS,
        first_account=first_account,
        first_owner=index * owners_count(TERRITORY_LEADS),
    )


def _accounts_count(leads_count: int) -> int:
    return max(2, int(0.6 * leads_count))


def _draw_accounts(rng: np.random.Generator, count: int, first: int) -> pd.DataFrame:
    tail = np.where(rng.random(count) < 0.06, rng.pareto(1.3, count) + 1.0, 1.0)
    employees = np.clip(np.exp(rng.normal(3.1, 1.35, count)) * tail, 1, 60_000).round()
    size = (np.log(employees) - 3.15) / 1.45
    industry = rng.choice(len(_INDUSTRY_SHARE), count, p=_INDUSTRY_SHARE)
    return pd.DataFrame(
        {
            "account": first + np.arange(count),
            "employees": employees,
            "size": size,
            "appetite": rng.normal(0.0, 1.0, count),
            "industry": industry,
            "country": rng.choice(len(_COUNTRY_SHARE), count, p=_COUNTRY_SHARE),
            "region": rng.integers(0, len(vocabulary.REGIONS), count),
            "founded_year": np.clip(2022 - rng.gamma(1.6, 13.0, count), 1870, 2022).round(),
            "annual_revenue": (employees * np.exp(rng.normal(11.7, 0.5, count))).round(-3),
            "customer": rng.random(count) < 0.07,
            "visibility": rng.gamma(1.2, 1.0, count) * np.exp(0.15 * size),
        }
    )


def _choose(rng: np.random.Generator, log_weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """One choice per row, by the Gumbel-max trick; (n, choices) -> (n,)."""
    return np.argmax(log_weights + rng.gumbel(size=log_weights.shape), axis=1)


def _draw_arrivals(rng: np.random.Generator, accounts: pd.DataFrame, count: int) -> pd.DataFrame:
    reach = np.cumsum(accounts["visibility"].to_numpy())
    account = np.searchsorted(reach, rng.random(count) * reach[-1])
    size = accounts["size"].to_numpy()[account]
    shares, tilt = SOURCES["share"].to_numpy(), SOURCES["size_tilt"].to_numpy()
    source = _choose(rng, np.log(shares) + size[:, None] * tilt)
    name = SOURCES["source"].to_numpy()[source]

    arrivals = np.cumsum(seasonality.arrivals())
    day = np.searchsorted(arrivals, rng.random(count) * arrivals[-1])
    share = seasonality.office_hour(rng, count)
    at_fair = (name == "trade_fair") | (name == "prize_draw")
    fair = FAIR_DAYS[rng.integers(0, len(FAIR_DAYS), count)] + rng.integers(0, 3, count)
    bought = name == "bought_list"
    batch = rng.integers(0, len(LIST_DAYS), count)
    day = np.where(at_fair, fair, np.where(bought, LIST_DAYS[batch], day))
    share = np.where(bought, (9.25 * 3600 + batch) / 86_400, share)
    # One in eight writes in the evening.
    share = np.where(~bought & ~at_fair & (rng.random(count) < 0.12), share + 3.2 / 24, share)
    return pd.DataFrame({"account_at": account, "source": source, "created_day": day, "created_share": share})


def _add_latent(rng: np.random.Generator, leads: pd.DataFrame, accounts: pd.DataFrame) -> None:
    """Add what the lead is (person, title, words on arrival) and the parameters that drive its life; in place."""
    count = len(leads)
    account = leads["account_at"].to_numpy()
    source = leads["source"].to_numpy()
    size = accounts["size"].to_numpy()[account]
    people = 1 + np.floor(np.exp(0.5 + 0.6 * size)).astype(np.int64)
    leads["person"] = np.floor(rng.random(count) * people).astype(np.int64)
    title = _choose(rng, np.log(_TITLE_SHARE) + size[:, None] * _TITLE_SIZE)
    leads["title"] = title

    intent = 0.5 * accounts["appetite"].to_numpy()[account] + np.sqrt(0.75) * rng.normal(size=count)
    intent = intent + SOURCES["intent"].to_numpy()[source] + _TITLE_INTENT[title]
    leads["intent"] = intent
    leads["landing_page"] = _choose(rng, np.log(_LANDING_SHARE) + intent[:, None] * _LANDING_INTENT)
    urgency = intent + rng.normal(0.0, 0.8, count)
    leads["timeframe"] = np.searchsorted(np.array([-1.2, -0.5, 0.4]), -urgency)
    leads["product"] = np.clip(np.floor(1.3 + 0.75 * size + 0.5 * rng.normal(size=count)), 0, 2).astype(np.int64)
    leads["size"] = size

    skill = 0.25 * rng.normal(size=owners_count(count))
    tidiness = np.exp(0.5 * rng.normal(size=owners_count(count)))
    owner = leads["owner"].to_numpy()
    fit = _INDUSTRY_FIT[accounts["industry"].to_numpy()[account]]
    leads["won_scale"] = np.exp(-2.45 + 0.8 * intent + fit + skill[owner] - 0.05 * size)
    forgotten = rng.random(count) < 0.38
    leads["lost_scale"] = tidiness[owner] * np.where(forgotten, 0.05, 1.0) * np.exp(-0.15 * intent - 0.2 * size) / 100
    leads["pace_days"] = np.clip(40.0 * np.exp(0.65 * size), 5.0, 400.0)
    leads["pace_shape"] = np.clip(1.4 + 0.3 * size, 1.0, 2.4)
    leads["warm_at_start"] = rng.random(count) < SOURCES["warm_share"].to_numpy()[source]
    leads["cool_per_day"] = np.clip(np.exp(-0.35 * size - 0.25 * intent) / 45.0, 0.002, 0.2)
    leads["wake_per_day"] = np.clip(np.exp(0.3 * intent) / 330.0, 0.0003, 0.02)
    leads["deal_per_day"] = np.clip(0.028 * np.exp(0.45 * intent - 0.3 * size), 0.002, 0.2)
    product = leads["product"].to_numpy()
    log_employees = np.log(accounts["employees"].to_numpy()[account])
    leads["amount_log_sd"] = 0.5
    leads["amount_mean"] = np.exp(6.5 + 0.65 * log_employees + np.array([-0.2, 0.1, 0.45])[product])


def _plan_attention(rng: np.random.Generator, leads: pd.DataFrame) -> None:
    """Plan the two rounds of calls under capacity: ages in days of each round's first call, or `NEVER`; in place."""
    created = leads["created_day"].to_numpy()
    # The history begins on a Monday.
    week = created // 7
    entry_looks = np.where(SOURCES["entry"].to_numpy()[leads["source"].to_numpy()] == "contact", -0.8, 0.0)
    landing_looks = np.where(leads["landing_page"].to_numpy() <= 1, 0.8, 0.0)
    looks = 0.9 * leads["size"].to_numpy() + _TITLE_LOOKS[leads["title"].to_numpy()] + entry_looks + landing_looks
    plans = (
        ("first_round_age_days", FIRST_ROUND_CAPACITY, 1, 1.0),
        ("second_round_age_days", SECOND_ROUND_CAPACITY, 1 + SECOND_ROUND_AFTER_WEEKS, 1.5),
    )
    for column, capacity, weeks_later, mood in plans:
        feeling = looks + mood * rng.normal(size=len(leads))
        order = np.lexsort((-feeling, week, leads["owner"].to_numpy()))
        group = leads["owner"].to_numpy()[order] * 10_000 + week[order]
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        place = np.arange(len(leads)) - np.repeat(starts, np.diff(np.r_[starts, len(leads)]))
        taken = np.zeros(len(leads), dtype=bool)
        taken[order] = place < capacity
        call_day = (week + weeks_later) * 7 + rng.integers(0, 5, len(leads))
        leads[column] = np.where(taken, call_day - created, NEVER)
