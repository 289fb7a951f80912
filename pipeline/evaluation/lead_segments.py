"""Kinds of leads that a backtest tells apart: by source, size of company, age and the like."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from features import timing
from pipeline.common.company_size import SIZE_LIMITS, SIZES

AGES_DAYS = (7, 30, 90, 180, 365)
WORDS = {
    "lead_source": "source",
    "lead_product": "product",
    "lead_kind": "kind",
    "lead_entry": "how they came",
    "acct_industry": "industry",
    "acct_country": "country",
}


THIRDS = ("smallest third", "middle third", "largest third")


def traits(matrix: pd.DataFrame, amount: np.ndarray | None = None) -> pd.DataFrame:
    """Sort leads into kinds by their features at the cutoff, and by the deal expected of them: a word a lead."""
    found = {}
    if timing.AGE in matrix:
        found["age of the lead"] = _bands(matrix[timing.AGE], AGES_DAYS, _names(AGES_DAYS, " days"))
    if "acct_employees" in matrix:
        found["size of the company"] = _bands(matrix["acct_employees"], SIZE_LIMITS, list(SIZES))
    for column, name in WORDS.items():
        if column in matrix:
            found[name] = matrix[column].astype(object).where(matrix[column].notna(), "unknown").astype(str)
    if amount is not None and len(np.unique(np.quantile(amount, [0, 1 / 3, 2 / 3, 1]))) == 4:
        found["deal expected if won"] = pd.Series(pd.qcut(amount, 3, labels=list(THIRDS)), index=matrix.index)
    return pd.DataFrame(found, index=matrix.index)


def _names(bounds: tuple[int, ...], unit: str) -> list[str]:
    between = [f"{low} to {high}{unit}" for low, high in pairwise(bounds)]
    return [f"under {bounds[0]}{unit}", *between, f"{bounds[-1]}{unit} or more"]


def _bands(values: pd.Series, bounds: tuple[int, ...], names: list[str]) -> pd.Series:
    """Sort numbers into bands; what is not known is a band of its own."""
    bands = pd.cut(values.astype(float), [-np.inf, *bounds, np.inf], right=False, labels=names)
    return bands.cat.add_categories("unknown").fillna("unknown")
