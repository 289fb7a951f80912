"""What a reader may ask of the ranked list: filters, orders, and the sums that say what a filter shows and hides.

Sums are taken over cents, so that what a filter shows and what it hides add up to the whole, to the cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FACETS = {
    "size": "size",
    "source": "source",
    "owner": "owner",
    "theme": "theme",
    "grade": "grade",
    "kind": "kind",
    "entry": "entry",
}
SORTS = {
    "rank": "rank",
    "this_quarter": "expected_revenue_this_quarter DESC NULLS LAST",
    "next_quarter": "expected_revenue_next_quarter DESC NULLS LAST",
    "later": "expected_revenue_later DESC NULLS LAST",
    "next_year": "coalesce(expected_revenue_next_quarter, 0) + coalesce(expected_revenue_later, 0) DESC",
    "chance": "p_win_primary DESC NULLS LAST",
    "deal_value": "deal_value DESC NULLS LAST",
    "soonest": "days_to_win_p50 NULLS LAST",
    "name": "called",
}
"""The orders there are, as SQL; ties stand in the order of their rank."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Filters:
    """What the reader asked to see: a piece of text, and one value each of some facets."""

    search: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    def where(self) -> tuple[str, list[str]]:
        """Return an SQL condition with question marks, and what stands for them."""
        terms, given = ["true"], []
        if self.search.strip():
            terms.append("contains(searchable, lower(?))")
            given.append(self.search.strip())
        for facet, value in self.values.items():
            terms.append(f"{FACETS[facet]} = ?")
            given.append(value)
        return " AND ".join(terms), given

    def __bool__(self) -> bool:
        return bool(self.search.strip() or self.values)


@dataclass(frozen=True)
class Totals:
    """Sums over some leads; money is None where the model knows no amounts.

    Parameters
    ----------
    leads : int
        How many.
    wins : float
        Expected number won within the primary horizon.
    revenue : float or None
        Expected within the primary horizon.
    this_quarter, next_quarter, later : float or None
        Expected by the end of this fiscal quarter; in the next one; after that up to the longest horizon.
    """

    leads: int
    wins: float
    revenue: float | None
    this_quarter: float | None
    next_quarter: float | None
    later: float | None

    def __sub__(self, other: Totals) -> Totals:
        def minus(a: float | None, b: float | None) -> float | None:
            return None if a is None else round(a - (b or 0.0), 6)

        return Totals(
            self.leads - other.leads,
            round(self.wins - other.wins, 6),
            *(minus(getattr(self, key), getattr(other, key)) for key in MONEY_TOTALS),
        )


MONEY_TOTALS = ("revenue", "this_quarter", "next_quarter", "later")
SUMS = """
    count(*), coalesce(sum(CAST(p_win_primary AS DECIMAL(9, 6))), 0), sum(CAST(revenue AS DECIMAL(18, 2))),
    sum(CAST(expected_revenue_this_quarter AS DECIMAL(18, 2))),
    sum(CAST(expected_revenue_next_quarter AS DECIMAL(18, 2))), sum(CAST(expected_revenue_later AS DECIMAL(18, 2)))
"""


def totals_from(row: tuple[Any, ...], whole: Totals | None = None) -> Totals:
    """Read a row of `SUMS`; `whole` says which kinds of money there are at all, where no lead is left to say so."""
    money = [None if value is None else float(value) for value in row[2:]]
    if whole is not None:  # no lead at all brings nothing, unless the model knows no money
        money = [
            0.0 if value is None and getattr(whole, key) is not None else value
            for key, value in zip(MONEY_TOTALS, money, strict=True)
        ]
    return Totals(int(row[0]), float(row[1]), *money)
