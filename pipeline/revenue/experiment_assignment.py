"""Drawing accounts for an experiment: each in one arm for good, by a keyed hash that nobody can steer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.snapshots import open_leads
from pipeline.archive.assignments import TREATMENT, Assignments, draw
from pipeline.common.dates import iso
from pipeline.common.errors import UserError
from pipeline.config.experiment_params import ExperimentParams
from pipeline.ingest.company import LoadedCompany
from pipeline.revenue.experiment_leads import experiment_names


@dataclass(frozen=True)
class Drawn:
    """What a run drew.

    Parameters
    ----------
    rows : DataFrame
        The leads that were assigned: ``lead_id, account_id, arm, probability``.
    accounts_before : int
        Accounts that were in the experiment already.
    horizon_days : int
        Laid down when the experiment began.
    """

    rows: pd.DataFrame
    accounts_before: int
    horizon_days: int


def assign(company: LoadedCompany, name: str, share: float) -> Drawn:
    """Assign every lead that is open where the data end, and is in no arm yet, to an arm of an experiment.

    Accounts are drawn, not leads: a lead's company, or else the lead itself. An account that was drawn before keeps its
    arm, and its later leads come into it. What was drawn is sealed into the archive with its probability and time.

    Parameters
    ----------
    company : LoadedCompany
    name : str
    share : float
        Of accounts that get the treatment, above 0 and below 1; for accounts that were never drawn.

    Raises
    ------
    UserError
        The share is none, or the company's own table assigns the experiment's leads.
    """
    if not 0 < share < 1:
        raise UserError(f"--share: found {share:g}, allowed: above 0 and below 1")
    store = Assignments(company.params.archive_folder)
    before = store.read(name)
    if not len(before) and name in experiment_names(company):
        raise UserError(f"experiment {name}: its leads are assigned by data.sources.experiments; choose another name")
    settings = company.params.experiments.get(name, ExperimentParams())
    entries = store.entries(name)
    laid_down = entries[0].seal if entries else {}
    horizon = int(laid_down.get("horizon_days") or settings.horizon_days or company.params.primary_horizon_days)
    rows = _new_leads(company, before)
    rows = _with_arms(rows, before, store.key(), name, share, settings.control)
    drawn = Drawn(rows, int(_account(before).nunique()), horizon)
    if len(rows):
        store.append(name, rows, company.known_until, {
            "assigned_at": iso(company.known_until), "share": share, "horizon_days": horizon,
            "control": settings.control, "treatment": TREATMENT,
        })  # fmt: skip
    return drawn


def _account(rows: pd.DataFrame) -> pd.Series:
    return ("account " + rows["account_id"]).fillna("lead " + rows["lead_id"])


def _new_leads(company: LoadedCompany, before: pd.DataFrame) -> pd.DataFrame:
    """Give the leads open where the data end that are in no arm yet, and their companies."""
    tables = company.tables
    is_open = open_leads(tables, company.known_until).select("lead_id")
    rows = tables.leads.select("lead_id", "account_id").semi_join(is_open, "lead_id").to_pandas()
    return rows[~rows["lead_id"].isin(before["lead_id"])].sort_values("lead_id", ignore_index=True)


def _with_arms(
    rows: pd.DataFrame, before: pd.DataFrame, key: bytes, name: str, share: float, control: str
) -> pd.DataFrame:
    account = _account(rows)
    numbers = {one: draw(key, name, one) for one in account.unique()}
    is_treated = account.map(numbers).astype(float) < share
    arm = pd.Series(np.where(is_treated, TREATMENT, control), index=rows.index, dtype=object)
    probability = pd.Series(np.where(is_treated, share, 1 - share), index=rows.index)
    kept = before.assign(account=_account(before)).drop_duplicates("account").set_index("account")
    return rows.assign(
        arm=account.map(kept["arm"]).fillna(arm), probability=account.map(kept["probability"]).fillna(probability)
    )
