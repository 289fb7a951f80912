# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What a source of the params will say, before it is written: columns with their reasons, doubts with their money."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.onboarding.places import Place
from pipeline.onboarding.profile import TableProfile

REASONS = {
    "lead_id": "whose lead it is",
    "deal_id": "of its deal",
    "account_id": "the company",
    "contact_id": "the person",
    "event_id": "its id",
    "owner_id": "the salesperson",
    "created_at": "when it was made",
    "opened_at": "when it was made",
    "closed_at": "when it ended",
    "expected_close_at": "a plan",
    "occurred_at": "when it happened",
    "recorded_at": "when it was written down",
    "changed_at": "when it changed",
    "outcome": "won, lost or open",
    "status": "where the lead stands",
    "amount": "what it is worth",
    "currency": "of the amount",
    "stage": "used only where its history is known",
    "probability": "the salesperson's: a baseline, never a feature",
    "forecast_category": "the salesperson's: a baseline, never a feature",
    "kind": "what it is",
    "source": "where it came from",
    "campaign": "what it came by",
    "title": "of the person",
    "email": "links records of one person; never a feature",
    "phone": "links records of one person; never a feature",
    "name": "shown, never a feature",
    "company_name": "shown, never a feature",
    "row_id": "whose change it is",
    "field": "what changed",
    "old_value": "before",
    "new_value": "after",
}
"""Why a column is mapped, where the CRM's facts say nothing special."""

OWN_KEYS = {
    "leads": "lead_id", "deals": "deal_id", "accounts": "account_id", "events": "event_id", "owners": "owner_id",
}  # fmt: skip


@dataclass(frozen=True)
class Doubt:
    """Something that a person should decide; the params hold the safe choice.

    Parameters
    ----------
    where : str
        Dotted key in the params.
    text : str
        What was chosen, and what else it might be.
    money : float or None
        Revenue of the deals that hang on it.
    """

    where: str
    text: str
    money: float | None = None


@dataclass
class MappedColumn:
    """A column of the contract: what params write for it, and why."""

    ours: str
    written: Any
    why: str

    @property
    def theirs(self) -> list[str]:
        """Every column of the source that it reads."""
        return columns_in(self.written)


def columns_in(written: Any) -> list[str]:
    """List the columns of the source that a mapping reads."""
    if isinstance(written, str):
        return [written]
    if isinstance(written, list):
        return [name for part in written for name in columns_in(part)]
    return [name for key, value in written.items() if key not in ("constant", "split") for name in columns_in(value)]


@dataclass
class SourceDraft:
    """One source as it will be written.

    Parameters
    ----------
    table : str
        The table of the contract.
    profile : TableProfile
    about : str
        What the table is, and how sure that is.
    columns : list of MappedColumn
    values : dict
        For a column, our words to the source's.
    ignore : dict of str to str
        Columns left out, and why.
    attributes : list of str
        Columns that the audit is to judge.
    crm, timezone, deleted : str or None
    reading : dict of str to str
        SQL over the table: ``won``, ``closed``, ``deleted``, ``amount`` of a deal.
    doubts : list of Doubt
    """

    table: str
    profile: TableProfile
    about: str
    columns: list[MappedColumn] = field(default_factory=list)
    values: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    ignore: dict[str, str] = field(default_factory=dict)
    attributes: list[str] = field(default_factory=list)
    crm: str | None = None
    timezone: str | None = None
    deleted: str | None = None
    reading: dict[str, str] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)

    def column(self, ours: str) -> str | None:
        """Name the source's column that is read as ours, the first of several; None without one."""
        found = next((column for column in self.columns if column.ours == ours), None)
        return found.theirs[0] if found and found.theirs else None

    def map(self, ours: str, written: Any, why: str | None = None) -> None:
        """Map a column, replacing what it was mapped to."""
        self.columns = [column for column in self.columns if column.ours != ours]
        usual = "its id" if ours == OWN_KEYS.get(self.table) else REASONS.get(ours, "")
        self.columns.append(MappedColumn(ours, written, why or usual))

    def doubt(self, ours: str, text: str, money: float | None = None) -> None:
        """Keep something for a person to decide."""
        self.doubts.append(Doubt(f"{self.table}.{ours}", text, money))


@dataclass
class Draft:
    """Everything that the params will say.

    Parameters
    ----------
    company : str
    crm : str or None
        The CRM in words.
    hosts : list of str
        Of databases: passwords may be sent to them.
    settings : dict of str to (str, str)
        Dotted key of the params to its value and why: ``currency``, ``data.timezone``.
    sources : list of SourceDraft
    unused : list of (TableProfile, str)
        Tables that are not read, and why.
    unread : list of (Place, str)
        Tables that cannot be read, and why.
    doubts : list of Doubt
        Of the company as a whole.
    """

    company: str
    crm: str | None
    hosts: list[str] = field(default_factory=list)
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    sources: list[SourceDraft] = field(default_factory=list)
    unused: list[tuple[TableProfile, str]] = field(default_factory=list)
    unread: list[tuple[Place, str]] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)

    def of(self, table: str) -> list[SourceDraft]:
        """List the sources of a table of the contract."""
        return [source for source in self.sources if source.table == table]

    @property
    def every_doubt(self) -> list[Doubt]:
        """All doubts, those with most money first, those without any last."""
        found = [*self.doubts, *(doubt for source in self.sources for doubt in source.doubts)]
        return sorted(found, key=lambda doubt: -(doubt.money or 0.0))


def money_of(profile: TableProfile, amount: str | None, where: str) -> float | None:
    """Add up amounts of a table's rows, roughly: for ordering decisions, not for reporting."""
    if amount is None:
        return None
    text = f"regexp_replace({profile.text(amount)}, '[^0-9.-]', '', 'g')"
    return float(profile.query(f"SELECT coalesce(sum(TRY_CAST({text} AS DOUBLE)), 0) FROM {{}} WHERE {where}")[0][0])
