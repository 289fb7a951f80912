"""What sales answers to a forecast: kept for ever, never changed, and given to training as events.

An answer is stored when `AnswerStore.add` returns, and not before: SQLite has then written it through to the disk, so
that it survives the process and the machine. Each click has its own id. A browser that got no answer may send the same
click again, and it is still stored once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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
    click_id TEXT NOT NULL UNIQUE,
    answered_at TEXT NOT NULL,
    answered_by TEXT NOT NULL,
    lead_id TEXT NOT NULL,
    episode INTEGER,
    answer TEXT NOT NULL,
    reason_code TEXT,
    scored_as_of TEXT NOT NULL,
    model_version TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_of_lead ON answers (lead_id, number);
CREATE TRIGGER IF NOT EXISTS never_changed BEFORE UPDATE ON answers
BEGIN SELECT RAISE(ABORT, 'answers are only ever added'); END;
CREATE TRIGGER IF NOT EXISTS never_removed BEFORE DELETE ON answers
BEGIN SELECT RAISE(ABORT, 'answers are only ever added'); END;
"""
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
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit returns once the log is on the disk
        return connection

    def add(self, answer: Answer) -> Answer:
        """Store an answer, on the disk when this returns.

        Returns
        -------
        Answer
            As stored: of a click that was stored before, the first one.

        Raises
        ------
        sqlite3.Error
            If it could not be stored.
        """
        with closing(self._open()) as connection:
            connection.executescript(_SCHEMA)
            places = ", ".join("?" * len(_COLUMNS.split(", ")))
            values = [getattr(answer, name) for name in _COLUMNS.split(", ")]
            connection.execute(
                f"INSERT INTO answers ({_COLUMNS}) VALUES ({places}) ON CONFLICT (click_id) DO NOTHING",  # noqa: S608
                values,
            )
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM answers WHERE click_id = ?",  # noqa: S608 - own constants
                [answer.click_id],
            ).fetchone()
        return Answer(*row)

    def of_leads(self, lead_ids: Sequence[str]) -> dict[str, list[Answer]]:
        """Give what was answered of some leads, by lead, the newest first."""
        found: dict[str, list[Answer]] = {}
        if lead_ids and self.path.exists():
            asked = ", ".join("?" * len(lead_ids))
            for answer in self._select(f"WHERE lead_id IN ({asked}) ORDER BY number DESC", list(lead_ids)):
                found.setdefault(answer.lead_id, []).append(answer)
        return found

    def all(self) -> list[Answer]:
        """Give every answer, the oldest first."""
        return self._select("ORDER BY number", []) if self.path.exists() else []

    def _select(self, rest: str, given: list[str]) -> list[Answer]:
        with closing(self._open()) as connection:
            connection.executescript(_SCHEMA)
            rows = connection.execute(f"SELECT {_COLUMNS} FROM answers {rest}", given).fetchall()  # noqa: S608
        return [Answer(*row) for row in rows]


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
            "event_id": [f"{CHANNEL}-{answer.click_id}" for answer in answers],
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
        If the name ends otherwise.
    """
    if out.suffix not in (".parquet", ".csv"):
        raise UserError(f"--out: found {out.name}; the name must end in .parquet or .csv")
    table = as_events(AnswerStore(folder / FILE).all())
    with written_whole(out.parent) as staging:
        if out.suffix == ".csv":
            pa.csv.write_csv(plain_cells(table), staging.path(out.name))
        else:
            pq.write_table(table, staging.path(out.name))
    return len(table)
