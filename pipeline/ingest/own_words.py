# ruff: noqa: S608 (SQL here is made of quoted identifiers and literals)
"""What a column of leads held, and since when that was known, in the source's own words.

The canonical tables know three statuses; a company's own are more, and its stages are among them. Its histories hold
them as they were written, and the rows of its sources what they say now.
"""

from __future__ import annotations

import ibis.expr.types as ir

from pipeline.common.sql import literal, quoted
from pipeline.config.data_contract import TABLES, WORDS
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.sources import PLACE, ROW
from pipeline.ingest.staging import REASON


def own_words(company: LoadedCompany, column: str) -> ir.Table:
    """Give the words that a column of leads went through.

    Parameters
    ----------
    company : LoadedCompany
    column : str
        A column of leads that has a history (``tables.tracked("leads")``).

    Returns
    -------
    ibis table
        ``lead_id, known_at, word`` (lower case, without blanks around it; the contract's own word too, where the
        column has such). What a lead began with is known since it was created.
    """
    name = f"own_words_{column}"
    connection = company.connection
    there = connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = $1", [name]
    ).fetchall()[0][0]
    if not there:
        connection.execute(f"CREATE TABLE {quoted(name)} AS {_words_sql(company, column)}")
    return company.backend.table(name)


def _words_sql(company: LoadedCompany, column: str) -> str:
    """Build the union of what histories, canonical and as written, and rows without a history say."""
    parts = [
        "SELECT row_id AS lead_id, known_at, new_value AS word, false AS is_first FROM changes "
        f"WHERE \"table\" = 'leads' AND field = {literal(column)}",
        "SELECT row_id, min_by(known_at, (changed_at, known_at)), min_by(old_value, (changed_at, known_at)), true "
        f"FROM changes WHERE \"table\" = 'leads' AND field = {literal(column)} GROUP BY row_id",
        f"SELECT lead_id, known_at, CAST({quoted(column)} AS VARCHAR), true FROM leads WHERE lead_id NOT IN "
        f"(SELECT row_id FROM changes WHERE \"table\" = 'leads' AND field = {literal(column)})",
    ]
    if ("leads", column) in WORDS and column in TABLES["leads"]:
        parts += _written(company, column)
    canonical = "SELECT lead_id, lead_id AS canonical_id FROM leads"
    joined = company.connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'joined'"
    ).fetchall()[0][0]
    if joined:
        canonical += " UNION ALL SELECT lead_id, canonical_id FROM joined"
    return (
        "SELECT canonical_id AS lead_id, CASE WHEN is_first THEN leads.known_at "
        "ELSE greatest(words.known_at, leads.known_at) END AS known_at, lower(trim(word)) AS word "
        f"FROM ({' UNION ALL '.join(parts)}) AS words JOIN ({canonical}) AS names ON names.lead_id = words.lead_id "
        "JOIN leads ON leads.lead_id = canonical_id WHERE word IS NOT NULL"
    )


def _written(company: LoadedCompany, column: str) -> list[str]:
    """Give the words of a column as its histories and its sources write them."""
    parts = []
    changed = f"SELECT row_id FROM changes WHERE \"table\" = 'leads' AND field = {literal(column)}"
    for mapping in company.mappings:
        if mapping.raw.table != "leads" or column not in mapping.columns:
            continue
        names = {column, *(name.lower() for name in mapping.origins(column))}
        listed = ", ".join(literal(name) for name in sorted(names))
        if "changes" in company.staged:
            chosen = (
                f"FROM staged_changes WHERE {REASON} IS NULL AND \"table\" = 'leads' AND lower(field) IN ({listed})"
            )
            known = "coalesce(recorded_at, changed_at)"
            parts.append(f"SELECT row_id, {known}, new_value, false {chosen}")
            if "old_value" in company.staged["changes"].present:
                first = f"min_by(old_value, (changed_at, {known}))"
                parts.append(f"SELECT row_id, min({known}), {first}, true {chosen} GROUP BY row_id")
        parts.append(
            f"SELECT staged.lead_id, staged.created_at, CAST(raw.{quoted(mapping.columns[column])} AS VARCHAR), true "
            f"FROM staged_leads AS staged JOIN {quoted(mapping.raw.relation)} AS raw USING ({ROW}, {PLACE}) "
            f"WHERE staged.{REASON} IS NULL AND staged.lead_id NOT IN ({changed})"
        )
    return parts
