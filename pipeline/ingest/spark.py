"""Features on Spark: DuckDB reads and cleans the sources, Spark gets the clean tables in bulk and builds the rest.

Everything after that is the same Ibis definitions; nothing here knows what a feature is.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis

from features.schema import SCHEMAS, Tables
from pipeline.common.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",  # our times are UTC without a zone
    "spark.sql.ansi.enabled": "false",  # a division by zero is unknown, as in DuckDB
}


def session() -> SparkSession:
    """Give the running Spark session, or start one as Spark's own configuration says.

    Raises
    ------
    UserError
        PySpark or Java is missing.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise UserError(
            "engine: found 'pyspark', but PySpark is not installed; pip install 'leadrev[spark]', or set engine: duckdb"
        ) from None
    if SparkSession.getActiveSession() is None and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise UserError(
            "engine: found 'pyspark', but there is no Java: install Java 17 or newer (or set JAVA_HOME), "
            "or set engine: duckdb"
        )
    spark = SparkSession.builder.appName("leadrev").getOrCreate()
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    return spark


def tables_on_spark(tables: Tables, folder: Path) -> Tables:
    """Hand a company's clean tables over to Spark.

    They go as Parquet files, in microseconds and in bulk: no row passes through Python.

    Parameters
    ----------
    tables : Tables
        In DuckDB.
    folder : Path
        For the files; Spark's workers must see it too. It has to stay as long as the tables are used.

    Returns
    -------
    Tables
        The same rows and types, on Spark.
    """
    backend = _backend(session())
    handed: dict[str, Any] = {}
    for name in SCHEMAS:
        here = getattr(tables, name)
        path = folder / f"{name}.parquet"
        here.to_parquet(path)
        handed[name] = backend.read_parquet(str(path), table_name=f"leadrev_{name}_{folder.name}").cast(here.schema())
    return Tables(**handed, present=tables.present, attributes=tables.attributes)


def _backend(spark: SparkSession) -> Any:
    """Ibis on Spark, where what is kept is worked out and cut off from how it came to be.

    Spark plans a cached table's whole history again wherever the table is used; ours are many levels deep.
    """
    backend = ibis.pyspark.connect(spark)

    def create_cached_table(name: str, expression: Any) -> Any:
        rows = spark.sql(backend.compile(expression)).localCheckpoint(eager=True)
        rows.createOrReplaceTempView(name)
        backend._cached_dataframes[name] = rows
        return backend.table(name)

    backend._create_cached_table = create_cached_table
    return backend
