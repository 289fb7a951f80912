"""Forecasts to every sink: what changed enters the outbox in one transaction, then is sent, retried, or parked."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.archive.runs import add_line
from pipeline.common.atomic_write import check_writable, open_lock
from pipeline.common.errors import BusyError
from pipeline.common.formatting import count as counted
from pipeline.config.params import Params
from pipeline.delivery.clock import Clock
from pipeline.delivery.outbox import DOUBTFUL, FILE, PARKED, WAITING, Outbox
from pipeline.delivery.planning import chosen, plan, sink_id_of
from pipeline.delivery.sink import ACCEPTED, REFUSED, Sink, SinkError, plain_words
from pipeline.ingest.company import LoadedCompany

LINES, LOCK = "deliveries.jsonl", ".lock"
WAIT_SECONDS = 30
"""Pauses up to this long are waited for; after a longer one the next run tries."""


@dataclass(frozen=True)
class SinkResult:
    """How the delivery to a sink went.

    Parameters
    ----------
    name : str
    sent, unchanged, failed, parked : int
        Rows accepted now; rows with nothing to say; rows that wait for another try; rows that wait for a person.
    words : list of (str, str, int)
        What the sink said of those, by state, and of how many.
    """

    name: str
    sent: int
    unchanged: int
    failed: int
    parked: int
    words: list[tuple[str, str, int]]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to send."""
        return not (self.failed or self.parked)

    @property
    def text(self) -> str:
        """How it went, in a sentence."""
        text = f"{counted(self.sent, 'row', 'rows')} sent, {self.unchanged:,} unchanged"
        if self.failed:
            text += f", {self.failed:,} to be tried again"
        if self.parked:
            text += f", {self.parked:,} parked (leadrev deliver --to {self.name} --resend)"
        said = "; ".join(f"{counted(n, 'row', 'rows')} {state}: {words}" for state, words, n in self.words[:3])
        return f"{text}{': ' if said else ''}{said}"


def outbox_folder(params: Params) -> Path:
    """Folder of the outbox."""
    return params.artifacts_folder / "outbox"


def waiting_digest(params: Params) -> str:
    """Give a digest of what waits to be tried again; ``none`` where nothing does."""
    folder = outbox_folder(params)
    if not (folder / FILE).exists():
        return "none"
    outbox = Outbox(folder)
    try:
        return outbox.waiting_digest()
    finally:
        outbox.close()


@contextlib.contextmanager
def open_outbox(params: Params) -> Iterator[Outbox]:
    """Open the outbox for one run alone.

    Raises
    ------
    BusyError
        Another run is delivering.
    """
    folder = outbox_folder(params)
    check_writable(folder, "give the right to write there")
    with open_lock(folder / LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BusyError(f"{folder}: another run is delivering; nothing was done") from None
        outbox = Outbox(folder)
        try:
            yield outbox
        finally:
            outbox.close()


def deliver(
    params: Params,
    run_id: str,
    clock: Clock,
    company: Callable[[], LoadedCompany],
    *,
    to: str | None = None,
    resend: bool = False,
) -> list[SinkResult]:
    """Deliver the last scores to the sinks of the params.

    Parameters
    ----------
    params : Params
    run_id : str
    clock : Clock
    company : callable
        Gives the company's tables; asked only where people are written to.
    to : str, optional
        The one sink; default: all.
    resend : bool
        What is parked or doubtful is tried again, and a keyed sink gets every row anew.

    Returns
    -------
    list of SinkResult

    Raises
    ------
    UserError
        There are no scores, or params ask for what there is not; nothing was sent.
    """
    with open_outbox(params) as outbox:
        planned = plan(params, to, company, outbox if not resend else _begin_anew(params, to, outbox))
        with outbox.transaction():
            for one in planned:
                outbox.put(one.sink_id, run_id, one.due.rows, one.due.cleared)
                outbox.withdraw(one.sink_id, one.due.withdrawn)
        results = []
        for one in planned:
            outbox.forget_other_places(one.name, one.sink_id)
            sink = one.open(clock, is_new=resend or not outbox.has_delivered(one.sink_id))
            sent = _send_all(outbox, one.sink_id, sink, run_id, clock, params.deliver.attempts)
            states = outbox.states(one.sink_id)
            parked = states.get(PARKED, 0) + states.get(DOUBTFUL, 0)
            words = outbox.words(one.sink_id)
            result = SinkResult(one.name, sent, one.due.unchanged, states.get(WAITING, 0), parked, words)
            counts = {name: getattr(result, name) for name in ("sent", "unchanged", "failed", "parked")}
            line = {"run_id": run_id, "sink": one.name, **counts, "at": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"}
            add_line(params.artifacts_folder, line, LINES)
            results.append(result)
    return results


def _begin_anew(params: Params, to: str | None, outbox: Outbox) -> Outbox:
    """Let what is parked be tried again, and keyed sinks get all rows."""
    for name, sink in chosen(params, to).items():
        sink_id = sink_id_of(name, sink)
        outbox.send_again(sink_id)
        if sink.kind != "mail":
            outbox.forget_facts(sink_id)
    return outbox


def _send_all(outbox: Outbox, sink_id: str, sink: Sink, run_id: str, clock: Clock, attempts: int) -> int:
    """Send what is due, and again what failed after short pauses; say how many rows were accepted."""
    sent = 0
    if not sink.is_keyed:
        outbox.doubt_the_unfinished(sink_id)
    while True:
        items = {item.row: item for item in outbox.due(sink_id, clock.now())}
        if items:
            sent += _send_once(outbox, sink_id, sink, items, run_id, clock, attempts)
        next_try = outbox.next_try_at(sink_id)
        if next_try is None or (pause := (next_try - clock.now()).total_seconds()) > WAIT_SECONDS:
            return sent
        if pause > 0:
            clock.sleep(pause)


def _send_once(
    outbox: Outbox, sink_id: str, sink: Sink, items: dict[str, Any], run_id: str, clock: Clock, attempts: int
) -> int:
    sent = 0
    try:
        for answers in sink.send(list(items.values()), lambda item: outbox.begin_sending(sink_id, item)):
            accepted = [answer.item for answer in answers if answer.state == ACCEPTED]
            refused = [(one.item, plain_words(one.words)) for one in answers if one.state == REFUSED]
            outbox.mark_delivered(sink_id, accepted, run_id, clock.now())
            outbox.mark_failed(sink_id, refused, attempts, clock.now())
            for one in answers:
                if one.state not in (ACCEPTED, REFUSED):
                    outbox.mark_doubtful(sink_id, one.item, plain_words(one.words))
                del items[one.item.row]
            sent += len(accepted)
    except SinkError as error:
        outbox.mark_failed(sink_id, [(item, str(error)) for item in items.values()], attempts, clock.now())
    return sent
