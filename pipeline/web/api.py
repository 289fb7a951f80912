"""The JSON API: what the pages show, for other programs."""

from __future__ import annotations

import re
import sqlite3
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.archive import feedback
from pipeline.reporting import waterfall
from pipeline.reporting.lead_details import curve
from pipeline.reporting.lead_filters import Filters, Totals
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web.auth import Person

if TYPE_CHECKING:
    from pipeline.web.server import Latest

PAGE_ROWS = 50
MOST_PAGES = 1_000_000
MOST_ROWS = 500
ID_LENGTH = 200
SortKey = Literal[
    "rank", "this_quarter", "next_quarter", "later", "next_year", "chance", "deal_value", "soonest", "name"
]
AnswerKey = Literal["reason_wrong", "not_a_lead", "already_talking"]
Word = Annotated[str, Query(max_length=200)]
LeadId = Annotated[str, Query(min_length=1, max_length=ID_LENGTH)]


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
    """One lead: its row of the scores, its themes (typical + themes = forecast), its curve, its days, its answers."""

    lead: dict[str, Any]
    unit: Literal["money", "points"]
    typical: float | None
    themes: list[ThemeBody]
    curve: list[PointBody]
    timeline: list[DayBody]
    insights: dict[str, Any]
    answers: list[AnswerBody]


class CompareBody(BaseModel):
    """Two leads, and from which themes the difference of their forecasts comes: b less a."""

    a: dict[str, Any]
    b: dict[str, Any]
    unit: Literal["money", "points"]
    difference: float
    themes: list[ThemeBody]


class GivenAnswer(BaseModel):
    """An answer to store. The same `click_id` sent again is stored once."""

    model_config = ConfigDict(extra="forbid")

    lead_id: str = Field(min_length=1, max_length=ID_LENGTH)
    answer: AnswerKey
    reason_code: str | None = Field(default=None, max_length=200)
    click_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{8,64}$")

    @field_validator("lead_id", "reason_code")
    @classmethod
    def _text(cls, value: str | None) -> str | None:
        if value is not None and re.search(r"[\ud800-\udfff]", value):
            raise ValueError("must be text that can be written down")
        return value


class ErrorBody(BaseModel):
    """What was wrong, in one line."""

    detail: str


def person_of(request: Request) -> Person:
    """Tell who asks: the guard at the door found out."""
    return request.state.person


def filters_of(
    search: Annotated[str, Query(max_length=100)] = "",
    owner: Word = "",
    source: Word = "",
    size: Word = "",
    theme: Word = "",
    grade: Word = "",
    kind: Word = "",
    entry: Word = "",
) -> Filters:
    """Read the filters of an address."""
    given = {"owner": owner, "source": source, "size": size, "theme": theme, "grade": grade}
    given |= {"kind": kind, "entry": entry}
    return Filters(search, {facet: value for facet, value in given.items() if value})


GivenFilters = Annotated[Filters, Depends(filters_of)]
Asker = Annotated[Person, Depends(person_of)]


def found(ranking: Ranking, lead_id: str) -> dict[str, Any]:
    """Give a lead that the asker may see.

    Raises
    ------
    HTTPException
        404, whether there is no such lead or it is somebody else's.
    """
    lead = ranking.lead(lead_id) if len(lead_id) <= ID_LENGTH else None
    if lead is None:
        raise HTTPException(404, "No lead of this id that you may see was open when the scores were made.")
    return lead


def stored(latest: Latest, lead: dict[str, Any], person: Person, given: GivenAnswer) -> feedback.Answer:
    """Store an answer.

    Raises
    ------
    HTTPException
        422 for a reason that the lead does not have, 503 if the answer could not be stored.
    """
    codes = {reason["code"] for side in ("reasons_positive", "reasons_negative") for reason in lead[side]}
    if (given.answer == "reason_wrong") != (given.reason_code is not None):
        raise HTTPException(422, "reason_code: goes with the answer reason_wrong, and with no other.")
    if given.reason_code is not None and given.reason_code not in codes:
        raise HTTPException(422, "reason_code: is none of this lead's reasons.")
    answer = feedback.Answer(
        click_id=given.click_id or str(uuid.uuid4()),
        answered_at=feedback.now(),
        answered_by=person.name,
        lead_id=lead["lead_id"],
        episode=lead["episode"],
        answer=given.answer,
        reason_code=given.reason_code,
        scored_as_of=latest.get().ranking.manifest["as_of"],
        model_version=str(lead["model_version"]),
    )
    try:
        return latest.answers.add(answer)
    except sqlite3.Error:
        raise HTTPException(503, "The answer was not stored: the disk did not take it. Please try again.") from None


def add(app: FastAPI, latest: Latest) -> None:
    """Put the API's paths into the application."""
    errors: dict[int | str, dict[str, Any]] = {401: {"model": ErrorBody}, 422: {"model": ErrorBody}}
    missing: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}, **errors}

    @app.get("/api/v1/summary", responses={401: {"model": ErrorBody}})
    def summary(person: Asker) -> SummaryBody:
        """Sum over all open leads, and say where the figures come from."""
        opened = latest.get()
        ranking = opened.ranking_for(person)
        told = ranking.manifest
        return SummaryBody(
            company=told["company"],
            currency=told["currency"],
            as_of=told["as_of"],
            known_until=told.get("known_until"),
            model_version=str(told["model_version"]),
            primary_horizon_days=ranking.primary_horizon_days,
            horizons_days=ranking.horizons_days,
            totals=TotalsBody.of(ranking.totals),
            accuracy=waterfall.accuracy(opened.backtest, ranking.timezone),
        )

    @app.get("/api/v1/leads", responses=errors)
    def leads(
        person: Asker,
        filters: GivenFilters,
        sort: SortKey = "rank",
        start: Annotated[int, Query(ge=0, le=MOST_PAGES * PAGE_ROWS)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = PAGE_ROWS,
    ) -> LeadsBody:
        """List leads, filtered and sorted, with the revenue that the filter shows and hides."""
        ranking = latest.get().ranking_for(person)
        shown = ranking.totals_of(filters) if filters else ranking.totals
        return LeadsBody(
            shown=TotalsBody.of(shown),
            hidden=TotalsBody.of(ranking.totals - shown),
            start=start,
            leads=ranking.page(filters, sort, start, limit),
        )

    @app.get("/api/v1/leads/{lead_id:path}", responses=missing)
    def lead(person: Asker, lead_id: str) -> LeadBody:
        """Give one lead: forecast, reasons, curve, timeline, and what people answered."""
        opened = latest.get()
        ranking = opened.ranking_for(person)
        row = found(ranking, lead_id)
        unit: Literal["money", "points"] = "points" if row["revenue"] is None else "money"
        answers = latest.answers.of_leads([row["lead_id"]]).get(row["lead_id"], [])
        return LeadBody(
            lead=row,
            unit=unit,
            typical=row[f"base_{unit}"],
            themes=_themes(opened.details.themes(ranking, row)),
            curve=[PointBody(days=days, p_win=p) for days, p in curve(ranking, row)],
            timeline=[
                DayBody(
                    day=day.day.isoformat(),
                    moved=day.moved,
                    happened=[
                        HappeningBody(**{**vars(one), "occurred_at": one.occurred_at.isoformat()})
                        for one in day.happened
                    ],
                )
                for day in opened.details.days(ranking, row)
            ],
            insights=opened.details.insight(ranking, row),
            answers=[_answer(answer) for answer in answers],
        )

    @app.get("/api/v1/compare", responses=missing)
    def compare(person: Asker, a: LeadId, b: LeadId) -> CompareBody:
        """Say from which themes the difference between two leads' forecasts comes."""
        opened = latest.get()
        ranking = opened.ranking_for(person)
        one, other = found(ranking, a), found(ranking, b)
        shown = waterfall.compare(one, other, *(opened.details.themes(ranking, lead) for lead in (one, other)))
        return CompareBody(
            a=one, b=other, unit=shown.unit, difference=shown.difference, themes=_themes(dict(shown.steps))
        )

    @app.post(
        "/api/v1/answers", status_code=201, responses={400: {"model": ErrorBody}, 503: {"model": ErrorBody}, **missing}
    )
    def answer(person: Asker, given: GivenAnswer) -> AnswerBody:
        """Store what sales says of a lead's forecast: on the disk once this answers, and never changed."""
        return _answer(stored(latest, found(latest.get().ranking_for(person), given.lead_id), person, given))

    @app.get("/api/v1/answers", responses=missing)
    def answers(person: Asker, lead_id: LeadId) -> list[AnswerBody]:
        """Give what was answered of a lead, the newest first."""
        row = found(latest.get().ranking_for(person), lead_id)
        return [_answer(answer) for answer in latest.answers.of_leads([row["lead_id"]]).get(row["lead_id"], [])]


def _themes(sums: dict[str, float]) -> list[ThemeBody]:
    ordered = sorted(sums.items(), key=lambda item: (-abs(item[1]), item[0]))
    return [ThemeBody(theme=theme, weight=weight) for theme, weight in ordered]


def _answer(answer: feedback.Answer) -> AnswerBody:
    return AnswerBody(**{name: getattr(answer, name) for name in AnswerBody.model_fields})
