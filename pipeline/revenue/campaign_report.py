"""What ``campaigns.json`` holds: campaigns and channels by revenue, and what the next campaign can learn from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.dates import iso
from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.funnel.journeys import Journeys, journeys
from pipeline.ingest.company import LoadedCompany
from pipeline.revenue.attribution import RULES, credit, touch_weights
from pipeline.revenue.campaign_costs import campaign_costs
from pipeline.revenue.campaign_touches import CampaignTouches, campaign_touches
from pipeline.revenue.campaign_verdicts import campaign_verdicts
from pipeline.revenue.campaigns import campaign_rows, channels_of, leads_that_count
from pipeline.revenue.expected_revenue import ExpectedRevenue, Forecast, expected_of_episodes
from pipeline.revenue.next_campaign import next_campaign
from pipeline.revenue.touch_model import model_weights


def campaigns(
    company: LoadedCompany, as_of: datetime, *, since: datetime | None, attribution: str | None, forecast: Forecast
) -> dict[str, Any]:
    """Work out what the campaigns of a company earned.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC; nothing known later changes a figure.
    since : datetime, optional
        Only leads created since then, with all they brought, and only costs since then.
    attribution : str, optional
        One of `RULES`; by default ``campaigns.attribution`` of the params.
    forecast : tuple of DataFrame or None and str
        Of the same date, as `scores_of` gives it.

    Raises
    ------
    UserError
        The rule is none, the company has no campaigns, or (``model``) no champion to ask.
    """
    params = company.params
    rule = attribution or params.campaigns.attribution
    if rule not in RULES:
        raise UserError(f"--attribution: found {rule}, allowed: {', '.join(RULES)}")
    found = campaign_touches(company, as_of)
    if not len(found.first) and not len(found.touches):
        raise UserError(
            "no lead, deal or event names a campaign: map the column that does as campaign, under "
            "data.sources.leads.columns, data.sources.deals.columns or data.sources.events.columns"
        )
    ways = journeys(company, as_of)
    costs = campaign_costs(company, as_of, since)
    leads = leads_that_count(ways, found, since)
    deals = _deals_that_count(found, leads, since)
    weights, notes = _weights(company, params, found, deals, rule, as_of)
    credited = credit(deals, weights)
    of_open = expected_of_episodes(ways, *forecast)
    expected = _expected(ways, leads, found, of_open, rule, params)
    rows, channels, totals = campaign_rows(
        leads, list(ways.stages.names), found, credited, costs, expected,
        campaign_verdicts(leads.assign(campaign=leads["created_with"])), params.seed, params.currency,
    )  # fmt: skip
    leads["channel"] = leads["campaign"].map(channels_of(leads, costs))
    still = None if of_open.values is None else _of_leads(ways, of_open.values, leads)
    return {
        "company": params.company,
        "currency": params.currency,
        "timezone": params.data.timezone,
        "as_of": iso(as_of),
        "since": None if since is None else iso(since),
        "attribution": rule,
        "stages": list(ways.stages.names),
        "campaigns": rows,
        "channels": channels,
        "totals": totals,
        "next": next_campaign(company, leads, still, as_of, params.seed),
        "notes": [*notes, *costs.notes, of_open.said],
    }


def _deals_that_count(found: CampaignTouches, leads: pd.DataFrame, since: datetime | None) -> pd.DataFrame:
    """Give the won deals of the leads that count; of deals without a lead those opened since the date."""
    if since is None:
        return found.deals
    own = found.deals["lead_id"].isin(leads["lead_id"])
    alone = found.deals["lead_id"].isna() & (found.deals["opened_at"] >= pd.Timestamp(since))
    return found.deals[own | alone]


def _weights(
    company: LoadedCompany, params: Params, found: CampaignTouches, deals: pd.DataFrame, rule: str, as_of: datetime
) -> tuple[pd.DataFrame, list[str]]:
    """Weight the touches of won deals by a rule."""
    touches = found.touches[found.touches["deal"].isin(deals["deal"])].reset_index(drop=True)
    if rule == "model":
        return model_weights(company, touches, deals, as_of)
    return touches[["deal", "campaign"]].assign(weight=_by_rule(touches, rule, params)), []


def _by_rule(touches: pd.DataFrame, rule: str, params: Params) -> np.ndarray:
    settings = params.campaigns
    first, _, last = settings.position_shares
    return touch_weights(touches, rule, half_life_days=settings.half_life_days, first_share=first, last_share=last)


def _of_leads(ways: Journeys, values: np.ndarray, leads: pd.DataFrame) -> np.ndarray:
    """Sum what episodes are expected to bring by lead."""
    sums = pd.Series(ways.by_lead(values), ways.frame.loc[ways.frame["is_last"], "lead_id"])
    return leads["lead_id"].map(sums).fillna(0.0).to_numpy(float)


def _expected(
    ways: Journeys, leads: pd.DataFrame, found: CampaignTouches, forecast: ExpectedRevenue, rule: str, params: Params
) -> dict[str, pd.DataFrame]:
    """Share what open leads are expected to bring, by their touches so far; under ``model`` by their first touch."""
    by_horizon = {"90d": forecast.soon, "ever": forecast.values}
    sums = {end: _of_leads(ways, values, leads) for end, values in by_horizon.items() if values is not None}
    if not sums:
        return {}
    is_open = np.logical_or.reduce([money > 0 for money in sums.values()])
    own = leads["lead_id"][is_open]
    touches = found.of_open_leads(pd.Index(own))
    by_touch = _by_rule(touches, "first" if rule == "model" else rule, params)
    weights = touches[["deal", "campaign"]].assign(weight=by_touch)
    return {
        end: credit(pd.DataFrame({"deal": own, "cents": np.round(money[is_open] * 100).astype("int64")}), weights)
        for end, money in sums.items()
    }
