"""Scores as files: the same bytes for the same inputs, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from features import catalogue
from pipeline.common.atomic_write import Staging, sha256_of, written_whole
from pipeline.common.dates import iso, local_iso
from pipeline.common.progress import step
from pipeline.common.spreadsheet_text import plain_cells
from pipeline.identity.linkage import record_at
from pipeline.ingest.company import data_fingerprint
from pipeline.insights.call_lists import FILE as LISTS
from pipeline.insights.call_lists import lists_file
from pipeline.insights.lead_insights import SCHEMA as INSIGHTS
from pipeline.insights.lead_insights import prepare_insights
from pipeline.insights.score_changes import FILE as PREVIOUS
from pipeline.insights.timeline import day_moves, write_timeline
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.scoring.attribution_files import AttributionFiles
from pipeline.scoring.forecast import Loaded, Scores, forecast_leads, margins_table
from pipeline.scoring.quality_flags import notices

MANIFEST = "manifest.json"


ROWS_AT_ONCE = 10_000  # a page that shows one lead reads the piece of the file that it stands in


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
    with step(f"scoring the leads open as of {local_iso(instant, company.params.data.timezone)}"):
        result = forecast_leads(
            company, stored, instant, version=loaded.version, explained=explained, degraded=loaded.degraded
        )
    with step("finding the days that moved the leads at the top"):
        top = result.scores if explained is None else result.scores.head(explained)
        moved = day_moves(company, top, stored, instant)
    with step("explaining and writing"), written_whole(out, seal=MANIFEST) as staging:
        write_timeline(staging.path("timeline.parquet"), company, result.scores, moved, instant)
        if with_margins:
            pq.write_table(margins_table(result, stored), staging.path("margins.parquet"), compression="zstd")
        write_scores(staging, result, loaded, previous)
    return result


def write_scores(staging: Staging, result: Scores, loaded: Loaded, last: Path) -> None:
    """Explain the leads, and write scores, attributions, insights and the manifest that seals them.

    Parameters
    ----------
    last : Path
        The folder with the scores that today's are compared with.
    """
    company, stored, as_of, degraded = loaded.company, loaded.stored, loaded.as_of, loaded.degraded
    files = AttributionFiles(staging, ROWS_AT_ONCE)
    insights = prepare_insights(
        company, stored, as_of, result.scores, result.matrix, len(result.margins), last, degraded
    )
    with pq.ParquetWriter(staging.path("insights.parquet"), INSIGHTS) as writer:
        for block in result.explain(stored, degraded):
            files.write(result.scores["lead_id"].iloc[block.rows], block.attributions)
            writer.write_table(insights.of(block), row_group_size=ROWS_AT_ONCE)
        writer.write_table(insights.of_the_rest(len(result.margins)), row_group_size=ROWS_AT_ONCE)
    files.close()
    if insights.previous is not None:
        insights.previous.write(staging.path(PREVIOUS), insights.signals.groups)
    if company.params.capacity.calls_per_owner_per_day is not None:
        money = f"expected_revenue_{stored.forecaster.primary_horizon_days}d"
        staging.path(LISTS).write_text(
            lists_file(company, result.scores, insights.steps, money, as_of), encoding="utf-8"
        )
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
        "previous": insights.previous.manifest_entry() if insights.previous else None,
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
