"""Whom each salesperson calls today: lists that are no longer than what one person can do (``lists.json``).

On a list stand leads whose next step is to call or to keep working, of people who may be called, each person once in
the whole company. First those to call now, then those to keep working on, each by expected revenue. What does not fit
is counted in leads and in money, so that nobody takes the list for all there is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common import formatting
from pipeline.ingest.company import LoadedCompany
from pipeline.insights.contact_permissions import contact_permissions, people
from pipeline.insights.exploration import explore
from pipeline.insights.next_step_rules import CALL_NOW, KEEP_WORKING

FILE = "lists.json"
DUE = (CALL_NOW, KEEP_WORKING)


def draw_list(lead_ids: Sequence[str], places: int, explore_share: float, seed: int, key: str) -> list[dict[str, Any]]:
    """Draw one list from leads in their order: the place where exploration, and an experiment's arms, come in.

    Parameters
    ----------
    lead_ids : sequence of str
        The leads that are due, the first to call first.
    places : int
        How many fit.
    explore_share : float
        Of the places, those that are drawn at random from further down (`pipeline.insights.exploration`).
    seed : int
    key : str
        Whose list, and of which day.

    Returns
    -------
    list of dict
        ``lead_id, probability`` (with which a lead at this place was to be listed), ``explored``.
    """
    return [
        {"lead_id": lead_ids[one.index], "probability": float(one.probability), "explored": bool(one.explored)}
        for one in explore(lead_ids, places, explore_share, seed, key)
    ]


def call_lists(
    leads: pd.DataFrame, day: date, places: int, *, explore_share: float = 0.0, seed: int = 0
) -> list[dict[str, Any]]:
    """Draw every salesperson's list.

    Parameters
    ----------
    leads : data frame
        By rank: ``lead_id, owner_id, person`` (a number; leads of one person have the same), ``next_step,
        next_step_text, money`` (NaN without amounts), ``may_call``.
    day : date
    places : int
        How many calls a person makes a day.
    explore_share, seed
        As for `draw_list`.

    Returns
    -------
    list of dict
        By owner, those without one last: ``owner_id, date, items`` of ``{lead_id, next_step, text, money, probability,
        explored}``, and ``left_out``: how many leads that were due stand on no list, and what they are worth (null
        without amounts). Leads without an owner are on nobody's list and left out.
    """
    due = leads[leads["next_step"].isin(DUE)]
    due = due.iloc[np.argsort(due["next_step"].map(DUE.index).to_numpy(), kind="stable")]
    # Of a person's leads the first stands for all, whoever owns the others.
    callable_ = due[due["may_call"]].drop_duplicates("person").set_index("lead_id")
    owners = sorted(due["owner_id"].dropna().unique())
    found = []
    for owner in [*owners, *([None] if due["owner_id"].isna().any() else [])]:
        own = due[due["owner_id"].isna() if owner is None else due["owner_id"] == owner].set_index("lead_id")
        mine = [lead for lead in own.index if lead in callable_.index] if owner is not None else []
        items = [
            {
                "lead_id": one["lead_id"],
                "next_step": own.at[one["lead_id"], "next_step"],
                "text": own.at[one["lead_id"], "next_step_text"],
                "money": _money(own.at[one["lead_id"], "money"]),
                "probability": one["probability"],
                "explored": one["explored"],
            }
            for one in draw_list(mine, places, explore_share, seed, f"{owner} {day.isoformat()}")
        ]
        rest = own.drop([item["lead_id"] for item in items])
        left = {"leads": len(rest), "revenue": _money(float(rest["money"].sum(min_count=1)))}
        found.append({"owner_id": owner, "date": day.isoformat(), "items": items, "left_out": left})
    return found


def lists_file(company: LoadedCompany, scores: pd.DataFrame, steps: pd.DataFrame, money: str, as_of: datetime) -> str:
    """Give the content of ``lists.json``.

    Parameters
    ----------
    company : LoadedCompany
        Its params say how many calls a person makes a day.
    scores : data frame
        The forecasts, by rank.
    steps : data frame, index lead_id
        What to do next, in the same order.
    money : str
        The column of `scores` with the expected revenue.
    as_of : datetime
        The instant of the scores, UTC without a zone.
    """
    params = company.params
    day = formatting.local_date(as_of, params.data.timezone)
    marks = contact_permissions(company, as_of)
    barred = marks.loc[(marks["no_call"] | marks["no_contact"]).astype(bool), "lead_id"]
    leads = scores[["lead_id", "owner_id"]].assign(
        person=people(company.tables, scores["lead_id"]).to_numpy(),
        next_step=steps["next_step"].to_numpy(),
        next_step_text=steps["next_step_text"].to_numpy(),
        money=scores[money].to_numpy(float),
        may_call=~scores["lead_id"].isin(barred).to_numpy(),
    )
    calls = params.capacity.calls_per_owner_per_day
    assert calls is not None
    lists = call_lists(leads, day, calls, explore_share=params.capacity.explore_share, seed=params.seed)
    return json.dumps(lists, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _money(value: Any) -> float | None:
    return None if pd.isna(value) else round(float(value), 2)
