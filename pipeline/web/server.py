"""Starting the server: where it listens, with which certificate, and what its log may say."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.masking import place_of
from pipeline.config.params import Params
from pipeline.web import auth
from pipeline.web.app import create_app


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
