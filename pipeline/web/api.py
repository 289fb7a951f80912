"""The JSON API: what the pages show, for other programs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request

from pipeline.reporting import waterfall
from pipeline.reporting.lead_details import curve
from pipeline.web.request_models import (
    ANSWERS_SHOWN,
    MOST_PAGES,
    MOST_ROWS,
    PAGE_ROWS,
    Asker,
    GivenAnswer,
    GivenFilters,
    LeadId,
    SortKey,
    answers_of,
    record,
    store_answer,
    visible_lead,
)
from pipeline.web.response_models import (
    AnswerBody,
    CompareBody,
    DayBody,
    ErrorBody,
    HappeningBody,
    LeadBody,
    LeadsBody,
    PointBody,
    SummaryBody,
    TotalsBody,
    answer_body,
    theme_bodies,
)
from pipeline.web.score_cache import ScoreCache


def add(app: FastAPI, scores: ScoreCache) -> None:
    """Put the API's paths into the application."""
    errors: dict[int | str, dict[str, Any]] = {401: {"model": ErrorBody}, 422: {"model": ErrorBody}}
    missing: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}, **errors}
    refusals: dict[int | str, dict[str, Any]] = {
        **missing, 400: {"model": ErrorBody}, 409: {"model": ErrorBody}, 503: {"model": ErrorBody},
    }  # fmt: skip

    @app.get("/api/v1/summary", responses={401: {"model": ErrorBody}})
    def summary(person: Asker) -> SummaryBody:
        """Sum over all open leads, and say where the figures come from."""
        score_set = scores.get()
        ranking = score_set.ranking_for(person)
        manifest = ranking.manifest
        return SummaryBody(
            company=manifest["company"],
            currency=manifest["currency"],
            as_of=manifest["as_of"],
            known_until=manifest.get("known_until"),
            model_version=str(manifest["model_version"]),
            primary_horizon_days=ranking.primary_horizon_days,
            horizons_days=ranking.horizons_days,
            totals=TotalsBody.of(ranking.totals),
            accuracy=score_set.accuracy(ranking),
        )

    @app.get("/api/v1/leads", responses=errors)
    def leads(
        request: Request,
        person: Asker,
        filters: GivenFilters,
        sort: SortKey = "rank",
        start: Annotated[int, Query(ge=0, le=MOST_PAGES * PAGE_ROWS)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = PAGE_ROWS,
    ) -> LeadsBody:
        """List leads, filtered and sorted, with the revenue that the filter shows and hides."""
        ranking = scores.get().ranking_for(person)
        shown = ranking.totals_of(filters) if filters else ranking.totals
        page = ranking.page(filters, sort, start, limit)
        record(request, "export", to="json", leads=len(page))
        return LeadsBody(
            shown=TotalsBody.of(shown), hidden=TotalsBody.of(ranking.totals - shown), start=start, leads=page
        )

    @app.get("/api/v1/leads/{lead_id:path}", responses=missing)
    def lead(person: Asker, lead_id: str) -> LeadBody:
        """Give one lead: forecast, reasons, curve, timeline, and what people answered."""
        score_set = scores.get()
        ranking = score_set.ranking_for(person)
        row = visible_lead(ranking, lead_id)
        unit: Literal["money", "points"] = "points" if row["revenue"] is None else "money"
        try:
            answers = [answer_body(answer) for answer in answers_of(scores, row["lead_id"])]
        except HTTPException:  # the forecast is as good as ever
            answers = None
        return LeadBody(
            lead=row,
            unit=unit,
            typical=row[f"base_{unit}"],
            themes=theme_bodies(score_set.details.themes(ranking, row)),
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
                for day in score_set.details.days(ranking, row)
            ],
            insights=score_set.details.insight(ranking, row),
            answers=answers,
        )

    @app.get("/api/v1/compare", responses=missing)
    def compare(person: Asker, a: LeadId, b: LeadId) -> CompareBody:
        """Say from which themes the difference between two leads' forecasts comes."""
        score_set = scores.get()
        ranking = score_set.ranking_for(person)
        one, other = visible_lead(ranking, a), visible_lead(ranking, b)
        shown = waterfall.compare(one, other, *(score_set.details.themes(ranking, lead) for lead in (one, other)))
        return CompareBody(
            a=one, b=other, unit=shown.unit, difference=shown.difference, themes=theme_bodies(dict(shown.steps))
        )

    @app.post("/api/v1/answers", status_code=201, responses=refusals)
    def answer(request: Request, person: Asker, given: GivenAnswer) -> AnswerBody:
        """Store what sales says of a lead's forecast: on the disk once this answers, and never changed."""
        lead = visible_lead(scores.get().ranking_for(person), given.lead_id)
        return answer_body(store_answer(request, scores, lead, person, given))

    @app.get("/api/v1/answers", responses={**missing, 503: {"model": ErrorBody}})
    def answers(
        person: Asker,
        lead_id: LeadId,
        start: Annotated[int, Query(ge=0, le=MOST_PAGES * PAGE_ROWS)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ANSWERS_SHOWN,
    ) -> list[AnswerBody]:
        """Give what was answered of a lead, the newest first."""
        row = visible_lead(scores.get().ranking_for(person), lead_id)
        return [answer_body(answer) for answer in answers_of(scores, row["lead_id"], start, limit)]
