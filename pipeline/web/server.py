"""Starting the server: where it listens, with which certificate, and what its log may say."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.web import auth, limits
from pipeline.web.app import create_app
from pipeline.web.tokens import TokenFile


def serve(
    params: Params,
    host: str = "127.0.0.1",
    port: int = 8000,
    tokens: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    plain_http: bool = False,
) -> None:
    """Answer until interrupted.

    Parameters
    ----------
    params : Params
    host : str
        The address to listen on.
    port : int
    tokens : Path, optional
        The file of who may ask; needed for any address that other machines reach. Without it, a link is printed that
        opens the pages on this machine.
    certificate, key : Path, optional
        PEM files for HTTPS.
    plain_http : bool
        Other machines may reach this without encryption, as where a proxy does that.

    Raises
    ------
    UserError
        If other machines could ask without a token or without encryption, or there are no scores.
    """
    is_local = host in auth.LOOPBACK
    if not is_local and tokens is None:
        raise UserError(
            f"--host: found {host}, which other machines reach: name a file of tokens with --tokens (`leadrev token "
            f"NAME` makes one), or listen on {', '.join(auth.LOOPBACK)}"
        )
    if (certificate is None) != (key is None):
        raise UserError("--certificate and --key: found one of them; HTTPS needs both")
    for option, path in (("--certificate", certificate), ("--key", key)):
        if path is not None and not path.is_file():
            raise UserError(f"{option}: no file at {path}")
    people = None if tokens is None else TokenFile(tokens)
    if not is_local and certificate is None and not plain_http:
        raise UserError(
            f"--host: found {host}, where tokens and names would travel unencrypted: give --certificate and --key, or "
            "--plain-http if something in front of it encrypts"
        )
    app = create_app(params, people)
    quiet = limits.QuietLog()
    for logger in ("uvicorn.error", "asyncio"):
        logging.getLogger(logger).addFilter(quiet)
    scheme = "http" if certificate is None else "https"
    address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"
    if app.state.startup_token:
        print(f"{address}open/{app.state.startup_token}", flush=True)
        print("This link opens the pages to you alone, and is a token for the API as well. Ctrl+C ends it.", flush=True)
    else:
        print(f"{address}  (Ctrl+C ends it)", flush=True)
    files = [None if path is None else str(path) for path in (certificate, key)]
    limits.LimitedServer(limits.config(app, host, port, *files)).run()
