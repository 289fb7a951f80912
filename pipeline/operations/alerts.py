"""What the monitor is sure enough of to wake somebody: in a sentence each, since when, how much, where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline.archive.chain import Entry
from pipeline.archive.extracts import taken_at
from pipeline.common.formatting import percent

SAME_WEEKDAY_LEAST, SAME_WEEKDAY_MOST = 3, 8
AGE_FACTOR, AGE_HOURS = 1.5, 12.0
"""A source is silent when its newest row is older than ever on this weekday, by so much."""


def outcome_alarms(outcomes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say of each failing segment what is wrong with it."""
    found = []
    for row in outcomes:
        if not row["alarm"]:
            continue
        side = "more" if row["ratio"] > 1 else "fewer"
        text = (
            f"{row['segment']}: {side} wins than forecast since {row['since']}: {row['observed']:,} where "
            f"{row['expected']:,.1f} were expected ({row['ratio']:.2f} times; e-value {row['e_value']:.3g}, alarm at "
            f"{row['alarm_at']:,.0f}); first raised on {row['alarm_on']}"
        )
        found.append({"kind": "outcomes", "subject": row["segment"], "since": row["since"], "text": text})
    return found


def input_alarms(inputs: Sequence[Mapping[str, Any]], unseen_limit: float) -> list[dict[str, Any]]:
    """Say which features hold words that training never had, or nothing where they were filled."""
    found = []
    for row in inputs:
        subject = row["feature"]
        if row["unseen_share"] > unseen_limit:
            text = f"{subject}: {percent(row['unseen_share'])} of the leads have a word that no training lead had"
        elif row["drifted"] and row["missing_share"] - row["missing_share_in_training"] > 0.2:
            text = (
                f"{subject}: is missing for {percent(row['missing_share'])} of the leads, in training for "
                f"{percent(row['missing_share_in_training'])}"
            )
        else:
            continue
        found.append({"kind": "inputs", "subject": subject, "since": None, "text": text})
    return found


def silent_sources(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Say which sources brought nothing new although they always do by this day of the week.

    Parameters
    ----------
    entries : sequence of Entry
        Extracts, the oldest first; the last is tonight's.

    Returns
    -------
    list of dict
        Alarms; none of a source with fewer than three earlier nights on this weekday.
    """
    if not entries:
        return []
    tonight, found = entries[-1], []
    for source, fact in tonight.seal["facts"].items():
        age = _age_hours(tonight, source)
        if age is None:
            continue
        weekday = taken_at(tonight).weekday()
        same = [entry for entry in entries[:-1] if taken_at(entry).weekday() == weekday][-SAME_WEEKDAY_MOST:]
        ages = [past for entry in same if (past := _age_hours(entry, source)) is not None]
        if len(ages) >= SAME_WEEKDAY_LEAST and age > AGE_FACTOR * max(ages) + AGE_HOURS:
            newest = str(fact["newest"])[:16].replace("T", " ")
            text = (
                f"{source} ({fact['label']}) is silent: its newest row is {age:,.0f} hours old ({newest} UTC), on this "
                f"weekday it was at most {max(ages):,.0f}"
            )
            found.append({"kind": "feed", "subject": source, "since": newest[:10], "text": text})
    return found


def _age_hours(entry: Entry, source: str) -> float | None:
    fact = entry.seal["facts"].get(source)
    if fact is None or fact["newest"] is None:
        return None
    newest = datetime.fromisoformat(fact["newest"]).replace(tzinfo=None)
    return (taken_at(entry) - newest).total_seconds() / 3600
