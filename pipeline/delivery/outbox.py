"""What is to be sent, stored before it is sent, and what was delivered last: one SQLite file.

Everything that a run has to send enters in one transaction. A row leaves only in the transaction that writes down that
it was delivered: a run killed at any instant in between sends it again, which harms no keyed sink. What cannot be taken
back, a mail, is marked as *sending* first: found so afterwards, nobody knows whether it arrived, and it waits for a
person as *doubtful*. A newer content of the same row replaces one that still waits.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable
from pipeline.delivery.changes import as_json, digest_of, digest_of_text
from pipeline.delivery.payload import Row

FILE = "outbox.db"
SET, CLEAR = "set", "clear"
WAITING, SENDING, PARKED, DOUBTFUL = "waiting", "sending", "parked", "doubtful"
LONGEST_PAUSE_SECONDS = 6 * 3600
_TABLES = """
    CREATE TABLE IF NOT EXISTS outbox (
        sink TEXT, row TEXT, digest TEXT, kind TEXT, content TEXT, facts TEXT, run_id TEXT,
        state TEXT DEFAULT 'waiting', attempts INTEGER DEFAULT 0, next_try_at TEXT DEFAULT '', words TEXT,
        PRIMARY KEY (sink, row, digest)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS delivered (
        sink TEXT, row TEXT, digest TEXT, kind TEXT, facts TEXT, run_id TEXT, delivered_at TEXT, PRIMARY KEY (sink, row)
    ) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Item:
    """One row on its way.

    Parameters
    ----------
    row : str
        Its key in the sink.
    digest : str
        Of its content.
    kind : str
        `SET`, or `CLEAR` for a lead that is no longer scored.
    content : dict
    attempts : int
        How often it was tried.
    """

    row: str
    digest: str
    kind: str
    content: dict[str, Any]
    attempts: int = 0


@dataclass(frozen=True)
class Facts:
    """What is kept of a row's content: where it is cleared, nothing."""

    digest: str
    kind: str
    facts: dict[str, Any]


class Outbox:
    """The outbox of a company.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        check_writable(folder, "give the right to write there")
        path = folder / FILE
        if not path.exists():
            path.touch(mode=0o600)
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("PRAGMA secure_delete = ON")  # what was sent is not kept in free pages
        self.connection.executescript(_TABLES)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written inside."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def delivered(self, sink: str) -> dict[str, Facts]:
        """Give what each row of a sink was when it was last delivered."""
        return self._facts("delivered", sink)

    def undelivered(self, sink: str) -> dict[str, Facts]:
        """Give what each row of a sink is to become that has not been delivered, for whatever reason."""
        return self._facts("outbox", sink)

    def _facts(self, table: str, sink: str) -> dict[str, Facts]:
        query = f"SELECT row, digest, kind, facts FROM {table} WHERE sink = ?"  # noqa: S608 - a table of ours
        return {
            row: Facts(digest, kind, json.loads(facts))
            for row, digest, kind, facts in self.connection.execute(query, (sink,))
        }

    def put(self, sink: str, run_id: str, rows: Sequence[Row], cleared: Mapping[str, dict[str, Any]]) -> None:
        """Store rows to be sent, and rows to be cleared with what clears them; inside of `transaction`."""
        made = []
        for row in rows:
            content = as_json(row.values)
            made.append((sink, row.key, digest_of_text(content), SET, content, as_json(row.facts), run_id))
        made += [(sink, key, CLEAR, CLEAR, as_json(values), "{}", run_id) for key, values in cleared.items()]
        self.withdraw(sink, [row for _, row, *_ in made])
        self.connection.executemany(
            "INSERT INTO outbox (sink, row, digest, kind, content, facts, run_id) VALUES (?, ?, ?, ?, ?, ?, ?)",
            made,
        )

    def withdraw(self, sink: str, rows: Sequence[str]) -> None:
        """Take rows out unsent: something newer is to be said, or nothing any more."""
        self.connection.executemany("DELETE FROM outbox WHERE sink = ? AND row = ?", [(sink, row) for row in rows])

    def due(self, sink: str, now: datetime) -> list[Item]:
        """Give what may be sent now."""
        query = (
            "SELECT row, digest, kind, content, attempts FROM outbox "
            "WHERE sink = ? AND state IN ('waiting', 'sending') AND next_try_at <= ? ORDER BY row"
        )
        return [
            Item(row, digest, kind, json.loads(content), attempts)
            for row, digest, kind, content, attempts in self.connection.execute(query, (sink, _text(now)))
        ]

    def next_try_at(self, sink: str) -> datetime | None:
        """Say when something of a sink is to be tried again; None: nothing waits."""
        query = "SELECT min(next_try_at) FROM outbox WHERE sink = ? AND state = 'waiting'"
        (found,) = self.connection.execute(query, (sink,)).fetchone()
        return datetime.fromisoformat(found) if found else None

    def begin_sending(self, sink: str, item: Item) -> None:
        """Write down, before a mail goes out, that it goes out."""
        with self.transaction():
            self._set_state(sink, [item], SENDING, None)

    def doubt_the_unfinished(self, sink: str) -> None:
        """Park as doubtful what a killed run was sending: it may have arrived."""
        with self.transaction():
            self.connection.execute(
                "UPDATE outbox SET state = ?, words = ? WHERE sink = ? AND state = ?",
                (DOUBTFUL, "the run was killed while it was being sent", sink, SENDING),
            )

    def mark_doubtful(self, sink: str, item: Item, words: str) -> None:
        """Park what may have arrived: a person decides whether it is sent again."""
        with self.transaction():
            self._set_state(sink, [item], DOUBTFUL, words)

    def mark_delivered(self, sink: str, items: Sequence[Item], run_id: str, now: datetime) -> None:
        """Take rows out as delivered, and keep the facts that changes are measured against."""
        at = _text(now)
        with self.transaction():
            self.connection.executemany(
                "INSERT OR REPLACE INTO delivered "
                "SELECT sink, row, digest, kind, facts, ?, ? FROM outbox WHERE sink = ? AND row = ? AND digest = ?",
                [(run_id, at, sink, item.row, item.digest) for item in items],
            )
            self._delete(sink, items)

    def mark_failed(self, sink: str, refused: Sequence[tuple[Item, str]], attempts: int, now: datetime) -> None:
        """Keep rows that were refused, with the sink's words: to be tried again after a pause that grows, or parked."""
        with self.transaction():
            self.connection.executemany(
                "UPDATE outbox SET attempts = ?, state = ?, next_try_at = ?, words = ? "
                "WHERE sink = ? AND row = ? AND digest = ?",
                [
                    (
                        item.attempts + 1,
                        PARKED if item.attempts + 1 >= attempts else WAITING,
                        _text(now + timedelta(seconds=pause_seconds(item.attempts + 1))),
                        words, sink, item.row, item.digest,
                    )
                    for item, words in refused
                ],
            )  # fmt: skip

    def send_again(self, sink: str) -> int:
        """Let everything that waits or is parked or doubtful be tried now, as if for the first time; say how much."""
        with self.transaction():
            return self.connection.execute(
                "UPDATE outbox SET state = 'waiting', attempts = 0, next_try_at = '' WHERE sink = ?", (sink,)
            ).rowcount

    def forget_facts(self, sink: str) -> None:
        """Forget what was delivered, though not to whom: every row differs then, and is delivered anew."""
        with self.transaction():
            self.connection.execute("UPDATE delivered SET facts = '{}' WHERE sink = ? AND kind = 'set'", (sink,))

    def forget_other_places(self, name: str, sink: str) -> None:
        """Forget what a sink held under another address or key: where it is now, nothing of it is."""
        with self.transaction():
            for table in ("outbox", "delivered"):
                for (found,) in self.connection.execute(f"SELECT DISTINCT sink FROM {table}").fetchall():  # noqa: S608
                    if found != sink and found.rpartition("@")[0] == name:
                        self.connection.execute(f"DELETE FROM {table} WHERE sink = ?", (found,))  # noqa: S608

    def waiting_digest(self) -> str:
        """Give a digest of what a run could still send; ``none`` where there is nothing."""
        query = "SELECT sink, row, digest, attempts FROM outbox WHERE state IN ('waiting', 'sending') ORDER BY 1, 2"
        rows = self.connection.execute(query).fetchall()
        return digest_of(rows) if rows else "none"

    def states(self, sink: str) -> dict[str, int]:
        """Count what has not been delivered of a sink, by state."""
        query = "SELECT state, count(*) FROM outbox WHERE sink = ? GROUP BY state"
        return dict(self.connection.execute(query, (sink,)).fetchall())

    def words(self, sink: str) -> list[tuple[str, str, int]]:
        """Give what the sink said of rows that were not delivered: state, words, and of how many."""
        query = (
            "SELECT state, words, count(*) FROM outbox WHERE sink = ? AND words IS NOT NULL GROUP BY state, words "
            "ORDER BY count(*) DESC, words"
        )
        return self.connection.execute(query, (sink,)).fetchall()

    def has_delivered(self, sink: str) -> bool:
        """Whether anything was ever delivered to a sink."""
        query = "SELECT 1 FROM delivered WHERE sink = ? LIMIT 1"
        return self.connection.execute(query, (sink,)).fetchone() is not None

    def _set_state(self, sink: str, items: Sequence[Item], state: str, words: str | None) -> None:
        self.connection.executemany(
            "UPDATE outbox SET state = ?, words = ? WHERE sink = ? AND row = ? AND digest = ?",
            [(state, words, sink, item.row, item.digest) for item in items],
        )

    def _delete(self, sink: str, items: Sequence[Item]) -> None:
        self.connection.executemany(
            "DELETE FROM outbox WHERE sink = ? AND row = ? AND digest = ?",
            [(sink, item.row, item.digest) for item in items],
        )


def pause_seconds(attempts: int) -> float:
    """Say how long to wait after so many attempts: a second, ten times as long each time, at most six hours.

    Examples
    --------
    >>> [pause_seconds(attempts) for attempts in (1, 2, 3, 9)]
    [1, 10, 100, 21600]
    """
    return min(10 ** (attempts - 1), LONGEST_PAUSE_SECONDS)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
