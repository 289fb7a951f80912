"""The list as CSV: what is on the screen, with no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from pipeline.common.spreadsheet_text import plain_cell
from pipeline.reporting.lead_filters import Filters
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web.request_models import MOST_ROWS

CSV_ROWS = 100_000
CSV_COLUMNS = (
    "rank", "next_step_text", "next_step", "content_text",
    "lead_id", "company_name", "name", "title", "owner", "source", "size", "theme", "grade", "score", "kind",
    "entry", "revenue", "p_win_primary", "expected_revenue_this_quarter", "expected_revenue_next_quarter",
    "expected_revenue_later", "deal_value", "days_to_win_p50", "reasons_positive", "reasons_negative",
)  # fmt: skip


def csv_lines(ranking: Ranking, filters: Filters, sort: str) -> Iterator[str]:
    """Write the leads that pass a filter as CSV, in the order of the screen, at most 100,000 of them.

    Text that a spreadsheet could read as a formula stays text, as `plain_cell` has it.
    """
    yield "\ufeff" + _csv_line(list(CSV_COLUMNS))  # the mark by which Excel knows UTF-8
    for start in range(0, CSV_ROWS, MOST_ROWS):
        leads = ranking.page(filters, sort, start, MOST_ROWS)
        for lead in leads:
            yield _csv_line([_cell(lead[column]) for column in CSV_COLUMNS])
        if len(leads) < MOST_ROWS:
            return


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = "; ".join(str(reason["text"]) for reason in value)
    return plain_cell(value) if isinstance(value, str) else value


def _csv_line(cells: list[Any]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue()
