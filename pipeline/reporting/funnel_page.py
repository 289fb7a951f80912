"""The page of the funnel: how leads move from stage to stage, where revenue leaks, and who means what by a lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pipeline.common.formatting import UNKNOWN, count, days, money, money_short, percent
from pipeline.reporting.html import render_alone, word

Content = Mapping[str, Any]
HORIZONS = {"30d": "within 30 days", "90d": "within 90 days", "365d": "within a year", "ever": "ever"}
LEAKS_SHOWN = 12
YOUNG_COHORTS = 8


def render_funnel(content: Content) -> str:
    """Render the funnel as one file.

    Parameters
    ----------
    content : mapping
        The content of ``funnel.json``.
    """
    rows = content["rows"]
    total = _of(rows, "all", "all")
    segments = list(dict.fromkeys(row["segment"]["value"] for row in rows if row["segment"] != "all"))
    cohorts = list(dict.fromkeys(row["cohort"] for row in rows if row["cohort"] != "all"))
    stages = content["stages"]
    existing = _of(content["existing_business"]["rows"], "all", "all")
    return render_alone(
        "funnel.html",
        funnel=content,
        currency=content["currency"],
        sentences=sentences(content),
        total=total,
        first=stages[0],
        last=stages[-1],
        steps=list(pairwise(stages)),
        segments=[(value, _of(rows, "all", value)) for value in segments],
        cohorts=[(name, _of(rows, name, "all")) for name in cohorts[-YOUNG_COHORTS:]],
        existing=existing,
        leaks=content["leaks"][:LEAKS_SHOWN],
        horizons=HORIZONS,
        has_money=any(row["revenue_won"] for row in total.values()) or content["by"] == "kind",
        has_expected=any(row["revenue_expected"] for row in total.values()),
        has_unknown=any(row["unknown"] for row in [*total.values(), *existing.values()]),
        definition_text=_definition_text,
    )


def _of(rows: list[dict[str, Any]], cohort: str, value: str) -> dict[str, dict[str, Any]]:
    """Pick a cohort's and a segment's rows, by stage."""
    return {
        row["stage"]: row
        for row in rows
        if row["cohort"] == cohort and (row["segment"] if row["segment"] == "all" else row["segment"]["value"]) == value
    }


def _definition_text(rules: Mapping[str, list[str]]) -> str:
    """Say whom a definition means."""
    parts = []
    for name, words in rules.items():
        said = " or ".join(word(one) for one in words)
        parts.append(f"reached {said}" if name == "stage" else f"{name.replace('_', ' ')}: {said}")
    return ", ".join(parts) or "every lead"


def sentences(content: Content) -> list[str]:
    """Say what a head of marketing would repeat, in at most five sentences; only what is known."""
    return list(_sentences(content))


def _sentences(content: Content) -> Iterator[str]:
    currency, stages = content["currency"], content["stages"]
    total = _of(content["rows"], "all", "all")
    if not total:
        yield "There are no leads yet."
        return
    first = total[stages[0]]
    won = total[stages[-1]]["entered"]
    if len(stages) > 1:
        yield (
            f"Of {count(first['entered'], 'new-business lead', 'new-business leads')}, {count(won)} "
            f"{'were won' if stages[-1] == 'won' else f'have reached {stages[-1]}'} so far, and "
            f"{count(first['there'])} still stand at {stages[0]}."
        )
    weakest = _weakest_step(content, total)
    if weakest:
        yield weakest
    for leak in content["leaks"][:1]:
        said = f"{leak['segment']['by']} {word(leak['segment']['value'])}"
        lost = f", which cost {_range(leak['revenue'], currency)}" if leak["revenue"] else ""
        yield (
            f"The largest leak: leads with {said} get from {leak['stage']} to {leak['next']} {percent(leak['chance'])} "
            f"of the time where all leads do {percent(leak['average'])}{lost}."
        )
    worth = max(content["disagreements"], key=lambda one: one["revenue_expected"] or one["revenue_won"], default=None)
    if worth and (worth["revenue_expected"] or worth["revenue_won"]):
        brings = (
            f"{money_short(worth['revenue_expected'], currency)} expected"
            if worth["revenue_expected"]
            else f"{money_short(worth['revenue_won'], currency)} won"
        )
        yield (
            f"{count(worth['leads'], 'lead is', 'leads are')} a lead to {worth['in']} and not to {worth['not_in']}: "
            f"{brings} revenue that nobody agreed on."
        )
    best, average = next(iter(content["ideal"]["segments"]), None), content["ideal"]["average"]
    if best and best["revenue_per_lead"] and average["revenue_per_lead"]:
        ratio = best["revenue_per_lead"] / average["revenue_per_lead"]
        traits = " and ".join(word(value) for value in best["traits"].values())
        yield (
            f"The most valuable kind of lead, {traits}, brings {money(best['revenue_per_lead'], currency)} each, "
            f"{ratio:.1f} times the average."
        )


def _disagreement(content: Content) -> Mapping[str, Any] | None:
    """Pick the largest disagreement of two departments that mean some of the same leads."""
    sizes = {row["name"]: row["leads"] for row in content["definitions"]}
    shared = [row for row in content["disagreements"] if row["leads"] < sizes[row["in"]]]
    return max(shared, key=lambda row: row["revenue_expected"] or row["revenue_won"], default=None)


def _weakest_step(content: Content, total: Mapping[str, Any]) -> str | None:
    known = [
        (total[one]["chance"]["ever"]["value"], one, other, total[one]["median_days"])
        for one, other in pairwise(content["stages"])
        if one in total and total[one]["chance"]["ever"]
    ]
    if not known:
        return None
    chance, one, other, half = min(known)
    takes = f", half of those within {days(half['value'])}" if half else ""
    return f"The narrowest step is from {one} to {other}: {percent(chance)} of the leads ever take it{takes}."


def _range(figure: Mapping[str, float], currency: str) -> str:
    low, high = money_short(figure["low"], currency), money_short(figure["high"], currency)
    return f"{money_short(figure['value'], currency)} ({low} to {high})"


def terminal_table(content: Content) -> list[str]:
    """Write the funnel as a table for the terminal."""
    currency = content["currency"]
    total = _of(content["rows"], "all", "all")
    width = max([5, *(len(name) for name in content["stages"])])
    lines = [
        f"Funnel as of {content['as_of']}: {count(content['leads'], 'lead', 'leads')}, new business",
        f"  {'stage':<{width}} {'entered':>8} {'next':>7} {'lost':>7} {'there':>7}  {'ever (90% interval)':<20} "
        f"{'half in':>10}  {'won per lead':>12} {'expected':>10}",
    ]
    for name in content["stages"]:
        row = total.get(name)
        if row is None:
            continue
        ever = row["chance"]["ever"]
        said = UNKNOWN if ever is None else f"{percent(ever['value'])} ({percent(ever['low'])}–{percent(ever['high'])})"
        half = UNKNOWN if row["median_days"] is None else days(row["median_days"]["value"])
        brought, hoped = (
            UNKNOWN if row[key] is None else money(row[key]["value"], currency)
            for key in ("revenue_won", "revenue_expected")
        )
        lines.append(
            f"  {name:<{width}} {row['entered']:>8,} {row['advanced']:>7,} {row['lost']:>7,} {row['there']:>7,}  "
            f"{said:<20} {half:>10}  {brought:>12} {hoped:>10}"
        )
    if leads := content["existing_business"]["leads"]:
        lines.append(f"  Existing business is apart: {count(leads, 'lead', 'leads')} of expansion and renewal")
    lines += [f"  {name}: {why}" for name, why in content["notes"].items() if why.startswith(("absent", "empty"))]
    return lines
