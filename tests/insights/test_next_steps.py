"""What to do next: each rule is reached, a request comes first, an opt-out holds, an outage is no silence."""

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from company_files import load_company

from features.spec import FeatureSpec
from pipeline.common.degradation import Degradation
from pipeline.insights.lead_situation import lead_situation
from pipeline.insights.next_step_rules import CALL_NOW, KEEP_WORKING, NO_CONTACT, NURTURE, RULES, STEPS, WAIT
from pipeline.insights.next_steps import next_steps, step_facts

AS_OF = datetime(2024, 6, 1)
SOON, LATER = {"soon": 0.9}, {"soon": 0.1}


def ago(days: float) -> str:
    return (AS_OF - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S")


# lead: grade, what happened (days ago, kind, direction), more of the lead
STORIES = {
    "opted_out_asked": ("A", [(5, "demo_request", "inbound")], {"no_contact": "yes"}),
    "opted_out": ("A", [], {"no_contact": "2024-02-01"}),
    "answer_request": ("D", [(9, "call", "outbound"), (5, "demo_request", "inbound"), (3, "demo_request", "inbound")]),
    "answer_late": ("B", [(50, "email_reply", "inbound")], {"age": 200}),
    "reopen_request": ("C", [(190, "Kontaktanfrage", "inbound")], {"age": 200}),
    "meeting_planned": ("A", [(20, "call", "outbound"), (-6, "meeting", "outbound")]),
    "strong_signal": ("A", [(9, "call", "outbound"), (2, "pricing_visit", "inbound")]),
    "attempt_failed": ("A", [(2, "call_attempt", "outbound")]),
    "just_touched": ("A", [(2, "call", "outbound")]),
    "signal": ("A", [(9, "call", "outbound"), (3, "page_visit", "inbound")]),
    "first_call": ("C", [], {"age": 3}),
    "proposal_out": ("B", [(12, "proposal_sent", "outbound")]),
    "deal_overdue": ("B", [(12, "call", "outbound")], {"deal": 30, "close": -4}),
    "deal_stale": ("D", [(100, "call", "outbound")], {"deal": 120, "age": 200}),
    "deal_quiet": ("A", [(100, "call", "outbound")], {"deal": 120, "age": 200}),
    "deal_left_alone": ("B", [(20, "call", "outbound")], {"deal": 30}),
    "deal_going": ("B", [(6, "call", "outbound")], {"deal": 30}),
    "deal_untouched": ("D", [], {"deal": 30}),
    "not_ready": ("B", [(40, "download", "inbound"), (30, "call", "outbound")], LATER),
    "more_touches": ("B", [(10, "call", "outbound")], SOON),
    "enough_touches": ("B", [(day, "call", "outbound") for day in (10, 11, 12, 13)], SOON),
    "keep_warm": ("D", [(40, "download", "inbound")]),
    "nothing_now": ("D", []),
}
UNHEARD = {
    "check_request": ("D", [(5, "demo_request", "inbound")], {}),
    "new_lead": ("B", [], {"age": 3}),
    "worth_it": ("A", [], {}),
}


def company(folder, stories, **more):
    leads, events, deals = [], [], []
    for lead, (_, happened, *rest) in stories.items():
        facts = {"age": 60, "deal": None} | (rest[0] if rest else {})
        email = facts.get("email", f"{lead}@x.example")
        leads.append({"lead_id": lead, "created_at": ago(facts["age"]), "email": email,
                      **{mark: facts.get(mark, "no") for mark in ("no_call", "no_email", "no_contact")}})  # fmt: skip
        for day, kind, direction in happened:
            recorded = ago(1 if kind == "meeting" else day)  # a meeting is in the diary
            events.append({"lead_id": lead, "occurred_at": ago(day), "kind": kind, "direction": direction,
                           "recorded_at": recorded, "topic": "security"})  # fmt: skip
        if facts["deal"]:
            close, opened = facts.get("close", 30), ago(facts["deal"])
            deals.append({"deal_id": f"D-{lead}", "lead_id": lead, "outcome": "open", "opened_at": opened,
                          "closed_at": "", "expected_close_at": ago(-close), "recorded_at": opened})  # fmt: skip
    leads.append({**leads[0], "lead_id": "past", "created_at": ago(400), "no_contact": "no", "email": "past@x.example"})
    deals.append({"deal_id": "W", "lead_id": "past", "outcome": "won", "opened_at": ago(390), "closed_at": ago(300),
                  "expected_close_at": "", "recorded_at": ago(300)})  # fmt: skip
    params = {"known_until": AS_OF.isoformat()}
    return load_company(folder, leads=leads, deals=deals, events=events or None, data=params, **more)


def steps_of(loaded, stories, degraded=(), needed=4.0):
    """Say what to do next, with grades as the stories have them, and touches that it takes as told."""
    ids = pd.Series(list(stories))
    spec = FeatureSpec.from_tables(loaded.tables, AS_OF)
    situation = lead_situation(loaded, spec, AS_OF, ids, degraded)
    soon = [(rest[0] if rest else {}).get("soon", 0.9) for _, _, *rest in stories.values()]
    scores = pd.DataFrame({"grade": [story[0] for story in stories.values()], "p_win_90d": 0.2,
                           "p_win_ever": [0.2 / share for share in soon], "days_to_win_p50": 200.0})  # fmt: skip
    topics = pd.Series(
        '[{"topic": "security"}]',
        index=[lead for lead, story in stories.items() if any(day > 0 for day, *_ in story[1])],
    )
    facts = step_facts(situation, scores, topics, None, AS_OF, "UTC", 90).assign(touches_needed=needed)
    return next_steps(facts, AS_OF, "UTC", loaded.tables.has("events"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return company(tmp_path_factory.mktemp("steps"), STORIES)


@pytest.fixture(scope="module")
def steps(loaded):
    return steps_of(loaded, STORIES)


def test_each_rule_is_reached_by_what_happened(steps, tmp_path):
    assert steps["rule"].to_dict() == {lead: lead for lead in STORIES}
    outage = [Degradation("events", "half of the rows are gone")]
    unheard = steps_of(company(tmp_path, UNHEARD), UNHEARD, outage)
    assert unheard["rule"].to_dict() == {lead: lead for lead in UNHEARD}
    assert {rule.code for rule in RULES} == {*STORIES, *UNHEARD}
    assert set(steps["next_step"]) == set(STEPS)


def test_a_sentence_says_when_and_what(steps):
    text = steps["next_step_text"]
    assert text["answer_request"] == (
        "Asked for a demo on 29 May (twice since 27 May); our last touch (call) was on 23 May: call back today"
    )
    assert text["reopen_request"].startswith("Kontaktanfrage on 24 Nov 2023 and got no answer")
    assert text["meeting_planned"].startswith("Meeting on 7 Jun")
    assert not text.str.contains(r"nan|NaT|None|\{|_", regex=True).any()
    assert text.str.len().max() < 200


@pytest.mark.parametrize("lead", STORIES)
def test_an_unanswered_request_is_the_first_thing_said_whatever_else_holds(loaded, lead, tmp_path):
    grade, happened, *rest = STORIES[lead]
    asked = {lead: (grade, [*happened, (0.5, "quote request", "inbound")], *rest)}
    step = steps_of(company(tmp_path, asked), asked).iloc[0]
    assert step["next_step_text"].startswith(("Quote request on 31 May", "Asked for a demo"))
    assert step["next_step"] == (NO_CONTACT if lead.startswith("opted_out") else CALL_NOW)


def test_an_opt_out_is_never_a_call_and_holds_for_every_lead_of_the_person(tmp_path):
    stories = {name: (grade, happened, {**(rest[0] if rest else {}), "no_call": "1"})
               for name, (grade, happened, *rest) in STORIES.items()}  # fmt: skip
    steps = steps_of(company(tmp_path / "call", stories), stories)
    assert CALL_NOW not in set(steps["next_step"])
    assert not steps["next_step_text"].str.contains(r"\bcall (?:and|back|again|while)|first call", regex=True).any()
    assert steps.loc["answer_request", "next_step"] == KEEP_WORKING
    asked = [(5, "demo_request", "inbound")]
    twice = {"one": ("A", asked, {"no_contact": "x", "email": "Me@x.example"}),
             "two": ("A", asked, {"email": "me@X.example "}), "else": ("A", asked)}  # fmt: skip
    found = steps_of(company(tmp_path / "twice", twice), twice)["next_step"]
    assert found.to_dict() == {"one": NO_CONTACT, "two": NO_CONTACT, "else": CALL_NOW}


def test_who_opted_out_of_calls_and_mails_is_not_contacted(tmp_path):
    asked = [(5, "demo_request", "inbound")]
    stories = {"both": ("A", [], {"no_call": "yes", "no_email": "true"}), "mail": ("A", asked, {"no_email": "yes"})}
    steps = steps_of(company(tmp_path, stories), stories)["next_step"]
    assert steps.to_dict() == {"both": NO_CONTACT, "mail": CALL_NOW}


def test_an_outage_claims_no_silence(loaded):
    for source in (Degradation("events", "stale"), Degradation("events", "no directions", ("direction",))):
        text = steps_of(loaded, STORIES, [source])["next_step_text"]
        assert not text.str.contains(
            "nobody has been|our last touch \\(|no touch of ours|nothing heard|got no answer"
        ).any()
    assert text["answer_request"].endswith("look, then call")


def test_what_is_learnt_later_changes_nothing(steps, tmp_path):
    later = {lead: (grade, [*happened, (-2, "call", "outbound"), (-1, "demo_request", "inbound")], *rest)
             for lead, (grade, happened, *rest) in STORIES.items()}  # fmt: skip
    pd.testing.assert_frame_equal(steps_of(company(tmp_path, later), later), steps)


def test_a_company_without_events_deals_owners_still_gets_a_step(tmp_path):
    stories = {"worth": ("A", []), "young": ("B", [], {"age": 2}), "rest": ("D", [])}
    loaded = company(tmp_path, stories)
    assert not loaded.tables.has("events")
    found = steps_of(loaded, stories, needed=float("nan"))["next_step"]
    assert found.to_dict() == {"worth": KEEP_WORKING, "young": CALL_NOW, "rest": WAIT}
    assert NURTURE in STEPS


def test_the_documentation_shows_the_table_as_it_is():
    page = (Path(__file__).parents[2] / "docs" / "next_steps.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if line.startswith("| `")]
    assert shown == [f"| `{rule.code}` | `{rule.step}` | {rule.sentence} | {rule.reason} |" for rule in RULES]
