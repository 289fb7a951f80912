"""What columns and tables are often called, in the languages in which companies keep their lists: a second witness."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from pipeline.config.outcome_words import plain


@cache
def _hints() -> dict[str, dict[str, list[str]]]:
    return yaml.safe_load((Path(__file__).parent / "name_hints.yaml").read_text(encoding="utf-8"))


def column_hint(ours: str, name: str) -> float:
    """Say how far a column's name speaks for it being ours: 1 by our own name, 0.8 by a whole name, 0.5 by a word."""
    text = split_words(name)
    if text.replace(" ", "_") == ours:
        return 1.0
    hints = _hints()["columns"].get(ours, [])
    if text in hints:
        return 0.8
    return 0.5 if any(re.search(rf"\b{re.escape(hint)}", text) for hint in hints if len(hint) > 2) else 0.0


def table_hint(ours: str, name: str) -> float:
    """Say how far a table's name speaks for it being ours."""
    text = split_words(name)
    if text == ours:
        return 1.0
    return 0.6 if any(hint in text for hint in _hints()["tables"].get(ours, [])) else 0.0


def split_words(name: str) -> str:
    """Give a name's words in small letters: ``CreatedAt`` and ``created_at`` are both ``created at``."""
    return plain(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)).strip()
