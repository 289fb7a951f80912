"""What of a row is worth telling: its facts, and whether they moved since they were last delivered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pipeline.config.delivery_params import OnlyChanges

FIGURE, SCORE, REASONS, EXACT, NEVER = "figure", "score", "reasons", "exact", "never"
"""How a fact moves: by a share of itself; by points; as other reasons; at all; or never of itself."""

as_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
"""Write content as JSON: the same content, the same text."""
_NEVER = ("as_of", "model_version", "rank")
_FIGURES = ("p_win_", "p_lost_", "days_to_win_", "deal_value", "expected_revenue_")


def measure_of(name: str) -> str:
    """Say how a column of the scores is measured.

    Examples
    --------
    >>> measure_of("expected_revenue_90d"), measure_of("grade"), measure_of("rank")
    ('figure', 'exact', 'never')
    """
    if name in _NEVER:  # they differ every night: alone they are no news
        return NEVER
    if name.startswith("reasons_"):
        return REASONS
    return SCORE if name == "score" else FIGURE if name.startswith(_FIGURES) else EXACT


def is_material(
    before: Mapping[str, Any], now: Mapping[str, Any], measures: Mapping[str, str], rules: OnlyChanges
) -> bool:
    """Whether facts moved by more than the rules let pass, against those delivered last.

    Parameters
    ----------
    before, now : mapping
        Facts by name; other names are a change.
    measures : mapping of str to str
        How each is measured.
    rules : OnlyChanges

    Examples
    --------
    >>> rules = OnlyChanges(money_share=0.05)
    >>> is_material({"a": 100.0}, {"a": 104.0}, {"a": FIGURE}, rules)
    False
    """
    if before.keys() != now.keys():
        return True
    return any(_moved(value, now[name], measures[name], rules) for name, value in before.items() if value != now[name])


def _moved(before: Any, now: Any, measure: str, rules: OnlyChanges) -> bool:
    """Whether a fact that differs moved far enough."""
    if measure == NEVER or (measure == REASONS and not rules.reasons):
        return False
    if measure in (FIGURE, SCORE) and before is not None and now is not None:
        distance = abs(now - before)
        return distance >= rules.score if measure == SCORE else distance > rules.money_share * abs(before)
    return True


def fact_of(value: Any, measure: str) -> Any:
    """Give what is kept of a delivered value: figures as they are, of a text its digest and no word."""
    if value is None or measure == NEVER:
        return None
    if measure in (FIGURE, SCORE) or isinstance(value, bool):
        return value
    return _short_digest(value if isinstance(value, str) else as_json(value))


def digest_of(content: Any) -> str:
    """Digest of what JSON can write."""
    return digest_of_text(as_json(content))


def digest_of_text(text: str) -> str:
    """Digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=4096)
def _short_digest(text: str) -> str:
    return digest_of_text(text)[:16]
