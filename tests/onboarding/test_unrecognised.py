"""A folder of no known CRM: read by what its tables hold, in whatever language, with how sure that is."""

from decimal import Decimal

import pandas as pd
import pytest
import yaml

from pipeline.commands.init import init
from pipeline.common.errors import UserError
from pipeline.simulation.simulate import simulate

GERMAN = {
    "leads": (
        "interessenten.csv",
        {
            "lead_id": "nummer", "created_at": "angelegt_am", "source": "herkunft", "email": "mail",
            "account_id": "firma_nr",
        },
    ),
    "deals": (
        "auftraege.csv",
        {
            "deal_id": "auftrag_nr", "lead_id": "interessent", "outcome": "ergebnis", "opened_at": "angelegt_am",
            "closed_at": "abschluss", "amount": "betrag",
        },
    ),
    "accounts": ("firmen.csv", {"account_id": "firma_nr", "employees": "mitarbeiter", "industry": "branche"}),
    "events": ("besuche.csv", {"event_id": "id", "lead_id": "interessent", "occurred_at": "zeit", "kind": "art"}),
}  # fmt: skip
WORDS = {"won": "Gewonnen", "lost": "Verloren", "open": "Offen"}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    simulate(folder, leads=800, events_per_lead=3)
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in GERMAN}


@pytest.fixture(scope="module")
def german(clean, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kunde")
    for name, (file, columns) in GERMAN.items():
        frame = clean[name][list(columns)].rename(columns=columns)
        for column in frame:
            if pd.api.types.is_datetime64_any_dtype(frame[column]):
                frame[column] = frame[column].dt.strftime("%Y-%m-%d %H:%M:%S")
        if name == "deals":
            frame["ergebnis"] = frame["ergebnis"].map(WORDS)
        frame.to_csv(folder / file, index=False, sep=";")
    return folder, init([str(folder)], folder / "params.yaml")


def test_the_tables_find_their_places(german):
    folder, _ = german
    sources = yaml.safe_load((folder / "params.yaml").read_text())["data"]["sources"]
    assert {table: source["from"] for table, source in sources.items()} == {
        table: file for table, (file, _) in GERMAN.items()
    }
    for table, (_, columns) in GERMAN.items():
        for ours in columns:
            assert sources[table]["columns"].get(ours) == columns[ours], (table, ours)
    assert sources["deals"]["values"]["outcome"] == {ours: [word] for ours, word in WORDS.items()}


def test_the_counts_and_sums_are_those_of_the_tables(german, clean):
    _, result = german
    won = clean["deals"][clean["deals"]["outcome"] == "won"]
    total = sum(Decimal(f"{amount:.2f}") for amount in won["amount"])
    assert f"Won deals in the source: {len(won):,}, {total:,.2f} EUR" in result.checked
    assert "(equal to the cent)" in result.checked
    assert result.checked.count("0 quarantined") == 4


def test_each_choice_says_how_sure_it_is(german):
    folder, _ = german
    text = (folder / "params.yaml").read_text()
    assert "% sure" in text
    assert "100% are ids of interessenten.csv" in text


def test_a_folder_without_outcomes_is_refused_in_one_line(tmp_path):
    (tmp_path / "list.csv").write_text("id,name\n1,a\n2,b\n")
    with pytest.raises(UserError, match=r"no table looks like leads: .* list.csv \(id, name"):
        init([str(tmp_path)], tmp_path / "params.yaml")
    assert not (tmp_path / "params.yaml").exists()
