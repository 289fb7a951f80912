"""How much people can do in a day, as the params file says it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from pipeline.config.param_types import STRICT


class CapacityParams(BaseModel):
    """How many leads a salesperson can call, and how many of them are drawn at random."""

    model_config = STRICT

    calls_per_owner_per_day: int | None = Field(default=None, ge=1, le=10_000)
    explore_share: float = Field(default=0.0, ge=0, le=0.5)
