"""How leads move from stage to stage: counts, chances, days and revenue by cohort and segment.

Counts are facts and add up: entered = advanced + lost + unknown + there, in every cohort and segment. Chances are
Aalen–Johansen estimates with loss as the competing end and leads that are still there censored, so that young leads
count as young and not as failures. Intervals hold nine times of ten, by a bootstrap over accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.aalen_johansen import CENSORED, COMPETING, LEFT, GroupCurves, group_curves, percentiles, poisson_weights
from pipeline.funnel.journeys import NOT_REACHED, Journeys

HORIZONS_DAYS = (30.0, 90.0, 365.0)
REPLICATES, LEAST_REPLICATES = 200, 50
MOST_DRAWS = 20_000_000
"""Past so many leads times replicates there are fewer replicates: with so many leads intervals are narrow anyway."""
LEVEL = 0.9
VALUES_SHOWN = 30
"""Segments with a row of their own; the rest are shown together."""
OTHERS = "all others"
ALL = "all"
MICROSECONDS_PER_DAY = 86_400_000_000

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Figures:
    """Journeys as numbers: what every table of the funnel is worked out from.

    Parameters
    ----------
    ways : Journeys
    expected : ndarray of shape (n_episodes,) or None
        Expected revenue of the leads that are open, by the forecast; None where there is none.
    timezone : str
        Days are those of the company's wall clock.
    seed : int
        Of the bootstrap.
    """

    ways: Journeys
    expected: Floats | None
    timezone: str
    seed: int = 0

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """How often each account counts in each replicate."""
        clusters = int(self.ways.frame["cluster"].max()) + 1 if len(self.ways) else 1
        replicates = max(LEAST_REPLICATES, min(REPLICATES, MOST_DRAWS // max(len(self.ways), 1)))
        return poisson_weights(clusters, replicates, self.seed)

    @cached_property
    def entered(self) -> Integers:
        """When each stage was entered, on the wall clock."""
        return np.column_stack([self._local(column) for column in self.ways.entered.T])

    @cached_property
    def started(self) -> Integers:
        """When each episode began, on the wall clock."""
        return self._local(self.ways.started)

    @cached_property
    def ended(self) -> Integers:
        """When each episode ended, or the date itself, on the wall clock."""
        return self._local(self.ways.ended)

    @cached_property
    def is_in(self) -> Flags:
        """Which stages each episode entered, of shape (n_episodes, n_stages)."""
        return self.ways.entered != NOT_REACHED

    @cached_property
    def won_amount(self) -> Floats:
        """Revenue won with each episode; 0 where none was, or nobody wrote it down."""
        return np.nan_to_num(self.ways.frame["amount"].to_numpy(float))

    @property
    def has_amounts(self) -> bool:
        """Whether any won lead has an amount."""
        return bool(self.ways.frame["amount"].notna().any())

    def _local(self, instants: Integers) -> Integers:
        there = instants != NOT_REACHED
        local = np.full(len(instants), NOT_REACHED)
        moments = pd.DatetimeIndex(instants[there].view("datetime64[us]")).tz_localize("UTC")
        local[there] = moments.tz_convert(self.timezone).tz_localize(None).as_unit("us").asi8
        return local

    def moves(self, start: int, end: int, among: Flags) -> tuple[Integers, Floats, Integers]:
        """Give the leads among some that were seen to enter a stage, for how long, and whether they reached another.

        Returns
        -------
        rows : ndarray of shape (n,)
            Episodes; those that skipped the stage, or were closed before they were created, tell nothing of its days.
        duration : ndarray of shape (n,)
            Days from entering the stage to reaching the other, to the end, or to the date.
        event : ndarray of shape (n,)
            `LEFT` (reached it), `COMPETING` (lost before) or `CENSORED`.
        """
        ways = self.ways
        seen = among & self.is_in[:, start] & ~ways.skipped[:, start]
        seen &= ~ways.frame["closed_before_created"].to_numpy(bool)
        rows = np.flatnonzero(seen)
        reached = self.is_in[rows, end]
        outcome = ways.frame["outcome"].to_numpy()[rows]
        is_lost = ~reached & ((outcome == "lost") | (outcome == "joined"))
        stop = np.where(reached, self.entered[rows, end], self.ended[rows])
        duration = np.maximum(stop - self.entered[rows, start], 0) / MICROSECONDS_PER_DAY
        return rows, duration, np.select([reached, is_lost], [LEFT, COMPETING], CENSORED)

    def curves(self, start: int, end: int, among: Flags, group: Integers, groups_count: int) -> GroupCurves:
        """Estimate every group's chances to get from one stage to another."""
        rows, duration, event = self.moves(start, end, among)
        cluster = self.ways.frame["cluster"].to_numpy()[rows]
        return group_curves(duration, event, group[rows], groups_count, cluster, self.weights, HORIZONS_DAYS, LEVEL)

    def means(self, values: Floats, rows: Integers, group: Integers, groups_count: int) -> tuple[Floats, Floats]:
        """Give each group's mean of some values, of shape (n_groups,), and in every replicate (n_groups, B)."""
        counts = np.bincount(group[rows], minlength=groups_count).astype(float)
        sums = np.bincount(group[rows], weights=values[rows], minlength=groups_count)
        cluster = self.ways.frame["cluster"].to_numpy()[rows]
        shape = (groups_count, len(self.weights))
        paid = values[rows] != 0
        money, ones = values[rows][paid].astype(np.float32), np.ones(len(rows), dtype=np.float32)
        of_money = csr_matrix((money, (group[rows][paid], cluster[paid])), shape=shape) @ self.weights
        of_leads = csr_matrix((ones, (group[rows], cluster)), shape=shape) @ self.weights
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums / counts, (of_money / of_leads).astype(float)


def figure(value: float, low: float, high: float) -> dict[str, float] | None:
    """Give a figure with its interval as files hold it; None where it is unknown."""
    if not np.isfinite(value):
        return None
    return {"value": float(value), "low": float(low), "high": float(high)}


def segment_codes(values: pd.Series) -> tuple[Integers, list[str]]:
    """Give each value of a segment a number, the most frequent first; those past `VALUES_SHOWN` are one."""
    counts = values.astype(str).value_counts()
    order = sorted(counts.index, key=lambda value: (-counts[value], value))
    shown = order if len(order) <= VALUES_SHOWN else order[: VALUES_SHOWN - 1]
    places = {value: place for place, value in enumerate(shown)}
    codes = values.astype(str).map(places)
    names = list(shown)
    if len(order) > len(shown):
        codes = codes.fillna(len(shown))
        names.append(OTHERS)
    return codes.to_numpy(np.int64), names


def stage_rows(
    figures: Figures,
    among: Flags,
    cohort: tuple[Integers, Sequence[str]] | None,
    segment: tuple[str, Integers, Sequence[str]] | None,
) -> list[dict[str, Any]]:
    """Give the rows of the funnel: of all, of each cohort, of each segment, and of each segment in each cohort.

    Parameters
    ----------
    figures : Figures
    among : ndarray of shape (n_episodes,)
        The episodes that count.
    cohort : (codes, names), optional
        The cohort of each episode.
    segment : (by, codes, names), optional
        The segment of each episode.
    """
    zeros = np.zeros(len(figures.ways), dtype=np.int64)
    cohorts = (zeros, [ALL]) if cohort is None else cohort
    by, codes, names = ("", zeros, [ALL]) if segment is None else segment
    levels: list[tuple[Integers, list[tuple[str, Any]]]] = [(zeros, [(ALL, ALL)])]
    if cohort is not None:
        levels.append((cohorts[0], [(name, ALL) for name in cohorts[1]]))
    if segment is not None:
        of_segment = [{"by": by, "value": name} for name in names]
        levels.append((codes, [(ALL, said) for said in of_segment]))
        if cohort is not None:
            both = cohorts[0] * len(names) + codes
            levels.append((both, [(name, said) for name in cohorts[1] for said in of_segment]))
    rows: list[dict[str, Any]] = []
    for group, labels in levels:
        rows += _level_rows(figures, among, group, labels)
    return rows


def _level_rows(
    figures: Figures, among: Flags, group: Integers, labels: Sequence[tuple[Any, Any]]
) -> list[dict[str, Any]]:
    ways, many = figures.ways, len(labels)
    outcome = ways.frame["outcome"].to_numpy()
    found: list[list[dict[str, Any]]] = [[] for _ in labels]
    for place, name in enumerate(ways.stages.names):
        is_in = among & figures.is_in[:, place]
        is_last = place == len(ways.stages.names) - 1
        advanced = is_in & figures.is_in[:, place + 1] if not is_last else np.zeros(len(ways), dtype=bool)
        stays = is_in & ~advanced
        counted = {
            "entered": is_in,
            "advanced": advanced,
            "lost": stays & (outcome == "lost"),
            "unknown": stays & ((outcome == "unknown") | (outcome == "joined")),
            "joined": stays & (outcome == "joined"),
            "skipped": is_in & ways.skipped[:, place],
        }
        counts = {key: np.bincount(group[mask], minlength=many) for key, mask in counted.items()}
        counts["there"] = counts["entered"] - counts["advanced"] - counts["lost"] - counts["unknown"]
        curves = None if is_last else figures.curves(place, place + 1, among, group, many)
        money = {
            key: None if values is None else _per_lead(figures, values, np.flatnonzero(is_in), group, many)
            for key, values in (
                ("won", figures.won_amount if figures.has_amounts else None), ("expected", figures.expected),
            )
        }  # fmt: skip
        for index, (cohort, segment) in enumerate(labels):
            row: dict[str, Any] = {"cohort": cohort, "segment": segment, "stage": name}
            for key in ("entered", "advanced", "lost", "unknown", "there", "skipped", "joined"):
                row[key] = int(counts[key][index])
            row["chance"] = {
                f"{horizon:.0f}d": None if curves is None else _at(curves.chances[horizon], index)
                for horizon in HORIZONS_DAYS
            } | {"ever": None if curves is None else _at(curves.ever, index)}
            row["median_days"] = None if curves is None else _at(curves.median, index)
            for key, told in money.items():
                row[f"revenue_{key}"] = None if told is None else figure(*(part[index] for part in told[:3]))
                row[f"revenue_{key}_total"] = None if told is None else float(told[3][index])
            found[index].append(row)
    return [row for rows in found if rows[0]["entered"] for row in rows]


def _at(interval: Any, index: int) -> dict[str, float] | None:
    return figure(interval.value[index], interval.low[index], interval.high[index])


def _per_lead(
    figures: Figures, values: Floats, rows: Integers, group: Integers, many: int
) -> tuple[Floats, Floats, Floats, Floats]:
    mean, boot = figures.means(values, rows, group, many)
    low, high = percentiles(boot, LEVEL)
    totals = np.bincount(group[rows], weights=values[rows], minlength=many).astype(float)
    return mean, np.fmin(low, mean).astype(float), np.fmax(high, mean).astype(float), totals
