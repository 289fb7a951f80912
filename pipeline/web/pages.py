"""The pages: the list, a lead, and two leads beside each other."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from pipeline.archive.feedback import ANSWERS
from pipeline.common import formatting
from pipeline.reporting import html, waterfall
from pipeline.reporting.lead_details import curve
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web.csv_download import CSV_ROWS, csv_lines
from pipeline.web.forms import read_form
from pipeline.web.request_models import (
    MOST_PAGES,
    MOST_ROWS,
    PAGE_ROWS,
    Asker,
    GivenAnswer,
    GivenFilters,
    SortKey,
    answers_of,
    record,
    store_answer,
    visible_lead,
)
from pipeline.web.score_cache import ScoreCache
from pipeline.web.tokens import Person

STALE_DAYS = 7


def add(app: FastAPI, scores: ScoreCache) -> None:
    """Put the pages into the application."""
    _add_files(app)
    _add_list(app, scores)
    _add_lead(app, scores)


def _add_files(app: FastAPI) -> None:
    for name, kind in (("style.css", "text/css"), ("app.js", "text/javascript")):

        def file(name: str = name, kind: str = kind) -> Response:
            return Response(html.source(name), media_type=kind)

        app.get(f"/{name}", include_in_schema=False)(lambda file=file: file())


def _add_list(app: FastAPI, scores: ScoreCache) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def leads_page(
        request: Request,
        person: Asker,
        filters: GivenFilters,
        sort: SortKey = "rank",
        page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1,
    ) -> str:
        score_set = scores.get()
        ranking = score_set.ranking_for(person)
        sorts = html.sorts_of(ranking)
        sort = sort if sort in sorts else "rank"  # one of the API alone, or by money where there is none
        shown = ranking.totals_of(filters) if filters else ranking.totals
        most = max(1, math.ceil(shown.leads / PAGE_ROWS))
        page = min(page, most)
        leads = ranking.page(filters, sort, (page - 1) * PAGE_ROWS, PAGE_ROWS)

        answers, damaged = scores.answers.newest_of([lead["lead_id"] for lead in leads])

        def link(path: str, to: int | None) -> str:
            asked = {"search": filters.search, **filters.values, "sort": sort, "page": to}
            return f"{path}?{urlencode({key: value for key, value in asked.items() if value})}"

        return html.render(
            "list.html",
            ranking=ranking,
            **_visitor(request, person),
            stale=_days_old(ranking),
            accuracy=score_set.accuracy(ranking),
            verdict=score_set.verdict(ranking),
            **(score_set.overview(ranking) if not filters and page == 1 else {"segments": [], "now": []}),
            filters=filters,
            choices=ranking.choices,
            sorts=sorts,
            sort=sort,
            shown=shown,
            leads=leads,
            answers=answers,
            damaged=damaged,
            start=(page - 1) * PAGE_ROWS,
            previous=f"{link('/', page - 1)}#leads" if page > 1 else None,
            following=f"{link('/', page + 1)}#leads" if page < most else None,
            csv_link=link("/leads.csv", None),
            csv_rows=min(shown.leads, CSV_ROWS),
        )

    @app.get("/leads.csv", include_in_schema=False)
    def leads_csv(request: Request, person: Asker, filters: GivenFilters, sort: SortKey = "rank") -> Response:
        ranking = scores.get().ranking_for(person)
        lines = csv_lines(ranking, filters, sort)
        record(request, "export", to="csv", leads=min(ranking.totals_of(filters).leads, CSV_ROWS))
        headers = {"Content-Disposition": 'attachment; filename="leads.csv"'}
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def _add_lead(app: FastAPI, scores: ScoreCache) -> None:
    @app.get("/leads/{lead_id:path}", response_class=HTMLResponse, include_in_schema=False)
    def lead_page(request: Request, person: Asker, lead_id: str) -> str:
        score_set = scores.get()
        ranking = score_set.ranking_for(person)
        lead = visible_lead(ranking, lead_id)
        explanation = waterfall.explain_lead(lead)
        try:
            answers, damaged = answers_of(scores, lead["lead_id"]), False
        except HTTPException:  # the forecast is as good as ever
            answers, damaged = [], True
        return html.render(
            "lead.html",
            ranking=ranking,
            **_visitor(request, person),
            lead=lead,
            explanation=explanation,
            steps=waterfall.steps(explanation, score_set.details.themes(ranking, lead), ranking.themes),
            curve=curve(ranking, lead),
            days=score_set.details.days(ranking, lead),
            insight=score_set.details.insight(ranking, lead),
            answers=answers,
            damaged=damaged,
            answer_words=ANSWERS,
            click_ids=[
                str(uuid.uuid4())
                for _ in range(len(ANSWERS) + len(explanation.reasons_for + explanation.reasons_against))
            ],
            mail=mail_text(ranking, lead, explanation),
        )

    @app.get("/compare", response_class=HTMLResponse, include_in_schema=False)
    def compare_page(
        request: Request, person: Asker, lead: Annotated[list[str], Query(max_length=MOST_ROWS)] = [],  # noqa: B006
    ) -> Response:  # fmt: skip
        score_set = scores.get()
        ranking = score_set.ranking_for(person)
        ids = list(dict.fromkeys(one.strip() for one in lead if one.strip()))
        if len(ids) != 2:
            raise HTTPException(422, f"Choose two leads in the list to compare them; {len(ids)} were chosen.")
        both = [visible_lead(ranking, one) for one in ids]
        themes = [score_set.details.themes(ranking, one) for one in both]
        page = html.render(
            "compare.html",
            ranking=ranking,
            **_visitor(request, person),
            leads=both,
            explanation=[waterfall.explain_lead(one) for one in both],
            compared=waterfall.compare(both[0], both[1], themes[0], themes[1]),
        )
        return HTMLResponse(page)

    @app.post("/answers", include_in_schema=False)
    async def answer(request: Request, person: Asker) -> Response:
        form = await read_form(request)
        try:
            given = GivenAnswer.model_validate({key: value for key, value in form.items() if value})
        except ValidationError as error:
            raise HTTPException(422, f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}.") from None
        lead = visible_lead(scores.get().ranking_for(person), given.lead_id)
        await run_in_threadpool(store_answer, request, scores, lead, person, given)
        return RedirectResponse(f"/leads/{quote(given.lead_id, safe='')}#answers", 303)


def mail_text(ranking: Ranking, lead: dict[str, Any], explanation: waterfall.Explanation) -> str:
    """Tell a lead in plain text, for a mail."""
    currency, horizon = ranking.manifest["currency"], f"within {ranking.primary_horizon_days} days"
    lines = [html.title_of(lead), *([html.subtitle_of(lead)] if html.subtitle_of(lead) else []), ""]
    lines += [f"Next: {lead['next_step_text']}", ""] if lead["next_step_text"] else []
    if lead["revenue"] is not None:
        lines.append(
            f"Expected {horizon}: {formatting.money(lead['revenue'], currency)} (win probability "
            f"{formatting.percent(lead['p_win_primary'])}, a deal of about "
            f"{formatting.money(lead['deal_value'], currency)})"
        )
    else:
        lines.append(f"Win probability {horizon}: {formatting.percent(lead['p_win_primary'])}")
    lines.append(f"Rank {lead['rank']:,} of {html.among(ranking).replace('your', 'my')} open leads")
    for title, reasons in (("For it", explanation.reasons_for), ("Against it", explanation.reasons_against)):
        if reasons:
            lines += [
                "",
                f"{title}:",
                *(f"- {reason.text} ({_weight(reason.weight, explanation, currency)})" for reason in reasons),
            ]
    url = html.web_link(lead["record_url"])
    as_of = formatting.instant(ranking.manifest["as_of"], ranking.timezone)
    return "\n".join(
        [*lines, "", *([url] if url else []), f"As of {as_of}. An association in past data, not a promise."]
    )


def _weight(weight: float, explanation: waterfall.Explanation, currency: str) -> str:
    if explanation.unit == "points":
        return formatting.points(weight)
    return formatting.money(weight, currency, signed=True, decimals=explanation.decimals)


def _days_old(ranking: Ranking) -> int:
    """Give the age of the scores in days, where it is so high that a reader should know; else 0."""
    days = (datetime.now(UTC).replace(tzinfo=None) - ranking.as_of).days
    return days if days > STALE_DAYS else 0


def _visitor(request: Request, person: Person) -> dict[str, Any]:
    return {"person": person, "logged_in": True}
