"""What is known of each CRM: how its tables are called, what stands in their columns, what knows the future.

The facts are data, one YAML file a CRM in ``facts/``; here is what such a file may say.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

FOLDER = Path(__file__).parent / "facts"


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Outcome(_Facts):
    """Where a deal's outcome stands: in two flags, in words, or (lost) in a flag that it is still there."""

    closed: list[str] = []
    won: list[str] = []
    words: list[str] = []
    lost_unless: list[str] = []


class Record(_Facts):
    """One kind of table of a CRM.

    Parameters
    ----------
    record : str
        What the CRM calls it.
    table : str or None
        The table of the data contract that it is.
    lookup : str or None
        Instead: the column whose words it explains, such as ``deals.outcome``.
    named : list of str
        How files and tables of it are called.
    needs : list of list of str
        Groups of columns, of each of which it has one.
    excludes : list of str
        Columns that it does not have.
    excludes_together : list of str
        Columns of which it may have some, but not all.
    columns : dict
        Our column to its names; or ``{from: names, split: ";"}``, or ``{first_of: [names, names]}``.
    constants : dict of str to str
        Our columns that are the same in every row.
    fallback : dict
        Columns that serve where nothing better is known: a doubt, unless listed under `settled`.
    as_leads : dict
        Columns of leads, where the CRM's deals are the leads; of events, how they then name them.
    only_leads : bool
        This CRM's deals are always the leads.
    versions_of : str or None
        It holds versions of that record.
    ended_by : list of str
        Columns that tell when a closed deal was closed, whatever its date says.
    only : dict of str to str
        It counts only where a column has that value.
    future : dict of str to str
        Patterns of columns that know the future, and why.
    noise : list of str
        Patterns of columns that say nothing.
    """

    record: str
    table: Literal["leads", "deals", "accounts", "events", "changes", "owners"] | None = None
    lookup: str | None = None
    named: list[str] = []
    needs: list[list[str]] = []
    excludes: list[str] = []
    excludes_together: list[str] = []
    columns: dict[str, Any] = {}
    constants: dict[str, str] = {}
    fallback: dict[str, list[str]] = {}
    settled: list[str] = []
    outcome: Outcome | None = None
    as_leads: dict[str, Any] = {}
    only_leads: bool = False
    versions_of: str | None = None
    ended_by: list[str] = []
    why: dict[str, str] = {}
    words: dict[str, dict[str, list[str]]] = {}
    deleted: list[str] = []
    merged: list[str] = []
    only: dict[str, str] = {}
    time_zone: list[str] = []
    future: dict[str, str] = {}
    noise: list[str] = []


class Crm(_Facts):
    """A CRM.

    Parameters
    ----------
    crm, title : str
        Its name in params, and as people write it.
    times : str
        Time zone of times without an offset: ``UTC``, or ``company`` for the company's own.
    api_times : str
        The same of tables named in snake_case, as the API and its loaders name them.
    prefixes, suffixes : list of str
        Left out of columns' names before they are compared.
    own_prefixes : list of str
        Likewise, but only of those under `future` and `noise`.
    words : dict
        For ``table.column``, our words to the CRM's own.
    future, noise
        As in `Record`, of any of its records.
    """

    crm: str
    title: str
    times: str = "company"
    api_times: str | None = None
    prefixes: list[str] = []
    suffixes: list[str] = []
    own_prefixes: list[str] = []
    words: dict[str, dict[str, list[str]]] = {}
    future: dict[str, str] = {}
    noise: list[str] = []
    records: list[Record]

    def fold(self, name: str) -> str:
        """Give what two ways of writing a column's name have in common."""
        for prefix in self.prefixes:
            if name.lower().startswith(prefix.lower()):
                name = name[len(prefix) :]
        for suffix in self.suffixes:
            name = name.removesuffix(suffix)
        return folded(name)

    def find(self, names: list[str], columns: dict[str, str]) -> str | None:
        """Find the first of some names among the columns of a table; `columns` is by folded name."""
        return next((columns[key] for name in names if (key := self.fold(name)) in columns), None)

    def knows_future(self, record: Record, name: str) -> str | None:
        """Say why a column knows the future; None if nobody says so."""
        patterns = {**record.future, **self.future}
        return next((why for pattern, why in patterns.items() if self._matches(pattern, name)), None)

    def is_noise(self, record: Record, name: str) -> bool:
        """Whether a column says nothing about a lead."""
        return any(self._matches(pattern, name) for pattern in (*record.noise, *self.noise))

    def _matches(self, pattern: str, name: str) -> bool:
        bare = next((name[len(own) :] for own in self.own_prefixes if name.startswith(own)), name)
        wanted = self.fold(pattern)
        return fnmatchcase(self.fold(name), wanted) or fnmatchcase(self.fold(bare), wanted)


def folded(name: str) -> str:
    """Give a name without case, blanks and signs; a ``*`` stays, and Fivetran's ``x_c`` is Salesforce's ``x__c``."""
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter == "*")


@cache
def known_crms() -> dict[str, Crm]:
    """Give every CRM that leadrev knows, by its name in params."""
    found = (
        Crm.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("*.yaml"))
    )
    return {crm.crm: crm for crm in found}


@cache
def knows_future(name: str) -> str | None:
    """Say why a column of some CRM's export knows the future, by its name alone; None if no CRM has one called so."""
    for crm in known_crms().values():
        for record in crm.records:
            if record.table in ("leads", "deals", "accounts") and (why := crm.knows_future(record, name)):
                return f"{crm.title} exports have {name}: {why}"
    return None
