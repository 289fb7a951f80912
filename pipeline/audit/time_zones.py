# ruff: noqa: S608 (SQL here is made of quoted identifiers)
"""In which zone times without an offset are read: no file says it, and a wrong zone moves every day."""

from __future__ import annotations

from features.schema import TIME
from pipeline.common.sql import quoted
from pipeline.config.data_contract import TABLES
from pipeline.ingest.column_mapping import Mapping
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.parsing import clean_sql

SAMPLED = 1_000
_CLOCK = r"\d{1,2}[:.h]\d{2}([:.]\d{2}([.,]\d+)?)?( ?[ap]\.? ?m\.?)?( uhr)?$"
_OFFSET = r"[+-]\d{2}:?\d{2}$"
"""A text that ends in a time of day, and one that ends in an offset."""


def time_zone_text(loaded: LoadedCompany) -> str:
    """Say in which zone times without an offset are read, and of which sources that is a guess.

    Parameters
    ----------
    loaded : LoadedCompany
    """
    zone = loaded.params.data.timezone
    by_zone: dict[str, list[str]] = {}
    for mapping in loaded.mappings:
        if _has_times_without_offset(loaded, mapping):
            by_zone.setdefault(mapping.timezone or zone, []).append(mapping.raw.label)
    text = f"days are those of {zone} (data.timezone)"
    for name, labels in sorted(by_zone.items()):
        said = "as the sources say" if name != zone else "by data.timezone"
        text += f"; times without an offset are read in {name}, {said}: {', '.join(dict.fromkeys(labels))}"
    if zone in by_zone and zone not in ("UTC", "Etc/UTC"):
        text += " (exports of Salesforce, Pipedrive and Odoo are in UTC: put timezone: UTC under such a source)"
    return text


def _has_times_without_offset(loaded: LoadedCompany, mapping: Mapping) -> bool:
    raw = mapping.raw
    for ours, column in mapping.columns.items():
        if TABLES[raw.table].get(ours) != TIME or column not in raw.columns:
            continue
        type_ = raw.columns[column]
        if type_ == "DATE" or "TIME ZONE" in type_ or type_ == "TIMESTAMPTZ":
            continue
        if type_.startswith("TIMESTAMP"):
            found = f"CAST({quoted(column)} AS TIMESTAMP)::TIME <> TIME '00:00:00'"
        else:
            text = clean_sql(column, type_)
            found = f"regexp_matches({text}, '{_CLOCK}', 'i') AND NOT regexp_matches({text}, '{_OFFSET}')"
        rows = f"SELECT * FROM {quoted(raw.relation)} WHERE {quoted(column)} IS NOT NULL LIMIT {SAMPLED}"
        if loaded.connection.execute(f"SELECT coalesce(bool_or({found}), false) FROM ({rows})").fetchall()[0][0]:
            return True
    return False
