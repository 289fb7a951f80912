"""The SQL of a params file reads named files and does nothing else; passwords go to named hosts only."""

import socket
import threading

import duckdb
import pytest

from pipeline.common.errors import UserError
from pipeline.config.params import Source, load_params
from pipeline.config.trusted_hosts import require_named_host
from pipeline.ingest.load import load_tables
from pipeline.ingest.sources import PLACE, ROW, read_source

COMPANY = """
company: x
data:
  {data}
  sources:
    leads: {leads}
    deals: {{from: deals.csv}}
"""


@pytest.fixture
def project(tmp_path):
    inside, outside = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (inside, outside, inside / "parts"):
        folder.mkdir()
    (inside / "leads.csv").write_text("lead_id,created_at,n\nb,2024-01-02,2\na,2024-01-01,1\n")
    (inside / "deals.csv").write_text("deal_id,lead_id,outcome,closed_at\nD1,a,won,2024-02-01\n")
    for n in (1, 2):
        (inside / "parts" / f"{n}.csv").write_text(f"lead_id,created_at,n\np{n},2024-01-01,{n}\n")
    (outside / "secret.csv").write_text("lead_id,created_at,n\nsecret,2024-01-01,1\n")
    (inside / "link.csv").symlink_to(outside / "secret.csv")
    return inside


def read(project, sql, folders=()):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Europe/Berlin'")
    scratch = project.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    raw = read_source(
        connection, "leads", "data.sources.leads", Source(sql=sql), project, scratch, [str(name) for name in folders]
    )
    return connection.table(raw.relation).df().sort_values(ROW, ignore_index=True).drop(columns=[ROW, PLACE])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1) TO '{out}' --",
        "SELECT 1); COPY (SELECT 1) TO '{out}'; SELECT * FROM (SELECT 1",
        "COPY (SELECT 1) TO '{out}'",
        "SELECT 1; SELECT 2",
        "SELECT 1;; DROP TABLE leads",
        "ATTACH '{out}' AS made",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET enable_external_access = true",
        "SET lock_configuration = false; SELECT 1",
        "CREATE TABLE t AS SELECT 1",
        "EXPORT DATABASE '{out}'",
        "CALL pragma_version()",
        "WITH made AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM made",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT",
        "--",
        "(" * 5_000,
    ],
)
def test_what_is_not_one_select_is_refused_and_writes_nothing(project, sql):
    out = project / "written"
    with pytest.raises(UserError, match=r"^data\.sources\.leads\.sql: ") as refused:
        read(project, sql.format(out=out))
    assert "\n" not in str(refused.value)
    assert not out.exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM '../elsewhere/secret.csv'",
        "SELECT * FROM 'parts/../../elsewhere/secret.csv'",
        "SELECT * FROM '{outside}/secret.csv'",
        'SELECT * FROM "{outside}/secret.csv"',
        "SELECT * FROM 'link.csv'",
        "SELECT * FROM read_csv(['leads.csv', '../elsewhere/secret.csv'])",
        "SELECT * FROM read_text('/etc/' || 'hostname')",
        "SELECT * FROM glob('{outside}/*')",
        "SELECT (SELECT content FROM read_text('/etc/hostname')) AS lead_id",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/hostname'')')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM read_text('~/.pgpass')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
        "SELECT * FROM 's3://bucket/x.parquet'",
    ],
)
def test_a_query_reads_no_file_that_was_not_named(project, sql):
    with pytest.raises(UserError, match=r"^data\.sources\.leads\.sql: ") as refused:
        read(project, sql.format(outside=project.parent / "elsewhere"))
    assert "secret," not in str(refused.value)


def test_a_query_sees_no_variable_and_no_other_source(project):
    import pandas as pd

    secrets = pd.DataFrame({"lead_id": ["secret"]})
    assert len(secrets) == 1
    with pytest.raises(UserError, match="secrets does not exist"):
        read(project, "SELECT * FROM secrets")
    with pytest.raises(UserError, match="getenv"):
        read(project, "SELECT getenv('PGPASSWORD') AS lead_id")


def test_a_file_of_the_running_folder_never_stands_in_for_the_project_s(project, monkeypatch):
    other = project.parent / "started_here"
    other.mkdir()
    (other / "leads.csv").write_text("lead_id,created_at,n\nother,2024-01-01,9\n")
    monkeypatch.chdir(other)
    assert read(project, "SELECT lead_id FROM 'leads.csv'")["lead_id"].tolist() == ["a", "b"]
    assert read(project, "SELECT lead_id FROM read_csv('leads.csv')")["lead_id"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("sql", "ids"),
    [
        ("SELECT lead_id FROM 'leads.csv';", ["a", "b"]),
        ("FROM 'leads.csv' SELECT lead_id -- a word", ["a", "b"]),
        ("SELECT lead_id FROM read_csv('parts/*.csv', header = true)", ["p1", "p2"]),
        ("SELECT lead_id FROM read_csv_auto(['leads.csv', 'parts/1.csv'])", ["a", "b", "p1"]),
        ("SELECT * EXCLUDE (n, created_at) FROM \"leads.csv\" UNION ALL BY NAME SELECT 'leads.csv' AS lead_id",
         ["a", "b", "leads.csv"]),
        ("WITH one AS (SELECT * FROM 'leads.csv') SELECT lead_id FROM one QUALIFY row_number() OVER (ORDER BY n) = 1",
         ["a"]),
        ("SELECT arg_min(lead_id, n) AS lead_id FROM 'leads.csv' GROUP BY ALL", ["a"]),
        ("SELECT list_transform([lead_id], lambda x: x || '!')[1] AS lead_id FROM 'leads.csv' WHERE n = 2", ["b!"]),
        ("(SELECT lead_id FROM 'leads.csv' LIMIT 0) UNION SELECT 'x' AS lead_id", ["x"]),
    ],
)  # fmt: skip
def test_what_companies_write_still_reads(project, sql, ids):
    assert sorted(read(project, sql)["lead_id"]) == ids


def test_types_and_the_time_zone_reach_the_tables_unchanged(project):
    sql = (
        "SELECT 'a' AS lead_id, sum(n) AS total, 1.10::DECIMAL(18, 2) AS amount, date '2024-01-02' AS day, "
        "timestamptz '2024-01-02 10:00' AS at, uuid '00000000-0000-0000-0000-000000000001' AS key FROM 'leads.csv'"
    )
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Europe/Berlin'")
    scratch = project.parent / "scratch"
    scratch.mkdir()
    raw = read_source(connection, "leads", "data.sources.leads", Source(sql=sql), project, scratch)
    assert list(raw.columns.values()) == [
        "VARCHAR", "HUGEINT", "DECIMAL(18,2)", "DATE", "TIMESTAMP WITH TIME ZONE", "UUID",
    ]  # fmt: skip
    moment = connection.table(raw.relation).project('epoch("at")').fetchall()
    assert moment == [(1704186000.0,)], "ten o'clock in Berlin"


def test_a_further_folder_is_named_in_the_params(project):
    sql = "SELECT lead_id, created_at FROM '../elsewhere/secret.csv'"
    for data, read_rows in (("folders: []", None), ("folders: [../elsewhere]", 1)):
        (project / "params.yaml").write_text(COMPANY.format(data=data, leads='{sql: "' + sql + '"}'))
        params = load_params(project / "params.yaml")
        if read_rows is None:
            with pytest.raises(UserError, match=r"data\.folders"):
                load_tables(params)
        else:
            assert load_tables(params).counts["leads"]["rows"] == read_rows


@pytest.fixture
def listener():
    """A host that somebody else listens on: it keeps what it is sent."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def listen():
            while True:
                try:
                    visitor, _ = server.accept()
                except OSError:
                    return
                with visitor:
                    visitor.settimeout(5)
                    heard.append(visitor.recv(1_000))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ana@127.0.0.1:{port}/crm/public.leads",
        "postgresql:///crm/public.leads?host=127.0.0.1&port={port}",
        "postgresql:///crm/public.leads?hostaddr=127.0.0.1&port={port}",
        "postgresql://trusted.example,127.0.0.1:{port}/crm/public.leads",
    ],
)
def test_no_password_goes_to_a_host_that_is_not_named(project, listener, monkeypatch, address):
    port, heard = listener
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    said = "{from: '" + address.format(port=port) + "'}"
    (project / "params.yaml").write_text(COMPANY.format(data="hosts: [trusted.example]", leads=said))
    with pytest.raises(UserError, match=r"data\.sources\.leads\.from: host 127\.0\.0\.1 is not in data\.hosts"):
        load_tables(load_params(project / "params.yaml"))
    assert not heard


def test_no_token_goes_to_an_mlflow_server_that_is_not_named(project, listener, monkeypatch):
    from pipeline.model_registry.mlflow_registry import Registry

    port, heard = listener
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret")
    text = COMPANY.format(data="hosts: []", leads="{from: leads.csv}")
    (project / "params.yaml").write_text(f"{text}mlflow: {{tracking_uri: 'http://127.0.0.1:{port}'}}\n")
    with pytest.raises(UserError, match=r"mlflow\.tracking_uri: host 127\.0\.0\.1 is not in data\.hosts"):
        Registry(load_params(project / "params.yaml"))
    assert not heard


@pytest.mark.parametrize(
    ("url", "hosts", "passes"),
    [
        ("postgresql://ann:pw@crm.example/db/t", ["crm.example"], True),
        ("postgresql://ann:p@w@crm.example:5433/db/t", ["CRM.example:5433"], True),
        ("postgresql://crm.example:5433/db/t", ["crm.example:5432"], False),
        ("postgresql://crm.example.evil.example/db/t", ["crm.example"], False),
        ("postgresql://crm.example@evil.example/db/t", ["crm.example"], False),
        ("postgresql://[::1]:5432/db/t", ["::1"], True),
        ("postgresql:///db/t", [], True),
        ("postgresql:///db/t?host=/var/run/postgresql", [], True),
        ("postgresql:///db/t?service=evil", [], False),
        ("postgresql:///db/t?host=%65vil.example", [], False),
        ("https://mlflow.example", [], False),
        ("sqlite:///mlflow.db", [], True),
        ("leads.csv", [], True),
    ],
)
def test_a_host_is_named_or_refused(url, hosts, passes):
    if passes:
        require_named_host(url, "key", hosts)
        return
    with pytest.raises(UserError) as refused:
        require_named_host(url, "key", hosts)
    assert "pw" not in str(refused.value)
