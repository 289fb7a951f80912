# ruff: noqa: S608 (SQL here is made of our own names)
"""Whose mail says what: each salesperson's leads with the most expected revenue, each manager's hot ones untouched.

The outbox keeps ids alone. Names and addresses are read from the company's tables when a mail is written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.params import Params
from pipeline.delivery.changes import EXACT, FIGURE, REASONS, SCORE, fact_of
from pipeline.delivery.payload import LastScores, Row
from pipeline.ingest.company import LoadedCompany
from pipeline.reporting.lead_names import lead_names

OWNER, MANAGER = "owner", "manager"
OPT_OUTS = ("no_call", "no_email", "no_contact")
_NO = ("", "0", "false", "f", "no", "n", "none", "nein", "não", "nao", "non", "off")
"""Words that say that somebody did not opt out; any other does."""
HOT, UNTOUCHED = "A", "never_touched"


@dataclass(frozen=True)
class Person:
    """Somebody who gets a mail."""

    owner_id: str
    name: str | None
    email: str | None
    manager_id: str | None


@dataclass
class Digests:
    """The mails of a morning.

    Parameters
    ----------
    people : dict of str to Person
    leads : dict of str to dict
        By id, what mails say of a lead.
    rows : list of Row
        One a mail; its content is ids.
    measures : dict of str to str
    without_address : list of str
        Owners with leads and no mail address.
    opted_out : int
        Open leads of people who asked not to be contacted.
    """

    people: dict[str, Person]
    leads: dict[str, dict[str, Any]]
    rows: list[Row] = field(default_factory=list)
    measures: dict[str, str] = field(default_factory=dict)
    without_address: list[str] = field(default_factory=list)
    opted_out: int = 0


def digests(company: LoadedCompany, scores: LastScores, params: Params, top: int) -> Digests:
    """Say who gets which leads.

    Parameters
    ----------
    company : LoadedCompany
    scores : LastScores
    params : Params
    top : int
        Leads in a salesperson's mail, at most.
    """
    found = Digests(_people(company), _leads(company, scores, params))
    hidden = opted_out(company)
    of_owner: dict[str, list[str]] = {}
    untouched: dict[str, list[str]] = {}
    for lead, facts in found.leads.items():  # in the order of the ranking
        owner_id = facts["owner_id"]
        if lead in hidden:
            found.opted_out += 1
        elif owner_id is not None:
            of_owner.setdefault(owner_id, []).append(lead)
            manager = found.people[owner_id].manager_id if owner_id in found.people else None
            if manager is not None and facts["grade"] == HOT and UNTOUCHED in facts["flags"]:
                untouched.setdefault(manager, []).append(lead)
    for role, lists in ((OWNER, of_owner), (MANAGER, untouched)):
        for person_id, leads in sorted(lists.items()):
            person = found.people.get(person_id)
            if person is None or person.email is None:
                found.without_address.append(person_id)
                continue
            _add(found, role, person_id, leads[:top])
    found.without_address = sorted(set(found.without_address))
    return found


def _add(found: Digests, role: str, person_id: str, leads: Sequence[str]) -> None:
    facts: dict[str, Any] = {}
    for lead in leads:
        for name, measure in (("figure", FIGURE), ("score", SCORE), ("reasons", REASONS), ("owner_id", EXACT)):
            key = f"{lead} {name}"
            found.measures[key] = measure
            facts[key] = fact_of(found.leads[lead][name], measure)
    content = {"role": role, "person": person_id, "leads": list(leads)}
    found.rows.append(Row(f"{role}:{person_id}", content, facts))


def opted_out(company: LoadedCompany) -> Collection[str]:
    """Name the leads of whose records any says that its person is not to be called, mailed or contacted."""
    staged = company.staged["leads"]
    columns = [name for name in OPT_OUTS if name in staged.present]
    if not columns:
        return frozenset()
    words = ", ".join("?" * len(_NO))
    asked = " OR ".join(f"lower(trim(coalesce({name}, ''))) NOT IN ({words})" for name in columns)
    rows = company.connection.execute(
        f"SELECT DISTINCT coalesce(canonical_id, lead_id) FROM {staged.relation} "
        f"LEFT JOIN identity USING (lead_id) WHERE {asked}",
        [*_NO] * len(columns),
    ).fetchall()
    return frozenset(lead for (lead,) in rows)


def _people(company: LoadedCompany) -> dict[str, Person]:
    """Give everybody in the table of owners, as the newest row says; who left the company gets no mail."""
    staged = company.staged.get("owners")
    if staged is None:
        return {}
    names = ("name", "email", "manager_id", "active")
    columns = [f"max_by({name}, coalesce({_newest(staged.present)}))" if name in staged.present else "NULL"
               for name in names]  # fmt: skip
    rows = company.connection.execute(
        f"SELECT owner_id, {', '.join(columns)} FROM {staged.relation} WHERE owner_id IS NOT NULL GROUP BY owner_id"
    ).fetchall()
    people = {}
    for owner_id, name, email, manager_id, active in rows:
        left = active is not None and active.strip().lower() in _NO
        people[owner_id] = Person(owner_id, name, None if left else _address(email), manager_id)
    return people


def _newest(present: Collection[str]) -> str:
    dated = "valid_from, " if "valid_from" in present else ""
    return f"{dated}TIMESTAMP '1900-01-01'"


def _address(text: str | None) -> str | None:
    """Give a mail address that is one, and nothing that could hold a second one or a header."""
    text = (text or "").strip()
    name, at, host = text.partition("@")
    is_one = (
        bool(name and at and "." in host) and not any(sign in text for sign in " \t\r\n,;:<>\"'()") and "@" not in host
    )
    return text if is_one else None


def _leads(company: LoadedCompany, scores: LastScores, params: Params) -> dict[str, dict[str, Any]]:
    """Collect what a mail says of each lead, in the order of the ranking."""
    primary = f"{params.primary_horizon_days}d"
    names = {row["lead_id"]: row for row in lead_names(company).to_pylist()}
    found = {}
    for row in _rows(scores):
        money, p_win = row.get(f"expected_revenue_{primary}"), row.get(f"p_win_{primary}")
        positive, negative = (json.loads(row.get(f"reasons_{sign}") or "[]") for sign in ("positive", "negative"))
        named = names.get(row["lead_id"], {})
        found[row["lead_id"]] = {
            "owner_id": row.get("owner_id"),
            "rank": row.get("rank"),
            "score": row.get("score"),
            "grade": row.get("grade"),
            "figure": p_win if money is None else money,
            "money": money,
            "p_win": p_win,
            "deal_value": row.get("deal_value"),
            "days": row.get("days_to_win_p50"),
            "for": [one["text"] for one in positive],
            "against": [one["text"] for one in negative],
            "reasons": [one["code"] for one in (*positive, *negative)],
            "flags": json.loads(row.get("data_quality_flags") or "[]"),
            "name": named.get("name"),
            "company_name": named.get("company_name"),
            "record_url": named.get("record_url"),
            "owner_name": named.get("owner_name"),
        }
    return found


def _rows(scores: LastScores) -> Iterator[Mapping[str, Any]]:
    for row in scores.table.sort_by("rank").to_pylist():
        yield {name: None if value != value else value for name, value in row.items()}
