"""Rows of a workbook, read in a process of its own: a file of one kilobyte may claim to hold 17 billion cells.

A library that is short of memory ends its process at once. Here that is a child of bounded memory and time, whose end
is one clear line; nothing is shared with it but the file and a CSV that it writes.
"""

from __future__ import annotations

import csv
import datetime
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.memory_limit import SHARE, allowed_bytes
from pipeline.ingest.unpacking_limits import allowed_unpacked_bytes

CPU_SECONDS_LIMIT = 900
_LEAST_BYTES = 1 << 30
"""What the child may always take: its own code counts too."""
_ROWS = "rows.csv"


def workbook_rows(path: Path, sheet: str, key: str, scratch: Path) -> tuple[str, list[str], list[list[str]]]:
    """Read one sheet of a workbook, its cells as a CSV export would write them.

    Parameters
    ----------
    path : Path
        An xlsx, xlsm, xlsb, xls or ods file.
    sheet : str
        Its name, whatever its case; empty: the first that has rows.
    key : str
        The dotted params key, for messages.
    scratch : Path
        A folder for temporary files.

    Returns
    -------
    sheet, sheets, rows : str, list of str, list of list of str

    Raises
    ------
    UserError
        If it is no workbook, has no such sheet, or wants more memory than a table of its size.
    """
    found = _in_a_child(path, sheet, scratch)
    if found is None:
        raise UserError(
            f"{key}.from: {path.name} takes more memory or time to read than a table of its size; save the sheet as "
            "CSV (UTF-8), and name that file."
        )
    if "error" in found:
        raise UserError(f"{key}.from: cannot read the workbook {path.name}: {found['error']}")
    sheets = found["sheets"]
    if sheet and sheet.lower() not in [name.lower() for name in sheets]:
        raise UserError(f"{key}.from: {path.name} has no sheet '{sheet}'; it has {', '.join(sheets)}.")
    if found["sheet"] is None:
        raise UserError(f"{key}.from: {path.name} has no rows.")
    csv.field_size_limit(sys.maxsize)
    with open(scratch / _ROWS, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    (scratch / _ROWS).unlink()
    return found["sheet"], sheets, rows


def sheets_with_rows(path: Path) -> list[str]:
    """Name the sheets of a workbook that hold more than a header; none of one that cannot be read."""
    return (_in_a_child(path) or {}).get("filled", [])


def _in_a_child(path: Path, *reading: str | Path) -> dict[str, Any] | None:
    """Read in a child process, and give what it said; None where it did not end well."""
    memory = max(_LEAST_BYTES, int((allowed_bytes() or 8 << 30) * SHARE))
    words = [str(memory), str(allowed_unpacked_bytes(path)), str(path), *map(str, reading)]
    ran = subprocess.run(
        [sys.executable, "-P", "-m", __name__, *words],
        capture_output=True, check=False, env={**os.environ, "RUST_BACKTRACE": "0"},
    )  # fmt: skip
    return json.loads(ran.stdout) if ran.returncode == 0 else None


def _read(path: str, written_bytes_limit: int, wanted: str | None = None, scratch: str = "") -> dict[str, Any]:
    """Do the child's work: write a sheet as CSV, or only say which sheets hold rows."""
    from python_calamine import CalamineError, load_workbook

    try:
        book = load_workbook(path)
        sheets = book.sheet_names
        if wanted is None:
            return {"filled": [name for name in sheets if book.get_sheet_by_name(name).total_height > 1]}
        for name in [name for name in sheets if name.lower() == wanted.lower()] if wanted else sheets:
            has_cells, written = False, 0
            with open(Path(scratch) / _ROWS, "w", encoding="utf-8", newline="", errors="replace") as file:
                writer = csv.writer(file)
                for row in book.get_sheet_by_name(name).iter_rows():
                    cells = [_cell(value) for value in row]
                    has_cells = has_cells or any(cells)
                    written += writer.writerow(cells)
                    if written > written_bytes_limit:
                        raise MemoryError
            if has_cells:
                return {"sheets": sheets, "sheet": name}
        return {"sheets": sheets, "sheet": None}
    except (CalamineError, OSError) as error:
        return {"error": str(error)}


def _cell(value: Any) -> str:
    """Write a cell as text, as a CSV export would."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat(*([" "] if isinstance(value, datetime.datetime) else []))
    return str(value)


if __name__ == "__main__":
    memory_bytes, written_bytes, *reading = sys.argv[1:]
    for kind, most in ((resource.RLIMIT_AS, int(memory_bytes)), (resource.RLIMIT_CPU, CPU_SECONDS_LIMIT)):
        already = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if already == resource.RLIM_INFINITY else min(most, already), already))
    print(json.dumps(_read(reading[0], int(written_bytes), *reading[1:])))
