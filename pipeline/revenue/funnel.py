"""The funnel: what ``funnel.json`` holds, worked out from the stages, the tables and the forecast of one date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.common.dates import iso
from pipeline.common.errors import UserError
from pipeline.funnel.definitions import definitions_of, who_meets
from pipeline.funnel.journeys import NEW_BUSINESS, SEGMENTS, Journeys, journeys
from pipeline.funnel.stages import in_own_words
from pipeline.ingest.company import LoadedCompany
from pipeline.revenue.disagreements import disagreements, sides
from pipeline.revenue.expected_revenue import expected_revenue
from pipeline.revenue.ideal_prospect import ideal_prospect
from pipeline.revenue.leaks import leaks
from pipeline.revenue.stage_rates import Figures, segment_codes, stage_rows
from pipeline.revenue.won_revenue import won_revenue

COHORTS = ("month", "quarter")


def funnel(
    company: LoadedCompany, as_of: datetime, *, by: str | None, cohort: str | None, scores: Path
) -> dict[str, Any]:
    """Work out the funnel of a company.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        Naive UTC; nothing known later changes a figure.
    by : str, optional
        One of `SEGMENTS`; None: the source, where leads have one.
    cohort : str, optional
        One of `COHORTS`; None: quarters.
    scores : Path
        Folder in which scores of the same date may lie.

    Returns
    -------
    dict
        The content of ``funnel.json``.

    Raises
    ------
    UserError
        The company does not know the segment, or nothing dates a stage of the params.
    """
    ways = journeys(company, as_of)
    by = _segment(by, ways)
    expected = expected_revenue(company, ways, scores)
    params = company.params
    figures = Figures(ways, expected.values, params.data.timezone, params.seed)
    cohorts = _cohorts(figures, cohort or "quarter", params.fiscal_year_start_month)
    segment = None if by is None else (by, *segment_codes(ways.frame[by]))
    is_new = (ways.frame["kind"] == NEW_BUSINESS).to_numpy()
    everybody = np.ones(len(ways), dtype=bool)
    found_leaks, comparisons = leaks(figures, is_new)
    rows = stage_rows(figures, everybody if by == "kind" else is_new, cohorts, segment)
    if by == "kind" and not is_new.all():
        rows = [_without_rates(row) if row["segment"] == "all" else row for row in rows]
    existing = [] if is_new.all() else stage_rows(figures, ~is_new, None, None)
    last = ways.frame[ways.frame["is_last"]]
    won = ways.by_lead(figures.won_amount)
    of_open = None if expected.values is None else ways.by_lead(expected.values)
    definitions = definitions_of(company, ways)
    meets = who_meets(company, ways, definitions, as_of)
    return {
        "company": params.company,
        "currency": params.currency,
        "timezone": params.data.timezone,
        "as_of": iso(as_of),
        "stages": list(ways.stages.names),
        "rules": {name: in_own_words(rule) for name, rule in ways.stages.rules.items()},
        "by": by,
        "cohort": cohort or "quarter",
        "leads": len(last),
        "revenue": won_revenue(company, ways, as_of),
        "rows": rows,
        "existing_business": {"leads": int((~is_new[ways.frame["is_last"].to_numpy()]).sum()), "rows": existing},
        "definitions": sides(meets, won, of_open),
        "rules_of_definitions": {
            name: {key: list(words) for key, words in of.items()} for name, of in definitions.items()
        },
        "disagreements": disagreements(meets, last, won, of_open),
        "leaks": found_leaks,
        "comparisons": comparisons,
        "ideal": ideal_prospect(figures, is_new),
        "notes": _notes(ways, expected.said, figures, expected.values is not None, comparisons),
    }


def _segment(by: str | None, ways: Journeys) -> str | None:
    if by is None:
        return None if "source" in ways.absent else "source"
    if by not in SEGMENTS:
        raise UserError(f"--by: found {by}, allowed: {', '.join(SEGMENTS)}")
    if by in ways.absent:
        known = [name for name in SEGMENTS if name not in ways.absent]
        raise UserError(f"--by {by}: {ways.absent[by]}; this company's leads can be split by: {', '.join(known)}")
    return by


def _cohorts(figures: Figures, cohort: str, first_month: int) -> tuple[NDArray[np.int64], Sequence[str]]:
    """Name the month, or the fiscal quarter, in which each episode began on the wall clock."""
    if cohort not in COHORTS:
        raise UserError(f"--cohort: found {cohort}, allowed: {', '.join(COHORTS)}")
    started = pd.DatetimeIndex(figures.started.view("datetime64[us]"))
    months = started.year.to_numpy() * 12 + started.month.to_numpy() - 1
    if cohort == "month":
        names = [f"{month // 12}-{month % 12 + 1:02d}" for month in np.unique(months)]
        return np.unique(months, return_inverse=True)[1].astype(np.int64), names
    quarters = (months - (first_month - 1)) // 3
    # A fiscal year is called after the calendar year in which it ends.
    shift = 0 if first_month == 1 else 1
    names = [f"{quarter // 4 + shift}-Q{quarter % 4 + 1}" for quarter in np.unique(quarters)]
    return np.unique(quarters, return_inverse=True)[1].astype(np.int64), names


def _without_rates(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the rates of a row that counts new business and existing business together."""
    unknown = {"median_days": None, "revenue_won": None, "revenue_expected": None}
    return {**row, "chance": dict.fromkeys(row["chance"]), **unknown}


def _notes(ways: Journeys, said: str, figures: Figures, has_forecast: bool, comparisons: int) -> dict[str, str]:
    notes = {
        "rows": "new business; existing business is in existing_business, and never in a rate of new business",
        "chance": "Aalen-Johansen, loss competes, leads still there are censored; empty where nobody was watched for "
        "so long while somebody was still there; ever: by the last day on which ten were watched",
        "median_days": "of those who ever advance; empty where ever is",
        "revenue_won": "won so far, per lead that entered; the sum is revenue_won_total",
        "revenue_expected": f"{said}; per lead that entered; the sum is revenue_expected_total"
        if has_forecast
        else f"empty: {said}",
        "unknown": "ended and nobody can read how, and those that ended with another lead's deal (joined)",
        "leaks": f"{comparisons} comparisons; shown are those that stand out after Benjamini-Hochberg at 5%",
        "interval": "low to high holds nine times of ten: bootstrap over accounts",
    }
    if not figures.has_amounts:
        notes["revenue_won"] = "empty: no won deal has an amount"
    for name, why in ways.stages.absent.items():
        notes[f"stage {name}"] = f"absent: {why}"
    for name, why in ways.absent.items():
        if name in SEGMENTS:
            notes[f"by {name}"] = f"absent: {why}"
    if not ways.frame["outcome"].isin(["lost"]).any():
        notes["lost"] = "no lead is recorded as lost: chances may rise for ever, as nobody is known to have left"
    return notes
