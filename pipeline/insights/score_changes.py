"""What changed since the last scores, and why: today's parts minus those of then, so that they add up."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.catalogue import Feature
from models.shapley import ShapleyValues
from pipeline.common.dates import iso
from pipeline.common.seals import SealError, check_seal
from pipeline.insights.feature_groups import FloatArray, Signals
from pipeline.insights.reasons import spoken_for
from pipeline.insights.sentences import TEXT, as_lists, heads, weighed
from pipeline.model_registry.model_artifact import StoredModel

FILE = "previous.parquet"
UP_AND_DOWN = {1: 2, -1: 2}
STILL = ("fit", "source")
"""Themes whose facts stand still: what they weigh moves with the rest of the lead, and is no news of their own."""
LEAST_SHARE = 0.05  # of all that moved; less goes into "everything else"


@dataclass(frozen=True)
class Previous:
    """The last scores of an earlier date, as far as today's are compared with them.

    Parameters
    ----------
    as_of : datetime
        Their date, UTC.
    model_version : str
        The model that made them.
    totals : data frame, index lead_id
        ``money`` (all null without amounts) and ``points``: what each lead was expected to bring.
    parts : ndarray of shape (leads, signals)
        What each of today's signals added then, in the unit that ranks; a column unknown today is in none.
    """

    as_of: datetime
    model_version: str
    totals: pd.DataFrame
    parts: FloatArray

    def manifest_entry(self) -> dict[str, str]:
        """Say in the manifest what today's scores are compared with."""
        return {"as_of": iso(self.as_of), "model_version": self.model_version}

    def write(self, path: Path, groups: list[str]) -> None:
        """Keep what was compared with: a repeated run of the same date then compares with the same."""
        columns = {"lead_id": self.totals.index.to_numpy(object), **{n: self.totals[n].to_numpy() for n in self.totals}}
        columns |= {f"part {group}": self.parts[:, place] for place, group in enumerate(groups)}
        pq.write_table(pa.table(columns), path)


def read_previous(folder: Path, as_of: datetime, signals: Signals, stored: StoredModel) -> Previous | None:
    """Read the last scores in a folder if they are of an earlier date; None if there are none to compare with.

    Parameters
    ----------
    folder : Path
        A result of ``leadrev score``.
    as_of : datetime
        Today's date. Scores of that very date are not compared with: what *they* were compared with is.
    signals : Signals
        Today's.
    stored : StoredModel
        Today's; scores of another company, currency or horizon are not compared with.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    same = {
        "company": stored.facts.company,
        "currency": stored.facts.currency,
        "primary_horizon_days": stored.forecaster.primary_horizon_days,
    }
    if any(manifest.get(key) != now for key, now in same.items()) or manifest["as_of"] > iso(as_of):
        return None
    units = {"money": "attributions.parquet", "points": "attributions_points.parquet"}
    try:
        check_seal(folder, manifest.get("files", {}), (FILE, *units.values()))
    except SealError as error:
        print(f"not compared with the last scores: {error}", file=sys.stderr)
        return None
    if manifest["as_of"] == iso(as_of):
        entry = manifest.get("previous")
        return _read_kept(folder / FILE, entry, signals) if entry and (folder / FILE).exists() else None
    if manifest.get("base_points") is None or not all((folder / name).exists() for name in units.values()):
        return None
    group_of = {entry.name: place for place, group in enumerate(signals.groups) for entry in _of(signals, group)}
    totals, parts = {}, None
    for unit, name in units.items():
        file = pq.ParquetFile(folder / name)
        rows, columns = file.metadata.num_rows, file.schema_arrow.names
        if rows == 0:
            continue  # no amounts
        total = np.full(rows, float(manifest[f"base_{unit}"]))
        by_group = np.zeros((rows, len(signals.groups)), dtype=np.float32) if parts is None else None
        for column in columns[2:]:  # one after the other: not all are in memory at once
            values = file.read([column]).column(0).to_numpy()
            total += values
            if by_group is not None and column in group_of:
                by_group[:, group_of[column]] += values
        parts = by_group if parts is None else parts
        totals[unit] = total
    if parts is None:
        return None
    lead_ids = pq.read_table(folder / units["points"], columns=["lead_id"]).column(0).to_pandas()
    frame = pd.DataFrame({unit: totals.get(unit, np.nan) for unit in units}, index=lead_ids)
    return Previous(_instant(manifest["as_of"]), str(manifest["model_version"]), frame, parts)


def _of(signals: Signals, group: str) -> list[Feature]:
    return [entry for entry in signals.entries if entry.group == group]


def _read_kept(path: Path, entry: Mapping[str, str], signals: Signals) -> Previous:
    kept = pq.read_table(path).to_pandas().set_index("lead_id")
    names = [f"part {group}" for group in signals.groups]
    parts = kept.reindex(columns=names, fill_value=0.0).to_numpy(np.float32)
    return Previous(_instant(entry["as_of"]), entry["model_version"], kept[["money", "points"]], parts)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


def still_open(previous: Previous, lead_ids: pd.Series) -> Previous:
    """Keep the leads that are in today's scores, in their order there."""
    at = previous.totals.index.get_indexer(pd.Index(lead_ids))
    at = at[at >= 0]
    return Previous(previous.as_of, previous.model_version, previous.totals.iloc[at], previous.parts[at])


def changes(
    previous: Previous,
    signals: Signals,
    lead_ids: pd.Series,
    X: pd.DataFrame,
    attributions: ShapleyValues,
    typical: Mapping[str, float],
) -> pd.DataFrame:
    """Say what changed for each lead since `previous`, and why.

    Returns
    -------
    data frame of shape (n_leads, 3)
        ``change_money``, ``change_points`` (missing for leads that were not scored then) and ``changes``: a JSON list
        of at most two signals that moved the lead up, two that moved it down, and everything else; their sum is the
        change, to the cent.
    """
    at = previous.totals.index.get_indexer(pd.Index(lead_ids))
    there = np.flatnonzero(at >= 0)
    ranked_by = attributions.points if attributions.money is None else attributions.money
    now = {"points": attributions.base_points + attributions.points.to_numpy().sum(axis=1)}
    if attributions.money is not None:
        now["money"] = attributions.base_money + attributions.money.to_numpy().sum(axis=1)
    result = pd.DataFrame({"change_money": np.nan, "change_points": np.nan, "changes": "[]"}, index=X.index)
    for unit, total in now.items():
        change = np.full(len(X), np.nan)
        change[there] = total[there] - previous.totals[unit].to_numpy()[at[there]]
        result[f"change_{unit}"] = change
    unit = "points" if attributions.money is None else "money"
    whole = np.round(result[f"change_{unit}"].to_numpy()[there], 2)
    moved = signals.by_group(ranked_by.iloc[there]) - previous.parts[at[there]]
    stands = [all(entry.theme in STILL and entry.is_fact for entry in _of(signals, g)) for g in signals.groups]
    least = LEAST_SHARE * np.abs(moved).sum(axis=1)
    X, weights = X.iloc[there], ranked_by.iloc[there].to_numpy()
    rows = np.arange(len(there))[:, None]
    parts: list[tuple[np.ndarray, pa.Array]] = []  # the lead of each object, and the object
    rest = whole.copy()
    for sign, most in UP_AND_DOWN.items():
        signed, speaker = spoken_for(signals, X, sign * moved, sign * weights, sign, typical, moves=False)
        signed[:, stands] = -np.inf
        strongest = np.argsort(-signed, axis=1, kind="stable")[:, :most]
        is_shown = signed[rows, strongest] > np.maximum(least, 0.005)[:, None]
        lead, group = np.broadcast_to(rows, is_shown.shape)[is_shown], strongest[is_shown]
        weight = np.round(moved[lead, group], 2)
        np.subtract.at(rest, lead, weight)
        begun = heads(signals, X, lead, speaker[lead, group], sign)
        parts.append((lead, weighed(begun, *((None, weight) if unit == "points" else (weight, None)))))
    rest = np.round(rest, 2)
    lead = np.flatnonzero(rest != 0)
    other = pa.array(['{"code": "other", "text": "Everything else", "feature": null, "value": null, "money": '], TEXT)
    begun = other.take(pa.array(np.zeros(len(lead), dtype=np.int64)))
    parts.append((lead, weighed(begun, *((None, rest[lead]) if unit == "points" else (rest[lead], None)))))
    leads = np.concatenate([lead for lead, _ in parts])
    objects = pa.concat_arrays([objects for _, objects in parts]).take(pa.array(np.argsort(leads, kind="stable")))
    lists = as_lists(objects, np.bincount(leads, minlength=len(there)))
    listed = result["changes"].to_numpy(object, copy=True)
    listed[there] = lists
    result["changes"] = listed
    return result
