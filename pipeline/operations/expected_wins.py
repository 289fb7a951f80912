"""How many wins each archived night expects: every open lead's rate of being won over the coming days, summed.

A night's sums are all that later nights need of it. They are kept, so that a night costs one night.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from models.hazards import TimeGrid, cumulative_incidence
from pipeline.archive.chain import Entry
from pipeline.archive.forecasts import MARGINS
from pipeline.common.errors import UserError
from pipeline.common.formatting import local_date, to_instant

SPANS_DAYS = (1, 7, 30)
"""Days over which wins are summed: the next night comes after one, or after some that failed."""
ALL = "all leads"
COLUMNS = ("seal", "segment", "leads", *(f"wins_{days}d" for days in SPANS_DAYS))

Grids = Callable[[Entry, str], TimeGrid | None]
"""Gives the grid of a model version that forecast on a night; None where nobody knows it."""


def win_probabilities(entry: Entry, grid: TimeGrid, version: str | None = None) -> pd.DataFrame:
    """Give each lead's chance of being won within `SPANS_DAYS` of a night's forecast, out of the archived margins.

    Parameters
    ----------
    entry : Entry
    grid : TimeGrid
        Of the model that forecast.
    version : str, optional
        A challenger's; by default the champion's.

    Returns
    -------
    DataFrame of shape (leads, 1 + spans)
        ``lead_id`` and ``wins_1d …``.
    """
    bins = int(grid.bin_of(SPANS_DAYS[-1])) + 1
    near = TimeGrid(grid.bin_edges_days[: bins + 1], grid.bin_piece[:bins], grid.base_rates[:, :bins])
    outcomes = ("won", "lost")[: grid.outcomes_count]
    names = [[f"{outcome}_{piece + 1}" for piece in range(near.pieces_count)] for outcome in outcomes]
    path = entry.folder / f"{MARGINS}{f'_{version}' if version else ''}.parquet"
    table = pq.read_table(path, columns=["lead_id", *(name for row in names for name in row)])
    margins = np.stack([np.stack([table[name].to_numpy() for name in row], axis=1) for row in names], axis=1)
    chances = cumulative_incidence(margins, near, SPANS_DAYS)[:, 1] if len(table) else np.empty((0, len(SPANS_DAYS)))
    found = pd.DataFrame({"lead_id": table["lead_id"].to_pandas()})
    return found.assign(**{f"wins_{days}d": chances[:, place] for place, days in enumerate(SPANS_DAYS)})


def night_sums(entry: Entry, grid: TimeGrid, segments: pd.DataFrame) -> pd.DataFrame:
    """Sum a night's expected wins by segment.

    Parameters
    ----------
    entry : Entry
    grid : TimeGrid
    segments : DataFrame
        By lead_id, a column for each way to divide leads, of names of segments.

    Returns
    -------
    DataFrame
        `COLUMNS`; the first row is that of `ALL`.
    """
    leads = win_probabilities(entry, grid)
    values = [f"wins_{days}d" for days in SPANS_DAYS]
    of_all = leads[values].sum().to_frame().T.assign(segment=ALL, leads=len(leads))
    places = segments.index.get_indexer(pd.Index(leads["lead_id"]))
    rows = [of_all]
    for name in segments.columns:
        words = segments[name].to_numpy()[places] if len(segments) else np.full(len(leads), None, dtype=object)
        words = np.where((places >= 0) & pd.notna(words), words, f"{name}: unknown")
        grouped = leads[values].groupby(words)
        rows.append(grouped.sum().assign(leads=grouped.size()).rename_axis("segment").reset_index())
    return pd.concat(rows, ignore_index=True).assign(seal=entry.digest)[list(COLUMNS)]


def all_sums(
    entries: Sequence[Entry], kept: pd.DataFrame | None, grids: Grids, segments: Callable[[], pd.DataFrame]
) -> pd.DataFrame:
    """Sum the expected wins of every night; those of nights that are kept are not worked out again.

    Parameters
    ----------
    entries : sequence of Entry
        The oldest first.
    kept : DataFrame, optional
        What this function gave before.
    grids : callable
    segments : callable
        Gives the segments, if any night is new.

    Returns
    -------
    DataFrame
        `COLUMNS`, by night; without those whose margins nobody can read any more.
    """
    known = set() if kept is None else set(kept["seal"])
    new = [entry for entry in entries if entry.digest not in known]
    words = segments() if new else pd.DataFrame()
    parts = [] if kept is None else [kept[kept["seal"].isin([entry.digest for entry in entries])]]
    for entry in new:
        if (grid := grids(entry, str(entry.seal["model_version"]))) is not None:
            parts.append(night_sums(entry, grid, words))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    order = {entry.digest: place for place, entry in enumerate(entries)}
    together = pd.concat(parts, ignore_index=True)
    return together.sort_values("seal", key=lambda seals: seals.map(order), kind="stable", ignore_index=True)


def made_at(entry: Entry) -> datetime:
    """When a night's forecast was made: UTC, without a zone."""
    return to_instant(str(entry.seal["as_of"]).replace("Z", "+00:00"))


class Calendar:
    """The days of a series of nights: from the first forecast to the date that is looked from.

    Parameters
    ----------
    entries : sequence of Entry
        The oldest first.
    until : datetime
        UTC, without a zone; later than the last forecast, or the same.
    timezone : str
    """

    def __init__(self, entries: Sequence[Entry], until: datetime, timezone: str) -> None:
        self.instants = [made_at(entry) for entry in entries]
        self.dates = [local_date(instant, timezone) for instant in self.instants]
        self.first = self.dates[0]
        self.timezone = timezone
        self.count = (local_date(until, timezone) - self.first).days

    def date_of(self, day: int) -> date:
        """Give the date of a day."""
        return date.fromordinal(self.first.toordinal() + day)

    def days(self, instants: pd.Series) -> np.ndarray:
        """Give the day of each instant (naive UTC); before the first forecast it is negative."""
        local = instants.dt.tz_localize("UTC").dt.tz_convert(self.timezone).dt.tz_localize(None)
        # what is dated to a day's end, or to the instant of the next forecast, is that day's
        return np.asarray(((local - pd.Timedelta("1us")).dt.normalize() - pd.Timestamp(self.first)).dt.days)

    def starts(self) -> list[int]:
        """Give the first day, and that of each month."""
        return [day for day in range(self.count) if day == 0 or self.date_of(day).day == 1]

    def forecast_days(self) -> np.ndarray:
        """Say of each day whether a forecast was in force: the last one was made at most `SPANS_DAYS` before."""
        found = np.zeros(self.count, dtype=bool)
        for made in self.dates:
            day = (made - self.first).days
            found[day : day + SPANS_DAYS[-1]] = True
        return found

    def spread(self, sums: pd.DataFrame, entries: Sequence[Entry]) -> Mapping[str, np.ndarray]:
        """Spread each night's sums over the days until the next one: by segment, an array of shape (days,)."""
        found: dict[str, np.ndarray] = {}
        places = {entry.digest: place for place, entry in enumerate(entries)}
        columns = [f"wins_{days}d" for days in SPANS_DAYS]
        for seal, segment, *wins in sums[["seal", "segment", *columns]].itertuples(index=False):
            place = places[seal]
            begin = (self.dates[place] - self.first).days
            following = (self.dates[place + 1] - self.first).days if place + 1 < len(self.dates) else self.count
            gap = min(following - begin, SPANS_DAYS[-1], self.count - begin)
            if gap < 1:
                continue
            cumulative = np.interp(np.arange(gap + 1), (0, *SPANS_DAYS), (0.0, *wins))
            found.setdefault(segment, np.zeros(self.count))[begin : begin + gap] += np.diff(cumulative)
        return found


def archived_grids(load: Callable[[str], Any]) -> Grids:
    """Give what a night's margins are margins of: as its seal says, else (nights archived before) as the model does.

    Parameters
    ----------
    load : callable
        Gives a model by its version.

    Returns
    -------
    callable
        Takes the entry and the version; gives None where neither says so.
    """
    found: dict[str, TimeGrid | None] = {}

    def grid(entry: Entry, version: str) -> TimeGrid | None:
        if written := entry.seal.get("grids", {}).get(version):
            return TimeGrid.from_dict(written)
        if version not in found:
            try:
                found[version] = load(version).forecaster.incidence_.grid_
            except UserError:  # a version that is gone, or was made by other code
                found[version] = None
        return found[version]

    return grid
