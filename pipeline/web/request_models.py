"""What pages and API may be asked: bounded, typed, and answered only to those who may see it."""

from __future__ import annotations

import re
import sqlite3
import uuid
from typing import Annotated, Any, Literal

from fastapi import Depends, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.archive import feedback
from pipeline.reporting.lead_filters import Filters
from pipeline.reporting.ranked_leads import Ranking
from pipeline.web.auth import address_of
from pipeline.web.score_cache import ScoreCache
from pipeline.web.tokens import Person

PAGE_ROWS = 50
MOST_PAGES = 1_000_000
MOST_ROWS = 500
ID_LENGTH = 200
ANSWERS_SHOWN = feedback.ANSWERS_AT_ONCE
DAMAGED = "the file of answers is damaged; whoever runs leadrev can put a copy back"
SortKey = Literal[
    "rank", "this_quarter", "next_quarter", "later", "next_year", "chance", "deal_value", "soonest", "name"
]
AnswerKey = Literal["reason_wrong", "not_a_lead", "already_talking"]
Word = Annotated[str, Query(max_length=200)]
LeadId = Annotated[str, Query(min_length=1, max_length=ID_LENGTH)]


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


def visible_lead(ranking: Ranking, lead_id: str) -> dict[str, Any]:
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


def answers_of(scores: ScoreCache, lead_id: str, start: int = 0, limit: int = ANSWERS_SHOWN) -> list[feedback.Answer]:
    """Give what was answered of a lead, the newest first.

    Raises
    ------
    HTTPException
        503 if the file of answers is damaged where they stand.
    """
    try:
        return scores.answers.of_lead(lead_id, start, limit)
    except sqlite3.Error:
        raise HTTPException(503, f"The answers of this lead cannot be read: {DAMAGED}.") from None


def record(request: Request, what: str, **detail: Any) -> None:
    """Write down what somebody did."""
    request.app.state.audit.record(what, request.state.person.name, address_of(request), **detail)


def store_answer(
    request: Request, scores: ScoreCache, lead: dict[str, Any], person: Person, given: GivenAnswer
) -> feedback.Answer:
    """Store an answer.

    Raises
    ------
    HTTPException
        422 for a reason that the lead does not have, 409 for a click that was used for another answer, 503 if the
        answer could not be stored.
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
        scored_as_of=scores.get().ranking.manifest["as_of"],
        model_version=str(lead["model_version"]),
    )
    try:
        stored = scores.answers.add(answer)
    except feedback.ReusedClickError:
        raise HTTPException(409, "click_id: was used for another answer; a new answer needs a new one.") from None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise HTTPException(503, "The answer was not stored: the disk did not take it. Please try again.") from None
        raise HTTPException(503, f"The answer was not stored: {DAMAGED}.") from None
    record(request, "answer", lead_id=stored.lead_id, answer=stored.answer)
    return stored
