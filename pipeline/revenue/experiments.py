"""What an experiment says: the difference that its arms make, over all that were assigned.

Every lead counts in the arm that its account was drawn for, whatever was done for it (intention to treat), once its
horizon, laid down beforehand, is over. The comparison of leads that were touched with leads that were not stands beside
it, to show how far it is from an effect.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.common.dates import iso
from pipeline.ingest.company import LoadedCompany
from pipeline.revenue.arm_difference import (
    ACCOUNTS_LEAST,
    LEVEL,
    PLANNED_ACCOUNTS,
    SEQUENCE_ERROR,
    ArmDifference,
    accounts_needed,
    arm_difference,
    mean_with_interval,
)
from pipeline.revenue.experiment_checks import experiment_checks
from pipeline.revenue.experiment_leads import ExperimentLeads, experiment_leads, own_probability
from pipeline.revenue.forecast_at_assignment import ForecastAtAssignment, forecast_at_assignment

MEASURES = {"won_share": "won", "revenue": "revenue", "mean_days": "days"}
DIGITS = {"won_share": 6, "revenue": 2, "mean_days": 3}
SMALLEST_EFFECT_SHARE = 0.2
"""Of the control arm's share won: the smallest difference that matters, where params do not say."""

Content = dict[str, Any]


def experiment(company: LoadedCompany, name: str, as_of: datetime) -> Content:
    """Analyse an experiment.

    Parameters
    ----------
    company : LoadedCompany
    name : str
    as_of : datetime
        Naive UTC; nothing known later counts.

    Returns
    -------
    dict
        The content of ``experiment.json``.

    Raises
    ------
    UserError
        There is no such experiment, or it has no control arm.
    """
    leads = experiment_leads(company, name, as_of)
    forecast = forecast_at_assignment(company, leads.frame)
    probability, said = own_probability(leads.frame, leads.settings.control)
    checks = experiment_checks(leads, probability, forecast.chance, company.params.data.timezone)
    content = analyse(leads, forecast, probability, has_events=company.tables.has("events"))
    kinds = {check["kind"] for check in checks}
    status = "contaminated" if "contaminated" in kinds else "stopped" if "stopped" in kinds else "running"
    return {
        "company": company.params.company,
        "currency": company.params.currency,
        "timezone": company.params.data.timezone,
        "as_of": iso(as_of),
        **content,
        "status": status,
        "checks": checks,
        "notes": [forecast.said, f"probabilities: {said}"],
    }


def analyse(
    leads: ExperimentLeads, forecast: ForecastAtAssignment, probability: NDArray[np.float64], *, has_events: bool
) -> Content:
    """Compare the arms of an experiment.

    Parameters
    ----------
    leads : ExperimentLeads
    forecast : ForecastAtAssignment
        Of all leads of the frame, in its order.
    probability : ndarray of shape (n_leads,)
        With which each lead's account got its arm.
    has_events : bool
        Whether touches are known.
    """
    control = leads.settings.control
    is_counted = (leads.frame["is_mature"] & ~leads.frame["was_closed"]).to_numpy()
    counted = leads.counted().assign(own_probability=probability[is_counted])
    chances = {measure: forecast.covariates(of_money=measure == "revenue") for measure in MEASURES}
    covariates = {measure: None if of is None else of[is_counted] for measure, of in chances.items()}
    arms = [_arm(leads, counted, arm) for arm in leads.arms]
    treatments = leads.arms[1:]
    comparisons = [_comparison(leads, counted, covariates, arm, len(treatments)) for arm in treatments]
    base = next((row["won_share"]["value"] for row in arms if row["arm"] == control and row["won_share"]), None)
    for row in comparisons:
        found = row.pop("found")
        effect = leads.settings.smallest_effect or (base * SMALLEST_EFFECT_SHARE if base else None)
        needed = accounts_needed(found, effect) if found and effect else None
        row["smallest_effect"] = None if effect is None else round(effect, 6)
        row["accounts_needed"] = None if needed is None else max(0, needed - row["accounts"])
    first = comparisons[0] if comparisons else {}
    return {
        "name": leads.name,
        "horizon_days": leads.horizon_days,
        "arms": arms,
        "difference": first.get("difference"),
        "naive": _naive(leads, counted) if has_events else None,
        "accounts_needed": first.get("accounts_needed"),
        "comparisons": comparisons,
        "level": LEVEL,
        "sequence_level": 1 - SEQUENCE_ERROR,
    }


def _arm(leads: ExperimentLeads, counted: pd.DataFrame, arm: str) -> Content:
    every, own = leads.frame[leads.frame["arm"] == arm], counted[counted["arm"] == arm]
    figures: Content = {}
    for measure, column in MEASURES.items():
        figures[measure] = None
        if len(own):
            found = mean_with_interval(own[column].to_numpy(float), own["cluster"].to_numpy())
            figures[measure] = _figure(found, DIGITS[measure])
    return {
        "arm": arm,
        "accounts": int(own["account"].nunique()),
        "leads": len(own),
        **figures,
        "won": int(own["won"].sum()),
        "revenue_won": round(float(own["revenue"].sum()), 2),
        "assigned": len(every),
        "waiting": int((~every["is_mature"]).sum()),
    }


def _comparison(
    leads: ExperimentLeads,
    counted: pd.DataFrame,
    covariates: dict[str, NDArray[np.float64] | None],
    arm: str,
    treatments_count: int,
) -> Content:
    pair = counted["arm"].isin([leads.settings.control, arm]).to_numpy()
    own = counted[pair]
    planned = leads.settings.accounts or PLANNED_ACCOUNTS
    given = (
        (own["arm"] == arm).to_numpy(), own["cluster"].to_numpy(), own["own_probability"].to_numpy(float),
    )  # fmt: skip
    error = SEQUENCE_ERROR / treatments_count
    adjusted, plain, narrower = {}, {}, {}
    told: ArmDifference | None = None
    for measure, column in MEASURES.items():
        of = covariates[measure]
        outcome = own[column].to_numpy(float)
        raw = arm_difference(outcome, *given, None, planned)
        found = raw if of is None else arm_difference(outcome, *given, of[pair], planned)
        adjusted[measure] = _difference(found, error, DIGITS[measure])
        plain[measure] = _difference(raw, error, DIGITS[measure])
        is_narrower = found is not None and raw is not None and raw.error > 0 and of is not None
        narrower[measure] = round(1 - found.error / raw.error, 4) if is_narrower and found and raw else None
        told = found if measure == "won_share" else told
    verdict = "too_few"
    if told is not None and told.error > 0:
        verdict = "not_told" if not told.is_told(error) else "better" if told.value > 0 else "worse"
    return {
        "arm": arm,
        "control": leads.settings.control,
        "accounts": int(own["account"].nunique()),
        "accounts_least": ACCOUNTS_LEAST,
        "difference": adjusted,
        "unadjusted": plain,
        "narrower_share": narrower,
        "verdict": verdict,
        "found": told,
    }


def _difference(found: ArmDifference | None, error: float, digits: int) -> Content | None:
    if found is None:
        return None
    low, high = found.sequence(error)
    figure = _figure((found.value, *found.interval), digits)
    return figure | {"sequence_low": round(low, digits), "sequence_high": round(high, digits)}


def _figure(found: tuple[float, float, float], digits: int) -> Content:
    return {name: round(value, digits) for name, value in zip(("value", "low", "high"), found, strict=True)}


def _naive(leads: ExperimentLeads, counted: pd.DataFrame) -> Content | None:
    """Compare the leads that were touched with those that were not: no effect, as people choose whom they touch."""
    touched = counted["is_touched"].to_numpy()
    event = leads.settings.event
    found = {
        measure: arm_difference(
            counted[column].to_numpy(float), touched, counted["cluster"].to_numpy(), np.ones(len(counted))
        )
        for measure, column in MEASURES.items()
    }
    return {
        "by": event or "outbound",
        "leads_with": int(touched.sum()),
        "leads_without": int((~touched).sum()),
        **{
            measure: None if one is None else _figure((one.value, *one.interval), DIGITS[measure])
            for measure, one in found.items()
        },
    }
