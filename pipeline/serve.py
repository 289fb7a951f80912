"""The web page and the JSON API over the last scores, on this machine only."""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from pipeline import pages, story
from pipeline.errors import UserError
from pipeline.filters import Filters, Totals
from pipeline.params import Params
from pipeline.ranking import Ranking, open_ranking, read_backtest

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PAGE_ROWS = 50
MOST_PAGES = 1_000_000
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
SortKey = Literal["rank", "this_quarter", "next_quarter", "later", "chance", "deal_value", "soonest", "name"]
Word = Annotated[str, Query(max_length=200)]


class TotalsBody(BaseModel):
    """Sums over some leads; money is null where the company has no amounts."""

    leads: int
    expected_wins: float
    expected_revenue: float | None
    expected_revenue_this_quarter: float | None
    expected_revenue_next_quarter: float | None
    expected_revenue_later: float | None

    @classmethod
    def of(cls, totals: Totals) -> TotalsBody:
        """Return the sums under the names that the API gives them."""
        return cls(
            leads=totals.leads,
            expected_wins=totals.wins,
            expected_revenue=totals.revenue,
            expected_revenue_this_quarter=totals.this_quarter,
            expected_revenue_next_quarter=totals.next_quarter,
            expected_revenue_later=totals.later,
        )


class LeadsBody(BaseModel):
    """One page of leads, what the filter shows, and what it hides: shown + hidden = all."""

    shown: TotalsBody
    hidden: TotalsBody
    start: int
    leads: list[dict[str, Any]]


class SummaryBody(BaseModel):
    """What the scores say in all, when and by which model they were made, and how right the last backtest was."""

    company: str
    currency: str
    as_of: str
    model_version: str
    primary_horizon_days: int
    horizons_days: list[int]
    totals: TotalsBody
    accuracy: list[str]


class ErrorBody(BaseModel):
    """What was wrong, in one line."""

    detail: str


class Latest:
    """The last finished scores: opened once, and again, beside the answers, when a new run has written its seal."""

    def __init__(self, params: Params):
        self.params = params
        self.seal = self._seal()
        self.ranking = open_ranking(params)
        self.backtest = read_backtest(params.artifacts_folder)
        self._opening = threading.Lock()

    def _seal(self) -> tuple[int, int] | None:
        try:
            found = Path(self.params.artifacts_folder / "manifest.json").stat()
        except OSError:  # a run is just writing, or failed: the scores in memory stay
            return None
        return found.st_mtime_ns, found.st_ino

    def get(self) -> Ranking:
        """Return the scores to answer from."""
        seal = self._seal()
        if seal not in (None, self.seal) and self._opening.acquire(blocking=False):
            threading.Thread(target=self._open, args=(seal,), daemon=True).start()
        return self.ranking

    def _open(self, seal: tuple[int, int]) -> None:
        try:
            self.ranking, self.backtest = open_ranking(self.params), read_backtest(self.params.artifacts_folder)
        except UserError as error:
            print(f"new scores not shown: {error}", flush=True)
        finally:
            self.seal = seal
            self._opening.release()


def create_app(params: Params) -> FastAPI:
    """Make the web application.

    Parameters
    ----------
    params : Params
        Its artifacts folder holds the scores.

    Returns
    -------
    FastAPI

    Raises
    ------
    UserError
        If there are no finished scores yet.
    """
    latest = Latest(params)
    app = FastAPI(
        title="leadrev",
        description="Every open lead with its forecast: how likely, when, for how much, and why.",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
    )
    app.middleware("http")(_guard)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_input)
    _add_pages(app, latest)
    _add_api(app, latest)
    return app


def serve(params: Params, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Answer until interrupted.

    Raises
    ------
    UserError
        If `host` is not an address of this machine alone, or there are no scores.
    """
    if host not in LOOPBACK:
        raise UserError(
            f"--host: found {host}; allowed are {', '.join(LOOPBACK)}: the page has no log-in yet, so it answers only "
            "to this machine. For others, send report.html"
        )
    import uvicorn

    app = create_app(params)
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}/  (Ctrl+C ends it)", flush=True)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)


def _filters(
    search: Annotated[str, Query(max_length=100)] = "",
    owner: Word = "",
    source: Word = "",
    size: Word = "",
    grade: Word = "",
    kind: Word = "",
    entry: Word = "",
) -> Filters:
    given = {"owner": owner, "source": source, "size": size, "grade": grade, "kind": kind, "entry": entry}
    return Filters(search, {facet: value for facet, value in given.items() if value})


GivenFilters = Annotated[Filters, Depends(_filters)]


def _add_pages(app: FastAPI, latest: Latest) -> None:
    @app.get("/style.css", include_in_schema=False)
    def style() -> Response:
        return Response(pages.source("style.css"), media_type="text/css")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def leads_page(
        filters: GivenFilters, sort: SortKey = "rank", page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1
    ) -> str:
        ranking = latest.get()
        facet = ranking.segment()
        shown = ranking.totals_of(filters)
        most = max(1, math.ceil(shown.leads / PAGE_ROWS))
        page = min(page, most)

        def link(to: int) -> str:
            asked = {"search": filters.search, **filters.values, "sort": sort, "page": to}
            return f"/?{urlencode({key: value for key, value in asked.items() if value})}#leads"

        return pages.render(
            "list.html",
            ranking=ranking,
            accuracy=story.accuracy(latest.backtest, ranking.timezone),
            verdict=(latest.backtest or {}).get("verdict") or {},
            segments=ranking.by(facet) if facet and ranking.has_money and not filters and page == 1 else [],
            segment_label=pages.FACETS[facet] if facet else "",
            filters=filters,
            choices=ranking.choices,
            sorts=pages.sorts_of(ranking),
            sort=sort,
            shown=shown,
            leads=ranking.page(filters, sort, (page - 1) * PAGE_ROWS, PAGE_ROWS),
            start=(page - 1) * PAGE_ROWS,
            previous=link(page - 1) if page > 1 else None,
            following=link(page + 1) if page < most else None,
        )

    @app.get("/leads/{lead_id:path}", response_class=HTMLResponse, include_in_schema=False)
    def lead_page(lead_id: str) -> str:
        ranking = latest.get()
        return pages.render("lead.html", ranking=ranking, lead=_found(ranking, lead_id))


def _add_api(app: FastAPI, latest: Latest) -> None:
    errors: dict[int | str, dict[str, Any]] = {422: {"model": ErrorBody}}

    @app.get("/api/v1/summary")
    def summary() -> SummaryBody:
        """Sum over all open leads, and say where the figures come from."""
        ranking = latest.get()
        told = ranking.manifest
        return SummaryBody(
            company=told["company"],
            currency=told["currency"],
            as_of=told["as_of"],
            model_version=str(told["model_version"]),
            primary_horizon_days=ranking.primary_horizon_days,
            horizons_days=ranking.horizons_days,
            totals=TotalsBody.of(ranking.totals),
            accuracy=story.accuracy(latest.backtest, ranking.timezone),
        )

    @app.get("/api/v1/leads", responses=errors)
    def leads(
        filters: GivenFilters,
        sort: SortKey = "rank",
        start: Annotated[int, Query(ge=0, le=MOST_PAGES * PAGE_ROWS)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = PAGE_ROWS,
    ) -> LeadsBody:
        """List leads, filtered and sorted, with the revenue that the filter shows and hides."""
        ranking = latest.get()
        shown = ranking.totals_of(filters)
        return LeadsBody(
            shown=TotalsBody.of(shown),
            hidden=TotalsBody.of(ranking.totals - shown),
            start=start,
            leads=ranking.page(filters, sort, start, limit),
        )

    @app.get("/api/v1/leads/{lead_id:path}", responses={404: {"model": ErrorBody}, **errors})
    def lead(lead_id: str) -> dict[str, Any]:
        """Give one lead's forecast and reasons."""
        return _found(latest.get(), lead_id)


def _found(ranking: Ranking, lead_id: str) -> dict[str, Any]:
    lead = ranking.lead(lead_id) if len(lead_id) <= 200 else None
    if lead is None:
        raise HTTPException(404, "No lead of this id was open when the scores were made.")
    return lead


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer only under this machine's own names (no other site's name may be pointed here), with strict headers."""
    try:
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        name = None
    response = await call_next(request) if name in LOOPBACK else JSONResponse({"detail": "Unknown host name."}, 421)
    for header, value in HEADERS.items():
        response.headers[header] = value
    return response


async def _refuse(request: Request, error: Exception) -> Response:
    status, text = getattr(error, "status_code", 500), str(getattr(error, "detail", "Something went wrong."))
    headers = getattr(error, "headers", None)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": text}, status, headers=headers)
    heading = "Not here" if status == 404 else "That did not work"
    text = "There is no such page." if text == "Not Found" else text
    return HTMLResponse(pages.render("error.html", heading=heading, text=text), status, headers=headers)


async def _refuse_input(request: Request, error: Exception) -> Response:
    wrong = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ("?",), "msg": ""}
    where = str(wrong["loc"][-1])
    return await _refuse(request, StarletteHTTPException(422, f"{where}: {wrong['msg']}."))
