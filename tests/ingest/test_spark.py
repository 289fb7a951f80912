"""The same matrix on Spark as in DuckDB: every column, of training snapshots and of open leads."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from random_company import random_tables

from features import labels, lifecycle, matrix, snapshots
from features.materialise import to_frame
from features.schema import Tables, materialise
from features.spec import FeatureSpec
from pipeline.common.errors import UserError
from pipeline.ingest import spark

AS_OF = datetime(2024, 1, 20)
needs_spark = pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None or not shutil.which("java"), reason="PySpark or Java is not installed"
)


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tables]]:
    """One company twice. The session is made for little data: compiling queries would take longer than running them."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
    for name, value in {
        "ui.enabled": "false", "ui.showConsoleProgress": "false", "log.level": "ERROR", "sql.shuffle.partitions": "1",
        "sql.codegen.wholeStage": "false", "sql.codegen.factoryMode": "NO_CODEGEN", "sql.adaptive.enabled": "false",
        "driver.host": "127.0.0.1", "driver.bindAddress": "127.0.0.1",
    }.items():  # fmt: skip
        builder = builder.config(f"spark.{name}", value)
    session = builder.getOrCreate()
    here = random_tables(1, leads_count=40)
    yield {"duckdb": here, "pyspark": spark.tables_on_spark(here, tmp_path_factory.mktemp("handed"))}
    session.stop()


@needs_spark
def test_every_column_on_spark_equals_its_column_in_duckdb(companies: dict[str, Tables]) -> None:
    specs = {name: FeatureSpec.from_tables(tables, AS_OF) for name, tables in companies.items()}
    assert specs["pyspark"] == specs["duckdb"]
    found: dict[str, list[pd.DataFrame]] = {}
    for name, tables in companies.items():
        drawn = materialise(snapshots.training_snapshots(tables, AS_OF, rows_limit=300, seed=3))
        grid = drawn.drop("weight")
        became = labels.labels(grid, lifecycle.outcomes(tables, AS_OF), AS_OF)
        opened = snapshots.open_leads(tables, AS_OF)
        # Open leads stand on a date of their own: one matrix holds both, as Spark takes long over every plan.
        both = materialise(grid.union(opened.select(grid.columns)))
        found[name] = [to_frame(table) for table in (drawn, became, matrix.feature_matrix(tables, both, specs[name]))]
    assert (found["duckdb"][-1].as_of == AS_OF).sum() > 10
    for there, here in zip(found["pyspark"], found["duckdb"], strict=True):
        assert len(here) > 10
        assert list(there.columns) == list(here.columns)
        for column in here:
            assert_same(there[column], here[column])


def assert_same(there: pd.Series, here: pd.Series) -> None:
    """Whole numbers, words and dates equal; other numbers to nine digits."""
    assert there.dtype == here.dtype, here.name
    if pd.api.types.is_float_dtype(here):
        np.testing.assert_allclose(there, here, rtol=1e-9, atol=0, err_msg=str(here.name))
        whole = here.dropna() % 1 == 0
        np.testing.assert_array_equal(there.dropna()[whole], here.dropna()[whole], err_msg=str(here.name))
    else:
        pd.testing.assert_series_equal(there, here)


def test_without_pyspark_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(UserError, match=r"engine: found 'pyspark', but PySpark is not installed.*engine: duckdb"):
        spark.tables_on_spark(random_tables(0, leads_count=3), tmp_path)


@needs_spark
def test_without_java_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pyspark.sql import SparkSession

    monkeypatch.setattr(SparkSession, "getActiveSession", staticmethod(lambda: None))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UserError, match=r"engine: found 'pyspark', but there is no Java.*engine: duckdb"):
        spark.tables_on_spark(random_tables(0, leads_count=3), tmp_path)
