"""The feature matrix as a file, and the catalogue as text."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features import catalogue
from features.spec import FeatureSpec
from pipeline.audit import audit
from pipeline.errors import UserError
from pipeline.learning import company_at, feature_spec, open_leads_matrix
from pipeline.params import Params
from pipeline.progress import step
from pipeline.stored_model import KEYS
from pipeline.writing import check_writable, written_whole


def write_features(params: Params, as_of: str | None, out: Path) -> tuple[int, int]:
    """Write the features of every lead open at a date, as training at that date would define them.

    Parameters
    ----------
    params : Params
        The company.
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    out : Path
        The Parquet file.

    Returns
    -------
    rows, features : int, int
        Leads, and columns beside ``lead_id``, ``episode`` and ``as_of``.
    """
    if out.is_dir():
        raise UserError(f"--out {out}: is a folder; name the Parquet file to write, for example {out}/matrix.parquet")
    check_writable(out.parent)
    company, instant = company_at(params, as_of)
    with step("building the features"):
        matrix = open_leads_matrix(company, feature_spec(company, params, instant, audit(company, instant)), instant)
    table = pa.Table.from_pandas(matrix, preserve_index=False).replace_schema_metadata()
    with written_whole(out.parent) as staging:
        pq.write_table(table, staging.path(out.name), coerce_timestamps="us")
    return len(matrix), len(matrix.columns) - len(KEYS)


def describe_features(params: Params, as_of: str | None) -> str:
    """Describe every feature of the company: name, unit, theme, provenance, and what it means.

    Returns
    -------
    str
        One paragraph a feature, grouped by theme.
    """
    company, instant = company_at(params, as_of)
    spec: FeatureSpec = feature_spec(company, params, instant, audit(company, instant))
    lines: list[str] = []
    theme = None
    for entry in sorted(catalogue.entries(spec), key=lambda entry: entry.theme):
        if entry.theme != theme:
            theme = entry.theme
            lines += ["", theme.upper()]
        lines.append(
            f"  {entry.name} [{entry.unit}] {entry.meaning}; from {entry.provenance}; unknown: {entry.unknown}"
        )
    return "\n".join(lines).strip()
