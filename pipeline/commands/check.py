"""The check: read everything, reconcile it with its source, and audit it. No model."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.small_samples import FEW_WINS
from pipeline.audit.leakage_audit import audit
from pipeline.audit.reading_warnings import warning_rows
from pipeline.audit.sales_cycle import sales_cycle
from pipeline.audit.source_counts import counts_table, source_counts
from pipeline.audit.time_zones import time_zone_text
from pipeline.common.atomic_write import check_writable, write_whole
from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.common.masking import masked
from pipeline.config.params import Params
from pipeline.funnel.definitions import who_meets
from pipeline.funnel.journeys import journeys
from pipeline.ingest.company import LoadedCompany, data_fingerprint
from pipeline.ingest.load import load_tables
from pipeline.ingest.quarantine import TooManyQuarantinedError, quarantined

SHOWN_LIMIT = 100
QUARANTINE_SCHEMA = pa.schema(
    [
        ("table", pa.string()), ("source", pa.string()), ("system", pa.string()), ("row", pa.int64()),
        ("column", pa.string()), ("value", pa.string()), ("reason", pa.string()), ("amount", pa.decimal128(18, 4)),
    ]
)  # fmt: skip

WARNINGS_SCHEMA = pa.schema([("code", pa.string()), *QUARANTINE_SCHEMA])


@dataclass(frozen=True)
class CheckResult:
    """What the check found, as ``audit.json`` holds it, and where it was written."""

    content: dict[str, Any]
    folder: Path


def check(params: Params, out: Path) -> CheckResult:
    """Load, reconcile and audit a company, and write what was found.

    ``audit.json`` and ``audit.html``; ``quarantine.parquet``: rows that are not used; ``warnings.parquet``: rows that
    are, but warned of.

    Parameters
    ----------
    params : Params
    out : Path
        Folder for the files; each appears whole or not at all.

    Returns
    -------
    CheckResult

    Raises
    ------
    UserError
        The sources cannot be read; or too many rows cannot be used: then ``quarantine.parquet`` alone is written, as it
        shows which.
    """
    from pipeline.reporting.html import render_audit

    check_writable(out)
    try:
        loaded = load_tables(params)
    except TooManyQuarantinedError as error:
        write_whole(out, {"quarantine.parquet": _parquet(error.quarantine)})
        raise UserError(f"{error} All of them are in {out / 'quarantine.parquet'}.") from None
    content = audit_content(loaded, loaded.known_until)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files = {
        "audit.json": text.encode(),
        "audit.html": render_audit(content).encode(),
        "quarantine.parquet": _parquet(quarantined(loaded.connection)),
        "warnings.parquet": _parquet(warning_rows(loaded), WARNINGS_SCHEMA),
    }
    write_whole(out, files)
    return CheckResult(content, out)


def audit_content(loaded: LoadedCompany, as_of: datetime) -> dict[str, Any]:
    """Give all that ``audit.json`` holds.

    Parameters
    ----------
    loaded : LoadedCompany
    as_of : datetime
        Naive UTC; what is said of leads and columns is what was known then.
    """
    found = audit(loaded, as_of)
    shown = quarantined(loaded.connection).head(SHOWN_LIMIT)
    return {
        "company": loaded.params.company,
        "currency": loaded.params.currency,
        "as_of": as_of.isoformat(),
        "known_until": loaded.known_until.isoformat(),
        "fingerprint": data_fingerprint(loaded),
        "reconciliation": found.reconciliation.as_dict(),
        "counts": loaded.counts,
        "sources": source_counts(loaded, as_of),
        "outcomes": found.counts,
        "identity": loaded.identity.as_dict(),
        "time_zone": time_zone_text(loaded),
        "cycle": sales_cycle(loaded, as_of),
        "definitions": count_definitions(loaded),
        "excluded": found.excluded,
        "set_aside": {column: sorted(masked(word) for word in words) for column, words in found.set_aside.items()},
        "won_least": FEW_WINS,
        "columns": found.columns,
        "tests_count": found.tests_count,
        "drift": found.drift,
        "warnings": found.warnings,
        "quarantine": [{name: _plain(value) for name, value in row.items()} for row in shown.to_dict(orient="records")],
    }


def count_definitions(loaded: LoadedCompany) -> dict[str, int]:
    """Count the leads that meet each definition of the params: all of its conditions, case and blanks aside.

    Raises
    ------
    UserError
        A definition names a column that leads do not have, or a stage that is none.
    """
    counts = {"every row of leads": int(loaded.tables.leads.count().execute())}
    definitions = loaded.params.every_definition
    if definitions:
        meets = who_meets(loaded, journeys(loaded, loaded.known_until), definitions, loaded.known_until)
        counts |= {name: int(mask.sum()) for name, mask in meets.items()}
    return counts


def summary(result: CheckResult) -> str:
    """Tell in the terminal what was found, the reconciliation first."""
    content = result.content
    reconciled = content["reconciliation"]
    total, currency = reconciled["total"], content["currency"]
    lines = [
        f"Won deals in the source: {total['source_deals']:,}, {total['source_amount']:,.2f} {currency}; "
        f"loaded: {total['loaded_deals']:,}, {total['loaded_amount']:,.2f} {currency}"
        + (" (equal to the cent)" if reconciled["exact"] else ""),
        f"  {'month':<8} {'source':>22} {'loaded':>22} {'quarantined':>20}",
    ]
    for month in reconciled["months"]:
        cells = [
            f"{month[f'{side}_deals']:,} / {month[f'{side}_amount']:,.2f}"
            for side in ("source", "loaded", "quarantined")
        ]
        lines.append(f"  {month['month']:<8} {cells[0]:>22} {cells[1]:>22} {cells[2]:>20}")
    lines += [f"  difference {text}" for text in reconciled["differences"]]
    unattached = reconciled["unattached"]
    if unattached["deals"]:
        lines.append(
            f"  of the loaded, without a lead: {unattached['deals']:,}, {unattached['amount']:,.2f} {currency}"
        )
    lines += counts_table(content["sources"])
    for table, count in content["counts"].items():
        lines.append(
            f"{table}: {counted(count['rows'], 'row', 'rows')}, {count['loaded']:,} loaded, "
            f"{count['quarantined']:,} quarantined"
        )
        lines += [f"  {n:,} × {reason}" for reason, n in count["reasons"].items()]
    lines.append(f"Identity: {content['identity']['text']}")
    lines.append(f"Time zone: {content['time_zone']}")
    outcomes = content["outcomes"]
    lines.append(
        "Leads: "
        + ", ".join(
            f"{outcomes[word]:,} {word}" for word in ("open", "won", "lost", "joined", "unknown") if outcomes.get(word)
        )
    )
    lines += [f"  {name}: {n:,}" for name, n in content["definitions"].items()]
    lines.append(f"Sales cycle: {content['cycle']['text']}")
    lines += [f"Kept out of the model: {column}: {reason}" for column, reason in content["excluded"].items()]
    lines += [f"Warning: {warning['text']}" for warning in content["warnings"]]
    return "\n".join(lines)


def _parquet(rows: pd.DataFrame, schema: pa.Schema = QUARANTINE_SCHEMA) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(rows, schema=schema, preserve_index=False), buffer)
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, str):
        return masked(value)
    return value if isinstance(value, int) else float(value)
