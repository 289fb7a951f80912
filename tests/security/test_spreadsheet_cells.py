"""No file that we write holds a cell which a spreadsheet runs, whatever separates cells in its country."""

import csv
import io
import re

import hypothesis
import hypothesis.strategies as st
import pyarrow as pa
import pytest

from pipeline.archive import feedback
from pipeline.common.spreadsheet_text import plain_cell, plain_cells

SIGNS = "=+-@＝＋－＠"
SEPARATORS = ",;|\t\n\r\v\f\x1c\x85\u2028\u2029"
BLANKS = " \"'\xa0\u200b\u3000\ufeff"
HOSTILE = st.text(st.sampled_from(SIGNS + SEPARATORS + BLANKS + "a1(!"), max_size=12)


def runs(cell):
    """Whether a spreadsheet would run a cell: after blanks and quotes stands a sign of a formula."""
    return cell.strip(BLANKS + " ")[:1] in tuple(SIGNS) if cell.strip(BLANKS + " ") else False


@hypothesis.given(HOSTILE)
@hypothesis.settings(max_examples=400, derandomize=True, database=None, deadline=None)
def test_no_cell_runs_behind_any_separator_and_quote(text):
    plain = plain_cell(text)
    for cell in [plain, *re.split(f"[{SEPARATORS}]", plain)]:
        # an apostrophe right before the sign is what keeps it text
        assert not re.match(f"[{BLANKS.replace(chr(39), '')}]*[{re.escape(SIGNS)}]", cell)
        if runs(cell):
            assert re.search(f"'[{re.escape(SIGNS)}]", cell)
    assert plain_cells(pa.table({"text": [text, None]}))["text"].to_pylist() == [plain, None]


@hypothesis.given(HOSTILE, st.sampled_from([",", ";", "\t", "|"]))
@hypothesis.settings(max_examples=200, derandomize=True, database=None, deadline=None)
def test_a_file_read_with_another_separator_holds_no_formula(text, separator):
    written = io.StringIO()
    csv.writer(written).writerow(["a", plain_cell(text), "b"])
    for row in csv.reader(io.StringIO(written.getvalue(), newline=""), delimiter=separator):
        assert not [cell for cell in row if cell[:1] in tuple(SIGNS)]


@pytest.mark.parametrize("text", ["Ben & Söhne - Co.", "a-b", "2024-01-02", "x = y", "ana@costa.example", "", "'x'"])
def test_ordinary_text_stays(text):
    assert plain_cell(text) == text


def test_a_long_run_of_separators_and_blanks_is_read_once():
    for piece in ("\t", ";", " ", "\n ", '"', "; "):
        assert len(plain_cell(piece * 300_000 + "=1")) == len(piece) * 300_000 + 3 + piece.startswith(("\t", "\n"))


def test_answers_as_csv_hold_no_formula(tmp_path):
    store = feedback.AnswerStore(tmp_path / feedback.FILE)
    store.add(
        feedback.Answer(
            "click-000001", feedback.now(), "=HYPERLINK(1)", "x;@SUM(1)", 1, "not_a_lead", "+1", "2026-05-15", "-2"
        )
    )
    assert feedback.export(tmp_path, tmp_path / "answers.csv") == 1
    (row,) = csv.DictReader((tmp_path / "answers.csv").open(encoding="utf-8"))
    assert (row["answered_by"], row["lead_id"]) == ("'=HYPERLINK(1)", "x;'@SUM(1)")
    assert (row["topic"], row["model_version"]) == ("'+1", "'-2")
