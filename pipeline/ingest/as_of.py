"""Instants as people write them: the company's time zone where none is given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipeline.common.errors import UserError
from pipeline.config.params import Params

if TYPE_CHECKING:
    pass


def parse_as_of(text: str | None, params: Params) -> datetime:
    """Read an instant as the command line gives it.

    Parameters
    ----------
    text : str
        ISO 8601: a bare date is 00:00 in the company's time zone; a time without an offset is in that zone too.
    params : Params

    Returns
    -------
    datetime
        Naive UTC.

    Raises
    ------
    UserError
        It is no date.
    """
    written = (text or "").strip()
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise UserError(
            f"'{written}' is no date: write 2018-04-01, or 2018-04-01T12:00:00 with or without an offset."
        ) from None
    return _utc(moment, params)


def _utc(moment: datetime, params: Params) -> datetime:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(params.data.timezone))
    return moment.astimezone(UTC).replace(tzinfo=None)
