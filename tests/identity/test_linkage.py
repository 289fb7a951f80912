"""One person, one lead: who is linked, who is not, and that no later row changes an earlier answer."""

import json
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import pytest
from company_files import write_company

from features import lifecycle, matrix, snapshots
from features.firmographics import FREE_MAIL
from features.schema import SCHEMAS, TIME
from features.spec import FeatureSpec
from pipeline.audit.reconciliation import reconcile
from pipeline.commands.check import check
from pipeline.config.params import IdentityParams, load_params
from pipeline.identity import linkage, match_model
from pipeline.identity.match_keys import names_agree, people_sql, same_name
from pipeline.ingest.load import load_tables
from pipeline.simulation.data_errors import spoil
from pipeline.simulation.simulate import territory_tables

WANTED_PRECISION, WANTED_RECALL = 0.98, 0.9
COLUMNS = ("lead_id", "system", "created_at", "known_at", "email", "phone", "name", "company_name", "title")


# ---- Keys


def keys(**columns):
    """Give the keys of one record."""
    connection = duckdb.connect()
    row = dict.fromkeys(COLUMNS) | columns
    record = ", ".join(f"CAST(${name} AS VARCHAR) AS {name}" for name in COLUMNS)
    connection.execute(f"CREATE TABLE leads AS SELECT {record}", row)
    return connection.execute(people_sql("leads", FREE_MAIL)).df().iloc[0]


@pytest.mark.parametrize(
    "written",
    ["+49 30 3307068", "0049 30 3307068", "+49 (0)30 330 70 68", "030/3307068", "030-330-7068", "030 3307068 ext. 12"],
)
def test_a_number_is_one_key_in_every_form(written):
    assert keys(phone=written)["phone"] == "303307068"
    assert keys(phone=written)["tail"] == "3307068"


@pytest.mark.parametrize("written", ["000000", "+49 30 0000000", "0123456789", "123456", "n/a", "1111111", "", None])
def test_a_placeholder_is_no_number(written):
    assert keys(phone=written)[["phone", "tail"]].isna().all()


@pytest.mark.parametrize("written", ["info@firm.de", "Office@firm.de", "no-reply@firm.de", "x@test.com", "none", "a@b"])
def test_what_many_read_is_nobodys_address(written):
    assert keys(email=written)["mail"] is None


def test_addresses_are_one_key_in_every_form():
    assert {keys(email=text)["mail"] for text in ("Anna@Firm.de", " anna@firm.de ", "anna+web@firm.de")} == {
        "anna@firm.de"
    }
    assert keys(email="info@firm.de")["domain"] == "firm.de"
    assert keys(email="anna@gmail.com")["domain"] is None, "of a mail that anyone can have"


@pytest.mark.parametrize(
    ("one", "other", "same", "agree"),
    [
        ("Anna Müller", "MUELLER, Anna", True, True),
        ("Dr. Anna Müller", "A. Muller", True, True),
        ("Anna Müller", "Anna Mullre", True, True),
        ("Thomas Weber", "Tom Weber", True, True),
        ("Anna Müller", "Frau Müller", False, True),
        ("Anna Müller", "Karl Müller", False, False),
        ("Karl Visser", "Paul Visser", False, False),
    ],
)
def test_names(one, other, same, agree):
    connection = duckdb.connect()
    for side, name in (("l", one), ("r", other)):
        row = keys(name=name)
        connection.execute(f"CREATE TABLE {side} AS SELECT $1 AS name, $2::VARCHAR[] AS names, $3 AS initials",
                           [row["name"], list(row["names"]), row["initials"]])  # fmt: skip
    answer = f"SELECT {same_name()}, {names_agree()} FROM l, r"  # noqa: S608 (made of column names)
    assert connection.execute(answer).fetchall() == [(same, agree)]


# ---- Who is linked


def two_systems(folder, web, centre, *, link="across_systems", deals=None, deals_of="web", events=None):
    """Write a company whose leads stand in two systems, and load it."""
    path = write_company(folder, deals=deals)
    columns = ["lead_id", "created_at", "email", "phone", "name", "company_name", "status", "closed_at", "entry",
               "account_id"]  # fmt: skip
    sources = {"leads": []}
    for system, rows in (("web", web), ("centre", centre)):
        pd.DataFrame(rows, columns=columns).to_csv(folder / f"{system}.csv", index=False)
        sources["leads"].append({"from": f"{system}.csv", "system": system})
    sources["deals"] = {"from": "deals.csv", "system": deals_of}
    if events:
        pd.DataFrame(events).to_csv(folder / "centre_events.csv", index=False)
        sources["events"] = {"from": "centre_events.csv", "system": "centre"}
    data = {"sources": sources, "known_until": "2024-12-31", "identity": {"link": link}, "quarantined_share_limit": 1}
    path.write_text(json.dumps({"company": "two", "data": data, "artifacts": "."}))
    return load_tables(load_params(path))


def person(number, day, **more):
    return {"lead_id": number, "created_at": f"2024-{day} 09:00:00", "name": "Anna Bauer",
            "email": "anna@firm.de", "phone": "+49 30 3307068", "company_name": "Firm GmbH", **more}  # fmt: skip


STRANGER = person("9", "01-02", name="Otto Voss", email="o@voss.de", phone="040 7712345", company_name="Voss AG")
DEALS = [
    {"deal_id": "D1", "lead_id": "9", "outcome": "won", "opened_at": "2024-01-20 09:00:00",
     "closed_at": "2024-02-01 10:00:00", "amount": "10"},
]  # fmt: skip


def canonical(loaded):
    return dict(loaded.connection.execute("SELECT lead_id, canonical_id FROM identity").fetchall())


@pytest.mark.parametrize(
    ("what", "earlier", "later", "joins"),
    [
        ("the same mail", {}, {"phone": "", "name": "A. Bauer"}, True),
        ("the same phone and name", {"email": ""}, {"phone": "030 3307068"}, True),
        ("a mailbox that many read", {"email": "info@firm.de", "phone": ""},
         {"email": "info@firm.de", "phone": "", "name": "Karl Lang"}, False),
        ("a switchboard", {"email": ""}, {"email": "", "name": "Karl Lang"}, False),
        ("a placeholder for a number", {"email": "", "phone": "000000"},
         {"email": "", "phone": "000000", "company_name": "Other AG"}, False),
        ("the same mail of two people's names", {}, {"name": "Karl Lang", "phone": ""}, False),
        ("name and company with a slip", {"email": "", "phone": "", "name": "Bauer, Annna"},
         {"email": "", "company_name": "FIRM"}, True),
        ("a name alone", {"email": "", "phone": ""}, {"company_name": ""}, False),
        ("a year later", {"created_at": "2023-01-03 09:00:00"}, {}, False),
        ("after it was lost", {"status": "lost", "closed_at": "2024-01-05 09:00:00"}, {}, False),
        ("before it was lost", {"status": "lost", "closed_at": "2024-01-25 09:00:00"}, {}, True),
    ],
)  # fmt: skip
def test_who_joins_whom(tmp_path, what, earlier, later, joins):
    web = [person("1", "01-03", **earlier), STRANGER]
    loaded = two_systems(tmp_path, web, [person("1", "01-10", **later)], deals=DEALS)
    assert canonical(loaded)["centre:1"] == ("web:1" if joins else "centre:1"), what
    counts = loaded.counts["leads"]
    assert (counts["rows"], counts["loaded"], counts["quarantined"]) == (3, 3, 0), "no merge loses a row"
    assert loaded.tables.leads.count().execute() == (2 if joins else 3)
    assert len(canonical(loaded)) == 3


def test_a_system_keeps_its_own_records_apart_unless_told(tmp_path):
    web = [person("1", "01-03"), person("2", "01-05"), STRANGER]
    centre = [person("1", "01-10"), person("2", "01-12")]
    for link, people in (("across_systems", 3), ("everywhere", 2), ("none", 5)):
        loaded = two_systems(tmp_path, web, centre, link=link, deals=DEALS)
        assert len(set(canonical(loaded).values())) == people, link
        assert loaded.identity.counts["people"] == people
    assert loaded.identity.why_not == "data.identity.link is none"


def test_all_touches_and_deals_are_the_leads_from_when_they_were_known(tmp_path):
    events = [{"lead_id": "1", "occurred_at": "2024-01-11 09:00:00", "kind": "call", "event_id": "E1"}]
    deals = [{**DEALS[0], "lead_id": "1"}]
    centre = [person("1", "01-10", status="lost", closed_at="2024-03-01 09:00:00")]
    loaded = two_systems(tmp_path, [person("1", "01-03"), STRANGER], centre, deals=deals, events=events)
    touches = loaded.tables.events.order_by("occurred_at").execute()
    assert touches["lead_id"].tolist() == ["web:1", "web:1"]
    assert touches["kind"].tolist() == ["repeat_enquiry", "call"]
    assert touches["known_at"].tolist() == [pd.Timestamp("2024-01-10 09:00"), pd.Timestamp("2024-01-11 09:00")]
    at = {
        day: lifecycle.outcomes(loaded.tables, pd.Timestamp(f"2024-{day}")).execute().set_index("lead_id")["outcome"]
        for day in ("01-31", "02-02")
    }
    assert at["01-31"]["web:1"] == "open"
    assert at["02-02"]["web:1"] == "won", "one record's deal wins the lead, whatever the other says"
    lead = loaded.tables.leads.execute().set_index("lead_id").loc["web:1"]
    assert (lead["status"], lead["created_at"]) == ("lost", pd.Timestamp("2024-01-03 09:00"))
    assert reconcile(loaded).is_exact


def test_a_deal_of_the_company_is_its_newest_leads_however_many_records_that_has(tmp_path):
    """The first record came without its company: the second one says whose deal it is."""
    deals = [{**DEALS[0], "lead_id": "", "account_id": "A1"}]
    web, centre = [person("1", "01-03"), STRANGER], [person("1", "01-10", account_id="A1")]
    for link, lead in (("across_systems", "web:1"), ("none", "centre:1")):
        loaded = two_systems(tmp_path, web, centre, link=link, deals=deals, deals_of="centre")
        ended = lifecycle.outcomes(loaded.tables, loaded.known_until).execute().set_index("lead_id")
        assert ended["amount"].dropna().to_dict() == {lead: 10.0}


# ---- How well, and never by looking ahead


def people_of(leads, seed):
    """Make up a messy company in memory: its records, and which of them are the same person's."""
    (territory,) = territory_tables(leads, 1, seed)
    corrupted = spoil(np.random.default_rng(seed), territory.records)
    records = corrupted.tables["leads"].drop_duplicates("lead_id").assign(known_at=lambda rows: rows["created_at"])
    notes = pd.concat(corrupted.notes)
    notes = notes[notes["mess"] == "same_person"]
    return records, set(zip(notes["id"], notes["lead_id"], strict=True))


def linked(records, *, until=None, **params):
    """Link records known by a date; give the table ``identity``."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    known = records if until is None else records[records["known_at"] <= until]
    known = known.astype({"closed_at": "datetime64[us]", "known_at": "datetime64[us]"})
    connection.register("records", known)
    connection.execute("CREATE VIEW leads AS SELECT * FROM records")
    for table in ("deals", "closings", "events"):
        types = {name: "TIMESTAMP" if type_ == TIME else "VARCHAR" for name, type_ in SCHEMAS[table].items()}
        columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        connection.execute(f"CREATE TABLE {table} ({columns})")
    columns = frozenset(records.columns)
    linkage.link_records(connection, columns, IdentityParams(**params), 0, with_events=False)
    return connection.execute("FROM identity").df()


@pytest.mark.parametrize("seed", [1, 2])
def test_it_finds_the_known_duplicates(seed):
    records, truth = people_of(3_000, seed)
    found = linked(records)
    joined = found[found["joined_id"].notna()]
    pairs = set(zip(joined["lead_id"], joined["canonical_id"], strict=True))
    assert len(truth) > 100
    assert len(pairs & truth) / len(pairs) >= WANTED_PRECISION
    assert len(pairs & truth) / len(truth) >= WANTED_RECALL
    assert (joined["probability"] >= IdentityParams().threshold).all()
    assert set(joined["reason"]) == {"same mail", "same phone and name", "alike"}
    apart = found[found["joined_id"].isna()]
    assert (apart["lead_id"] == apart["canonical_id"]).all()
    assert set(found["lead_id"]) == set(records["lead_id"])


def test_an_address_that_very_many_have_is_nobodys():
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    records, _ = people_of(60, 1)
    records = records.head(60).assign(email="forms@firm.de", phone=None, name=None, company_name=None, status="open",
                                      closed_at=pd.NaT, created_at=days, known_at=days)  # fmt: skip
    found = linked(records, link="everywhere")
    assert 0 < found["joined_id"].notna().sum() < linkage.ONE_PERSONS


def test_later_records_change_no_earlier_answer(monkeypatch):
    monkeypatch.setattr(match_model, "FIRST_BATCH", 300)
    records, _ = people_of(1_500, 5)
    whole = linked(records).set_index("lead_id")
    assert (whole["reason"] == "alike").sum() > 3
    for share in (0.3, 0.7):
        until = records["known_at"].sort_values().iloc[int(share * len(records))]
        part = linked(records, until=until).set_index("lead_id")
        pd.testing.assert_frame_equal(part, whole.loc[part.index], check_exact=True)
    again = linked(records.sample(frac=1, random_state=1)).set_index("lead_id")
    pd.testing.assert_frame_equal(again, whole, check_exact=True)


def test_later_rows_change_no_feature(tmp_path):
    """What a joined record brings is seen from the day on which it was known, and not a day earlier."""
    web = [person("1", "01-03"), STRANGER]
    centre = [person("1", "01-10"), {**STRANGER, "lead_id": "3", "created_at": "2024-03-01 09:00:00"}]
    events = [{"lead_id": "1", "occurred_at": "2024-01-08 09:00:00", "kind": "call", "event_id": "E1"},
              {"lead_id": "3", "occurred_at": "2024-03-02 09:00:00", "kind": "call", "event_id": "E2"}]  # fmt: skip
    deals = [{**DEALS[0], "closed_at": "2024-06-01 10:00:00"}]
    loaded = two_systems(tmp_path, web, centre, deals=deals, events=events)
    assert canonical(loaded) == {"web:1": "web:1", "centre:1": "web:1", "web:9": "web:9", "centre:3": "web:9"}
    apart = two_systems(tmp_path, web, centre, deals=deals, events=events, link="none")
    seen = {}
    for name, company in (("one lead", loaded), ("apart", apart)):
        spec = FeatureSpec.from_tables(company.tables, known_at=pd.Timestamp("2024-04-01"))
        for day in ("01-09", "02-28", "03-03"):
            grid = snapshots.open_leads(company.tables, pd.Timestamp(f"2024-{day}"))
            rows = matrix.feature_matrix(company.tables, grid, spec).execute().set_index("lead_id")
            seen[name, day] = rows.filter(like="touch_").loc[lambda rows: rows.index.str.startswith("web")].sort_index()
    both = seen["apart", "01-09"].columns.intersection(seen["one lead", "01-09"].columns)
    pd.testing.assert_frame_equal(seen["one lead", "01-09"][both], seen["apart", "01-09"][both])
    for day in ("02-28", "03-03"):
        assert not seen["one lead", day][both].equals(seen["apart", day][both])
    pd.testing.assert_frame_equal(
        seen["one lead", "02-28"].loc[["web:9"], both], seen["apart", "02-28"].loc[["web:9"], both]
    )


# ---- What is told, and to whom


def test_personal_data_go_no_further(tmp_path, capfd):
    loaded = two_systems(tmp_path, [person("1", "01-03"), STRANGER], [person("1", "01-10", name="Annna Bauer")],
                         deals=DEALS)  # fmt: skip
    content = check(loaded.params, tmp_path / "out").content
    text = "3 records of leads are 2 leads; joined to another: 1 × same mail"
    assert content["identity"] == {
        "text": text, "why_not": None, "records": 3, "people": 2, "joined": {"same mail": 1},
    }  # fmt: skip
    assert text in (tmp_path / "out" / "audit.html").read_text()
    record = linkage.record_at(loaded.connection, loaded.known_until).to_pandas()
    out, err = capfd.readouterr()
    told = record.to_csv() + json.dumps(content["identity"]) + out + err
    for secret in ("anna", "bauer", "firm", "3307068", "voss"):
        assert secret not in told.lower()


def test_the_record_holds_only_what_was_known_by_then(tmp_path):
    loaded = two_systems(tmp_path, [person("1", "01-03"), STRANGER], [person("1", "01-10")], deals=DEALS)
    early = linkage.record_at(loaded.connection, pd.Timestamp("2024-01-09").to_pydatetime()).to_pandas()
    assert early["lead_id"].tolist() == ["web:1", "web:9"]
    assert linkage.canonical_id(loaded.connection, "centre:1") == "web:1"


def test_without_anything_to_tell_people_by_splink_is_not_even_imported(tmp_path):
    write_company(tmp_path)
    code = (
        "import sys; from pipeline.config.params import load_params; from pipeline.ingest.load import load_tables;"
        f"loaded = load_tables(load_params(r'{tmp_path / 'params.yaml'}'));"
        "print(loaded.identity.why_not, 'splink' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "leads have no email, phone or name False"
