"""The feature matrix: what each lead looked like at each date, one row a snapshot."""

from __future__ import annotations

import ibis.expr.types as ir

from features import account_history, catalogue, engagement, firmographics, lead_source, sales_activity, timing
from features.schema import Tables
from features.snapshot_context import KEYS, SnapshotContext, join_facts, snapshot_context
from features.spec import FeatureSpec, without_addresses

__all__ = ["FeatureSpec", "feature_block", "feature_matrix"]


def feature_matrix(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Build the features of every snapshot from what was known at its date, and nothing later.

    Parameters
    ----------
    tables : Tables
    snapshots : ibis table
        ``lead_id, episode, as_of``, no row twice.
    spec : FeatureSpec
        What flows in; the same spec always gives the same columns.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of`` and one column for each entry of the catalogue, in its order: numbers as float64,
        words as text, unknown as null. Rows come in no certain order.
    """
    return feature_block(snapshot_context(tables, snapshots, spec)).drop("snapshot")


def feature_block(context: SnapshotContext) -> ir.Table:
    """Build the features of the snapshots in ``context.rows``.

    Returns
    -------
    ibis table
        ``snapshot`` and the columns of `feature_matrix`.
    """
    spec = context.spec
    themes = [timing.features, firmographics.features, lead_source.features, engagement.features]
    if spec.has_open_deals():
        themes.append(sales_activity.features)
    if spec.has("leads.account_id"):
        themes.append(account_history.features)
    rows = join_facts(context.rows.select("snapshot", *KEYS), *(features(context) for features in themes))
    columns = [
        without_addresses(rows[entry.name]).name(entry.name) if entry.is_category else rows[entry.name]
        for entry in catalogue.entries(spec)
    ]
    return rows.select("snapshot", *KEYS, *columns)
