"""Which column of a source is which column of the contract, and which are the company's own attributes."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.common.errors import UserError
from pipeline.config.data_contract import CHANGED_NAMES, DERIVED, MERGED_NAMES, NEEDED, TABLES, USUAL_NAMES
from pipeline.config.near_names import near_miss
from pipeline.ingest.derived_columns import find_column
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
        The contract's column to that of the relation.
    attributes : tuple of str
        The source's own columns that may become features.
    by_name : frozenset of str
        The contract's columns that nobody mapped: they are called so, or by a name that is usual for them.
    deleted, merged : str or None
        The source's columns that mark deleted rows, and that name the record into which a row was merged.
    changed : str or None
        The source's column that says when a row was last changed.
    """

    raw: RawTable
    columns: dict[str, str]
    attributes: tuple[str, ...]
    by_name: frozenset[str] = frozenset()
    deleted: str | None = None
    merged: str | None = None
    changed: str | None = None

    @property
    def timezone(self) -> str | None:
        """The zone of times without an offset, if it is not the company's."""
        return self.raw.source.timezone

    def origins(self, ours: str) -> tuple[str, ...]:
        """Name the source's own columns that a column of the contract is read from."""
        return self.raw.origins.get(ours, (self.columns[ours],))


def map_columns(raw: RawTable, *, is_linked: bool = False) -> Mapping:
    """Find the contract's columns in a source: by what params say, else by name, whatever the case.

    Parameters
    ----------
    raw : RawTable
        After `derived_columns.derive_columns`.
    is_linked : bool
        Of deals: leads name their deals, so that deals need not name their leads.

    Raises
    ------
    UserError
        A column that params name is not in the source, or one that the table needs is missing; the message names the
        dotted key and the nearest column.
    """
    mapped = dict(raw.named)
    begin, end = _BEGIN_AND_END.get(raw.table, ("", ""))
    if begin in mapped and mapped[begin] == mapped.get(end):
        raise UserError(
            f"{raw.key}.columns: {begin} and {end} are both read from '{mapped[begin]}': each of {raw.table} would end "
            f"as it begins; leave out the one that {raw.label} does not have."
        )
    ignored = {find_column(raw, written, "ignore") for written in raw.source.ignore}
    for written in raw.source.known_at_creation:
        find_column(raw, raw.named.get(written, written), "known_at_creation")
    deleted = find_column(raw, raw.source.deleted, "deleted") if raw.source.deleted else None
    contract = TABLES[raw.table]
    own = [name for name in raw.columns if name not in raw.made]
    taken = {name for names in raw.origins.values() for name in names} | raw.made
    by_name = set()
    for name in own:
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
            by_name.add(ours)
    usual = {name.lower(): name for name in own if name not in ignored}
    for (table, ours), names in USUAL_NAMES.items():
        found = next((usual[name] for name in names if name in usual and usual[name] not in taken), None)
        if table == raw.table and ours not in mapped and found:
            mapped[ours] = found
            by_name.add(ours)
    attributes = tuple(name for name in own if name not in taken | ignored and name not in mapped.values())
    # What is ignored as a feature still orders versions and marks what was deleted.
    known = {name.lower(): name for name in own}
    merged = next((known[name] for name in MERGED_NAMES if name in known and known[name] not in taken), None)
    changed = next(
        (known[name] for name in CHANGED_NAMES if name in known and known[name] != mapped.get("valid_from")), None
    )
    _check_needed(raw, mapped, is_linked=is_linked)
    for name in attributes:
        if name.lower() in DERIVED:
            raise UserError(
                f"{raw.key}: the column '{name}' of {raw.label} has a name that leadrev uses itself: put it under "
                f"{raw.key}.ignore, or give it another name."
            )
    for column in raw.source.values:
        if column not in mapped and column != "deleted":
            find_column(raw, column, "values")
    ordered = {name: mapped[name] for name in contract if name in mapped}
    keeps = raw.table in TABLES_WITH_ATTRIBUTES
    attributes = tuple(name for name in attributes if name not in (deleted, merged)) if keeps else ()
    return Mapping(raw, ordered, attributes, frozenset(by_name), deleted, merged, changed)


def _check_needed(raw: RawTable, mapped: dict[str, str], *, is_linked: bool) -> None:
    for group in NEEDED.get(raw.table, ()):
        if is_linked and raw.table == "deals" and "lead_id" in group:
            continue
        if group == ("lead_id", "account_id") and {"deal_id", "recorded_at"} <= mapped.keys():
            continue  # versions of deals that another source holds
        if not any(name in mapped for name in group):
            wanted = " or ".join(group)
            if (raw.table, group) == ("changes", ("table",)):
                raise UserError(
                    f"{raw.key}.columns: {raw.label} does not say whose changes it holds; say it, e.g. `columns: "
                    f"{{table: {{constant: {_likely_table(raw, mapped)}}}}}` (leads, deals or accounts), or name the "
                    f"column that does. It has: {', '.join(raw.columns)}."
                )
            near = near_miss(group[0], raw.columns).removesuffix(".")
            raise UserError(
                f"{raw.key}.columns: {raw.label} has no column {wanted}, which {raw.table} need{near}; say which one "
                f"it is, e.g. `columns: {{{group[0]}: {next(iter(raw.columns), 'theirs')}}}`. "
                f"It has: {', '.join(raw.columns)}."
            )


def _likely_table(raw: RawTable, mapped: dict[str, str]) -> str:
    """Guess whose changes a source holds, by what its column of ids and its file are called."""
    text = f"{mapped.get('row_id', '')} {raw.label}".lower()
    for table, words in {
        "deals": ("opportunit", "deal"),
        "leads": ("lead",),
        "accounts": ("account", "compan"),
    }.items():
        if any(word in text for word in words):
            return table
    return "deals"


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
