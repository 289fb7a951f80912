"""Every night's forecasts as they were made, for ever: scores, and the margins that they were made from.

``archive/forecasts/as_of=NIGHT/`` holds ``scores.parquet`` (the columns of the contract but for the reasons: their
words may be a person's), ``margins.parquet`` and one ``margins_VERSION.parquet`` for each challenger. Nothing in it is
personal but ids. Where a night was scored again, with other params or another model, ``as_of=NIGHT.r2`` says so: what
was said before stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.archive.chain import Entry
from pipeline.archive.nights import Nights

FOLDER, PREFIX = "forecasts", "as_of="
SCORES, MARGINS = "scores", "margins"
LEFT_OUT = ("reasons_positive", "reasons_negative", "currency")
ROWS_AT_ONCE = 100_000


class Forecasts(Nights):
    """The forecasts of a company.

    Parameters
    ----------
    archive : Path
        The company's archive.
    """

    def __init__(self, archive: Path) -> None:
        super().__init__(archive / FOLDER, PREFIX)

    def append(self, night: date, tables: Mapping[str, pa.Table], facts: Mapping[str, Any]) -> Entry:
        """Seal a night's forecasts.

        Parameters
        ----------
        night : date
        tables : mapping of str to table
            File names without their ending: `SCORES`, `MARGINS`, and those of challengers.
        facts : mapping
            What the seal says: ``as_of``, ``model_version``, ``state``, ``degraded``, ``grids`` (of each version, what
            its margins are margins of: `models.hazards.TimeGrid`) and where they came from.
        """
        name = self.free_name(night)
        folder = self.chain.begin(name)
        for table_name, table in tables.items():
            floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
            pq.write_table(
                table.drop_columns([column for column in LEFT_OUT if column in table.column_names]),
                folder / f"{table_name}.parquet",
                compression="zstd",
                row_group_size=ROWS_AT_ONCE,
                use_dictionary=[name for name in table.column_names if name not in floats],
                column_encoding=None if not floats else dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
            )
        return self.chain.seal(name, {"night": str(night), **facts})


def read_scores(entry: Entry) -> pa.Table:
    """Read the scores of a night."""
    return pq.read_table(entry.folder / f"{SCORES}.parquet")


def read_margins(entry: Entry, version: str | None = None) -> pa.Table:
    """Read the margins of a night: the champion's, or those of a challenger.

    Returns
    -------
    table
        ``lead_id, episode``, and for each piece of time, from 1, ``won_1 …``, ``lost_1 …`` and ``amount_1 …``.
    """
    return pq.read_table(entry.folder / f"{MARGINS}{f'_{version}' if version else ''}.parquet")
