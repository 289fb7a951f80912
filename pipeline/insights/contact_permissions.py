"""Who must not be called or written to, as known at a date: what one record says holds for all of its person's."""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir
import pandas as pd

from features import point_in_time
from features.schema import Tables
from features.versions import as_they_were
from pipeline.ingest.company import LoadedCompany
from pipeline.ingest.outcome_flags import FALSE_WORDS

MARKS = ("no_call", "no_email", "no_contact")


def contact_permissions(company: LoadedCompany, as_of: datetime) -> pd.DataFrame:
    """Say which leads' people opted out of what.

    A mark without a history holds as it stands, one with a history as it stood. Any word but no is a yes: a date, or
    the reason, is a mark too. Records of one contact, or of one email address, are one person's.

    Parameters
    ----------
    company : LoadedCompany
    as_of : datetime
        UTC, without a zone.

    Returns
    -------
    data frame
        ``lead_id, no_call, no_email, no_contact``; leads with no mark are not in it.
    """
    tables = company.tables
    marks = [name for name in MARKS if tables.has("leads", name)]
    if not marks:
        return pd.DataFrame({name: pd.Series([], dtype=object) for name in ("lead_id", *MARKS)})
    records = _records(company).filter(point_in_time.known_by(ibis._.known_at, as_of))
    records = records.select(
        "lead_id", "of_lead", "contact_id", *MARKS, address=records.email.strip().lower().nullif(""),
        as_of=point_in_time.instant(as_of),
    )  # fmt: skip
    records = as_they_were(records, tables, "leads", "lead_id")
    found = records.select(
        "of_lead", "contact_id", "address",
        **{name: _is_yes(records[name]) if name in marks else ibis.literal(False) for name in MARKS},
    ).to_pandas()  # fmt: skip
    for person in ("of_lead", "contact_id", "address"):
        for name in MARKS:
            of_person = found.groupby(person)[name].transform("max")
            found[name] |= of_person.eq(True)  # null where nobody is named
    found = found[found[list(MARKS)].any(axis=1)]
    return found.groupby("of_lead")[list(MARKS)].max().rename_axis("lead_id").reset_index()


def _records(company: LoadedCompany) -> ir.Table:
    """Give every record of a lead with the lead that it belongs to."""
    leads = company.tables.leads
    if not company.identity.counts["joined"]:
        return leads.mutate(of_lead=leads.lead_id)
    apart = company.backend.table("leads_apart")
    whose = company.backend.table("identity").select("lead_id", of_lead="canonical_id")
    return apart.join(whose, "lead_id")


def _is_yes(value: ir.StringValue) -> ir.BooleanValue:
    word = value.strip().lower()
    return ibis.coalesce((word != "") & word.notin(FALSE_WORDS), False)


def people(tables: Tables, lead_ids: pd.Series) -> pd.Series:
    """Give people numbers: leads of the same contact, or with the same email address, have the same one.

    Returns
    -------
    series of int, index lead_id
    """
    leads = tables.leads.semi_join(ibis.memtable(pd.DataFrame({"lead_id": lead_ids.astype(str)})), "lead_id")
    found = leads.select("lead_id", "contact_id", address=leads.email.strip().lower().nullif("")).to_pandas()
    found = found.set_index("lead_id").reindex(lead_ids.astype(str))
    number = pd.Series(range(len(found)), index=found.index)
    for _ in range(2):  # of a contact's addresses, and of an address' contacts
        for name in ("contact_id", "address"):
            number = number.groupby(found[name]).transform("min").fillna(number)
    return number.astype("int64")
