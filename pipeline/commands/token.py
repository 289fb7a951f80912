"""Tokens for people who use the pages from another machine: made, shown once, and taken away."""

from __future__ import annotations

from pathlib import Path

from pipeline.web.tokens import add_token, revoke_tokens


def token(name: str, file: Path, *, owner: str | None, days: int, revoke: bool) -> str:
    """Add a person's token to a file, or take all of theirs out of it; say what was done."""
    if revoke:
        return f"{name} has no token any more ({revoke_tokens(file, name)} taken out of {file})"
    return (
        f"{add_token(file, name, owner, days)}\nThis is shown once: pass it on safely. Next:\n"
        f"leadrev serve --host 0.0.0.0 --certificate cert.pem --key key.pem --tokens {file}"
    )
