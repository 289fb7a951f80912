"""A source that is not what it should be tonight, and what then is no longer said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ENDS_OF_LEADS = "their ends"
"""How the catalogue calls what deals tell of other leads."""


@dataclass(frozen=True, order=True)
class Degradation:
    """Why forecasts are not what they usually are.

    Parameters
    ----------
    source : str
        The source's params key without ``data.sources.``: a table, and its place where there are several
        (``events.1``).
    why : str
        What is wrong with it, in a sentence without a full stop.
    columns : tuple of str
        The contract's columns, or the company's own, that are not to be relied on; empty: none of its table.
    """

    source: str
    why: str
    columns: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table it is a source of."""
        return self.source.partition(".")[0]

    def to_dict(self) -> dict[str, str]:
        """Give it as manifest and runs write it."""
        return {"source": self.source, "why": self.why}

    def reaches(self, provenance: str) -> bool:
        """Whether a feature of that provenance (`features.feature.Feature`) is built from what cannot be relied on."""
        if self.columns:
            return any(re.search(rf"\b{self.table}\.{re.escape(name)}(?!\w)", provenance) for name in self.columns)
        if self.table == "deals" and _ENDS_OF_LEADS in provenance:
            return True
        return re.search(rf"\b{self.table}\b", provenance) is not None


def is_unreliable(table: str, degraded: Iterable[Degradation]) -> bool:
    """Whether a whole table is not to be relied on."""
    return any(one.table == table and not one.columns for one in degraded)
