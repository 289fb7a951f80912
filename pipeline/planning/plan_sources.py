"""What a plan is made of: deals won so far, open leads with their forecast, arrivals so far, business without leads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import lifecycle, point_in_time
from features.versions import as_they_were
from pipeline.funnel.journeys import NOT_KNOWN, Journeys
from pipeline.funnel.stage_dates import NOT_REACHED
from pipeline.ingest.company import LoadedCompany
from pipeline.planning.imports import CONTACT, is_import
from pipeline.planning.month_forecast import SPREAD_LIMIT, TENTH_TO_TENTH, within_days
from pipeline.planning.revenue_by_age import RevenueByAge, revenue_by_age

FloatArray = NDArray[np.float64]
DAY = timedelta(days=1)
_DAY_US = 86_400_000_000
HISTORY_YEARS = 3
SEGMENTS_SHOWN = 6
OTHERS = "other"


def won_deals(company: LoadedCompany, since: datetime, as_of: datetime) -> pd.DataFrame:
    """Give the deals won since an instant, as known at a date; a deal without an owner is its lead's owner's.

    Returns
    -------
    DataFrame
        ``deal_id, system, lead_id, owner_id, closed_at``, ``cents``.
    """
    versions = lifecycle.lead_deal_versions(company.tables)
    won = versions.filter(point_in_time.current_at(versions, as_of), versions.outcome == "won")
    won = won.filter(won.closed_at >= point_in_time.instant(since), won.closed_at <= point_in_time.instant(as_of))
    frame = won.select("deal_id", "system", "lead_id", "owner_id", "closed_at", "amount").to_pandas()
    frame["owner_id"] = (
        frame["owner_id"]
        .astype(object)
        .where(frame["owner_id"].notna(), frame["lead_id"].map(_owners_of_leads(company, as_of)))
    )
    frame["cents"] = (frame.pop("amount").astype(float).fillna(0.0) * 100).round().astype("int64")
    return frame.sort_values(["closed_at", "deal_id"], ignore_index=True)


def _owners_of_leads(company: LoadedCompany, as_of: datetime) -> dict[str, str]:
    leads = company.tables.leads
    known = leads.filter(point_in_time.known_by(leads.known_at, as_of)).select("lead_id", "owner_id")
    dated = as_they_were(known.mutate(as_of=point_in_time.instant(as_of)), company.tables, "leads", "lead_id")
    frame = dated.filter(dated.owner_id.notnull()).to_pandas()
    return dict(zip(frame["lead_id"], frame["owner_id"], strict=True))


@dataclass(frozen=True)
class OpenLeads:
    """Open leads, each with what it brings by a date.

    Parameters
    ----------
    frame : DataFrame
        ``lead_id, owner_id, cluster`` (its account), ``chance, expected`` (by the date, money), ``value`` (of a win),
        ``spread`` (mean of (amount ÷ value)²).
    said : str
        Where the forecast comes from.
    is_cut_off : bool
        The date lies beyond the longest horizon of the forecast: what they bring after it is missing.
    """

    frame: pd.DataFrame
    said: str
    is_cut_off: bool = False


def open_leads(scores: pd.DataFrame, said: str, horizons_days: list[int], days: float) -> OpenLeads:
    """Read off a forecast what each open lead brings within so many days, between its horizons in a straight line."""
    known = [h for h in horizons_days if f"p_win_{h}d" in scores and scores[f"p_win_{h}d"].notna().any()]
    chance, money = (within_days(scores, [f"{name}_{h}d" for h in known], known, days)
                     for name in ("p_win", "expected_revenue"))  # fmt: skip
    account = scores["account_id"] if "account_id" in scores else pd.Series(None, index=scores.index, dtype=object)
    account = account.astype(object).where(account.notna(), "lead " + scores["lead_id"].astype(str))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(chance > 0, money / chance, 0.0)
        bounds = [np.asarray(scores.get(f"deal_value_{end}", np.nan), dtype=float) for end in ("p10", "p90")]
        apart = np.log(bounds[1] / bounds[0])
    sigma = np.where(np.isfinite(apart), np.clip(apart, 0.0, SPREAD_LIMIT), 0.0) / TENTH_TO_TENTH
    frame = pd.DataFrame({
        "lead_id": scores["lead_id"], "owner_id": scores["owner_id"], "cluster": pd.factorize(account)[0],
        "chance": chance, "expected": money, "value": value, "spread": np.exp(np.minimum(sigma, 1.5) ** 2),
    })  # fmt: skip
    is_cut_off = bool(known) and days > 1.02 * max(known)
    if is_cut_off:
        said += f"; of leads open today nothing is forecast beyond {max(known)} days"
    return OpenLeads(frame, said, is_cut_off)


@dataclass(frozen=True)
class Arrivals:
    """Leads that arrived, and what such a lead brings by its age.

    Parameters
    ----------
    days_back, segment : ndarray of shape (n,)
        Of each lead: days before the date, and its source as a place in ``names``.
    names : list of str
    by_age : RevenueByAge
        From arrival; by source.
    from_opportunity : RevenueByAge
        From the stage before winning; by source.
    stage : str
        That stage.
    opportunity_share : ndarray of shape (n_segments,)
        Of the opportunities of the last year.
    left_out : int
        Leads that were imported, or came as names on a list.
    """

    days_back: FloatArray
    segment: NDArray[np.intp]
    names: list[str]
    by_age: RevenueByAge
    from_opportunity: RevenueByAge
    stage: str
    opportunity_share: FloatArray
    left_out: int


def arrivals(company: LoadedCompany, ways: Journeys) -> Arrivals:
    """Count the leads that arrived by source, imports and lists left out, and follow what they brought."""
    frame, now = ways.frame, int(np.datetime64(ways.as_of, "us").astype(np.int64))
    first = (frame["episode"] == frame.groupby("lead_id")["episode"].transform("min")).to_numpy()
    back = (now - ways.started) / _DAY_US
    started = pd.DatetimeIndex(ways.started.view("datetime64[us]")).tz_localize("UTC")
    local = (
        started.tz_convert(company.params.data.timezone).tz_localize(None).to_numpy("datetime64[D]").astype(np.int64)
    )
    no_arrival = is_import(local) | _on_lists(company, frame["lead_id"])
    source = frame["source"].astype(str).to_numpy()
    counts = pd.Series(source[first & ~no_arrival & (back <= 365)]).value_counts()
    names = [str(name) for name in counts.index[:SEGMENTS_SHOWN]]
    names = [*names, OTHERS] if len(counts) > len(names) or not names else names
    place = {name: number for number, name in enumerate(names)}
    segment = np.array([place.get(name, len(names) - 1) for name in source], dtype=np.intp)
    outcome, amount = frame["outcome"].to_numpy(), frame["amount"].to_numpy(float)
    is_won, is_open = outcome == "won", outcome == "open"
    ended = np.where(is_open, 0.0, (now - ways.ended) / _DAY_US)

    def brought(entered: NDArray, rows: NDArray[np.bool_]) -> RevenueByAge:
        return revenue_by_age(
            ((now - entered) / _DAY_US)[rows], ended[rows], is_won[rows], is_open[rows], amount[rows],
            segment[rows], len(names),
        )  # fmt: skip

    stage = len(ways.stages.names) - 2
    reached = ways.entered[:, stage]
    is_there = reached != NOT_REACHED
    own = np.bincount(segment[is_there & ((now - reached) / _DAY_US <= 365)], minlength=len(names)).astype(float)
    kept = first & ~no_arrival
    return Arrivals(
        back[kept], segment[kept], names, brought(ways.started, kept),
        brought(np.where(is_there, reached, now), is_there),
        ways.stages.names[stage], own / own.sum() if own.sum() else np.full(len(names), 1 / len(names)),
        int((first & no_arrival).sum()),
    )  # fmt: skip


def _on_lists(company: LoadedCompany, lead_ids: pd.Series) -> NDArray[np.bool_]:
    if not company.tables.has("leads", "entry"):
        return np.zeros(len(lead_ids), dtype=bool)
    leads = company.tables.leads
    listed = leads.filter(leads.entry == CONTACT).select("lead_id").to_pandas()["lead_id"]
    return lead_ids.isin(set(listed)).to_numpy()


def named_sources(frame: pd.DataFrame) -> dict[str, Any]:
    """Give each lead's source, as known when it came."""
    return dict(zip(frame["lead_id"], frame["source"].where(frame["source"] != NOT_KNOWN, None), strict=True))
