# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Columns that a source does not have as such: the first filled one of several, a constant, the outcome of two flags.

They are added to the raw relation, so that all that follows reads them like any other column.
"""

from __future__ import annotations

import duckdb

from pipeline.common.errors import UserError
from pipeline.common.sql import literal, quoted
from pipeline.config.column_forms import names_in
from pipeline.config.near_names import near_miss
from pipeline.ingest.outcome_flags import FALSE_WORDS, TRUE_WORDS, as_booleans, flag_pair
from pipeline.ingest.parsing import clean_sql
from pipeline.ingest.sources import RawTable


def derive_columns(connection: duckdb.DuckDBPyConnection, raw: RawTable) -> None:
    """Say for each column of the params which column of the relation holds it, adding those that have to be made.

    Raises
    ------
    UserError
        A column that params name is not in the source; the message names the dotted key and the nearest column.
    """
    made: dict[str, str] = {}
    for ours, said in raw.source.columns.items():
        form = said
        pair = (
            flag_pair(connection, raw, said)
            if (raw.table, ours) == ("deals", "outcome") and isinstance(said, str)
            else None
        )
        if pair is not None:
            form = pair
            raw.notes.append(
                f"{raw.label}: deals.outcome is read from '{pair['won']}' and '{pair['closed']}' together: what is not "
                "closed is open, whatever else is said of it"
            )
        names = tuple(find_column(raw, written, f"columns.{ours}") for written in names_in(form))
        raw.origins[ours] = names
        if isinstance(form, dict) and "split" in form:
            raw.splits[ours] = form["split"]
        if isinstance(form, str) or (isinstance(form, list) and len(names) == 1) or ours in raw.splits:
            raw.named[ours] = names[0]
            continue
        is_constant = isinstance(form, dict) and "constant" in form
        label = _free_name(raw, made, form["constant"] if is_constant else " or ".join(dict.fromkeys(names)))
        raw.named[ours] = label
        if is_constant:
            made[label] = literal(form["constant"])
        elif isinstance(form, list):
            made[label] = _first_filled_sql(raw, names)
        else:
            texts = {flag: clean_sql(name, raw.columns[name]) for flag, name in zip(form, names, strict=True)}
            made[label] = _outcome_sql(texts, dict(zip(form, names, strict=True)), _flag_words(raw, ours, form, names))
    if not made:
        return
    listed = ", ".join(f"{sql} AS {quoted(label)}" for label, sql in made.items())
    whole = f"{raw.relation}_and_more"
    connection.execute(f"CREATE VIEW {quoted(whole)} AS SELECT *, {listed} FROM {quoted(raw.relation)}")
    raw.relation = whole
    described = connection.execute(f"DESCRIBE {quoted(whole)}").fetchall()
    raw.columns = {name: type_ for name, type_, *_ in described if name in raw.columns or name in made}
    raw.made = frozenset(made)


def find_column(raw: RawTable, written: str, key: str) -> str:
    """Find a column of a source by its name, whatever the case.

    Raises
    ------
    UserError
        There is none; the message names the dotted key and the nearest column.
    """
    theirs = {name.lower(): name for name in raw.columns}
    if written.lower() not in theirs:
        raise UserError(
            f"{raw.key}.{key}: no column '{written}' in {raw.label}{near_miss(written, theirs.values())} "
            f"It has: {', '.join(raw.columns)}."
        )
    return theirs[written.lower()]


def _free_name(raw: RawTable, made: dict[str, str], name: str) -> str:
    taken = {column.lower() for column in (*raw.columns, *made)}
    while name.lower() in taken:
        name += " "
    return name


def _first_filled_sql(raw: RawTable, names: tuple[str, ...]) -> str:
    types = {raw.columns[name] for name in names}
    if len(types) == 1 and types != {"VARCHAR"}:
        return f"coalesce({', '.join(map(quoted, names))})"
    return f"coalesce({', '.join(clean_sql(name, raw.columns[name]) for name in names)})"


def _flag_words(raw: RawTable, ours: str, flags: dict[str, str], names: tuple[str, ...]) -> dict[str, list[str]]:
    """Give what params say of each flag's words, as the flag's column writes them."""
    words = raw.source.values.get(ours, {})
    typed = {flag: raw.columns[name] for flag, name in zip(flags, names, strict=True)}
    return words | {flag: as_booleans(words)[flag] for flag in words if typed.get(flag) == "BOOLEAN"}


def _outcome_sql(texts: dict[str, str], names: dict[str, str], words: dict[str, list[str]]) -> str:
    """Give won, lost or open by flags; a flag is set by the words that `values` give for it, else by a word for yes.

    What says neither, or two things at once, is left as it is written, for a person to see.
    """
    is_set, is_odd = {}, []
    for flag, text in texts.items():
        if flag in words:
            listed = ", ".join(literal(word.strip().lower()) for word in words[flag]) or "NULL"
        else:
            listed = ", ".join(map(literal, TRUE_WORDS))
            is_odd.append(f"NOT lower({text}) IN ({', '.join(map(literal, (*TRUE_WORDS, *FALSE_WORDS)))})")
        is_set[flag] = f"coalesce(lower({text}) IN ({listed}), false)"
    if "closed" in is_set:
        is_odd.append(f"({is_set['won']} AND NOT {is_set['closed']} AND {texts['closed']} IS NOT NULL)")
    shown = " || ', ' || ".join(f"{literal(name + '=')} || coalesce({texts[flag]}, '')" for flag, name in names.items())
    odd = " OR ".join(f"coalesce({test}, false)" for test in is_odd) or "false"
    nothing = " AND ".join(f"{text} IS NULL" for text in texts.values())
    lost = "".join(f" WHEN {is_set[flag]} THEN 'lost'" for flag in ("lost", "closed") if flag in is_set)
    return (
        f"CASE WHEN {odd} THEN {shown} WHEN {is_set['won']} THEN 'won'{lost} WHEN {nothing} THEN NULL ELSE 'open' END"
    )
