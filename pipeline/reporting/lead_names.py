"""Who a lead is: the names and labels that people read beside a score, and that no feature ever sees."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pipeline.ingest.company import LoadedCompany

NAMES = pa.schema(
    {
        "lead_id": pa.string(),
        "name": pa.string(),
        "company_name": pa.string(),
        "title": pa.string(),
        "source": pa.string(),
        "entry": pa.string(),
        "record_url": pa.string(),
        "employees": pa.float64(),
        "owner_name": pa.string(),
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
        the lead's account has; ``owner_name`` is what the table of owners, where there is one, calls its owner.
    """
    tables = loaded.tables
    own = [name for name in NAMES.names if name not in ("employees", "owner_name")]
    leads = tables.leads.select(*own, "account_id", "owner_id").distinct(on="lead_id", keep="first")
    sized = tables.accounts.filter(tables.accounts.employees.notnull())
    since = sized.valid_from.fill_null(datetime(1900, 1, 1))
    sizes = sized.group_by("account_id").aggregate(employees=sized.employees.argmax(since))
    found = leads.left_join(sizes, "account_id").select(*leads.columns, "employees")
    called = tables.owners.group_by("owner_id").aggregate(owner_name=tables.owners.name.min())
    found = found.left_join(called, "owner_id").select(*own, "employees", "owner_name").to_pyarrow()
    return found.select(NAMES.names).cast(NAMES)
