"""What campaigns earned: leads, stages, revenue and costs of each, and what only chance would explain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.funnel.journeys import NOT_KNOWN, NOT_REACHED, Journeys
from pipeline.revenue.campaign_costs import CampaignCosts, payback_days
from pipeline.revenue.campaign_text import verdict_text
from pipeline.revenue.campaign_touches import CampaignTouches

FloatArray = NDArray[np.float64]

DRAWS, LEVEL = 400, 0.8
"""Bootstrap samples, over accounts; and what their intervals hold."""


def campaign_rows(
    leads: pd.DataFrame,
    stages: list[str],
    found: CampaignTouches,
    credited: pd.DataFrame,
    costs: CampaignCosts,
    expected: Mapping[str, pd.DataFrame],
    verdicts: pd.DataFrame,
    seed: int,
    currency: str,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Build the rows of campaigns and of channels, and the totals that both add up to.

    Parameters
    ----------
    leads : DataFrame
        As `leads_that_count` gives them.
    stages : list of str
    found : CampaignTouches
    credited : DataFrame
        ``deal``, ``campaign``, ``cents``, as `credit` gives them, of the deals that count.
    costs : CampaignCosts
    expected : mapping of str to DataFrame
        ``90d`` and ``ever``, where there is a forecast: ``campaign``, ``cents`` of the open leads.
    verdicts : DataFrame
        As `campaign_verdicts` gives them.
    seed : int
        Of the bootstrap.
    currency : str
    """
    channel_of = channels_of(leads, costs)
    leads = leads.assign(channel_of_campaign=_named(leads["campaign"].map(channel_of)))
    deals = found.deals.set_index("deal")
    credited = credited.assign(
        closed_at=credited["deal"].map(deals["closed_at"]),
        cluster=credited["deal"].map(_clusters(deals, leads)),
        channel=_named(credited["campaign"].map(channel_of)),
    )
    money = {name: frame.assign(channel=_named(frame["campaign"].map(channel_of))) for name, frame in expected.items()}
    spent = costs.spent.assign(channel=_named(costs.spent["campaign"].map(channel_of)))
    called = Counter(costs.names.values())
    by_name: dict[Any, Any] = dict(zip(verdicts.index, verdicts.to_dict("records"), strict=True))
    campaigns = _rows(leads, "campaign", stages, credited, money, spent, seed)
    for row in campaigns:
        name = row["campaign"]
        row["channel"] = channel_of.get(name)
        row["name"] = costs.names.get(name, name)
        if called[row["name"]] > 1:
            row["name"] = f"{row['name']} ({name})"
        # Leads that were there before the campaign reached them are more active than most: no fair comparison.
        judged = by_name.get(name)
        if judged is not None and 2 * judged["leads"] <= row["leads"]:
            judged = None
        row["verdict"] = judged and judged["verdict"]
        row["won_by_its_leads"] = judged and round(judged["revenue"], 2)
        row["expected_of_its_time"] = judged and round(judged["expected_revenue"], 2)
        row["p_value"] = judged and float(f"{judged['p_value']:.3g}")
    totals = _totals(leads, stages, credited, money, spent)
    for row in campaigns:
        row["text"] = verdict_text(row, currency, totals)
    channels = _rows(leads, "channel", stages, credited, money, spent, seed)
    return campaigns, channels, totals


def channels_of(leads: pd.DataFrame, costs: CampaignCosts) -> dict[str | None, str]:
    """Name each campaign's channel: what its table says, else the most frequent source of its leads."""
    named = leads[leads["campaign"].notna() & leads["source"].notna()]
    counts = named.groupby(["campaign", "source"]).size().rename("count").reset_index()
    counts = counts.sort_values(["campaign", "count", "source"], ascending=[True, False, True])
    usual = counts.drop_duplicates("campaign")
    return dict(zip(usual["campaign"], usual["source"], strict=True)) | costs.channels


def _clusters(deals: pd.DataFrame, leads: pd.DataFrame) -> pd.Series:
    """Give each deal its account's number; a deal without a lead stands alone."""
    known = deals["lead_id"].map(leads.set_index("lead_id")["cluster"])
    alone = pd.Series(np.arange(len(deals)) + int(leads["cluster"].max() if len(leads) else 0) + 1, index=deals.index)
    return known.fillna(alone).astype("int64")


def _rows(
    leads: pd.DataFrame,
    by: str,
    stages: list[str],
    credited: pd.DataFrame,
    expected: Mapping[str, pd.DataFrame],
    spent: pd.DataFrame,
    seed: int,
) -> list[dict[str, Any]]:
    groups = leads.groupby(leads[by] if by == "campaign" else leads["channel_of_campaign"], dropna=False)
    counts, won = _keyed(groups.size()), _keyed(groups["is_won"].sum())
    by_stage = {stage: _keyed(groups[f"stage {stage}"].sum()) for stage in stages}
    sums = {"revenue": _by(credited, by), **{name: _by(frame, by) for name, frame in expected.items()}}
    cost = _by(spent, by)
    names = {name for found in (counts, *sums.values(), cost) for name in found}
    ordered = sorted(names, key=lambda name: (name is None, -sums["revenue"].get(name, 0), str(name)))
    shaken = _bootstrap(credited, by, seed)
    payback = (
        payback_days(credited.assign(campaign=credited[by]), spent.assign(campaign=spent[by])) if len(spent) else {}
    )
    total = max(len(leads), 1)
    rows: list[dict[str, Any]] = []
    for name in ordered:
        count, cents = counts.get(name, 0), sums["revenue"].get(name, 0)
        row: dict[str, Any] = {
            by: name,
            "leads": count,
            "leads_share": round(count / total, 6),
            "stages": {stage: reached.get(name, 0) for stage, reached in by_stage.items()},
            "won": won.get(name, 0),
            "revenue_won": cents / 100,
            **{
                f"revenue_expected_{end}": sums[end].get(name, 0) / 100 if end in sums else None
                for end in ("90d", "ever")
            },
            "revenue_per_lead": _figure(cents / 100, shaken.get(name), count),
            "cost": cost[name] / 100 if name in cost else None,
            "revenue_per_cost": None,
            "payback_days": None,
        }
        if row["cost"]:
            row["revenue_per_cost"] = _figure(cents / 100, shaken.get(name), row["cost"])
            days = payback.get(str(name))
            row["payback_days"] = None if days is None else round(days, 1)
        rows.append(row)
    _rank(rows, by)
    return rows


def _by(frame: pd.DataFrame, by: str) -> dict[str | None, int]:
    return _keyed(frame.groupby(by, dropna=False)["cents"].sum())


def _keyed(series: pd.Series) -> dict[str | None, int]:
    """Give whole numbers by name; what has none is None."""
    return {_key(name): int(value) for name, value in series.items()}


def _named(series: pd.Series) -> pd.Series:
    """Let what is missing be None, whatever it was."""
    return series.astype(object).where(series.notna(), None)


def _key(name: object) -> str | None:
    return None if name is None or name is pd.NA or name != name else str(name)


def _bootstrap(credited: pd.DataFrame, by: str, seed: int) -> dict[str | None, FloatArray]:
    """Draw accounts again and again, each a Poisson number of times, and sum what each group earned."""
    sums = credited.assign(group=_named(credited[by]))
    sums = sums.groupby(["cluster", "group"], dropna=False, sort=True)["cents"].sum().reset_index()
    clusters = pd.factorize(sums["cluster"])[0]
    groups, names = pd.factorize(sums["group"].to_numpy(object), use_na_sentinel=False)
    rng = np.random.default_rng(seed)
    result = np.zeros((len(names), DRAWS))
    cents = sums["cents"].to_numpy(float)
    for draw in range(DRAWS):
        times = rng.poisson(1.0, clusters.max(initial=-1) + 1)
        result[:, draw] = np.bincount(groups, cents * times[clusters], len(names))
    return {_key(name): result[place] / 100 for place, name in enumerate(names)}


def _figure(value: float, drawn: FloatArray | None, per: float) -> dict[str, float] | None:
    if not per:
        return None
    low, high = (0.0, 0.0) if drawn is None else np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": round(value / per, 4), "low": round(float(low) / per, 4), "high": round(float(high) / per, 4)}


def _rank(rows: list[dict[str, Any]], by: str) -> None:
    for name, figure in (("rank_by_leads", "leads"), ("rank_by_revenue", "revenue_won")):
        values = sorted((row[figure] for row in rows if row[by] is not None), reverse=True)
        for row in rows:
            row[name] = values.index(row[figure]) + 1 if row[by] is not None else None


def _totals(
    leads: pd.DataFrame,
    stages: list[str],
    credited: pd.DataFrame,
    expected: Mapping[str, pd.DataFrame],
    spent: pd.DataFrame,
) -> dict[str, Any]:
    revenue = int(credited["cents"].sum())
    return {
        "leads": len(leads),
        "stages": {stage: int(leads[f"stage {stage}"].sum()) for stage in stages},
        "won": int(leads["is_won"].sum()),
        "revenue_won": revenue / 100,
        "revenue_expected_90d": int(expected["90d"]["cents"].sum()) / 100 if "90d" in expected else None,
        "revenue_expected_ever": int(expected["ever"]["cents"].sum()) / 100 if "ever" in expected else None,
        "cost": int(spent["cents"].sum()) / 100 if len(spent) else None,
    }


def leads_that_count(ways: Journeys, found: CampaignTouches, since: datetime | None) -> pd.DataFrame:
    """Give a row a lead created since a date.

    Returns
    -------
    DataFrame
        ``lead_id``, ``campaign`` (first touch, or None), ``created_with`` (its campaign at creation), ``source``,
        ``cohort`` (its quarter), ``cluster`` (its account), ``revenue`` (of its won deals; 0 at least), ``is_won``,
        ``created_at``, and ``stage …`` for each stage: whether it was reached.
    """
    frame = ways.frame
    last = frame[frame["is_last"]]
    reached = ways.entered != NOT_REACHED
    begun = pd.DatetimeIndex(ways.started.view("datetime64[us]"))
    created = pd.Series(begun).groupby(ways.lead_numbers).min().to_numpy()
    leads = pd.DataFrame(
        {
            "lead_id": last["lead_id"].to_numpy(),
            "campaign": _named(last["lead_id"].map(found.first)).to_numpy(),
            "created_with": _named(last["lead_id"].map(found.created.set_index("lead_id")["campaign"])).to_numpy(),
            "source": _named(last["source"].replace(NOT_KNOWN, None)).to_numpy()
            if "source" not in ways.absent
            else None,
            "cluster": last["cluster"].to_numpy(),
            "created_at": created,
            "is_won": ways.by_lead((frame["outcome"] == "won").to_numpy()) > 0,
        }
    )
    revenue = found.deals.groupby("lead_id")["cents"].sum() / 100
    leads["revenue"] = leads["lead_id"].map(revenue).fillna(0.0).clip(lower=0)
    leads["cohort"] = pd.PeriodIndex(leads["created_at"], freq="Q").astype(str)
    for place, stage in enumerate(ways.stages.names):
        leads[f"stage {stage}"] = ways.by_lead(reached[:, place]) > 0
    return leads if since is None else leads[leads["created_at"] >= pd.Timestamp(since)].reset_index(drop=True)
