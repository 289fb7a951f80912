"""A simulated CRM as it stood at an earlier date: nothing happened later, and nothing is overwritten yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from models.outcome_codes import OPEN
from pipeline.common.errors import UserError
from pipeline.simulation import seasonality
from pipeline.simulation.crm_records import Records
from pipeline.simulation.lead_process import Lives

FIRST_UNTIL = date(2023, 6, 15)
"""Before this there is hardly a lead."""


def until_day(text: str) -> int:
    """Read ``--until``: the local day at whose beginning the CRM is looked at, counted from `seasonality.FIRST_DAY`.

    Raises
    ------
    UserError
        It is no date, or lies outside the company's content.
    """
    last = seasonality.KNOWN_UNTIL.date()
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--until: '{text}' is no date; write it like {last}") from None
    if not FIRST_UNTIL <= day <= last:
        raise UserError(f"--until: found {day}; the company's content can be looked at from {FIRST_UNTIL} to {last}")
    return int((np.datetime64(day) - seasonality.FIRST_DAY).astype(int))


def lives_until(lives: Lives, day: int) -> Lives:
    """Give what had become of the leads by the beginning of a day: who ended later is open, and no deal is foreseen."""
    return replace(lives, outcome=np.where(lives.end_day < day, lives.outcome, OPEN).astype(lives.outcome.dtype))


def rows_until(tables: Records, day: int) -> Records:
    """Leave out the rows that were made later."""
    end = instant_of(day)
    begun = {"leads": "created_at", "deals": "opened_at", "events": "occurred_at"}
    kept = {
        name: getattr(tables, name)[getattr(tables, name)[column] < end].reset_index(drop=True)
        for name, column in begun.items()
    }
    return Records(accounts=tables.accounts, **kept)


def instant_of(day: int) -> datetime:
    """Give the beginning of a local day: UTC, without a zone."""
    return pd.Timestamp(seasonality.to_utc(np.array([day]), np.array([0.0]))[0]).to_pydatetime()
