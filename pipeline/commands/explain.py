"""One lead's forecast and reasons, for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.common import formatting
from pipeline.common.dates import local_iso
from pipeline.common.degradation import Degradation
from pipeline.common.errors import UserError
from pipeline.config.params import Params
from pipeline.identity.linkage import canonical_id
from pipeline.ingest.load import company_at
from pipeline.insights.lead_insights import prepare_insights
from pipeline.model_registry.mlflow_registry import Registry
from pipeline.scoring.forecast import Scores, forecast_leads
from pipeline.scoring.quality_flags import FLAGS, notices
from pipeline.scoring.since_training import attribute_names, other_settings, since_training


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
    other_settings(params, stored, version)
    company, instant = company_at(params, as_of, attribute_names(stored))
    changed = since_training(company, stored, version, params)
    changed.require_usable()
    lead_id = canonical_id(company.connection, lead_id)
    result = forecast_leads(
        company, stored, instant, version=version, explained=None, lead_id=lead_id, degraded=changed.degraded
    )
    if not len(result.scores):
        leads = company.tables.leads
        known = leads.filter(leads.lead_id == lead_id).count().to_pandas()
        why = f"not open as of {local_iso(instant, params.data.timezone)}" if known else "in no row of the leads table"
        raise UserError(f"lead {lead_id!r} is {why}; `leadrev score` lists the leads that are open")
    insights = prepare_insights(
        company, stored, instant, result.scores, result.matrix, 1, params.artifacts_folder, changed.degraded
    )
    found = [insights.of(block).to_pylist()[0] for block in result.explain(stored, changed.degraded)]
    title, *forecast = _forecast(params, result)
    step = [title, f"Next: {found[0]['next_step_text']}"]
    return "\n".join([*step, *forecast, *_insights(found[0], params), *_notes(result, changed.degraded)])


def _forecast(params: Params, result: Scores) -> list[str]:
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
            lines.append(f"  within {days:>3} days   win probability {chance:>7}{brings}")
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
            lines += [f"  {_reason_line(reason, params)}" for reason in found]
    return lines


def _insights(found: Mapping[str, Any], params: Params) -> list[str]:
    """Lay out what sales wants to know beside the reasons."""
    lines: list[str] = []

    def part(title: str, entries: list[str]) -> None:
        if entries:
            lines.extend(["", title, *(f"  {entry}" for entry in entries)])

    since = found["previous_as_of"]
    if since is not None:
        changed = {unit: found[f"change_{unit}"] for unit in ("money", "points")}
        other = found["previous_model"]
        title = f"Since {formatting.instant(since, params.data.timezone)} (model version {other})"
        part(
            f"{title}: {_weight(changed, params.currency)}",
            [_reason_line(r, params) for r in json.loads(found["changes"])],
        )
    part("What it would take:", [step["text"] for step in json.loads(found["would_take"])])
    like = [
        f"{lead['lead_id']}: won {formatting.days(lead['days_to_win'])} later"
        + (f" for {formatting.money(lead['amount'], params.currency)}" if lead["amount"] is not None else "")
        + (f", after {lead['did']}" if lead["did"] else "")
        for lead in json.loads(found["like_won"])
    ]
    part("Leads like it that were won:", like)
    topics = ", ".join(f"{topic['topic']} ({topic['count']:,})" for topic in json.loads(found["topics"]))
    part("Cares about:", [topics] if topics else [])
    part("Touches:", [found["touches"]] if found["touches"] else [])
    return lines


def _notes(result: Scores, degraded: Sequence[Degradation]) -> list[str]:
    flags = json.loads(result.scores["data_quality_flags"].iloc[0])
    texts = FLAGS | notices(degraded)
    notes = [*(f"{column}: {why}" for column, why in result.absent.items()), *(texts.get(flag, flag) for flag in flags)]
    return [*([""] if notes else []), *(f"Note: {note}" for note in notes)]


def _reason_line(reason: Mapping[str, Any], params: Params) -> str:
    return f"{_weight(reason, params.currency):>14}  {reason['text']}"


def _weight(reason: Mapping[str, Any], currency: str) -> str:
    if reason["money"] is None:
        return formatting.points(reason["points"])
    return formatting.money(reason["money"], currency, signed=True)
