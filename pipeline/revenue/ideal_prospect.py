"""The ideal prospect: which two traits together bring the most revenue per lead.

Revenue per lead is the chance that a lead of the segment is won (Aalen–Johansen, so that young leads count as young),
times what a won one is worth. Both are shrunk: a segment's chance toward that of all by as many leads as the segments'
own spread asks for, its amount by `PRIOR_WINS` won leads. A segment is a place to look, not a cause.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import ibis
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.job_titles import OTHER, read_titles
from models.aalen_johansen import group_figures
from pipeline.funnel.journeys import NOT_KNOWN
from pipeline.revenue.stage_rates import HORIZONS_DAYS, Figures

TRAITS = ("size", "industry", "country", "role", "source")
LEADS_LEAST = 30
WINS_LEAST = 5
SHOWN = 12
PRIOR_WINS = 5.0
PRIOR_LEADS_BOUNDS = (20.0, 2_000.0)


def ideal_prospect(figures: Figures, among: NDArray[np.bool_]) -> dict[str, Any]:
    """Rank segments of two traits by revenue per lead.

    Returns
    -------
    dict
        ``average`` and ``segments`` (the best first), each of ``traits, leads, won, win_rate, days, deal,
        revenue_per_lead`` (null without amounts); ``compared`` segments; ``why_not`` where there are none.
    """
    ways = figures.ways
    last = ways.stages.won_place
    if ways.stages.names and not _is_won_stage(figures, last):
        return {"average": None, "segments": [], "compared": 0, "why_not": "no stage says that a lead was won"}
    traits = _traits(figures)
    rows, duration, event = figures.moves(0, last, among)
    zeros = np.zeros(len(rows), dtype=np.int64)
    if not len(rows):
        return {"average": None, "segments": [], "compared": 0, "why_not": "there are no leads"}
    base, _ = group_figures(duration, event, zeros, 1, HORIZONS_DAYS)
    chance_all, days_all = _best_known(base[0]), float(base[0, -1])
    amounts = np.where(ways.frame["amount"].notna(), figures.won_amount, np.nan)[rows]
    is_won = np.isfinite(amounts)
    deal_all = float(np.nanmean(amounts)) if is_won.any() else np.nan
    found = []
    numbered = {name: pd.factorize(values[rows]) for name, values in traits.items()}
    for first, second in combinations(traits, 2):
        (ours, words), (theirs, others) = numbered[first], numbered[second]
        labels = [(one, other) for one in words for other in others]
        group = (ours * len(others) + theirs).astype(np.int64)
        base, _ = group_figures(duration, event, group, len(labels), HORIZONS_DAYS)
        leads = np.bincount(group, minlength=len(labels))
        won = np.bincount(group[event == 1], minlength=len(labels))
        money = np.bincount(group[is_won], weights=amounts[is_won], minlength=len(labels))
        priced = np.bincount(group[is_won], minlength=len(labels))
        for index, label in enumerate(labels):
            if leads[index] >= LEADS_LEAST and NOT_KNOWN not in label and OTHER not in label:
                chance = _best_known(base[index])
                if np.isfinite(chance):
                    found.append((
                        {first: label[0], second: label[1]}, int(leads[index]), int(won[index]), chance,
                        float(base[index, -1]), float(money[index]), int(priced[index]),
                    ))  # fmt: skip
    prior = _prior_leads(np.array([row[3] for row in found]), np.array([row[1] for row in found]), chance_all)
    segments = []
    for named, leads_count, won_count, chance, days, money_sum, priced_count in found:
        shrunk = (leads_count * chance + prior * chance_all) / (leads_count + prior)
        deal = (money_sum + PRIOR_WINS * deal_all) / (priced_count + PRIOR_WINS)
        segments.append(_row(named, leads_count, won_count, shrunk, days, deal))
    segments.sort(key=lambda row: (-(row["revenue_per_lead"] or row["win_rate"]), str(row["traits"])))
    average = _row({}, len(rows), int((event == 1).sum()), chance_all, days_all, deal_all)
    shown = [row for row in segments if row["won"] >= WINS_LEAST][:SHOWN]
    why_not = None if shown else f"no two traits together have {LEADS_LEAST} leads and {WINS_LEAST} won ones"
    return {"average": average, "segments": shown, "compared": len(segments), "why_not": why_not}


def _is_won_stage(figures: Figures, place: int) -> bool:
    won = (figures.ways.frame["outcome"] == "won").to_numpy()
    return bool((figures.is_in[:, place] == won).all())


def _traits(figures: Figures) -> dict[str, NDArray]:
    ways = figures.ways
    found = {}
    for name in TRAITS:
        if name == "role":
            if "title" not in ways.absent:
                found[name] = _roles(ways.frame["title"])
        elif name not in ways.absent:
            found[name] = ways.frame[name].to_numpy()
    return found


def _roles(titles: pd.Series) -> NDArray:
    """Read each title's department; nothing where there is none."""
    different = pd.DataFrame({"title": sorted(set(titles) - {NOT_KNOWN})})
    if different.empty:
        return titles.to_numpy()
    read = read_titles(ibis.memtable(different)).to_pandas()
    return titles.map(read.set_index("title")["lead_title_department"]).fillna(NOT_KNOWN).to_numpy()


def _best_known(figures: NDArray[np.float64]) -> float:
    """Give the chance ever to be won, else the one by the longest horizon that is known."""
    known = figures[:-1][np.isfinite(figures[:-1])]
    return float(known[-1]) if len(known) else np.nan


def _prior_leads(chances: NDArray, leads: NDArray, chance_all: float) -> float:
    """Say how many leads like all of them to add to each segment, by how much the segments differ beyond chance."""
    low, high = PRIOR_LEADS_BOUNDS
    if len(chances) < 3:
        return high
    weights = leads / leads.sum()
    spread = float((weights * (chances - chance_all) ** 2).sum())
    by_chance = float((weights * chance_all * (1 - chance_all) / leads).sum())
    beyond = spread - by_chance
    return float(np.clip(chance_all * (1 - chance_all) / beyond - 1, low, high)) if beyond > 0 else high


def _row(traits: dict[str, str], leads: int, won: int, chance: float, days: float, deal: float) -> dict[str, Any]:
    has_deal = bool(np.isfinite(deal))
    return {
        "traits": traits,
        "leads": leads,
        "won": won,
        "win_rate": chance if np.isfinite(chance) else None,
        "days": days if np.isfinite(days) else None,
        "deal": deal if has_deal else None,
        "revenue_per_lead": chance * deal if has_deal and np.isfinite(chance) else None,
    }
