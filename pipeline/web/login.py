"""Logging in and out of the pages with a token, and the link that opens them on the machine they run on."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from pipeline.reporting import html
from pipeline.web import auth
from pipeline.web.audit_log import AuditLog
from pipeline.web.forms import read_form


def add(app: FastAPI) -> None:
    """Put the log-in into the application."""
    access: auth.Access = app.state.access
    audit: AuditLog = app.state.audit

    def logged_in(request: Request, token: str, following: str) -> Response | None:
        """Log the browser in and lead it on; None for a token that opens nothing."""
        found = access.log_in(token)
        if found is None:
            return None
        key, person = found
        audit.record("log-in", person.name, auth.address_of(request))
        answer = RedirectResponse(auth.local_path(following), 303)
        answer.set_cookie(
            auth.COOKIE,
            key,
            max_age=auth.SESSION_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer

    def refused(request: Request, following: str) -> Response:
        address = auth.address_of(request)
        audit.record("refused", None, address, why="a token that is not known")
        if access.failures.is_too_often(address):
            page = html.render("login.html", wrong="often", following=following)
            return HTMLResponse(page, 429, headers={"Retry-After": "60"})
        return HTMLResponse(html.render("login.html", wrong="token", following=following), 403)

    @app.get("/login", response_class=HTMLResponse, include_in_schema=False)
    def login_page(next: str = "/") -> str:
        return html.render("login.html", wrong="", following=auth.local_path(next))

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        form = await read_form(request)
        following = auth.local_path(form.get("next", "/"))
        return logged_in(request, form.get("token", "").strip(), following) or refused(request, following)

    @app.get("/open/{token}", include_in_schema=False)
    def open_link(request: Request, token: str) -> Response:
        # The link that the start prints: on this machine only, as an address is seen by more than its reader.
        found = logged_in(request, token, "/") if access.is_local else None
        return found or refused(request, "/")

    @app.post("/logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        if request.state.person is not None:
            audit.record("log-out", request.state.person.name, auth.address_of(request))
        access.sessions.end(request.cookies.get(auth.COOKIE, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(auth.COOKIE)
        return answer
