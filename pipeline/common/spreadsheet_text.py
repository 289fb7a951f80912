"""Cells of CSV files that stay text: nothing that a person or a system typed becomes a formula in a spreadsheet.

A spreadsheet runs a cell that begins with ``= + - @`` (or their wide forms), also after blanks and quotes. Where its
country separates cells by another sign than the file does, a cell begins behind any of these signs. An apostrophe
before the formula keeps it text; everything else stays as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_SEPARATORS = r",;|\t\r\n\v\f\x1c-\x1f\x{85}\x{2028}\x{2029}"
_BLANKS = r" \"'\x{a0}\x{1680}\x{2000}-\x{200d}\x{202f}\x{205f}\x{2060}\x{3000}\x{feff}"
_SIGNS = r"=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}"
_ANYWHERE = rf"(?:^|[{_SEPARATORS}])[{_BLANKS}]*[{_SIGNS}]|^[\t\r\n]"
"""For Arrow, which knows ``\\x{…}``: whether a cell needs an apostrophe at all."""


def _for_python(pattern: str) -> str:
    return re.sub(r"\\x\{([0-9a-f]{2,4})\}", lambda found: f"\\u{int(found[1], 16):04x}", pattern)


# The blanks are none of the separators and are not given back, so that any text is read once.
_FORMULA = re.compile(_for_python(rf"(^|[{_SEPARATORS}])([{_BLANKS}]*+)([{_SIGNS}])"))


def plain_cell(text: str) -> str:
    """Give a text as a cell that no spreadsheet runs.

    Examples
    --------
    >>> plain_cell("=1+1"), plain_cell("Sun;=cmd"), plain_cell("Ben & Söhne - Co.")
    ("'=1+1", "Sun;'=cmd", 'Ben & Söhne - Co.')
    """
    found = _FORMULA.sub(r"\1\2'\3", text)
    return f"'{found}" if found.startswith(("\t", "\r", "\n")) else found


def plain_cells(table: pa.Table) -> pa.Table:
    """Give a table whose texts are all as `plain_cell` makes them; numbers and dates stay."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(table.schema):
        if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            continue
        column = table.column(place)
        runs = pc.fill_null(pc.match_substring_regex(column, _ANYWHERE), False)
        if pc.any(runs).as_py():
            plain = [plain_cell(text) for text in column.filter(runs).to_pylist()]
            column = pc.replace_with_mask(column.combine_chunks(), runs.combine_chunks(), pa.array(plain, field.type))
            table = table.set_column(place, field, column)
    return table
