"""How the nights go, in five lines: the last run, its forecasts, its sources, the archive, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.archive import runs
from pipeline.archive.extracts import Extracts
from pipeline.archive.forecasts import Forecasts
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.config.params import Params

LATE_HOURS = 36
"""A night that is older than this is late."""


def status(params: Params, now: datetime | None = None) -> str:
    """Say how the nights go.

    Parameters
    ----------
    params : Params
    now : datetime, optional
        With a zone; by default this instant.

    Returns
    -------
    str
        Five lines.
    """
    now = now or datetime.now(UTC)
    lines = runs.read_lines(params.runs_folder)
    last = lines[-1] if lines else None
    busy = runs.at_work(params.runs_folder)
    rows = {
        "Run": _run(last, busy, now),
        "Forecasts": _forecasts(params.artifacts_folder),
        "Sources": _sources(params),
        "Archive": _archive(params),
        "Next": _next(last, busy, now),
    }
    return "\n".join(f"{name + ':':<11}{text}" for name, text in rows.items())


def _run(last: Mapping[str, Any] | None, busy: Mapping[str, Any] | None, now: datetime) -> str:
    at_work = f"run {busy.get('run_id')} is at work since {busy.get('started_at')}; before it: " if busy else ""
    if last is None:
        return f"{at_work}no night has been run"
    why = "".join(f"; {one['source']}: {one['why']}" for one in last.get("degraded") or ())
    failed = f"; {last['message']}" if last.get("message") else ""
    ago = _hours_ago(last, now)
    return f"{at_work}night {last.get('night')} {last['state']}{why}{failed} ({last['run_id']}, {ago})"


def _forecasts(folder: Path) -> str:
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return f"none in {folder}"
    state = manifest.get("state", "complete")
    leads = counted(manifest["rows"], "lead", "leads")
    return f"{leads} as of {manifest['as_of']}, model version {manifest['model_version']}, {state}"


def _sources(params: Params) -> str:
    try:
        entry = Extracts(params.archive_folder).last()
    except UserError as error:
        return str(error)
    if entry is None:
        return "none read yet"
    parts = [
        f"{name} {counted(fact['rows'], 'row', 'rows')}"
        + (f", newest {fact['newest'][:16].replace('T', ' ')}" if fact["newest"] else "")
        for name, fact in entry.seal["facts"].items()
    ]
    return f"{'; '.join(parts)} (UTC; read {entry.seal['taken_at'][:16].replace('T', ' ')})"


def _archive(params: Params) -> str:
    try:
        nights = Forecasts(params.archive_folder).nights()
        extracts = Extracts(params.archive_folder).nights()
    except UserError as error:
        return str(error)
    if not nights:
        return "empty"
    sizes = [sum(file["bytes"] for file in entry.seal["files"].values()) for entry in (nights[-1], *extracts[-1:])]
    whole = sum(entry.is_whole() for entry in extracts)
    since = nights[0].seal["night"]
    return (
        f"{counted(len(nights), 'night', 'nights')} since {since}, "
        f"the last of {sizes[0] / 1e6:,.1f} MB; {whole} extracts kept, the last of "
        f"{sizes[-1] / 1e6:,.1f} MB"
    )


def _next(last: Mapping[str, Any] | None, busy: Mapping[str, Any] | None, now: datetime) -> str:
    if busy:
        return "wait for the run at work"
    if last is None:
        return "leadrev nightly"
    if last["state"] == runs.FAILED:
        return "mend what the run says, then leadrev nightly: it goes on where it stopped"
    if _hours(last, now) > LATE_HOURS:
        return f"no night for {_hours(last, now):,.0f} hours: look at cron or the timer, then leadrev nightly"
    if last["state"] == runs.DEGRADED:
        if all(str(one.get("source")).startswith("deliver.") for one in last.get("degraded") or ()):
            return "mend what the sink says; leadrev deliver sends what waits"
        return "mend the source; leadrev nightly --from freshness reads it again tonight"
    return "nothing"


def _hours(last: Mapping[str, Any], now: datetime) -> float:
    ended = last.get("ended_at") or last.get("started_at")
    return (now - datetime.fromisoformat(ended)).total_seconds() / 3600 if ended else float("inf")


def _hours_ago(last: Mapping[str, Any], now: datetime) -> str:
    hours = _hours(last, now)
    return "just now" if hours < 1 else f"{hours:,.0f} hours ago"
