"""Scores in a real PostgreSQL server: what it refuses is kept in its words, what it took is there once."""

from __future__ import annotations

import pytest
from conftest import leadrev
from delivery_company import FakeClock, frame, scored
from postgresql_server import SECRET, execute, postgresql_server

from pipeline.commands import deliver as command
from pipeline.commands.deliver import deliver
from pipeline.delivery.outbox import Outbox

FIELDS = {"score": "score", "money": "expected_revenue_90d", "at": "as_of"}
TABLE = "CREATE TABLE scores (lead_id text PRIMARY KEY, score int, money numeric(12, 2), at timestamptz)"


@pytest.fixture(scope="module")
def server():
    with postgresql_server() as place:
        yield place


@pytest.fixture
def company(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", SECRET)
    execute(server, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    found = scored(tmp_path)
    found.sinks(dwh={"to": f"postgresql://loader@{server}/dwh/public.scores", "fields": FIELDS})
    return found


def sent(company, **options):
    (result,) = deliver(company.params, clock=options.pop("clock", FakeClock()), **options).results
    return result


def rows(server, what="lead_id, score::text, money::text, at::text"):
    return execute(server, "SET TIME ZONE 'UTC'", f"SELECT {what} FROM public.scores ORDER BY 1")  # noqa: S608


def test_rows_are_changed_by_key_and_cleared_once(company, server):
    assert sent(company).sent == 5
    assert rows(server)[0] == ("L1", "90", "1000", "2026-05-15 00:00:00+00")
    changed = frame().iloc[:4]
    changed.loc[0, "expected_revenue_90d"] = 2000.0
    company.score(changed)
    result = sent(company)
    assert (result.sent, result.unchanged) == (2, 3), "one changed, one is no longer scored"
    assert [rows(server)[0][2], rows(server)[4][1:]] == ["2000", (None, None, None)]
    assert sent(company).sent == 0


def test_one_row_at_fault_is_told_in_the_servers_words_and_the_others_stay(company, server):
    execute(server, TABLE, "ALTER TABLE scores ADD CONSTRAINT odd CHECK (score % 2 = 0)")
    result = sent(company)
    assert (result.sent, result.failed + result.parked) == (3, 2)
    assert [row[0] for row in rows(server)] == ["L1", "L3", "L5"]
    assert 'new row for relation "scores" violates check constraint "odd"' in result.text
    execute(server, "ALTER TABLE scores DROP CONSTRAINT odd")
    assert sent(company, to="dwh", resend=True).is_whole
    assert len(rows(server)) == 5


FAULTS = {
    "no such table": ("DROP TABLE scores", 'there is no table "public"."scores"'),
    "a column vanished": ("ALTER TABLE scores DROP COLUMN money", "has no column money"),
    "a column is needed": (
        "DELETE FROM scores; ALTER TABLE scores ADD region text NOT NULL",
        "needs a value for region",
    ),
    "no unique key": ("ALTER TABLE scores DROP CONSTRAINT scores_pkey", "no unique or exclusion constraint"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_that_is_not_what_it_was_takes_nothing_and_is_told(company, server, fault):
    execute(server, TABLE)
    assert sent(company).sent == 5
    happens, said = FAULTS[fault]
    execute(server, happens)
    moved = frame()
    moved["expected_revenue_90d"] *= 2
    company.score(moved)
    clock = FakeClock()
    result = sent(company, clock=clock)
    assert (result.sent, result.failed) == (0, 5)
    assert said in result.text
    assert clock.slept == [1, 10], "longer pauses are the next run's"
    execute(server, "DROP TABLE IF EXISTS scores", TABLE)
    clock.sleep(3600)
    assert sent(company, clock=clock).sent == 5
    assert [row[2] for row in rows(server)][:2] == ["2000.00", "1980.00"]


def test_wrong_credentials_are_told_without_them(company, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "wr0ng-and-planted")
    clock = FakeClock()
    assert "password authentication failed" in sent(company, clock=clock).text
    clock.sleep(3600)
    monkeypatch.setattr(command, "SystemClock", lambda: clock)
    ran = leadrev("deliver", folder=company.folder)
    assert ran.code == 3
    assert "password authentication failed" in ran.out
    kept = b"".join(path.read_bytes() for path in company.folder.rglob("*") if path.is_file())
    assert b"wr0ng-and-planted" not in kept + (ran.out + ran.err).encode()
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert sent(company, clock=FakeClock(), to="dwh", resend=True).sent == 5


def test_an_answer_lost_after_the_server_took_the_rows_makes_nothing_twice(company, server, monkeypatch):
    import adbc_driver_postgresql.dbapi as postgresql

    execute(server, TABLE, "CREATE TABLE log (n int)",
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (1); "
            "RETURN NEW; END $$",
            "CREATE TRIGGER told AFTER INSERT ON scores FOR EACH ROW EXECUTE FUNCTION note()")  # fmt: skip
    execute_, lost = postgresql.Cursor.execute, []

    def commit_and_lose(self, statement, *more, **options):
        execute_(self, statement, *more, **options)
        if statement == "COMMIT" and not lost:
            lost.append(1)
            raise postgresql.OperationalError("server closed the connection unexpectedly", status_code=10)

    monkeypatch.setattr(postgresql.Cursor, "execute", commit_and_lose)
    result = sent(company)
    assert (result.sent, result.failed) == (5, 0), "tried again after a second"
    assert execute(server, "SELECT count(*) FROM log") == [(5,)], "inserted once, updated the second time"


def test_texts_are_refused_and_not_cut_and_ids_become_the_tables_type(company, server):
    execute(server, "CREATE TABLE scores (id bigint PRIMARY KEY, why varchar(5))")
    numbered = frame()
    numbered["lead_id"] = [str(n) for n in range(5)]
    company.score(numbered)
    company.sinks(dwh={"to": f"postgresql://loader@{server}/dwh/public.scores", "key": "id",
                       "fields": {"why": "grade"}})  # fmt: skip
    assert sent(company).sent == 5
    company.sinks(dwh={"to": f"postgresql://loader@{server}/dwh/public.scores", "key": "id",
                       "fields": {"why": "reasons_positive.text"}})  # fmt: skip
    result = sent(company)
    assert (result.sent, result.failed) == (0, 5)
    assert "value too long for type character varying(5)" in result.text


def test_what_waits_may_have_arrived_and_is_sent_though_today_says_what_was_delivered(company, server):
    execute(server, TABLE)
    sent(company)
    moved = frame()
    moved["expected_revenue_90d"] *= 2
    company.score(moved)
    execute(server, "ALTER TABLE scores RENAME TO away")
    assert sent(company).failed == 5
    execute(server, "ALTER TABLE away RENAME TO scores", "UPDATE scores SET money = money * 2")  # as if it had arrived
    company.score(frame())
    assert sent(company).sent == 5
    assert rows(server)[0][2] == "1000.00"


def test_the_outbox_keeps_no_words_once_they_are_delivered(company, server):
    company.sinks(
        dwh={"to": f"postgresql://loader@{server}/dwh/public.scores", "fields": {"why": "reasons_positive.text"}}
    )
    assert sent(company).sent == 5
    assert b"Asked for a demo" not in (company.folder / "outbox" / "outbox.db").read_bytes()
    assert Outbox(company.folder / "outbox").states("dwh") == {}
