"""Reading what a page's form sent."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import HTTPException, Request


async def read_form(request: Request) -> dict[str, str]:
    """Read a form: the guard at the door has bounded its length."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return {key: values[-1] for key, values in parse_qs(text, max_num_fields=20).items()}
    except ValueError:
        raise HTTPException(422, "The form holds more than it asks for.") from None
