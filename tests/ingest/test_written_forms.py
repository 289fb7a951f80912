"""Ways of writing times and amounts: read where a column agrees on one, left unread where nothing tells."""

import duckdb
import pytest

from pipeline.common.masking import shape
from pipeline.ingest.amount_formats import number_sql, unit_sql
from pipeline.ingest.column_survey import survey
from pipeline.ingest.currencies import named_currency
from pipeline.ingest.parsing import Conventions
from pipeline.ingest.report_layout import footer_length, header_row
from pipeline.ingest.time_formats import time_sql


def read(values, use, company="USD"):
    """A column's values as they are read: times as text, amounts with the currency written beside them."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'; CREATE TABLE t (c VARCHAR)")
    connection.executemany("INSERT INTO t VALUES ($1)", [[value] for value in values])
    base = Conventions(currency=company, zone="America/New_York")
    agreed = survey(connection, "t", {"c": use}, {"c": "VARCHAR"}, base)["c"]
    if use == "time":
        times = connection.execute(f"SELECT {time_sql('c', 'VARCHAR', agreed)} FROM t").fetchall()  # noqa: S608
        return [str(moment) for (moment,) in times]
    amount, unit = number_sql("c", "VARCHAR", agreed), unit_sql("c", "VARCHAR", agreed)
    query = f"SELECT {amount}, {unit} FROM t"  # noqa: S608 (made of our own expressions)
    return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["5/23/24 08:55 PM"], "2024-05-24 00:55:00"),
        (["5/23/2024, 8:55:10\u202fPM"], "2024-05-24 00:55:10"),
        (["23.05.24 20:55"], "2024-05-24 00:55:00"),
        (["23. Mai 2024"], "2024-05-24 03:59:59.999999"),
        (["2024-May"], "2024-06-01 03:59:59.999999"),
        (["2024-05-23 08:55 PM"], "2024-05-24 00:55:00"),
        (["45435.5"], "2024-05-23 16:00:00"),
        (["2024-05-23 00:00:00", "2024-05-24 00:00:00"], "2024-05-24 03:59:59.999999"),
        (["03/04/2024"], "None"),
        (["24/05/23", "24/05/24", "24/06/25", "24/06/01"], "None"),
    ],
)
def test_times_are_read_as_their_column_writes_them(written, told):
    assert read(written, "time")[0] == told


@pytest.mark.parametrize(
    ("written", "company", "told"),
    [
        ("$1,200", "EUR", (1200, "USD")),
        ("$1,200", "CAD", (1200, "CAD")),
        ("(500.00)", "USD", (-500, None)),
        ("1.234,--", "EUR", (1234, None)),
        ("12,34,567.50", "INR", (1234567.5, None)),
        ("USD 1,234.50 (MXN 21,000.00)", "USD", (1234.5, "USD")),
        ("1\u202f234,50 kr", "SEK", (1234.5, "SEK")),
        ("1\u202f234,50 kr", "USD", (None, None)),
        ("$1.2k", "USD", (1200, "USD")),
        ("12 pieces", "USD", (None, None)),
    ],
)
def test_a_unit_beside_an_amount_is_part_of_it(written, company, told):
    assert read([written], "money", company) == [told]


def test_two_styles_in_one_column_leave_unread_what_either_separates():
    assert [amount for amount, _ in read(["1.234,50", "1,234.50", "12"], "money")] == [None, None, 12]


def test_currencies_are_known_by_name():
    assert [named_currency(word, "USD") for word in ("US Dollar", "Euro (EUR)", "Schweizer Franken", "shells")] == [
        "USD", "EUR", "CHF", None,
    ]  # fmt: skip


def test_reports_have_titles_above_and_totals_below():
    rows = [["All leads"], [], ["Id", "Made", "Source"], ["L1", "1/2/2024", "Web"], ["L2", "1/3/2024", "Web"]]
    assert header_row(rows) == 2
    assert header_row(rows[2:]) == 0
    assert footer_length([["L2", "1/3/2024", "Web"], [], ["Grand Totals (2 records)"]], 3) == 1


def test_a_shape_shows_no_value():
    assert shape("05/23/24 08:55 PM, Ann") == "99/99/99 99:99 PM, Aaa"
