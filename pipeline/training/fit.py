"""From tables to a model, using only what was known at one instant: what train and backtest share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from features import catalogue, labels, lifecycle, snapshots, timing
from features.labels import WON
from features.materialise import build_matrix, to_frame
from features.schema import materialise
from features.snapshot_context import KEYS
from features.spec import FeatureSpec
from models.forecaster import LeadForecaster
from pipeline.audit.leakage_audit import AuditResult, audit
from pipeline.common.dates import iso, local_iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.config.params import Params
from pipeline.ingest.company import LoadedCompany, data_fingerprint
from pipeline.ingest.source_profile import profile
from pipeline.model_registry.model_artifact import ModelFacts, StoredModel, source_fingerprint


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


def learn(
    company: LoadedCompany,
    params: Params,
    as_of: datetime,
    *,
    without: frozenset[str] = frozenset(),
    findings: AuditResult | None = None,
) -> Training:
    """Train a forecaster on what was known at `as_of`: snapshots, labels, features and audit alike.

    Parameters
    ----------
    company : LoadedCompany
    params : Params
    as_of : datetime
    without : frozenset of str
        Columns, as ``table.column``, that are left out besides those that the audit keeps out.
    findings : AuditResult, optional
        The audit of that instant, where it is at hand.

    Raises
    ------
    UserError
        If nothing can be learned: no lead was known by then, or none had been won.
    """
    tables = company.on_engine
    findings = audit(company, as_of) if findings is None else findings
    spec = feature_spec(company, params, as_of, findings, without)
    outcomes = lifecycle.outcomes(tables, known_at=as_of, amount_window_days=params.data.amount_window_days)
    outcomes = materialise(outcomes)
    grid = materialise(
        snapshots.training_snapshots(tables, cutoff=as_of, rows_limit=params.snapshots.rows_limit, seed=params.seed)
    )
    drawn, grid = to_frame(grid), grid.drop("weight")
    known = to_frame(labels.labels(grid, outcomes, as_of, params.data.timezone))
    won_count = int(known.loc[known["event"] == WON, ["lead_id", "episode"]].drop_duplicates().shape[0])
    if won_count == 0:
        raise UserError(
            f"nothing to learn from: of {counted(known['lead_id'].nunique(), 'lead', 'leads')} seen open before "
            f"{local_iso(as_of, params.data.timezone)}, none was "
            "won by then; choose a later --as-of, or look at `leadrev check` for deals that were not loaded"
        )
    rows = build_matrix(tables, grid, spec)
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
        monotone_increasing=tuple(entry.name for entry in catalogue.entries(spec) if entry.is_monotone_increasing),
        early_features=(timing.AGE,),
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
        data_fingerprint=data_fingerprint(company),
        source_fingerprint=source_fingerprint(),
        excluded=findings.excluded,
        profile=profile(company, as_of),
        audit_failed=findings.refusal,
    )
    return Training(StoredModel(forecaster, spec, facts), X, y, findings)


def feature_spec(
    company: LoadedCompany,
    params: Params,
    as_of: datetime,
    findings: AuditResult,
    without: frozenset[str] = frozenset(),
) -> FeatureSpec:
    """Which features are built: what the tables hold by `as_of`, less what the audit keeps out."""
    return FeatureSpec.from_tables(
        company.on_engine,
        known_at=as_of,
        excluded=findings.excluded_columns | without,
        set_aside=findings.set_aside,
        known_at_creation=company.vouched_columns,
        excluded_kinds=findings.excluded_kinds,
        windows_days=tuple(params.features.windows_days),
        timezone=params.data.timezone,
        fiscal_year_start_month=params.fiscal_year_start_month,
        primary_horizon_days=params.primary_horizon_days,
    )
