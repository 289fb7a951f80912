"""What the next campaign can learn: which channels, topics, contents and sources bring the most revenue per lead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.ingest.company import LoadedCompany
from pipeline.revenue.campaign_touches import inbound_events

DRAWS, LEVEL, ACCOUNTS_DRAWN = 400, 0.8, 5_000
WINS_LEAST = 5
"""Fewer won leads, and nothing is said of a kind of lead but that it is too little."""
PRIOR_WINS = 5.0
"""Revenue per lead is shrunk towards that of all by as many wins."""
SHOWN = 12


def next_campaign(
    company: LoadedCompany, leads: pd.DataFrame, expected: np.ndarray | None, as_of: datetime, seed: int
) -> list[dict[str, Any]]:
    """Rank channels, topics, contents and sources by what a lead of theirs brings, won so far and expected.

    Parameters
    ----------
    company : LoadedCompany
    leads : DataFrame
        As `leads_that_count` gives them, with ``revenue``.
    expected : ndarray of shape (n_leads,), optional
        What each is still expected to bring.
    as_of : datetime
        Naive UTC.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of dict
        ``by`` (channel, topic, content, source), ``value``, ``leads``, ``won``, ``revenue_per_lead`` (shrunk,
        with an 80% interval from a bootstrap over accounts), ``average``, ``known`` (false: too few wins to say);
        the best first.
    """
    worth = leads["revenue"].to_numpy(float) + (0.0 if expected is None else expected)
    average = float(worth.mean()) if len(leads) else 0.0
    win_share = float(leads["is_won"].mean()) if len(leads) else 0.0
    prior_leads = PRIOR_WINS / win_share if win_share > 0 else 0.0
    pairs = [leads[["channel"]].set_axis(["value"], axis=1).assign(by="channel", row=np.arange(len(leads)))]
    pairs.append(leads[["source"]].set_axis(["value"], axis=1).assign(by="source", row=np.arange(len(leads))))
    for kind, column in (("topic", "topic"), ("content", "content_id")):
        seen = _looked_at(company, leads, column, as_of)
        if seen is not None:
            pairs.append(seen.assign(by=kind))
    every = pd.concat(pairs, ignore_index=True).dropna(subset=["value"]).drop_duplicates()
    rng = np.random.default_rng(seed)
    clusters = pd.factorize(leads["cluster"])[0]
    found: list[dict[str, Any]] = []
    for (by, value), rows in every.groupby(["by", "value"], sort=True):
        place = rows["row"].to_numpy()
        count, won = len(place), int(leads["is_won"].to_numpy()[place].sum())
        shrunk = (worth[place].sum() + prior_leads * average) / (count + prior_leads)
        low, high = _interval(worth[place], clusters[place], rng)
        found.append(
            {
                "by": by,
                "value": str(value),
                "leads": count,
                "won": won,
                "revenue_per_lead": {"value": round(float(shrunk), 2), "low": round(low, 2), "high": round(high, 2)},
                "average": round(average, 2),
                "known": won >= WINS_LEAST,
            }
        )
    found = _told_once(found)
    found.sort(key=lambda row: (not row["known"], -row["revenue_per_lead"]["value"], row["by"], row["value"]))
    kept = [row for row in found if row["known"]][:SHOWN]
    return kept + [row for row in found if not row["known"]][:SHOWN]


def _told_once(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out a source that is a channel of the same name and the same leads."""
    channels = {(row["value"], row["leads"], row["won"]) for row in found if row["by"] == "channel"}
    return [row for row in found if row["by"] != "source" or (row["value"], row["leads"], row["won"]) not in channels]


def _interval(worth: np.ndarray, clusters: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Give the range of revenue per lead if accounts were drawn anew, each a Poisson number of times.

    Of more than `ACCOUNTS_DRAWN` accounts that is normal, with the spread of a ratio of sums.
    """
    _, places = np.unique(clusters, return_inverse=True)
    sums, counts = np.bincount(places, worth), np.bincount(places).astype(float)
    if len(sums) > ACCOUNTS_DRAWN:
        ratio = sums.sum() / counts.sum()
        error = np.sqrt(((sums - ratio * counts) ** 2).sum()) / counts.sum()
        reach = float(stats.norm.ppf((1 + LEVEL) / 2) * error)
        return float(ratio - reach), float(ratio + reach)
    weight = rng.poisson(1.0, (DRAWS, len(sums)))
    drawn = (weight @ sums) / np.maximum(weight @ counts, 1.0)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _looked_at(company: LoadedCompany, leads: pd.DataFrame, column: str, as_of: datetime) -> pd.DataFrame | None:
    """Give the topics (or contents) that leads looked at themselves: ``value, row``."""
    if not company.tables.has("events", column):
        return None
    events = inbound_events(company, as_of)
    pairs = events.filter(events[column].notnull()).select("lead_id", value=column).distinct().to_pandas()
    rows = pd.Series(np.arange(len(leads)), index=leads["lead_id"].to_numpy())
    pairs["row"] = pairs["lead_id"].map(rows)
    return pairs.dropna(subset=["row"])[["value", "row"]].astype({"row": int}).sort_values(["value", "row"])
