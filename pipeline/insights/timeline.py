"""What happened to each open lead, and on which days it moved the forecast: words and times only, nothing personal."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features import lifecycle, point_in_time
from features.materialise import build_matrix
from features.schema import TIME
from features.snapshot_context import KEYS
from features.versions import happened_events
from pipeline.ingest.company import LoadedCompany
from pipeline.model_registry.model_artifact import StoredModel

LATEST_COUNT = 100
MOVED_LEADS, MOVED_DAYS = 200, 60
ROWS_AT_ONCE, ROWS_A_GROUP = 500_000, 20_000
TIMELINE = pa.schema(
    {
        "lead_id": pa.string(),
        "occurred_at": pa.timestamp("us"),
        "kind": pa.string(),
        "direction": pa.string(),
        "channel": pa.string(),
        "topic": pa.string(),
        "moved_money": pa.float64(),
        "moved_points": pa.float64(),
    }
)

MOVED = {"moved_id": "string", "start": TIME, "stop": TIME, "money": "float64", "points": "float64"}


def write_timeline(
    path: Path, company: LoadedCompany, scores: pd.DataFrame, moved: pd.DataFrame, as_of: datetime
) -> None:
    """Write what was known at `as_of` of what had happened to each lead scored.

    A row is a lead's creation, the opening of a deal, or an event; of each lead the last hundred. ``moved_money`` and
    ``moved_points`` are those of `day_moves` for the day on which the row became known.

    Parameters
    ----------
    path : Path
        A Parquet file, ordered by lead and time, in pieces that a reader can skip.
    company : LoadedCompany
    scores : data frame
        The leads.
    moved : data frame
        As `day_moves` gives it.
    as_of : datetime
        UTC, without a zone.
    """
    wanted = ibis.memtable(scores[["lead_id"]])
    happened = _happened(company, as_of).semi_join(wanted, "lead_id")
    newest = ibis.window(group_by="lead_id", order_by=[ibis.desc("occurred_at"), "kind"])
    happened = happened.mutate(place=ibis.row_number().over(newest))
    happened = happened.filter(happened["place"] < LATEST_COUNT).drop("place")
    days = ibis.memtable(moved, schema=MOVED)
    rows = happened.left_join(
        days,
        [
            happened.lead_id == days.moved_id,
            happened.visible_at > days.start,
            happened.visible_at <= days.stop,
        ],
    )
    rows = rows.rename(moved_money="money", moved_points="points").select(TIMELINE.names)
    rows = rows.order_by("lead_id", "occurred_at", "kind", "direction", "channel", "topic").cache()
    with pq.ParquetWriter(path, TIMELINE) as writer:  # piece by piece: there may be many more events than memory
        for start in range(0, rows.count().to_pandas(), ROWS_AT_ONCE):
            piece = rows.limit(ROWS_AT_ONCE, offset=start).to_pyarrow()
            writer.write_table(piece.cast(TIMELINE), row_group_size=ROWS_A_GROUP)


def _happened(company: LoadedCompany, as_of: datetime) -> ir.Table:
    """Give everything that happened to any lead and was known at `as_of`, with the instant it became known."""
    tables = company.tables
    nothing = {name: ibis.null("string") for name in ("direction", "channel", "topic")}
    leads, deals = tables.leads, tables.deals
    created = leads.select("lead_id", occurred_at="created_at", visible_at="known_at", kind=_word("created"), **nothing)
    opened = deals.filter(deals.lead_id.notnull(), deals.opened_at.notnull()).group_by("lead_id", "deal_id", "system")
    opened = opened.agg(occurred_at=deals.opened_at.min())
    opened = opened.select("lead_id", "occurred_at", visible_at="occurred_at", kind=_word("deal_opened"), **nothing)
    events = happened_events(tables)
    events = events.filter(events.lead_id.notnull()).select(opened.columns)
    every = created.union(opened).union(events)
    return every.filter(point_in_time.known_by(every.visible_at, as_of))


def _word(text: str) -> ir.StringScalar:
    return ibis.literal(text, "string")


def day_moves(company: LoadedCompany, top: pd.DataFrame, stored: StoredModel, as_of: datetime) -> pd.DataFrame:
    """Say how each lead's forecast moved over each local day of the last two months on which it was heard of.

    A move is the difference of two forecasts by the same model, each from what was known at that midnight.

    Parameters
    ----------
    company : LoadedCompany
    top : data frame
        ``lead_id, episode`` of leads, by rank: the first 200 are looked at.
    stored : StoredModel
    as_of : datetime
        UTC, without a zone; the last day ends here.

    Returns
    -------
    data frame
        ``moved_id, start, stop`` (the day, UTC), ``money`` and ``points``: of the expected revenue and, in percentage
        points, of the win probability, within the primary horizon.
    """
    top = top.head(MOVED_LEADS)
    empty = pd.DataFrame({name: [] for name in MOVED}, dtype=float)
    nothing = empty.astype({"moved_id": str, "start": "datetime64[us]", "stop": "datetime64[us]"})
    if not len(top):
        return nothing
    days = _days(company, top, stored.facts.timezone, as_of)
    grid = pd.concat([days.rename(columns={end: "as_of"})[KEYS] for end in ("start", "stop")]).drop_duplicates()
    schema = {"lead_id": "string", "episode": "int64", "as_of": TIME}
    grid = ibis.memtable(grid.sort_values(KEYS), schema=schema)
    spells = lifecycle.open_spells(company.tables).select("lead_id", "episode", "known_from", "known_until")
    seen_open = grid.join(spells, ["lead_id", "episode"])
    seen_open = seen_open.filter(point_in_time.current_at(seen_open, seen_open.as_of)).select(KEYS).distinct()
    rows = build_matrix(company.tables, seen_open.cache(), stored.spec)
    if not len(rows):  # nobody was heard of
        return nothing
    forecast = stored.forecast(rows)
    primary = f"{stored.forecaster.primary_horizon_days}d"
    rows = rows[KEYS].assign(
        money=forecast[f"expected_revenue_{primary}"].to_numpy(float),
        points=100 * forecast[f"p_win_{primary}"].to_numpy(float),
    )
    for end in ("start", "stop"):
        then = rows.rename(columns={"as_of": end, "money": f"money_{end}", "points": f"points_{end}"})
        days = days.merge(then, on=["lead_id", "episode", end], how="inner", validate="one_to_one")
    moved = days[["lead_id", "start", "stop"]].rename(columns={"lead_id": "moved_id"})
    for unit in ("money", "points"):
        moved[unit] = np.round(days[f"{unit}_stop"] - days[f"{unit}_start"], 4)
    return moved


def _days(company: LoadedCompany, top: pd.DataFrame, timezone: str, as_of: datetime) -> pd.DataFrame:
    """List the local days (as UTC spans) on which something became known of each lead; today ends at `as_of`."""
    happened = _happened(company, as_of).semi_join(ibis.memtable(top[["lead_id"]]), "lead_id")
    happened = happened.filter(~point_in_time.known_by(happened.visible_at, as_of - timedelta(days=MOVED_DAYS)))
    seen = happened.select("lead_id", "visible_at").distinct().to_pandas()
    zone = ZoneInfo(timezone)
    # A fact of midnight sharp is known at that midnight: it belongs to the day that ends there.
    local = (seen["visible_at"] - pd.Timedelta(microseconds=1)).dt.tz_localize("UTC").dt.tz_convert(zone).dt.normalize()
    naive = local.dt.tz_localize(None)

    def utc(midnight: pd.Series) -> pd.Series:
        zoned = midnight.dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        return zoned.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]")

    spans = pd.DataFrame({"lead_id": seen["lead_id"], "start": utc(naive), "stop": utc(naive + pd.Timedelta(days=1))})
    spans["stop"] = np.minimum(spans["stop"].to_numpy("datetime64[us]"), np.datetime64(as_of, "us"))
    return top[["lead_id", "episode"]].merge(spans.drop_duplicates(), on="lead_id", validate="one_to_many")
