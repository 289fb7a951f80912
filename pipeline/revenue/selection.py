"""What sales did with the list: which grades it worked, what it took against the score, and what it left.

Leads are told by their first archived forecast, before working them moved it. Nothing here is an effect: sales may take
any lead, and mostly takes those that look good.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.dates import iso
from pipeline.ingest.company import LoadedCompany
from pipeline.revenue.archived_leads import WORKED_DAYS, ArchivedLeads, archived_leads, is_untouched
from pipeline.revenue.forecast_quality import quality, working_chance

GRADES, HOT, COLD = ("A", "B", "C", "D"), "A", ("C", "D")
EXAMPLES = 10

Content = dict[str, Any]


def selection(company: LoadedCompany, as_of: datetime) -> Content:
    """Work out what sales did with the forecasts that were archived by a date.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC; nothing known later counts.

    Returns
    -------
    dict
        The content of ``selection.json``.

    Raises
    ------
    UserError
        No forecast was archived by then.
    """
    leads = archived_leads(company, as_of)
    knows_touches = company.tables.has("events", "direction")
    followed = leads.frame[leads.frame["is_followed"]].reset_index(drop=True)
    return {
        "company": company.params.company,
        "currency": company.params.currency,
        "timezone": company.params.data.timezone,
        "as_of": iso(as_of),
        "nights": leads.nights,
        "horizon_days": leads.horizon_days,
        "worked_days": WORKED_DAYS,
        "grades": [_grade(followed, grade, knows_touches=knows_touches) for grade in GRADES],
        "against_score": _against_score(followed) if knows_touches else None,
        "untouched": _untouched(leads, as_of) if knows_touches else None,
        "quality": _quality(leads.frame, company.params.seed) if knows_touches else {"worked": None, "unworked": None},
        "notes": _notes(leads, followed, knows_touches=knows_touches),
    }


def _money(values: pd.Series) -> float:
    return round(float(values.sum()), 2)


def _expected(values: pd.Series) -> float | None:
    return None if values.isna().all() else _money(values)


def _grade(followed: pd.DataFrame, grade: str, *, knows_touches: bool) -> Content:
    own = followed[followed["grade"] == grade]
    count = len(own)
    return {
        "grade": grade,
        "leads": count,
        "worked": int(own["was_worked"].sum()) if knows_touches else None,
        "worked_share": round(float(own["was_worked"].mean()), 6) if knows_touches and count else None,
        "touches": round(float(own["touches"].mean()), 4) if knows_touches and count else None,
        "won": int(own["won"].sum()),
        "revenue": _money(own["revenue"]),
        "revenue_expected": _expected(own["money"]),
    }


def _against_score(followed: pd.DataFrame) -> Content:
    """Say what was taken though its grade was low, and what was left though its grade was high."""
    low = followed["grade"].isin(COLD).to_numpy()
    worked = followed["was_worked"].to_numpy(bool)
    taken, left = followed[low & worked], followed[(followed["grade"] == HOT).to_numpy() & ~worked]
    top = taken[taken["won"].to_numpy(bool)].sort_values(["revenue", "lead_id"], ascending=[False, True])
    return {
        "leads": len(taken),
        "won": int(taken["won"].sum()),
        "revenue": _money(taken["revenue"]),
        "revenue_expected": _expected(taken["money"]),
        "examples": [
            {"lead_id": lead, "grade": grade, "revenue": round(float(revenue), 2)}
            for lead, grade, revenue in top[["lead_id", "grade", "revenue"]].head(EXAMPLES).itertuples(index=False)
        ],
        "left": {
            "leads": len(left),
            "won": int(left["won"].sum()),
            "revenue": _money(left["revenue"]),
            "revenue_expected": _expected(left["money"]),
        },
    }


def _untouched(leads: ArchivedLeads, as_of: datetime) -> Content:
    """Say which hot leads of the newest forecast nobody touched of late, and what they are expected to bring."""
    newest = leads.newest
    hot = newest[(newest["grade"] == HOT).to_numpy()]
    cold = hot[is_untouched(hot, as_of)]
    ranked = cold.sort_values(["money", "lead_id"], ascending=[False, True], na_position="last")
    by_owner = cold.assign(owner_id=cold["owner_id"].astype(object)).groupby("owner_id", dropna=False, sort=True)
    owners = [
        {"owner_id": None if pd.isna(owner) else str(owner), "leads": len(own), "revenue": _expected(own["money"])}
        for owner, own in by_owner
    ]
    return {
        "forecast_as_of": iso(newest["as_of"].iloc[0].to_pydatetime()) if len(newest) else None,
        "hot": len(hot),
        "leads": len(cold),
        "never_touched": int(cold["touched_at"].isna().sum()),
        "revenue": _expected(cold["money"]) if len(cold) else 0.0,
        "owners": sorted(owners, key=lambda row: (-(row["revenue"] or 0.0), str(row["owner_id"]))),
        "examples": [
            {"lead_id": lead, "owner_id": None if pd.isna(owner) else str(owner),
             "revenue": None if pd.isna(money) else round(float(money), 2)}
            for lead, owner, money in ranked[["lead_id", "owner_id", "money"]].head(EXAMPLES).itertuples(index=False)
        ],
    }  # fmt: skip


def _quality(frame: pd.DataFrame, seed: int) -> Content:
    """Hold forecasts whose horizon is over against what came, for worked and unworked leads apart."""
    mature = frame[frame["is_mature"] & frame["chance"].notna()].reset_index(drop=True)
    worked = mature["was_worked"].to_numpy(bool)
    expected = mature["chance"].to_numpy(float)
    odds = np.clip(expected, 1e-6, 1 - 1e-6)
    facts = np.column_stack([
        np.log(odds / (1 - odds)), np.log1p(mature["money"].fillna(0.0).clip(lower=0.0)), np.log1p(mature["age_days"]),
        np.log1p(mature["touches_before"]),
    ])  # fmt: skip
    chance = working_chance(facts, worked)
    account = pd.factorize(mature["account_id"].astype(object).fillna("lead " + mature["lead_id"]))[0]
    found: Content = {"leads": len(mature)}
    for name, group, own in (("worked", worked, chance), ("unworked", ~worked, 1 - chance)):
        weight = 1.0 / np.maximum(own[group], 1e-9)
        found[name] = quality(expected[group], mature["won"].to_numpy(bool)[group], weight, account[group], seed)
    return found


def _notes(leads: ArchivedLeads, followed: pd.DataFrame, *, knows_touches: bool) -> list[str]:
    notes = []
    if not knows_touches:
        notes.append("events have no direction: nobody can tell what sales touched")
    if young := len(leads.frame) - len(followed):
        notes.append(f"{young:,} leads were first forecast less than {WORKED_DAYS} days ago and are not counted yet")
    if not leads.frame["is_mature"].any():
        notes.append(
            f"no archived forecast is {leads.horizon_days} days old: how right forecasts were cannot be told yet"
        )
    if leads.frame["money"].isna().all():
        notes.append("forecasts have no amounts")
    return notes
