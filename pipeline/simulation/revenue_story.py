"""A company whose way from inquiry to revenue is known: stages, campaigns, touches, contents, an experiment.

A story of its own beside `pipeline.simulation.company`, so that neither moves when the other does: there a lead lives
day by day, and only an oracle knows its chances; here each step has a chance that is written down, so that what a
report says of a step, a campaign, a touch or an arm can be held against what is true.

The story, in the order in which it is drawn
--------------------------------------------
1. **Accounts** have a size, an industry, a country, and an unseen appetite shared by all their people.
2. **Leads** arrive with growth of `GROWTH_PER_YEAR` and the seasons of `MONTH_WEIGHTS`, in `CAMPAIGNS` or in none. A
   prize draw brings every fourth lead and hardly any revenue, a partner webinar one of fifty and a lot of it.
3. **Stages.** From `STAGES[k]` a lead advances with the log-odds ``STAGE_LOGITS[k] + appetite + intent + campaign +
   size + touches``, after a Weibull time; else it is lost, or, with `FORGOTTEN`, stays for ever.
4. **Touches.** Sales calls leads that look good, and looks see intent: called leads win more often than the call makes
   them. A call adds `CALL_EFFECT` to the log-odds of the next step, a mail `MAIL_EFFECT`: nothing.
5. **Contents.** One content per topic; that of `WORKING_TOPIC` adds `CONTENT_EFFECT` to the log-odds to become
   accepted of those whom the topic concerns, and nothing for others. The other contents do nothing.
6. **An experiment** from `EXPERIMENT_DAY` on: accounts are drawn for an extra call, half and half, which adds
   `EXTRA_CALL_EFFECT` to the log-odds that an accepted lead gets a deal; a second one, a birthday mail, does nothing.
7. **Deals.** Amounts are log-normal around size and campaign. Another lead of the account that is still on its way
   when a deal is opened may join it as a further contact: the deal is one, and won once.
8. **Existing business.** A won deal is renewed after a year with `RENEWAL_CHANCE`, and may be expanded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

STAGES = ("inquiry", "mql", "sal", "sql", "won")
STAGE_LOGITS = np.array([-0.4, 0.3, -0.1, -0.5])
STAGE_DAYS = np.array([12.0, 10.0, 20.0, 45.0])
"""Scale of the days that advancing from each stage takes; being lost takes twice as long."""
STAGE_SHAPE = 0.9
FORGOTTEN = 0.25
"""Share of those that do not advance which nobody ever closes."""
DAYS = 1096
GROWTH_PER_YEAR = 0.25
MONTH_WEIGHTS = np.array([1.05, 1.1, 1.15, 1.0, 1.0, 0.95, 0.8, 0.65, 1.15, 1.2, 1.15, 0.7])
FIRST_DAY = np.datetime64("2023-05-15")
CAMPAIGNS = pd.DataFrame(
    [
        # campaign              channel    share  quality  amount  cost_per_lead
        ("search brand", "search", 0.20, 0.20, 1.0, 45.0),
        ("social autumn", "social", 0.12, -0.30, 0.9, 30.0),
        ("trade fair prize draw", "event", 0.25, -1.60, 0.6, 22.0),
        ("trade fair booth", "event", 0.08, 0.10, 1.2, 140.0),
        ("partner webinar", "webinar", 0.02, 1.10, 1.8, 60.0),
        ("case studies", "content", 0.08, 0.30, 1.1, 25.0),
        ("newsletter", "email", 0.06, 0.00, 1.0, 5.0),
        (None, None, 0.19, 0.10, 1.0, 0.0),
    ],
    columns=["campaign", "channel", "share", "quality", "amount", "cost_per_lead"],
)
PRIZE_DRAW, QUIET_WINNER = "trade fair prize draw", "partner webinar"
TOPICS = ("pricing", "integration", "security", "roi")
WORKING_TOPIC = "integration"
CONTENT_EFFECT = 0.9
CALL_EFFECT, MAIL_EFFECT, EXTRA_CALL_EFFECT = 0.45, 0.0, 0.6
EXPERIMENT_DAY = 640.0
EXPERIMENT_SHARE = 0.5
RENEWAL_CHANCE, EXPANSION_CHANCE = 0.8, 0.15
JOIN_DAYS, JOIN_CHANCE = 120.0, 0.7
APPETITE_SD, INTENT_SD = 0.35, 0.6
EMPLOYEES = np.array([5, 25, 120, 500, 3000])
SIZE_SHARES = np.array([0.3, 0.3, 0.22, 0.12, 0.06])
SIZE_LOGITS = np.array([0.15, 0.1, 0.0, -0.15, -0.3])
SIZE_AMOUNTS = np.array([1_500.0, 4_000.0, 11_000.0, 32_000.0, 90_000.0])
AMOUNT_SD = 0.5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RevenueStory:
    """Everything that happened, and what nobody sees; days are counted from `FIRST_DAY`.

    Parameters
    ----------
    accounts : data frame
        ``size, industry, country`` (codes), ``appetite, arm`` (0 or 1).
    leads : data frame of n_leads rows
        ``account, day, campaign, topic, intent, called, mailed, content`` (seen), ``amount, lost_day`` (NaN: never).
    reached : ndarray of shape (n_leads, n_stages)
        Day on which each stage was reached; NaN: never.
    chances : ndarray of shape (n_leads, n_stages - 1)
        The true chance ever to take each step, given all that was done.
    effects : data frame
        ``extra_call``: by how much the extra call changes each lead's true chance ever to be won.
    """

    accounts: pd.DataFrame
    leads: pd.DataFrame
    reached: Floats
    chances: Floats
    effects: pd.DataFrame


def _sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


def arrival_days(rng: np.random.Generator, count: int) -> Floats:
    """Draw days of arrival, with growth and season."""
    days = np.arange(DAYS)
    months = (FIRST_DAY + days).astype("datetime64[M]").astype(int) % 12
    weight = (1 + GROWTH_PER_YEAR) ** (days / 365.25) * MONTH_WEIGHTS[months]
    return np.sort(rng.choice(days, count, p=weight / weight.sum()) + rng.uniform(0.33, 0.72, count))


def tell_story(leads_count: int, seed: int) -> RevenueStory:
    """Draw a company's story.

    Parameters
    ----------
    leads_count : int
    seed : int
        The same seed, the same story.
    """
    rng = np.random.default_rng([seed, 15])
    accounts_count = max(1, round(0.7 * leads_count))
    accounts = pd.DataFrame({
        "size": rng.choice(5, accounts_count, p=SIZE_SHARES),
        "industry": rng.integers(0, 6, accounts_count),
        "country": rng.choice(3, accounts_count, p=[0.6, 0.25, 0.15]),
        "appetite": rng.normal(0, APPETITE_SD, accounts_count),
        "arm": rng.random(accounts_count) < EXPERIMENT_SHARE,
    })  # fmt: skip
    account = rng.integers(0, accounts_count, leads_count)
    day = arrival_days(rng, leads_count)
    campaign = rng.choice(len(CAMPAIGNS), leads_count, p=CAMPAIGNS["share"])
    topic = rng.integers(0, len(TOPICS), leads_count)
    intent = rng.normal(0, INTENT_SD, leads_count)
    size = accounts["size"].to_numpy()[account]
    quality = CAMPAIGNS["quality"].to_numpy()[campaign]
    looks = intent + 0.5 * quality + rng.normal(0, 0.5, leads_count)
    called = looks > np.quantile(looks, 0.6)
    mailed = looks + rng.normal(0, 0.5, leads_count) > np.quantile(looks, 0.4)
    content = np.where(rng.random(leads_count) < 0.6, rng.integers(0, len(TOPICS), leads_count), -1)
    base = intent + quality + accounts["appetite"].to_numpy()[account] + SIZE_LOGITS[size]
    logits = STAGE_LOGITS + base[:, None] + CALL_EFFECT * called[:, None] + MAIL_EFFECT * mailed[:, None]
    works = (content == TOPICS.index(WORKING_TOPIC)) & (topic == content)
    logits[:, 1] += CONTENT_EFFECT * works
    in_experiment = day >= EXPERIMENT_DAY
    treated = in_experiment & accounts["arm"].to_numpy()[account]
    with_call, without = logits.copy(), logits.copy()
    with_call[:, 2] += EXTRA_CALL_EFFECT
    logits = np.where(treated[:, None], with_call, without)
    chances = _sigmoid(logits)
    reached = np.full((leads_count, len(STAGES)), np.nan)
    reached[:, 0] = day
    lost_day = np.full(leads_count, np.nan)
    on_the_way = np.ones(leads_count, dtype=bool)
    for step in range(len(STAGES) - 1):
        advances = rng.random(leads_count) < chances[:, step]
        takes = STAGE_DAYS[step] * rng.weibull(STAGE_SHAPE, leads_count)
        loses = 2 * STAGE_DAYS[step] * rng.weibull(STAGE_SHAPE, leads_count)
        forgotten = rng.random(leads_count) < FORGOTTEN
        reached[:, step + 1] = np.where(on_the_way & advances, reached[:, step] + takes, np.nan)
        lost_day = np.where(on_the_way & ~advances & ~forgotten, reached[:, step] + loses, lost_day)
        on_the_way &= advances
    amount = SIZE_AMOUNTS[size] * CAMPAIGNS["amount"].to_numpy()[campaign]
    amount = np.round(amount * np.exp(AMOUNT_SD * rng.normal(size=leads_count) - AMOUNT_SD**2 / 2), 2)
    leads = pd.DataFrame({
        "account": account, "day": day, "campaign": campaign, "topic": topic, "intent": intent, "called": called,
        "mailed": mailed, "content": content, "in_experiment": in_experiment, "treated": treated,
        "amount": amount, "amount_mean": SIZE_AMOUNTS[size] * CAMPAIGNS["amount"].to_numpy()[campaign],
        "lost_day": lost_day,
    })  # fmt: skip
    leads["joins"] = _joined(rng, leads, reached)
    leads.loc[leads["joins"] >= 0, "lost_day"] = np.nan
    won = [_sigmoid(one).prod(axis=1) for one in (with_call, without)]
    return RevenueStory(accounts, leads, reached, chances, pd.DataFrame({"extra_call": won[0] - won[1]}))


def _joined(rng: np.random.Generator, leads: pd.DataFrame, reached: Floats) -> NDArray[np.int64]:
    """Find the leads that join the deal of another lead of their account; −1: none. What they did after is undone."""
    opened = reached[:, STAGES.index("sql")]
    order = np.lexsort((opened, leads["account"].to_numpy()))
    joins = np.full(len(leads), -1, dtype=np.int64)
    account, day = leads["account"].to_numpy(), leads["day"].to_numpy()
    lost = leads["lost_day"].to_numpy()
    may_join = rng.random(len(leads)) < JOIN_CHANCE
    groups = np.split(order, np.flatnonzero(np.diff(account[order])) + 1)
    for group in groups:
        if len(group) < 2 or np.isnan(opened[group[0]]):
            continue
        host, when = group[0], opened[group[0]]
        for lead in group[1:]:
            is_there = when - JOIN_DAYS < day[lead] < when and not lost[lead] <= when and not opened[lead] <= when
            if is_there and may_join[lead]:
                joins[lead] = host
                reached[lead, STAGES.index("sql") :] = np.nan
                late = reached[lead] > when
                reached[lead, late] = np.nan
    return joins


def true_step_chances(within_days: float, draws: int = 400_000, seed: int = 1) -> Floats:
    """Give the true chance to take each step within so many days of reaching the stage, over all leads that reach it.

    Worked out from a large draw of which nothing is cut off; leads that join another's deal are left as they would be.
    """
    story = tell_story(draws, seed)
    chances = []
    for step in range(len(STAGES) - 1):
        there = ~np.isnan(story.reached[:, step])
        by_then = story.reached[:, step + 1] - story.reached[:, step] <= within_days
        chances.append(by_then[there].mean())
    return np.array(chances)
