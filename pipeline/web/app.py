"""The web application: who is let in with what, the headers of every answer, and how errors are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from pipeline.config.params import Params
from pipeline.reporting import html
from pipeline.web import api, auth, login, pages
from pipeline.web.score_cache import ScoreCache

BODY_BYTES = 10_000
OPEN_TO_ALL = ("/login", "/style.css", "/app.js")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def create_app(params: Params, tokens: auth.Tokens | None = None) -> FastAPI:
    """Make the web application.

    Parameters
    ----------
    params : Params
        Its artifacts folder holds the scores, and keeps what people answer.
    tokens : Tokens, optional
        Who may ask; without them, whoever sits at this machine.

    Returns
    -------
    FastAPI

    Raises
    ------
    UserError
        If there are no finished scores yet.
    """
    scores = ScoreCache(params)
    app = FastAPI(
        title="leadrev",
        description="Every open lead with its forecast: how likely, when, for how much, and why.",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
    )
    app.state.access = auth.Access(tokens)
    app.middleware("http")(_guard)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_input)
    app.add_exception_handler(Exception, _fail)
    api.add(app, scores)
    pages.add(app, scores)
    login.add(app)
    return app


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let in who may ask, with what they may send; every answer gets strict headers."""
    response = _turned_away(request) or await call_next(request)
    for header, value in HEADERS.items():
        response.headers[header] = value
    if request.url.scheme == "https":
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def _turned_away(request: Request) -> Response | None:
    """Answer a request that goes no further; None: it may."""
    access: auth.Access = request.app.state.access
    if not access.knows_host(request):
        return JSONResponse({"detail": "Unknown host name."}, 421)
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        if not auth.from_this_site(request):
            return JSONResponse({"detail": "This came from another site."}, 403)
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or len(length) > 9 or int(length) > BODY_BYTES:
            return JSONResponse({"detail": f"A request may hold {BODY_BYTES:,} bytes, and must say how many."}, 413)
    person = access.person(request)
    if person is None and request.url.path not in OPEN_TO_ALL:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"detail": "A token is needed."}, 401, headers={"WWW-Authenticate": "Bearer"})
        return RedirectResponse("/login", 303)
    request.state.person = person
    return None


async def _refuse(request: Request, error: Exception) -> Response:
    status, text = getattr(error, "status_code", 500), str(getattr(error, "detail", "Something went wrong."))
    headers = getattr(error, "headers", None)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": text}, status, headers=headers)
    heading = {404: "Not here", 503: "Not stored"}.get(status, "That did not work")
    text = "There is no such page." if text == "Not Found" else text
    return HTMLResponse(html.render("error.html", heading=heading, text=text), status, headers=headers)


async def _refuse_input(request: Request, error: Exception) -> Response:
    wrong = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ("?",), "msg": ""}
    where = str(wrong["loc"][-1])
    return await _refuse(request, StarletteHTTPException(422, f"{where}: {wrong['msg']}."))


async def _fail(request: Request, error: Exception) -> Response:
    return await _refuse(request, StarletteHTTPException(500, "Something went wrong. The log says where."))
