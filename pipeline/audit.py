# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""The audit: which columns must stay out of the model until a person says otherwise, and what else is odd."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from features import clock, lifecycle
from features.tables import SCHEMAS
from pipeline.data_warnings import data_warnings
from pipeline.leakage import CHANCE, COMMON_SHARE, NEARLY_ALL, VALUE_COUNT_LEAST, Endings, leak
from pipeline.tables import LoadedCompany

LEADS_LIMIT = 200_000
"""The audit looks at so many leads at most, chosen by a hash of their ids."""
KINDS_LIMIT = 50
FIT_COLUMNS = {
    "leads": ("source", "campaign", "title", "kind", "entry", "product", "existing_score"),
    "accounts": ("employees", "annual_revenue", "industry", "country", "founded_year"),
}
"""Columns of the contract that become features by their value; the audit holds them to the same tests as attributes."""
FREE_COLUMNS = frozenset({"title", "campaign", "source", "product", "kind", "entry", "country", "industry"})
"""Columns that features read in ways of their own: a value of its own for every lead, or one for all, does no harm."""
FILLED_COLUMNS = ("account_id", "contact_id", "owner_id", "email", "phone", "name", "company_name")
"""Columns of leads of which only whether they are filled becomes a feature."""


@dataclass(frozen=True)
class AuditResult:
    """What the audit found.

    Parameters
    ----------
    excluded : dict of str to str
        Columns and kinds of events that stay out of the model, and why. Attributes by their name, columns of the
        contract as ``leads.owner_id``, kinds of events by their name.
    warnings : list of dict
        ``code``, ``text``, and where it applies ``table``, ``column``, ``count``.
    counts : dict
        ``leads, open, won, lost, unknown`` at the date of the audit.
    """

    excluded: dict[str, str]
    warnings: list[dict[str, Any]]
    counts: dict[str, int]


def audit(loaded: LoadedCompany, as_of: datetime) -> AuditResult:
    """Audit a company by what was known at `as_of`.

    Parameters
    ----------
    loaded : LoadedCompany
    as_of : datetime
        Naive UTC. How leads ended after it has no say.

    Returns
    -------
    AuditResult
        What ``audit.keep`` or ``known_at_creation`` vouch for is never excluded, but warned of.
    """
    known = lifecycle.standings(loaded.tables, as_of, loaded.params.data.amount_window_days)
    counts = dict.fromkeys(("open", "won", "lost", "unknown"), 0)
    counts |= dict(known.group_by("outcome").agg(n=known.count()).to_pandas().itertuples(index=False, name=None))
    leads, columns = _frame(loaded, known, as_of)
    vouched = {name.lower() for name in (*loaded.params.audit.keep, *loaded.known_at_creation)}
    excluded: dict[str, str] = {}
    warnings: list[dict[str, Any]] = []
    endings = _endings(leads, _event_counts(loaded, leads, as_of))
    for key, (column, filled_only) in columns.items():
        values = leads[column].notna().map({True: 1.0}) if filled_only else leads[column]
        reason = leak(values, endings)
        bare = key.rpartition(".")[2]
        if reason is None or (bare in FREE_COLUMNS and reason.startswith(("nearly every", "has one", "holds free"))):
            continue
        if filled_only and reason.startswith("has one"):
            continue
        if {key.lower(), bare.lower()} & vouched:
            if not reason.startswith("has one"):
                text = f"{key} is kept by a person's word, though it is {reason}"
                warnings.append({"code": "kept", "text": text, "column": key})
        else:
            excluded[key] = reason
    for kind, reason in _leaking_kinds(endings).items():
        if kind.lower() in vouched:
            text = f"the event {kind} is kept by a person's word, though it {reason}"
            warnings.append({"code": "kept", "text": text, "column": kind})
        else:
            excluded[kind] = reason
    warnings += data_warnings(loaded, as_of, counts, leads, columns)
    return AuditResult(excluded, warnings, {"leads": sum(counts.values()), **counts})


def _frame(loaded: LoadedCompany, known: Any, as_of: datetime) -> tuple[pd.DataFrame, dict[str, tuple[str, bool]]]:
    """Give one row a lead with its ending and every column that may become a feature.

    Returns
    -------
    leads : DataFrame
    columns : dict
        For each key of ``excluded``, the frame's column, and whether only its being filled counts.
    """
    tables = loaded.tables
    state = known.select("lead_id", "created_at", "outcome", "ended_at")
    chosen: dict[str, tuple[str, bool]] = {}
    picked: dict[str, list[str]] = {"leads": [], "accounts": []}
    both = set(tables.attributes["leads"]) & set(tables.attributes["accounts"])
    for table in ("leads", "accounts"):
        fit = [name for name in FIT_COLUMNS[table] if tables.has(table, name)]
        filled = [name for name in FILLED_COLUMNS if table == "leads" and tables.has(table, name)]
        for name in (*fit, *filled, *tables.attributes[table]):
            is_contract = name in SCHEMAS[table]
            key = f"{table}.{name}" if is_contract or name in both else name
            chosen[key] = (f"{table}.{name}", name in filled)
            picked[table].append(name)
    leads = tables.leads.select("lead_id", account="account_id", **{f"leads.{name}": name for name in picked["leads"]})
    frame = state.join(leads, "lead_id")
    if picked["accounts"]:
        versions = clock.account_versions(tables)
        versions = versions.filter(clock.current_at(versions, as_of))
        accounts = versions.select(account="account_id", **{f"accounts.{name}": name for name in picked["accounts"]})
        frame = frame.left_join(accounts, "account").drop("account_right")
    query = loaded.backend.compile(frame)
    leads_frame = loaded.connection.execute(
        f"SELECT *, hash(lead_id || 'fold') % 2 AS fold FROM ({query}) "
        f"ORDER BY hash(lead_id), lead_id LIMIT {LEADS_LIMIT}"
    ).df()
    return leads_frame, chosen


def _event_counts(loaded: LoadedCompany, leads: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """Count the events that each lead has had, all and by kind."""
    if not loaded.tables.has("events"):
        return pd.DataFrame(index=leads.index)
    events = clock.happened_events(loaded.tables)
    events = events.filter(clock.known_by(events.visible_at, as_of))
    counts = events.group_by("lead_id", "kind").agg(n=events.count())
    connection = loaded.connection
    connection.register("audited", leads[["lead_id"]])
    found = connection.execute(
        f"SELECT lead_id, kind, n FROM ({loaded.backend.compile(counts)}) SEMI JOIN audited USING (lead_id)"
    ).df()
    connection.unregister("audited")
    wide = found.pivot_table(index="lead_id", columns="kind", values="n", aggfunc="sum", fill_value=0)
    wide = wide[wide.sum().sort_values(ascending=False, kind="stable").index[:KINDS_LIMIT]]
    wide = wide.reindex(leads["lead_id"]).fillna(0).reset_index(drop=True)
    wide.insert(0, "all its events", wide.sum(axis=1))
    return wide


def _endings(leads: pd.DataFrame, event_counts: pd.DataFrame) -> Endings:
    outcome = leads["outcome"].to_numpy()
    created = leads["created_at"]
    return Endings(
        won=outcome == "won",
        lost=outcome == "lost",
        ended=outcome != "open",
        month=(created.dt.year * 12 + created.dt.month).to_numpy(),
        fold=leads["fold"].to_numpy(),
        event_counts=event_counts,
    )


def _leaking_kinds(endings: Endings) -> dict[str, str]:
    """Find kinds of events that happen only to leads that are won, or only to leads that are lost."""
    found = {}
    for kind in endings.event_counts.columns[1:]:
        rows = endings.event_counts[kind].to_numpy() > 0
        count = int(rows.sum())
        for flag, words in ((endings.won, "won"), (endings.lost, "lost")):
            usual = endings.usual_share(flag, rows) if count else 1.0
            chance = count * np.log(max(usual, 1e-12))
            together = int((flag & rows).sum())
            if (
                count >= VALUE_COUNT_LEAST
                and together >= NEARLY_ALL * count
                and usual <= COMMON_SHARE
                and chance < np.log(CHANCE)
            ):
                found[str(kind)] = (
                    f"happens only to leads that are {words} ({together:,} of {count:,}): part of the outcome"
                )
    return found
