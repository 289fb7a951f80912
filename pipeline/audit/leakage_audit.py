"""The audit: which columns must stay out of the model until a person says otherwise, and what else is odd."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features import lifecycle
from pipeline.audit.audit_sample import Audited, audited_accounts, audited_leads
from pipeline.audit.data_warnings import data_warnings
from pipeline.audit.decisions import Judged, apply_overrides, decide, judge_columns, name_keys
from pipeline.audit.drift import conversion_drift
from pipeline.audit.event_leakage import leaking_kinds
from pipeline.audit.outcome_groups import Finding
from pipeline.audit.reconciliation import Reconciliation, reconcile
from pipeline.common.masking import masked
from pipeline.ingest.company import LoadedCompany


@dataclass(frozen=True)
class AuditResult:
    """What the audit found.

    Parameters
    ----------
    excluded : dict of str to str
        Columns and kinds of events that stay out of the model, and why. Attributes and kinds by their bare name,
        columns of the contract as ``leads.owner_id``; where a bare name would mean two things, ``leads.region`` and
        ``accounts.region``, and ``event:region`` for the kind.
    warnings : list of dict
        ``code``, ``text``, and where it applies ``table``, ``column``, ``count``.
    counts : dict
        ``leads, open, won, lost, unknown`` at the date of the audit.
    reconciliation : Reconciliation
        Won deals and revenue per month, in the source and as loaded.
    columns : list of dict
        Every column that was looked at, and every kind that stays out: ``key, table, column`` (null for a kind),
        ``verdict`` ('cleared', 'kept out', 'cannot tell yet', 'vouched for'), ``code`` and ``reason``, and for columns
        how much of it is ``filled``, of won leads and of the others, and the ``auc`` of the column alone (null where
        unknown).
    excluded_columns, excluded_kinds : frozenset of str
        What `excluded` holds, as ``table.column`` and as the kinds themselves.
    tests_count : int
        Comparisons made, over which the family-wise error is shared.
    drift : dict
        As `pipeline.audit.drift.conversion_drift` gives it.
    refusal : str
        Why no model of these data should be used; empty where nothing speaks against it.
    """

    excluded: dict[str, str]
    warnings: list[dict[str, Any]]
    counts: dict[str, int]
    reconciliation: Reconciliation
    columns: list[dict[str, Any]] = field(default_factory=list)
    excluded_columns: frozenset[str] = frozenset()
    excluded_kinds: frozenset[str] = frozenset()
    tests_count: int = 0
    drift: dict[str, Any] = field(default_factory=dict)
    refusal: str = ""


def audit(loaded: LoadedCompany, as_of: datetime) -> AuditResult:
    """Audit a company by what was known at `as_of`.

    A column of the company's own must be cleared: while it is filled for fewer than ten leads, or fewer than ten leads
    are won, the audit cannot tell, and it stays out. Columns of the contract, whose meaning is known, stay in until a
    sign is found against them.

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
    known = lifecycle.standings(loaded.tables, as_of, loaded.params.data.amount_window_days).cache()
    counts = dict.fromkeys(("open", "won", "lost", "unknown"), 0)
    counts |= dict(known.group_by("outcome").agg(n=known.count()).to_pandas().itertuples(index=False, name=None))
    leads = audited_leads(loaded, known, as_of)
    accounts = audited_accounts(loaded, known, as_of)
    parts = [leads, accounts] if accounts else [leads]
    columns: list[Judged] = []
    tests = 0
    for part in parts:
        found, made = judge_columns(part)
        columns, tests = columns + found, tests + made
    kinds, channels, made = _judge_events(loaded, leads, as_of)
    columns, tests = columns + channels, tests + made
    name_keys(columns, kinds)
    decide(columns, kinds, tests)
    at_creation = {f"{mapping.raw.table}.{name}" for mapping in loaded.mappings for name in _vouched(mapping)}
    warnings = apply_overrides([*columns, *kinds], loaded.params.audit.keep, at_creation)
    drift = conversion_drift(leads, as_of, loaded.params.primary_horizon_days)
    reconciliation = reconcile(loaded)
    warnings += data_warnings(loaded, as_of, counts, columns, drift, reconciliation)
    told = [*columns, *(item for item in kinds if item.findings)]
    return AuditResult(
        {item.key: item.reason for item in told if item.is_out},
        warnings,
        {"leads": sum(counts.values()), **counts},
        reconciliation,
        [item.figures() for item in told],
        frozenset(f"{item.table}.{item.name}" for item in columns if item.is_out),
        frozenset(item.name for item in kinds if item.is_out),
        tests,
        drift,
        _refusal(reconciliation, loaded.params.data.quarantined_share_limit),
    )


def _refusal(reconciliation: Reconciliation, limit: float) -> str:
    """Say why no model of these data should be used: too much of the revenue was never loaded."""
    if reconciliation.unloaded_share <= limit:
        return ""
    total = reconciliation.total
    return (
        f"the audit says: of {total.revenue['source']:,.2f} {reconciliation.currency} won in {total.deals['source']:,} "
        f"deals of the source, {reconciliation.unloaded_share:.0%} is not loaded (data.quarantined_share_limit: "
        f"{limit:g}); see `leadrev check`"
    )


def _vouched(mapping: Any) -> list[str]:
    return mapping.raw.source.known_at_creation


def _judge_events(loaded: LoadedCompany, leads: Audited, as_of: datetime) -> tuple[list[Judged], list[Judged], int]:
    """Give every kind of event with the sign against it, and the channel if one of its values is the outcome."""
    if not loaded.tables.has("events"):
        return [], [], 0
    found, tests = leaking_kinds(loaded, leads.rows, leads.endings, as_of)
    kinds = [Judged("events", kind, [finding] if finding else []) for kind, finding in found.items()]
    channels = []
    if loaded.tables.has("events", "channel"):
        found, made = leaking_kinds(loaded, leads.rows, leads.endings, as_of, "channel")
        tests += made
        signs = [
            Finding("event", f"'{masked(value)}' {finding.reason}", finding.log_chance)
            for value, finding in found.items()
            if finding
        ]
        channels = [Judged("events", "channel", sorted(signs, key=lambda sign: sign.log_chance))] if signs else []
    return kinds, channels, tests
