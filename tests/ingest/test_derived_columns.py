"""Columns that a source does not have as such, deleted rows, whose deal it is, and ids in two lengths."""

import pytest
from company_files import load_company, small_params

from pipeline.audit.reconciliation import reconcile
from pipeline.common.errors import UserError
from pipeline.ingest.quarantine import quarantined

LEADS = [{"lead_id": f"L{n}", "created_at": f"2024-01-0{n} 09:00:00"} for n in range(1, 5)]


def deals_of(folder, rows, columns, **more):
    """The deals as loaded, by id: outcome, closing day, lead."""
    source = {"columns": columns, **more}
    loaded = load_company(folder, leads=LEADS, deals=rows, sources={"deals": source}, data={"timezone": "UTC"})
    found = loaded.connection.execute(
        "SELECT deal_id, outcome, closed_at::DATE::VARCHAR, lead_id FROM deals"
    ).fetchall()
    return {deal: rest for deal, *rest in found}, loaded


def test_the_first_filled_of_several_columns_counts(tmp_path):
    rows = [
        {"deal_id": "D1", "lead_id": "L1", "outcome": "won", "won_time": "2024-02-01", "lost_time": ""},
        {"deal_id": "D2", "lead_id": "L2", "outcome": "lost", "won_time": "", "lost_time": "2024-03-01"},
        {"deal_id": "D3", "lead_id": "L3", "outcome": "open", "won_time": "", "lost_time": ""},
    ]
    deals, _ = deals_of(tmp_path, rows, {"closed_at": ["won_time", "lost_time"]})
    assert {deal: day for deal, (_, day, _) in deals.items()} == {"D1": "2024-02-01", "D2": "2024-03-01", "D3": None}


def test_an_outcome_of_flags_is_open_where_none_is_set(tmp_path):
    rows = [
        {"deal_id": "D1", "lead_id": "L1", "closed_at": "2024-02-01", "IsClosed": "true", "IsWon": "1"},
        {"deal_id": "D2", "lead_id": "L2", "closed_at": "2024-02-02", "IsClosed": "TRUE", "IsWon": "0"},
        {"deal_id": "D3", "lead_id": "L3", "closed_at": "2024-12-02", "IsClosed": "false", "IsWon": "0"},
    ]
    deals, loaded = deals_of(tmp_path, rows, {"outcome": {"closed": "IsClosed", "won": "IsWon"}})
    assert {deal: outcome for deal, (outcome, _, _) in deals.items()} == {"D1": "won", "D2": "lost", "D3": "open"}
    assert "IsWon" not in loaded.tables.attributes["deals"]


def test_lost_may_be_a_flag_of_its_own_with_its_own_words(tmp_path):
    rows = [
        {"deal_id": "D1", "lead_id": "L1", "closed_at": "2024-02-01", "stage_id": "4", "active": "t"},
        {"deal_id": "D2", "lead_id": "L2", "closed_at": "2024-02-02", "stage_id": "2", "active": "f"},
        {"deal_id": "D3", "lead_id": "L3", "closed_at": "", "stage_id": "2", "active": "t"},
    ]
    words = {"outcome": {"won": ["4"], "lost": ["f"]}}
    deals, _ = deals_of(tmp_path, rows, {"outcome": {"won": "stage_id", "lost": "active"}}, values=words)
    assert {deal: outcome for deal, (outcome, _, _) in deals.items()} == {"D1": "won", "D2": "lost", "D3": "open"}


def test_of_several_ids_in_a_cell_the_first_counts(tmp_path):
    rows = [{"deal_id": "D1", "contacts": "L2; L1", "outcome": "won", "closed_at": "2024-02-01"}]
    deals, _ = deals_of(tmp_path, rows, {"lead_id": {"column": "contacts", "split": ";"}})
    assert deals["D1"][2] == "L2"


def test_deleted_rows_are_left_out_listed_and_no_revenue(tmp_path):
    rows = [
        {
            "deal_id": "D1",
            "lead_id": "L1",
            "outcome": "won",
            "closed_at": "2024-02-01",
            "amount": "1",
            "IsDeleted": "0",
        },
        {
            "deal_id": "D2",
            "lead_id": "L2",
            "outcome": "won",
            "closed_at": "2024-02-02",
            "amount": "9",
            "IsDeleted": "1",
        },
    ]
    _, loaded = deals_of(tmp_path, rows, {})
    counts = loaded.counts["deals"]
    assert [counts[name] for name in ("rows", "loaded", "quarantined", "deleted")] == [2, 1, 1, 1]
    assert quarantined(loaded.connection)[["source", "row", "reason"]].to_numpy().tolist() == [
        ["deals.csv", 2, "deleted in the source"]
    ]
    assert reconcile(loaded).total.deals["source"] == 1
    assert "IsDeleted" not in loaded.tables.attributes["deals"]


def test_a_lead_may_name_its_deal_and_the_newest_of_several_has_it(tmp_path):
    leads = [{**lead, "deal_id": "D1" if lead["lead_id"] in ("L1", "L3") else ""} for lead in LEADS]
    rows = [{"deal_id": "D1", "account_id": "A", "outcome": "won", "closed_at": "2024-02-01"}]
    loaded = load_company(tmp_path, leads=leads, deals=rows)
    assert loaded.connection.execute("SELECT lead_id FROM deals").fetchall() == [("L3",)]


def test_ids_of_15_and_18_characters_are_one_and_zeros_are_nobody(tmp_path):
    ids = ["00QAb00000CdEfG", "00QAb00000CdEfg", "00QAb00000CdEfH"]
    leads = [{**lead, "lead_id": key} for lead, key in zip(LEADS, ids, strict=False)]
    rows = [
        {"deal_id": "D1", "lead_id": "00QAb00000CdEfGMAV", "outcome": "won", "closed_at": "2024-02-01"},
        {"deal_id": "D2", "lead_id": "00QAb00000CdEfgMAF", "outcome": "lost", "closed_at": "2024-02-01"},
        {"deal_id": "D3", "lead_id": "00QAb00000CdEfH", "outcome": "won", "closed_at": "2024-02-01"},
        {"deal_id": "D4", "lead_id": "000000000000000AAA", "outcome": "won", "closed_at": "2024-02-01"},
    ]
    loaded = load_company(tmp_path, leads=leads, deals=rows)
    found = loaded.connection.execute(
        "SELECT deal_id, leads.lead_id IS NOT NULL FROM deals LEFT JOIN leads USING (lead_id) ORDER BY 1"
    ).fetchall()
    assert found == [("D1", True), ("D2", True), ("D3", True), ("D4", False)]
    assert loaded.connection.execute("SELECT lead_id FROM deals WHERE deal_id = 'D4'").fetchall() == [(None,)]


def test_a_closing_after_the_last_change_is_a_plan(tmp_path):
    rows = [
        {
            "deal_id": "D1",
            "lead_id": "L1",
            "outcome": "lost",
            "closed_at": "2024-12-15",
            "LastModifiedDate": "2024-03-02",
        },
        {
            "deal_id": "D2",
            "lead_id": "L2",
            "outcome": "won",
            "closed_at": "2024-03-01",
            "LastModifiedDate": "2024-03-01",
        },
    ]
    deals, _ = deals_of(tmp_path, rows, {})
    assert {deal: day for deal, (_, day, _) in deals.items()} == {"D1": "2024-03-02", "D2": "2024-03-01"}


def test_a_source_has_a_time_zone_of_its_own(tmp_path):
    leads = [
        {"lead_id": "L1", "created_at": "2024-07-01 23:30:00"},
        {"lead_id": "L2", "created_at": "2024-07-01T23:30:00+02:00"},
        {"lead_id": "L3", "created_at": "2024-07-01"},
    ]
    loaded = load_company(
        tmp_path, leads=leads, sources={"leads": {"timezone": "America/New_York"}}, data={"timezone": "Europe/Berlin"}
    )
    times = loaded.connection.execute("SELECT created_at::VARCHAR FROM leads ORDER BY lead_id").fetchall()
    # A bare date is a day of the company's, whatever the source.
    assert [time for (time,) in times] == ["2024-07-02 03:30:00", "2024-07-01 21:30:00", "2024-07-01 21:59:59.999999"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"closed_at": []}, r"columns.closed_at: found \[\]; a column is a name, a list of names"),
        ({"closed_at": {"colum": "x"}}, "columns.closed_at: found .*colum"),
        ({"outcome": {"closed": "a"}}, "columns.outcome: found .*closed"),
    ],
)
def test_a_form_that_is_none_is_refused_with_the_forms_there_are(tmp_path, columns, told):
    with pytest.raises(UserError, match=told):
        small_params(tmp_path, sources={"deals": {"columns": columns}})


def test_a_column_that_a_form_names_and_nobody_has_is_named(tmp_path):
    with pytest.raises(UserError, match=r"columns.closed_at: no column 'won_tme' in deals\.csv"):
        load_company(tmp_path, sources={"deals": {"columns": {"closed_at": ["won_tme", "closed_at"]}}})


@pytest.mark.parametrize(
    ("named", "won", "lost"), [("IsWon", "1", "0"), ("IsWon", "true", "false"), ("is_closed", "Yes", "No")]
)
@pytest.mark.parametrize("mapped", [True, False])
def test_one_flag_is_read_together_with_the_other(tmp_path, named, won, lost, mapped):
    closed_name, won_name = ("is_closed", "hs_is_closed_won") if named == "is_closed" else ("IsClosed", named)
    states = {"D1": (won, won), "D2": (won, lost), "D3": (lost, lost)}
    rows = [
        {"deal_id": deal, "lead_id": f"L{n}", "closed_at": f"2024-02-0{n}", closed_name: closed, won_name: is_won}
        for n, (deal, (closed, is_won)) in enumerate(states.items(), 1)
    ]
    values = {"values": {"outcome": {"won": [won], "lost": [lost]}}} if mapped else {}
    deals, loaded = deals_of(tmp_path, rows, {"outcome": named}, **values)
    assert {deal: outcome for deal, (outcome, _, _) in deals.items()} == {"D1": "won", "D2": "lost", "D3": "open"}
    notes = [note for mapping in loaded.mappings for note in mapping.raw.notes]
    assert any("what is not closed is open" in note for note in notes)


def test_a_flag_alone_is_asked_about(tmp_path):
    rows = [{"deal_id": "D1", "lead_id": "L1", "closed_at": "2024-02-01", "IsWon": "true"}]
    with pytest.raises(UserError, match=r"closed: IsClosed, won: IsWon"):
        deals_of(tmp_path, rows, {"outcome": "IsWon"})


def test_words_of_the_file_are_known_where_a_query_makes_them_booleans(tmp_path):
    (tmp_path / "d.csv").write_text("id,lead,result,ended\nD1,L1,yes,2024-02-01\nD2,L2,no,2024-02-02\n")
    source = {
        "from": None,
        "sql": "SELECT id AS deal_id, lead AS lead_id, result AS outcome, ended AS closed_at FROM 'd.csv'",
        "values": {"outcome": {"won": ["Yes"], "lost": ["no"]}},
    }
    loaded = load_company(tmp_path, leads=LEADS, sources={"deals": source}, data={"timezone": "UTC"})
    found = dict(loaded.connection.execute("SELECT deal_id, outcome FROM deals").fetchall())
    assert found == {"D1": "won", "D2": "lost"}


def test_changes_without_a_table_are_told_how_to_say_it(tmp_path):
    changes = [{"OpportunityId": "D1", "Field": "Amount", "At": "2024-02-01", "Old": "1", "New": "2"}]
    columns = {"row_id": "OpportunityId", "field": "Field", "changed_at": "At", "old_value": "Old", "new_value": "New"}
    with pytest.raises(UserError, match=r"columns: \{table: \{constant: deals\}\}"):
        load_company(tmp_path, changes=changes, sources={"changes": {"columns": columns}})
