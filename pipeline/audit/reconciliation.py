# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Won deals and revenue, month by month: what the source says against what was loaded, to the cent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from features import lifecycle, point_in_time
from pipeline.common.sql import literal, quoted
from pipeline.config.data_contract import TABLES
from pipeline.ingest.counted_money import PARTS, counted_sql
from pipeline.ingest.exchange_rates import at_date_sql, converted_sql
from pipeline.ingest.left_out import deleted_sql
from pipeline.ingest.parsing import Conventions, id_sql
from pipeline.ingest.planned_dates import is_later_sql
from pipeline.ingest.sources import ROW
from pipeline.ingest.stage_sources import several_systems
from pipeline.ingest.staging import CHANGED, REASON, column_sql, session_zone
from pipeline.ingest.time_formats import time_sql

if TYPE_CHECKING:
    from pipeline.ingest.company import LoadedCompany

NO_MONTH = "no date"
SIDES = ("source", "loaded", "quarantined", "unconverted", "without_lead")
_CENT = Decimal("0.01")
_STAGED = (
    "(SELECT deal_id, outcome, closed_at, recorded_at, amount, currency, __reason, rowid AS row FROM staged_deals)"
)


@dataclass(frozen=True)
class Month:
    """Won deals and their revenue in one local month.

    Parameters
    ----------
    month : str
        ``2018-04``, or `NO_MONTH` for deals won at no readable date.
    deals : dict of str to int
        Per side of `SIDES`: in the source; loaded; quarantined; loaded, but in another currency and, for want of rates,
        without an amount in ours; and, a part of the loaded ones, those without a lead.
    revenue : dict of str to Decimal
        Likewise, in the company's currency at the rate of each closing date; where there is no rate, in their own.
    """

    month: str
    deals: dict[str, int]
    revenue: dict[str, Decimal]

    @property
    def missing_deals(self) -> int:
        """Deals in the source that are neither loaded nor quarantined: none, or something is wrong."""
        return self.deals["source"] - self.deals["loaded"] - self.deals["quarantined"]

    @property
    def missing_revenue(self) -> Decimal:
        """Revenue in the source that is neither loaded, nor quarantined, nor in another currency."""
        sides = self.revenue
        return sides["source"] - sides["loaded"] - sides["quarantined"] - sides["unconverted"]

    def as_dict(self) -> dict[str, Any]:
        """Plain figures, money in whole cents as a number."""
        row: dict[str, Any] = {"month": self.month}
        for side in SIDES:
            row[f"{side}_deals"] = self.deals[side]
            row[f"{side}_amount"] = _money(self.revenue[side])
        return row | {"missing_deals": self.missing_deals, "missing_amount": _money(self.missing_revenue)}


@dataclass(frozen=True)
class Currency:
    """Won deals in one currency of the source.

    Parameters
    ----------
    currency : str
    deals : int
        In the source.
    source, loaded, quarantined : Decimal
        Their revenue in that currency; the first is the sum of the others and of `replaced`.
    converted : Decimal or None
        What the loaded ones are worth in the company's currency; None for want of rates.
    """

    currency: str
    deals: int
    source: Decimal
    loaded: Decimal
    quarantined: Decimal
    converted: Decimal | None

    @property
    def replaced(self) -> Decimal:
        """Revenue of versions that stand aside for another one of their deal; else 0."""
        return self.source - self.loaded - self.quarantined

    def as_dict(self) -> dict[str, Any]:
        """Plain figures, money in whole cents as a number."""
        return {
            "currency": self.currency,
            "source_deals": self.deals,
            "source_amount": _money(self.source),
            "loaded_amount": _money(self.loaded),
            "quarantined_amount": _money(self.quarantined),
            "converted_amount": None if self.converted is None else _money(self.converted),
        }


@dataclass(frozen=True)
class Reconciliation:
    """What the source holds against what was loaded.

    Parameters
    ----------
    currency : str
    months : list of Month
        In order; months without a won deal are left out.
    rows : dict
        Per table: ``rows`` in the source, ``loaded``, ``quarantined``.
    currencies : list of Currency
        The company's own first.
    month_currencies : dict of str to list of Currency
        Likewise, of each month of `months`.
    """

    currency: str
    months: list[Month]
    rows: dict[str, dict[str, int]]
    currencies: list[Currency]
    month_currencies: dict[str, list[Currency]]

    @property
    def total(self) -> Month:
        """All months together."""
        return Month(
            "total",
            {side: sum(month.deals[side] for month in self.months) for side in SIDES},
            {side: sum((month.revenue[side] for month in self.months), Decimal(0)) for side in SIDES},
        )

    @property
    def differences(self) -> list[str]:
        """One sentence for whatever in the source is not loaded, month by month."""
        lines = []
        for month in self.months:
            for side, why in (("quarantined", "in quarantine"), ("unconverted", "in another currency, not converted")):
                if month.deals[side]:
                    lines.append(f"{month.month}: {_deals(month.deals[side])}, {month.revenue[side]:,.2f}: {why}")
            if month.missing_deals or month.missing_revenue:
                lines.append(
                    f"{month.month}: {_deals(month.missing_deals)}, {month.missing_revenue:,.2f}: replaced by another "
                    "version of the same deal, as the newest one is in quarantine"
                )
        return lines

    @property
    def is_exact(self) -> bool:
        """Whether every deal and every cent of the source is loaded."""
        return not self.differences

    @property
    def unloaded_share(self) -> float:
        """Share (0 to 1) of the source's won revenue that is not loaded; of its won deals where there is no revenue."""
        sides = self.total.revenue if self.total.revenue["source"] > 0 else self.total.deals
        return float(1 - sides["loaded"] / sides["source"]) if sides["source"] else 0.0

    def as_dict(self) -> dict[str, Any]:
        """As ``audit.json`` holds it."""
        return {
            "currency": self.currency,
            "exact": self.is_exact,
            "rows": self.rows,
            "months": [month.as_dict() for month in self.months],
            "total": {name: value for name, value in self.total.as_dict().items() if name != "month"},
            "unattached": {
                "deals": self.total.deals["without_lead"],
                "amount": _money(self.total.revenue["without_lead"]),
            },
            "currencies": [found.as_dict() for found in self.currencies],
            "differences": self.differences,
        }


def reconcile(loaded: LoadedCompany) -> Reconciliation:
    """Count won deals and revenue in the source and as loaded.

    The source is read again, row by row as it arrived, past everything that loading does to a row but the reading of
    its words, dates and amounts. Of a deal that comes in versions the newest counts.
    """
    connection, params = loaded.connection, loaded.params
    zone = params.data.timezone
    made = "CREATE OR REPLACE TEMP TABLE arrived AS"
    for place, mapping in enumerate(loaded.mappings):
        if mapping.raw.table == "deals":
            with session_zone(connection, mapping.timezone or zone):
                connection.execute(f"{made} {_source_sql(loaded, place)}")
            made = "INSERT INTO arrived BY NAME"
    if "deal_lines" in loaded.staged or set(PARTS) & loaded.staged["deals"].present:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE arrived AS SELECT arrived.* REPLACE ({counted_sql(params.money.counts)} AS "
            "amount) FROM arrived LEFT JOIN line_sums ON line_sums.deal_id = arrived.loaded_id"
        )
    # As in loading: the last change orders the rows of a deal, and a date that lay ahead of it was a plan.
    recorded = "coalesce(recorded_at, CASE WHEN count(*) OVER (PARTITION BY deal_id) > 1 THEN changed END)"
    closed = (
        f"CASE WHEN outcome IN ('won', 'lost') AND {is_later_sql('closed_at', 'coalesce(recorded_at, changed)', zone)} "
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE arrived AS SELECT * REPLACE ({recorded} AS recorded_at, "
        f"{closed} THEN coalesce(recorded_at, changed) ELSE closed_at END AS closed_at) FROM arrived WHERE NOT deleted"
    )
    has_rates = bool(params.data.sources.rates)
    worth = _worth_sql(params.currency, has_rates=has_rates)
    if has_rates:
        arrived = at_date_sql("arrived", params.currency)
        kept = f"SELECT *, row AS part FROM ({at_date_sql(_STAGED, params.currency)})"
    else:
        arrived = "SELECT * FROM arrived"
        kept = f"SELECT *, row AS part FROM {_STAGED}"
    source = _newest_sql(arrived, "part, row")
    usable = _newest_sql(f"{kept} WHERE {REASON} IS NULL", "row")
    # Rows deleted in the source are on neither side; of rows equally new, the loaded one stands for the deal.
    quarantined = (
        f"SELECT * FROM ({_newest_sql(kept, f'{REASON} IS NOT NULL, row')}) WHERE {REASON} IS NOT NULL "
        f"AND NOT starts_with({REASON}, 'deleted') AND NOT starts_with({REASON}, 'merged')"
    )
    foreign = f"upper(currency) <> '{params.currency}'"
    unconverted = f"SELECT * FROM ({usable}) WHERE {'false' if has_rates else foreign}"
    in_ours = worth if has_rates else f"CASE WHEN {foreign} THEN NULL ELSE amount END"
    sides = {
        "source": connection.execute(_monthly_sql(source, zone, worth)).fetchall(),
        "loaded": connection.execute(_monthly_sql(usable, zone, in_ours)).fetchall(),
        "quarantined": connection.execute(_monthly_sql(quarantined, zone, worth)).fetchall(),
        "unconverted": connection.execute(_monthly_sql(unconverted, zone)).fetchall(),
        "without_lead": _without_lead(loaded),
    }
    by_month = _currencies(loaded, source, usable, quarantined, in_ours)
    connection.execute("DROP TABLE arrived")
    figures = {side: {month: (deals, revenue) for month, deals, revenue in rows} for side, rows in sides.items()}
    months = sorted({month for rows in figures.values() for month in rows})
    return Reconciliation(
        params.currency,
        [
            Month(
                month,
                {side: figures[side].get(month, (0, 0))[0] for side in SIDES},
                {side: Decimal(figures[side].get(month, (0, 0))[1]) for side in SIDES},
            )
            for month in months
        ],
        {
            table: {name: count[name] for name in ("rows", "loaded", "quarantined")}
            for table, count in loaded.counts.items()
        },
        by_month.pop(""),
        by_month,
    )


def _worth_sql(currency: str, *, has_rates: bool) -> str:
    """Give the SQL of an amount in the company's currency; in its own where there is no rate."""
    if not has_rates:
        return "amount"
    foreign = f"coalesce(upper(currency), {literal(currency)}) <> {literal(currency)}"
    return f"CASE WHEN {foreign} THEN coalesce({converted_sql()}, amount) ELSE amount END"


def _currencies(
    loaded: LoadedCompany, source: str, usable: str, quarantined: str, in_ours: str
) -> dict[str, list[Currency]]:
    """Sum up won deals by the currency they were written in: of each month, and (under no name) of all."""
    ours = loaded.params.currency
    name = f"coalesce(upper(currency), {literal(ours)})"
    month = _month_sql(loaded.params.data.timezone)
    found = []
    for rows, amount in ((source, "amount"), (usable, "amount"), (quarantined, "amount"), (usable, in_ours)):
        query = (
            f"SELECT coalesce({month}, ''), {name}, count(*), sum({amount}) FROM ({rows}) WHERE outcome = 'won' "
            f"GROUP BY GROUPING SETS ((2), ({month}, 2))"
        )
        found.append({(m, word): (n, total) for m, word, n, total in loaded.connection.execute(query).fetchall()})
    has_rates = bool(loaded.params.data.sources.rates)
    currencies: dict[str, list[Currency]] = {"": []}
    for when, word in sorted(set().union(*found), key=lambda key: (key[0], key[1] != ours, key[1])):
        inside, loaded_, aside, worth = (Decimal(side.get((when, word), (0, None))[1] or 0) for side in found)
        count = found[0].get((when, word), (0, None))[0]
        converted = worth if word == ours or has_rates else None
        currencies.setdefault(when, []).append(Currency(word, count, inside, loaded_, aside, converted))
    return currencies


def _source_sql(loaded: LoadedCompany, place: int) -> str:
    """Won or not, when and for how much: each row of one source of deals."""
    mapping = loaded.mappings[place]
    agreed = loaded.conventions[place]
    names = ("deal_id", "outcome", "closed_at", "recorded_at", "amount", "currency", *PARTS)
    prefix = literal(mapping.raw.source.system or "")
    columns = [
        f"CAST({column_sql('deals', mapping, agreed, name, TABLES['deals'][name], prefix)[0]} AS {type_}) AS {name}"
        for name, type_ in zip(
            names,
            (
                "VARCHAR",
                "VARCHAR",
                "TIMESTAMP",
                "TIMESTAMP",
                "DECIMAL(18, 4)",
                "VARCHAR",
                "DECIMAL(18, 4)",
                "DECIMAL(18, 4)",
                "DOUBLE",
            ),
            strict=True,
        )
    ]
    system = prefix if several_systems(loaded.params) else None
    loaded_id = column_sql("deals", mapping, agreed, "deal_id", "string", system)[0]
    columns.append(f"CAST({loaded_id} AS VARCHAR) AS loaded_id")
    changed = "CAST(NULL AS TIMESTAMP)"
    if mapping.changed:
        changed = time_sql(mapping.changed, mapping.raw.columns[mapping.changed], agreed[CHANGED])
    gone = deleted_sql(mapping)
    if mapping.merged:
        gone += f" OR {id_sql(mapping.merged, mapping.raw.columns[mapping.merged], Conventions())} IS NOT NULL"
    return (
        f"SELECT {', '.join(columns)}, {place} AS part, {ROW} AS row, {changed} AS changed, {gone} AS deleted "
        f"FROM {quoted(mapping.raw.relation)}"
    )


def _newest_sql(rows: str, order: str) -> str:
    """Keep the newest version of each deal, and every row that is no version: where there is one, it is the newest."""
    return (
        f"SELECT * FROM ({rows}) QUALIFY recorded_at IS NULL OR deal_id IS NULL OR "
        "(count(*) FILTER (recorded_at IS NULL) OVER (PARTITION BY deal_id) = 0 AND "
        f"row_number() OVER (PARTITION BY deal_id, recorded_at IS NULL ORDER BY recorded_at DESC, {order}) = 1)"
    )


def _month_sql(zone: str) -> str:
    return f"coalesce(strftime(timezone('{zone}', timezone('UTC', closed_at)), '%Y-%m'), '{NO_MONTH}')"


def _monthly_sql(rows: str, zone: str, amount: str = "amount") -> str:
    sums = f"count(*), coalesce(sum({amount}), 0)"
    return f"SELECT {_month_sql(zone)}, {sums} FROM ({rows}) WHERE outcome = 'won' GROUP BY ALL"


def _without_lead(loaded: LoadedCompany) -> list[tuple[str, int, Decimal]]:
    ever = point_in_time.NEVER - timedelta(days=1)
    deals = lifecycle.unattached_deals(loaded.tables, ever).select("outcome", "closed_at", "amount")
    return loaded.connection.execute(
        _monthly_sql(loaded.backend.compile(deals), loaded.params.data.timezone)
    ).fetchall()


def _deals(count: int) -> str:
    return f"{count:,} won deal{'' if count == 1 else 's'}"


def _money(amount: Decimal) -> float:
    return float(amount.quantize(_CENT))
