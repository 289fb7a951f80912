"""Everything that one lead's page shows beside its row of the ranking, read from the files that scoring wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.common import formatting
from pipeline.reporting.ranked_leads import ATTRIBUTIONS, Ranking

Point = tuple[float, float]
OF_THE_LEAD_ALONE = (
    "lead_id", "next_step", "content_", "money_", "points_", "previous_", "change", "topics", "touches", "would_take",
)  # fmt: skip
"""Beginnings of the columns of insights that say nothing of other leads."""


class LeadRows:
    """A Parquet file with rows of leads, of which one lead's are read without reading the others.

    Parameters
    ----------
    path : Path
        Where it should be; an absent file has no rows.
    """

    def __init__(self, path: Path):
        self.table: pq.ParquetFile | None = pq.ParquetFile(path) if path.exists() else None
        self.groups: list[tuple[str, str]] = []
        self._last: tuple[int, pa.Table] | None = None
        if self.table is not None:
            place = self.table.schema_arrow.get_field_index("lead_id")
            for number in range(self.table.num_row_groups):
                statistics = self.table.metadata.row_group(number).column(place).statistics
                self.groups.append(
                    (statistics.min, statistics.max) if statistics and statistics.has_min_max else ("", "\U0010ffff")
                )

    def of(self, lead_id: str, place: int | None = None) -> list[dict[str, Any]]:
        """Read the rows of a lead.

        Parameters
        ----------
        lead_id : str
        place : int, optional
            Where its one row stands, in a file in the order of the ranking: looked at first.
        """
        if self.table is None:
            return []
        numbers = [number for number, (low, high) in enumerate(self.groups) if low <= lead_id <= high]
        if place is not None:
            likely, start = None, 0
            for number in range(self.table.num_row_groups):
                start += self.table.metadata.row_group(number).num_rows
                if place < start:
                    likely = number
                    break
            if likely in numbers:
                rows = self._in(likely, lead_id)
                if rows:
                    return rows
        return [row for number in numbers for row in self._in(number, lead_id)]

    def _in(self, number: int, lead_id: str) -> list[dict[str, Any]]:
        assert self.table is not None
        last = self._last  # leads are mostly asked for in their order
        group = last[1] if last and last[0] == number else self.table.read_row_group(number, use_threads=False)
        self._last = number, group
        return group.filter(pc.equal(group["lead_id"], pa.scalar(lead_id, group["lead_id"].type))).to_pylist()


class Details:
    """The files beside the ranking, opened once; whichever of them is absent tells nothing.

    Parameters
    ----------
    folder : Path
        Where ``leadrev score`` wrote.
    """

    def __init__(self, folder: Path):
        self.attributions = {unit: LeadRows(folder / name) for unit, name in ATTRIBUTIONS.items()}
        self.timeline = LeadRows(folder / "timeline.parquet")
        self.insights = LeadRows(folder / "insights.parquet")

    def themes(self, ranking: Ranking, lead: Mapping[str, Any]) -> dict[str, float]:
        """Sum a lead's attributions over each theme, in money, or in points where there is none.

        Returns
        -------
        dict of str to float
            Empty where the lead has no attributions. With the typical lead's figure they add up to the forecast.
        """
        unit = "points" if lead["revenue"] is None else "money"
        place = ranking.file_place(lead["lead_id"])
        rows = self.attributions[unit].of(lead["lead_id"], place) if ranking.themes else []
        sums: dict[str, float] = {}
        for name, value in (rows[0] if rows else {}).items():
            if name not in ("lead_id", f"base_{unit}"):
                theme = ranking.themes.get(name, "other")
                sums[theme] = sums.get(theme, 0.0) + float(value)
        return sums

    def days(self, ranking: Ranking, lead: Mapping[str, Any]) -> list[Day]:
        """Group what happened to a lead by the company's days, the newest first."""
        found: dict[date, Day] = {}
        for row in reversed(self.timeline.of(lead["lead_id"])):
            at = formatting.local_date(row["occurred_at"], ranking.timezone)
            moved = row["moved_points" if lead["revenue"] is None else "moved_money"]
            day = found.setdefault(at, Day(at, [], None))
            day.happened.append(
                Happening(row["occurred_at"], row["kind"], row["direction"], row["channel"], row["topic"])
            )
            if moved is not None and formatting.known(moved):
                found[at] = Day(at, day.happened, moved)
        return list(found.values())

    def insight(self, ranking: Ranking, lead: Mapping[str, Any]) -> dict[str, Any]:
        """Read what else was found out about a lead; lists in it are read from their JSON.

        One who sees only own leads is told nothing of how others were won.
        """
        rows = self.insights.of(lead["lead_id"], ranking.file_place(lead["lead_id"]))
        details = {name: _parsed(value) for name, value in (rows[0] if rows else {}).items()}
        if ranking.owner_id is not None:
            details = {name: value for name, value in details.items() if name.startswith(OF_THE_LEAD_ALONE)}
            if details.get("touches"):
                details["touches"] = details["touches"].partition(";")[0]  # then comes what winning took
        return details


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("[", "{")):
        return json.loads(value)
    return None if isinstance(value, float) and not formatting.known(value) else value


@dataclass(frozen=True)
class Happening:
    """One thing that happened: when (UTC), what, from whom to whom, over what, about what."""

    occurred_at: datetime
    kind: str
    direction: str | None
    channel: str | None
    topic: str | None


@dataclass(frozen=True)
class Day:
    """What happened on one of the company's days, newest first, and by how much it moved the forecast."""

    day: date
    happened: list[Happening]
    moved: float | None


def curve(ranking: Ranking, lead: Mapping[str, Any]) -> list[Point]:
    """Collect what the scores say of the win probability over time: exact points of one curve that never falls.

    The horizons, the quarter's end, and the days by which a tenth, half and nine tenths of the final chance are used
    up all lie on it, so that it cannot disagree with any figure of the lead.

    Returns
    -------
    list of (float, float)
        Days from the date of the scores, and the win probability by then; starts at (0, 0).
    """
    points = {0.0: 0.0}
    for days in ranking.horizons_days:
        points[float(days)] = lead[f"p_win_{days}d"]
    ends = (ranking.quarter_ends[0] - ranking.as_of) / timedelta(days=1)
    points.setdefault(ends, lead["p_win_this_quarter"])
    for name, share in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
        days, ever = lead[f"days_to_win_{name}"], lead["p_win_ever"]
        if days is not None and ever is not None:
            points.setdefault(float(days), share * ever)
    known = sorted((days, p) for days, p in points.items() if p is not None)
    heights = np.maximum.accumulate([p for _, p in known])  # rounding of the quantiles may differ in the last digits
    return [(days, float(p)) for (days, _), p in zip(known, heights, strict=True)]
