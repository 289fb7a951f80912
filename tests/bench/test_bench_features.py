"""The benchmark of features: what it times beside Polars are columns of the matrix, and the same figures in both."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import ibis
import numpy as np
import pytest
from bench import ablation
from bench import features as bench
from random_company import random_tables

from features import catalogue, matrix, snapshots
from features.schema import Tables, materialise
from features.snapshot_context import KEYS
from features.spec import FeatureSpec

AS_OF = datetime(2023, 11, 10)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, ibis.Table, FeatureSpec, Path, Path]:
    folder = tmp_path_factory.mktemp("core")
    tables = random_tables(7, leads_count=300)
    grid = materialise(ibis.union(*(snapshots.open_leads(tables, AS_OF - timedelta(days=back)) for back in (0, 60))))
    bench.write_inputs(tables, grid, folder / "grid.parquet", folder / "events.parquet")
    spec = FeatureSpec.from_tables(tables, AS_OF, timezone="Europe/Lisbon")
    return tables, grid, spec, folder / "grid.parquet", folder / "events.parquet"


def test_the_core_is_columns_of_the_matrix_with_the_same_values(given) -> None:
    tables, grid, spec, dates, events = given
    names = bench.core(spec)
    assert set(names) <= {entry.name for entry in catalogue.entries(spec)}
    assert {f"touch_{kind}_{spec.kind_windows_days[-1]}d_count" for kind in spec.kind_names().values()} <= set(names)
    core = bench.core_of(dates, events, spec, ibis.duckdb.connect()).to_pandas().sort_values([*KEYS])
    whole = matrix.feature_matrix(tables, grid, spec).to_pandas().sort_values([*KEYS])
    assert list(core.columns) == [*KEYS, *names]
    assert len(core) == len(whole) > 150
    for name in names:
        np.testing.assert_array_equal(core[name], whole[name], err_msg=name)


def test_polars_by_hand_gives_the_same(given) -> None:
    pytest.importorskip("polars", reason="Polars is not installed")
    _, _, spec, dates, events = given
    names = bench.core(spec)
    ours = bench.core_of(dates, events, spec, ibis.duckdb.connect()).to_pandas().sort_values([*KEYS])
    theirs = bench.by_hand(dates, events, spec).collect().to_pandas().sort_values([*KEYS])
    assert sorted(theirs.columns) == sorted([*KEYS, *names])
    for name in names:
        np.testing.assert_allclose(theirs[name].astype(float), ours[name], rtol=1e-9, atol=1e-4, err_msg=name)


def test_the_ablation_knows_every_group_and_times_every_theme(given) -> None:
    tables, _, spec, *_ = given
    names = [entry.name for entry in catalogue.entries(spec)]
    groups = {group: [name for name in names if inside(name)] for group, inside in ablation._groups(spec)}
    assert groups.pop("everything") == []
    assert {"conversion ratios", "topics", "each kind's windows", *catalogue.THEMES} <= set(groups)
    assert all(groups.values())
    assert set(ablation._seconds(SimpleNamespace(tables=tables), spec, AS_OF)) == set(catalogue.THEMES)
