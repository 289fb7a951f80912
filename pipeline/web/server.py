"""The web page and the JSON API over the last scores."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from pipeline.archive.feedback import FILE, AnswerStore
from pipeline.common.errors import UserError
from pipeline.common.masking import masked, place_of
from pipeline.config.params import Params
from pipeline.reporting import html
from pipeline.reporting.lead_details import Details
from pipeline.reporting.ranked_leads import Ranking, open_ranking, read_backtest
from pipeline.reporting.sales_report import now_and_later
from pipeline.web import api, auth, pages

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


class Opened:
    """One run's scores and what stands beside them.

    Parameters
    ----------
    params : Params
        Its artifacts folder holds the files.
    """

    def __init__(self, params: Params):
        self.ranking = open_ranking(params)
        self.details = Details(params.artifacts_folder)
        self.backtest = read_backtest(params.artifacts_folder)
        self._own: dict[str, Ranking] = {}
        self._overviews: dict[str | None, dict[str, Any]] = {}

    def ranking_for(self, person: auth.Person) -> Ranking:
        """Return the scores as somebody may see them: every lead, or only their own."""
        if person.owner_id is None:
            return self.ranking
        if person.owner_id not in self._own:
            self._own[person.owner_id] = self.ranking.of_owner(person.owner_id)
        return self._own[person.owner_id]

    def overview(self, ranking: Ranking) -> dict[str, Any]:
        """Return what stands above the list: worked out once for whoever may see the same leads."""
        if ranking.owner_id not in self._overviews:
            facet = ranking.segment() if ranking.has_money else None
            self._overviews[ranking.owner_id] = {
                "segments": ranking.by(facet) if facet else [],
                "segment_label": html.FACETS[facet] if facet else "",
                **now_and_later(ranking),
            }
        return self._overviews[ranking.owner_id]


class Latest:
    """The last finished scores: opened once, and again, beside the answers, when a new run has written its seal."""

    def __init__(self, params: Params):
        self.params = params
        self.seal = self._seal()
        self.opened = Opened(params)
        self.answers = AnswerStore(params.artifacts_folder / FILE)
        self._opening = threading.Lock()

    def _seal(self) -> tuple[int, int] | None:
        try:
            found = Path(self.params.artifacts_folder / "manifest.json").stat()
        except OSError:  # a run is just writing, or failed: the scores in memory stay
            return None
        return found.st_mtime_ns, found.st_ino

    def get(self) -> Opened:
        """Return the scores to answer from."""
        seal = self._seal()
        if seal not in (None, self.seal) and self._opening.acquire(blocking=False):
            threading.Thread(target=self._open, args=(seal,), daemon=True).start()
        return self.opened

    def _open(self, seal: tuple[int, int]) -> None:
        try:
            self.opened = Opened(self.params)
        except UserError as error:
            print(f"new scores not shown: {masked(str(error))}", flush=True)
        except Exception as error:  # a thread would print it with its words
            print(f"new scores not shown: {place_of(error)}", flush=True)
        finally:
            self.seal = seal
            self._opening.release()


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
    latest = Latest(params)
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
    api.add(app, latest)
    pages.add(app, latest)
    return app


def serve(
    params: Params,
    host: str = "127.0.0.1",
    port: int = 8000,
    tokens: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Answer until interrupted.

    Parameters
    ----------
    params : Params
    host : str
        The address to listen on.
    port : int
    tokens : Path, optional
        The file of who may ask; needed for any address that other machines reach.
    certificate, key : Path, optional
        PEM files for HTTPS.

    Raises
    ------
    UserError
        If other machines could ask without a token, or there are no scores.
    """
    if host not in auth.LOOPBACK and tokens is None:
        raise UserError(
            f"--host: found {host}, which other machines reach: name a file of tokens with --tokens (`leadrev token "
            f"NAME` makes one), or listen on {', '.join(auth.LOOPBACK)}"
        )
    if (certificate is None) != (key is None):
        raise UserError("--certificate and --key: found one of them; HTTPS needs both")
    for option, path in (("--certificate", certificate), ("--key", key)):
        if path is not None and not path.is_file():
            raise UserError(f"{option}: no file at {path}")
    import uvicorn

    app = create_app(params, None if tokens is None else auth.read_tokens(tokens))
    scheme = "http" if certificate is None else "https"
    if scheme == "http" and host not in auth.LOOPBACK:
        print("Warning: tokens and names travel unencrypted; give --certificate and --key", flush=True)
    for logger in ("uvicorn.error", "asyncio"):
        logging.getLogger(logger).addFilter(without_data)
    print(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/  (Ctrl+C ends it)", flush=True)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,  # an address may hold what somebody searched for
        server_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


def without_data(record: logging.LogRecord) -> bool:
    """Take out of a line of the log what an error says of the data: its kind, and where it happened, stay."""
    if record.exc_info and record.exc_info[1] is not None:
        record.msg, record.args = place_of(record.exc_info[1]), ()
        record.exc_info = record.exc_text = None
    return True


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
    doors: auth.Access = request.app.state.access
    if not doors.knows_host(request):
        return JSONResponse({"detail": "Unknown host name."}, 421)
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        if not auth.from_this_site(request):
            return JSONResponse({"detail": "This came from another site."}, 403)
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or len(length) > 9 or int(length) > BODY_BYTES:
            return JSONResponse({"detail": f"A request may hold {BODY_BYTES:,} bytes, and must say how many."}, 413)
    person = doors.person(request)
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
