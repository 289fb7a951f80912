"""What it would take: the forecast again with one more touch, if that acts on this lead as it did on others.

An association that the model has learnt, no promise: leads that got a meeting were also leads that looked worth one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import ibis
import numpy as np
import pandas as pd

from features import wording
from features.schema import EVENTS, Tables
from features.snapshot_context import KEYS
from features.spec import FeatureSpec
from pipeline.common import formatting
from pipeline.insights.cloned_leads import cloned_touches, reproduced
from pipeline.model_registry.model_artifact import StoredModel

MOST = 3
JOINT = ("meeting", "demo", "call", "proposal_sent", "mail_sent", "email_sent")
"""Kinds of touches that a salesperson can bring about, most telling first."""
TOP = "A"
A_LOT = 0.1
"""Less of the forecast than this is a little."""
CAUTION = "if it acts as it did for others"


def possible_actions(spec: FeatureSpec) -> list[str]:
    """Name the kinds of events that sales can bring about: at most three, most telling first."""
    if not spec.has("events.kind"):
        return []
    ours = [kind for kind in spec.event_kinds if kind in spec.outbound_kinds or kind in ("meeting", "demo")]
    return sorted(ours, key=lambda kind: (JOINT.index(kind) if kind in JOINT else len(JOINT), ours.index(kind)))[:MOST]


def what_it_would_take(
    stored: StoredModel, tables: Tables, as_of: datetime, matrix: pd.DataFrame, currency: str
) -> list[str]:
    """Forecast leads again as if each possible touch had just happened.

    The touch is put among the lead's own events and its features are built again, so that every count, span and pace
    that it moves moves with it; all else stays.

    Parameters
    ----------
    stored : StoredModel
    tables : Tables
        The company's.
    as_of : datetime
        The date of the scores.
    matrix : data frame of shape (n_leads, n_features + 3)
        The leads' features.
    currency : str
        Of the amounts.

    Returns
    -------
    list of str
        For each lead a JSON list of ``{action, text, money, points, score, top_tenth}`` with what each touch that
        helps would add to expected revenue and chance, and the score then; the one that adds most first.
    """
    actions = possible_actions(stored.spec)
    if not actions or not len(matrix):
        return ["[]"] * len(matrix)
    changed = _with_one_more(stored.spec, tables, as_of, matrix, actions)
    forecaster = stored.forecaster
    X = pd.concat([stored.feature_columns(matrix), *changed], ignore_index=True)
    forecast = forecaster.predict(X)
    value = forecast[forecaster.rank_key_].to_numpy().reshape(len(actions) + 1, -1)
    name = forecaster.rank_key_.removeprefix("expected_revenue_").removeprefix("p_win_")
    chance = 100 * forecast[f"p_win_{name}"].to_numpy().reshape(value.shape)
    score = forecast["score"].to_numpy().reshape(value.shape)
    top = (forecast["grade"] == TOP).to_numpy().reshape(value.shape)
    gain = value[1:] - value[0]
    gain[gain < 0.01 * value[0]] = -np.inf
    has_money = forecaster.has_value_
    nouns = [wording.event_words(kind)[1] for kind in actions]
    found = []
    for lead in range(len(matrix)):
        results = []
        for action in np.argsort(-gain[:, lead], kind="stable"):
            if gain[action, lead] == -np.inf:
                break
            then = action + 1
            points = chance[then, lead] - chance[0, lead]
            weight = (
                formatting.money(gain[action, lead], currency, signed=True) if has_money else formatting.points(points)
            )
            reaches = bool(top[then, lead] and not top[0, lead])
            what = (
                "would put it in the top tenth"
                if reaches
                else f"would lift its score from {score[0, lead]} to {score[then, lead]}"
                if score[then, lead] > score[0, lead]
                else "would help"
                if gain[action, lead] >= A_LOT * value[0, lead]
                else "would help a little"
            )
            results.append(
                {
                    "action": actions[action],
                    "text": f"One more {nouns[action]} {what} ({weight}), {CAUTION}",
                    "money": round(float(gain[action, lead]), 2) if has_money else None,
                    "points": round(float(points), 2),
                    "score": int(score[then, lead]),
                    "top_tenth": reaches,
                }
            )
        found.append(json.dumps(results, ensure_ascii=False))
    return found


def _with_one_more(
    spec: FeatureSpec, tables: Tables, as_of: datetime, matrix: pd.DataFrame, actions: Sequence[str]
) -> list[pd.DataFrame]:
    """Build the features of the leads again with one more event, for each action in one pass.

    Every lead is copied once an action, and once without any: where the copy without does not give a column as it is,
    the column depends on more than the lead's own events, and is left as it is.
    """
    copies = len(actions) + 1
    chosen = matrix[["lead_id", "episode"]].astype({"lead_id": str})
    clones = pd.concat(
        [chosen.assign(place=np.arange(len(chosen)), copy=number) for number in range(copies)], ignore_index=True
    )
    clones["clone_id"] = [f"{place}#{number}" for place, number in zip(clones["place"], clones["copy"], strict=True)]
    happening = clones[clones["copy"] > 0]
    channels = _channels(tables, actions)
    given = {
        "lead_id": happening["clone_id"],
        "event_id": happening["clone_id"],
        "kind": [actions[number - 1] for number in happening["copy"]],
        "direction": "outbound",
        "channel": [channels[number - 1] for number in happening["copy"]],
        "occurred_at": pd.Timestamp(as_of),
        "known_at": pd.Timestamp(as_of),
    }
    more = ibis.memtable(pd.DataFrame(given))
    more = more.select(
        **{name: more[name].cast(type_) if name in given else ibis.null(type_) for name, type_ in EVENTS.items()}
    )
    built = cloned_touches(tables, spec, clones.assign(as_of=pd.Timestamp(as_of)), lambda events: events.union(more))
    blocks = [built.iloc[start : start + len(matrix)] for start in range(0, len(built), len(matrix))]
    same = reproduced(blocks[0], matrix)
    features = matrix.drop(columns=KEYS)
    return [features.assign(**{name: block[name].to_numpy(float) for name in same}) for block in blocks[1:]]


def _channels(tables: Tables, actions: Sequence[str]) -> list[str | None]:
    """Find the channel that each kind mostly comes by."""
    counts = tables.events.filter(tables.events.kind.isin(list(actions))).group_by("kind", "channel")
    found = counts.agg(rows=ibis._.count()).to_pandas().sort_values(["rows", "channel"], ascending=[False, True])
    most = found.drop_duplicates("kind").set_index("kind")["channel"]
    return [None if kind not in most or pd.isna(most[kind]) else str(most[kind]) for kind in actions]
