"""The ranked list that people read: the last scores beside the leads' names, to be filtered, sorted and summed."""

from __future__ import annotations

import copy
import itertools
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common import formatting
from pipeline.common.company_size import SIZE_LIMITS, SIZES
from pipeline.common.dates import quarter_ends
from pipeline.common.errors import UserError
from pipeline.common.seals import SealError, check_seal, read_sealed_json
from pipeline.common.sql import literal
from pipeline.reporting.lead_filters import (
    FACETS,
    SORTS,
    SUMS,
    UNKNOWN,
    Filters,
    Totals,
    totals_from,
)

ATTRIBUTIONS = {"money": "attributions.parquet", "points": "attributions_points.parquet"}
REASONS = ("reasons_positive", "reasons_negative")
PLACES = {sort: f"place_{sort}" for sort in SORTS}
SHOWN = f"* EXCLUDE (searchable, called, file_place, {', '.join(PLACES.values())})"
PLACES_AT_ONCE = 1_000
MANIFEST_KEYS_OF_OWNERS = (
    "as_of", "model_version", "company", "currency", "primary_horizon_days", "horizons_days", "themes",
)  # fmt: skip
"""What an owner is told of the scores as a whole: everything else counts or sums leads, or names days of some."""
LISTS = (*REASONS, "data_quality_flags")
STEPS = ("next_step", "next_step_text", "content_id", "content_text")
"""What to do next, as ``insights.parquet`` says it."""
NO_THEME = "no reason made"
SEALED = ("scores.parquet", *ATTRIBUTIONS.values(), "timeline.parquet", "insights.parquet")
"""The files that are read here and for a lead's page: as the manifest says, or not at all."""
THEMES = pa.schema({"feature": pa.string(), "theme": pa.string()})
FIRST_FEATURE = """regexp_extract(reasons_positive, '"feature": ?"([^"]*)"', 1)"""  # the strongest reason's


class Ranking:
    """The scores of one run, joined with names, held in a compressed table in memory.

    Parameters
    ----------
    folder : Path
        Where ``leadrev score`` wrote.
    names : table
        As `pipeline.reporting.lead_names.lead_names` gives it.
    timezone : str
        The company's, for dates that people read.
    fiscal_year_start_month : int
        The month (1 to 12) in which the fiscal year starts.

    Attributes
    ----------
    totals : Totals
        Sums over all leads.
    has_money : bool
        Whether there are amounts.
    choices : dict of str to list of (str, int)
        For each facet that tells leads apart, its values and how many leads have each: sizes and grades in their
        order, anything else with the most frequent first.
    themes : dict of str to str
        The theme of each feature, where the scores say it.
    owner_id : str or None
        Whose leads these are; None: everybody's.
    has_own_ranks : bool
        Whether ranks are among an owner's leads.
    leads_count : int
        How many leads the ranks are among.
    average_curve : list of (float, float)
        Days, and the share of all these leads that is expected to be won by then.

    Raises
    ------
    UserError
        If there are no finished scores, or their files are not those that were written.
    """

    def __init__(self, folder: Path, names: pa.Table, timezone: str = "UTC", fiscal_year_start_month: int = 1):
        self.manifest = read_manifest(folder)
        check_seal(folder, self.manifest.get("files", {}), SEALED)
        self.schema = "held.main"
        self._numbers = itertools.count()
        self.timezone = timezone
        self.horizons_days = sorted(int(days) for days in self.manifest["horizons_days"])
        self.primary_horizon_days = int(self.manifest["primary_horizon_days"])
        self.as_of = formatting.to_instant(self.manifest["as_of"])
        self.quarter_ends = quarter_ends(self.as_of, timezone, fiscal_year_start_month)
        self.last_days = tuple(
            formatting.day(formatting.local_date(end - timedelta(microseconds=1), timezone))
            for end in self.quarter_ends
        )
        self.themes: dict[str, str] = self.manifest.get("themes") or {}
        self.connection = duckdb.connect()
        self.connection.execute("ATTACH ':memory:' AS held (COMPRESS); USE held")
        self._load(folder, names)
        self.owner_id: str | None = None
        self.has_own_ranks = False
        self._survey()
        self.has_money = self.totals.revenue is not None
        self.leads_count = self.totals.leads
        self.average_curve = self._average_curve()

    def _average_curve(self) -> list[tuple[float, float]]:
        """Average the win probability over all leads, at each horizon."""
        means = ", ".join(f"avg(p_win_{days}d)" for days in self.horizons_days)
        row = self._run(f"SELECT {means} FROM leads").fetchall()[0]  # noqa: S608 - own column names
        known = [(float(days), p) for days, p in zip(self.horizons_days, row, strict=True) if p is not None]
        return [(0.0, 0.0), *known]

    def _survey(self) -> None:
        self.totals = self.totals_of(Filters())
        self.choices = self._choices()

    def of_owner(self, owner_id: str, *, company_rank: bool = False) -> Ranking:
        """Give the scores of one owner's leads, as if there were no others.

        They are a table of their own, so that no figure, no choice of a filter and no duration of a search depends on
        anybody else's lead. Of what the scores say of themselves, only what is said of no lead stays.

        Parameters
        ----------
        owner_id : str
        company_rank : bool
            Ranks are those among all leads of the company, and not those among the owner's own.
        """
        own = copy.copy(self)
        own.owner_id, own.has_own_ranks = owner_id, not company_rank
        own.schema = f"held.owner_{next(self._numbers)}"
        own.manifest = {key: value for key, value in self.manifest.items() if key in MANIFEST_KEYS_OF_OWNERS}
        cursor = self.connection.cursor()
        cursor.execute(f"CREATE SCHEMA {own.schema}")
        mine = "(SELECT * FROM held.main.leads WHERE owner_id = $owner_id)"
        counts = ", ".join(f"count(p_win_{days}d)" for days in self.horizons_days)
        found = cursor.execute(f"SELECT {counts} FROM {mine}", {"owner_id": owner_id}).fetchall()[0]  # noqa: S608
        own.longest_days = _longest(self.horizons_days, found)
        rank = "rank" if company_rank else "row_number() OVER (ORDER BY rank, lead_id)"
        cursor.execute(
            f"""
            CREATE TABLE {own.schema}.leads AS
            WITH mine AS (SELECT * EXCLUDE ({", ".join(PLACES.values())})
                          REPLACE ({rank} AS rank, {own._later()} AS expected_revenue_later) FROM {mine})
            SELECT *, {_places()} FROM mine ORDER BY rank
            """,  # noqa: S608 - every piece is a constant of this module or a whole number
            {"owner_id": owner_id},
        )
        del own.totals
        own._survey()
        own.has_money = own.totals.revenue is not None
        own.leads_count = self.leads_count if company_rank else own.totals.leads
        own.average_curve = own._average_curve()
        return own

    def _later(self) -> str:
        """Return SQL for what is expected after the next quarter; nothing where the longest horizon ends before."""
        if self.quarter_ends[1] > self.as_of + timedelta(days=self.longest_days):
            return "NULL::DOUBLE"
        spent = "".join(f" - expected_revenue_{part}" for part in ("this_quarter", "next_quarter"))
        return f"greatest(expected_revenue_{self.longest_days}d{spent}, 0)"

    def file_place(self, lead_id: str) -> int | None:
        """Say where a lead's row stands in the files that lie in the order of the ranking."""
        found = self._run("SELECT file_place FROM leads WHERE lead_id = ?", [lead_id]).fetchall()
        return int(found[0][0]) if found else None

    def _load(self, folder: Path, names: pa.Table) -> None:
        found = pq.read_schema(folder / "scores.parquet")
        wanted = self._columns()
        missing = [
            name for name in ("lead_id", "rank", f"p_win_{self.primary_horizon_days}d") if name not in found.names
        ]
        if missing:
            raise UserError(f"{folder / 'scores.parquet'} has no column {missing[0]}: run `leadrev score` again")
        picked = []
        for name, kind in wanted.items():
            if name not in found.names:
                picked.append(f"CAST(NULL AS {kind}) AS {name}")
            elif kind == "DOUBLE":  # a NaN in a sum would swallow the sum
                picked.append(f"CASE WHEN isfinite({name}::DOUBLE) THEN {name}::DOUBLE END AS {name}")
            else:
                picked.append(f"{name}::{kind} AS {name}")
        self.longest_days = self._longest_days(folder, found.names)
        size = " ".join(
            f"WHEN employees < {limit} THEN '{label}'" for limit, label in zip(SIZE_LIMITS, SIZES, strict=False)
        )
        bases = {unit: _base_rows(folder / file, f"base_{unit}") for unit, file in ATTRIBUTIONS.items()}
        self.connection.register("names_given", names)
        themes = pa.table({"feature": list(self.themes), "theme": list(self.themes.values())}, THEMES)
        self.connection.register("themes_given", themes)
        scores = literal(str(folder / "scores.parquet"))
        self.connection.execute(f"""
            CREATE VIEW scored AS
            SELECT *, p_win_{self.primary_horizon_days}d AS p_win_primary, {self._later()} AS expected_revenue_later
            FROM (SELECT {", ".join(picked)} FROM read_parquet({scores}))
        """)  # noqa: S608 - every piece is a constant of this module, a whole number or an escaped path
        self.connection.execute(f"""
            CREATE TABLE leads AS
            WITH in_money AS ({bases["money"]}), in_points AS ({bases["points"]}),
                 called AS (
                     SELECT scored.*, lower(coalesce(company_name, name, lead_id)) AS called
                     FROM scored LEFT JOIN names_given USING (lead_id)),
                 placed AS (SELECT lead_id, called, rank - 1 AS file_place, {_places()} FROM called)
            SELECT scored.*, {", ".join(STEPS)}, names_given.* EXCLUDE (lead_id, source, entry, owner_name),
                   in_money.base_money, in_points.base_points,
                   coalesce(nullif(trim(names_given.source), ''), '{UNKNOWN}') AS source,
                   coalesce(nullif(trim(names_given.entry), ''), '{UNKNOWN}') AS entry,
                   coalesce(nullif(trim(names_given.owner_name), ''), scored.owner_id, 'no owner') AS owner,
                   coalesce(themes_given.theme, '{NO_THEME}') AS theme,
                   CASE WHEN employees IS NULL THEN '{UNKNOWN}' {size} ELSE '{SIZES[-1]}' END AS size,
                   expected_revenue_{self.primary_horizon_days}d AS revenue,
                   lower(concat_ws(' ', scored.lead_id, names_given.name, names_given.company_name)) AS searchable,
                   placed.* EXCLUDE (lead_id)
            FROM scored LEFT JOIN names_given USING (lead_id) LEFT JOIN ({_step_rows(folder)}) USING (lead_id)
            LEFT JOIN in_money USING (lead_id)
            LEFT JOIN in_points USING (lead_id) LEFT JOIN placed USING (lead_id)
            LEFT JOIN themes_given ON themes_given.feature = {FIRST_FEATURE}
            ORDER BY rank
        """)  # noqa: S608 - every piece is a constant of this module, a whole number or an escaped path
        self.connection.execute("DROP VIEW scored")
        self.connection.unregister("names_given")
        self.connection.unregister("themes_given")
        self.columns = [row[0] for row in self.connection.execute("DESCRIBE leads").fetchall()]

    def _longest_days(self, folder: Path, columns: list[str]) -> int:
        """Find the longest horizon that any lead has a forecast for: history may be too short for the others."""
        there = [days for days in self.horizons_days if f"p_win_{days}d" in columns]
        counts = ", ".join(f"count(p_win_{days}d)" for days in there)
        found = self.connection.execute(
            f"SELECT {counts} FROM read_parquet({literal(str(folder / 'scores.parquet'))})"  # noqa: S608
        ).fetchall()[0]
        return _longest(there, found)

    def _columns(self) -> dict[str, str]:
        texts = ("lead_id", "model_version", "account_id", "owner_id", "currency", "grade", "kind")
        ends = [f"{days}d" for days in self.horizons_days]
        numbers = [f"p_win_{end}" for end in ends] + [f"expected_revenue_{end}" for end in ends]
        numbers += ["p_win_ever", "p_lost_ever", "p_win_this_quarter", "deal_value", "deal_value_p10", "deal_value_p90"]
        numbers += [f"expected_revenue_{span}" for span in ("ever", "this_quarter", "next_quarter")]
        numbers += [f"days_to_win_{which}" for which in ("p10", "p50", "p90", "mean")]
        columns = dict.fromkeys((*texts, *LISTS), "VARCHAR") | dict.fromkeys(("rank", "score", "episode"), "BIGINT")
        return columns | dict.fromkeys(numbers, "DOUBLE")

    def totals_of(self, filters: Filters) -> Totals:
        """Sum over the leads that pass the filters."""
        where, given = self._where(filters)
        row = self._run(f"SELECT {SUMS} FROM leads WHERE {where}", given).fetchall()[0]  # noqa: S608 - own constants
        return totals_from(row, getattr(self, "totals", None))

    def by(self, facet: str, limit: int = 12) -> list[tuple[str, Totals]]:
        """Sum over each value of a facet: sizes from small to large, anything else by what it is worth."""
        where, given = self._where(Filters())
        order = "ORDER BY 4 DESC NULLS LAST, 2 DESC, 1"
        sql = f"SELECT {FACETS[facet]} AS value, {SUMS} FROM leads WHERE {where} GROUP BY 1 {order}"  # noqa: S608
        rows = [(row[0], totals_from(row[1:], self.totals)) for row in self._run(sql, given).fetchall()]
        if facet == "size":
            rows.sort(key=lambda row: SIZES.index(row[0]) if row[0] in SIZES else len(SIZES))
        return rows[:limit]

    def segment(self) -> str | None:
        """Name the first facet that tells leads apart: what now and later are compared by."""
        return next((name for name in ("size", "source", "kind", "owner") if name in self.choices), None)

    def combinations(self, facets: tuple[str, ...], skip: int) -> list[tuple[tuple[str, ...], Totals]]:
        """Sum over each combination of facet values, leaving out the first leads of the ranking."""
        columns = [FACETS[facet] for facet in facets]
        places = ", ".join(str(place + 1) for place in range(len(columns)))
        grouped = f"GROUP BY {places} ORDER BY {places}" if columns else ""
        where, given = self._where(Filters())
        rest = f"(FROM leads WHERE {where} ORDER BY rank, lead_id OFFSET {int(skip)})"
        sql = f"SELECT {', '.join([*columns, SUMS])} FROM {rest} {grouped}"  # noqa: S608
        found = self._run(sql, given).fetchall()
        return [(row[: len(columns)], totals_from(row[len(columns) :], self.totals)) for row in found]

    def _choices(self) -> dict[str, list[tuple[str, int]]]:
        found = {}
        where, given = self._where(Filters())
        for facet, column in FACETS.items():
            counted = f"SELECT {column}, count(*) FROM leads WHERE {where} AND {column} IS NOT NULL"  # noqa: S608
            rows = self._run(f"{counted} GROUP BY 1 ORDER BY 2 DESC, 1", given).fetchall()
            if facet in ("size", "grade"):
                rows.sort(key=lambda row: (SIZES.index(row[0]) if row[0] in SIZES else len(SIZES), row[0]))
            if len(rows) > 1:
                found[facet] = rows
        return found

    def page(self, filters: Filters, sort: str = "rank", start: int = 0, limit: int = 50) -> list[dict[str, Any]]:
        """Fetch some leads that pass the filters, in order; ties stand in the order of their rank."""
        where, given = self._where(filters)
        place, spans = PLACES[sort], f"({PLACES[sort]} - 1) // {PLACES_AT_ONCE}"
        # How many pass the filter in each span of places: nothing is sorted but the spans that the page touches.
        counted = f"SELECT {spans}, count(*) FROM leads WHERE {where} GROUP BY 1 ORDER BY 1"  # noqa: S608 - no values
        first, last, skipped, passed = None, 0, 0, 0
        for span, count in self._run(counted, given).fetchall():
            if passed + count > start and first is None:
                first, skipped = span, passed
            passed, last = passed + count, span
            if passed >= start + limit:
                break
        if first is None:
            return []
        within = f"{place} BETWEEN {first * PLACES_AT_ONCE + 1} AND {(last + 1) * PLACES_AT_ONCE}"
        limits = f"LIMIT {int(limit)} OFFSET {int(start) - skipped}"
        picked = f"SELECT rowid FROM leads WHERE {within} AND {where} ORDER BY {place} {limits}"  # noqa: S608
        return self._dicts(f"SELECT {SHOWN} FROM leads WHERE rowid IN ({picked}) ORDER BY {place}", given)  # noqa: S608

    def lead(self, lead_id: str) -> dict[str, Any] | None:
        """Fetch one lead; None if it was not open when the scores were made."""
        where, given = self._where(Filters())
        rows = self._dicts(f"SELECT {SHOWN} FROM leads WHERE lead_id = ? AND {where}", [lead_id, *given])  # noqa: S608
        return rows[0] if rows else None

    def _where(self, filters: Filters) -> tuple[str, list[str]]:
        """Add to a filter that only an owner's leads may be seen, where that is so: their table holds no others."""
        where, given = filters.where()
        return (where, given) if self.owner_id is None else (f"owner_id = ? AND {where}", [self.owner_id, *given])

    def _run(self, sql: str, given: list[str] | None = None) -> duckdb.DuckDBPyConnection:
        cursor = self.connection.cursor()  # one a call: several threads may ask at once
        cursor.execute(f"USE {self.schema}")
        return cursor.execute(sql, given or [])

    def _dicts(self, sql: str, given: list[str]) -> list[dict[str, Any]]:
        result = self._run(sql, given)
        names = [column[0] for column in result.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        for row in rows:
            for column in LISTS:
                if column in row:
                    row[column] = _json_list(row[column])
        return rows


def _longest(horizons_days: list[int], counts: tuple[int, ...]) -> int:
    return max([days for days, rows in zip(horizons_days, counts, strict=True) if rows], default=horizons_days[-1])


def _places() -> str:
    """Return SQL for a lead's place in every order: made once, any page of it is then a span of whole numbers."""
    return ", ".join(
        f"row_number() OVER (ORDER BY {SORTS[sort]}, rank, lead_id)::INTEGER AS {place}"
        for sort, place in PLACES.items()
    )


def open_ranking(params: Any, company: Any = None) -> Ranking:
    """Open the last scores of a company, with the names from its own tables: `company`, else what the sources hold.

    Raises
    ------
    UserError
        If there are no finished scores yet, or the company's sources cannot be read.
    """
    from pipeline.ingest.load import load_tables
    from pipeline.reporting.lead_names import lead_names

    read_manifest(params.artifacts_folder)  # before the sources, which take longer
    names = lead_names(load_tables(params, without=("events",)) if company is None else company)
    return Ranking(params.artifacts_folder, names, params.data.timezone, params.fiscal_year_start_month)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what the scores say of themselves.

    Raises
    ------
    UserError
        If scores or their manifest are not there: nothing was scored yet, or a run was killed midway.
    """
    for name in ("scores.parquet", "manifest.json"):
        if not (folder / name).exists():
            raise UserError(f"no finished scores in {folder} ({name} is not there): run `leadrev score` first")
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def read_backtest(folder: Path) -> dict[str, Any] | None:
    """Read the last backtest; None if there was none, or it is not the one that was written: that is said."""
    path = folder / "backtest.json"
    try:
        return read_sealed_json(path, "it is not shown; run `leadrev backtest` again") if path.exists() else None
    except SealError as error:
        print(f"  {error}", file=sys.stderr, flush=True)
        return None


def _base_rows(path: Path, column: str) -> str:
    """Return SQL for the leads that have attributions, and the typical lead's figure that theirs start from."""
    if not path.exists() or column not in pq.read_schema(path).names:
        return f"SELECT NULL::VARCHAR AS lead_id, NULL::DOUBLE AS {column} WHERE false"
    rows = f"FROM read_parquet({literal(str(path))}) GROUP BY ALL"
    return f"SELECT lead_id::VARCHAR AS lead_id, any_value({column}) AS {column} {rows}"


def _step_rows(folder: Path) -> str:
    """Return SQL for what to do next with each lead; nothing where the scores are of a time that did not say."""
    path = folder / "insights.parquet"
    found = pq.read_schema(path).names if path.exists() else []
    source = f"read_parquet({literal(str(path))})" if found else "(SELECT NULL AS lead_id WHERE false)"
    picked = (f"{name}::VARCHAR AS {name}" if name in found else f"NULL::VARCHAR AS {name}" for name in STEPS)
    return f"SELECT lead_id::VARCHAR AS lead_id, {', '.join(picked)} FROM {source}"  # noqa: S608


def _json_list(text: str | None) -> list[Any]:
    value = json.loads(text) if text and text.lstrip().startswith("[") else text
    return value if isinstance(value, list) else [value] if value else []
