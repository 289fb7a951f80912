import gzip
import os
import sqlite3
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from pipeline.common.errors import UserError
from pipeline.common.masking import without_password
from pipeline.config.params import Source
from pipeline.ingest.sources import PLACE, ROW, read_source


def read(folder: Path, table: str = "leads", **said):
    connection = duckdb.connect()
    connection.execute(f"SET file_search_path = '{folder}'")
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    raw = read_source(connection, table, f"data.sources.{table}", Source.model_validate(said), folder, scratch)
    return raw, connection.table(raw.relation).df().sort_values(ROW, ignore_index=True).drop(columns=PLACE)


def refusal(folder: Path, **said) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, **said)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "id,näme\n1,Zoë\n".encode(),
        "\ufeffid;näme\n1;Zoë\n".encode(),
        "id\tnäme\r\n1\tZoë\r\n".encode("latin-1"),
        "id|näme\n1|Zoë".encode("utf-16"),
        b'"id","n\xc3\xa4me"\n"1","Zo\xc3\xab"\n',
    ],
)
def test_csv_is_read_whatever_its_delimiter_and_encoding(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    raw, rows = read(tmp_path, **{"from": "a.csv"})
    assert rows[["id", "näme"]].to_numpy().tolist() == [["1", "Zoë"]]
    assert bool(raw.notes) == (not content.isascii() and b"\xc3" not in content)


def test_csv_keeps_text_as_it_stands_and_sets_broken_lines_aside(tmp_path):
    (tmp_path / "a.csv").write_text('id,text\n007,"two\nlines"\n1,x,extra\n2\n\n3,"say ""hi"""\n')
    raw, rows = read(tmp_path, **{"from": "a.csv"})
    assert rows[["id", "text"]].to_numpy().tolist() == [["007", "two\nlines"], ["3", 'say "hi"']]
    assert [text for _, _, text, _ in raw.spoiled] == ["1,x,extra", "2"]
    assert raw.row_count + len(raw.spoiled) == 4


def test_names_in_a_header_become_unique(tmp_path):
    (tmp_path / "a.csv").write_text("id,Name,name,,\n1,2,3,4,5\n")
    raw, _ = read(tmp_path, **{"from": "a.csv"})
    assert list(raw.columns) == ["id", "Name", "name_2", "column_4", "column_5"]


def test_json_lines_become_text_columns_and_what_is_no_object_is_set_aside(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1, "b": {"c": [1]}}\n\nnot json\n{"id": "x", "d": null}\n[1]\n')
    raw, rows = read(tmp_path, **{"from": "a.jsonl"})
    assert rows["id"].tolist() == ["1", "x"]
    assert rows["b"][0] == '{"c":[1]}'
    assert len(raw.spoiled) == 2


def test_a_glob_gzip_and_parquet_read_as_one_table_each(tmp_path):
    for n in (1, 2):
        with gzip.open(tmp_path / f"part{n}.csv.gz", "wt") as file:
            file.write(f"id,only{n}\n{n},x\n")
        pd.DataFrame({"id": [n], "at": pd.to_datetime(["2024-01-01"])}).to_parquet(tmp_path / f"p{n}.parquet")
    raw, rows = read(tmp_path, **{"from": "part*.csv.gz"})
    assert sorted(raw.columns) == ["id", "only1", "only2"]
    assert rows["id"].tolist() == ["1", "2"]
    raw, rows = read(tmp_path, **{"from": "p*.parquet"})
    assert len(rows) == 2
    assert raw.columns["at"].startswith("TIMESTAMP")


def test_sql_reads_files_beside_the_params_in_an_order_of_its_own(tmp_path):
    (tmp_path / "a.csv").write_text("id,n\nb,2\na,1\n")
    _, rows = read(tmp_path, sql="SELECT id, n + 1 AS n FROM 'a.csv';")
    assert rows[["id", "n", ROW]].to_numpy().tolist() == [["a", 2, 1], ["b", 3, 2]]


def test_sqlite_is_read_as_text_whatever_the_names(tmp_path):
    database = sqlite3.connect(tmp_path / "crm.db")
    database.execute('CREATE TABLE "my ""leads" (id, "a b" REAL)')
    database.executemany('INSERT INTO "my ""leads" VALUES (?, ?)', [(1, 1.5), ("x", None)])
    database.commit()
    _, rows = read(tmp_path, **{"from": 'sqlite:///crm.db/my "leads'})
    assert rows[["id", "a b"]].to_numpy().tolist() == [["1", "1.5"], ["x", None]]
    assert "no table 'none'" in refusal(tmp_path, **{"from": "sqlite:///crm.db/none"})
    assert "no SQLite file" in refusal(tmp_path, **{"from": "sqlite:///other.db/leads"})
    assert not (tmp_path / "other.db").exists()


@pytest.mark.skipif("LEADREV_TEST_POSTGRESQL" not in os.environ, reason="LEADREV_TEST_POSTGRESQL names no server")
def test_postgresql_is_read_through_quoted_names(tmp_path):
    import adbc_driver_postgresql.dbapi as postgresql

    address = os.environ["LEADREV_TEST_POSTGRESQL"].rstrip("/")
    with postgresql.connect(address) as database, database.cursor() as cursor:
        cursor.execute('DROP SCHEMA IF EXISTS "leadrev test" CASCADE')
        cursor.execute('CREATE SCHEMA "leadrev test"')
        cursor.execute('CREATE TABLE "leadrev test".leads (id uuid, "a b" numeric(12, 2), at timestamptz, on_day date)')
        cursor.execute(
            "INSERT INTO \"leadrev test\".leads VALUES ('00000000-0000-0000-0000-000000000001', 12.30, "
            "'2024-01-01 10:00:00+02', '2024-01-02')"
        )
        database.commit()
    raw, rows = read(tmp_path, **{"from": f"{address}/leadrev%20test.leads"})
    assert rows["id"][0] == "00000000-0000-0000-0000-000000000001"
    assert rows["a b"][0] == "12.30"
    assert raw.columns["at"] == "TIMESTAMP WITH TIME ZONE"
    assert "no such table" in refusal(tmp_path, **{"from": f"{address}/public.nothing_here"})


def test_a_password_is_never_shown(tmp_path):
    for url in ("postgresql://ann:s3cret@localhost:1/db/public.t", "postgresql://ann:s3c@ret@localhost:1/db/t"):
        message = refusal(tmp_path, **{"from": url})
        assert "s3c" not in message
        assert "ret@" not in message
        assert "ann" in without_password(url)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"from": "leds.csv"}, ["data.sources.leads.from", "leds.csv", "'leads.csv'"]),
        ({"from": "empty.csv"}, ["data.sources.leads.from", "empty"]),
        ({"from": "header.csv"}, ["data.sources.leads", "no rows"]),
        ({"from": "notes.docx"}, ["data.sources.leads.from", ".parquet"]),
        ({"from": "bad.parquet"}, ["data.sources.leads.from", "bad.parquet"]),
        ({"from": "."}, ["data.sources.leads.from", "folder"]),
        ({"sql": "SELECT lead_i FROM 'leads.csv'"}, ["data.sources.leads.sql", "lead_i"]),
        ({"sql": "SELECT 1; SELECT 2"}, ["data.sources.leads.sql"]),
        ({"sql": "SELECT 1 AS a WHERE false"}, ["data.sources.leads", "no rows"]),
        ({"from": "sqlite:///leads"}, ["data.sources.leads.from", "file.db/table"]),
    ],
)
def test_a_source_that_cannot_be_read_gives_one_line(tmp_path, said, told):
    (tmp_path / "leads.csv").write_text("lead_id\n1\n")
    (tmp_path / "empty.csv").write_text("\n")
    (tmp_path / "header.csv").write_text("lead_id,created_at\n")
    for name in ("notes.docx", "bad.parquet"):
        (tmp_path / name).write_text("nothing of the kind")
    message = refusal(tmp_path, **said)
    assert all(part in message for part in told), message
