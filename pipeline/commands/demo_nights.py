"""A scene of the demo: three nights of a small company, and what changed from each to the next."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import yaml

from pipeline.archive.extracts import CHANGES, Extracts
from pipeline.common.formatting import count as counted
from pipeline.common.formatting import money
from pipeline.common.progress import step
from pipeline.config.params import Params, load_params

LEADS = 1_000
NIGHTS = ("2026-05-13", "2026-05-14", "2026-05-15")
SHOWN_LEADS = 3
EXPERIMENT, SHARE = "one more call", 0.1


def play_nights(out: Path, champion: Params) -> str:
    """Run three nights on a company of 1,000 leads whose CRM moves on from day to day.

    Parameters
    ----------
    out : Path
        Folder for the company and what its nights make.
    champion : Params
        Names the registry whose champion forecasts: made up alike, the companies have the same columns.

    Returns
    -------
    str
        What each night came to, what changed since the night before and what sales left, in a few lines.
    """
    from pipeline.commands.experiment import assign
    from pipeline.commands.nightly import nightly
    from pipeline.commands.selection import selection
    from pipeline.reporting.selection_page import sentences
    from pipeline.simulation.simulate import simulate

    lines = [f"\nThree nights of a company of {LEADS:,} leads, in {out}/:"]
    for night in NIGHTS:
        with step(f"the night of {night}"):
            simulate(out, leads=LEADS, until=night)
            _share_models(out / "params.yaml", champion)
            params = load_params(out / "params.yaml")
            result = nightly(params, say=lambda text: None)
        lines.append(f"  {night}: {result.run.state}, {_seen(params)}")
    lines += ["What changed since yesterday, of the leads that moved most:", *_moved(out, params)]
    left = selection(params, None, out=out)
    lines.append("What sales left, and a draw that is to tell whether one more call helps:")
    lines += [f"  {sentence}" for sentence in sentences(left.content)[:1]]
    lines.append(f"  {assign(params, EXPERIMENT, SHARE).splitlines()[0]}")
    return "\n".join([*lines, f"  leadrev status --params {out}/params.yaml"])


def _share_models(path: Path, champion: Params) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["mlflow"] = {"tracking_uri": champion.tracking_uri, "model_name": champion.model_name}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _seen(params: Params) -> str:
    """Say what the last extract saw to change."""
    nights = Extracts(params.archive_folder).nights()
    if len(nights) == 1:
        return "the first extract"
    changes = pd.read_parquet(nights[-1].folder / CHANGES)
    counts = (changes["table"] + "." + changes["field"]).value_counts()
    listed = ", ".join(f"{count} × {name}" for name, count in counts.head(4).items())
    return (
        f"{counted(len(changes), 'change', 'changes')} since the night before ({listed})"
        if len(changes)
        else "no changes"
    )


def _moved(folder: Path, params: Params) -> list[str]:
    found = pd.read_parquet(folder / "insights.parquet", columns=["lead_id", "change_money", "changes"])
    found = found[found.change_money.notna()]
    found = found.loc[found.change_money.abs().sort_values(ascending=False, kind="stable").index[:SHOWN_LEADS]]
    lines = []
    for lead_id, change, changes in zip(*(found[name].tolist() for name in found.columns), strict=True):
        why = json.loads(changes)
        first = f": {why[0]['text']}" if why else ""
        lines.append(f"  {lead_id} {'+' if change > 0 else '−'}{money(abs(change), params.currency)}{first}")
    return lines
