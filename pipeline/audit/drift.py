"""Whether the past still holds: how conversion moved from month to month, and whether new leads look like the old."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.audit.audit_sample import Audited
from pipeline.audit.decisions import CLEARED, Judged
from pipeline.common.masking import masked

TREND_CHANCE = 0.01
MONTHS_LEAST, CHANGE_LEAST = 4, 1.5
RECENT_DAYS, RECENT_LEADS_LEAST = 90, 100
STABILITY_LIMIT = 0.25
"""Population stability index beyond which two groups are said to differ much: the convention in credit scoring."""
SHIFT_CHANCE = 0.01
LEVELS = 10


def conversion_drift(leads: Audited, as_of: datetime, horizon_days: int) -> dict[str, Any]:
    """Say how many leads of each month were won within the horizon, and whether that share has a trend.

    Only leads older than the horizon are counted: each had as much time. The test of the trend is Cochran-Armitage.

    Returns
    -------
    dict
        ``horizon_days``, ``months`` (list of ``month, leads, won``), ``chance`` of such a trend in shares that never
        moved (null with fewer than four months), and ``first, last``: the share won in the first and the last third.
    """
    rows = leads.rows
    old = rows["created_at"] <= pd.Timestamp(as_of) - pd.Timedelta(days=horizon_days)
    waited = rows["ended_at"] - rows["created_at"]
    won = (rows["outcome"] == "won") & (waited <= pd.Timedelta(days=horizon_days))
    table = pd.DataFrame({"month": rows["created_at"][old].dt.strftime("%Y-%m"), "won": won[old]})
    sums = table.groupby("month")["won"].agg(["size", "sum"]).sort_index()
    months = [{"month": month, "leads": int(n), "won": int(k)} for month, n, k in sums.itertuples()]
    figures: dict[str, Any] = {
        "horizon_days": horizon_days,
        "months": months,
        "chance": None,
        "first": None,
        "last": None,
    }
    if len(sums) < MONTHS_LEAST or not 0 < sums["sum"].sum() < sums["size"].sum():
        return figures
    n, k = sums["size"].to_numpy(float), sums["sum"].to_numpy(float)
    place = np.arange(len(n)) - np.average(np.arange(len(n)), weights=n)
    share = k.sum() / n.sum()
    z = (place * k).sum() / np.sqrt(share * (1 - share) * (n * place**2).sum())
    third = max(len(n) // 3, 1)
    first, last = (float(k[part].sum() / max(n[part].sum(), 1)) for part in (slice(third), slice(-third, None)))
    return figures | {"chance": float(2 * stats.norm.sf(abs(z))), "first": round(first, 4), "last": round(last, 4)}


def drift_warning(drift: dict[str, Any]) -> dict[str, Any] | None:
    """Warn of a trend in conversion that is neither chance nor small."""
    if drift["chance"] is None or drift["chance"] >= TREND_CHANCE:
        return None
    low, high = sorted((drift["first"], drift["last"]))
    if high < CHANGE_LEAST * low:
        return None
    text = (
        f"conversion moves: {drift['first']:.1%} of the leads of the first months were won within "
        f"{drift['horizon_days']} days, {drift['last']:.1%} of the last ones; a model of the past is off by as much"
    )
    return {"code": "drift", "text": text, "table": "leads"}


def shifts(columns: list[Judged], as_of: datetime) -> list[dict[str, Any]]:
    """Warn of columns in which the leads of the last 90 days, those to be scored, differ from all before.

    By the population stability index over a number's tenths or the most frequent values, where a chi-square test shared
    over all columns leaves no doubt.
    """
    those = [item for item in columns if item.column is not None and item.groups is not None]
    found = []
    for item in those:
        if item.verdict != CLEARED or item.table != "leads" or item.column is None or item.groups is None:
            continue
        recent = item.groups.created > np.datetime64(as_of) - np.timedelta64(RECENT_DAYS, "D")
        if min(recent.sum(), (~recent).sum()) < RECENT_LEADS_LEAST:
            continue
        levels = _levels(item.column.values, recent, filled_only=item.column.filled_only)
        counts = pd.crosstab(levels, recent).reindex(columns=[False, True], fill_value=0)
        if len(counts) < 2:
            continue
        shares = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
        was, now = shares.iloc[:, 0], shares.iloc[:, 1]
        parts = (now - was) * np.log(now / was)
        chance = stats.chi2_contingency(counts)[1]
        if parts.sum() < STABILITY_LIMIT or chance >= SHIFT_CHANCE / len(those):
            continue
        at = int(parts.to_numpy().argmax())
        text = (
            f"{item.key}: the leads of the last {RECENT_DAYS} days differ from those before (stability index "
            f"{parts.sum():.2f}): {parts.index[at]} was {was.iloc[at]:.0%}, is {now.iloc[at]:.0%}"
        )
        found.append({"code": "shift", "text": text, "table": item.table, "column": item.name})
    return found


def _levels(values: pd.Series, recent: np.ndarray, *, filled_only: bool) -> pd.Series:
    if filled_only or values[~recent].notna().sum() == 0 or pd.api.types.is_datetime64_any_dtype(values):
        return values.notna().map({True: "filled", False: "empty"})
    if pd.api.types.is_numeric_dtype(values):
        edges = np.unique(values[~recent].quantile(np.linspace(0, 1, LEVELS + 1)[1:-1]).dropna())
        place = np.searchsorted(edges, values.to_numpy(float), side="left")
        names = [f"up to {edge:g}" for edge in edges] + [f"above {edges[-1]:g}" if len(edges) else "filled"]
        return pd.Series([names[i] for i in place], index=values.index).where(values.notna(), "empty")
    top = values[~recent].value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    shown = {value: f"'{masked(str(value))}'" for value in top.index[:LEVELS]}
    return values.map(shown).fillna("a value rare before").where(values.notna(), "empty")
