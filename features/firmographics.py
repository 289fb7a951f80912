"""Fit: who the lead is and how large its company, by the version of the record known at the date."""

from __future__ import annotations

from collections.abc import Iterator

import ibis
import ibis.expr.types as ir

from features import point_in_time, wording
from features.empty_words import NO_ANSWER
from features.feature import Feature
from features.job_titles import read_titles
from features.snapshot_context import SnapshotContext, join_facts
from features.spec import FeatureSpec
from features.versions import account_versions, as_they_were

FREE_MAIL = (
    "gmail", "googlemail", "hotmail", "outlook", "live", "msn", "yahoo", "ymail", "icloud", "aol", "gmx", "web",
    "t-online", "freenet", "mail", "protonmail", "proton", "orange", "wanadoo", "free", "laposte", "libero", "virgilio",
    "terra", "uol", "bol", "sapo", "yandex", "qq", "163",
)  # fmt: skip
"""First part of the domain of mail that anyone can have."""


SOUND = {"email": r"^[^@\s]+@[^@\s]+\.[^@\s.]{2,}$", "phone": r"([0-9][^0-9]*){6}"}
"""What a mail address and a telephone number look like; of any other field: two letters."""
TWO_LETTERS = r"[^\s0-9!-/:-@\[-`{-~]{2}"


def _is_sound(rows: ir.Table, name: str) -> ir.BooleanValue:
    """Say whether a field of the contact reads as real; a field that is not filled in is not."""
    value = rows[name].lower()
    return ibis.coalesce(value.re_search(SOUND.get(name, TWO_LETTERS)) & value.notin(NO_ANSWER), False)


def attribute(rows: ir.Table, column: str, type_: str, *, may_lie_ahead: bool = False) -> ir.Value:
    """Give a company's own column as a feature of `rows` (which has ``as_of``).

    Numbers and yes/no stay numbers, text is a category, a date becomes the days since. One that lies ahead is the days
    until it, as a negative number, where it is known what it was at ``as_of``, else unknown.
    """
    value = rows[column]
    if type_ == "time":
        days = point_in_time.days_between(value.cast("timestamp(6)"), rows.as_of)
        if may_lie_ahead:
            return days
        return ibis.ifelse(point_in_time.known_by(value.cast("timestamp(6)"), rows.as_of), days, ibis.null("float64"))
    if type_ == "number":
        number = value.cast("float64")
        return ibis.ifelse(number.isnan(), ibis.null("float64"), number)
    return value.cast("string").nullif("")


def _person(rows: ir.Table, spec: FeatureSpec) -> dict[str, ir.Value]:
    """Read what the contact's fields tell; the fields themselves go no further."""
    values: dict[str, ir.Value] = {}
    if spec.has("leads.email"):
        domain = rows.email.lower().re_extract(r"@([^@\s.]+)\.[^@\s]+$", 1).nullif("")
        is_free = ibis.ifelse(domain.isin(FREE_MAIL), 1.0, 0.0).cast("float64")
        values["lead_free_mail"] = ibis.ifelse(domain.isnull(), ibis.null("float64"), is_free)
    form = [column.removeprefix("leads.") for column in spec.form_columns()]
    if len(form) > 1:
        filled = [rows[name].nullif("").notnull().cast("int64") for name in form]
        filled_count = sum(filled[1:], start=filled[0]).cast("float64")
        values["lead_filled_share"] = filled_count / len(form)
        sound = [_is_sound(rows, name).cast("int64") for name in form]
        values["lead_sound_share"] = sum(sound[1:], start=sound[0]).cast("float64") / filled_count.nullif(0)
    return values


def features(context: SnapshotContext) -> ir.Table:
    """Give each snapshot what was known of the person and the company.

    Returns
    -------
    ibis table
        ``snapshot`` and the features of fit: of leads by the history of their columns, of companies by the version
        known at ``as_of``.
    """
    rows, spec = context.rows, context.spec
    names = spec.attribute_names("leads")
    attributes = [(name, type_) for name, type_ in spec.lead_attributes if name not in spec.wide_columns]
    ahead = spec.planned_features()
    values = {
        names[name]: attribute(rows, names[name], type_, may_lie_ahead=names[name] in ahead)
        for name, type_ in attributes
    }
    values |= _person(rows, spec)
    titles = rows.select("snapshot", "title", **values)
    if spec.has("leads.title"):
        titles = titles.left_join(read_titles(rows), "title").drop("title_right")
    titles = titles.drop("title")
    if not spec.has("accounts.account_id"):
        return titles
    tables = context.tables
    versions = tables.memoize("account_versions", lambda: account_versions(tables))
    known = rows.select("snapshot", "as_of", "account_id").join(versions, "account_id")
    known = known.filter(point_in_time.current_at(known, known.as_of))
    known = as_they_were(known, tables, "accounts", "account_id")
    words = {name for name, _ in spec.account_attributes} | {"industry", "country"}
    words &= {column.removeprefix("accounts.") for column, _ in spec.set_aside if column.startswith("accounts.")}
    known = known.mutate(
        **{name: spec.without_set_aside(known[name], known.account_id, f"accounts.{name}") for name in sorted(words)}
    )
    companies: dict[str, ir.Value] = {}
    for name in ("employees", "annual_revenue", "industry", "country"):
        if spec.has(f"accounts.{name}"):
            companies[f"acct_{name}"] = known[name]
    if spec.has("accounts.founded_year"):
        companies["acct_age_years"] = known.as_of.year().cast("float64") - known.founded_year
    filled = [known[name.removeprefix("accounts.")].notnull().cast("int64") for name in spec.company_columns()]
    if len(filled) > 1:
        companies["acct_filled_share"] = sum(filled[1:], start=filled[0]).cast("float64") / len(filled)
    names = spec.attribute_names("accounts")
    companies |= {
        names[name]: attribute(known, name, type_, may_lie_ahead=names[name] in ahead)
        for name, type_ in spec.account_attributes
    }
    return join_facts(titles, known.select("snapshot", **companies))


def _own(spec: FeatureSpec, table: str) -> Iterator[Feature]:
    attributes = spec.lead_attributes if table == "leads" else spec.account_attributes
    names = spec.attribute_names(table)
    for column, type_ in attributes:
        if table == "leads" and column in spec.wide_columns:
            continue
        words = wording.readable(column)
        label = words[:1].upper() + words[1:]
        personal = bool(wording.PERSONAL.search(words.replace(" ", "_")))
        unit = {"number": "number", "time": "days", "category": "category"}[type_]
        text = f"{label}: {{value}} ago" if type_ == "time" else f"{label}: {{value}}"
        is_ahead = f"{table}.{column}" in spec.planned
        since = ", days since (negative: days until)" if is_ahead else ", days since" if type_ == "time" else ""
        yield Feature(
            names[column], unit, "fit", f"{table}.{column}", names[column],
            f"The company's own column {column}{since}",
            text, f"{label} not known" + ("" if is_ahead or type_ != "time" else ", or still ahead"),
            low=f"{label}: in {{value}}" if is_ahead else "", is_reason=not personal,
        )  # fmt: skip


def entries(spec: FeatureSpec) -> Iterator[Feature]:
    """Describe what is known of the person and the company."""
    yield from _own(spec, "leads")
    if spec.has("leads.email"):
        yield Feature(
            "lead_free_mail", "yes or no", "fit", "leads.email", "lead_free_mail",
            "Whether the mail address is one that anyone can have (1) or a company's own (0)",
            "Writes from a free mail address", "No readable mail address", none="Writes from a company's mail address",
        )  # fmt: skip
    if len(spec.form_columns()) > 1:
        yield Feature(
            "lead_filled_share", "share", "fit", ", ".join(spec.form_columns()), "lead_filled",
            "Share of the contact's fields that are filled in",
            "{value} of the contact's details are filled in", "Contact's details unknown",
            none="None of the contact's details are filled in",
        )  # fmt: skip
        yield Feature(
            "lead_sound_share", "share", "fit", ", ".join(spec.form_columns()), "lead_filled",
            "Share of the filled-in fields of the contact that read as real (a mail address with a domain, a telephone "
            "number of six digits, no 'test' or 'xxx')",
            "{value} of the contact's details read as real", "Contact's details unknown",
            none="None of the contact's details read as real",
        )  # fmt: skip
    if spec.has("leads.title"):
        yield Feature(
            "lead_title_seniority", "rank", "fit", "leads.title", "lead_title",
            "Seniority read from the job title: 1 junior, 2 staff, 3 manager, 4 director, 5 top management",
            "Seniority: {value}", "No job title",
        )  # fmt: skip
        yield Feature(
            "lead_title_department", "category", "fit", "leads.title", "lead_title",
            "Department read from the job title", "Works in {value}", "No job title",
        )  # fmt: skip
    if spec.has("accounts.employees"):
        yield Feature(
            "acct_employees", "count", "fit", "accounts.employees", "acct_size", "Employees of the company",
            "Company of {count}", "Company size not known", noun="person", plural="people",
        )  # fmt: skip
    if spec.has("accounts.annual_revenue"):
        yield Feature(
            "acct_annual_revenue", "money", "fit", "accounts.annual_revenue", "acct_size",
            "The company's own revenue a year", "Company with a revenue of {value} a year", "Company revenue not known",
        )  # fmt: skip
    for name in ("industry", "country"):
        if spec.has(f"accounts.{name}"):
            label = name.capitalize()
            yield Feature(
                f"acct_{name}", "category", "fit", f"accounts.{name}", f"acct_{name}", f"{label} of the company",
                f"{label}: {{value}}", f"{label} not known",
            )  # fmt: skip
    if spec.has("accounts.founded_year"):
        yield Feature(
            "acct_age_years", "years", "fit", "accounts.founded_year", "acct_age_years", "Years since the founding",
            "Company founded {value} ago", "Company's age not known",
        )  # fmt: skip
    if len(spec.company_columns()) > 1:
        yield Feature(
            "acct_filled_share", "share", "fit", ", ".join(spec.company_columns()), "acct_filled",
            "Share of the company's fields that are filled in", "{value} of the company's record is filled in",
            "Company not known", none="None of the company's record is filled in",
        )  # fmt: skip
    if spec.has("accounts.account_id"):
        yield from _own(spec, "accounts")
