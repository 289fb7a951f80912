# ruff: noqa: S608 (SQL here is made of quoted identifiers)
"""Outcomes that a source tells by flags: closed or not, won or not."""

from __future__ import annotations

import re

import duckdb

from pipeline.common.sql import quoted
from pipeline.ingest.parsing import clean_sql
from pipeline.ingest.sources import RawTable

TRUE_WORDS = (
    "true",
    "t",
    "1",
    "1.0",
    "yes",
    "y",
    "x",
    "on",
    "wahr",
    "ja",
    "sim",
    "oui",
    "si",
    "sí",
    "vero",
    "verdadero",
)
FALSE_WORDS = ("false", "f", "0", "0.0", "no", "n", "off", "falsch", "nein", "não", "nao", "non", "falso")
CLOSED_NAMES = frozenset({"closed", "isclosed", "hsisclosed", "dealclosed", "closedflag"})
WON_NAMES = frozenset({"won", "iswon", "hsisclosedwon", "isclosedwon", "closedwon", "dealwon", "wonflag"})


def flag_pair(connection: duckdb.DuckDBPyConnection, raw: RawTable, written: str) -> dict[str, str] | None:
    """Find the other flag where a deal's outcome is read from one: not won is open as well as lost.

    Parameters
    ----------
    connection : DuckDB connection
    raw : RawTable
    written : str
        The source's column that params name as the outcome.

    Returns
    -------
    dict or None
        ``closed`` and ``won``, each a column; None where the column is no flag, or there is no other.
    """
    own = [name for name in raw.columns if name.lower() == written.lower()]
    if not own or not is_flag(connection, raw, own[0]):
        return None
    is_closed = _bare(own[0]) in CLOSED_NAMES
    others = [
        name
        for name in raw.columns
        if _bare(name) in (WON_NAMES if is_closed else CLOSED_NAMES) and is_flag(connection, raw, name)
    ]
    if not others or own[0] in others:
        return None
    return {"closed": own[0], "won": others[0]} if is_closed else {"closed": others[0], "won": own[0]}


def is_flag(connection: duckdb.DuckDBPyConnection, raw: RawTable, name: str) -> bool:
    """Say whether a column holds words for yes and no, and nothing else."""
    text = clean_sql(name, raw.columns[name])
    found = connection.execute(
        f"SELECT DISTINCT lower({text}) AS word FROM {quoted(raw.relation)} WHERE word IS NOT NULL LIMIT 5"
    ).fetchall()
    return bool(found) and all(word in (*TRUE_WORDS, *FALSE_WORDS) for (word,) in found)


def as_booleans(words: dict[str, list[str]]) -> dict[str, list[str]]:
    """Give words of a column that a query made a boolean as it now writes them: yes as true, no as false."""
    return {
        ours: [
            "true" if word.strip().lower() in TRUE_WORDS else "false" if word.strip().lower() in FALSE_WORDS else word
            for word in listed
        ]
        for ours, listed in words.items()
    }


def _bare(name: str) -> str:
    return re.sub(r"^(propert(y|ies)_?)|[^a-z]", "", name.lower())
