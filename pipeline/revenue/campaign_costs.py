"""What campaigns cost in a span of time, in the company's currency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.common.sql import literal
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.exchange_rates import at_date_sql

EVER = datetime(1900, 1, 1)


@dataclass(frozen=True)
class CampaignCosts:
    """Names, channels and costs of campaigns.

    Parameters
    ----------
    names, channels : dict of str to str
        Of campaigns that have one.
    spent : DataFrame
        ``campaign``, ``spent_at``, ``cents``: in the span asked for.
    notes : tuple of str
        What could not be counted, and why.
    """

    names: dict[str, str]
    channels: dict[str, str]
    spent: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def cents(self) -> pd.Series:
        """Costs of each campaign; a campaign without any is not in it."""
        return self.spent.groupby("campaign")["cents"].sum()


def campaign_costs(company: LoadedCompany, as_of: datetime, since: datetime | None = None) -> CampaignCosts:
    """Read what each campaign cost until a date.

    A row with a beginning and an end is spread evenly over its days, so that part of a campaign costs part of its cost;
    one without an end is spent when it begins. What begins after the date is not spent yet.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC.
    since : datetime, optional
        Costs before it do not count.
    """
    if not company.tables.has("campaigns"):
        return CampaignCosts({}, {}, _spent([], [], []), ("there is no table of campaigns: no cost is known",))
    rows = _rows(company)
    names, channels = (
        {
            str(name): str(value)
            for name, value in rows.dropna(subset=[column]).groupby("campaign")[column].last().items()
        }
        for column in ("name", "channel")
    )
    notes = []
    costed = rows[rows["cost"].notna()]
    without_rate = costed[costed["rate"].isna()]
    if len(without_rate):
        listed = ", ".join(sorted(without_rate["currency"].unique()))
        notes.append(f"{len(without_rate):,} costs in {listed} have no exchange rate and are left out")
    costed = costed[costed["rate"].notna()]
    start = costed["started_at"].fillna(costed["ended_at"])
    undated = int(start.isna().sum())
    if undated and since is not None:
        notes.append(f"{undated:,} costs without a date are left out, as only those since a date count")
    first, last = np.datetime64(since or EVER, "us"), np.datetime64(as_of, "us")
    begins = start.to_numpy("datetime64[us]")
    begins = np.where(np.isnat(begins) & (since is None), first, begins)
    ended = costed["ended_at"].to_numpy("datetime64[us]")
    ends = np.where(np.isnat(ended) | (ended < begins), begins, ended)
    length, inside = (_days(np.maximum(part, 0)) for part in (
        ends - begins, np.minimum(ends, last) - np.maximum(begins, first)
    ))  # fmt: skip
    at_once = (begins >= first) & (begins <= last)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(length > 0, np.clip(inside / length, 0, 1), at_once)
    cents = np.round(costed["cost"].to_numpy(float) * costed["rate"].to_numpy(float) * share * 100)
    kept = np.nan_to_num(share) > 0
    spent = _spent(costed["campaign"].to_numpy()[kept], np.maximum(begins, first)[kept], cents[kept])
    return CampaignCosts(names, channels, spent, tuple(notes))


def _days(spans: NDArray[np.timedelta64]) -> NDArray[np.float64]:
    return spans.astype("timedelta64[us]").astype(float) / 86_400e6


def _rows(company: LoadedCompany) -> pd.DataFrame:
    """Give the table with the rate of each row's currency at its beginning: 1 for the company's own."""
    ours = company.params.currency
    dated = (
        "(SELECT campaign, name, channel, started_at, ended_at, CAST(cost AS DOUBLE) AS cost, "  # noqa: S608
        f"coalesce(upper(currency), {literal(ours)}) AS currency, "
        "coalesce(started_at, TIMESTAMP '2200-01-01') AS rated_at FROM campaigns)"
    )
    own = f"CASE WHEN currency = {literal(ours)} THEN 1 END"
    rated = (
        at_date_sql(dated, ours, "rated_at")
        if company.tables.has("rates")
        else f"SELECT *, {own} AS exchange_rate FROM {dated}"  # noqa: S608
    )
    return company.connection.execute(
        f"SELECT * EXCLUDE (exchange_rate), CAST(exchange_rate AS DOUBLE) AS rate FROM ({rated}) "  # noqa: S608
        "ORDER BY campaign, started_at, ended_at, cost"
    ).df()


def _spent(campaigns: object, dates: object, cents: object) -> pd.DataFrame:
    frame = pd.DataFrame({"campaign": campaigns, "spent_at": dates, "cents": cents})
    return frame.astype({"campaign": object, "spent_at": "datetime64[us]", "cents": "int64"}).reset_index(drop=True)


def payback_days(revenue: pd.DataFrame, spent: pd.DataFrame) -> dict[str, float | None]:
    """Days from a campaign's first cost until what it brought had paid for all it had cost by then.

    Parameters
    ----------
    revenue : DataFrame
        ``campaign``, ``closed_at``, ``cents``.
    spent : DataFrame
        As `CampaignCosts` has it.

    Returns
    -------
    dict of str to float or None
        For each campaign with a cost; None where that has not happened.
    """
    earned = revenue.assign(at=revenue["closed_at"])[["campaign", "at", "cents"]]
    costs = spent.assign(at=spent["spent_at"], cents=-spent["cents"])[["campaign", "at", "cents"]]
    first = spent.groupby("campaign")["spent_at"].min()
    flows = pd.concat([earned[earned["campaign"].isin(first.index)], costs]).groupby(["campaign", "at"])["cents"].sum()
    balance = flows.groupby(level="campaign").cumsum().reset_index()
    balance = balance[(balance["cents"] >= 0) & (balance["at"] >= balance["campaign"].map(first))]
    paid = balance.groupby("campaign")["at"].min()
    days = (paid.reindex(first.index) - first).dt.total_seconds() / 86_400
    return {str(name): None if pd.isna(value) else float(value) for name, value in days.items()}
