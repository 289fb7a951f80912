"""A chain with an entry for each night, and one more where a person asked for a night again."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pipeline.archive.chain import Chain, Entry


class Nights:
    """A store of sealed entries whose seals say their ``night``.

    Parameters
    ----------
    folder : Path
        Where the entries lie.
    prefix : str
        What the name of an entry's folder begins with, before the date.
    """

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self.chain, self.prefix = Chain(folder), prefix

    def nights(self) -> list[Entry]:
        """Give the entry of each night, the oldest first; of several of one night, the last."""
        found = {entry.seal["night"]: entry for entry in self.chain.entries()}
        return [found[night] for night in sorted(found)]

    def of_night(self, night: date) -> Entry | None:
        """Give the entry of a night, if there is one: of several, the last."""
        return next((entry for entry in self.nights() if entry.seal["night"] == str(night)), None)

    def free_name(self, night: date) -> str:
        """Name the folder of a night's next entry: the date, with a number where there is one already."""
        count = sum(entry.seal["night"] == str(night) for entry in self.chain.entries())
        return f"{self.prefix}{night}" + (f".r{count + 1}" if count else "")
