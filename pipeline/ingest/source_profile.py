# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What tables look like to a model: columns, types and words, kept at training and held against every night's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from features.schema import SCHEMAS
from pipeline.common.formatting import count as counted
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.databases import quoted

PROFILED = ("leads", "deals", "accounts", "events")
WORD_COLUMNS = {
    "leads": ("source", "kind", "entry", "product", "status"),
    "deals": ("kind", "product", "stage"),
    "accounts": ("industry", "country"),
    "events": ("kind", "direction", "channel"),
}
"""The contract's columns whose words are a company's vocabulary; campaigns come and go, topics too."""
WORDS_LIMIT = 30
"""A column with more words than this at training is no vocabulary."""
_DATED = {"leads": "known_at", "deals": "coalesce(recorded_at, opened_at, closed_at)", "events": "known_at"}
_WORD_LENGTH = 60


@dataclass(frozen=True)
class ColumnChange:
    """A column that is not what it was at training.

    Parameters
    ----------
    table, column : str
    kind : str
        ``new``, ``gone``, ``type``, ``unreadable`` or ``words``.
    text : str
        What is told of it, with counts; words of the business only, nothing personal.
    share : float
        Of rows since training (or of all, if that is more) that hold a new word, or that can no longer be read.
    """

    table: str
    column: str
    kind: str
    text: str
    share: float = 0.0


def profile(company: LoadedCompany, as_of: datetime | None = None) -> dict[str, Any]:
    """Say what tables look like: ``columns`` (``table.column`` to type), ``unreadable`` (share) and ``words``.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime, optional
        UTC, without a zone: words that came later count as unseen.
    """
    columns: dict[str, str] = {}
    unreadable: dict[str, float] = {}
    words: dict[str, list[str]] = {}
    for table in PROFILED:
        staged = company.staged.get(table)
        if staged is None:
            continue
        types = {name: SCHEMAS[table].get(name, "string") for name in staged.present}
        types |= {
            name: {"DOUBLE": "number", "VARCHAR": "text", "TIMESTAMP": "date"}[type_]
            for name, type_ in staged.attributes.items()
        }
        columns |= {f"{table}.{name}": type_ for name, type_ in sorted(types.items())}
        count = company.counts[table]
        unreadable |= {f"{table}.{name}": n / count["loaded"] for name, n in sorted(count["unreadable"].items())}
        own = [name for name, type_ in staged.attributes.items() if type_ == "VARCHAR"] if table != "deals" else []
        for name in [*(name for name in WORD_COLUMNS[table] if name in staged.present), *own]:
            known = f"($as_of IS NULL OR coalesce({_DATED.get(table, 'NULL')} <= $as_of, true))"
            found = company.connection.execute(
                f"SELECT DISTINCT {quoted(name)} FROM {table} WHERE {quoted(name)} IS NOT NULL AND {known} "
                f"LIMIT {WORDS_LIMIT + 1}",
                {"as_of": as_of},
            ).fetchall()
            listed = sorted(word for (word,) in found)
            if len(listed) <= WORDS_LIMIT and all(len(word) <= _WORD_LENGTH and "@" not in word for word in listed):
                words[f"{table}.{name}"] = listed
    return {"columns": columns, "unreadable": unreadable, "words": words}


def compare(company: LoadedCompany, then: Mapping[str, Any], trained_as_of: datetime) -> list[ColumnChange]:
    """Say what is not as it was when a model was trained.

    Parameters
    ----------
    company : LoadedCompany
        Tonight's.
    then : mapping
        As `profile` gave it at training; empty for a model that kept none, which is compared with nothing.
    trained_as_of : datetime
        UTC, without a zone: words are counted among the rows since.
    """
    if not then:
        return []
    now = profile(company)
    found = []
    for name in sorted(set(now["columns"]) | set(then["columns"])):
        table, _, column = name.partition(".")
        is_type, was_type = now["columns"].get(name), then["columns"].get(name)
        if was_type is None:
            found.append(
                ColumnChange(table, column, "new", f"{name} is new since training, and no forecast looks at it")
            )
        elif is_type is None:
            found.append(ColumnChange(table, column, "gone", f"{name} is gone since training"))
        elif is_type != was_type:
            text = f"{name} is {is_type}; at training it was {was_type}"
            found.append(ColumnChange(table, column, "type", text))
        share, was_share = now["unreadable"].get(name, 0.0), then["unreadable"].get(name, 0.0)
        if share > was_share:
            text = f"{name} cannot be read in {share:.1%} of its rows; at training in {was_share:.1%}"
            found.append(ColumnChange(table, column, "unreadable", text, share - was_share))
    for name, known in sorted(then["words"].items()):
        if now["columns"].get(name) == then["columns"].get(name):
            found += _new_words(company, name, known, trained_as_of)
    return found


def _new_words(company: LoadedCompany, name: str, known: list[str], trained_as_of: datetime) -> list[ColumnChange]:
    table, _, column = name.partition(".")
    recent = f"FILTER ({_DATED[table]} > $since)" if table in _DATED else "FILTER ($since IS NOT NULL)"
    rows = company.connection.execute(
        f"SELECT {quoted(column)}, count(*), count(*) {recent} FROM {table} GROUP BY 1 ORDER BY 2 DESC, 1",
        {"since": trained_as_of},
    ).fetchall()
    unseen = [(word, n, recent) for word, n, recent in rows if word is not None and word not in known]
    since = sum(recent for _, _, recent in rows)
    if not unseen:
        return []
    listed = ", ".join(f"'{word[:_WORD_LENGTH]}' {counted(n, 'row', 'rows')}" for word, n, _ in unseen[:3])
    more = f" and {len(unseen) - 3} more" if len(unseen) > 3 else ""
    # A company's own column may hold anything, names of people too: its words are counted, not told.
    where = (
        f": {listed}{more}"
        if column in WORD_COLUMNS[table]
        else f", in {counted(sum(n for _, n, _ in unseen), 'row', 'rows')}"
    )
    text = f"{name} has {len(unseen)} new word{'s' if len(unseen) > 1 else ''} since training{where}"
    # A word that was renamed in the source is new in old rows too.
    every = sum(n for _, n, _ in rows)
    share = max(sum(recent for *_, recent in unseen) / max(since, 1), sum(n for _, n, _ in unseen) / max(every, 1))
    return [ColumnChange(table, column, "words", text, share)]
