"""Stages as params write them: every form is read, every mistake is one line that names its key."""

from __future__ import annotations

import pytest
from company_files import small_params

from pipeline.common.errors import UserError
from pipeline.config.stage_rules import Combined, Created, Date, Deal, Event, Field, Score, stage_rule, stage_rules


def test_every_form_is_read():
    assert stage_rule({"created": True}) == Created()
    assert stage_rule({"event": {"kind": "demo", "count": 3, "within_days": 7}}) == Event(("demo",), None, 3, 7)
    assert stage_rule({"field": {"column": "status", "value": ["a", 1]}}) == Field("status", ("a", "1"))
    assert stage_rule({"date": "became_mql_at"}) == Date("became_mql_at")
    assert stage_rule({"deal": "opened"}) == Deal("opened")
    assert stage_rule({"deal": {"stage": ["Proposal"]}}) == Deal("stage", ("Proposal",))
    assert stage_rule({"score": {"grade": "a"}}) == Score(("A",))
    nested = stage_rule({"any": [{"created": True}, {"all": [{"deal": "won"}, {"date": "x"}]}]})
    assert nested == Combined("any", (Created(), Combined("all", (Deal("won"), Date("x")))))
    assert list(stage_rules({"b": {"created": True}, "a": {"deal": "won"}})) == ["b", "a"]


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ({"one": "created"}, "stages.one: found 'created'; a rule is one of"),
        ({"one": {"evnt": {"kind": "x"}}}, "stages.one.evnt: unknown rule"),
        ({"one": {"any": [{"event": {"kind": "x", "cuont": 2}}]}}, "stages.one.any.0.event.cuont: unknown key"),
        ({"one": {"event": {"kind": "x", "count": 0}}}, "stages.one.event.count: found 0; needs a whole number from 1"),
        ({"one": {"event": {"count": 2}}}, "stages.one.event: says neither kind nor direction"),
        ({"one": {"deal": "lost"}}, "stages.one.deal: found 'lost'; allowed: opened, won"),
        ({"one": {"score": {"grade": "E"}}}, "stages.one.score.grade: found 'E'; allowed: A, B, C, D"),
        ({"one": {"event": {"kind": "x", "after": "two"}}, "two": {"created": True}}, "stages.one.event.after"),
        ({"one": {"all": []}}, "stages.one.all: found []; needs a list of rules"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, stages, said):
    with pytest.raises(UserError) as error:
        small_params(tmp_path, stages=stages)
    assert said in str(error.value)
    assert "line" in str(error.value)
