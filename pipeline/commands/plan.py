"""The plan of a period: what is closed, what is to come, and what the goal still takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.errors import UserError
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.load import company_at
from pipeline.planning.plan import plan as work_out
from pipeline.reporting.plan_page import render_plan, sentences, terminal_table
from pipeline.revenue.expected_revenue import scores_of


@dataclass(frozen=True)
class PlanResult:
    """What ``plan.json`` holds, and where it was written."""

    content: dict[str, Any]
    folder: Path

    def summary(self) -> str:
        """Say what there is to say, in the terminal."""
        lines = [*terminal_table(self.content), "", *sentences(self.content)]
        return "\n".join([*lines, f"Written: {self.folder}/plan.html, plan.json"])


def plan(
    params: Params, as_of: str | None, *, goal: float | None, first: str | None, last: str | None,
    marketing_share: float | None, out: Path,
) -> PlanResult:  # fmt: skip
    """Plan a period, and write ``plan.json`` and ``plan.html``.

    Parameters
    ----------
    params : Params
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    goal : float, optional
    first, last : str, optional
        The days of the period, as the user wrote them.
    marketing_share : float, optional
    out : Path
        Folder for the files.

    Raises
    ------
    UserError
        A date or a figure cannot be read, or the period lies in the past.
    """
    check_writable(out)
    begins, ends = _day(first, "--from"), _day(last, "--until")
    if goal is not None and not goal > 0:
        raise UserError(f"--goal: found {goal:g}, allowed: above 0, in {params.currency}")
    if marketing_share is not None and not 0 <= marketing_share <= 1:
        raise UserError(f"--marketing-share: found {marketing_share:g}, allowed: 0 to 1")
    company, instant = company_at(params, as_of)
    with step("planning"):
        content = work_out(
            company, instant, goal=goal, first=begins, last=ends, marketing_share=marketing_share,
            forecast=scores_of(company, instant, params.artifacts_folder),
        )  # fmt: skip
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(out, {"plan.json": text.encode(), "plan.html": render_plan(content).encode()})
    return PlanResult(content, out)


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UserError(f"{option}: found '{text}', allowed: a day such as 2026-09-30") from None
