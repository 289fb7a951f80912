"""What sales did with the list, from the archived forecasts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.load import company_at
from pipeline.reporting.selection_page import render_selection, sentences, terminal_table
from pipeline.revenue.selection import selection as work_out


@dataclass(frozen=True)
class SelectionResult:
    """What ``selection.json`` holds, and where it was written."""

    content: dict[str, Any]
    folder: Path

    def summary(self) -> str:
        """Say what there is to say, in the terminal."""
        lines = [*terminal_table(self.content), "", *sentences(self.content)]
        return "\n".join([*lines, f"Written: {self.folder}/selection.html, selection.json"])


def selection(params: Params, as_of: str | None, *, out: Path) -> SelectionResult:
    """Work out what sales did with the archived forecasts, and write ``selection.json`` and ``selection.html``.

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
    with step("following what was forecast"):
        content = work_out(company, instant)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(out, {"selection.json": text.encode(), "selection.html": render_selection(content).encode()})
    return SelectionResult(content, out)
