"""Whom each department means by a lead: definitions written down, counted side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import point_in_time
from features.versions import as_they_were
from pipeline.common.errors import UserError
from pipeline.config.near_names import near_miss
from pipeline.funnel.journeys import NOT_REACHED, Journeys
from pipeline.ingest.column_mapping import near_column
from pipeline.ingest.company import LoadedCompany

STAGE = "stage"
Definitions = Mapping[str, Mapping[str, Sequence[str]]]


def definitions_of(company: LoadedCompany, ways: Journeys) -> Definitions:
    """Give the definitions of the params; without any, those that marketing, sales and account managers usually have.

    Without an own definition marketing means every inquiry of new business, sales whoever has reached the stage before
    winning, account management everybody of existing business.
    """
    written = company.params.every_definition
    if written:
        return written
    names = ways.stages.names
    later = names[max(ways.stages.won_place - 1, 0)]
    usual: dict[str, Mapping[str, Sequence[str]]] = {
        "marketing": {STAGE: [names[0]], "kind": ["new_business"]},
        "sales": {STAGE: [later], "kind": ["new_business"]},
    }
    if (ways.frame["kind"] != "new_business").any():
        usual["account management"] = {"kind": ["expansion", "renewal"]}
    return usual if later != names[0] else {"everybody": {STAGE: [names[0]]}}


def who_meets(
    company: LoadedCompany, ways: Journeys, definitions: Definitions, as_of: datetime
) -> dict[str, NDArray[np.bool_]]:
    """Say which leads meet each definition: every one of its conditions, case and blanks aside.

    Parameters
    ----------
    company : LoadedCompany
    ways : Journeys
    definitions : mapping
        Name to conditions: ``stage`` (reached by the date) and columns of leads, each with the values that count.
    as_of : datetime
        Columns hold what was known of them then.

    Returns
    -------
    dict of str to ndarray of shape (n_leads,)
        For the leads of the journeys, in the order of their last episodes.

    Raises
    ------
    UserError
        A definition names a stage that is none, or a column that leads do not have.
    """
    last = ways.frame[ways.frame["is_last"]]
    columns = sorted({name for rules in definitions.values() for name in rules if name not in (STAGE, "kind")})
    values = _values(company, columns, as_of, definitions)
    found = {}
    for name, rules in definitions.items():
        meets = np.ones(len(last), dtype=bool)
        for written, wanted in rules.items():
            words = [str(word).strip().lower() for word in wanted]
            if written == STAGE:
                meets &= _reached(ways, words, f"{_key(company, name)}.{STAGE}")
            elif written == "kind":
                meets &= last["kind"].astype(str).str.lower().isin(words).to_numpy()
            else:
                held = last["lead_id"].map(values[written]).astype("string").str.strip().str.lower()
                meets &= held.isin(words).fillna(False).to_numpy(bool)
        found[name] = meets
    return found


def _reached(ways: Journeys, words: Sequence[str], key: str) -> NDArray[np.bool_]:
    """Say which leads reached one of some stages in any of their episodes."""
    names = {name.lower(): place for place, name in enumerate(ways.stages.names)}
    reached = np.zeros(len(ways), dtype=bool)
    for word in words:
        if word not in names:
            raise UserError(f"{key}: no stage '{word}'{near_miss(word, names)} Known: {', '.join(ways.stages.names)}.")
        reached |= ways.entered[:, names[word]] != NOT_REACHED
    return ways.by_lead(reached) > 0


def _values(
    company: LoadedCompany, columns: Sequence[str], as_of: datetime, definitions: Definitions
) -> dict[str, pd.Series]:
    """Give what the leads' columns held at the date, by the name written in the params."""
    if not columns:
        return {}
    tables = company.tables
    known = [*tables.present["leads"], *tables.attributes["leads"]]
    ours = {}
    for written in columns:
        name = next(name for name, rules in definitions.items() if written in rules)
        ours[written] = near_column(written, known, f"{_key(company, name)}.{written}")
    leads = tables.leads.select("lead_id", *sorted(set(ours.values()) - {"lead_id"}))
    leads = leads.mutate(as_of=point_in_time.instant(as_of))
    held = as_they_were(leads, tables, "leads", "lead_id").to_pandas().set_index("lead_id", drop=False)
    return {written: held[column] for written, column in ours.items()}


def _key(company: LoadedCompany, name: str) -> str:
    """Say where in the params a definition is written."""
    return f"{'definitions' if name in company.params.definitions else 'data.definitions'}.{name}"
