"""Deliver the last scores where sales works: what changed, through the outbox, to each sink of the params."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from pipeline.archive.runs import new_id
from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.delivery.clock import Clock, SystemClock
from pipeline.delivery.delivery import SinkResult, outbox_folder
from pipeline.delivery.delivery import deliver as deliver_to_sinks
from pipeline.delivery.outbox import FILE, Outbox
from pipeline.delivery.planning import PlannedMails, check_sinks, plan
from pipeline.ingest.company import LoadedCompany

NO_SINK = "deliver in params names no sink; an example: deliver: {dwh: {to: 'sqlite:///scores.db/lead_scores'}}"


@dataclass(frozen=True)
class Deliveries:
    """How a delivery went, sink by sink."""

    run_id: str
    results: list[SinkResult]

    @property
    def exit_code(self) -> int:
        """0: every sink has everything; 3: something waits, or is parked."""
        return 0 if all(result.is_whole for result in self.results) else 3

    def summary(self) -> str:
        """Say it, a line a sink."""
        return "\n".join(f"{result.name}: {result.text}" for result in self.results)


def deliver(params: Params, to: str | None = None, *, resend: bool = False, clock: Clock | None = None) -> Deliveries:
    """Deliver the last scores.

    Parameters
    ----------
    params : Params
    to : str, optional
        The one sink; default: all.
    resend : bool
        What is parked or doubtful is tried again, and a sink with keys gets every row anew.
    clock : Clock, optional

    Raises
    ------
    UserError
        There are no scores or no sinks, or params ask for what there is not; nothing was sent.
    """
    _require_sinks(params)
    if resend and to is None:
        raise UserError("--resend: name the sink with --to")
    run_id = new_id(datetime.now(UTC))
    results = deliver_to_sinks(params, run_id, clock or SystemClock(), _loader(params), to=to, resend=resend)
    return Deliveries(run_id, results)


def dry_run(params: Params, to: str | None = None) -> str:
    """Say what `deliver` would send, and write out one mail; nothing is sent or stored."""
    _require_sinks(params)
    folder = outbox_folder(params)
    outbox = Outbox(folder) if (folder / FILE).exists() else None
    lines = ["Nothing is sent (--dry-run)"]
    for one in plan(params, to, _loader(params), outbox):
        lines.append(f"{one.name}: {one.text}")
        if isinstance(one, PlannedMails):
            lines += [*one.notes, one.shown(SystemClock())]
    return "\n".join(lines)


def _require_sinks(params: Params) -> None:
    if not params.deliver.sinks:
        raise UserError(NO_SINK)
    check_sinks(params)


def _loader(params: Params) -> Callable[[], LoadedCompany]:
    @cache
    def company() -> LoadedCompany:
        from pipeline.ingest.load import load_tables

        return load_tables(params, without=("events",))

    return company
