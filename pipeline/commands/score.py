"""Forecast every open lead: the same bytes for the same inputs, written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.common.atomic_write import check_writable
from pipeline.common.dates import local_iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import count, money
from pipeline.config.params import Params
from pipeline.ingest.load import company_at
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.scoring.artifacts import MANIFEST, score_company
from pipeline.scoring.forecast import Loaded, Scores
from pipeline.scoring.since_training import attribute_names, other_settings, since_training


@dataclass(frozen=True)
class Scored:
    """What a scoring run wrote, for the one who ran it."""

    result: Scores
    params: Params
    as_of: datetime
    version: str
    folder: Path
    warnings: Sequence[str] = ()

    def summary(self) -> str:
        """Say what was scored, in a few lines."""
        scores, primary = self.result.scores, f"{self.params.primary_horizon_days}d"
        leads, as_of = count(len(scores), "lead", "leads"), local_iso(self.as_of, self.params.data.timezone)
        lines = [f"{leads} open as of {as_of}, scored with model version {self.version}"]
        if f"expected_revenue_{primary}" not in self.result.absent and len(scores):
            total = scores[f"expected_revenue_{primary}"].sum()
            top = scores[f"expected_revenue_{primary}"].head(max(1, len(scores) // 10)).sum()
            lines.append(
                f"Expected revenue within {self.params.primary_horizon_days} days: "
                f"{money(total, self.params.currency)}, {top / total:.0%} of it from the top tenth of the leads"
            )
        lines += [f"Warning: {text}: what rests on it cannot be relied on; train again" for text in self.warnings]
        lines += [f"Empty: {column}: {why}" for column, why in self.result.absent.items()]
        return "\n".join([*lines, f"Written: {self.folder}/scores.parquet, scores.csv, attributions, {MANIFEST}"])


def score(
    params: Params, as_of: str | None, *, model: str, explain: str, out: Path, previous: Path | None = None
) -> Scored:
    """Forecast every lead that is open at a date and write the result.

    Parameters
    ----------
    params : Params
        The company.
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    model : str
        ``champion``, ``latest`` or a version.
    explain : str
        ``all``, ``none``, or how many leads from the top get reasons.
    out : Path
        Folder for ``scores.parquet``, ``scores.csv``, ``attributions*.parquet``, ``insights.parquet`` and
        ``manifest.json``.
    previous : Path, optional
        Folder with the scores that today's are compared with; by default `out` itself.

    Returns
    -------
    Scored

    Raises
    ------
    UserError
        If there is no such model, the date is unreadable, `explain` is none of what is allowed, or there are no scores
        in `previous`.
    """
    most = explained_count(explain)
    if previous is not None and not (previous / MANIFEST).exists():
        raise UserError(f"--previous {previous}: there are no finished scores ({MANIFEST} is not there)")
    check_writable(out)
    registry = Registry(params)
    version, stored = registry.load(model)
    stored.check_horizons(params, version)
    other_settings(params, stored, version)
    company, instant = company_at(params, as_of, attribute_names(stored))
    changed = since_training(company, stored, version, params)
    changed.require_usable()
    model_of_today = Loaded(company, stored, version, instant, changed.degraded)
    result = score_company(model_of_today, explained=most, out=out, previous=previous or out)
    return Scored(result, params, instant, version, out, [one.why for one in changed.degraded])


def explained_count(explain: str) -> int | None:
    """How many leads get reasons: None for all of them."""
    if explain == "all":
        return None
    if explain == "none":
        return 0
    if explain.isdecimal():
        return int(explain)
    raise UserError(f"--explain: found {explain!r}; allowed are all, none, or a number of leads from the top")
