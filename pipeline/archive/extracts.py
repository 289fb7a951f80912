"""What the sources looked like, night by night: each night's extract is sealed, and every run of that night reads it.

``archive/extracts/NIGHT/`` holds each source as it was read (compressed Parquet), the state of the fields whose history
is kept, and ``changes.parquet``: what differs from the extract before. The sources and the state are kept for
``nightly.keep_extract_days``; the changes are kept for ever, as they are the company's history.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

from pipeline.archive.chain import Entry
from pipeline.archive.nights import Nights

FOLDER, CHANGES, SOURCES = "extracts", "changes.parquet", "sources.json"


class Extracts(Nights):
    """The extracts of a company.

    Parameters
    ----------
    archive : Path
        The company's archive.
    """

    def __init__(self, archive: Path) -> None:
        super().__init__(archive / FOLDER)

    def last(self) -> Entry | None:
        """Give the newest extract."""
        return next(reversed(self.nights()), None)

    def before(self, night: date) -> Entry | None:
        """Give the newest extract of an earlier night."""
        return next((entry for entry in reversed(self.nights()) if entry.seal["night"] < str(night)), None)

    def changes_until(self, entry: Entry) -> list[Path]:
        """Name the files of all that was seen to change up to an extract, the oldest first."""
        return [found.folder / CHANGES for found in self.nights() if found.seal["night"] <= entry.seal["night"]]

    def forget_before(self, night: date, keep_days: int) -> int:
        """Remove the sources of extracts older than so many days; their seals and changes stay.

        Returns
        -------
        int
            How many extracts were shortened.
        """
        first = night - timedelta(days=keep_days)
        last = self.last()
        old = [
            entry
            for entry in self.chain.entries()
            if entry.name != (last.name if last else "") and date.fromisoformat(entry.seal["night"]) < first
        ]
        shortened = [entry for entry in old if entry.is_whole()]
        for entry in old:
            self.chain.forget(entry)
        return len(shortened)


def taken_at(entry: Entry) -> datetime:
    """When an extract's sources were read: UTC, without a zone."""
    return datetime.fromisoformat(entry.seal["taken_at"]).replace(tzinfo=None)
