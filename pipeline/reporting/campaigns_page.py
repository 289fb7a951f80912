"""The page of campaigns: what each brought, what it cost, what to repeat, and what a filter would hide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.common.formatting import UNKNOWN, count, money, money_short, percent
from pipeline.reporting.html import render_alone, word
from pipeline.revenue.campaign_text import NO_CAMPAIGN

Content = Mapping[str, Any]
RULES = {
    "first": "all to the first touch",
    "last": "all to the last touch before the deal opened",
    "linear": "equal shares to every touch before the deal opened",
    "position": "most to the first and the last touch, the rest between",
    "time_decay": "more to touches shortly before the deal opened",
    "model": "by what each campaign added to the forecast: an association, no proof",
}
VERDICTS = {
    "much_counted_little_earned": "Less revenue than its leads suggest",
    "little_counted_much_earned": "More revenue than its leads suggest",
    "as_expected": "As expected",
    "too_early": "Too early to tell",
    None: "Not compared",
}
NAMED = ("much_counted_little_earned", "little_counted_much_earned")
"""Verdicts that chance does not explain."""
SHOWN, IN_TERMINAL = 100, 12


def render_campaigns(content: Content, hidden: Content | None) -> str:
    """Render the campaigns as one file.

    Parameters
    ----------
    content : mapping
        The content of ``campaigns.json``.
    hidden : mapping, optional
        The content of ``filter.json``.
    """
    rows = content["campaigns"]
    return render_alone(
        "campaigns.html",
        page=content,
        currency=content["currency"],
        sentences=sentences(content),
        rows=rows[:SHOWN] + [row for row in rows[SHOWN:] if row["campaign"] is None],
        rule=RULES[content["attribution"]],
        verdicts=VERDICTS,
        named=NAMED,
        no_campaign=NO_CAMPAIGN,
        has_cost=content["totals"]["cost"] is not None,
        has_expected=content["totals"]["revenue_expected_ever"] is not None,
        hidden=hidden,
        hidden_sentences=[] if hidden is None else filter_sentences(hidden),
    )


def sentences(content: Content) -> list[str]:
    """Say what a head of marketing would repeat: at most eight sentences, only what is known."""
    return list(_sentences(content))[:8]


def _sentences(content: Content) -> Iterator[str]:
    currency, totals = content["currency"], content["totals"]
    named = [row for row in content["campaigns"] if row["campaign"] is not None]
    beyond = [row for row in content["campaigns"] if row["campaign"] is None]
    revenue = totals["revenue_won"]
    if revenue:
        credited = revenue - sum(row["revenue_won"] for row in beyond)
        yield (
            f"Campaigns are credited with {money(credited, currency)} of {money(revenue, currency)} won "
            f"({percent(credited / revenue)}); the rest names no campaign."
        )
    for verdict in NAMED:
        rows = sorted((row for row in named if row["verdict"] == verdict), key=_ratio)
        rows = rows[::-1] if verdict == "little_counted_much_earned" else rows
        yield from (row["text"] for row in rows[:2])
        if rows[2:]:
            names = ", ".join(row["name"] for row in rows[2:6]) + (" and more" if rows[6:] else "")
            yield f"{VERDICTS[verdict]}, too: {names}."
    paid = [row for row in named if row["revenue_per_cost"]]
    if paid:
        best = max(paid, key=lambda row: (row["revenue_per_cost"]["low"], row["name"]))
        figure = best["revenue_per_cost"]
        yield (
            f"{best['name']} returned {money(figure['value'], currency, decimals=2)} for each {money(1, currency)} "
            f"spent (80% range {money(figure['low'], currency, decimals=2)} to "
            f"{money(figure['high'], currency, decimals=2)})."
        )
    known = [row for row in content["next"] if row["known"]]
    if known and known[0]["revenue_per_lead"]["low"] > known[0]["average"]:
        top = known[0]
        yield (
            f"For the next campaign: {top['by']} {word(top['value'])} brings "
            f"{money(top['revenue_per_lead']['value'], currency)} per lead, against "
            f"{money(top['average'], currency)} on average."
        )


def _ratio(row: Content) -> tuple[float, str]:
    return row["won_by_its_leads"] / row["expected_of_its_time"], row["name"]


def filter_sentences(hidden: Content) -> list[str]:
    """Say what a filter would throw away."""
    currency = hidden["currency"]
    lines = [
        f"The filter '{hidden['filter']}' hides {count(hidden['leads_hidden'], 'open lead', 'open leads')} of "
        f"{count(hidden['leads'])}. Such leads brought {money(hidden['revenue_hidden_past_year'], currency)} in the "
        f"past year ({count(hidden['won_hidden_past_year'], 'deal', 'deals')})."
    ]
    if hidden["revenue_hidden_this_quarter"] is not None:
        this, following, later = (
            money(hidden[f"revenue_hidden_{span}"], currency) for span in ("this_quarter", "next_quarter", "later")
        )
        lines.append(f"Expected of them: {this} this quarter, {following} next quarter, {later} later.")
    return lines


def terminal_table(content: Content) -> list[str]:
    """Print the campaigns that earned most, in the width of a terminal."""
    currency = content["currency"]
    lines = [f"{'campaign':28}{'leads':>7}{'won':>6}{'revenue':>12}{'a lead':>10}{'cost':>10}  verdict"]
    rows = [row for row in content["campaigns"] if row["campaign"] is not None][:IN_TERMINAL]
    for row in [*rows, *(row for row in content["campaigns"] if row["campaign"] is None)]:
        each, cost = row["revenue_per_lead"], row["cost"]
        lines.append(
            f"{(row['name'] or NO_CAMPAIGN)[:27]:28}{count(row['leads']):>7}{count(row['won']):>6}"
            f"{money_short(row['revenue_won'], currency):>12}"
            f"{money_short(each['value'], currency) if each else UNKNOWN:>10}"
            f"{money_short(cost, currency) if cost is not None else UNKNOWN:>10}  "
            f"{'' if row['campaign'] is None else VERDICTS[row['verdict']].lower()}"
        )
    return lines
