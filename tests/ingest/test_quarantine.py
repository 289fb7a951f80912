"""Rows that load and that somebody should look at are named; mistakes are told before anything is read."""

from decimal import Decimal

import pytest
from company_files import DEALS, load_company, small_params, write_company

from pipeline.audit.leakage_audit import audit
from pipeline.audit.reconciliation import reconcile
from pipeline.commands.backtest import backtest
from pipeline.common.errors import UserError
from pipeline.config.params import load_params
from pipeline.ingest.load import company_at, load_tables
from pipeline.ingest.quarantine import doubtful

END = {"known_until": "2024-04-01", "quarantined_share_limit": 0.5}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["1.234", "12.500", "850"], "14584"),
        (["1,234", "12,500", "850"], "14584"),
        (["1.234.567", "12.500", "850"], "1247917"),
        (["1.234", "0.500", "1"], "2.734"),
        (["1250.375", "1.234", "1"], "1252.609"),
        (["1.234", "7,50", "1"], "1242.50"),
    ],
)
def test_three_digits_behind_every_separator_are_thousands_unless_another_value_says_otherwise(tmp_path, written, read):
    deals = [{**deal, "amount": text} for deal, text in zip(DEALS, [*written, ""], strict=True)]
    loaded = load_company(tmp_path, deals=deals)
    amounts = loaded.tables.deals.written_amount.to_pandas().dropna()
    assert amounts.sum() == Decimal(read)
    told = [note for mapping in loaded.mappings for note in mapping.raw.notes]
    assert bool(told) == (written == ["1.234", "12.500", "850"])


def test_doubtful_deals_are_named_one_by_one(tmp_path):
    deals = [
        {**DEALS[0], "amount": "n/a"},
        {**DEALS[1], "amount": "-7.50"},
        {**DEALS[2], "amount": "a lot"},
        {**DEALS[0], "deal_id": "D8", "lead_id": "L8", "closed_at": "2031-01-01"},
        DEALS[3],
    ]
    loaded = load_company(tmp_path, deals=deals, data=END)
    found = doubtful(loaded.connection, loaded.staged["deals"], loaded.known_until)[
        ["row", "column", "value", "reason"]
    ].astype(object)
    assert found.where(found.notna(), None).to_numpy().tolist() == [
        [4, "closed_at", "2031-01-01 23:59:59.999999", "closed after the data end"],
        [3, "amount", "a lot", "unreadable amount, left empty"],
        [2, "amount", "-7.5000", "won for a negative amount"],
        [1, "amount", None, "won for no amount"],
    ]
    told = " ".join(warning["text"] for warning in audit(loaded, loaded.known_until).warnings)
    assert "1 won for a negative amount: row 2 of deals.csv ('-7.5000')" in told
    assert reconcile(loaded).total.missing_revenue == 0


def test_a_column_cannot_be_both_begin_and_end(tmp_path):
    columns = {"leads": {"columns": {"created_at": "created_at", "closed_at": "created_at"}}}
    with pytest.raises(UserError, match=r"data.sources.leads.columns: created_at and closed_at are both read from"):
        load_company(tmp_path, sources=columns)
    # A stage that says the outcome, too, is how many systems write it.
    loaded = load_company(tmp_path, sources={"deals": {"columns": {"stage": "outcome", "outcome": "outcome"}}})
    assert loaded.tables.has("deals", "stage")


def test_misspelt_dates_are_told_before_anything_is_read(tmp_path):
    params = small_params(tmp_path)
    for file in tmp_path.glob("*.csv"):
        file.unlink()
    with pytest.raises(UserError, match="2024-13-01"):
        company_at(params, "2024-13-01")
    with pytest.raises(UserError, match="2024-13-01"):
        backtest(params, ["2024-01-01", "2024-13-01"], tmp_path)
    with pytest.raises(UserError, match=r"data.known_until: 'soon'"):
        load_tables(load_params(write_company(tmp_path, data={"known_until": "soon"})))
