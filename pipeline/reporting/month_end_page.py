"""The page of a month that is over: forecast, what came, the bridge between them, and how right past months were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from pipeline.common.formatting import UNKNOWN, count, money, percent
from pipeline.reporting.html import render_alone

Content = Mapping[str, Any]
LABELS = {"owner": "Owner", "team": "Team", "source": "Source"}
PLANNED = {"arrivals": "Plan: leads yet to arrive", "existing_business": "Plan: existing business"}
SHOWN = 30


def month_name(month: str) -> str:
    """Write a month in words.

    Examples
    --------
    >>> month_name("2026-07")
    'July 2026'
    """
    return f"{date.fromisoformat(f'{month}-01'):%B %Y}"


def render_month_end(content: Content) -> str:
    """Render a month as one file.

    Parameters
    ----------
    content : mapping
        The content of ``month-end.json``.
    """
    return render_alone(
        "month_end.html",
        page=content,
        currency=content["currency"],
        name=month_name(content["month"]),
        sentences=sentences(content),
        labels=LABELS,
        planned=[(PLANNED[name], amount) for name, amount in content["planned"].items()],
        shown=SHOWN,
        month_name=month_name,
        most=max([1e-9, *(abs(row["amount"]) for row in content["bridge"])]),
    )


def sentences(content: Content) -> list[str]:
    """Say what a board would ask about the month."""
    return list(_sentences(content))


def _sentences(content: Content) -> Iterator[str]:
    currency, forecast, actual = content["currency"], content["forecast"], content["actual"]
    name = month_name(content["month"])
    came = f"{money(actual['amount'], currency)} ({count(actual['deals'], 'deal', 'deals')})"
    if forecast is None:
        yield f"{name} brought {came}. Nothing was forecast of it that the archive knows."
    else:
        within = "" if forecast["low"] is None else (
            f" (80% range {money(forecast['low'], currency)} to {money(forecast['high'], currency)})"
        )  # fmt: skip
        yield (
            f"{name} brought {came}; of the leads open on its first day, {money(forecast['amount'], currency)} was "
            f"forecast{within}."
        )
        steps = sorted(content["bridge"], key=lambda row: -abs(row["amount"]))
        told = [f"{row['name'][0].lower()}{row['name'][1:]} ({money(row['amount'], currency, signed=True)})"
                for row in steps[:2] if row["amount"]]  # fmt: skip
        if told:
            yield f"What made the difference most: {'; '.join(told)}."
    reps = content["reps"]
    if reps and reps["forecast"] is not None:
        yield (
            f"The reps' own forecast of deals dated in the month was {money(reps['forecast'], currency)}; of "
            f"{count(reps['deals'], 'such deal', 'such deals')} {count(reps['won']['deals'])} were won, "
            f"{count(reps['lost']['deals'])} lost and {count(reps['slipped']['deals'])} slipped."
        )
    before = content["last_year"]
    if before:
        yield f"{month_name(before['month'])} brought {money(before['amount'], currency)}."
    history = content["history"]
    if history["months"] and history["bias"] is not None:
        inside = history["coverage"]
        line = (
            f"Over {count(len(history['months']), 'month', 'months')}, open leads were forecast at "
            f"{history['bias']:.0%} of what they brought"
        )
        yield f"{line}." if inside is None else f"{line}; {percent(inside)} of the months lay in their 80% range."
    for row in content["currencies"]:
        if row["is_exact"] is False:
            yield (
                f"{row['currency']}: {row['amount']:,.2f} are loaded, the sources say {row['source_amount']:,.2f}; "
                "`leadrev check` says which deals differ."
            )


def terminal_table(content: Content) -> list[str]:
    """Print the bridge, in the width of a terminal."""

    def line(name: str, amount: float | None, deals: str = "") -> str:
        return f"{name:44}{UNKNOWN if amount is None else f'{amount:,.2f}':>18}{deals:>9}"

    forecast = content["forecast"]
    lines = [f"{content['month'] + ' in ' + content['currency']:44}{'amount':>18}{'deals':>9}"]
    lines.append(line("Forecast on the first day, open leads", None if forecast is None else forecast["amount"]))
    lines += [line(PLANNED[name], amount) for name, amount in content["planned"].items()]
    lines += [line(f"  {row['name']}", row["amount"], count(row["deals"])) for row in content["bridge"]]
    lines.append(line("Won", content["actual"]["amount"], count(content["actual"]["deals"])))
    return lines
