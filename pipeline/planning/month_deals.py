"""The deals won in a month, each with its place in the bridge: what it was on the day of the forecast."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features import lifecycle, point_in_time
from features.versions import as_they_were
from pipeline.funnel.journeys import NEW_BUSINESS, NOT_KNOWN
from pipeline.ingest.company import LoadedCompany
from pipeline.planning.bridge import ARRIVED, EXISTING, FORECAST, LATE, LEFT_OUT, REOPENED, to_units


def won_deals(company: LoadedCompany, start: datetime, end: datetime, as_of: datetime) -> pd.DataFrame:
    """Give the deals won in a month, by what is known at a date.

    Parameters
    ----------
    company : LoadedCompany
    start, end : datetime
        The month's first instant, and the first one after it; naive UTC.
    as_of : datetime
        Nothing known later counts.

    Returns
    -------
    DataFrame
        ``deal_id, system, lead_id, owner_id, kind, currency, amount`` (in the company's currency), ``at_start`` (the
        same at the exchange rates of the first day) and ``written`` (in its own currency), all in units, and
        ``is_late`` (known only after the month had ended).
    """
    tables, ours = company.tables, company.params.currency
    versions = lifecycle.lead_deal_versions(tables)
    won = versions.filter(point_in_time.current_at(versions, as_of), versions.outcome == "won")
    rows = won.filter(won.closed_at >= start, won.closed_at < end)
    rows = rows.select(
        "deal_id", "system", "lead_id", "owner_id", "kind", "closed_at", "amount", "written_amount",
        is_late=~point_in_time.known_by(rows.known_from, end),
    )  # fmt: skip
    currencies = tables.deals.group_by("deal_id", "system").agg(currency=tables.deals.currency.max())
    rows = rows.left_join(
        currencies, [rows.deal_id == currencies.deal_id, rows.system.identical_to(currencies.system)]
    ).drop("deal_id_right", "system_right")
    frame = rows.to_pandas().sort_values(["closed_at", "deal_id"], ignore_index=True)
    frame["currency"] = frame["currency"].fillna(ours)
    rates = rates_at(company, start)
    written = frame["written_amount"].tolist()
    amounts = [to_units(value) for value in frame["amount"]]
    frame["at_start"] = [
        amount if currency == ours or currency not in rates or not amount else _converted(value, rates[currency])
        for amount, value, currency in zip(amounts, written, frame["currency"], strict=True)
    ]
    frame["amount"], frame["written"] = amounts, [to_units(value) for value in written]
    return frame.drop(columns=["closed_at", "written_amount"])


def with_categories(
    company: LoadedCompany, deals: pd.DataFrame, as_of: datetime, forecast_at: datetime, leads: pd.Series
) -> pd.DataFrame:
    """Say of each deal won in a month what it was when the forecast was made.

    Parameters
    ----------
    company : LoadedCompany
    deals : DataFrame
        As `won_deals` gives them.
    as_of : datetime
        Nothing known later counts.
    forecast_at : datetime
        When the forecast was made.
    leads : Series of str
        The leads that it forecast.

    Returns
    -------
    DataFrame
        The same, with ``category`` (`FORECAST` and the others), ``owner_id`` of the lead where the deal has none,
        ``team`` and ``source``.
    """
    stood = _at_forecast(company, as_of, forecast_at, deals["lead_id"]).to_pandas()
    frame = deals.merge(stood, on="lead_id", how="left", validate="many_to_one")
    frame["owner_id"] = frame["owner_id"].astype(object).where(frame["owner_id"].notna(), frame["lead_owner"])
    frame["team"] = frame["owner_id"].map(team_of(company))
    return frame.assign(category=_categories(frame, set(leads)))


def _converted(written: object, rate: object) -> int:
    worth = (Decimal(str(written)) * Decimal(str(rate))).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return to_units(worth)


def rates_at(company: LoadedCompany, instant: datetime) -> dict[str, object]:
    """Give the exchange rates that held at an instant."""
    rates = company.tables.rates
    rows = rates.filter(point_in_time.known_by(rates.valid_from, instant)).to_pandas()
    rows = rows.sort_values("valid_from", na_position="first").drop_duplicates("currency", keep="last")
    return dict(zip(rows["currency"], rows["rate"], strict=True))


def team_of(company: LoadedCompany) -> dict[str, str]:
    """Give each owner's team, as it is now."""
    owners = company.tables.owners.select("owner_id", "team").to_pandas().dropna().drop_duplicates("owner_id")
    return dict(zip(owners["owner_id"], owners["team"], strict=True))


def sources_of(company: LoadedCompany, as_of: datetime) -> dict[str, str]:
    """Give the source of each lead that has one, as known at a date."""
    leads = company.tables.leads
    known = leads.filter(point_in_time.known_by(leads.known_at, as_of)).select("lead_id", "source")
    dated = as_they_were(known.mutate(as_of=point_in_time.instant(as_of)), company.tables, "leads", "lead_id")
    frame = dated.filter(dated.source.notnull()).to_pandas()
    return dict(zip(frame["lead_id"], frame["source"], strict=True))


def _at_forecast(company: LoadedCompany, as_of: datetime, forecast_at: datetime, lead_ids: pd.Series) -> ir.Table:
    """Say how some leads stood when the forecast was made."""
    tables = company.tables
    wanted = ibis.memtable(pd.DataFrame({"lead_id": lead_ids.dropna().unique().astype(str)}))
    leads = tables.leads.semi_join(wanted.select(lead_id=wanted.lead_id.cast("string")), "lead_id")
    known = leads.filter(point_in_time.known_by(leads.known_at, as_of))
    known = known.select(
        "lead_id", "owner_id", "source",
        was_known=point_in_time.known_by(known.known_at, forecast_at),
        was_created=point_in_time.known_by(known.created_at, forecast_at),
    )  # fmt: skip
    dated = known.mutate(as_of=point_in_time.instant(as_of))
    dated = as_they_were(dated, tables, "leads", "lead_id").drop("as_of")
    stood = lifecycle.standings(tables, forecast_at).select("lead_id", stood="outcome")
    return dated.left_join(stood, "lead_id").drop("lead_id_right").rename(lead_owner="owner_id")


def _categories(frame: pd.DataFrame, forecast: set[str]) -> np.ndarray:
    """Put each deal in one place: the first that fits."""
    is_existing = frame["lead_id"].isna() | ~frame["kind"].fillna(NEW_BUSINESS).eq(NEW_BUSINESS)
    was_known = frame["was_known"].astype(object).where(frame["was_known"].notna(), False).astype(bool)
    was_created = frame["was_created"].astype(object).where(frame["was_created"].notna(), False).astype(bool)
    return np.select(
        [
            frame["is_late"].to_numpy(bool),
            frame["lead_id"].isin(forecast).to_numpy(),
            is_existing.to_numpy(bool),
            frame["was_known"].isna().to_numpy(),
            (was_known & frame["stood"].eq("won")).to_numpy(bool),
            (was_known & frame["stood"].isin(["lost", "unknown", "joined"])).to_numpy(bool),
            (was_created & ~was_known).to_numpy(bool),
            (~was_created).to_numpy(bool),
        ],
        [LATE, FORECAST, EXISTING, EXISTING, EXISTING, REOPENED, LATE, ARRIVED],
        LEFT_OUT,
    )


def named(values: pd.Series) -> pd.Series:
    """Give groups of leads or deals names, also where nothing is known."""
    return values.astype(object).where(values.notna(), NOT_KNOWN)
