"""What is laid down of an experiment before anybody looks at it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from pipeline.config.param_types import STRICT, Text


class ExperimentParams(BaseModel):
    """What is laid down of an experiment before anybody looks at it.

    Parameters
    ----------
    horizon_days : int, optional
        Days after its assignment over which each lead is followed; default: ``primary_horizon_days``.
    control : str
        The arm that the others are compared with.
    accounts : int, optional
        Accounts that it is planned for.
    event : str, optional
        The kind of event by which an arm is carried out.
    smallest_effect : float, optional
        The smallest difference in the share won that would matter; default: a fifth of the control arm's share.
    """

    model_config = STRICT

    horizon_days: int | None = Field(default=None, ge=1, le=3650)
    control: Text = "control"
    accounts: int | None = Field(default=None, ge=60, le=100_000_000)
    event: Text | None = None
    smallest_effect: float | None = Field(default=None, gt=0, lt=1)
