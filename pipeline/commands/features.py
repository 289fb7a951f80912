"""The feature matrix as a file, and the catalogue as text."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features import catalogue
from features.materialise import open_leads_matrix
from features.snapshot_context import KEYS
from pipeline.audit.leakage_audit import audit
from pipeline.common.atomic_write import check_writable, written_whole
from pipeline.common.dates import local_iso
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.common.progress import step
from pipeline.config.params import Params
from pipeline.ingest.load import company_at
from pipeline.training.fit import feature_spec


def write_features(params: Params, as_of: str | None, out: Path | None) -> tuple[int, int]:
    """Write the features of every lead open at a date, as training at that date would define them.

    Parameters
    ----------
    params : Params
        The company.
    as_of : str, optional
        The date as the user wrote it; by default where the data end.
    out : Path or None
        The Parquet file, named so.

    Returns
    -------
    rows, features : int, int
        Leads, and columns beside ``lead_id``, ``episode`` and ``as_of``.
    """
    if out is None:
        raise UserError("--out: name the Parquet file to write, for example --out matrix.parquet (or use --describe)")
    if out.is_dir():
        raise UserError(f"--out {out}: is a folder; name the Parquet file to write, for example {out}/matrix.parquet")
    if out.suffix != ".parquet":
        raise UserError(f"--out {out}: the matrix is written as Parquet; name it {out.with_suffix('.parquet')}")
    check_writable(out.parent)
    company, instant = company_at(params, as_of)
    with step("building the features"):
        matrix = open_leads_matrix(
            company.on_engine, feature_spec(company, params, instant, audit(company, instant)), instant
        )
    table = pa.Table.from_pandas(matrix, preserve_index=False).replace_schema_metadata()
    with written_whole(out.parent) as staging:
        pq.write_table(table, staging.path(out.name), coerce_timestamps="us")
    return len(matrix), len(matrix.columns) - len(KEYS)


def describe_features(params: Params, as_of: str | None) -> str:
    """Describe every feature of the company: a table a theme, three lines a feature.

    Returns
    -------
    str
        Name, unit and meaning; then where it comes from; then what sales reads (… stands for the value) where there is
        one, and where it is unknown.
    """
    company, instant = company_at(params, as_of)
    spec = feature_spec(company, params, instant, audit(company, instant))
    entries = catalogue.entries(spec)
    name_width, unit_width = (max(len(getattr(entry, part)) for entry in entries) + 2 for part in ("name", "unit"))
    indent = " " * (2 + name_width + unit_width)
    lines = [f"{counted(len(entries), 'feature', 'features')}, as of {local_iso(instant, params.data.timezone)}"]
    for theme in catalogue.THEMES:
        own = [entry for entry in entries if entry.theme == theme]
        if own:
            lines += ["", f"{theme.upper()} ({len(own)})"]
        for entry in own:
            phrase = f'"{catalogue.example(entry)}"' if entry.is_reason else "nothing: it tells of the person"
            lines += [
                f"  {entry.name:{name_width}}{entry.unit:{unit_width}}{entry.meaning}",
                f"{indent}from {entry.provenance}",
                f'{indent}sales reads {phrase}; unknown: "{entry.unknown}"',
            ]
    return "\n".join(lines)
