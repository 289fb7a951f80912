"""What is put into the outbox: rows that materially differ from what was delivered last, and leads no longer scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.delivery_params import OnlyChanges
from pipeline.delivery.changes import is_material
from pipeline.delivery.outbox import CLEAR, SET, Outbox
from pipeline.delivery.payload import Row


@dataclass
class Due:
    """What is to be done about the rows of a sink.

    Parameters
    ----------
    rows : list of Row
        To be sent: new ones, and those that changed.
    new : int
        How many of them the sink does not have.
    cleared : dict
        Keys of leads that are no longer scored, and what clears them.
    kept : int
        Rows of which the outbox already holds what is to be said.
    unchanged : int
    withdrawn : list of str
        Rows without a key in the sink, and with nothing left to say.
    """

    rows: list[Row] = field(default_factory=list)
    new: int = 0
    cleared: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: int = 0
    unchanged: int = 0
    withdrawn: list[str] = field(default_factory=list)


def find_due(
    outbox: Outbox | None,
    sink: str,
    rows: Sequence[Row],
    measures: Mapping[str, str],
    rules: OnlyChanges,
    *,
    names: Sequence[str],
    is_keyed: bool,
) -> Due:
    """Find what is to be sent to a sink.

    A row that waits may have been applied, its answer lost: it is sent even where today's content is the one delivered
    last, until the sink has said so.

    Parameters
    ----------
    outbox : Outbox, optional
        None: nothing was delivered yet.
    sink : str
    rows : sequence of Row
        Today's.
    measures : mapping
        How each fact's changes are measured.
    rules : OnlyChanges
    names : sequence of str
        The sink's columns, to be cleared.
    is_keyed : bool
        Whether rows can be cleared.
    """
    delivered, waiting = (outbox.delivered(sink), outbox.undelivered(sink)) if outbox else ({}, {})
    due = Due()
    for row in rows:
        last, pending = delivered.get(row.key), waiting.get(row.key)
        if pending is not None and pending.kind == SET and not is_material(pending.facts, row.facts, measures, rules):
            due.kept += 1
        elif (
            pending is not None
            or last is None
            or last.kind == CLEAR
            or is_material(last.facts, row.facts, measures, rules)
        ):
            due.rows.append(row)
            due.new += last is None or last.kind == CLEAR
        else:
            due.unchanged += 1
    today = {row.key for row in rows}
    if is_keyed:
        held = {key for key, last in delivered.items() if last.kind == SET}
        gone = {key for key, pending in waiting.items() if pending.kind == CLEAR}
        begun = {key for key, pending in waiting.items() if pending.kind == SET}
        due.cleared = {key: dict.fromkeys(names) for key in sorted((held | begun) - today - gone)}
        due.kept += len(gone - today)
    else:
        due.withdrawn = sorted(waiting.keys() - today)
    return due
