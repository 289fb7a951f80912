"""What sales answers to a forecast: kept for ever, never changed, and given to training as events.

An answer is stored when `AnswerStore.add` returns, and not before: SQLite has then written it through to the disk, so
that it survives the process and the machine. Each click has an id of its own among its person's: a browser that got no
answer may send the same click again, and it is still stored once; nobody else's click of that id is touched, or shown.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.common.atomic_write import written_whole
from pipeline.common.errors import UserError
from pipeline.common.spreadsheet_text import plain_cells

FILE = "answers.sqlite"
ANSWERS = {
    "reason_wrong": "This reason is wrong",
    "not_a_lead": "Not a lead",
    "already_talking": "Already talking",
}
CHANNEL = "leadrev"
ANSWERS_AT_ONCE = 50
EVENTS = pa.schema(
    {
        "event_id": pa.string(),
        "lead_id": pa.string(),
        "occurred_at": pa.timestamp("us", "UTC"),
        "kind": pa.string(),
        "channel": pa.string(),
        "topic": pa.string(),
        "answered_by": pa.string(),
        "episode": pa.int64(),
        "scored_as_of": pa.string(),
        "model_version": pa.string(),
    }
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    click_id TEXT NOT NULL,
    answered_at TEXT NOT NULL,
    answered_by TEXT NOT NULL,
    lead_id TEXT NOT NULL,
    episode INTEGER,
    answer TEXT NOT NULL,
    reason_code TEXT,
    scored_as_of TEXT NOT NULL,
    model_version TEXT NOT NULL,
    UNIQUE (answered_by, click_id)
);
CREATE INDEX IF NOT EXISTS answers_of_lead ON answers (lead_id, number);
CREATE TRIGGER IF NOT EXISTS never_changed BEFORE UPDATE ON answers
BEGIN SELECT RAISE(ABORT, 'answers are only ever added'); END;
CREATE TRIGGER IF NOT EXISTS never_removed BEFORE DELETE ON answers
BEGIN SELECT RAISE(ABORT, 'answers are only ever added'); END;
"""
_CLICKS_OF_ALL = "click_id TEXT NOT NULL UNIQUE"
"""What the table said before clicks were told apart by person."""
_COLUMNS = "click_id, answered_at, answered_by, lead_id, episode, answer, reason_code, scored_as_of, model_version"


@dataclass(frozen=True)
class Answer:
    """What somebody said of a lead's forecast.

    Parameters
    ----------
    click_id : str
        Of the click; sent twice, it is stored once.
    answered_at : str
        ISO 8601, UTC, to the microsecond.
    answered_by : str
        Who, as their token calls them.
    lead_id : str
    episode : int or None
    answer : str
        A key of `ANSWERS`.
    reason_code : str or None
        Which reason is wrong.
    scored_as_of, model_version : str
        Of the forecast that was answered.
    """

    click_id: str
    answered_at: str
    answered_by: str
    lead_id: str
    episode: int | None
    answer: str
    reason_code: str | None
    scored_as_of: str
    model_version: str

    @property
    def text(self) -> str:
        """Its words."""
        return ANSWERS.get(self.answer, self.answer)


class ReusedClickError(Exception):
    """A click's id was used by the same person before, for another answer."""


class AnswerStore:
    """Answers in one SQLite file, each written through to the disk before it counts as stored.

    Parameters
    ----------
    path : Path
        Made at the first answer.
    """

    def __init__(self, path: Path):
        self.path = path

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a commit returns once the log is on the disk
            _tell_clicks_apart(connection)
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def add(self, answer: Answer) -> Answer:
        """Store an answer, on the disk when this returns.

        Returns
        -------
        Answer
            As stored: of a click that this person sent before, the first one.

        Raises
        ------
        ReusedClickError
            If this person used the click's id for another answer.
        sqlite3.Error
            If it could not be stored.
        """
        with closing(self._open()) as connection:
            places = ", ".join("?" * len(_COLUMNS.split(", ")))
            values = [getattr(answer, name) for name in _COLUMNS.split(", ")]
            connection.execute(
                f"INSERT INTO answers ({_COLUMNS}) VALUES ({places}) ON CONFLICT DO NOTHING",  # noqa: S608
                values,
            )
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM answers WHERE answered_by = ? AND click_id = ?",  # noqa: S608 - own constants
                [answer.answered_by, answer.click_id],
            ).fetchone()
        stored = Answer(*row)
        if any(getattr(stored, name) != getattr(answer, name) for name in ("lead_id", "answer", "reason_code")):
            raise ReusedClickError
        return stored

    def of_lead(self, lead_id: str, start: int = 0, limit: int = ANSWERS_AT_ONCE) -> list[Answer]:
        """Give what was answered of a lead, the newest first: at most `limit` of them, and no more is read.

        Raises
        ------
        sqlite3.Error
            If the file is damaged where they stand.
        """
        if not self.path.exists():
            return []
        with closing(self._open()) as connection:
            return _of_lead(connection, lead_id, start, limit)

    def newest_of(self, lead_ids: Sequence[str]) -> tuple[dict[str, list[Answer]], bool]:
        """Give the newest answer of some leads, by lead, and whether the file is damaged where some of them stand."""
        found: dict[str, list[Answer]] = {}
        if not lead_ids or not self.path.exists():
            return found, False
        is_damaged = False
        try:
            with closing(self._open()) as connection:
                for lead_id in lead_ids:
                    try:
                        found[lead_id] = _of_lead(connection, lead_id, 0, 1)
                    except sqlite3.Error:
                        is_damaged = True
        except sqlite3.Error:
            is_damaged = True
        return {lead_id: answers for lead_id, answers in found.items() if answers}, is_damaged

    def all(self) -> list[Answer]:
        """Give every answer, the oldest first.

        Raises
        ------
        sqlite3.Error
            If the file is damaged.
        """
        if not self.path.exists():
            return []
        with closing(self._open()) as connection:
            return [
                Answer(*row)
                for row in connection.execute(f"SELECT {_COLUMNS} FROM answers ORDER BY number")  # noqa: S608
            ]

    def readable(self) -> tuple[list[Answer], int]:
        """Give what can still be read of a damaged file, the oldest first, and how many answers cannot.

        Raises
        ------
        sqlite3.Error
            If not even its beginning can be read.
        """
        found: dict[int, Answer] = {}
        with closing(sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            last = 0
            for sql in ("SELECT max(number) FROM answers", "SELECT seq FROM sqlite_sequence WHERE name = 'answers'"):
                with suppress(sqlite3.Error, TypeError):
                    last = max(last, int(connection.execute(sql).fetchone()[0]))
            for number in range(1, last + 1):  # each by itself: a page that cannot be read takes only its own along
                with suppress(sqlite3.Error):
                    row = connection.execute(
                        f"SELECT {_COLUMNS} FROM answers WHERE number = ?",  # noqa: S608 - own constants
                        [number],
                    ).fetchone()
                    if row:
                        found[number] = Answer(*row)
        return [found[number] for number in sorted(found)], last - len(found)


def _of_lead(connection: sqlite3.Connection, lead_id: str, start: int, limit: int) -> list[Answer]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM answers WHERE lead_id = ? ORDER BY number DESC LIMIT ? OFFSET ?",  # noqa: S608
        [lead_id, limit, start],
    )
    return [Answer(*row) for row in rows]


def _tell_clicks_apart(connection: sqlite3.Connection) -> None:
    """Carry a table in which a click's id was one person's for all over into one in which it is each person's own."""
    asked = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'answers'"
    found = connection.execute(asked).fetchone()
    if not found or _CLICKS_OF_ALL not in found[0]:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _CLICKS_OF_ALL in connection.execute(asked).fetchone()[0]:
            connection.execute("DROP INDEX IF EXISTS answers_of_lead")
            for trigger in ("never_changed", "never_removed"):
                connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
            connection.execute("ALTER TABLE answers RENAME TO answers_before")
            connection.execute(_SCHEMA.split(";", 1)[0])
            connection.execute(
                f"INSERT INTO answers (number, {_COLUMNS}) SELECT number, {_COLUMNS} FROM answers_before"  # noqa: S608
            )
            connection.execute("DROP TABLE answers_before")
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise


def now() -> str:
    """Give this instant as text, UTC, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_events(answers: Sequence[Answer]) -> pa.Table:
    """Give answers as rows of the contract's table of events: known from the moment they were given.

    Returns
    -------
    table
        ``kind`` is ``sales_`` and the answer, ``topic`` the reason that is wrong, ``channel`` leadrev.
    """
    return pa.table(
        {
            "event_id": [_event_id(answer) for answer in answers],
            "lead_id": [answer.lead_id for answer in answers],
            "occurred_at": [datetime.fromisoformat(answer.answered_at) for answer in answers],
            "kind": [f"sales_{answer.answer}" for answer in answers],
            "channel": [CHANNEL] * len(answers),
            "topic": [answer.reason_code for answer in answers],
            "answered_by": [answer.answered_by for answer in answers],
            "episode": [answer.episode for answer in answers],
            "scored_as_of": [answer.scored_as_of for answer in answers],
            "model_version": [answer.model_version for answer in answers],
        },
        schema=EVENTS,
    )


def export(folder: Path, out: Path) -> int:
    """Write every answer as a table of events.

    Parameters
    ----------
    folder : Path
        Where the answers are kept.
    out : Path
        A file whose name ends in ``.parquet`` or ``.csv``.

    Returns
    -------
    int
        How many answers there are.

    Raises
    ------
    UserError
        If the name ends otherwise; or if some answers cannot be read, once the others are written.
    """
    if out.suffix not in (".parquet", ".csv"):
        raise UserError(f"--out: found {out.name}; the name must end in .parquet or .csv")
    store = AnswerStore(folder / FILE)
    try:
        answers, lost = store.all(), 0
    except sqlite3.Error:
        answers, lost = _readable(store)
    table = as_events(answers)
    with written_whole(out.parent) as staging:
        if out.suffix == ".csv":
            pa.csv.write_csv(plain_cells(table), staging.path(out.name))
        else:
            pq.write_table(table, staging.path(out.name))
    if lost:
        raise UserError(
            f"{store.path}: is damaged: {len(table):,} answers were written to {out}, {lost:,} could not be read; put "
            "a copy of the file back in its place"
        )
    return len(table)


def _readable(store: AnswerStore) -> tuple[list[Answer], int]:
    try:
        return store.readable()
    except sqlite3.Error:
        raise UserError(f"{store.path}: is damaged and cannot be read; put a copy of the file back") from None


def _event_id(answer: Answer) -> str:
    """Give an id that is a click's alone, whoever else used the same id for theirs."""
    own = hashlib.sha256(f"{answer.answered_by}\0{answer.click_id}".encode()).hexdigest()
    return f"{CHANNEL}-{own[:32]}"
