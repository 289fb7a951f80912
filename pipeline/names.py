"""Who a lead is: the names and labels that people read beside a score, and that no feature ever sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pipeline.tables import LoadedCompany

NAMES = pa.schema(
    {
        "lead_id": pa.string(),
        "name": pa.string(),
        "company_name": pa.string(),
        "title": pa.string(),
        "source": pa.string(),
        "entry": pa.string(),
        "record_url": pa.string(),
        "owner_name": pa.string(),
        "employees": pa.float64(),
    }
)


def lead_names(loaded: LoadedCompany) -> pa.Table:
    """Collect what to call each lead.

    Parameters
    ----------
    loaded : LoadedCompany
        The company's tables as they are now: a person who married since the scores were made is shown under the new
        name.

    Returns
    -------
    table of shape (n_leads, 9)
        One row a lead, typed as `NAMES`; null where the company does not say. ``employees`` is the newest count that
        the lead's account has.
    """
    tables = loaded.tables
    leads = tables.leads.select(
        *(name for name in NAMES.names if name not in ("owner_name", "employees")), "owner_id", "account_id"
    )
    leads = leads.distinct(on="lead_id", keep="first")
    dated = tables.accounts.mutate(version=tables.accounts.valid_from)
    sizes = (
        dated.filter(dated.employees.notnull())
        .group_by("account_id")
        .aggregate(employees=lambda t: t.employees.argmax(t.version.fill_null("1677-09-22")))
    )
    found = leads.left_join(sizes, "account_id").select(*leads.columns, "employees").to_pyarrow()
    owners = getattr(loaded, "owners", None) or {}
    owner_names = pa.array([owners.get(owner) for owner in found["owner_id"].to_pylist()], pa.string())
    return found.append_column("owner_name", owner_names).select(NAMES.names).cast(NAMES)
