"""What a campaign's verdict means, in leads and money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.common.formatting import UNKNOWN, count, money, percent

NO_CAMPAIGN = "no campaign"
Content = Mapping[str, Any]


def verdict_text(row: Content, currency: str, total: Content) -> str:
    """Say in a sentence what a campaign's verdict means, in leads and money.

    Parameters
    ----------
    row, total : mapping
        A row and the totals of ``campaigns.json``.
    currency : str
    """
    name = row["name"] or NO_CAMPAIGN
    name = name[0].upper() + name[1:] if " " in name else name  # one word may be an id
    share = percent(row["revenue_won"] / total["revenue_won"]) if total["revenue_won"] else UNKNOWN
    earned = f"{money(row['revenue_won'], currency)} ({share} of the revenue)"
    brought = f"{count(row['leads'], 'lead', 'leads')} ({percent(row['leads_share'])} of all)"
    if row["verdict"] in ("much_counted_little_earned", "little_counted_much_earned"):
        own, usual = (money(row[figure], currency) for figure in ("won_by_its_leads", "expected_of_its_time"))
        advice = ": repeat it" if row["verdict"] == "little_counted_much_earned" else ""
        return (
            f"{name} brought {brought}; they won {own}, where as many leads of the same time win {usual}. "
            f"Chance does not explain it{advice}."
        )
    if row["verdict"] == "too_early":
        return f"{name}: {brought}, too few or too young to tell."
    if row["campaign"] is None:
        return f"{name}: {brought}, {earned}."
    if row["verdict"] is None:
        return f"{name} reaches leads that were there already: only an experiment tells what it adds."
    return f"{name}: {brought}, {earned}, as leads of the same time do."
