"""The audit: which columns must stay out of the model until a person says otherwise, and what else is odd."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features import lifecycle
from pipeline.audit.audit_sample import Audited, audited_accounts, audited_leads
from pipeline.audit.data_warnings import data_warnings
from pipeline.audit.decisions import (
    Judged,
    apply_overrides,
    decide,
    dominating,
    judge_columns,
    leave_out_unreached,
    name_keys,
)
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
    set_aside : dict of str to dict of str to str
        Words of columns (``table.column``) that no feature may read, and why; the columns stay in.
    dominating : str
        The column (``table.column``) that a forecast would hang on, which a person is asked about; empty if none does.
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
    set_aside: dict[str, dict[str, str]] = field(default_factory=dict)
    dominating: str = ""


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
    counts = dict.fromkeys(("open", "won", "lost", "joined", "unknown"), 0)
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
    leave_out_unreached(columns)
    first = dominating(columns, at_creation, loaded.params.audit.keep)
    warnings += _asked(columns, first)
    drift = conversion_drift(leads, as_of, loaded.params.primary_horizon_days)
    reconciliation = reconcile(loaded)
    warnings += data_warnings(loaded, as_of, counts, columns, drift, reconciliation)
    judged = [*columns, *(item for item in kinds if item.findings)]
    return AuditResult(
        {item.key: item.reason for item in judged if item.is_out},
        warnings,
        {"leads": sum(counts.values()), **counts},
        reconciliation,
        [item.figures() for item in judged],
        frozenset(f"{item.table}.{item.name}" for item in columns if item.is_out),
        frozenset(item.name for item in kinds if item.is_out),
        tests,
        drift,
        _refusal(reconciliation, loaded.params.data.quarantined_share_limit),
        {f"{item.table}.{item.name}": item.words for item in columns if item.words},
        "" if first is None else f"{first.table}.{first.name}",
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


def _asked(columns: list[Judged], first: Judged | None) -> list[dict[str, Any]]:
    """Say which words are set aside, and ask about the column that a forecast would hang on."""
    warnings = [
        {"code": "set_aside", "text": f"{item.key}: '{masked(word)}' is set aside, the column stays: {why}",
         "table": item.table, "column": item.name}
        for item in columns
        for word, why in sorted(item.words.items())
    ]  # fmt: skip
    if first is None:
        return warnings
    others = [item.auc_alone[0] for item in columns if item is not first and not item.is_out]
    following = max((auc for auc in others if auc is not None), default=0.5)
    text = (
        f"was {first.key} known before the outcome? Alone it tells won {first.groups.row_noun if first.groups else ''} "
        f"from the others with an AUC of {first.auc_alone[0]:.2f}, the next column with {following:.2f}; if so, list "
        "it under audit.keep, else under ignore; the backtest shows what the forecast is worth without it"
    )
    return [*warnings, {"code": "dominates", "text": text, "table": first.table, "column": first.name}]


def _vouched(mapping: Any) -> list[str]:
    return mapping.raw.source.known_at_creation


def _judge_events(loaded: LoadedCompany, leads: Audited, as_of: datetime) -> tuple[list[Judged], list[Judged], int]:
    """Give every kind of event with the sign against it, and the channel if one of its values is the outcome."""
    if not loaded.tables.has("events"):
        return [], [], 0
    found, tests = leaking_kinds(loaded, leads.rows, leads.groups, as_of)
    kinds = [Judged("events", kind, [finding] if finding else []) for kind, finding in found.items()]
    channels = []
    if loaded.tables.has("events", "channel"):
        found, made = leaking_kinds(loaded, leads.rows, leads.groups, as_of, "channel")
        tests += made
        signs = [
            Finding("event", f"'{masked(value)}' {finding.reason}", finding.log_chance)
            for value, finding in found.items()
            if finding
        ]
        channels = [Judged("events", "channel", sorted(signs, key=lambda sign: sign.log_chance))] if signs else []
    return kinds, channels, tests
