"""Exports as people write them, drawn at random, are read as a slow and obvious reading of their rows has it.

What is drawn: signs between cells, quotes, coding and line ends; how dates and amounts are written; versions of deals
in any order of rows; deleted rows, marked in some system's way. The truth is drawn first, and then written down.
"""

import csv
import io
from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables

END = date(2025, 1, 31)
DATES = {
    "iso": lambda day: day.isoformat(),
    "german": lambda day: day.strftime("%d.%m.%Y"),
    "american": lambda day: day.strftime("%m/%d/%Y"),
    "midnight": lambda day: f"{day.isoformat()} 00:00:00",
    "named": lambda day: day.strftime("%b %d, %Y"),
    "slashes": lambda day: day.strftime("%Y/%m/%d"),
}
AMOUNTS = {
    "plain": lambda amount: f"{amount:.2f}",
    "american": lambda amount: f"{amount:,.2f}",
    "european": lambda amount: f"{amount:,.2f}".translate(str.maketrans(",.", ".,")),
    "euro": lambda amount: f"{amount:,.2f}".translate(str.maketrans(",.", ".,")) + " €",
    "code": lambda amount: f"EUR {amount:,.2f}",
    "accountants": lambda amount: f"({-amount:,.2f})" if amount < 0 else f"{amount:,.2f}",
}
DELETED = {"IsDeleted": ("true", "false"), "_fivetran_deleted": ("1", "0"), "archived": ("TRUE", "FALSE")}
CHANGED = ("updated_at", "SystemModstamp", "_fivetran_synced")


@st.composite
def exports(draw):
    """A company's deals, each in versions, and how they are written."""
    deals = []
    for number in range(draw(st.integers(13, 25))):
        # The first ones are won on days that tell day from month, for amounts that tell the signs in them.
        sure = number < 13
        closed = (
            date(2024, 1 + number % 12, 13 + number % 15)
            if sure
            else date(2024, 1, 1) + timedelta(draw(st.integers(0, 360)))
        )
        amount = (
            Decimal(123_456 + 100_000 * number) / 100 if sure else Decimal(draw(st.integers(-500_000, 9_999_999))) / 100
        )
        outcome = "won" if sure else draw(st.sampled_from(["won", "lost", "open"]))
        deals.append({
            "deal": f"D{number}", "lead": f"L{draw(st.integers(0, 9))}", "outcome": outcome, "closed": closed,
            "amount": amount, "versions": draw(st.integers(1, 3)), "deleted": False if sure else draw(st.booleans()),
        })  # fmt: skip
    return {
        "deals": deals,
        "sign": draw(st.sampled_from(",;\t|")),
        "quoting": draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])),
        "coding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
        "line_end": draw(st.sampled_from(["\n", "\r\n"])),
        "dates": draw(st.sampled_from(sorted(DATES))),
        "amounts": draw(st.sampled_from(sorted(AMOUNTS))),
        "deleted": draw(st.sampled_from(sorted(DELETED))),
        "changed": draw(st.sampled_from(CHANGED)),
        "order": draw(st.randoms(use_true_random=False)),
    }


def rows_of(export):
    """Every version of every deal as the export has it; older versions are open, for another amount."""
    is_deleted, is_not = DELETED[export["deleted"]]
    rows = []
    for deal in export["deals"]:
        for version in range(1, deal["versions"] + 1):
            newest = version == deal["versions"]
            rows.append({
                "deal_id": deal["deal"],
                "lead_id": deal["lead"],
                "outcome": deal["outcome"] if newest else "open",
                "closed_at": DATES[export["dates"]](deal["closed"]),
                "amount": AMOUNTS[export["amounts"]](deal["amount"] + (0 if newest else 1)),
                export["changed"]: f"2025-01-{version:02d}T08:00:00Z",
                export["deleted"]: is_deleted if deal["deleted"] and newest else is_not,
            })  # fmt: skip
    export["order"].shuffle(rows)
    return rows


def write_export(folder, export):
    rows = rows_of(export)
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(rows[0]), delimiter=export["sign"], quoting=export["quoting"], lineterminator=export["line_end"]
    )
    writer.writeheader()
    writer.writerows(rows)
    (folder / "deals.csv").write_bytes(text.getvalue().encode(export["coding"]))
    leads = "".join(f"L{n},2023-12-{n + 1:02d} 09:00:00\n" for n in range(10))
    (folder / "leads.csv").write_text(f"lead_id,created_at\n{leads}")
    sources = {table: {"from": f"{table}.csv"} for table in ("leads", "deals")}
    data = {"timezone": "UTC", "known_until": END.isoformat(), "sources": sources}
    (folder / "params.yaml").write_text(yaml.safe_dump({"company": "drawn", "currency": "EUR", "data": data}))
    return pd.DataFrame(rows)


def slow_reading(export, rows):
    """What a person would work out with the written rows: the newest version of what is not deleted."""
    truth = {deal["deal"]: deal for deal in export["deals"]}
    is_deleted, _ = DELETED[export["deleted"]]
    newest = rows.sort_values(export["changed"]).groupby("deal_id").tail(1)
    kept = newest[newest[export["deleted"]] != is_deleted]
    return {
        row.deal_id: (row.outcome, truth[row.deal_id]["closed"] if row.outcome != "open" else None,
                      truth[row.deal_id]["amount"], row.lead_id)
        for row in kept.itertuples()
    }  # fmt: skip


@settings(max_examples=12, derandomize=True, deadline=None, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
@given(export=exports())
def test_whatever_the_dialect_an_export_is_read_as_its_rows_say(tmp_path_factory, export):
    folder = tmp_path_factory.mktemp("drawn")
    rows = write_export(folder, export)
    loaded = load_tables(load_params(folder / "params.yaml"))
    found = loaded.connection.execute(
        "SELECT deal_id, outcome, CAST(CASE WHEN outcome <> 'open' THEN closed_at END AS DATE), amount, lead_id "
        "FROM (SELECT *, row_number() OVER (PARTITION BY deal_id ORDER BY recorded_at DESC) AS place FROM deals) "
        "WHERE place = 1"
    ).fetchall()
    read = {deal: (outcome, day, amount, lead) for deal, outcome, day, amount, lead in found}
    expected = slow_reading(export, rows)
    assert {deal: value[:2] for deal, value in read.items()} == {deal: value[:2] for deal, value in expected.items()}
    assert {deal: value[3] for deal, value in read.items()} == {deal: value[3] for deal, value in expected.items()}
    won = {deal: value[2] for deal, value in expected.items() if value[0] == "won"}
    assert {deal: read[deal][2] for deal in won} == pytest.approx(won)
    counts = loaded.counts["deals"]
    assert counts["rows"] == len(rows) == counts["loaded"] + counts["quarantined"]
