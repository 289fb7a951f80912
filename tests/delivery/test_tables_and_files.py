"""Scores in a table or a file: every record once, only what changed, nothing lost and nothing twice."""

from __future__ import annotations

import csv
import json
import sqlite3

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import leadrev, refusal
from delivery_company import REASON, FakeClock, delivered_lines, frame, scored, table
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands import deliver as command
from pipeline.commands.deliver import deliver, dry_run
from pipeline.config.delivery_params import OnlyChanges
from pipeline.delivery.changes import EXACT, FIGURE, SCORE, is_material
from pipeline.delivery.outbox import pause_seconds


@pytest.fixture
def company(tmp_path, monkeypatch):
    def nobody_asks(params):
        return lambda: pytest.fail("tables are read for mails alone")

    monkeypatch.setattr(command, "_loader", nobody_asks)
    found = scored(tmp_path)
    found.sinks(dwh={"to": "sqlite:///out.db/lead_scores"})
    return found


def sent(company, clock=None, **options):
    (result,) = deliver(company.params, clock=clock or FakeClock(), **options).results
    return result


def moved(**columns):
    """Scores in which L1 has other values."""
    found = frame()
    for name, value in columns.items():
        found[name] = found[name].astype(object if isinstance(value, str) else found[name].dtype)
        found.loc[0, name] = value
    return found


def test_a_first_delivery_makes_the_table_and_a_second_sends_nothing(company):
    ran = leadrev("deliver", folder=company.folder)
    assert (ran.code, ran.out) == (0, "dwh: 5 rows sent, 0 unchanged\n"), ran
    rows = table(company.folder)
    assert rows["L1"]["expected_revenue_90d"] == 1000
    assert rows["L1"]["notice"] is None
    assert not any("reason" in name for name in rows["L1"]), "words of reasons are sent where they are asked for"
    before = (company.folder / "out.db").read_bytes()
    assert leadrev("deliver", folder=company.folder).out == "dwh: 0 rows sent, 5 unchanged\n"
    assert (company.folder / "out.db").read_bytes() == before
    keys = ("sink", "sent", "unchanged", "failed", "parked")
    assert [[line[key] for key in keys] for line in delivered_lines(company.folder)] == [
        ["dwh", 5, 0, 0, 0],
        ["dwh", 0, 5, 0, 0],
    ]


def test_nothing_changed_asks_the_sink_nothing(company, monkeypatch):
    sent(company)
    monkeypatch.setattr(sqlite3, "connect", only_the_outbox(sqlite3.connect))
    assert sent(company).unchanged == 5


def only_the_outbox(connect):
    def asked(path, *more, **options):
        assert "outbox" in str(path)
        return connect(path, *more, **options)

    return asked


@pytest.mark.parametrize(
    ("columns", "is_news"),
    [
        ({"expected_revenue_90d": 1040.0}, False),
        ({"expected_revenue_90d": 1060.0}, True),
        ({"score": 88}, False),
        ({"score": 87}, True),
        ({"grade": "B"}, True),
        ({"rank": 4}, False),
        ({"model_version": "4"}, False),
        ({"deal_value": float("nan")}, True),
        ({"reasons_positive": json.dumps([REASON | {"text": "Asked for a demo 4 times"}])}, False),
        ({"reasons_positive": json.dumps([REASON | {"code": "size"}])}, True),
    ],
)
def test_only_what_is_material_is_sent(company, columns, is_news):
    names = ("expected_revenue_90d", "score", "grade", "rank", "model_version", "deal_value")
    fields = {name: name for name in names} | {"why": "reasons_positive.text"}
    company.sinks(dwh={"to": "sqlite:///out.db/lead_scores", "fields": fields})
    sent(company)
    company.score(moved(**columns))
    assert sent(company).sent == int(is_news)


def test_small_steps_count_from_the_value_delivered_last(company):
    sent(company)
    counts = []
    for step in (1.04, 1.08, 1.12, 1.16):
        company.score(moved(expected_revenue_90d=1000 * step))
        counts.append(sent(company).sent)
    assert counts == [0, 1, 0, 1]


numbers = st.one_of(st.none(), st.floats(0, 1e9))


@given(before=numbers, now=numbers, share=st.floats(0, 2))
def test_a_figure_is_news_where_it_moved_by_more_than_its_share(before, now, share):
    said = is_material({"a": before}, {"a": now}, {"a": FIGURE}, OnlyChanges(money_share=share))
    if before is None or now is None:
        assert said == (before is not now)
    else:
        assert said == (before != now and abs(now - before) > share * before)
    assert not is_material({"a": now}, {"a": now}, {"a": SCORE}, OnlyChanges(score=0))
    assert is_material({"a": now}, {"b": now}, {"b": EXACT}, OnlyChanges())


def test_a_lead_no_longer_scored_is_cleared_once_and_comes_back(company):
    sent(company)
    company.score(frame(4))
    assert sent(company).sent == 1
    assert set(table(company.folder)["L5"].values()) == {"L5", None}
    assert sent(company).sent == 0
    company.score(frame())
    assert sent(company).sent == 1
    assert table(company.folder)["L5"]["score"] == 86


def test_every_record_of_a_lead_gets_it_in_its_own_system(company):
    import yaml

    path = company.folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    for name, sources in content["data"]["sources"].items():
        content["data"]["sources"][name] = [sources | {"system": "crm"}, sources | {"system": "web"}]
    path.write_text(yaml.safe_dump(content))
    company.sinks(crm={"to": "sqlite:///crm.db/t", "system": "crm"}, all={"to": "sqlite:///all.db/t"})
    scores = frame(2)
    scores["lead_id"] = ["crm:7", "web:8"]
    company.score(scores, identity={"crm:7": "crm:7", "web:7": "crm:7", "web:8": "web:8", "crm:9": "web:8"})
    deliver(company.params, clock=FakeClock())
    crm, whole = table(company.folder, "t", file="crm.db"), table(company.folder, "t", file="all.db")
    assert {key: row["canonical_lead_id"] for key, row in crm.items()} == {"7": "crm:7", "9": "web:8"}
    assert whole.keys() == {"crm:7", "web:7", "web:8", "crm:9"}
    company.sinks(crm={"to": "sqlite:///crm.db/t", "system": "sap"})
    assert "deliver.crm.system: found 'sap'" in refusal("deliver", folder=company.folder)


def test_refused_rows_are_kept_in_the_tables_words_and_the_others_stay(company):
    with sqlite3.connect(company.folder / "out.db") as database:
        database.execute("CREATE TABLE lead_scores (lead_id TEXT PRIMARY KEY, score INT CHECK (score % 2 = 0))")
    company.sinks(dwh={"to": "sqlite:///out.db/lead_scores", "fields": {"score": "score"}}, attempts=3)
    result = sent(company)
    assert (result.sent, result.parked) == (3, 2), "three tries within a run are all that there are"
    assert "CHECK constraint failed: score % 2 = 0" in result.text
    assert leadrev("deliver", folder=company.folder).code == 3, "as long as something is parked"
    assert table(company.folder).keys() == {"L1", "L3", "L5"}
    assert sent(company).sent == 0, "what is parked is not tried by itself"
    with sqlite3.connect(company.folder / "out.db") as database:
        database.execute("DROP TABLE lead_scores")
    assert sent(company, to="dwh", resend=True).sent == 5, "anew, all of it"


def test_pauses_grow():
    pauses = [pause_seconds(n) for n in range(1, 10)]
    assert pauses == sorted(pauses)
    assert pauses[:3] == [1, 10, 100]


@pytest.mark.parametrize("gone", ["out.db", "lead_scores", "score"])
def test_what_vanished_is_told_and_never_made_anew_by_itself(company, gone):
    sent(company)
    if gone == "out.db":
        (company.folder / gone).unlink()
    else:
        with sqlite3.connect(company.folder / "out.db") as database:
            database.execute("DROP TABLE lead_scores" if gone == "lead_scores" else
                             "ALTER TABLE lead_scores DROP COLUMN score")  # fmt: skip
    company.score(moved(grade="C"))
    result = sent(company)
    assert (result.sent, result.failed) == (0, 1)
    assert gone in result.text
    assert (company.folder / "out.db").exists() == (gone != "out.db")


def test_another_address_is_another_sink(company):
    sent(company)
    company.sinks(dwh={"to": "sqlite:///new.db/lead_scores"})
    assert sent(company).sent == 5


def test_a_csv_collects_what_changed_until_somebody_takes_it_away(company):
    company.sinks(
        wizard={"to": "out/leads.csv", "key": "Id", "fields": {"Score": "score", "Why": "reasons_positive.text"}}
    )
    nasty = moved(reasons_positive=json.dumps([REASON | {"text": "=HYPERLINK(1)"}]))
    company.score(nasty)
    sent(company)
    path = company.folder / "out" / "leads.csv"

    def cells():
        with open(path, newline="") as file:
            return list(csv.reader(file))

    assert cells()[:2] == [["Id", "Score", "Why"], ["L1", "90", "'=HYPERLINK(1)"]]
    before = path.read_bytes()
    assert sent(company).sent == 0
    assert path.read_bytes() == before
    company.score(moved(score=50).iloc[:4])
    sent(company)
    assert len(cells()) == 6, "nobody has imported the others"
    assert [cells()[1][1], cells()[5]] == ["50", ["L5", "", ""]]
    path.unlink()
    company.score(moved(score=70).iloc[:4])
    sent(company)
    assert [row[0] for row in cells()] == ["Id", "L1"]
    path.write_text("Id;other\nL1;1\n")
    company.score(moved(score=20).iloc[:4])
    result = sent(company)
    assert result.failed == 1
    assert "import it and move it away" in result.text
    assert path.read_text() == "Id;other\nL1;1\n"


def test_a_folder_gets_a_parquet_file_of_what_changed_for_each_delivery(company):
    company.sinks(lake={"to": "lake/"})
    sent(company)
    company.score(moved(score=50).iloc[:4], as_of="2026-05-16T00:00:00Z")
    sent(company)
    sent(company)
    first, second = sorted((company.folder / "lake").glob("*.parquet"))
    assert first.name.startswith("2026-05-15")
    changed = pq.read_table(second).to_pylist()
    assert [(row["lead_id"], row["score"], row["is_cleared"]) for row in changed] == [
        ("L1", 50, False), ("L5", None, True)]  # fmt: skip
    assert pq.read_schema(first).equals(pq.read_schema(second))
    newest = pd.read_parquet(company.folder / "lake").sort_values("as_of").groupby("lead_id").tail(1)
    assert len(newest) == 5


def test_a_dry_run_writes_nothing(company):
    assert "dwh: 5 rows to send (5 new, 0 changed, 0 cleared), 0 unchanged" in dry_run(company.params)
    assert not (company.folder / "out.db").exists()
    assert not (company.folder / "outbox").exists()


@pytest.mark.parametrize(
    ("deliver", "said"),
    [
        ({}, "deliver in params names no sink"),
        ({"dwh": {"to": "sqlite:///a.db/t", "fields": {"x": "scor"}}}, "x: found 'scor'; did you mean 'score'?"),
        ({"dwh": {"to": "postgresql://dwh.example/a/b.t"}}, "deliver.dwh.to: host dwh.example is not in data.hosts"),
        ({"dwh": {"to": "postgresql://u:pl4nted@localhost/a/b.t"}}, "deliver.dwh.to: holds a password"),
        ({"dwh": {"to": "sqlite:///a.db/t", "top": 3}}, "deliver.dwh.top"),
        ({"dwh": {"to": "lake"}}, "deliver.dwh.to: found 'lake'"),
        ({"m": {"to": "smtp://localhost", "from": "a@b\nBcc: c@d"}}, "deliver.m.from"),
        ({"only_changes": {"money": 1}}, "deliver.only_changes.money: unknown key; did you mean 'money_share'?"),
        ({"dwh": {"to": "sqlite:///a.db/t", "key": "score", "fields": {"score": "rank"}}}, "deliver.dwh.fields"),
    ],
)  # fmt: skip
def test_a_mistake_gives_one_line_with_its_key_before_anything_is_sent(company, deliver, said):
    company.sinks(**deliver)
    told = refusal("deliver", folder=company.folder)
    assert said in told
    assert "pl4nted" not in told
    assert not (company.folder / "outbox").exists()


def test_scores_that_were_changed_since_are_not_delivered(company):
    frame(3).to_parquet(company.folder / "scores.parquet")
    assert "was changed since it was written" in refusal("deliver", folder=company.folder)


def test_a_file_that_is_something_else_is_not_written_over(company):
    before = (company.folder / "leads.csv").read_bytes()
    company.sinks(wizard={"to": "leads.csv"})
    assert sent(company).failed == 5
    assert (company.folder / "leads.csv").read_bytes() == before


def test_a_second_run_at_once_does_nothing(company):
    from pipeline.delivery.delivery import open_outbox

    with open_outbox(company.params):
        assert leadrev("deliver", folder=company.folder).code == 75
