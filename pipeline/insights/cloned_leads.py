"""Leads copied with other events than they had: what their touches would say, built as features are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features import engagement
from features.materialise import to_frame
from features.schema import EVENTS, TIME, Tables
from features.snapshot_context import KEYS, snapshot_context
from features.spec import FeatureSpec


def cloned_touches(
    tables: Tables, spec: FeatureSpec, clones: pd.DataFrame, change: Callable[[ir.Table], ir.Table]
) -> pd.DataFrame:
    """Build the features of touches for copies of leads, each a lead of its own that belongs to no company.

    Parameters
    ----------
    tables : Tables
    spec : FeatureSpec
    clones : DataFrame
        ``clone_id, lead_id, episode, as_of``, no clone twice.
    change : callable
        Takes the events of all clones (``lead_id`` is the clone's) and gives those that they shall have.

    Returns
    -------
    DataFrame
        The columns ``touch_…``, a row a clone in the order of `clones`.
    """
    whose = ibis.memtable(clones[["clone_id", "lead_id", "episode", "as_of"]])
    leads = tables.leads.semi_join(whose.select("lead_id").distinct(), "lead_id")
    leads = whose.select("lead_id", "clone_id").join(leads, "lead_id")
    leads = leads.mutate(lead_id=leads.clone_id, account_id=ibis.null("string")).select(tables.leads.columns)
    events = tables.events.semi_join(whose.select("lead_id").distinct(), "lead_id")
    events = whose.select("lead_id", "clone_id").join(events, "lead_id")
    events = events.mutate(lead_id=events.clone_id).select(*EVENTS)
    own = replace(tables, leads=leads.cache(), events=change(events).cache())
    snapshots = whose.select(lead_id="clone_id", episode=whose.episode.cast("int64"), as_of=whose.as_of.cast(TIME))
    context = snapshot_context(own, snapshots, spec)
    keys = context.every.select("snapshot", *KEYS)
    built = to_frame(keys.join(engagement.features(context), "snapshot").drop("snapshot"))
    built = clones[["clone_id"]].merge(built, left_on="clone_id", right_on="lead_id", how="left")
    return built[[str(name) for name in built if str(name).startswith("touch_")]]


def reproduced(copies: pd.DataFrame, originals: pd.DataFrame) -> list[str]:
    """Name the columns that unchanged copies give as their originals have them.

    The others depend on more than the lead's own events.
    """
    names = [str(name) for name in copies if name in originals.columns]
    pairs = {name: (copies[name].to_numpy(float), originals[name].to_numpy(float)) for name in names}
    return [name for name, pair in pairs.items() if np.allclose(*pair, rtol=1e-9, atol=1e-9, equal_nan=True)]
