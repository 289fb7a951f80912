"""From tables to a model, using only what was known at one instant: what train and backtest share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features import catalogue, labels, lifecycle, matrix, snapshots, timing
from features.schema import Tables, kept
from features.snapshot_context import ask
from features.spec import FeatureSpec
from models.forecaster import LeadForecaster
from pipeline.audit.leakage_audit import AuditResult, audit
from pipeline.common.errors import UserError
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.load import LoadedCompany, load_tables, parse_as_of
from pipeline.model_registry.model_artifact import KEYS, ModelFacts, StoredModel, iso, source_fingerprint

WON = 1
SILENT_DAYS = 7
ROWS_AT_ONCE = 50_000
"""Snapshots whose features are built together."""


@dataclass(frozen=True)
class Training:
    """A model and what it was trained on.

    Parameters
    ----------
    stored : StoredModel
        The model.
    X : data frame of shape (n_snapshots, n_features)
        The training matrix.
    y : data frame of shape (n_snapshots, 6)
        ``event``, ``duration`` (days), ``amount``, ``as_of``, ``lead_id``, ``weight`` (1 on average).
    audit : AuditResult
        Which columns were kept out, and what else was noticed.
    """

    stored: StoredModel
    X: pd.DataFrame
    y: pd.DataFrame
    audit: AuditResult


def learn(company: LoadedCompany, params: Params, as_of: datetime) -> Training:
    """Train a forecaster on what was known at `as_of`: snapshots, labels, features and audit alike.

    Raises
    ------
    UserError
        If nothing can be learned: no lead was known by then, or none had been won.
    """
    tables = company.on_engine
    findings = audit(company, as_of)
    spec = feature_spec(company, params, as_of, findings)
    outcomes = lifecycle.outcomes(tables, known_at=as_of, amount_window_days=params.data.amount_window_days)
    outcomes = kept(outcomes)
    grid = kept(
        snapshots.training_snapshots(tables, cutoff=as_of, rows_limit=params.snapshots.rows_limit, seed=params.seed)
    )
    drawn, grid = to_frame(grid), grid.drop("weight")
    known = to_frame(labels.labels(grid, outcomes, as_of))
    won_count = int(known.loc[known["event"] == WON, ["lead_id", "episode"]].drop_duplicates().shape[0])
    if won_count == 0:
        raise UserError(
            f"nothing to learn from: of {known['lead_id'].nunique():,} leads seen open before {iso(as_of)}, none was "
            "won by then; choose a later --as-of, or look at `leadrev check` for deals that were not loaded"
        )
    rows = built(tables, grid, spec)
    if not (rows[KEYS].equals(known[KEYS]) and drawn[KEYS].equals(known[KEYS])):
        raise RuntimeError("features and labels do not stand on the same snapshots")
    X = rows.drop(columns=KEYS)
    y = pd.DataFrame(
        {
            "event": known["event"].to_numpy(int),
            "duration": known["duration_days"].to_numpy(float),
            "amount": known["amount"].to_numpy(float),
            "as_of": known["as_of"],
            "lead_id": known["lead_id"],
            "weight": (drawn["weight"] / drawn["weight"].mean()).to_numpy(float),
        }
    )
    forecaster = LeadForecaster(
        horizons_days=tuple(params.horizons_days),
        primary_horizon_days=params.primary_horizon_days,
        rising=tuple(entry.name for entry in catalogue.entries(spec) if entry.is_rising),
        first=(timing.AGE,),
        random_state=params.seed,
        **params.model.model_dump(),
    ).fit(X, y, y["weight"])
    facts = ModelFacts(
        company=params.company,
        currency=params.currency,
        timezone=params.data.timezone,
        fiscal_year_start_month=params.fiscal_year_start_month,
        trained_as_of=iso(as_of),
        won_count=won_count,
        snapshot_count=len(X),
        lead_count=int(known["lead_id"].nunique()),
        data_fingerprint=company.fingerprint,
        source_fingerprint=source_fingerprint(),
        excluded=findings.excluded,
    )
    return Training(StoredModel(forecaster, spec, facts), X, y, findings)


def company_at(params: Params, as_of: str | None) -> tuple[LoadedCompany, datetime]:
    """Read the company and ``--as-of``: by default where the data end, and never long after, when silence looks open.

    Raises
    ------
    UserError
        If the date is unreadable, or lies more than a week after the data end.
    """
    instant = None if as_of is None else parse_as_of(as_of, params)  # before anything is read
    with step("reading and checking the sources"):
        company = load_tables(params)
    if instant is None:
        return company, company.known_until
    if instant > company.known_until + timedelta(days=SILENT_DAYS):
        raise UserError(
            f"--as-of {as_of}: what is known ends at {iso(company.known_until)}, more than {SILENT_DAYS} days before; "
            "load newer data, or choose an earlier date"
        )
    return company, instant


def feature_spec(company: LoadedCompany, params: Params, as_of: datetime, findings: AuditResult) -> FeatureSpec:
    """Which features are built: what the tables hold by `as_of`, less what the audit keeps out."""
    return FeatureSpec.from_tables(
        company.on_engine,
        known_at=as_of,
        excluded=findings.excluded_columns,
        excluded_kinds=findings.excluded_kinds,
        windows_days=tuple(params.features.windows_days),
        timezone=params.data.timezone,
        fiscal_year_start_month=params.fiscal_year_start_month,
        primary_horizon_days=params.primary_horizon_days,
    )


def open_leads_matrix(
    company: LoadedCompany, spec: FeatureSpec, as_of: datetime, lead_id: str | None = None
) -> pd.DataFrame:
    """Build the features of every lead open at `as_of` (or of one lead), a row a lead, in the order of their ids."""
    grid = snapshots.open_leads(company.on_engine, as_of)
    if lead_id is not None:
        grid = grid.filter(grid.lead_id == lead_id)
    return built(company.on_engine, kept(grid), spec)


def built(tables: Tables, grid: ir.Table, spec: FeatureSpec) -> pd.DataFrame:
    """Build the features of snapshots, in the order of their keys.

    DuckDB builds them block after block, as the wide sums of many snapshots may not fit into memory; the query is
    compiled once, for a table that holds one block after the other.

    Parameters
    ----------
    tables : Tables
    grid : ibis table
        ``lead_id, episode, as_of``, no row twice.
    spec : FeatureSpec

    Returns
    -------
    data frame
        As `features.matrix.feature_matrix`.
    """
    backend: Any = tables.leads.get_backend()
    if backend.name != "duckdb":  # Spark has means of its own
        return to_frame(matrix.feature_matrix(tables, grid, spec))
    asked = ask(tables, grid, spec)
    count = int(asked.every.count().execute())
    name = ibis.util.gen_name("leadrev_block")
    columns: dict[str, np.ndarray] = {}
    for start in range(0, max(count, 1), ROWS_AT_ONCE):
        # Snapshots are numbered in the order of their keys, from 0 on.
        rows = asked.every.filter(asked.every.snapshot >= start, asked.every.snapshot < start + ROWS_AT_ONCE)
        block = backend.create_table(name, rows, temp=True, overwrite=True)
        if not columns:
            features = matrix.feature_block(asked.block(block)).order_by("snapshot").drop("snapshot")
            sql, schema = backend.compile(features), features.schema().to_pyarrow()
        found = backend.con.sql(sql).to_arrow_table().cast(schema)
        for column in schema.names:
            values = found[column].to_pandas().to_numpy()
            columns.setdefault(column, np.empty(count, values.dtype))[start : start + len(values)] = values
    backend.drop_table(name)
    return pd.DataFrame(columns, copy=False)


def what_came(
    company: LoadedCompany, params: Params, keys: pd.DataFrame, as_of: datetime, known_at: datetime
) -> pd.DataFrame:
    """Say what became of leads that were open at `as_of`, by what was known at `known_at`.

    Parameters
    ----------
    keys : data frame
        ``lead_id``, ``episode`` of the leads, in the order wanted.

    Returns
    -------
    data frame of shape (n_leads, 3)
        ``event`` (0 open, 1 won, 2 lost), ``duration`` in days from `as_of`, ``amount`` of those won.
    """
    outcomes = lifecycle.outcomes(
        company.on_engine, known_at=known_at, amount_window_days=params.data.amount_window_days
    )
    grid = snapshots.open_leads(company.on_engine, as_of)
    came = to_frame(labels.labels(grid, outcomes, known_at))
    came = keys[["lead_id", "episode"]].merge(came, on=["lead_id", "episode"], how="left", validate="one_to_one")
    return pd.DataFrame(
        {
            "event": came["event"].fillna(0).to_numpy(int),
            "duration": came["duration_days"].to_numpy(float),
            "amount": np.where(came["event"] == WON, came["amount"], np.nan).astype(float),
        }
    )


def to_frame(table) -> pd.DataFrame:
    """Bring an Ibis table of snapshots into memory, always in the same order."""
    frame = table.order_by(KEYS).to_pandas().reset_index(drop=True)
    return frame.astype({"as_of": "datetime64[us]"})  # Spark gives nanoseconds
