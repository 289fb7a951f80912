"""Kinds of values in the params file, as people write them."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from pipeline.config.column_forms import column_form
from pipeline.config.near_names import near_miss

STRICT = ConfigDict(
    extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=False, protected_namespaces=()
)  # fmt: skip
"""Of every part of the params file: unknown keys are refused, and nothing changes once read."""


def listed(value: Any) -> Any:
    """Read one value where a list is wanted as a list of one, and nothing as an empty list."""
    return [] if value is None else value if isinstance(value, list) else [value]


def _as_text(value: Any) -> Any:
    """Give a number as the text the data would write: YAML reads ``1`` as no text."""
    return str(value) if isinstance(value, int | float) else value


def blank_as_mapping(value: Any) -> Any:
    """Read a key left blank as an empty mapping."""
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
Texts = Annotated[list[Text], BeforeValidator(listed)]
ColumnForm = Annotated[Any, BeforeValidator(column_form)]


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(
            f"no time zone is called '{value}'{near_miss(value, available_timezones())} An example: Europe/Berlin"
        )
    return value


Zone = Annotated[str, AfterValidator(_time_zone)]
