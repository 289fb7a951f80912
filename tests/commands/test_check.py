import json

import pandas as pd
import pytest
from company_files import DEALS, LEADS, load_company, small_params

from pipeline.commands.check import check, summary
from pipeline.common.errors import UserError


def test_check_opens_with_the_reconciliation_and_writes_three_files(tmp_path):
    params = small_params(tmp_path, data={"definitions": {"first": {"lead_id": [" l1 ", "L2"]}}})
    result = check(params, tmp_path / "out")
    assert summary(result).startswith(
        "Won deals in the source: 2, 300.30 EUR; loaded: 2, 300.30 EUR (equal to the cent)"
    )
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written == result.content
    assert {"excluded", "warnings", "counts", "reconciliation", "definitions"} <= set(written)
    assert written["definitions"] == {"every row of leads": 10, "first": 2}
    assert "<html" in (tmp_path / "out" / "audit.html").read_text()
    assert pd.read_parquet(tmp_path / "out" / "quarantine.parquet").empty


def test_check_writes_the_same_bytes_every_time(tmp_path):
    params = small_params(tmp_path, leads=[*LEADS, LEADS[0]])
    first, again = (check(params, tmp_path / name).folder for name in ("first", "again"))
    for name in ("audit.json", "audit.html", "quarantine.parquet"):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_every_quarantined_row_is_in_the_file(tmp_path):
    params = small_params(tmp_path, deals=[*DEALS, {**DEALS[0], "deal_id": "D5", "outcome": "eh?"}])
    check(params, tmp_path / "out")
    row = pd.read_parquet(tmp_path / "out" / "quarantine.parquet").iloc[0]
    assert (row["table"], row["row"], row["column"], row["value"]) == ("deals", 5, "outcome", "eh?")


def test_where_too_many_rows_are_bad_the_quarantine_is_written_all_the_same(tmp_path):
    params = small_params(tmp_path, leads=[{**lead, "created_at": "soon"} for lead in LEADS])
    with pytest.raises(UserError, match=r"quarantine.parquet"):
        check(params, tmp_path / "out")
    assert len(pd.read_parquet(tmp_path / "out" / "quarantine.parquet")) == 10
    assert not (tmp_path / "out" / "audit.json").exists()


def test_a_definition_of_a_column_that_leads_lack_is_named(tmp_path):
    params = small_params(tmp_path, data={"definitions": {"first": {"lead": ["x"]}}})
    with pytest.raises(UserError, match=r"data.definitions.first.lead: no column 'lead'"):
        check(params, tmp_path / "out")


def test_tables_that_are_not_there_are_said_to_be_missing(tmp_path):
    deals = [{name: deal[name] for name in ("deal_id", "lead_id", "outcome", "closed_at")} for deal in DEALS[:2]]
    result = check(small_params(tmp_path, deals=deals), tmp_path / "out")
    codes = {warning["code"] for warning in result.content["warnings"]}
    assert {"few_won", "no_lost", "no_amounts", "no_events", "no_accounts"} <= codes
    assert load_company(tmp_path, deals=deals).tables.deals.amount.isnull().all().execute()
