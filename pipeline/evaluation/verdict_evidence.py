"""What a verdict is judged by: the figures of a backtest, and who orders or forecasts better beyond chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.common.formatting import known
from pipeline.evaluation.model_names import MODELS

ORDER = ("auc", "capture_at_10")
"""The figures of a ranking: how it orders the wins, and what its top tenth brings."""
QUANTILE = 1.645
"""Standard errors from the middle of a 90% interval to its ends."""


@dataclass(frozen=True)
class Evidence:
    """A backtest over all its dates.

    Parameters
    ----------
    overall : mapping
        ``models``, ``differences``, ``won_leads`` and ``totals`` over all cutoffs, as in ``backtest.json``.
    cutoffs_count : int
        How many dates were tested.
    has_value : bool
        Whether there is revenue to measure by.
    """

    overall: Mapping[str, Any]
    cutoffs_count: int
    has_value: bool

    @property
    def own(self) -> Mapping[str, Any]:
        """Our own figures."""
        return self.overall["models"]["leadrev"]

    @property
    def differences(self) -> Mapping[str, Mapping[str, Any]]:
        """By model and figure: how much better ours is, with the ends of its 90% interval."""
        return self.overall["differences"]

    @property
    def wins(self) -> int:
        """Wins over all dates; a lead open at several counts at each."""
        return int(self.own["actual_wins"])

    @property
    def won_leads(self) -> int:
        """Leads that were won: fewer than wins where the periods after the dates overlap."""
        return int(self.overall.get("won_leads", self.wins))

    @property
    def dates(self) -> str:
        """How many dates, in words."""
        return "1 date" if self.cutoffs_count == 1 else f"{self.cutoffs_count} dates"

    def lead(self, name: str, figure: str, place: int = 0) -> float:
        """Give how much better ours is by a figure, or the lower (1) or upper (2) end of that; unknown counts as 0."""
        row = self.differences[name].get(figure) or {}
        value = (row.get("difference"), row.get("low"), row.get("high"))[place]
        value = row.get("difference") if not known(value) else value
        return value if value is not None and known(value) else 0.0

    @cached_property
    def not_beaten(self) -> list[str]:
        """Models that ours is not better than beyond chance, by either figure of the ranking."""
        return [name for name in self.differences if not any(self.lead(name, figure, 1) > 0 for figure in ORDER)]

    @cached_property
    def better(self) -> list[str]:
        """Models that are better than ours beyond chance by a figure of the ranking, while ours is by none."""
        return [name for name in self.not_beaten if any(self.lead(name, figure, 2) < 0 for figure in ORDER)]

    @cached_property
    def equal(self) -> list[str]:
        """Models that ours is ahead of by less than a standard error; of a champion: not ahead at all."""
        return [name for name in self.not_beaten if all(self._is_nothing(name, figure) for figure in ORDER)]

    def _is_nothing(self, name: str, figure: str) -> bool:
        error = (self.lead(name, figure, 2) - self.lead(name, figure, 1)) / (2 * QUANTILE)
        return self.lead(name, figure) <= (0.0 if name == "champion" else error)

    def beside(self, figure: str, form: str) -> str:
        """Name the best baseline that was there at every date, to stand beside our own figure; empty without one."""
        models = self.overall["models"]
        dates = self.own.get("cutoffs_count")
        there = [name for name in self.differences if models[name].get("cutoffs_count") == dates]
        best = max(((models[name][figure], name) for name in there if known(models[name].get(figure))), default=None)
        return f" (best baseline, {MODELS[best[1]]}: {best[0]:{form}})" if best else ""


def wins(count: int) -> str:
    """Count wins in words."""
    return "1 win" if count == 1 else f"{count:,} wins"


def names(models: list[str]) -> str:
    """Name models in words."""
    return " and ".join(MODELS[name] for name in models)
