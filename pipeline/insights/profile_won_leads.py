"""Choose, at training, the won leads that the model keeps, and find what it took to win them."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any

import ibis
import numpy as np
import pandas as pd

from features import catalogue, lifecycle, point_in_time, wording
from features.labels import WON
from features.schema import Tables
from features.spec import FeatureSpec
from features.versions import happened_events
from pipeline.common import formatting
from pipeline.common.masking import MAIL
from pipeline.insights.contact_cadence import segments
from pipeline.insights.feature_groups import Signals
from pipeline.insights.similar_leads import contributions
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.model_registry.won_lead_profiles import WonLeadProfiles

ROWS = 1_200
LEADS_FOR_HABITS = 5_000
LEAST_LEADS = 20  # fewer tell nothing of what winning takes
KINDS_SHOWN = 4


def profile_won_leads(
    tables: Tables, stored: StoredModel, X: pd.DataFrame, y: pd.DataFrame, as_of: datetime, amount_window_days: int
) -> WonLeadProfiles:
    """Choose the won leads that the model keeps, the latest wins first, and find what it took to win them.

    Parameters
    ----------
    tables : Tables
        The company's.
    stored : StoredModel
        Trained on what was known at `as_of`.
    X : data frame of shape (n_snapshots, n_features)
        The training matrix.
    y : data frame of shape (n_snapshots, n)
        ``event``, ``duration`` (days), ``amount``, ``as_of``, ``lead_id``.
    as_of : datetime
        Nothing known later is used.
    amount_window_days : int
        As in the params.
    """
    X, y = X.reset_index(drop=True), y.reset_index(drop=True)
    won = y[y["event"] == WON]
    won = won.assign(won_at=won["as_of"] + pd.to_timedelta(won["duration"], unit="D"))
    # Of each lead an early and a late view, no more: the same lead is not to be found twice.
    order = won.sort_values(["lead_id", "as_of"])
    place = order.groupby("lead_id").cumcount()
    size = order.groupby("lead_id")["as_of"].transform("size")
    picked = order[(place == size // 3) | (place == (2 * size) // 3)]
    picked = picked.sort_values(["won_at", "lead_id", "as_of"], ascending=[False, True, True]).head(ROWS)
    seen = X.loc[picked.index]
    signals = Signals(catalogue.entries(stored.spec), list(X.columns))
    parts = contributions(signals, stored.forecaster.explain(seen, check_count=0))
    rows = pd.DataFrame(
        {
            "lead_id": [_called(str(lead_id)) for lead_id in picked["lead_id"]],
            "days_to_win": picked["duration"].to_numpy(float),
            "amount": picked["amount"].to_numpy(float),
            "did": _what_followed(tables, stored.spec, picked),
        }
    )
    last = order.drop_duplicates("lead_id", keep="last")
    column, segment = segments(X.loc[last.index])
    like = pd.Series(segment, index=pd.Index(last["lead_id"].astype(str)))
    habits = _habits(tables, stored.spec, as_of, amount_window_days, like)
    return WonLeadProfiles(rows, signals.groups, parts, habits | {"segment": column} if habits else {})


def _called(lead_id: str) -> str:
    """Give an id that may be kept with a model: of one that is a mail address, a digest."""
    return f"lead {sha256(lead_id.encode()).hexdigest()[:10]}" if MAIL.search(lead_id) else lead_id


def _what_followed(tables: Tables, spec: FeatureSpec, picked: pd.DataFrame) -> list[str]:
    """Say in words what happened between a snapshot and its lead's being won."""
    if not spec.has("events.kind"):
        return [""] * len(picked)
    asked = pd.DataFrame(
        {
            "row": np.arange(len(picked)),
            "lead_id": picked["lead_id"].astype(str).to_numpy(),
            "as_of": picked["as_of"].to_numpy("datetime64[us]"),
            "won_at": picked["won_at"].to_numpy("datetime64[us]"),
        }
    )
    events = _counted(tables, spec)
    pairs = ibis.memtable(asked).join(events, "lead_id")
    after = pairs.filter(
        point_in_time.known_by(pairs.visible_at, pairs.won_at), ~point_in_time.known_by(pairs.visible_at, pairs.as_of)
    )
    counts = after.group_by("row", "kind").agg(count=after.count()).to_pandas()
    ours = counts["kind"].isin(spec.outbound_kinds)
    counts = counts.assign(later=~ours).sort_values(
        ["row", "later", "count", "kind"], ascending=[True, True, False, True]
    )
    phrases_of_row: dict[int, list[str]] = {}
    for row, kind, count in zip(counts["row"], counts["kind"], counts["count"], strict=True):
        phrases = phrases_of_row.setdefault(row, [])
        if len(phrases) < KINDS_SHOWN:
            noun = wording.event_words(kind)[1]
            phrases.append(formatting.count(count, noun, wording.plural(noun)))
    return [wording.listed(phrases_of_row.get(row, [])) for row in range(len(picked))]


def _counted(tables: Tables, spec: FeatureSpec) -> ibis.Table:
    events = happened_events(tables)
    return events.filter(events.kind.notin(spec.excluded_kinds)) if spec.excluded_kinds else events


def _habits(
    tables: Tables, spec: FeatureSpec, as_of: datetime, amount_window_days: int, segment: pd.Series
) -> dict[str, Any]:
    """Find how often won leads were touched until they were won, and how long the pauses between our touches were."""
    if not spec.has("events.direction"):
        return {}
    ends = lifecycle.outcomes(tables, known_at=as_of, amount_window_days=amount_window_days)
    ends = ends.filter(ends.outcome == "won").select("lead_id", "ended_at")
    ends = ends.order_by(ends.ended_at.desc(), ends.lead_id).limit(LEADS_FOR_HABITS)
    if ends.count().to_pandas() < LEAST_LEADS:
        return {}
    pairs = ends.join(_counted(tables, spec), "lead_id")
    until = pairs.filter(point_in_time.known_by(pairs.visible_at, pairs.ended_at))
    totals = ends.left_join(
        until.group_by("lead_id").agg(
            ours=until.count(where=until.direction == "outbound"),
            theirs=until.count(where=until.direction == "inbound"),
        ),
        "lead_id",
    ).to_pandas()
    touches = until.filter(until.direction == "outbound").select("lead_id", "kind", "occurred_at").to_pandas()
    quartiles = {
        name: [float(q) for q in totals[column].fillna(0).quantile([0.25, 0.5, 0.75])]
        for name, column in (("touches_from_us", "ours"), ("touches_from_lead", "theirs"))
    }
    gaps: dict[str, float] = {}
    gaps_of: dict[str, dict[str, float]] = {}
    for kind in ("", *spec.outbound_kinds):
        of_kind = touches if kind == "" else touches[touches["kind"] == kind]
        of_kind = of_kind.sort_values(["lead_id", "occurred_at"])
        pause = of_kind["occurred_at"].diff().dt.total_seconds() / 86_400
        pause = pause[of_kind["lead_id"].eq(of_kind["lead_id"].shift())]
        if len(pause) >= LEAST_LEADS:
            gaps[kind] = round(float(pause.median()), 2)
        for name, own in pause.groupby(of_kind["lead_id"].map(segment).reindex(pause.index)):
            if name and len(own) >= LEAST_LEADS:
                gaps_of.setdefault(str(name), {})[kind] = round(float(own.median()), 2)
    return {**quartiles, "gap_days": gaps, "gap_days_of": gaps_of}
