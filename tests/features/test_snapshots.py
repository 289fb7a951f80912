from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import pytest
from random_company import random_tables

from features import lifecycle, snapshots

CUTOFF = datetime(2024, 1, 10)


@pytest.mark.parametrize("seed", range(3))
def test_training_sees_each_date_of_the_grid_as_scoring_would_have(seed: int) -> None:
    tables = random_tables(seed)
    grid = snapshots.training_snapshots(tables, CUTOFF, rows_limit=400).to_pandas()
    outcomes = lifecycle.standings(tables, CUTOFF).to_pandas()
    late = set(outcomes.lead_id[outcomes.closed_before_created])
    assert not grid.duplicated(["lead_id", "as_of"]).any()
    assert (grid.as_of < CUTOFF).all()
    for as_of in sorted(grid.as_of.unique())[::5]:
        opened = set(snapshots.open_leads(tables, pd.Timestamp(as_of).to_pydatetime()).lead_id.to_pandas()) - late
        assert set(grid.lead_id[grid.as_of == as_of]) == opened


@pytest.mark.parametrize("rows_limit", [100, 400, 2000, 10**6])
def test_the_grid_has_one_step_and_keeps_near_the_limit(rows_limit: int) -> None:
    tables = random_tables(3, leads_count=80)
    grid = snapshots.training_snapshots(tables, CUTOFF, rows_limit=rows_limit).to_pandas()
    steps = {(CUTOFF - as_of) / timedelta(days=1) for as_of in grid.as_of}
    step = min(steps)
    assert step == round(step)
    assert 1 <= step <= 28
    assert all(back % step == 0 for back in steps)
    assert len(grid) <= rows_limit * 1.5
    if 1 < step < 28:
        assert len(grid) >= rows_limit * 0.5


def test_past_the_monthly_grid_single_snapshots_are_drawn_and_the_same_ones_each_time() -> None:
    tables = random_tables(3, leads_count=80)
    every = snapshots.training_snapshots(tables, CUTOFF, rows_limit=10**6).to_pandas()
    assert (every.weight == 1).all()
    every = every.drop(columns="weight")
    draws = [snapshots.training_snapshots(tables, CUTOFF, rows_limit=100, seed=seed).to_pandas() for seed in (1, 1, 2)]
    first, again, other = (set(draw.drop(columns="weight").itertuples(index=False)) for draw in draws)
    monthly = every[[(CUTOFF - as_of).days % 28 == 0 for as_of in every.as_of]]
    assert first == again != other
    assert first < set(monthly.itertuples(index=False))


def test_drawn_snapshots_stand_for_all_of_them() -> None:
    tables = random_tables(3, leads_count=80)
    every = snapshots.training_snapshots(tables, CUTOFF, rows_limit=10**6).to_pandas()
    monthly = every[[(CUTOFF - as_of).days % 28 == 0 for as_of in every.as_of]]
    draws = [snapshots.training_snapshots(tables, CUTOFF, rows_limit=150, seed=seed).to_pandas() for seed in range(10)]
    assert sum(draw.weight.sum() for draw in draws) / len(draws) == pytest.approx(len(monthly), rel=0.1)
    assert all((draw.weight >= 1).all() for draw in draws)


def test_before_the_first_lead_there_is_nothing() -> None:
    tables = random_tables(0)
    early = datetime(2020, 1, 1)
    assert len(snapshots.training_snapshots(tables, early).to_pandas()) == 0
    assert len(snapshots.open_leads(tables, early).to_pandas()) == 0
