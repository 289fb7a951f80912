"""Which columns are made of the closing date: its month, quarter or week, or the date in another form."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.audit.outcome_groups import POST_OUTCOME_LEAST, Finding, Flags, OutcomeGroups

PERIOD_SHARE, PERIOD_GAIN = 0.9, 4.0
"""A column made of the closing date agrees so often with the period of the end, and errs so many times less often than
with that of the beginning."""


def closing_period_findings(values: pd.Series, filled: Flags, groups: OutcomeGroups) -> Iterator[Finding | None]:
    """Judge whether a column is made of the closing date: its quarter, month or week, or the date in another form.

    Each value is guessed as the most frequent one among the *other* rows that ended (that began) in the same period:
    a column made of the closing date is nearly always guessed by the end, and clearly more seldom by the beginning.
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        return
    ended = filled & ~np.isnat(groups.ended)
    count = int(ended.sum())
    if count < POST_OUTCOME_LEAST or not 2 <= values[ended].nunique() <= count:
        return
    # A date without a time stands at its day's end in the company's zone: half a day earlier is that day in most zones.
    closed = pd.Series(groups.ended[ended] - np.timedelta64(12, "h"))
    began = pd.Series(groups.created[ended])
    known = values[ended].reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(known) and known.nunique() > count / 4:
        yield _follows_closing(known, closed, began)
        return
    if known.nunique() > count / 4:
        return
    level = pd.Series(pd.factorize(known)[0])
    for name, period in _PERIODS.items():
        by_end, by_start = (_guessed_share(level, period(dates)) for dates in (closed, began))
        constant = float(level.value_counts(normalize=True).iloc[0])
        usual = max(by_start, constant)
        yield None
        if by_end >= PERIOD_SHARE and (1 - by_end) * PERIOD_GAIN <= 1 - usual:
            says = f"is the same for {by_end:.0%} of {groups.row_noun} that end in the same {name}"
            chance = float(stats.binom.logsf(round(by_end * count) - 1, count, usual))
            yield Finding("closing", f"{says} (by their beginning {by_start:.0%}): made of the closing date", chance)
            return


_PERIODS = {
    "month": lambda dates: dates.dt.year * 12 + dates.dt.month,
    "week": lambda dates: (dates - pd.Timestamp("1969-12-29")).dt.days // 7,
    "day of the week": lambda dates: dates.dt.dayofweek,
}


def _guessed_share(level: pd.Series, period: pd.Series) -> float:
    """Share of rows whose value is the most frequent one among the other rows of its period."""
    frame = pd.DataFrame({"level": level.to_numpy(), "period": period.to_numpy()})
    sizes = frame.value_counts().rename("n").reset_index()
    best = sizes.sort_values(["period", "n", "level"], ascending=[True, False, True]).groupby("period")["n"]
    first, second = best.nth(0), best.nth(1)
    sizes["first"] = sizes["period"].map(dict(zip(sizes.loc[first.index, "period"], first, strict=True)))
    sizes["second"] = sizes["period"].map(dict(zip(sizes.loc[second.index, "period"], second, strict=True))).fillna(0)
    # Without the row itself its value must still be at least as frequent as any other, and be there at all.
    is_guessed = (sizes["n"] == sizes["first"]) & (sizes["n"] - 1 >= sizes["second"]) & (sizes["n"] > 1)
    return float(sizes.loc[is_guessed, "n"].sum() / len(frame))


def _follows_closing(values: pd.Series, closed: pd.Series, began: pd.Series) -> Finding | None:
    """Judge a number that counts up with the closing date, as a date in another form does."""
    ranks = values.rank()
    by_end, by_start = (abs(ranks.corr(dates.rank())) for dates in (closed, began))
    if by_end >= PERIOD_SHARE and (1 - by_end) * PERIOD_GAIN <= 1 - by_start:
        return Finding("closing", "rises with the closing date: made of it")
    return None
