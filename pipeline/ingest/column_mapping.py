"""Which column of a source is which column of the contract, and which are the company's own attributes."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.common.errors import UserError
from pipeline.config.data_contract import DERIVED, NEEDED, TABLES
from pipeline.config.params import near_miss
from pipeline.ingest.sources import RawTable

TABLES_WITH_ATTRIBUTES = ("leads", "deals", "accounts")
_BEGIN_AND_END = {"leads": ("created_at", "closed_at"), "deals": ("opened_at", "closed_at")}


@dataclass(frozen=True)
class Mapping:
    """A source's columns in the contract's terms.

    Parameters
    ----------
    raw : RawTable
        The source.
    columns : dict of str to str
        The contract's column to the source's.
    attributes : tuple of str
        The source's own columns that may become features.
    """

    raw: RawTable
    columns: dict[str, str]
    attributes: tuple[str, ...]


def map_columns(raw: RawTable) -> Mapping:
    """Find the contract's columns in a source: by what params say, else by name, whatever the case.

    Raises
    ------
    UserError
        A column that params name is not in the source, or one that the table needs is missing; the message names the
        dotted key and the nearest column.
    """
    theirs = {name.lower(): name for name in raw.columns}

    def find(written: str, key: str) -> str:
        if written.lower() not in theirs:
            raise UserError(
                f"{raw.key}.{key}: no column '{written}' in {raw.label}{near_miss(written, theirs.values())} "
                f"It has: {', '.join(raw.columns)}."
            )
        return theirs[written.lower()]

    mapped = {ours: find(written, f"columns.{ours}") for ours, written in raw.source.columns.items()}
    begin, end = _BEGIN_AND_END.get(raw.table, ("", ""))
    if begin in mapped and mapped[begin] == mapped.get(end):
        raise UserError(
            f"{raw.key}.columns: {begin} and {end} are both read from '{mapped[begin]}': each of {raw.table} would end "
            f"as it begins; leave out the one that {raw.label} does not have."
        )
    ignored = {find(written, "ignore") for written in raw.source.ignore}
    for written in raw.source.known_at_creation:
        find(raw.source.columns.get(written, written), "known_at_creation")
    contract = TABLES[raw.table]
    taken = set(mapped.values())
    for name in raw.columns:
        ours = name.lower()
        if name in taken or name in ignored:
            continue
        if ours in mapped:
            raise UserError(
                f"{raw.key}.columns.{ours}: is read from '{mapped[ours]}', but {raw.label} also has a column '{name}': "
                f"put that under {raw.key}.ignore, or give it another name."
            )
        if ours in contract:
            mapped[ours] = name
    attributes = tuple(name for name in raw.columns if name not in taken | ignored and name not in mapped.values())
    _check_needed(raw, mapped)
    for name in attributes:
        if name.lower() in DERIVED:
            raise UserError(
                f"{raw.key}: the column '{name}' of {raw.label} has a name that leadrev uses itself: put it under "
                f"{raw.key}.ignore, or give it another name."
            )
    for column in raw.source.values:
        if column not in mapped:
            find(column, "values")
    ordered = {name: mapped[name] for name in contract if name in mapped}
    return Mapping(raw, ordered, attributes if raw.table in TABLES_WITH_ATTRIBUTES else ())


def _check_needed(raw: RawTable, mapped: dict[str, str]) -> None:
    for group in NEEDED.get(raw.table, ()):
        if group == ("lead_id", "account_id") and {"deal_id", "recorded_at"} <= mapped.keys():
            continue  # versions of deals that another source holds
        if not any(name in mapped for name in group):
            wanted = " or ".join(group)
            near = near_miss(group[0], raw.columns).removesuffix(".")
            raise UserError(
                f"{raw.key}.columns: {raw.label} has no column {wanted}, which {raw.table} need{near}; say which one "
                f"it is, e.g. `columns: {{{group[0]}: {next(iter(raw.columns), 'theirs')}}}`. "
                f"It has: {', '.join(raw.columns)}."
            )


def near_column(written: str, columns: list[str], key: str) -> str:
    """Find a loaded table's column by a name written in params, whatever its case.

    Raises
    ------
    UserError
        There is none.
    """
    folded = {name.lower(): name for name in sorted(columns)}
    if written.lower() not in folded:
        raise UserError(
            f"{key}: no column '{written}'{near_miss(written, folded.values())} Known: {', '.join(folded.values())}."
        )
    return folded[written.lower()]
