"""The web application: who is let in with what, the headers of every answer, and how errors are told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from pipeline.common.masking import place_of
from pipeline.config.params import Params
from pipeline.reporting import html
from pipeline.web import api, auth, login, pages
from pipeline.web.audit_log import AuditLog
from pipeline.web.score_cache import ScoreCache
from pipeline.web.tokens import Tokens, digest, new_secret, this_machine

BODY_BYTES = 10_000
OPEN_TO_ALL = ("/login", "/open/", "/style.css", "/app.js")
HEADINGS = {404: "Not here", 409: "Used before", 503: "Not now"}
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


def create_app(params: Params, tokens: Tokens | None = None) -> FastAPI:
    """Make the web application.

    Parameters
    ----------
    params : Params
        Its artifacts folder holds the scores, and keeps what people answer and who asked.
    tokens : Tokens, optional
        Who may ask; without them, whoever has the token that is made now (``app.state.startup_token``), on this
        machine.

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
        redirect_slashes=False,  # Starlette would redirect to whatever host a request names
    )
    app.state.startup_token = new_secret() if tokens is None else None
    if tokens is None:
        tokens = Tokens({digest(app.state.startup_token): this_machine()})
    is_local = app.state.startup_token is not None
    app.state.access = auth.Access(tokens, is_local=is_local, proxies=params.serve.proxies)
    app.state.audit = AuditLog(params.artifacts_folder)
    app.middleware("http")(_guard)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_input)
    api.add(app, scores)
    pages.add(app, scores)
    login.add(app)
    return app


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let in who may ask, with what they may send; every answer, also of a failure, gets strict headers."""
    try:
        response = _turned_away(request) or await call_next(request)
    except Exception as error:
        if not isinstance(error, ClientDisconnect):
            logging.getLogger("uvicorn.error").error("%s", place_of(error))
        response = await _refuse(request, StarletteHTTPException(500, "Something went wrong. The log says where."))
    for header, value in HEADERS.items():
        response.headers[header] = value
    if request.url.scheme == "https":
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def _turned_away(request: Request) -> Response | None:
    """Answer a request that goes no further; None: it may."""
    access: auth.Access = request.app.state.access
    if not access.believes(request):
        return _turn_away(request, 400, "This was forwarded by a proxy that the params do not name (serve.proxies).")
    if not access.knows_host(request):
        return _turn_away(request, 421, "Unknown host name.")
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        if not auth.from_this_site(request):
            return _turn_away(request, 403, "This came from another site.")
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or len(length) > 9 or int(length) > BODY_BYTES:
            return JSONResponse({"detail": f"A request may hold {BODY_BYTES:,} bytes, and must say how many."}, 413)
    request.state.person = access.person(request)
    if request.state.person is not None or request.url.path.startswith(OPEN_TO_ALL):
        return None
    if request.url.path.startswith("/api/"):
        return _turn_away(request, 401, "A token is needed.", {"WWW-Authenticate": "Bearer"})
    following = ""
    if request.method == "GET" and request.url.path != "/":
        asked = request.scope["raw_path"].decode("latin-1") + (f"?{request.url.query}" if request.url.query else "")
        following = f"?next={quote(auth.local_path(asked), safe='')}"
    return RedirectResponse(f"/login{following}", 303)


def _turn_away(request: Request, status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    """Refuse in one line, and write it down."""
    request.app.state.audit.record("refused", None, auth.address_of(request), status=status, why=why)
    return JSONResponse({"detail": why}, status, headers=headers)


async def _refuse(request: Request, error: Exception) -> Response:
    status, text = getattr(error, "status_code", 500), str(getattr(error, "detail", "Something went wrong."))
    headers = getattr(error, "headers", None)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": text}, status, headers=headers)
    heading = HEADINGS.get(status, "That did not work")
    text = "There is no such page." if text == "Not Found" else text
    return HTMLResponse(html.render("error.html", heading=heading, text=text), status, headers=headers)


async def _refuse_input(request: Request, error: Exception) -> Response:
    wrong = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ("?",), "msg": ""}
    where = str(wrong["loc"][-1])
    return await _refuse(request, StarletteHTTPException(422, f"{where}: {wrong['msg']}."))
