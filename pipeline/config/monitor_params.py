"""What the monitor allows forecasts before it says that they are wrong."""

from __future__ import annotations

from pydantic import BaseModel, Field

from pipeline.config.param_types import STRICT


class MonitorParams(BaseModel):
    """What the monitor allows forecasts before it says that they are wrong.

    Parameters
    ----------
    level_tolerance : float
        The share by which all forecasts together may be off.
    """

    model_config = STRICT

    level_tolerance: float = Field(default=0.1, ge=0, lt=1)
