"""Campaigns by revenue, and what a filter would hide."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.as_of import parse_as_of
from pipeline.ingest.load import company_at
from pipeline.reporting.campaigns_page import filter_sentences, render_campaigns, sentences, terminal_table
from pipeline.revenue.campaign_report import campaigns as work_out
from pipeline.revenue.expected_revenue import scores_of
from pipeline.revenue.hidden_revenue import hidden_revenue


@dataclass(frozen=True)
class CampaignsResult:
    """What ``campaigns.json`` and ``filter.json`` hold, and where they were written."""

    content: dict[str, Any]
    hidden: dict[str, Any] | None
    folder: Path

    def summary(self) -> str:
        """Say what there is to say, in the terminal."""
        lines = [*terminal_table(self.content), "", *sentences(self.content)]
        if self.hidden is not None:
            lines += ["", *filter_sentences(self.hidden)]
        names = "campaigns.html, campaigns.json" + (", filter.json" if self.hidden is not None else "")
        return "\n".join([*lines, f"Written: {self.folder}/{names}"])


def campaigns(
    params: Params, as_of: str | None, *, since: str | None, attribution: str | None, condition: str | None, out: Path
) -> CampaignsResult:
    """Work out what campaigns earned, and write ``campaigns.json``, ``campaigns.html`` and ``filter.json``.

    Parameters
    ----------
    params : Params
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    since : str, optional
        Only leads created, and costs spent, since that date.
    attribution : str, optional
        How won revenue is credited; by default ``campaigns.attribution``.
    condition : str, optional
        A filter whose hidden revenue is worked out.
    out : Path
        Folder for the files.

    Raises
    ------
    UserError
        A date, the rule or the condition cannot be read, or nothing names a campaign.
    """
    check_writable(out)
    beginning = None if since is None else parse_as_of(since, params)
    company, instant = company_at(params, as_of)
    with step("crediting revenue to campaigns"):
        forecast = scores_of(company, instant, params.artifacts_folder)
        content = work_out(company, instant, since=beginning, attribution=attribution, forecast=forecast)
        hidden = None if condition is None else hidden_revenue(company, instant, condition, forecast)
    files = {"campaigns.json": _json(content), "campaigns.html": render_campaigns(content, hidden).encode()}
    if hidden is not None:
        files["filter.json"] = _json(hidden)
    write_whole(out, files)
    return CampaignsResult(content, hidden, out)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
