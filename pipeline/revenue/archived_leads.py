"""Leads as they were first forecast, and what was done with them and became of them since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from features import lifecycle, point_in_time
from features.schema import TIME
from features.versions import happened_events
from pipeline.archive.forecasts import SCORES, Forecasts
from pipeline.common.dates import local_iso
from pipeline.common.errors import UserError
from pipeline.ingest.company import LoadedCompany

WORKED_DAYS = 7
"""Days after a forecast within which a touch counts as working it."""
BEFORE_DAYS = 30
OUTBOUND = "outbound"
KEYS = ["lead_id", "episode"]


@dataclass(frozen=True)
class ArchivedLeads:
    """Leads by their first archived forecast, as known at a date.

    Parameters
    ----------
    frame : DataFrame
        A row per episode of a lead: ``lead_id, episode, as_of`` (of the forecast), ``grade, account_id, owner_id,
        chance, money`` (win probability and expected revenue within the horizon; NaN: not forecast), ``age_days``,
        ``was_worked`` (touched by us within `WORKED_DAYS`), ``touches`` (by us, within the horizon so far),
        ``touches_before`` (in the `BEFORE_DAYS` before), ``won, revenue`` (within the horizon so far), ``is_followed``
        (`WORKED_DAYS` are over), ``is_mature`` (the horizon is).
    newest : DataFrame
        The newest archived forecast: ``lead_id, episode, as_of, grade, owner_id, money``, and of each lead still open
        ``touched_at`` (by us, last; NaT: never).
    horizon_days : int
    nights : int
    """

    frame: pd.DataFrame
    newest: pd.DataFrame
    horizon_days: int
    nights: int


def archived_leads(company: LoadedCompany, as_of: datetime) -> ArchivedLeads:
    """Find how leads were first forecast, and what came of them by a date.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC; nothing forecast or known later counts.

    Raises
    ------
    UserError
        No forecast was archived by then.
    """
    days = company.params.primary_horizon_days
    first, newest, nights = None, None, 0
    for scores in _nights(company, as_of, days):
        nights += 1
        newest = scores
        fresh = scores if first is None else scores[~_keyed(scores).isin(_keyed(first))]
        first = fresh if first is None else pd.concat([first, fresh])
    if first is None or newest is None:
        raise UserError(
            f"no forecast is archived by {local_iso(as_of, company.params.data.timezone)}: `leadrev nightly` keeps one "
            "every night"
        )
    first = first.sort_values(KEYS, ignore_index=True)
    facts = _facts(company, first, as_of, days)
    frame = first.merge(facts, on=KEYS, validate="one_to_one")
    return ArchivedLeads(frame, _newest(company, newest, as_of), days, nights)


def _keyed(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[KEYS])


def _nights(company: LoadedCompany, as_of: datetime, days: int) -> Iterator[pd.DataFrame]:
    """Read the forecasts archived by a date, the oldest first."""
    columns = {f"p_win_{days}d": "chance", f"expected_revenue_{days}d": "money"}
    wanted = [*KEYS, "as_of", "grade", "account_id", "owner_id", *columns]
    for entry in Forecasts(company.params.archive_folder).nights():
        path = entry.folder / f"{SCORES}.parquet"
        there = [name for name in wanted if name in pq.read_schema(path).names]
        scores = pd.read_parquet(path, columns=there).rename(columns=columns).reindex(
            columns=[*wanted[:6], *columns.values()]
        )  # fmt: skip
        if len(scores) and scores["as_of"].iloc[0] <= pd.Timestamp(as_of):
            yield scores.astype({"chance": float, "money": float})


def _facts(company: LoadedCompany, first: pd.DataFrame, as_of: datetime, days: int) -> pd.DataFrame:
    """Say of each forecast what was done with its lead, and what became of it, by a date."""
    rows = ibis.memtable(first[[*KEYS, "as_of"]]).mutate(as_of=ibis._.as_of.cast(TIME))
    rows = rows.mutate(
        followed=rows.as_of + ibis.interval(days=WORKED_DAYS),
        due=rows.as_of + ibis.interval(days=days),
        before=rows.as_of - ibis.interval(days=BEFORE_DAYS),
    )
    touches = _ours(company, as_of)
    pairs = rows.join(touches, "lead_id")
    since = pairs.occurred_at > pairs.as_of
    of_touches = pairs.group_by(KEYS).agg(
        was_worked=(since & (pairs.occurred_at <= pairs.followed)).any(),
        touches=(since & (pairs.occurred_at <= pairs.due)).sum(),
        touches_before=(~since & (pairs.occurred_at > pairs.before)).sum(),
    )
    versions = lifecycle.lead_deal_versions(company.tables)
    won = versions.filter(point_in_time.current_at(versions, as_of), versions.outcome == "won")
    won = rows.join(won.select("lead_id", "closed_at", "amount"), "lead_id")
    won = won.filter(won.closed_at > won.as_of, won.closed_at <= won.due)
    of_deals = won.group_by(KEYS).agg(revenue=won.amount.sum().cast("float64"), won=won.count() > 0)
    born = company.tables.leads.select("lead_id", "created_at")
    found = rows.left_join(born, "lead_id").drop("lead_id_right")
    for facts in (of_touches, of_deals):
        found = found.left_join(facts, KEYS).drop("lead_id_right", "episode_right")
    found = found.select(
        *KEYS,
        was_worked=ibis.coalesce(found.was_worked, False),
        touches=ibis.coalesce(found.touches, 0),
        touches_before=ibis.coalesce(found.touches_before, 0),
        won=ibis.coalesce(found.won, False),
        revenue=ibis.coalesce(found.revenue, 0.0),
        age_days=point_in_time.days_between(found.created_at, found.as_of),
        is_followed=point_in_time.known_by(found.followed, as_of),
        is_mature=point_in_time.known_by(found.due, as_of),
    )
    frame = found.to_pandas()
    return frame.assign(age_days=frame["age_days"].fillna(0.0).clip(lower=0.0))


def _ours(company: LoadedCompany, as_of: datetime) -> ir.Table:
    """Give what we did, as known at a date: ``lead_id, occurred_at``."""
    events = happened_events(company.tables)
    events = events.filter(point_in_time.known_by(events.visible_at, as_of), events.direction == OUTBOUND)
    return events.select("lead_id", "occurred_at")


def _newest(company: LoadedCompany, newest: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Give the leads of the newest forecast that are still open, and when we touched them last."""
    spells = lifecycle.open_spells(company.tables)
    is_open = spells.filter(point_in_time.current_at(spells, as_of)).select(*KEYS).distinct()
    touches = _ours(company, as_of)
    last = touches.group_by("lead_id").agg(touched_at=touches.occurred_at.max())
    open_now = is_open.left_join(last, "lead_id").select(*KEYS, "touched_at").to_pandas()
    kept = newest[[*KEYS, "as_of", "grade", "owner_id", "money"]]
    return kept.merge(open_now, on=KEYS, validate="one_to_one").sort_values(KEYS, ignore_index=True)


def is_untouched(newest: pd.DataFrame, as_of: datetime) -> np.ndarray:
    """Say which leads we did not touch within `WORKED_DAYS` before a date."""
    long_ago = pd.Timestamp(as_of - timedelta(days=WORKED_DAYS))
    return (newest["touched_at"].isna() | (newest["touched_at"] <= long_ago)).to_numpy()
