"""Which sinks there are, what each is to get of the last scores, and how it is reached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.config.delivery_params import SinkParams
from pipeline.config.params import Params
from pipeline.config.trusted_hosts import require_named_host
from pipeline.delivery.changes import digest_of
from pipeline.delivery.clock import Clock
from pipeline.delivery.file_sink import PARQUET_COLUMNS, CSVSink, ParquetSink
from pipeline.delivery.mail_digest import Digests, digests
from pipeline.delivery.mail_text import write_mail
from pipeline.delivery.outbox import SET, Item, Outbox
from pipeline.delivery.payload import LastScores, Row, fields_of, measures_of, rows_of
from pipeline.delivery.postgresql_sink import PostgreSQLSink
from pipeline.delivery.queueing import Due, find_due
from pipeline.delivery.sink import Sink
from pipeline.delivery.smtp_sink import SMTPSink, read_password
from pipeline.delivery.sqlite_sink import SQLiteSink
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.stage_sources import several_systems


class Planned(ABC):
    """A sink, and what it is to get.

    Parameters
    ----------
    name : str
        In params.
    sink : SinkParams
    params : Params
    scores : LastScores
    """

    rows: Sequence[Row]
    measures: Mapping[str, str]
    columns: Sequence[str] = ()
    due: Due

    def __init__(self, name: str, sink: SinkParams, params: Params, scores: LastScores) -> None:
        self.name, self.sink, self.params, self.scores = name, sink, params, scores
        self.sink_id = sink_id_of(name, sink)

    @abstractmethod
    def open(self, clock: Clock, *, is_new: bool) -> Sink:
        """Give the sink itself; `is_new`: it may be made, as nothing was delivered there yet."""

    @property
    def text(self) -> str:
        """What would be sent, in a sentence."""
        due = self.due
        rows = counted(len(due.rows) + len(due.cleared), "row", "rows")
        parts = f"{due.new:,} new, {len(due.rows) - due.new:,} changed, {len(due.cleared):,} cleared"
        waits = f"; {due.kept:,} waiting in the outbox" if due.kept else ""
        return f"{rows} to send ({parts}), {due.unchanged:,} unchanged{waits}"


class PlannedRows(Planned):
    """Rows for a table or a file."""

    def __init__(self, name: str, sink: SinkParams, params: Params, scores: LastScores) -> None:
        super().__init__(name, sink, params, scores)
        self.fields = fields_of(name, sink, params)
        self.columns = [field.name for field in self.fields]
        prefix = f"{sink.system}:" if sink.system is not None and several_systems(params) else ""
        self.rows, self.measures = rows_of(scores, self.fields, prefix), measures_of(self.fields)

    def open(self, clock: Clock, *, is_new: bool) -> Sink:
        """Give the table, the folder or the file."""
        to, key, folder = self.sink.to, self.sink.key, self.params.folder
        if self.sink.kind == "sqlite":
            return SQLiteSink(to, folder, key, self.fields, is_new=is_new)
        if self.sink.kind == "postgresql":
            return PostgreSQLSink(to, key, self.fields, is_new=is_new)
        if self.sink.kind == "csv":
            return CSVSink(folder / to, key, self.fields)
        return ParquetSink(folder / to, key, self.fields, self.scores.as_of)


class PlannedMails(Planned):
    """Mails for salespeople and their managers."""

    def __init__(
        self, name: str, sink: SinkParams, params: Params, scores: LastScores, company: Callable[[], LoadedCompany]
    ) -> None:
        super().__init__(name, sink, params, scores)
        self.password = read_password(sink.password_file, params.folder, f"deliver.{name}")
        self.found: Digests = digests(company(), scores, params, sink.top)
        self.rows, self.measures = self.found.rows, self.found.measures

    def open(self, clock: Clock, *, is_new: bool) -> Sink:
        """Give the mail server."""
        return SMTPSink(self.sink.to, self.password, lambda item: self.write(item, clock))

    def write(self, item: Item, clock: Clock):
        """Write a mail."""
        return write_mail(
            item, self.found, self.params, self.sink.from_ or "", self.scores.as_of, self.scores.notice, clock.now()
        )

    @property
    def notes(self) -> list[str]:
        """Who gets no mail, and whose leads are in none."""
        notes = []
        if self.found.without_address:
            notes.append(f"without a mail address in the table of owners: {', '.join(self.found.without_address[:20])}")
        if self.found.opted_out:
            leads = counted(self.found.opted_out, "lead", "leads")
            notes.append(f"in no mail: {leads} of people who asked not to be contacted")
        return notes

    def shown(self, clock: Clock) -> str:
        """Write out the first mail that would go, as a person would read it."""
        for row in self.due.rows[:1]:
            message = self.write(Item(row.key, row.digest, SET, row.values), clock)
            heads = [f"{name}: {message[name]}" for name in ("From", "To", "Subject")]
            return "\n".join([*heads, "", message.get_content()])
        return ""


def sink_id_of(name: str, sink: SinkParams) -> str:
    """Name a sink in the outbox: under another address or key it is another one, and holds nothing yet."""
    if sink.kind == "mail":
        return f"{name}@mail"
    place = sink.to.partition("?")[0]
    return f"{name}@{digest_of([place.rpartition('@')[2], sink.key, sink.system])[:8]}"


def check_sinks(params: Params) -> None:
    """Refuse sinks that cannot be meant, before anything is read: hosts nobody named, systems and columns nobody has.

    Raises
    ------
    UserError
    """
    systems = {source.system for source in params.data.sources.leads}
    for name, sink in params.deliver.sinks.items():
        if sink.kind in ("postgresql", "mail"):
            require_named_host(sink.to, f"deliver.{name}.to", params.data.hosts)
        if sink.system is not None and sink.system not in systems:
            known = ", ".join(sorted(system for system in systems if system)) or "none is named"
            raise UserError(f"deliver.{name}.system: found '{sink.system}'; the systems of data.sources.leads: {known}")
        for field in fields_of(name, sink, params):
            if sink.kind == "parquet" and field.name in PARQUET_COLUMNS and field.name != field.ours:
                raise UserError(f"deliver.{name}.fields.{field.name}: Parquet files have a column of that name already")


def chosen(params: Params, to: str | None) -> dict[str, SinkParams]:
    """Give the sinks that are delivered to: all, or the one asked for.

    Raises
    ------
    UserError
        There is no such sink.
    """
    sinks = params.deliver.sinks
    if to is None:
        return sinks
    if to not in sinks:
        raise UserError(f"--to: found '{to}'; deliver in params names {', '.join(sinks) or 'no sink'}")
    return {to: sinks[to]}


def plan(params: Params, to: str | None, company: Callable[[], LoadedCompany], outbox: Outbox | None) -> list[Planned]:
    """Find what each sink is to get; nothing is written.

    Parameters
    ----------
    params : Params
    to : str, optional
        The one sink; default: all.
    company : callable
        Gives the company's tables; asked only where people are written to.
    outbox : Outbox, optional
        None: nothing was delivered yet.

    Raises
    ------
    UserError
        There are no scores, or params ask for what there is not.
    """
    check_sinks(params)
    planned: list[Planned] = []
    sinks = chosen(params, to)
    scores = LastScores(params.artifacts_folder) if sinks else None
    for name, sink in sinks.items():
        assert scores is not None
        is_mail = sink.kind == "mail"
        one = PlannedMails(name, sink, params, scores, company) if is_mail else PlannedRows(name, sink, params, scores)
        rules = params.deliver.only_changes
        one.due = find_due(outbox, one.sink_id, one.rows, one.measures, rules, names=one.columns, is_keyed=not is_mail)
        planned.append(one)
    return planned
