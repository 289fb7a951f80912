"""A month that is over: forecast against what came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.load import company_at
from pipeline.planning.month_end import MonthSpan
from pipeline.planning.month_end import month_end as work_out
from pipeline.reporting.month_end_page import render_month_end, sentences, terminal_table


@dataclass(frozen=True)
class MonthEndResult:
    """What ``month-end.json`` holds, and where it was written."""

    content: dict[str, Any]
    folder: Path

    def summary(self) -> str:
        """Say what there is to say, in the terminal."""
        lines = [*terminal_table(self.content), "", *sentences(self.content)]
        return "\n".join([*lines, f"Written: {self.folder}/month-end.html, month-end.json"])


def month_end(params: Params, month: str, as_of: str | None, *, out: Path) -> MonthEndResult:
    """Compare a month with its forecast, and write ``month-end.json`` and ``month-end.html``.

    Parameters
    ----------
    params : Params
    month : str
        ``2026-07``.
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    out : Path
        Folder for the files.

    Raises
    ------
    UserError
        The date or the month cannot be read, or the month is not over.
    """
    check_writable(out)
    MonthSpan.of(month, params.data.timezone)  # before anything is read
    company, instant = company_at(params, as_of)
    with step("comparing the month with its forecast"):
        content = work_out(company, month, instant)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(out, {"month-end.json": text.encode(), "month-end.html": render_month_end(content).encode()})
    return MonthEndResult(content, out)
