"""Experiments: who is drawn for which arm, and what the arms made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.formatting import count
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.load import company_at, load_tables
from pipeline.reporting.experiment_page import render_experiment, sentences, terminal_table
from pipeline.revenue.experiment_assignment import assign as draw
from pipeline.revenue.experiments import experiment as work_out


@dataclass(frozen=True)
class ExperimentResult:
    """What ``experiment.json`` holds, and where it was written."""

    content: dict[str, Any]
    folder: Path

    def summary(self) -> str:
        """Say what there is to say, in the terminal."""
        lines = [*terminal_table(self.content), "", *sentences(self.content)]
        return "\n".join([*lines, f"Written: {self.folder}/experiment.html, experiment.json"])


def experiment(params: Params, name: str, as_of: str | None, *, out: Path) -> ExperimentResult:
    """Analyse an experiment, and write ``experiment.json`` and ``experiment.html``.

    Parameters
    ----------
    params : Params
    name : str
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    out : Path
        Folder for the files.

    Raises
    ------
    UserError
        The date cannot be read, or there is no such experiment.
    """
    check_writable(out)
    company, instant = company_at(params, as_of)
    with step("comparing the arms"):
        content = work_out(company, name, instant)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(out, {"experiment.json": text.encode(), "experiment.html": render_experiment(content).encode()})
    return ExperimentResult(content, out)


def assign(params: Params, name: str, share: float) -> str:
    """Draw the accounts of all leads that are open where the data end, and say how many came into which arm.

    Parameters
    ----------
    params : Params
    name : str
    share : float
        Of accounts that get the treatment.

    Raises
    ------
    UserError
        The share is none, or the company's own table assigns the experiment's leads.
    """
    check_writable(params.archive_folder)
    with step("reading and checking the sources"):
        company = load_tables(params)
    drawn = draw(company, name, share)
    if not len(drawn.rows):
        return f"Experiment {name}: no open lead that is in no arm yet; nothing was drawn"
    arms = [f"{count(leads, 'lead', 'leads')} to {arm}" for arm, leads in drawn.rows["arm"].value_counts().items()]
    before = count(drawn.accounts_before, "account", "accounts")
    return (
        f"Experiment {name}: {', '.join(arms)}; {before} were in it before. "
        f"Each lead is followed for {drawn.horizon_days} days.\n"
        f'Sealed into {params.archive_folder}/experiments/; next: leadrev experiment "{name}"'
    )
