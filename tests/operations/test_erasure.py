"""After an erasure no byte holds the person, all else is as it was, and the next load leaves them out."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import stat
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Company, leadrev, refusal
from night_company import drop_rows, forecasts_cost_nothing, stand_at

from pipeline.archive.feedback import Answer, AnswerStore
from pipeline.audit.reconciliation import reconcile
from pipeline.delivery.delivery import open_outbox
from pipeline.ingest.load import load_tables
from pipeline.ingest.quarantine import quarantined
from pipeline.operations import erasure, erasure_stores
from pipeline.operations.erasure_rewrite import rewrite, rewrite_database
from pipeline.operations.erasure_search import Searcher
from pipeline.operations.person import Person

WHO = ("--by", "Ana", "--because", "asked us to")


def persons(folder) -> pd.DataFrame:
    """Leads of whom everything is known, and who won a deal."""
    leads = pd.read_parquet(folder / "leads.parquet")
    deals = pd.read_parquet(folder / "deals.parquet")
    known = ["email", "phone", "name", "contact_id"]
    alone = pd.concat([~leads[name].duplicated(keep=False) for name in known], axis=1).all(axis=1)
    unique = leads[alone].dropna(subset=known)
    return unique[unique.lead_id.isin(deals[deals.outcome == "won"].lead_id)].reset_index(drop=True)


@pytest.fixture(scope="module")
def after_nights(tmp_path_factory):
    """Two nights of a small company, with answers and logs that name the person."""
    folder = tmp_path_factory.mktemp("erasure") / "company"
    with pytest.MonkeyPatch.context() as patch:
        forecasts_cost_nothing(patch.setattr)
        company = stand_at(folder, "2026-05-12")
        company.run("nightly")
        company = stand_at(folder, "2026-05-13")
        company.run("nightly")
    person = persons(folder).iloc[0]
    store = AnswerStore(folder / "answers.sqlite")
    for number, lead in enumerate((person.lead_id, "L0000001", person.lead_id)):
        store.add(Answer(f"c{number}", "2026-05-13T08:00:00Z", "Bo", lead, 1, "not_a_lead", None, "2026-05-13", "1"))
    (folder / "access_log.jsonl").write_text(
        json.dumps({"what": "answer", "who": "Bo", "lead_id": person.lead_id}) + '\n{"what": "log-in", "who": "Bo"}\n'
    )
    (folder / "audit.json").write_text(
        json.dumps({"examples": [person.lead_id, "L0000001"], "text": f"to {person.email.upper()}"}, indent=2) + "\n"
    )
    with open_outbox(Company(folder).params):
        pass  # made as deliveries make it
    with sqlite3.connect(folder / "outbox" / "outbox.db") as connection:
        connection.execute(
            "INSERT INTO outbox (sink, row, digest, kind, content) VALUES ('dwh', ?, 'a', 'row', '{}'), "
            "('mail', 'Bo', 'b', 'mail', ?)",
            [person.lead_id, json.dumps({"text": f"1. {person['name']}\n2. Cy Dow"})],
        )
    connection.close()
    like = json.dumps([{"lead_id": person.lead_id, "did": "x"}, {"lead_id": "L0000001", "did": "y"}])
    pd.DataFrame({"lead_id": ["L0000001", person.lead_id], "like_won": [like, "[]"]}).to_parquet(
        folder / "insights.parquet"
    )
    return folder, person


@pytest.fixture
def company(after_nights, tmp_path) -> tuple[Company, pd.Series]:
    folder, person = after_nights
    shutil.copytree(folder, tmp_path / "company")
    return Company(tmp_path / "company"), person


def kept_files(company: Company) -> dict[str, bytes]:
    paths = [*erasure_stores.archive_files(company.params), *erasure_stores.artifact_files(company.params)]
    return {str(path.relative_to(company.folder)): path.read_bytes() for path in paths}


def searcher_of(person) -> Searcher:
    return Searcher(
        Person(*(frozenset({person[name]}) for name in ("lead_id", "contact_id", "email", "phone", "name")))
    )


def test_no_byte_holds_the_person_and_all_else_is_as_it_was(company):
    company, person = company
    searcher, before = searcher_of(person), kept_files(company)
    assert sum(searcher.in_bytes(content) for content in before.values()) >= 8
    ran = company.run("erase", "--lead", person.lead_id, *WHO)
    after = kept_files(company)
    assert [name for name, content in after.items() if searcher.in_bytes(content)] == []
    assert "the person is in none of it" in ran.out
    assert f"is yours: {company.folder / 'leads.parquet'}" in ran.out
    named = {name for name, content in before.items() if searcher.in_bytes(content)}
    changed = {name for name in before if after.get(name) != before[name]}
    sealed_again = {name for name in changed if name.endswith(("chain.jsonl", "manifest.json", "sources.json"))}
    assert changed - sealed_again == named
    for name in (name for name in named if name.endswith(".parquet")):
        old, new = (pd.read_parquet(pa.BufferReader(files[name])) for files in (before, after))
        texts = old.apply(lambda column: column.map(lambda cell: isinstance(cell, str) and searcher.in_text(cell)))
        theirs = texts.any(axis=1)
        if len(new) == len(old):  # mentions in rows of others, such as a deal's
            old, new = old[~theirs], new[~theirs]
        if not name.endswith("insights.parquet"):
            others = old[~theirs.reindex(old.index)].reset_index(drop=True)
            pd.testing.assert_frame_equal(others, new.reset_index(drop=True))
    assert [answer.lead_id for answer in AnswerStore(company.folder / "answers.sqlite").all()] == ["L0000001"]
    with sqlite3.connect(company.folder / "outbox" / "outbox.db") as connection:
        assert connection.execute("SELECT row, content FROM outbox").fetchall() == [
            ("Bo", '{"text": "1. erased\\n2. Cy Dow"}')
        ]
    connection.close()
    with pytest.raises(sqlite3.IntegrityError), sqlite3.connect(company.folder / "answers.sqlite") as connection:
        connection.execute("DELETE FROM answers")


def test_the_archive_verifies_and_says_that_somebody_was_erased(company):
    company, person = company
    seals = {name: content for name, content in kept_files(company).items() if name.endswith("seal.json")}
    company.run("erase", "--email", person.email.upper(), *WHO)
    verified = company.run("archive", "verify").out
    assert "2 forecasts and 1 erasure" in verified
    assert "2 extracts and 1 erasure" in verified
    after = kept_files(company)
    assert {name: after[name] for name in seals} == seals  # no seal is ever rewritten
    added = [json.loads(content) for name, content in after.items() if name.endswith("erasure-0001/seal.json")]
    assert {(seal["erasure"]["by"], seal["erasure"]["because"]) for seal in added} == {("Ana", "asked us to")}
    path = next((company.folder / "archive").glob("forecasts/as_of=2026-05-12/scores.parquet"))
    path.write_bytes(path.read_bytes() + b"x")
    assert leadrev("archive", "verify", folder=company.folder).code == 1


def test_the_next_load_leaves_the_person_out_and_counts_them(company, monkeypatch):
    company, person = company
    before = load_tables(company.params)
    company.run("erase", "--contact", person.contact_id, *WHO)
    after = load_tables(company.params)
    assert after.counts["leads"]["rows"] == before.counts["leads"]["rows"]
    assert after.counts["leads"]["erased"] == 1
    assert after.counts["leads"]["loaded"] == before.counts["leads"]["loaded"] - 1
    assert after.counts["deals"]["loaded"] == before.counts["deals"]["loaded"]
    was, now = (reconcile(one).as_dict() for one in (before, after))
    assert now["exact"]
    changed = {name for name in now["total"] if now["total"][name] != was["total"][name]}
    assert changed == {"without_lead_amount", "without_lead_deals"}
    quarantine = quarantined(after.connection)
    erased = quarantine[quarantine.reason == "person: erased at their request"]
    assert len(erased) >= 1
    assert erased.value.isna().all()
    key = company.folder / "archive" / "suppression" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    forecasts_cost_nothing(monkeypatch.setattr)
    night = stand_at(company.folder, "2026-05-14")  # the source brings the person again
    assert night.run("nightly").code == 0
    searcher = searcher_of(person)
    assert [name for name, content in kept_files(company).items() if searcher.in_bytes(content)] == []


def test_run_again_it_changes_nothing(company):
    company, person = company
    company.run("erase", "--lead", person.lead_id, *WHO)
    before = kept_files(company)
    again = company.run("erase", "--lead", person.lead_id, *WHO)
    assert "0 files changed" in again.out
    after = kept_files(company)
    assert {name for name in after if after[name] != before.get(name)} == {"archive/suppression/erasures.jsonl"}


@pytest.mark.parametrize("step", ["_erase_archive", "_erase_artifacts", "_erase_models"])
def test_cut_short_it_is_completed_by_the_next(company, monkeypatch, step):
    company, person = company

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(erasure, step, stop)
        assert leadrev("erase", "--lead", person.lead_id, *WHO, folder=company.folder).code == 130
    for table in ("leads", "events"):  # and the source has forgotten the person in between
        drop_rows(company, table, lambda rows: rows.lead_id != person.lead_id)
    ran = company.run("erase", "--lead", person.lead_id, *WHO)
    assert "the person is in none of it" in ran.out
    searcher = searcher_of(person)
    assert [name for name, content in kept_files(company).items() if searcher.in_bytes(content)] == []
    assert leadrev("archive", "verify", folder=company.folder).code == 0


def test_an_archive_killed_between_seal_and_move_is_completed(company, monkeypatch):
    from pipeline.archive.chain import Chain

    company, person = company
    moves = Chain.finish_erasures
    calls = []

    def killed(self):
        calls.append(self)
        if calls.count(self) == 3:  # after the seal
            raise KeyboardInterrupt
        moves(self)

    with monkeypatch.context() as patch:
        patch.setattr(Chain, "finish_erasures", killed)
        leadrev("erase", "--lead", person.lead_id, *WHO, folder=company.folder)
    company.run("erase", "--lead", person.lead_id, *WHO)
    assert leadrev("archive", "verify", folder=company.folder).code == 0
    searcher = searcher_of(person)
    assert [name for name, content in kept_files(company).items() if searcher.in_bytes(content)] == []


def test_what_others_share_with_the_person_stays(company):
    company, person = company
    leads = pd.read_parquet(company.folder / "leads.parquet")
    other = leads.lead_id[leads.lead_id != person.lead_id].iloc[0]
    leads.loc[leads.lead_id == other, "phone"] = person.phone
    leads.to_parquet(company.folder / "leads.parquet")
    ran = company.run("erase", "--lead", person.lead_id, *WHO)
    assert "some of the person's phones are other people's too" in ran.out


def test_mistakes_are_one_line(company):
    company, person = company
    assert "nobody is known by 'L9999999'" in refusal("erase", "--lead", "L9999999", *WHO, folder=company.folder)
    assert "with one of --lead" in refusal("erase", *WHO, folder=company.folder)
    assert "--by" in refusal(
        "erase", "--lead", person.lead_id, "--by", " ", "--because", "x", folder=company.folder
    )  # fmt: skip


ANN = Person(
    frozenset({"L0000123"}), frozenset({"C77x001"}), frozenset({"ann.lee@x.example"}), frozenset({"+49 30 1234567"}),
    frozenset({"Ann Lée"}),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "lead L0000123.", "/api/leads/L0000123", "ANN.LEE@X.example", "ann.lee%40x.example", "call 030 1234567 now",
        "0049-30-123 45 67", "Lée, Ann", "ann  lée", "Ann L\\u00e9e", "Ann L&eacute;e", "Ann Le\u0301e", '"C77x001"',
    ],
)  # fmt: skip
def test_every_way_of_writing_is_found_and_cut_out(text):
    searcher = Searcher(ANN)
    assert searcher.in_text(text)
    assert not searcher.in_text(searcher.without(text))


@pytest.mark.parametrize("text", ["L00001234", "XL0000123", "joann.lee@x.example2", "0.1301234567", "Ann Leeds", "Ann"])
def test_others_are_not_taken_for_the_person(text):
    assert not Searcher(ANN).in_text(text)


def test_copies_planted_in_every_format_are_found(tmp_path):
    secret = "ann.lee@x.example"
    files = {"a.txt": secret.encode(), "b.gz": gzip.compress(secret.encode()), "g.txt": secret.encode("utf-16")}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.gz", gzip.compress(secret.encode()))
    table = pa.table({"x": pa.array([["no"], [secret]]), "y": ["a", "b"]})
    pq.write_table(table, tmp_path / "d.parquet", compression="zstd")
    unused = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["kept", secret]))
    pq.write_table(pa.table({"x": unused}), tmp_path / "e.parquet", compression="zstd")
    with sqlite3.connect(tmp_path / "f.sqlite") as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.execute("INSERT INTO t VALUES (?)", ["x" * 9000 + " " + secret])
    connection.close()
    searcher = Searcher(ANN)
    assert [path.name for path in sorted(tmp_path.iterdir()) if not searcher.in_bytes(path.read_bytes())] == []


def test_a_database_keeps_no_trace_on_free_pages(tmp_path):
    path = tmp_path / "x.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (lead_id TEXT, text TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [("L0000123", "a" * 500)] * 50 + [("L2", "b")] * 50)
        connection.execute("DELETE FROM t WHERE rowid < 20")
    connection.close()
    rewrite_database(path, Searcher(ANN))
    assert all(b"L0000123" not in file.read_bytes() for file in tmp_path.iterdir())
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT DISTINCT lead_id, count(*) FROM t").fetchall() == [("L2", 50)]
    connection.close()


def test_ids_that_are_plain_numbers_go_by_their_column(tmp_path):
    person = Person(frozenset({"123"}))
    frame = pd.DataFrame({"lead_id": [123, 124], "rank": [124, 123], "owner_id": ["124", "123"]})
    frame.to_parquet(tmp_path / "scores.parquet")
    frame.to_csv(tmp_path / "scores.csv", index=False)
    new = pd.read_parquet(pa.BufferReader(rewrite(tmp_path / "scores.parquet", Searcher(person))))
    assert new.to_dict("list") == {"lead_id": [124], "rank": [123], "owner_id": ["123"]}
    assert rewrite(tmp_path / "scores.csv", Searcher(person)).decode() == "lead_id,rank,owner_id\n124,123,123\n"
