"""The stages of the funnel as params write them: rules, each of which says since when it has been true of a lead.

A rule has one key: ``created``, ``event``, ``field``, ``date``, ``deal``, ``score``, or ``any`` or ``all`` over a list
of rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

FORMS = (
    "a rule is one of {created: true}, {event: {kind: [words], count: 5, within_days: 30}}, "
    "{field: {column: status, value: [words]}}, {date: column}, {deal: opened}, {deal: won}, {deal: {stage: [words]}}, "
    "{score: {grade: [A, B]}}, {any: [rules]}, {all: [rules]}"
)
EVENT_KEYS = ("kind", "direction", "count", "within_days", "after")
GRADES = ("A", "B", "C", "D")
DIRECTIONS = ("inbound", "outbound")


@dataclass(frozen=True)
class Created:
    """True since the lead was created."""


@dataclass(frozen=True)
class Event:
    """True since so many events of some kinds had happened within so many days.

    Parameters
    ----------
    kinds : tuple of str
        Empty: of any kind.
    direction : str, optional
        ``inbound`` or ``outbound``; None: either.
    count : int
    within_days : int, optional
        None: ever.
    after : str, optional
        An earlier stage: only events after it was reached count.
    """

    kinds: tuple[str, ...] = ()
    direction: str | None = None
    count: int = 1
    within_days: int | None = None
    after: str | None = None


@dataclass(frozen=True)
class Field:
    """True since a column of leads first held one of the values, in the source's own words."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Date:
    """True since the date that a column of leads holds."""

    column: str


@dataclass(frozen=True)
class Deal:
    """True since a deal of the lead was opened, was won, or stood in one of some stages."""

    what: Literal["opened", "won", "stage"]
    stages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """True since a forecast of the archive gave the lead one of the grades."""

    grades: tuple[str, ...]


@dataclass(frozen=True)
class Combined:
    """True since any, or all, of some rules have been true."""

    how: Literal["any", "all"]
    rules: tuple[Rule, ...]


Rule = Created | Event | Field | Date | Deal | Score | Combined


def stage_rule(value: Any, where: str = "") -> Rule:
    """Read a rule.

    Raises
    ------
    ValueError
        It is none; the message begins with the dotted key inside the rule.
    """
    if not isinstance(value, dict) or len(value) != 1:
        raise _wrong(where, f"found {value!r}; {FORMS}")
    key, content = next(iter(value.items()))
    here = f"{where}.{key}" if where else str(key)
    if key == "created":
        if content is not True and str(content).lower() != "true":
            raise _wrong(here, f"found {content!r}; allowed: true")
        return Created()
    if key in ("any", "all"):
        if not isinstance(content, list) or not content:
            raise _wrong(here, f"found {content!r}; needs a list of rules")
        return Combined(key, tuple(stage_rule(part, f"{here}.{place}") for place, part in enumerate(content)))
    if key == "event":
        return _event(content, here)
    if key == "field":
        _keys(content, here, ("column", "value"), needed=("column", "value"))
        return Field(str(content["column"]), _words(content["value"], f"{here}.value"))
    if key == "date":
        if not isinstance(content, str) or not content:
            raise _wrong(here, f"found {content!r}; needs the name of a column of leads")
        return Date(content)
    if key == "deal":
        if content in ("opened", "won"):
            return Deal(content)
        if isinstance(content, dict) and set(content) == {"stage"}:
            return Deal("stage", _words(content["stage"], f"{here}.stage"))
        raise _wrong(here, f"found {content!r}; allowed: opened, won, {{stage: [words]}}")
    if key == "score":
        _keys(content, here, ("grade",), needed=("grade",))
        grades = tuple(grade.upper() for grade in _words(content["grade"], f"{here}.grade"))
        if unknown := [grade for grade in grades if grade not in GRADES]:
            raise _wrong(f"{here}.grade", f"found {unknown[0]!r}; allowed: {', '.join(GRADES)}")
        return Score(grades)
    raise _wrong(here, f"unknown rule; {FORMS}")


def stage_rules(value: Any) -> dict[str, Rule]:
    """Read all stages, in their order.

    Raises
    ------
    ValueError
        A rule is none, or counts events after a stage that does not stand before it.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"found {value!r}; needs {{name of a stage: rule}}")
    found: dict[str, Rule] = {}
    for name, content in value.items():
        found[str(name)] = rule = stage_rule(content, str(name))
        for part in parts_of(rule):
            if isinstance(part, Event) and part.after is not None and part.after not in list(found)[:-1]:
                raise _wrong(f"{name}.event.after", f"found {part.after!r}; needs a stage that stands before {name}")
    return found


def parts_of(rule: Rule) -> list[Rule]:
    """List the rules that a rule is made of, itself if of none other."""
    if isinstance(rule, Combined):
        return [part for inner in rule.rules for part in parts_of(inner)]
    return [rule]


def _event(content: Any, where: str) -> Event:
    _keys(content, where, EVENT_KEYS)
    numbers = {}
    for name in ("count", "within_days"):
        number = content.get(name)
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            raise _wrong(f"{where}.{name}", f"found {number!r}; needs a whole number from 1")
        numbers[name] = number
    direction = content.get("direction")
    if direction is not None and direction not in DIRECTIONS:
        raise _wrong(f"{where}.direction", f"found {direction!r}; allowed: {', '.join(DIRECTIONS)}")
    kinds = _words(content["kind"], f"{where}.kind") if content.get("kind") is not None else ()
    if not kinds and direction is None:
        raise _wrong(where, "says neither kind nor direction")
    after = content.get("after")
    return Event(kinds, direction, numbers["count"] or 1, numbers["within_days"], None if after is None else str(after))


def _keys(content: Any, where: str, allowed: tuple[str, ...], needed: tuple[str, ...] = ()) -> None:
    if not isinstance(content, dict):
        raise _wrong(where, f"found {content!r}; needs the keys {', '.join(needed or allowed)}")
    for name in content:
        if name not in allowed:
            raise _wrong(f"{where}.{name}", f"unknown key; allowed: {', '.join(allowed)}")
    for name in needed:
        if content.get(name) is None:
            raise _wrong(f"{where}.{name}", "is missing")


def _words(value: Any, where: str) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(word, str | int | float) and str(word).strip() for word in listed):
        raise _wrong(where, f"found {value!r}; needs a word, or a list of words")
    return tuple(str(word) for word in listed)


def _wrong(where: str, message: str) -> ValueError:
    return ValueError(f"{where}: {message}" if where else message)
