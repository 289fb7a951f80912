"""What the JSON API answers: one model a body, so that the API's document and its answers cannot differ."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from pipeline.archive.feedback import Answer
from pipeline.reporting.lead_filters import Totals


class TotalsBody(BaseModel):
    """Sums over some leads; money is null where the company has no amounts."""

    leads: int
    expected_wins: float
    expected_revenue: float | None
    expected_revenue_this_quarter: float | None
    expected_revenue_next_quarter: float | None
    expected_revenue_later: float | None

    @classmethod
    def of(cls, totals: Totals) -> TotalsBody:
        """Return the sums under the names that the API gives them."""
        return cls(
            leads=totals.leads,
            expected_wins=totals.wins,
            expected_revenue=totals.revenue,
            expected_revenue_this_quarter=totals.this_quarter,
            expected_revenue_next_quarter=totals.next_quarter,
            expected_revenue_later=totals.later,
        )


class LeadsBody(BaseModel):
    """One page of leads, what the filter shows, and what it hides: shown + hidden = all."""

    shown: TotalsBody
    hidden: TotalsBody
    start: int
    leads: list[dict[str, Any]]


class SummaryBody(BaseModel):
    """What the scores say in all, when and by which model they were made, and how right the last backtest was."""

    company: str
    currency: str
    as_of: str
    known_until: str | None
    model_version: str
    primary_horizon_days: int
    horizons_days: list[int]
    totals: TotalsBody
    accuracy: list[str]


class ThemeBody(BaseModel):
    """What a theme adds to the typical lead's figure, as `unit` says."""

    theme: str
    weight: float


class PointBody(BaseModel):
    """A point of the curve of being won over time."""

    days: float
    p_win: float


class HappeningBody(BaseModel):
    """Something that happened to a lead; times are UTC."""

    occurred_at: str
    kind: str
    direction: str | None
    channel: str | None
    topic: str | None


class DayBody(BaseModel):
    """A day of the company's calendar, and by how much it moved the forecast, where that was worked out."""

    day: str
    moved: float | None
    happened: list[HappeningBody]


class AnswerBody(BaseModel):
    """What somebody said of a lead's forecast."""

    click_id: str
    answered_at: str
    answered_by: str
    lead_id: str
    answer: str
    reason_code: str | None


class LeadBody(BaseModel):
    """One lead: its row of the scores, its themes (typical + themes = forecast), curve, days and newest answers.

    Answers are null where their file is damaged.
    """

    lead: dict[str, Any]
    unit: Literal["money", "points"]
    typical: float | None
    themes: list[ThemeBody]
    curve: list[PointBody]
    timeline: list[DayBody]
    insights: dict[str, Any]
    answers: list[AnswerBody] | None


class CompareBody(BaseModel):
    """Two leads, and from which themes the difference of their forecasts comes: b less a."""

    a: dict[str, Any]
    b: dict[str, Any]
    unit: Literal["money", "points"]
    difference: float
    themes: list[ThemeBody]


class ErrorBody(BaseModel):
    """What was wrong, in one line."""

    detail: str


def theme_bodies(sums: dict[str, float]) -> list[ThemeBody]:
    """Give themes by the size of what they add."""
    ordered = sorted(sums.items(), key=lambda item: (-abs(item[1]), item[0]))
    return [ThemeBody(theme=theme, weight=weight) for theme, weight in ordered]


def answer_body(answer: Answer) -> AnswerBody:
    """Give a stored answer as the API shows it."""
    return AnswerBody(**{name: getattr(answer, name) for name in AnswerBody.model_fields})
