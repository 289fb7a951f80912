"""What archived forecasts expected against what came, inputs against training: ``monitor.json`` and its page."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.load import company_at
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.model_registry.model_artifact import StoredModel
from pipeline.operations.expected_wins import COLUMNS
from pipeline.operations.monitor import monitor as work_out
from pipeline.reporting.monitor_page import render_monitor, sentences, terminal_table

JSON, PAGE, SUMS = "monitor.json", "monitor.html", "monitor-nights.parquet"
FILES = (JSON, PAGE, SUMS)


@dataclass(frozen=True)
class MonitorResult:
    """What ``monitor.json`` holds, and where it was written."""

    content: dict[str, Any]
    folder: Path

    def summary(self) -> str:
        """Say what there is to say, in the terminal."""
        lines = [*terminal_table(self.content), "", *sentences(self.content)]
        return "\n".join([*lines, f"Written: {self.folder}/monitor.html, monitor.json"])


def monitor(params: Params, as_of: str | None, *, out: Path) -> MonitorResult:
    """Compare the archived nights with what is known, and write ``monitor.json`` and ``monitor.html``.

    Parameters
    ----------
    params : Params
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    out : Path
        Folder for the files.

    Raises
    ------
    UserError
        The date cannot be read, or no forecast was archived by then.
    """
    check_writable(out)
    company, instant = company_at(params, as_of)
    registry = Registry(params)
    with step("comparing nights with what came"):
        return monitor_company(company, instant, lambda version: registry.load(version)[1], out=out)


def monitor_company(
    company: LoadedCompany, as_of: datetime, load: Callable[[str], StoredModel], *, out: Path
) -> MonitorResult:
    """Do the same with a company that is loaded, and models that may be."""
    models: dict[str, StoredModel] = {}

    def once(version: str) -> StoredModel:
        if version not in models:
            models[version] = load(version)
        return models[version]

    found = work_out(company, as_of, once, _kept(out / SUMS))
    text = json.dumps(found.content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    sums = io.BytesIO()
    found.sums.to_parquet(sums, index=False)
    page = render_monitor(found.content).encode()
    write_whole(out, {JSON: text.encode(), PAGE: page, SUMS: sums.getvalue()})
    return MonitorResult(found.content, out)


def metrics(content: dict[str, Any]) -> dict[str, float]:
    """Give the figures that MLflow is told of a night."""
    found = {f"monitor_{name}": content["scores"][name] for name in ("psi", "rank_correlation")}
    found |= {"monitor_alarms": len(content["alarms"])}
    found |= {"monitor_drifted_inputs": sum(row["drifted"] for row in content["inputs"])}
    if content["outcomes"]:
        found |= {
            f"monitor_{name}": content["outcomes"][0][name] for name in ("observed", "expected", "ratio", "e_value")
        }
    return {name: float(value) for name, value in found.items() if value is not None}


def _kept(path: Path) -> pd.DataFrame | None:
    """Read what earlier runs worked out; a file that cannot be read is worked out again."""
    try:
        found = pd.read_parquet(path)
    except (OSError, ValueError):
        return None
    return found if list(found.columns) == list(COLUMNS) else None
