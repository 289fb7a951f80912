"""The pages: the list, a lead, two leads beside each other, and the log-in."""

from __future__ import annotations

import csv
import io
import math
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs, quote, urlencode

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from pipeline.archive.feedback import ANSWERS
from pipeline.common import formatting
from pipeline.reporting import html, waterfall
from pipeline.reporting.lead_details import curve
from pipeline.reporting.lead_filters import Filters
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web import auth
from pipeline.web.api import MOST_PAGES, MOST_ROWS, PAGE_ROWS, Asker, GivenAnswer, GivenFilters, SortKey, found, stored

if TYPE_CHECKING:
    from pipeline.web.server import Latest

CSV_ROWS = 100_000
STALE_DAYS = 7
FORMULA = re.compile(r"(^|[;,\t\r\n])(\s*)([=+\-@\uff1d\uff0b\uff0d\uff20])")
"""What a spreadsheet may read as a formula: at the start, and behind whatever separates cells in its country."""
CSV_COLUMNS = (
    "rank", "lead_id", "company_name", "name", "title", "owner", "source", "size", "theme", "grade", "score", "kind",
    "entry", "revenue", "p_win_primary", "expected_revenue_this_quarter", "expected_revenue_next_quarter",
    "expected_revenue_later", "deal_value", "days_to_win_p50", "reasons_positive", "reasons_negative",
)  # fmt: skip


def add(app: FastAPI, latest: Latest) -> None:
    """Put the pages into the application."""
    _add_files(app)
    _add_list(app, latest)
    _add_lead(app, latest)
    _add_login(app)


def _add_files(app: FastAPI) -> None:
    for name, kind in (("style.css", "text/css"), ("app.js", "text/javascript")):

        def file(name: str = name, kind: str = kind) -> Response:
            return Response(html.source(name), media_type=kind)

        app.get(f"/{name}", include_in_schema=False)(lambda file=file: file())


def _add_list(app: FastAPI, latest: Latest) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def leads_page(
        request: Request,
        person: Asker,
        filters: GivenFilters,
        sort: SortKey = "rank",
        page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1,
    ) -> str:
        opened = latest.get()
        ranking = opened.ranking_for(person)
        shown = ranking.totals_of(filters) if filters else ranking.totals
        most = max(1, math.ceil(shown.leads / PAGE_ROWS))
        page = min(page, most)
        leads = ranking.page(filters, sort, (page - 1) * PAGE_ROWS, PAGE_ROWS)

        def link(path: str, to: int | None) -> str:
            asked = {"search": filters.search, **filters.values, "sort": sort, "page": to}
            return f"{path}?{urlencode({key: value for key, value in asked.items() if value})}"

        return html.render(
            "list.html",
            ranking=ranking,
            **_visitor(request, person),
            stale=_days_old(ranking),
            accuracy=waterfall.accuracy(opened.backtest, ranking.timezone),
            verdict=(opened.backtest or {}).get("verdict") or {},
            **(opened.overview(ranking) if not filters and page == 1 else {"segments": [], "now": []}),
            filters=filters,
            choices=ranking.choices,
            sorts=html.sorts_of(ranking),
            sort=sort,
            shown=shown,
            leads=leads,
            answers=latest.answers.of_leads([lead["lead_id"] for lead in leads]),
            start=(page - 1) * PAGE_ROWS,
            previous=f"{link('/', page - 1)}#leads" if page > 1 else None,
            following=f"{link('/', page + 1)}#leads" if page < most else None,
            csv_link=link("/leads.csv", None),
            csv_rows=min(shown.leads, CSV_ROWS),
        )

    @app.get("/leads.csv", include_in_schema=False)
    def leads_csv(person: Asker, filters: GivenFilters, sort: SortKey = "rank") -> Response:
        lines = csv_lines(latest.get().ranking_for(person), filters, sort)
        headers = {"Content-Disposition": 'attachment; filename="leads.csv"'}
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def csv_lines(ranking: Ranking, filters: Filters, sort: str) -> Iterator[str]:
    """Write the leads that pass a filter as CSV, in the order of the screen, at most 100,000 of them.

    Text that a spreadsheet could read as a formula gets an apostrophe before it, so that it stays text.
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
    if not isinstance(value, str):
        return value
    text = FORMULA.sub(r"\1\2'\3", value)
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) else text


def _csv_line(cells: list[Any]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue()


def _add_lead(app: FastAPI, latest: Latest) -> None:
    @app.get("/leads/{lead_id:path}", response_class=HTMLResponse, include_in_schema=False)
    def lead_page(request: Request, person: Asker, lead_id: str) -> str:
        opened = latest.get()
        ranking = opened.ranking_for(person)
        lead = found(ranking, lead_id)
        told = waterfall.tell(lead)
        return html.render(
            "lead.html",
            ranking=ranking,
            **_visitor(request, person),
            lead=lead,
            told=told,
            steps=waterfall.steps(told, opened.details.themes(ranking, lead), ranking.themes),
            curve=curve(ranking, lead),
            typical_curve=ranking.average_curve,
            days=opened.details.days(ranking, lead),
            insight=opened.details.insight(ranking, lead),
            answers=latest.answers.of_leads([lead["lead_id"]]).get(lead["lead_id"], []),
            answer_words=ANSWERS,
            click_ids=[str(uuid.uuid4()) for _ in range(len(ANSWERS) + len(told.reasons_for + told.reasons_against))],
            mail=mail_text(ranking, lead, told),
        )

    @app.get("/compare", response_class=HTMLResponse, include_in_schema=False)
    def compare_page(
        request: Request, person: Asker, lead: Annotated[list[str], Query(max_length=MOST_ROWS)] = [],  # noqa: B006
    ) -> Response:  # fmt: skip
        opened = latest.get()
        ranking = opened.ranking_for(person)
        ids = list(dict.fromkeys(one.strip() for one in lead if one.strip()))
        if len(ids) != 2:
            raise HTTPException(422, f"Choose two leads in the list to compare them; {len(ids)} were chosen.")
        both = [found(ranking, one) for one in ids]
        themes = [opened.details.themes(ranking, one) for one in both]
        page = html.render(
            "compare.html",
            ranking=ranking,
            **_visitor(request, person),
            leads=both,
            told=[waterfall.tell(one) for one in both],
            compared=waterfall.compare(both[0], both[1], themes[0], themes[1]),
        )
        return HTMLResponse(page)

    @app.post("/answers", include_in_schema=False)
    async def answer(request: Request, person: Asker) -> Response:
        form = await _form(request)
        try:
            given = GivenAnswer.model_validate({key: value for key, value in form.items() if value})
        except ValidationError as error:
            raise HTTPException(422, f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}.") from None
        lead = found(latest.get().ranking_for(person), given.lead_id)
        await run_in_threadpool(stored, latest, lead, person, given)
        return RedirectResponse(f"/leads/{quote(given.lead_id, safe='')}#answers", 303)


def mail_text(ranking: Ranking, lead: dict[str, Any], told: waterfall.Story) -> str:
    """Tell a lead in plain text, for a mail."""
    currency, horizon = ranking.manifest["currency"], f"within {ranking.primary_horizon_days} days"
    lines = [html.title_of(lead), *([html.subtitle_of(lead)] if html.subtitle_of(lead) else []), ""]
    if lead["revenue"] is not None:
        lines.append(
            f"Expected {horizon}: {formatting.money(lead['revenue'], currency)} (a chance of "
            f"{formatting.percent(lead['p_win_primary'])}, a deal of about "
            f"{formatting.money(lead['deal_value'], currency)})"
        )
    else:
        lines.append(f"Chance to be won {horizon}: {formatting.percent(lead['p_win_primary'])}")
    lines.append(f"Rank {lead['rank']:,} of {ranking.leads_count:,} open leads")
    for title, reasons in (("For it", told.reasons_for), ("Against it", told.reasons_against)):
        if reasons:
            lines += [
                "",
                f"{title}:",
                *(f"- {reason.text} ({_weight(reason.weight, told, currency)})" for reason in reasons),
            ]
    url = html.web_link(lead["record_url"])
    as_of = formatting.instant(ranking.manifest["as_of"], ranking.timezone)
    return "\n".join(
        [*lines, "", *([url] if url else []), f"As of {as_of}. An association in past data, not a promise."]
    )


def _weight(weight: float, told: waterfall.Story, currency: str) -> str:
    if told.unit == "points":
        return formatting.points(weight)
    return formatting.money(weight, currency, signed=True, decimals=told.decimals)


def _add_login(app: FastAPI) -> None:
    doors: auth.Access = app.state.access

    @app.get("/login", response_class=HTMLResponse, include_in_schema=False)
    def login_page() -> str:
        return html.render("login.html", wrong=False)

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        token = (await _form(request)).get("token", "").strip()
        person = doors.tokens.person(token) if doors.tokens else None
        if person is None:
            return HTMLResponse(html.render("login.html", wrong=True), 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            auth.COOKIE,
            doors.sessions.start(person),
            max_age=auth.SESSION_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer

    @app.post("/logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        doors.sessions.end(request.cookies.get(auth.COOKIE, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(auth.COOKIE)
        return answer


def _days_old(ranking: Ranking) -> int:
    """Give the age of the scores in days, where it is so high that a reader should know; else 0."""
    days = (datetime.now(UTC).replace(tzinfo=None) - ranking.as_of).days
    return days if days > STALE_DAYS else 0


def _visitor(request: Request, person: auth.Person) -> dict[str, Any]:
    return {"person": person, "logged_in": request.app.state.access.tokens is not None}


async def _form(request: Request) -> dict[str, str]:
    """Read a form: the guard at the door has bounded its length."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return {key: values[-1] for key, values in parse_qs(text, max_num_fields=20).items()}
    except ValueError:
        raise HTTPException(422, "The form holds more than it asks for.") from None
