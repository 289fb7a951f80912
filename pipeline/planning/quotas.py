"""Who stands where against quota: closed by the owner at closing, expected by today's owner; nobody's lines apart."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any

import pandas as pd

from pipeline.common.formatting import local_date
from pipeline.ingest.company import LoadedCompany
from pipeline.planning.month_deals import team_of

NO_OWNER = "no owner"
NOBODY_YET = "leads yet to arrive and existing business"


def owner_lines(
    company: LoadedCompany, closed: pd.DataFrame, open_leads: pd.DataFrame, unowned: float, first: date, last: date
) -> list[dict[str, Any]]:
    """Give a line an owner, and lines for what is nobody's; closed and expected add up to the company's.

    Parameters
    ----------
    company : LoadedCompany
    closed : DataFrame
        As `won_deals` gives them, of the period.
    open_leads : DataFrame
        As `OpenLeads.frame`.
    unowned : float
        What nobody's leads, yet to arrive, and existing business are expected to bring.
    first, last : date
        The period.

    Returns
    -------
    list of dict
        ``owner_id, name, team, closed, expected, quota`` (null without one), ``gap`` (quota less both), the largest
        gap first.
    """
    won: dict[str | None, int] = defaultdict(int)
    for owner, cents in _by_owner(company, closed):
        won[owner] += cents
    expected = (
        open_leads.assign(owner_id=_text(open_leads["owner_id"])).groupby("owner_id", dropna=False)["expected"].sum()
    )
    hoped = {str(name) if isinstance(name, str) else None: float(value) for name, value in expected.items()}
    quotas = _quotas(company, first, last)
    table = company.tables.owners.to_pandas().drop_duplicates("owner_id").set_index("owner_id")
    teams = team_of(company)
    lines = []
    for owner in sorted({*won, *hoped, *quotas} - {None}, key=str):
        name = table["name"].get(owner) if "name" in table else None
        lines.append(_line(owner, name if isinstance(name, str) else str(owner), teams.get(str(owner)),
                           won.get(owner, 0), hoped.get(owner, 0.0), quotas.get(owner)))  # fmt: skip
    lines.sort(key=lambda line: (line["gap"] is None, -(line["gap"] or 0.0), line["name"]))
    if None in won or None in hoped:
        lines.append(_line(None, NO_OWNER, None, won.get(None, 0), hoped.get(None, 0.0), None))
    lines.append(_line(None, NOBODY_YET, None, 0, unowned, None))
    return lines


def _line(
    owner: str | None, name: str, team: str | None, cents: int, expected: float, quota: float | None
) -> dict[str, Any]:
    closed, expected = cents / 100, round(expected, 2)
    gap = None if quota is None else round(quota - closed - expected, 2)
    return {"owner_id": owner, "name": name, "team": team, "closed": closed, "expected": expected, "quota": quota,
            "gap": gap}  # fmt: skip


def _by_owner(company: LoadedCompany, closed: pd.DataFrame) -> list[tuple[str | None, int]]:
    """Share each deal among its owners, as ``splits`` say; what is left over of cents is the first one's."""
    empty = pd.DataFrame({"system": [], "deal_id": []})
    splits = company.tables.splits.to_pandas() if company.tables.has("splits") else empty
    shares = dict(list(splits.assign(system=splits["system"].fillna("")).groupby(["system", "deal_id"])))
    found: list[tuple[str | None, int]] = []
    systems = closed["system"].fillna("")
    owners = _text(closed["owner_id"])
    for system, deal, owner, cents in zip(systems, closed["deal_id"], owners, closed["cents"], strict=True):
        rows = shares.get((system, deal))
        if rows is None or not rows["share"].sum() > 0:
            found.append((owner, int(cents)))
            continue
        part = (rows["share"] / rows["share"].sum() * int(cents)).round().astype(int).tolist()
        part[0] += int(cents) - sum(part)
        found += list(zip(rows["owner_id"].astype(str), part, strict=True))
    return found


def _quotas(company: LoadedCompany, first: date, last: date) -> dict[str | None, float]:
    """Sum the quotas that lie in the period: one that only reaches into it counts by its days."""
    if not company.tables.has("quotas"):
        return {}
    zone = company.params.data.timezone
    found: dict[str | None, float] = defaultdict(float)
    for row in company.tables.quotas.to_pandas().to_dict("records"):
        start, end = (local_date(row[name].to_pydatetime(), zone) for name in ("starts_on", "ends_on"))
        shared = (min(end, last) - max(start, first)).days + 1
        if shared > 0 and (row["currency"] in (None, company.params.currency) or pd.isna(row["currency"])):
            found[str(row["owner_id"])] += float(row["amount"]) * shared / ((end - start).days + 1)
    return {owner: round(amount, 2) for owner, amount in found.items()}


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), None)
