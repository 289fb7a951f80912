"""A simulated company as one of the vendors' CRMs exports it: its files, and beside them what is true of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.simulation.crm_content import CrmContent, crm_content
from pipeline.simulation.crm_records import Records
from pipeline.simulation.dynamics_export import dynamics
from pipeline.simulation.hubspot_export import hubspot
from pipeline.simulation.odoo_export import odoo
from pipeline.simulation.pipedrive_export import pipedrive
from pipeline.simulation.salesforce_export import salesforce
from pipeline.simulation.zoho_export import zoho

TRUTH_FILE = "truth.json"
VENDORS: dict[str, Callable[[CrmContent, np.random.Generator], tuple[dict[str, pd.DataFrame], dict[str, Any]]]] = {
    "salesforce": salesforce, "hubspot": hubspot, "dynamics": dynamics, "pipedrive": pipedrive, "zoho": zoho,
    "odoo": odoo,
}  # fmt: skip
"""What writes each vendor's export: the content in, its files by name and the true figures out."""


def write_export(out: Path, vendor: str, territories: Iterable[Records], seed: int) -> dict[str, int]:
    """Write a company as a vendor's export, and ``truth.json`` with the figures that reading it must come to.

    Parameters
    ----------
    out : Path
        A folder that is there.
    vendor : str
        One of `VENDORS`.
    territories : iterable of Records
    seed : int

    Returns
    -------
    dict of str to int
        Rows per file.
    """
    parts = list(territories)
    whole = Records(*(pd.concat(frames, ignore_index=True) for frames in zip(*map(_tables, parts), strict=True)))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, 2)))
    files, truth = VENDORS[vendor](crm_content(rng, whole), rng)
    for name, frame in files.items():
        if name.endswith(".jsonl"):
            frame.to_json(out / name, orient="records", lines=True, force_ascii=False)
        else:
            frame.to_csv(out / name, index=False, lineterminator="\r\n", encoding="utf-8")
    (out / TRUTH_FILE).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return {name: len(frame) for name, frame in files.items()}


def _tables(records: Records) -> tuple[pd.DataFrame, ...]:
    return records.leads, records.deals, records.accounts, records.events
