"""The report for sales and marketing: one HTML file that works from a mail attachment, offline, and in print."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.common import formatting
from pipeline.common.atomic_write import write_whole
from pipeline.config.params import Params
from pipeline.ingest.company import LoadedCompany
from pipeline.reporting import html, waterfall
from pipeline.reporting.lead_details import Details, curve
from pipeline.reporting.lead_filters import FACETS, MONEY_TOTALS, Filters
from pipeline.reporting.ranked_leads import Ranking, open_ranking, read_backtest

LISTED_LIMIT = 10_000
STORIES_BYTES = 2_500_000
DRAWN_LEADS, DRAWN_BYTES = 200, 2_000_000
STATIC_ROWS, STATIC_PAGES = 100, 20
BEST_ROWS = 8
FACET_VALUES = 40
ALL_OTHERS = "all others"
_CENTS = {
    "revenue": "revenue",
    "this_quarter": "expected_revenue_this_quarter",
    "next_quarter": "expected_revenue_next_quarter",
    "later": "expected_revenue_later",
}


def report(params: Params, out: Path, company: LoadedCompany | None = None) -> Path:
    """Write the report on the last scores.

    Parameters
    ----------
    params : Params
        Its artifacts folder holds the scores and, if there was one, the backtest.
    out : Path
        Folder to write ``report.html`` into.
    company : LoadedCompany, optional
        The company, where it is loaded: the names in the report are from there.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UserError
        If there are no finished scores yet.
    """
    ranking = open_ranking(params, company)
    content = report_content(ranking, read_backtest(params.artifacts_folder), Details(params.artifacts_folder))
    page = html.render_report(content)
    write_whole(out, {"report.html": page.encode()})
    return out / "report.html"


def report_content(
    ranking: Ranking, backtest: dict[str, Any] | None, details: Details, listed_limit: int = LISTED_LIMIT
) -> dict:
    """Collect what `pages.render_report` shows.

    Parameters
    ----------
    ranking : Ranking
        The scores.
    backtest : dict or None
        The content of ``backtest.json``.
    details : Details
        What else is known of each lead.
    listed_limit : int
        How many leads get a line of their own; the rest counts in the sums.
    """
    facet = ranking.segment()
    leads = ranking.page(Filters(), limit=listed_limit)
    more = drawn(ranking, details, leads)
    data = report_data(ranking, leads) | {"drawn": len(more)}
    return {
        "ranking": ranking,
        "accuracy": waterfall.accuracy(backtest, ranking.timezone),
        "verdict": (backtest or {}).get("verdict") or {},
        "segments": ranking.by(facet) if facet and ranking.has_money else [],
        "segment_label": html.FACETS[facet] if facet else "",
        **now_and_later(ranking),
        "leads": leads[:STATIC_ROWS],
        "detailed": leads[:STATIC_PAGES],
        "more": more,
        "data": data,
        "json": html.script_data(data),
    }


def now_and_later(ranking: Ranking) -> dict[str, list[dict[str, Any]]]:
    """Pick the leads that bring most this quarter, and, of the others, those that bring most in the year after it."""
    if ranking.totals.this_quarter is None or ranking.totals.next_quarter is None:
        return {"now": [], "later": []}
    now = ranking.page(Filters(), "this_quarter", limit=BEST_ROWS)
    later = ranking.page(Filters(), "next_year", limit=2 * BEST_ROWS)
    taken = {lead["lead_id"] for lead in now}
    return {"now": now, "later": [lead for lead in later if lead["lead_id"] not in taken][:BEST_ROWS]}


def drawn(ranking: Ranking, details: Details, leads: list[dict[str, Any]]) -> list[Markup]:
    """Draw, of the leads at the top, what their pages have beside the figures, until the file would grow too large.

    The way from the typical lead, the curve of being won over time, what it would take, what changed, and what
    happened: as the web page has them.
    """
    found, written = [], 0
    for lead in leads[:DRAWN_LEADS]:
        explanation = waterfall.explain_lead(lead)
        page = html.render(
            "more.html",
            ranking=ranking,
            explanation=explanation,
            steps=waterfall.steps(explanation, details.themes(ranking, lead), ranking.themes),
            curve=curve(ranking, lead),
            insight=details.insight(ranking, lead),
            days=details.days(ranking, lead),
        )
        written += len(page.encode())
        if written > DRAWN_BYTES:
            break
        found.append(Markup(page))  # a template's text: what people typed is escaped in it
    return found


class _Strings:
    """Texts that many leads share, each kept once."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.bytes = 0

    def __call__(self, text: str | None) -> int | None:
        if text and text not in self.index:
            self.index[text] = len(self.index)
            self.bytes += len(text.encode()) + 3
        return self.index[text] if text else None


def report_data(ranking: Ranking, leads: list[dict[str, Any]]) -> dict[str, Any]:
    """Pack the leads for the page's script: column by column, money in cents, chances in thousandths of a percent.

    Leads beyond `leads` come as sums over the facets, so that every filter counts all leads to the cent. A facet with
    very many values keeps its most frequent ones; the others are one choice.
    """
    strings = _Strings()
    values = {name: [value for value, _ in found[:FACET_VALUES]] for name, found in ranking.choices.items()}
    for name, found in ranking.choices.items():
        if len(found) > FACET_VALUES:
            values[name].append(ALL_OTHERS)
    number = {name: {value: k for k, value in enumerate(kept)} for name, kept in values.items()}
    last = {name: len(kept) - 1 for name, kept in values.items()}
    urls = [html.web_link(lead["record_url"]) for lead in leads]
    prefix = os.path.commonprefix([url for url in urls if url])  # noqa: RUF071 - addresses, not paths
    columns: dict[str, Any] = {
        "id": [lead["lead_id"] for lead in leads],
        "name": [lead["name"] or "" for lead in leads],
        "company": [lead["company_name"] or "" for lead in leads],
        "url": [url.removeprefix(prefix) if url else None for url in urls],
        "flags": [strings(html.flags_of(lead)) for lead in leads],
        "wins": [_whole(lead["p_win_primary"], 100_000) or 0 for lead in leads],
        "facets": {
            name: [found.get(lead[FACETS[name]], last[name]) for lead in leads] for name, found in number.items()
        },
    }
    for name in ("title", "source", "owner", "size"):
        columns[name] = [strings(lead[name]) for lead in leads]
    columns["next"] = [strings(lead["next_step_text"]) for lead in leads]
    columns["content"] = [strings(lead["content_text"]) for lead in leads]
    for name in ("rank", "score", "grade", "kind", "entry"):
        columns[name] = [lead[name] for lead in leads]
    for name, column in _CENTS.items():
        columns[name] = [_whole(lead[column], 100) for lead in leads]
    for name in ("p10", "p50", "p90"):
        columns[name] = [_rounded(lead[f"days_to_win_{name}"], 1) for lead in leads]
    for name in ("deal_value", "deal_value_p10", "deal_value_p90"):
        columns[name] = [_rounded(lead[name], 2) for lead in leads]
    ends = [f"{days}d" for days in ranking.horizons_days]
    columns["chances"] = [[_whole(lead[f"p_win_{end}"], 100_000) for lead in leads] for end in ends]
    columns["expected"] = [[_rounded(lead[f"expected_revenue_{end}"], 2) for lead in leads] for end in ends]
    columns["stories"], explained = _stories(leads, strings)
    return {
        "as_of": ranking.manifest["as_of"],
        "listed": len(leads),
        "explained": explained,
        "prefix": formatting.currency_prefix(ranking.manifest["currency"]),
        "url": prefix,
        "money": ranking.has_money,
        "has": {name: getattr(ranking.totals, name) is not None for name in MONEY_TOTALS},
        "primary": ranking.primary_horizon_days,
        "horizons": ranking.horizons_days,
        "facets": {name: {"label": html.FACETS[name], "values": kept} for name, kept in values.items()},
        "sorts": html.sorts_of(ranking),
        "words": {**html.KINDS, **{value: html.word(value) for kept in values.values() for value in kept}},
        "leads": columns,
        "rest": _rest(ranking, len(leads), number, last),
        "strings": list(strings.index),
    }


def _stories(leads: list[dict[str, Any]], strings: _Strings) -> tuple[list[list[Any] | None], int]:
    """Pack each lead's story until the file would grow too large; say for how many leads it held."""
    packed: list[list[Any] | None] = []
    packed_bytes, texts_before = 0, strings.bytes
    for lead in leads:
        explanation = waterfall.explain_lead(lead)
        given = [
            [strings(reason.text), _rounded(reason.weight, explanation.decimals)]
            for reason in (*explanation.reasons_for, *explanation.reasons_against)
        ]
        figures = [
            _rounded(figure, explanation.decimals)
            for figure in (explanation.typical, explanation.other, explanation.total)
        ]
        row = [explanation.decimals, *figures, given] if given or explanation.typical is not None else None
        packed_bytes += len(json.dumps(row))
        if packed_bytes + strings.bytes - texts_before > STORIES_BYTES:
            break
        packed.append(row)
    return packed + [None] * (len(leads) - len(packed)), len(packed)


def _rest(ranking: Ranking, listed: int, number: dict[str, dict[str, int]], last: dict[str, int]) -> dict[str, Any]:
    """Sum the leads that have no line, for each combination of facet values."""
    rest: dict[str, Any] = {name: [] for name in ("leads", "wins", *_CENTS)} | {"facets": {name: [] for name in number}}
    sums: dict[tuple[int, ...], list[float]] = {}
    if ranking.totals.leads <= listed:
        return rest
    for values, totals in ranking.combinations(tuple(number), skip=listed):
        key = tuple(number[name].get(value, last[name]) for name, value in zip(number, values, strict=True))
        row = [totals.leads, totals.wins * 1e5, *((getattr(totals, name) or 0) * 100 for name in MONEY_TOTALS)]
        sums[key] = [a + b for a, b in zip(sums.get(key, [0.0] * len(row)), row, strict=True)]
    for key, row in sorted(sums.items()):
        for name, figure in zip(("leads", "wins", *MONEY_TOTALS), row, strict=True):
            rest[name].append(round(figure))
        for name, value in zip(number, key, strict=True):
            rest["facets"][name].append(value)
    return rest


def _whole(value: float | None, parts: int) -> int | None:
    return None if value is None else round(value * parts)


def _rounded(value: float | None, decimals: int) -> float | None:
    if value is None:
        return None
    rounded = round(value, decimals)
    return int(rounded) if rounded == int(rounded) else rounded
