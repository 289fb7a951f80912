"""Forecast every open lead: the same bytes for the same inputs, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from features import catalogue
from features.materialise import open_leads_matrix
from models.forecaster import LOST, WON
from pipeline.common.atomic_write import Staging, check_writable, sha256_of, written_whole
from pipeline.common.dates import iso
from pipeline.common.degradation import Degradation, is_unreliable
from pipeline.common.errors import UserError
from pipeline.common.formatting import money
from pipeline.common.progress import step
from pipeline.common.spreadsheet_text import plain_cells
from pipeline.config.params import Params
from pipeline.identity.linkage import record_at
from pipeline.ingest.company import LoadedCompany, data_fingerprint
from pipeline.ingest.load import company_at
from pipeline.insights.lead_insights import SCHEMA as INSIGHTS
from pipeline.insights.lead_insights import Insights
from pipeline.insights.reason_blocks import AttributionFiles, Block, explained_blocks
from pipeline.insights.reasons import SIDES
from pipeline.insights.score_changes import FILE as PREVIOUS
from pipeline.insights.timeline import day_moves, write_timeline
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.model_registry.model_artifact import StoredModel

MANIFEST = "manifest.json"
NO_REASONS = "[]"
ROWS_AT_ONCE = 10_000  # a page that shows one lead reads the piece of the file that it stands in


@dataclass(frozen=True)
class Scores:
    """The forecasts of one date, and why.

    Parameters
    ----------
    scores : data frame
        A row per open lead, by rank, with the columns of the contract; without reasons until `told` gave them.
    matrix : data frame
        The leads' features, in the same order.
    margins : ndarray
        The forecaster's margins of the leads to explain: those at the top.
    every_margin : ndarray
        Those of all leads.
    absent : dict of str to str
        The columns that stay empty, and why.
    """

    scores: pd.DataFrame
    matrix: pd.DataFrame
    margins: np.ndarray
    every_margin: np.ndarray
    absent: dict[str, str]

    def told(self, stored: StoredModel, degraded: Sequence[Degradation] = ()) -> Iterator[Block]:
        """Explain the leads at the top, block after block, and put their reasons into `scores`."""
        if not len(self.margins):
            return
        X = stored.feature_columns(self.matrix.head(len(self.margins)))
        texts = {side: self.scores[side].to_numpy(object, copy=True) for side in SIDES}
        for block in explained_blocks(stored, X, self.margins, degraded):
            for side, column in texts.items():
                column[block.rows] = block.reasons[side].to_numpy(object)
            yield block
        for side, column in texts.items():
            self.scores[side] = column


@dataclass(frozen=True)
class Scored:
    """What a scoring run wrote, for the one who ran it."""

    result: Scores
    params: Params
    as_of: datetime
    version: str
    folder: Path

    def summary(self) -> str:
        """Say what was scored, in a few lines."""
        scores, primary = self.result.scores, f"{self.params.primary_horizon_days}d"
        lines = [f"{len(scores):,} leads open as of {iso(self.as_of)}, scored with model version {self.version}"]
        if f"expected_revenue_{primary}" not in self.result.absent and len(scores):
            total = scores[f"expected_revenue_{primary}"].sum()
            top = scores[f"expected_revenue_{primary}"].head(max(1, len(scores) // 10)).sum()
            lines.append(
                f"Expected revenue within {self.params.primary_horizon_days} days: "
                f"{money(total, self.params.currency)}, {top / total:.0%} of it from the top tenth of the leads"
            )
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
    company, instant = company_at(params, as_of)
    model_of_today = Loaded(company, stored, version, instant)
    result = score_company(model_of_today, explained=most, out=out, previous=previous or out)
    return Scored(result, params, instant, version, out)


@dataclass(frozen=True)
class Loaded:
    """What is scored: a company, with a model, at an instant; and which of its sources cannot be relied on."""

    company: LoadedCompany
    stored: StoredModel
    version: str
    as_of: datetime
    degraded: Sequence[Degradation] = ()


def score_company(
    loaded: Loaded, *, explained: int | None, out: Path, previous: Path, with_margins: bool = False
) -> Scores:
    """Forecast every open lead of a company that is loaded, and write the result.

    Parameters
    ----------
    loaded : Loaded
    explained : int, optional
        How many leads from the top get reasons; None: all.
    out : Path
        Folder to write into.
    previous : Path
        Folder with the scores that today's are compared with.
    with_margins : bool
        Write ``margins.parquet`` too: what each forecast was made from.
    """
    company, stored, instant = loaded.company, loaded.stored, loaded.as_of
    with step(f"scoring the leads open as of {iso(instant)}"):
        result = forecast_leads(company, stored, instant, version=loaded.version, explained=explained)
    with step("finding the days that moved the leads at the top"):
        top = result.scores if explained is None else result.scores.head(explained)
        moved = day_moves(company, top, stored, instant)
    with step("explaining and writing"), written_whole(out, seal=MANIFEST) as staging:
        write_timeline(staging.path("timeline.parquet"), company, result.scores, moved, instant)
        if with_margins:
            pq.write_table(margins_table(result, stored), staging.path("margins.parquet"), compression="zstd")
        write_scores(staging, result, loaded, previous)
    return result


def margins_table(result: Scores, stored: StoredModel) -> pa.Table:
    """Give every lead's margins: ``lead_id, episode``, then ``won_1 …``, ``lost_1 …``, ``amount_1 …``, a piece each."""
    words = {WON: "won", LOST: "lost"}
    names = [*(words[int(outcome)] for outcome in stored.forecaster.incidence_.outcomes_), "amount"]
    columns: dict[str, Any] = {name: result.scores[name].to_numpy() for name in ("lead_id", "episode")}
    for place, name in zip(range(result.every_margin.shape[1]), names, strict=False):
        for piece in range(result.every_margin.shape[2]):
            columns[f"{name}_{piece + 1}"] = result.every_margin[:, place, piece]
    return pa.table(columns)


def explained_count(explain: str) -> int | None:
    """How many leads get reasons: None for all of them."""
    if explain == "all":
        return None
    if explain == "none":
        return 0
    if explain.isdecimal():
        return int(explain)
    raise UserError(f"--explain: found {explain!r}; allowed are all, none, or a number of leads from the top")


def forecast_leads(
    company: LoadedCompany,
    stored: StoredModel,
    as_of: datetime,
    *,
    version: str,
    explained: int | None,
    lead_id: str | None = None,
) -> Scores:
    """Forecast the leads open at `as_of` and rank them; `Scores.told` says why.

    Parameters
    ----------
    company : LoadedCompany
    stored : StoredModel
    as_of : datetime
        UTC, without a zone.
    version : str
        What to call the model in the result.
    explained : int, optional
        How many leads from the top are to be explained; None: all.
    lead_id : str, optional
        Only this lead (its rank is then 1).

    Returns
    -------
    Scores
    """
    matrix = open_leads_matrix(company.on_engine, stored.spec, as_of, lead_id)
    margins = stored.forecaster.margins(stored.feature_columns(matrix))
    forecast = stored.forecast(matrix, margins)
    order = np.lexsort((matrix["lead_id"].to_numpy(str), -forecast[stored.forecaster.rank_key_].to_numpy()))
    matrix, forecast = matrix.iloc[order].reset_index(drop=True), forecast.iloc[order].reset_index(drop=True)
    place = forecast[["score", "grade"]].copy()
    place.insert(0, "rank", np.arange(1, len(matrix) + 1))
    identity = _identity(company, matrix, as_of, version, stored)
    scores = pd.concat([identity, place, forecast.drop(columns=["score", "grade"])], axis=1)
    for side in SIDES:
        scores[side] = NO_REASONS
    scores["data_quality_flags"] = _flags(stored, matrix)
    ranked = margins[order]
    return Scores(scores, matrix, ranked[:explained], ranked, stored.absent(matrix))


def write_scores(staging: Staging, result: Scores, loaded: Loaded, last: Path) -> None:
    """Explain the leads, and write scores, attributions, insights and the manifest that seals them.

    Parameters
    ----------
    last : Path
        The folder with the scores that today's are compared with.
    """
    company, stored, as_of, degraded = loaded.company, loaded.stored, loaded.as_of, loaded.degraded
    result.scores["data_quality_flags"] = _flags(stored, result.matrix, degraded)
    files = AttributionFiles(staging, ROWS_AT_ONCE)
    insights = Insights(company, stored, as_of, result.matrix, len(result.margins), last, degraded)
    with pq.ParquetWriter(staging.path("insights.parquet"), INSIGHTS) as writer:
        for block in result.told(stored, degraded):
            files.write(result.scores["lead_id"].iloc[block.rows], block.attributions)
            writer.write_table(insights.of(block), row_group_size=ROWS_AT_ONCE)
        writer.write_table(insights.of_the_rest(len(result.margins)), row_group_size=ROWS_AT_ONCE)
    files.close()
    if insights.previous is not None:
        insights.previous.write(staging.path(PREVIOUS), insights.signals.groups)
    table = pa.Table.from_pandas(result.scores, preserve_index=False).replace_schema_metadata()
    pq.write_table(table, staging.path("scores.parquet"), coerce_timestamps="us", row_group_size=ROWS_AT_ONCE)
    pa.csv.write_csv(plain_cells(table), staging.path("scores.csv"))
    pq.write_table(record_at(company.connection, as_of), staging.path("identity.parquet"))
    names = staging.names()
    manifest: dict[str, Any] = {
        "as_of": iso(as_of),
        "known_until": iso(company.known_until),
        "model_version": loaded.version,
        "state": "degraded" if degraded else "complete",
        "degraded": [one.to_dict() for one in degraded],
        "company": stored.facts.company,
        "currency": stored.facts.currency,
        "primary_horizon_days": stored.forecaster.primary_horizon_days,
        "horizons_days": list(stored.forecaster.horizons_days),
        "rows": len(result.scores),
        "explained_rows": len(result.margins),
        "attribution_method": " and ".join(sorted(files.methods)) or None,
        "attribution_largest_gap": files.largest_gap,
        "previous": insights.previous.said() if insights.previous else None,
        "data_fingerprint": data_fingerprint(company),
        "absent": result.absent,
        "notes": {**stored.forecaster.notes_, **notices(degraded)},
        "totals": _totals(stored, result.scores),
        "themes": {entry.name: entry.theme for entry in catalogue.entries(stored.spec)},
        **files.bases,
        "files": {
            name: {"sha256": sha256_of(staging.path(name)), "bytes": staging.path(name).stat().st_size}
            for name in names
        },
    }
    staging.path(MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n")


def _totals(stored: StoredModel, scores: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Say what all leads are expected to bring together, and between what two bounds 80% of such totals lie."""
    forecaster, found = stored.forecaster, {}
    for name in ("this_quarter", *(f"{days}d" for days in forecaster.horizons_days)):
        p_win, money = scores[f"p_win_{name}"], scores[f"expected_revenue_{name}"]
        if len(scores) and forecaster.has_value_ and p_win.notna().all() and money.notna().all():
            low, high = forecaster.total(p_win, money)
            found[name] = {"expected": float(money.sum()), "low": float(low), "high": float(high)}
    return found


def _identity(
    company: LoadedCompany, matrix: pd.DataFrame, as_of: datetime, version: str, stored: StoredModel
) -> pd.DataFrame:
    leads = company.tables.leads.select("lead_id", "account_id", "owner_id", "kind")
    known = leads.semi_join(ibis.memtable(matrix[["lead_id"]]), "lead_id").to_pandas()
    scores = matrix[["lead_id", "episode"]].merge(known, on="lead_id", how="left", validate="many_to_one")
    scores.insert(2, "as_of", pd.Timestamp(as_of))
    scores.insert(3, "model_version", version)
    scores["currency"] = stored.facts.currency
    return scores


def notices(degraded: Sequence[Degradation]) -> dict[str, str]:
    """Say what readers should know of sources that cannot be relied on, by its code."""
    found: dict[str, list[str]] = {}
    for one in degraded:
        found.setdefault(f"unreliable_{one.table}", []).append(f"{one.source}: {one.why}")
    return {
        code: f"some of tonight's data cannot be relied on, and no reason is drawn from it ({'; '.join(told)})"
        for code, told in found.items()
    }


def _flags(stored: StoredModel, matrix: pd.DataFrame, degraded: Sequence[Degradation] = ()) -> list[str]:
    """Say what the reader of a lead's forecast should know about the data behind it, as JSON lists of codes."""
    everywhere = [*stored.forecaster.notes_, *notices(degraded)]
    if is_unreliable("events", degraded):
        matrix = matrix.drop(columns=[name for name in matrix.columns if name.startswith("touch_since_")])
    columns = {
        "no_company_facts": [name for name in matrix.columns if name.startswith("acct_")],
        "never_touched": [name for name in matrix.columns if name.startswith("touch_since_")],
    }
    known = {code: matrix[names].notna().any(axis=1).to_numpy() for code, names in columns.items() if names}
    return [
        json.dumps([*everywhere, *(code for code, there in known.items() if not there[lead])])
        for lead in range(len(matrix))
    ]
