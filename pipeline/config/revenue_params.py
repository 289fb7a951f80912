"""What campaigns and the plan take for granted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from pipeline.config.param_types import STRICT, Text, listed


class CampaignsParams(BaseModel):
    """How won revenue is credited to the campaigns that touched a lead."""

    model_config = STRICT

    attribution: Literal["first", "last", "linear", "position", "time_decay", "model"] = "linear"
    half_life_days: float = Field(default=7.0, gt=0, le=3650)
    position_shares: list[float] = Field(default=[0.4, 0.2, 0.4], min_length=3, max_length=3)

    @field_validator("position_shares")
    @classmethod
    def _whole(cls, value: list[float]) -> list[float]:
        if min(value) < 0 or abs(sum(value) - 1) > 1e-9:
            raise ValueError(f"{value} are no three shares, each 0 or more, that sum to 1")
        return value


class PlanParams(BaseModel):
    """The revenue goal, whose share of it is whose, and how fiscal months run."""

    model_config = STRICT

    goal: float | None = Field(default=None, gt=0)
    marketing_share: float | None = Field(default=None, ge=0, le=1)
    marketing_sources: Annotated[list[Text], BeforeValidator(listed)] = []
    calendar: Literal["months", "4-4-5", "4-5-4", "5-4-4"] = "months"
    week_ends_on: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "saturday"
    year_ends: Literal["last", "nearest"] = "last"
