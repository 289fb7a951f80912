"""The texts that the sentences of the rules are made of, for one lead's facts."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pandas as pd

from features import wording
from pipeline.common import formatting
from pipeline.insights import event_roles
from pipeline.insights.next_step_rules import Rule

ANSWER_DAYS = 7
"""How long after a touch of ours the next one is due."""
ACTIVE_DAYS = 14
"""What the lead did is news for so long."""


class Texts(dict[str, str]):
    """The texts of one lead, each made when a sentence asks for it.

    Parameters
    ----------
    fact : named tuple
        A row of `pipeline.insights.next_steps.step_facts`.
    today : date
        The company's day of the scores.
    """

    def __init__(self, fact: Any, today: date):
        super().__init__()
        self.fact, self.today = fact, today

    def __missing__(self, name: str) -> str:
        return str(getattr(self, f"_{name}")())

    def day(self, value: Any) -> str:
        """Write a day: with its year where that is another one than today's."""
        return formatting.day_near(value, self.today)

    def _call(self) -> str:
        return "write (no calls)" if self.fact.no_call else "call"

    def _contact(self) -> str:
        return "contact in writing (no calls)" if self.fact.no_call else "call"

    def _created(self) -> str:
        return self.day(self.fact.created_at)

    def _asked(self) -> str:
        if not self.fact.request_count:
            return self._done("reply")
        text = self._done("request")
        if self.fact.reply_count and self.fact.reply_at > self.fact.request_at:
            replied = event_roles.said(self.fact.reply_kind)
            text += f", {replied[:1].lower()}{replied[1:]} on {self.day(self.fact.reply_at)}"
        return text

    def _active(self) -> str:
        is_news = self.fact.ask_days > self.fact.theirs_days + 1 and self.fact.theirs_days <= ACTIVE_DAYS
        return f" (active again on {self.day(self.fact.theirs_at)})" if is_news else ""

    def _interested(self) -> str:
        has_strong = self.fact.strong_count and not self.fact.strong_days > self.fact.interest_days + ANSWER_DAYS
        return self._done("strong" if has_strong else "interest")

    def _done(self, role: str) -> str:
        at, first, count, kind = (getattr(self.fact, f"{role}_{name}") for name in ("at", "first_at", "count", "kind"))
        text = f"{event_roles.said(kind)} on {self.day(at)}"
        if count > 1 and first != at:
            text += f" ({wording.times(count)} since {self.day(first)})"
        return text

    def _our_last(self) -> str:
        if not self.fact.is_heard:
            return f"our last touch is not known{self._today()}"
        if pd.isna(self.fact.ours_at):
            return "no touch of ours is on record"
        noun = event_roles.touch_noun(self.fact.ours_kind).removesuffix(" from us")
        return f"our last touch ({noun}) was on {self.day(self.fact.ours_at)}"

    def _ours(self) -> str:
        noun = event_roles.touch_noun(self.fact.ours_kind)
        return f"{noun[:1].upper()}{noun[1:]} on {self.day(self.fact.ours_at)}"

    def _no_touch(self) -> str:
        return "no touch of ours on record" if self.fact.is_heard else self._our_last()

    def _answer_by(self) -> str:
        return self.day(self.fact.ours_at + timedelta(days=ANSWER_DAYS))

    def _planned(self) -> str:
        return f"Meeting on {self.day(self.fact.planned_at)}"

    def _deal(self) -> str:
        since = "" if pd.isna(self.fact.deal_opened_at) else f" since {self.day(self.fact.deal_opened_at)}"
        stage = f" ({self.fact.deal_stage})" if isinstance(self.fact.deal_stage, str) else ""
        return f"Deal open{since}{stage}"

    def _close(self) -> str:
        return self.day(self.fact.deal_close_at)

    def _quiet(self) -> str:
        return formatting.days(self.fact.quiet_days)

    def _topic(self) -> str:
        return str(self.fact.topic)

    def _half_by(self) -> str:
        return self.day(self.today + timedelta(days=round(self.fact.half_days)))

    def _touches(self) -> str:
        return formatting.count(self.fact.ours_count, "touch", "touches")

    def _today(self) -> str:
        return " today (the source of events is incomplete)" if self.fact.has_events else ""

    def _today_record(self) -> str:
        return f"; contacts are not on record{self._today()}"

    def _interest_upper(self) -> str:
        if isinstance(self.fact.topic, str):
            return f"Interested in {self.fact.topic}"
        return f"Last heard of on {self.day(self.fact.theirs_at)}"

    def _on_record(self) -> str:
        return "" if self.fact.is_heard else " on record"


def sentence(rule: Rule, fact: Any, today: date) -> str:
    """Write a rule's sentence for a lead."""
    return rule.sentence.format_map(Texts(fact, today))
