"""Nights expect what their margins say, day by day, whatever nights are missing; wins count once, when known."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from models.hazards import TimeGrid, cumulative_incidence
from pipeline.archive.forecasts import Forecasts
from pipeline.operations.expected_wins import ALL, Calendar, all_sums, archived_grids
from pipeline.operations.observed_wins import was_forecast

GRID = TimeGrid([0, 3, 20, 90], [0, 1, 1], [[0.01, 0.02, 0.03], [0.05, 0.01, 0.01]])
NIGHTS = (date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 6))
SEGMENTS = pd.DataFrame({"Source": ["Source: web", "Source: fair"]}, index=["a", "b"])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    forecasts = Forecasts(tmp_path_factory.mktemp("archive"))
    rng = np.random.default_rng(0)
    for night in NIGHTS:
        columns = {f"{name}_{piece}": rng.normal(size=3) for name in ("won", "lost", "amount") for piece in (1, 2)}
        margins = pa.table({"lead_id": ["a", "b", "c"], "episode": [1, 1, 1], **columns})
        facts = {"as_of": f"{night}T00:00:00Z", "model_version": "1", "grids": {"1": GRID.to_dict()}}
        forecasts.append(night, {"margins": margins}, facts)
    return forecasts.nights()


def no_model(version):
    raise AssertionError("the seal says what margins mean")


def test_sums_are_those_of_the_margins_and_are_kept(archive):
    sums = all_sums(archive, None, archived_grids(no_model), lambda: SEGMENTS)
    frame = pd.read_parquet(archive[0].folder / "margins.parquet")
    margins = np.stack([frame[[f"{name}_1", f"{name}_2"]].to_numpy() for name in ("won", "lost")], axis=1)
    chances = cumulative_incidence(margins, GRID, [1, 7, 30])[:, 1].sum(axis=0)
    found = sums[(sums.seal == archive[0].digest) & (sums.segment == ALL)]
    assert found[["wins_1d", "wins_7d", "wins_30d"]].to_numpy()[0] == pytest.approx(chances)
    parts = sums[(sums.seal == archive[0].digest) & (sums.segment != ALL)]
    assert set(parts.segment) == {"Source: web", "Source: fair", "Source: unknown"}
    assert parts.wins_1d.sum() == pytest.approx(chances[0])

    def nothing(entry, version):
        raise AssertionError("kept nights are not worked out again")

    pd.testing.assert_frame_equal(all_sums(archive, sums, nothing, lambda: SEGMENTS), sums)
    later = all_sums(archive, sums[sums.seal != archive[2].digest], archived_grids(no_model), lambda: SEGMENTS)
    pd.testing.assert_frame_equal(later, sums)


def test_a_night_counts_until_the_next_one(archive):
    sums = all_sums(archive, None, archived_grids(no_model), lambda: SEGMENTS)
    calendar = Calendar(archive, datetime(2026, 3, 7), "UTC")
    daily = calendar.spread(sums, archive)[ALL]
    of_all = sums[sums.segment == ALL].set_index("seal").loc[[entry.digest for entry in archive]]
    assert daily[[0, 1, 5]] == pytest.approx(of_all.wins_1d.to_numpy())
    assert daily[1:5].sum() == pytest.approx(np.interp(4, (1, 7), of_all[["wins_1d", "wins_7d"]].iloc[1]))
    assert len(daily) == 6


def test_a_win_counts_if_a_forecast_saw_its_lead_open():
    start = datetime(2026, 3, 1)
    nights = [start + timedelta(days=day) for day in range(5)]
    rows = [  # created, won, known, in days since the first night
        (-5, 1.5, 1.6, True), (-5, 1.5, 4.5, True), (-5, -1, 2.5, False), (1.2, 1.5, 1.6, False), (1.2, 1.5, 2.5, True),
    ]  # fmt: skip
    wins = pd.DataFrame(
        [[start + timedelta(days=day) for day in row[:3]] for row in rows],
        columns=["created_at", "ended_at", "end_known_at"],
    )
    assert was_forecast(wins, nights).tolist() == [row[3] for row in rows]
