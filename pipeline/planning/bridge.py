"""From what was forecast to what came, in steps that add up: every cent of the month stands in exactly one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

UNITS = 10_000
"""Money is counted in ten-thousandths of the currency: amounts have four decimals at most, nothing is rounded away."""

FORECAST, ARRIVED, EXISTING, REOPENED, LATE, LEFT_OUT = (
    "forecast", "arrived", "existing", "reopened", "late", "left_out",
)  # fmt: skip
"""What a deal won in the month is, seen from its first day."""
STEPS = {
    "won_count": "How many were won",
    "deal_size": "How large they were",
    "arrivals": "Leads that arrived after the forecast",
    "existing_business": "Existing business and deals without a lead",
    "reopened": "Leads that were lost and came back",
    "late_entries": "Entered late",
    "left_out": "Open, but not in the forecast",
    "exchange_rates": "Exchange rates",
}


def to_units(amount: Any) -> int:
    """Give an amount in whole units; nothing is 0.

    Examples
    --------
    >>> to_units(Decimal("12.34")), to_units(None)
    (123400, 0)
    """
    if amount is None or amount != amount:
        return 0
    return int((Decimal(str(amount)) * UNITS).to_integral_value())


def from_units(units: int) -> float:
    """Give whole units as an amount."""
    return float(Decimal(int(units)) / UNITS)


def bridge(leads: pd.DataFrame, deals: pd.DataFrame, planned: dict[str, int]) -> list[dict[str, Any]]:
    """Split the difference between what came and what was forecast into steps.

    Parameters
    ----------
    leads : DataFrame
        The leads that were forecast: ``lead_id``, ``expected`` (in expectation, within the month) and ``value`` (of the
        deal, if it is won), in units.
    deals : DataFrame
        The deals won in the month: ``lead_id, category`` (see `FORECAST` and the others), ``amount`` (as it counts) and
        ``at_start`` (at the exchange rates of the first day), in units.
    planned : dict of str to int
        What a plan expected beside open leads, in units: ``arrivals``, ``existing_business``.

    Returns
    -------
    list of dict
        ``step``, ``name``, ``amount`` and ``deals``, in the order of `STEPS`. Forecast, open leads and plan together,
        and all amounts add up to what was won, to the last digit.
    """
    of_forecast = deals[deals["category"] == FORECAST]
    won = leads["lead_id"].isin(of_forecast["lead_id"]).to_numpy()
    value, expected = leads["value"].to_numpy(np.int64), leads["expected"].to_numpy(np.int64)
    sums = deals.groupby("category")["at_start"].sum()
    counts = deals.groupby("category").size()

    def of(category: str) -> tuple[int, int]:
        return int(sums.get(category, 0)), int(counts.get(category, 0))

    won_value = int(value[won].sum())
    moved = (deals["amount"] != deals["at_start"]).sum()
    found: dict[str, tuple[int, int]] = {
        "won_count": (won_value - int(expected.sum()), int(won.sum())),
        "deal_size": (of(FORECAST)[0] - won_value, of(FORECAST)[1]),
        "arrivals": (of(ARRIVED)[0] - planned.get("arrivals", 0), of(ARRIVED)[1]),
        "existing_business": (of(EXISTING)[0] - planned.get("existing_business", 0), of(EXISTING)[1]),
        "reopened": of(REOPENED),
        "late_entries": of(LATE),
        "left_out": of(LEFT_OUT),
        "exchange_rates": (int((deals["amount"] - deals["at_start"]).sum()), int(moved)),
    }
    return [
        {"step": step, "name": name, "amount": from_units(found[step][0]), "deals": found[step][1]}
        for step, name in STEPS.items()
    ]
