# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Rows that somebody deleted in the source, or merged into another record: left out, listed, and followed."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from pipeline.common.sql import literal, quoted
from pipeline.config.data_contract import DELETED_NAMES
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.outcome_flags import FALSE_WORDS, TRUE_WORDS
from pipeline.ingest.parsing import clean_sql


def with_deleted(connection: duckdb.DuckDBPyConnection, mapping: Mapping) -> Mapping:
    """Find the column that marks deleted rows, if params do not name one: called as usual, and holding flags or dates.

    It is said of which column deleted rows are known.
    """
    if mapping.deleted is not None or "deleted" in mapping.raw.source.values:
        return mapping
    own = {name.lower(): name for name in mapping.raw.columns if name not in mapping.columns.values()}
    for usual in DELETED_NAMES:
        column = own.get(usual)
        if column is None or column in mapping.raw.source.known_at_creation:
            continue
        text = clean_sql(column, mapping.raw.columns[column])
        words = ", ".join(map(literal, (*TRUE_WORDS, *FALSE_WORDS)))
        strange = connection.execute(
            f"SELECT count(*) FROM {quoted(mapping.raw.relation)} WHERE lower({text}) NOT IN ({words}) "
            f"AND NOT regexp_matches({text}, '^[12]\\d{{3}}-\\d\\d-\\d\\d')"
        ).fetchall()[0][0]
        if strange == 0:
            attributes = tuple(name for name in mapping.attributes if name != column)
            return replace(mapping, deleted=column, attributes=attributes)
    return mapping


def deleted_sql(mapping: Mapping) -> str:
    """Give the SQL of whether a row was deleted: the mark is set to anything but a word for no."""
    if mapping.deleted is None:
        return "false"
    text = clean_sql(mapping.deleted, mapping.raw.columns[mapping.deleted])
    if words := mapping.raw.source.values.get("deleted"):
        listed = ", ".join(literal(word.strip().lower()) for many in words.values() for word in many)
        return f"coalesce(lower({text}) IN ({listed}), false)"
    return f"coalesce(lower({text}) NOT IN ({', '.join(map(literal, FALSE_WORDS))}), false)"
