"""The funnel: stages, rates, leaks, and who means what by a lead."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.load import company_at
from pipeline.reporting.funnel_page import render_funnel, sentences, terminal_table
from pipeline.revenue.funnel import funnel as work_out


@dataclass(frozen=True)
class FunnelResult:
    """What the funnel holds, as ``funnel.json`` does, and where it was written."""

    content: dict[str, Any]
    folder: Path

    def summary(self) -> str:
        """Say what there is to say, in the terminal."""
        lines = [*terminal_table(self.content), "", *sentences(self.content)]
        return "\n".join([*lines, f"Written: {self.folder}/funnel.html, funnel.json"])


def funnel(params: Params, as_of: str | None, *, by: str | None, cohort: str | None, out: Path) -> FunnelResult:
    """Work out the funnel of a company, and write ``funnel.json`` and ``funnel.html``.

    Parameters
    ----------
    params : Params
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    by : str, optional
        What the funnel is split by.
    cohort : str, optional
        ``month`` or ``quarter``.
    out : Path
        Folder for the files.

    Raises
    ------
    UserError
        The date is unreadable, the company does not know the segment, or nothing dates a stage of the params.
    """
    check_writable(out)
    company, instant = company_at(params, as_of)
    with step("following the leads through the stages"):
        content = work_out(company, instant, by=by, cohort=cohort, scores=params.artifacts_folder)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(out, {"funnel.json": text.encode(), "funnel.html": render_funnel(content).encode()})
    return FunnelResult(content, out)
