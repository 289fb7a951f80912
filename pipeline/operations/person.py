# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""Who somebody is to leadrev: ids, mail addresses, phone numbers and names in sources and extracts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.archive.extracts import FOLDER as EXTRACTS
from pipeline.config.column_forms import names_in
from pipeline.config.params import Params
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.stage_sources import several_systems
from pipeline.ingest.suppressed_rows import ADDRESS

FIELDS = {"lead_id": "leads", "contact_id": "contacts", "email": "emails", "phone": "phones", "name": "names"}
KEYS = ("lead_id", "contact_id", "email")
LEAST_PHONE_DIGITS = 7


@dataclass(frozen=True)
class Person:
    """One person.

    Parameters
    ----------
    leads, contacts, emails, phones, names : frozenset of str
        As sources write them, blanks around them aside; mail addresses in lower case.
    shared : frozenset of str
        Kinds of the above (``phones``, ``names``, …) of which a value is another person's too: it is neither searched
        for nor removed, as it does not tell the two apart.
    """

    leads: frozenset[str] = frozenset()
    contacts: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    shared: frozenset[str] = field(default=frozenset())

    @property
    def is_known(self) -> bool:
        """Whether anything is known of them."""
        return any(getattr(self, kind) for kind in FIELDS.values())

    def to_json(self) -> bytes:
        """Give what an erasure that was cut short needs to go on."""
        return json.dumps({one.name: sorted(getattr(self, one.name)) for one in fields(self)}).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Person:
        """Read what `to_json` gave."""
        return cls(**{name: frozenset(values) for name, values in json.loads(content).items()})

    def joined(self, other: Person) -> Person:
        """Give all that is known by both."""
        return Person(**{one.name: getattr(self, one.name) | getattr(other, one.name) for one in fields(self)})


def find_person(company: LoadedCompany, lead: str | None, email: str | None, contact: str | None) -> Person:
    """Find all records of a person: those that bear the given id or address, and those that are linked to them.

    Linked are records that share a lead's or contact's id, that share a mail address under the same name (or one of
    them without a name), and that identity resolution made one lead of.

    Parameters
    ----------
    company : LoadedCompany
    lead, email, contact : str, optional
        One of them.

    Returns
    -------
    Person
        Empty where nobody is known by it.
    """
    records = [*_loaded(company), *_extracted(company.params)]
    asked = {"lead_id": lead, "email": plain_email(email), "contact_id": contact}
    own = [record for record in records if any(value and record[name] == value for name, value in asked.items())]
    groups = dict(company.connection.execute("SELECT lead_id, canonical_id FROM identity").fetchall())
    while True:
        more = [record for record in records if record not in own and _is_linked(record, own, groups)]
        if not more:
            break
        own += more
    found = {kind: {value for record in own if (value := record[name])} for name, kind in FIELDS.items()}
    others = [record for record in records if record not in own]
    shared = set()
    for name, kind in FIELDS.items():
        theirs = {_alike(name, record[name]) for record in others if record[name]}
        both = {value for value in found[kind] if _alike(name, value) in theirs}
        shared |= {kind} if both else set()
        found[kind] -= both
    if several_systems(company.params):  # a source writes its ids without the system's name
        for name in ("lead_id", "contact_id"):
            theirs = {(record[name] or "").partition(":")[2] for record in others}
            bare = {value.partition(":")[2] for value in found[FIELDS[name]]}
            found[FIELDS[name]] |= bare - theirs - {""}
            shared |= {FIELDS[name]} if bare & theirs - {""} else set()
    return Person(**{kind: frozenset(values) for kind, values in found.items()}, shared=frozenset(shared))


def plain_email(text: str | None) -> str | None:
    """Give a mail address in lower case, without a name or blanks around it."""
    found = ADDRESS.search(text.lower()) if text else None
    return found[0] if found else None


def phone_digits(text: str) -> str:
    """Give the last nine digits of a telephone number: what two ways of writing it have in common."""
    digits = "".join(sign for sign in text.lower().split("x")[0].split("ext")[0] if sign.isdigit()).lstrip("0")
    return digits[-9:]


def columns_of(params: Params, table: str) -> dict[str, set[str]]:
    """Give for each column that tells who somebody is (`FIELDS`) what the sources of a table call it, in lower case."""
    found = {name: {name} for name in FIELDS}
    for source in getattr(params.data.sources, table):
        for ours, form in source.columns.items():
            if ours in found:
                found[ours] |= {name.lower() for name in names_in(form)}
    return found


Record = dict[str, str | None]


def _record(values: Mapping[str, object]) -> Record:
    texts = {name: (str(values[name]).strip() or None) if values.get(name) is not None else None for name in FIELDS}
    return texts | {"email": plain_email(texts["email"])}


def _loaded(company: LoadedCompany) -> Iterable[Record]:
    described = company.connection.execute("DESCRIBE staged_leads").fetchall()
    there = [name for name, *_ in described if name in FIELDS]
    for row in company.connection.execute(f"SELECT DISTINCT {', '.join(there)} FROM staged_leads").fetchall():
        yield _record(dict(zip(there, row, strict=True)))


def _extracted(params: Params) -> Iterable[Record]:
    """Give the records of leads in extracts: a source may have forgotten whom an extract still knows."""
    names = columns_of(params, "leads")
    sources = params.data.sources.leads
    systems = {f"raw_leads_{place}": source.system for place, source in enumerate(sources)}
    systems = {**systems, "raw_leads": sources[0].system} if several_systems(params) else {}
    for path in sorted(Path(params.archive_folder / EXTRACTS).glob("*/raw_leads*.parquet")):
        file = pq.ParquetFile(path)
        picked = {
            column: ours
            for column in file.schema_arrow.names
            for ours, theirs in names.items()
            if column.lower() in theirs
        }
        table = file.read(columns=list(picked))
        columns = {column: table[column].cast(pa.string()).to_pylist() for column in picked}
        for place in range(table.num_rows):
            values: dict[str, object] = {}
            for column, ours in picked.items():
                values[ours] = values.get(ours) or columns[column][place]
            if (system := systems.get(path.stem)) is not None:
                values |= {name: f"{system}:{values[name]}" for name in ("lead_id", "contact_id") if values.get(name)}
            yield _record(values)


def _is_linked(record: Record, own: list[Record], groups: Mapping[str, str]) -> bool:
    group = groups.get(record["lead_id"] or "")
    for known in own:
        if any(record[name] and record[name] == known[name] for name in ("lead_id", "contact_id")):
            return True
        if group is not None and group == groups.get(known["lead_id"] or ""):
            return True
        if record["email"] and record["email"] == known["email"]:
            names = {_alike("name", one["name"]) for one in (record, known) if one["name"]}
            if len(names) < 2:
                return True
    return False


def _alike(name: str, value: str | None) -> str:
    text = value or ""
    return phone_digits(text) if name == "phone" else " ".join(text.casefold().split())
