"""One lead's forecast and reasons, for the terminal."""

from __future__ import annotations

import json

from pipeline import formatting
from pipeline.errors import UserError
from pipeline.identity import canonical_id
from pipeline.learning import company_at
from pipeline.params import Params
from pipeline.registry import Registry
from pipeline.score import Scores, forecast_leads
from pipeline.stored_model import iso


def explain(params: Params, lead_id: str, as_of: str | None, *, model: str) -> str:
    """Forecast one open lead and say why.

    Parameters
    ----------
    params : Params
        The company.
    lead_id : str
        As in the company's own tables (``system:id`` where there are several systems); of any of its records.
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    model : str
        ``champion``, ``latest`` or a version.

    Returns
    -------
    str
        A page of text.

    Raises
    ------
    UserError
        If no such lead is known, or it is not open then.
    """
    version, stored = Registry(params).load(model)
    stored.check_horizons(params, version)
    company, instant = company_at(params, as_of)
    lead_id = canonical_id(company.connection, lead_id)
    result = forecast_leads(company, stored, instant, version=version, explained=None, lead_id=lead_id)
    if not len(result.scores):
        leads = company.tables.leads
        known = leads.filter(leads.lead_id == lead_id).count().to_pandas()
        why = f"not open as of {iso(instant)}" if known else "in no row of the leads table"
        raise UserError(f"lead {lead_id!r} is {why}; `leadrev score` lists the leads that are open")
    return _page(params, result)


def _page(params: Params, result: Scores) -> str:
    """Lay out one lead's forecast and reasons."""
    lead, currency, primary = result.scores.iloc[0], params.currency, params.primary_horizon_days
    lines = [
        f"Lead {lead['lead_id']} as of {lead['as_of']:%Y-%m-%d}, model version {lead['model_version']}",
        f"Score {lead['score']} of 99, grade {lead['grade']}",
        "",
    ]
    for days in params.horizons_days:
        if f"p_win_{days}d" not in result.absent:
            chance = formatting.percent(lead[f"p_win_{days}d"])
            worth = lead[f"expected_revenue_{days}d"]
            brings = f", {formatting.money(worth, currency)} expected" if worth == worth else ""
            lines.append(f"  within {days:>3} days   {chance:>7} to be won{brings}")
    if "deal_value" not in result.absent:
        low, high = (formatting.money(lead[f"deal_value_{end}"], currency) for end in ("p10", "p90"))
        lines.append(f"  if it is won     {formatting.money(lead['deal_value'], currency)} (80%: {low} to {high})")
    if lead["days_to_win_p50"] == lead["days_to_win_p50"]:
        spread = [f"{lead[f'days_to_win_{part}']:.0f}" for part in ("p10", "p50", "p90")]
        lines.append(f"                   in {spread[1]} days (80%: {spread[0]} to {spread[2]})")
    for column, title in (("reasons_positive", "For it"), ("reasons_negative", "Against it")):
        found = json.loads(lead[column])
        if found:
            lines += ["", f"{title} (within {primary} days, against the typical lead):"]
            lines += [f"  {_weight(reason, currency):>14}  {reason['text']}" for reason in found]
    flags = json.loads(lead["data_quality_flags"])
    notes = [*(f"{column}: {why}" for column, why in result.absent.items()), *flags]
    return "\n".join([*lines, *([""] if notes else []), *(f"Note: {note}" for note in notes)])


def _weight(reason: dict, currency: str) -> str:
    if reason["money"] is None:
        return formatting.points(reason["points"])
    return formatting.money(reason["money"], currency, signed=True)
