"""What to do next with each open lead, in a sentence: ``next_step`` and ``next_step_text`` of ``insights.parquet``.

The facts are the lead's situation (`pipeline.insights.lead_situation`), its forecast, and the touches that it takes
(`pipeline.insights.touches_needed`); the rules are `pipeline.insights.next_step_rules`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pipeline.common import formatting
from pipeline.common.degradation import Degradation
from pipeline.ingest.company import LoadedCompany
from pipeline.insights import event_roles
from pipeline.insights.content_offers import content_offers
from pipeline.insights.lead_situation import TIMES, TOLD, lead_situation
from pipeline.insights.next_step_rules import RULES, first_rule, step_of
from pipeline.insights.step_sentences import sentence
from pipeline.insights.touches_needed import WIN, TouchHistories, touch_histories
from pipeline.model_registry.model_artifact import StoredModel

ALL_TIMES = (*TIMES, *(f"{role}_{name}" for role in TOLD for name in ("at", "first_at")))


def step_facts(
    situation: pd.DataFrame,
    scores: pd.DataFrame,
    topics: pd.Series,
    histories: TouchHistories | None,
    as_of: datetime,
    timezone: str,
    primary_horizon_days: int,
) -> pd.DataFrame:
    """Put together all that the rules look at.

    Parameters
    ----------
    situation : data frame
        As `lead_situation` gives it.
    scores : data frame
        The forecasts, in the same order.
    topics : series of text, index lead_id
        JSON lists, as `lead_insights.topics_of_leads` gives them.
    histories : TouchHistories or None
    as_of : datetime
        UTC, without a zone.
    timezone : str
        The company's: times become local days.
    primary_horizon_days : int

    Returns
    -------
    data frame, index lead_id
        `situation` with local days in place of times; ``{name}_days`` since each; ``grade, soon_share`` (of the win
        probability, what falls within the primary horizon), ``half_days`` (the median day to win), ``touches_needed``,
        ``topic``.
    """
    facts = situation.copy()
    now = pd.Timestamp(as_of)
    spans = {
        "created_at": "age_days", "ours_at": "ours_days", "theirs_at": "theirs_days",
        **{f"{role}_at": f"{role}_days" for role in TOLD},
    }  # fmt: skip
    for name, span in spans.items():
        facts[span] = (now - pd.to_datetime(facts[name])) / pd.Timedelta(days=1)
    facts["close_in_days"] = (pd.to_datetime(facts["deal_close_at"]) - now) / pd.Timedelta(days=1)
    facts["ask_days"] = facts[["request_days", "reply_days"]].min(axis=1)
    facts["quiet_days"] = facts[["ours_days", "theirs_days", "age_days"]].min(axis=1)
    facts["theirs_count"] = facts["theirs_days"].notna().astype(int)
    kinds = facts["ours_kind"]
    facts["is_attempt"] = [isinstance(kind, str) and event_roles.is_attempt(kind) for kind in kinds]
    facts["is_proposal"] = [isinstance(kind, str) and event_roles.is_proposal(kind) for kind in kinds]
    facts["no_contact"] |= facts["no_call"] & facts["no_email"]
    zone = ZoneInfo(timezone)
    for name in ALL_TIMES:
        local = pd.to_datetime(facts[name]).dt.tz_localize("UTC").dt.tz_convert(zone)
        facts[name] = pd.Series(local.dt.date, index=facts.index, dtype=object)
    facts["grade"] = scores["grade"].to_numpy(object)
    primary, ever = scores[f"p_win_{primary_horizon_days}d"].to_numpy(float), scores["p_win_ever"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        facts["soon_share"] = primary / ever
    facts["half_days"] = scores["days_to_win_p50"].to_numpy(float)
    facts.loc[facts["half_days"].isna(), "soon_share"] = np.nan
    first = topics.map(lambda text: json.loads(text)[0]["topic"] if text != "[]" else None)
    facts["topic"] = first.reindex(facts.index).astype(object).where(lambda found: found.notna(), None)
    facts["touches_needed"] = _needed(histories, facts["has_deal"])
    return facts


def _needed(histories: TouchHistories | None, has_deal: pd.Series) -> pd.Series:
    """Say how many touches it takes from a lead to a deal, and with a deal until it is won; NaN where unknown."""
    if histories is None:
        return pd.Series(np.nan, index=has_deal.index)
    to_win = histories.median(WIN)
    to_deal = histories.median(histories.step)
    return pd.Series(np.where(has_deal, to_win or np.nan, to_deal or np.nan).astype(float), index=has_deal.index)


def next_steps(facts: pd.DataFrame, today: datetime, timezone: str, has_events: bool) -> pd.DataFrame:
    """Say what to do next with each lead.

    Parameters
    ----------
    facts : data frame
        As `step_facts` gives it.
    today : datetime
        The date of the scores, UTC.
    timezone : str
    has_events : bool
        Whether the company keeps events at all.

    Returns
    -------
    data frame, index lead_id
        ``next_step, next_step_text`` and ``rule``, the code of the rule that says so.
    """
    place = first_rule(facts)
    day = formatting.local_date(today, timezone)
    rows = facts.assign(has_events=has_events).itertuples()
    rules = [RULES[number] for number in place]
    found = [
        (step_of(rule, fact), sentence(rule, fact, day), rule.code) for rule, fact in zip(rules, rows, strict=True)
    ]
    return pd.DataFrame(found, columns=["next_step", "next_step_text", "rule"], index=facts.index)


def steps_of_leads(
    company: LoadedCompany,
    stored: StoredModel,
    as_of: datetime,
    scores: pd.DataFrame,
    topics: pd.Series,
    degraded: Sequence[Degradation] = (),
) -> pd.DataFrame:
    """Say what to do next with each lead that was scored, and what to offer it: `next_steps`, `content_offers`."""
    situation = lead_situation(company, stored.spec, as_of, scores["lead_id"], degraded)
    histories = touch_histories(company.tables, stored.spec, as_of)
    timezone = company.params.data.timezone
    facts = step_facts(
        situation, scores, topics, histories, as_of, timezone, stored.forecaster.primary_horizon_days
    )  # fmt: skip
    steps = next_steps(facts, as_of, timezone, company.tables.has("events"))
    offers = content_offers(company.tables, as_of, topics, facts, histories).reindex(steps.index)
    return steps.join(offers.astype(object).where(offers.notna(), None))
