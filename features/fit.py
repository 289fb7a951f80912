"""Fit: who the lead is and how large its company, by the version of the record known at the date."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from features import clock
from features.spec import FeatureSpec
from features.tables import Tables
from features.titles import read_titles

FREE_MAIL = (
    "gmail", "googlemail", "hotmail", "outlook", "live", "msn", "yahoo", "ymail", "icloud", "aol", "gmx", "web",
    "t-online", "freenet", "mail", "protonmail", "proton", "orange", "wanadoo", "free", "laposte", "libero", "virgilio",
    "terra", "uol", "bol", "sapo", "yandex", "qq", "163",
)  # fmt: skip
"""First part of the domain of mail that anyone can have."""


def attribute(rows: ir.Table, column: str, type_: str) -> ir.Value:
    """Give a company's own column as a feature of `rows` (which has ``as_of``).

    Numbers and yes/no stay numbers, text is a category, a date becomes the days since (unknown while it lies ahead).
    """
    value = rows[column]
    if type_ == "time":
        days = clock.days_between(value.cast("timestamp(6)"), rows.as_of)
        return ibis.ifelse(clock.known_by(value.cast("timestamp(6)"), rows.as_of), days, ibis.null("float64"))
    if type_ == "number":
        number = value.cast("float64")
        return ibis.ifelse(number.isnan(), ibis.null("float64"), number)
    return value.cast("string").strip().nullif("")


def _lead_facts(tables: Tables, spec: FeatureSpec) -> ir.Table:
    """Give the features that a lead keeps for life: one row a lead."""
    leads = tables.leads
    columns: dict[str, ir.Value] = {}
    if spec.has("leads.email"):
        domain = leads.email.lower().strip().re_extract(r"@([^@\s.]+)\.[^@\s]+$", 1).nullif("")
        columns["lead_free_mail"] = ibis.ifelse(domain.isin(FREE_MAIL), 1.0, 0.0).cast("float64")
        columns["lead_free_mail"] = ibis.ifelse(domain.isnull(), ibis.null("float64"), columns["lead_free_mail"])
    form = [column.removeprefix("leads.") for column in spec.form_columns()]
    if len(form) > 1:
        filled = [leads[name].strip().nullif("").notnull().cast("int64") for name in form]
        columns["lead_filled_share"] = sum(filled[1:], start=filled[0]).cast("float64") / len(form)
    facts = leads.select("lead_id", "title", **columns)
    if spec.has("leads.title"):
        facts = facts.left_join(read_titles(leads), "title").drop("title_right")
    return facts.drop("title")


def features(tables: Tables, snapshots: ir.Table, spec: FeatureSpec) -> ir.Table:
    """Give each snapshot what is known of the person and the company.

    Returns
    -------
    ibis table
        ``lead_id, episode, as_of`` and the features of fit; companies by the version known at ``as_of``.
    """
    names = spec.attribute_names("leads")
    attributes = [(name, type_) for name, type_ in spec.lead_attributes if name not in spec.wide_columns]
    own = [name for name, _ in attributes]
    rows = snapshots.select("lead_id", "episode", "as_of")
    rows = rows.join(tables.leads.select("lead_id", "account_id", *own), "lead_id")
    values = {names[name]: attribute(rows, name, type_) for name, type_ in attributes}
    rows = rows.select("lead_id", "episode", "as_of", "account_id", **values)
    facts = _lead_facts(tables, spec)
    rows = rows.left_join(facts, "lead_id").drop("lead_id_right")
    if not spec.has("accounts.account_id"):
        return rows.drop("account_id")
    versions = clock.account_versions(tables)
    known = rows.select("lead_id", "episode", "as_of", "account_id").join(versions, "account_id")
    known = known.filter(clock.current_at(known, known.as_of))
    companies: dict[str, ir.Value] = {}
    for name in ("employees", "annual_revenue", "industry", "country"):
        if spec.has(f"accounts.{name}"):
            companies[f"acct_{name}"] = known[name]
    if spec.has("accounts.founded_year"):
        companies["acct_age_years"] = known.as_of.year().cast("float64") - known.founded_year
    names = spec.attribute_names("accounts")
    companies |= {names[name]: attribute(known, name, type_) for name, type_ in spec.account_attributes}
    companies_known = known.select("lead_id", "episode", "as_of", **companies)
    keys = ["lead_id", "episode", "as_of"]
    return rows.drop("account_id").left_join(companies_known, keys).drop(*(f"{key}_right" for key in keys))
