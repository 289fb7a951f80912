"""The page of the plan: the total against the goal, where it comes from, what it takes, and who stands where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.common.formatting import count, money, money_short, percent
from pipeline.reporting.html import render_alone

Content = Mapping[str, Any]
PARTS = (
    ("closed", "Closed"),
    ("open", "Open leads"),
    ("to_come", "Leads yet to arrive"),
    ("existing", "Existing business"),
    ("total", "Total"),
)
ALL = "all"


def render_plan(content: Content) -> str:
    """Render the plan as one file.

    Parameters
    ----------
    content : mapping
        The content of ``plan.json``.
    """
    months = [row for row in content["needed"] if row["segment"] == ALL]
    sources = list(dict.fromkeys(row["segment"] for row in content["needed"] if row["segment"] != ALL))
    cells = {(row["month"], row["segment"]): row for row in content["needed"]}
    return render_alone(
        "plan.html",
        page=content,
        currency=content["currency"],
        sentences=sentences(content),
        parts=[(label, _ranged(content[name])) for name, label in PARTS],
        months=months,
        sources=sources,
        cells=cells,
        has_quota=any(line["quota"] is not None for line in content["owners"]),
    )


def _ranged(part: Any) -> Content:
    return part if isinstance(part, Mapping) else {"value": part, "low": None, "high": None}


def sentences(content: Content) -> list[str]:
    """Say what a head of sales would repeat."""
    return list(_sentences(content))


def _sentences(content: Content) -> Iterator[str]:
    currency, total, goal = content["currency"], content["total"], content["goal"]
    yield (
        f"By {content['until']} {money(total['value'], currency)} is expected "
        f"(80% range {money_short(total['low'], currency)} to {money_short(total['high'], currency)}), "
        f"{money(content['closed'], currency)} of it closed since {content['from']}."
    )
    if goal is not None:
        if content["probability"] is not None:
            yield f"The chance to reach {money(goal, currency)} is {percent(content['probability'])}."
        if content["gap"]:
            yield from _gap(content)
    if content["levers"] and content["levers"][0]["revenue"] > 0:
        best = content["levers"][0]
        then = "" if best["probability"] is None else f", and the chance {percent(best['probability'])}"
        yield f"What would help most: {best['name']}, worth {money(best['revenue'], currency)}{then}."
    behind = [line for line in content["owners"] if line["gap"] is not None and line["gap"] > 0]
    if behind:
        worst = behind[0]
        yield (
            f"{count(len(behind), 'owner is', 'owners are')} short of quota; the largest gap is "
            f"{worst['name']}'s: {money(worst['gap'], currency)}."
        )


def _gap(content: Content) -> Iterator[str]:
    currency = content["currency"]
    rows = [row for row in content["needed"] if row["segment"] == ALL]
    text = f"{money(content['gap'], currency)} is missing"
    if rows and rows[0]["count"] is not None:
        text += (
            f": {count(round(rows[0]['count'] + 0.5), 'more', 'more')} {rows[0]['stage']} leads a month would bring it"
        )
    yield text + "."
    late = next((row for row in rows if row["too_late"]), None)
    if late is not None:
        yield (
            f"From {late['month']} on it is too late for new ones: one brings {money(late['revenue_each'], currency)} "
            f"by then, {money(rows[0]['revenue_each'], currency)} if it comes in {rows[0]['month']}."
            if late is not rows[0]
            else f"It is too late for new ones: one brings {money(late['revenue_each'], currency)} by then."
        )


def terminal_table(content: Content) -> list[str]:
    """Give the parts and their sum, with their ranges."""
    currency = content["currency"]
    lines = [f"{content['from']} to {content['until']}, in {currency}"]
    for name, label in PARTS:
        part = _ranged(content[name])
        ranged = (
            ""
            if part["low"] is None
            else f"{money_short(part['low'], currency):>12} to {money_short(part['high'], currency)}"
        )
        lines.append(f"  {label:<24}{money(part['value'], currency):>16}{ranged}")
    return lines
