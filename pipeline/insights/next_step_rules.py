"""The rules behind ``next_step``: one table, read from above; the first rule that holds says what to do.

Each rule is a predicate over the facts of a lead (`pipeline.insights.next_steps.step_facts`), a step, a sentence, and
why it is there. An unanswered request comes before everything else. Where calls are opted out, ``call_now`` becomes
``keep_working`` and the sentence says to write; nobody who opted out of everything is contacted at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

CALL_NOW, KEEP_WORKING, NURTURE, WAIT, NO_CONTACT = "call_now", "keep_working", "nurture", "wait", "no_contact"
STEPS = (CALL_NOW, KEEP_WORKING, NURTURE, WAIT, NO_CONTACT)

FRESH_REQUEST_DAYS = 30
"""An unanswered request is fresh for so long: whoever asked is called back at once."""
LATE_REQUEST_DAYS = 90
"""Up to here a lead of worth is called at once for it; later the question may be gone."""
SIGNAL_DAYS = 7
"""Interest is fresh for so long."""
NEW_DAYS = 14
"""A lead is new for so long."""
PAUSE_DAYS = 4
"""After a touch of ours the lead has so long to answer."""
DEAL_PAUSE_DAYS = 14
"""An open deal is not left alone for longer."""
STALE_DAYS = 60
"""A deal that both sides left alone for so long is stale."""
READY_SHARE = 0.5
"""A lead of which less than this of its win probability falls within the primary horizon is not ready."""
WORTH, LOW = ("A", "B"), "D"
"""Grades worth a salesperson's time, and the one that is not."""

Facts = pd.DataFrame
Mask = pd.Series


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Parameters
    ----------
    code : str
    step : str
        One of `STEPS`.
    holds : callable
        Of the facts of all leads: for which of them the rule holds.
    sentence : str
        What sales reads, with the texts of `pipeline.insights.step_sentences` in braces.
    reason : str
        Why the rule is there.
    """

    code: str
    step: str
    holds: Callable[[Facts], Mask]
    sentence: str
    reason: str


def _asked(f: Facts) -> Mask:
    return f["is_heard"] & f["ask_days"].notna()


def _may_have_asked(f: Facts) -> Mask:
    return ~f["is_heard"] & (f["request_days"] <= FRESH_REQUEST_DAYS)


def _worth(f: Facts) -> Mask:
    return f["grade"].isin(WORTH)


def _signal(f: Facts) -> Mask:
    return f["is_heard"] & ((f["strong_days"] <= SIGNAL_DAYS) | (f["interest_days"] <= SIGNAL_DAYS))


def _untouched(f: Facts) -> Mask:
    return f["is_heard"] & (f["ours_count"] == 0)


def _new(f: Facts) -> Mask:
    return (f["age_days"] <= NEW_DAYS) & (f["entry"] != "contact") & (f["grade"] != LOW)


def _not_ready(f: Facts) -> Mask:
    return (f["soon_share"] < READY_SHARE) & (f["grade"] != LOW)


def _deal(f: Facts) -> Mask:
    return f["has_deal"]


def _stale(f: Facts) -> Mask:
    return f["is_heard"] & (f["quiet_days"] >= STALE_DAYS)


RULES: tuple[Rule, ...] = (
    Rule(
        "opted_out_asked", NO_CONTACT, lambda f: f["no_contact"] & _asked(f),
        "{asked}, but is marked as not to be contacted: check the consent before anybody answers",
        "A request comes first; but a mark not to be contacted holds until somebody has checked it.",
    ),
    Rule(
        "opted_out", NO_CONTACT, lambda f: f["no_contact"],
        "Opted out of being contacted: leave the next move to the lead",
        "Nobody who opted out is called or written to; the forecast stands, as the lead may come by itself.",
    ),
    Rule(
        "answer_request", CALL_NOW, lambda f: _asked(f) & (f["ask_days"] <= FRESH_REQUEST_DAYS),
        "{asked}; {our_last}: {call} back today",
        "A request or a reply later than our last touch waits for an answer: nothing else is worth more.",
    ),
    Rule(
        "answer_late", CALL_NOW, lambda f: _asked(f) & _worth(f) & ((f["ask_days"] <= LATE_REQUEST_DAYS) | _signal(f)),
        "{asked} and is still waiting{active}; {our_last}: {call}, late as it is",
        "A lead of worth that asked a while ago, or is active again, may still be had.",
    ),
    Rule(
        "reopen_request", KEEP_WORKING, _asked,
        "{asked} and got no answer{active}; {our_last}: {call} and ask where it stands",
        "An old request is answered as well, but not before everything else.",
    ),
    Rule(
        "check_request", CALL_NOW, _may_have_asked,
        "{asked}; whether that was answered is not on record{today}: look, then {call}",
        "Where touches are not on record, or their source cannot be relied on tonight, silence is not claimed.",
    ),
    Rule(
        "meeting_planned", WAIT, lambda f: f["planned_at"].notna(),
        "{planned}: prepare for it",
        "A date is agreed: another call before it is one too many.",
    ),
    Rule(
        "strong_signal", CALL_NOW, lambda f: _worth(f) & f["is_heard"] & (f["strong_days"] <= SIGNAL_DAYS),
        "{interested}; {our_last}: {call} while it is fresh",
        "Prices, forms, trials and webinars since our last touch, by a lead of worth, are a reason to call.",
    ),
    Rule(
        "attempt_failed", KEEP_WORKING, lambda f: f["is_heard"] & f["is_attempt"] & (f["ours_days"] <= PAUSE_DAYS),
        "{ours} and nothing heard since: {call} again, at another time of day",
        "An attempt that reached nobody is repeated, not waited on.",
    ),
    Rule(
        "just_touched", WAIT, lambda f: f["is_heard"] & (f["ours_days"] <= PAUSE_DAYS),
        "{ours}: give it until {answer_by}, then {call} again",
        "Who was touched just now needs time to answer.",
    ),
    Rule(
        "signal", CALL_NOW, lambda f: _worth(f) & _signal(f),
        "{interested}; {our_last}: {call} while it is fresh",
        "A lead of worth that looks at us again since our last touch is called.",
    ),
    Rule(
        "first_call", CALL_NOW, lambda f: _untouched(f) & (_worth(f) | _new(f)),
        "Came in on {created} and nobody has been in touch: make the first {contact}",
        "Speed to lead: the first touch is owed to every new lead, and to each one of worth.",
    ),
    Rule(
        "proposal_out", KEEP_WORKING, lambda f: f["is_heard"] & f["is_proposal"] & (f["ours_days"] < STALE_DAYS),
        "{ours} and nothing heard since: {call} and ask for a decision",
        "An offer on the table is followed up until there is a yes or a no.",
    ),
    Rule(
        "deal_overdue", KEEP_WORKING, lambda f: _deal(f) & (f["close_in_days"] < 0) & ~_stale(f),
        "{deal} was to close on {close}; {our_last}: agree on a new date and what is missing",
        "A planned closing that has passed is agreed anew, or the deal is not one.",
    ),
    Rule(
        "deal_stale", WAIT, lambda f: _deal(f) & _stale(f) & ~_worth(f),
        "{deal}, nothing on record for {quiet}: ask once for a decision, else close it",
        "A deal that both sides left alone, and of which little is expected, is closed rather than worked.",
    ),
    Rule(
        "deal_quiet", KEEP_WORKING, lambda f: _deal(f) & _stale(f),
        "{deal}, nothing on record for {quiet}: {call} and ask for a decision",
        "A deal of worth that went quiet gets one more call before it is closed.",
    ),
    Rule(
        "deal_left_alone", KEEP_WORKING,
        lambda f: _deal(f) & f["is_heard"] & ~(f["ours_days"] <= DEAL_PAUSE_DAYS) & ~_untouched(f),
        "{deal}; {our_last}: {call} and agree on the next step",
        "An open deal is not left alone for more than two weeks.",
    ),
    Rule(
        "deal_going", KEEP_WORKING, lambda f: _deal(f) & f["is_heard"] & ~_untouched(f),
        "{deal}; {our_last}: follow up and agree on the next step",
        "An open deal has a next step that both sides know.",
    ),
    Rule(
        "deal_untouched", KEEP_WORKING, lambda f: _deal(f) & (_untouched(f) | ~f["is_heard"]),
        "{deal}, {no_touch}: {call} and agree on the next step",
        "A deal without any touch of ours on record wants its first.",
    ),
    Rule(
        "not_ready", NURTURE, lambda f: _not_ready(f) & f["topic"].notna() & f["is_heard"],
        "Interested in {topic} but not ready: half of its chance comes after {half_by}",
        "Interest with a late median day to win is kept warm with content, and not called every week.",
    ),
    Rule(
        "more_touches", KEEP_WORKING,
        lambda f: f["is_heard"] & (f["grade"] != LOW) & (f["ours_count"] < f["touches_needed"]) & ~_untouched(f),
        "{touches} so far, fewer than it usually takes; {our_last}: {call} again",
        "Leads are given up too early: below the touches it takes, and worth it, the next one is made.",
    ),
    Rule(
        "enough_touches", NURTURE, lambda f: f["is_heard"] & _worth(f) & ~_untouched(f),
        "{touches} so far, as many as it usually takes; {our_last}: change the approach, or keep it warm",
        "Past the touches it takes, one more of the same adds little.",
    ),
    Rule(
        "new_lead", CALL_NOW, lambda f: ~f["is_heard"] & _new(f),
        "Came in on {created}: {call} today if nobody has{today_record}",
        "Without a record of touches a new lead is called all the same.",
    ),
    Rule(
        "worth_it", KEEP_WORKING, lambda f: ~f["is_heard"] & _worth(f),
        "Among the leads most worth working on: {call} if nobody has of late{today_record}",
        "Without a record of touches the forecast alone says whom to work on.",
    ),
    Rule(
        "keep_warm", NURTURE, lambda f: f["topic"].notna() | (f["theirs_count"] > 0),
        "{interest_upper}, with little expected so far: keep it warm with content, no calls",
        "Little is expected, but the lead does look: content costs less than a call.",
    ),
    Rule(
        "nothing_now", WAIT, lambda f: pd.Series(True, index=f.index),
        "Little expected and no sign of interest{on_record}: no effort until it stirs",
        "Time is spent where more is expected; the lead stays on the list.",
    ),
)  # fmt: skip


def first_rule(facts: Facts) -> pd.Series:
    """Find each lead's rule: its place in `RULES`."""
    place = pd.Series(len(RULES) - 1, index=facts.index, dtype="int64")
    for number in reversed(range(len(RULES))):
        place[RULES[number].holds(facts).fillna(False).to_numpy(bool)] = number
    return place


def step_of(rule: Rule, fact: Any) -> str:
    """Give the step for a lead to which a rule applies: no call where calls are opted out."""
    return KEEP_WORKING if rule.step == CALL_NOW and fact.no_call else rule.step
