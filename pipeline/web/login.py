"""Logging in and out of the pages with a token."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from pipeline.reporting import html
from pipeline.web import auth
from pipeline.web.forms import read_form


def add(app: FastAPI) -> None:
    """Put the log-in into the application."""
    access: auth.Access = app.state.access

    @app.get("/login", response_class=HTMLResponse, include_in_schema=False)
    def login_page() -> str:
        return html.render("login.html", wrong=False)

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        token = (await read_form(request)).get("token", "").strip()
        person = access.tokens.person(token) if access.tokens else None
        if person is None:
            return HTMLResponse(html.render("login.html", wrong=True), 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            auth.COOKIE,
            access.sessions.start(person),
            max_age=auth.SESSION_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer

    @app.post("/logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        access.sessions.end(request.cookies.get(auth.COOKIE, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(auth.COOKIE)
        return answer
