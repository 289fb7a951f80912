# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What the tables hold: their columns, and what kind of values stand in each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb

from pipeline.common.errors import UserError
from pipeline.common.sql import literal, quoted
from pipeline.config.params import Source
from pipeline.ingest.parsing import clean_sql
from pipeline.ingest.sources import ROW, read_source
from pipeline.onboarding.places import Place

SAMPLE_ROWS = 3_000
_SHAPES = (
    # Each without nested repetition: a long text costs no more than its length.
    ("date", re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})")),
    (
        "time",
        re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})),?[ T\u202f]\d{1,2}:.{2,24}"),
    ),
    ("epoch", re.compile(r"1[0-9]{12}|1[0-9]{9}")),
    ("email", re.compile(r"[^@\s]{1,64}@[^@\s]{1,250}\.[^@\s.]{2,20}")),
    ("flag", re.compile(r"(?i:true|false|t|f|yes|no|y|n|0|1)")),
    ("number", re.compile(r"[-+]?(\D{0,4})\d[\d., '\u00a0\u202f]{0,24}(\D{0,4})")),
)


@dataclass(frozen=True)
class ColumnProfile:
    """A column of a table.

    Parameters
    ----------
    name, type_ : str
        As the source has them.
    shape : str
        date, time, epoch, email, flag, number, word (few values, many times), id (each value once), text or empty.
    filled_share, distinct_share : float
        Of the sampled rows: with a value; of those with one, different values.
    """

    name: str
    type_: str
    shape: str
    filled_share: float
    distinct_share: float


@dataclass
class TableProfile:
    """A table as it was found, in DuckDB.

    Parameters
    ----------
    place : Place
    relation : str
        Its name in the connection.
    columns : dict of str to str
        Names and DuckDB types.
    row_count : int
    """

    connection: duckdb.DuckDBPyConnection = field(repr=False)
    place: Place
    relation: str
    columns: dict[str, str]
    row_count: int

    @property
    def label(self) -> str:
        """What a person calls it: the file or table, without the way to it."""
        return self.place.written.rpartition("/")[2] if "*" not in self.place.written else self.place.written

    def text(self, column: str) -> str:
        """Give the SQL of a column's text, null where it stands for nothing."""
        return clean_sql(column, self.columns[column])

    def query(self, sql: str) -> list[tuple]:
        """Ask something of the table, which stands as ``{}`` in the SQL."""
        return self.connection.execute(sql.replace("{}", quoted(self.relation))).fetchall()

    def words(self, column: str, limit: int = 60) -> dict[str, int]:
        """Values of a column and how many rows have each, the most frequent first."""
        text = self.text(column)
        found = self.query(
            f"SELECT {text} AS word, count(*) AS n FROM {{}} WHERE {text} IS NOT NULL "
            f"GROUP BY word ORDER BY n DESC, word LIMIT {limit}"
        )
        return {str(word): n for word, n in found}

    @cached_property
    def profiles(self) -> dict[str, ColumnProfile]:
        """Look at every column, on a sample spread over the table."""
        step = max(1, self.row_count // SAMPLE_ROWS)
        texts = ", ".join(f"CAST({self.text(name)} AS VARCHAR) AS {quoted(name)}" for name in self.columns)
        frame = self.connection.execute(
            f"SELECT {texts} FROM {quoted(self.relation)} WHERE {ROW} % {step} = 0 LIMIT {SAMPLE_ROWS + 1000}"
        ).df()
        found = {}
        for name, type_ in self.columns.items():
            values = frame[name].dropna()
            share = len(values) / max(1, len(frame))
            distinct = values.nunique() / max(1, len(values))
            found[name] = ColumnProfile(name, type_, _shape(type_, list(values), distinct), share, distinct)
        return found


def _shape(type_: str, values: list[str], distinct: float) -> str:
    if not values:
        return "empty"
    if type_ == "DATE":
        return "date"
    if type_.startswith("TIMESTAMP"):
        return "time"
    if type_ == "BOOLEAN":
        return "flag"
    some = values[:400]
    for shape, pattern in _SHAPES:
        if sum(pattern.fullmatch(value[:300]) is not None for value in some) >= 0.95 * len(some):
            return "id" if shape == "number" and distinct > 0.98 and not _has_fractions(some) else shape
    if distinct > 0.98:
        return "text" if max(map(len, some)) > 60 or any(" " in value for value in some) else "id"
    return "word" if len(set(values)) <= max(60, 0.05 * len(values)) else "text"


def _has_fractions(values: list[str]) -> bool:
    return any("." in value or "," in value for value in values)


def profile_place(
    connection: duckdb.DuckDBPyConnection, place: Place, number: int, folder: Path, scratch: Path
) -> TableProfile:
    """Read a table into DuckDB, as loading will, and describe it.

    Raises
    ------
    UserError
        It cannot be read, or is empty.
    """
    key = f"data.sources.init_{number}"
    try:
        raw = read_source(connection, "leads", key, Source.model_validate({"from": place.written}), folder, scratch)
    except UserError as error:
        raise UserError(str(error).removeprefix(f"{key}.from: ").removeprefix(f"{key}: ")) from None
    return TableProfile(connection, place, raw.relation, raw.columns, raw.row_count)


def joined_share(
    one: TableProfile, column: str, other: TableProfile, key: str, *, short: bool = False, where: str = "true"
) -> float:
    """Share of a column's different values that stand in another table's column.

    Parameters
    ----------
    one, column
        Whose values are looked for.
    other, key
        Where.
    short : bool
        Compare the first 15 characters only, as Salesforce writes ids in 15 or 18.
    where : str
        SQL over `one`: which of its rows count.
    """

    def shortened(text: str) -> str:
        return f"CASE WHEN length({text}) = 18 THEN left({text}, 15) ELSE {text} END" if short else text

    ours, theirs = shortened(one.text(column)), shortened(other.text(key))
    found = one.connection.execute(
        f"SELECT count(*), count(*) FILTER (value IN (SELECT {theirs} FROM {quoted(other.relation)})) "
        f"FROM (SELECT DISTINCT {ours} AS value FROM {quoted(one.relation)} WHERE ({where}) AND {ours} IS NOT NULL)"
    ).fetchall()[0]
    return found[1] / found[0] if found[0] else 0.0


def is_true_sql(profile: TableProfile, column: str) -> str:
    """Give the SQL of whether a flag is set, however it is written."""
    words = ", ".join(map(literal, ("true", "t", "1", "yes", "y", "x", "wahr", "ja", "sim", "oui", "si", "sí", "vero")))
    return f"(lower({profile.text(column)}) IN ({words}))"
