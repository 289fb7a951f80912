"""Companies that keep less, or call it otherwise: the whole job runs, and what cannot be said is said to be absent."""

import json

import pandas as pd
import pytest
import yaml
from conftest import SMALL, Company, simulated


def rewrite(folder, table, change):
    path = folder / f"{table}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def without_tables(folder, *tables):
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    for table in tables:
        (folder / f"{table}.parquet").unlink()
        del content["data"]["sources"][table]
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def without_amounts(folder):
    rewrite(folder, "deals", lambda deals: deals.drop(columns=["amount", "currency"]))


def without_lost(folder):
    rewrite(folder, "deals", lambda deals: deals[deals["outcome"] == "won"])
    rewrite(folder, "leads", lambda leads: leads.drop(columns=["status", "closed_at"]))


def with_leads_and_deals_only(folder):
    without_tables(folder, "accounts", "events")
    rewrite(folder, "leads", lambda leads: leads[["lead_id", "created_at"]])
    rewrite(folder, "deals", lambda deals: deals[["deal_id", "lead_id", "outcome", "closed_at", "amount"]])


COMPANIES = {
    "without amounts or accounts": lambda folder: (without_amounts(folder), without_tables(folder, "accounts")),
    "without lost deals or events": lambda folder: (without_lost(folder), without_tables(folder, "events")),
    "with leads and deals only": with_leads_and_deals_only,
}


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """One MLflow for all companies of this process: making its file takes seconds."""
    return {"mlflow": {"tracking_uri": f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"}}


def whole_job(company):
    """Check, train, score and report; give the scores and the manifest."""
    for words in (("check",), ("train",), ("score", "--model", "latest", "--explain", "20"), ("report",)):
        assert company.run(*words).mistakes == []
    for name in ("audit.html", "report.html"):
        assert (company.folder / name).stat().st_size > 10_000
    manifest = json.loads((company.folder / "manifest.json").read_text())
    return pd.read_parquet(company.folder / "scores.parquet"), manifest


@pytest.mark.parametrize("name", COMPANIES)
def test_a_company(name, tmp_path, registry):
    company = simulated(tmp_path, leads=900, company=name, **registry)
    COMPANIES[name](tmp_path)
    scores, manifest = whole_job(company)
    assert len(scores) > 100

    absent = {column for column in scores.columns if scores[column].isna().all()} - {"account_id", "owner_id", "kind"}
    assert absent == set(manifest["absent"])
    features = pd.read_parquet(tmp_path / "attributions_points.parquet").columns[2:]
    prefixes = {feature.partition("_")[0] for feature in features}
    if "events" not in name:
        assert not [feature for feature in features if feature.startswith(("acct_emp", "acct_ind", "acct_annual"))]
    if name == "without amounts or accounts":
        assert "touch" in prefixes
        assert absent == {column for column in scores.columns if column.startswith(("deal_value", "expected_revenue"))}
        assert "amount" in manifest["absent"]["deal_value"]
        assert manifest["base_money"] is None
        by_chance = scores.sort_values(["p_win_90d", "lead_id"], ascending=[False, True])
        assert by_chance["rank"].is_monotonic_increasing
        assert scores["reasons_positive"].head(20).str.contains('"money": null').any()
    elif name == "without lost deals or events":
        assert "touch" not in prefixes
        assert absent == {"p_lost_ever"}
        assert "no lead was lost" in manifest["absent"]["p_lost_ever"]
    else:
        assert prefixes <= {"lead", "cal", "deal"}
        assert not absent


FOREIGN = """\
company: Werkzeug Müller
data:
  timezone: Europe/Berlin
  known_until: 2026-05-14
  sources:
    leads:
      from: anfragen.csv
      columns: {lead_id: Nummer, created_at: Eingang, account_id: Kunde, source: Quelle, status: Stand, closed_at: Ende}
      values: {status: {open: [offen], lost: [abgesagt], converted: [Auftrag]}}
    deals:
      from: negocios.csv
      columns: {deal_id: Código, lead_id: Anfrage, outcome: Situação, closed_at: Fim, opened_at: Aberto, amount: Soma}
      values: {outcome: {won: [Ganho], lost: [Perdido], open: [Em aberto]}}
    accounts: {from: kunden.csv, columns: {account_id: Kunde, employees: Mitarbeiter, industry: Branche}}
    events: {from: kontakte.csv, columns: {lead_id: Anfrage, occurred_at: Zeitpunkt, kind: Art}}
"""


def test_a_company_with_a_schema_and_words_of_its_own(tmp_path, registry):
    """Semicolons, German dates, decimal commas, words in two languages: ten lines of params, no code."""
    made = simulated(tmp_path, leads=900)
    leads, deals, accounts, events = (
        pd.read_parquet(tmp_path / f"{table}.parquet") for table in ("leads", "deals", "accounts", "events")
    )

    def local(times, pattern):
        return times.dt.tz_convert("Europe/Berlin").dt.strftime(pattern)

    day, minute = "%d.%m.%Y", "%d.%m.%Y %H:%M"
    tables = {
        "anfragen": {
            "Nummer": leads["lead_id"], "Eingang": local(leads["created_at"], minute), "Kunde": leads["account_id"],
            "Quelle": leads["source"], "Ende": local(leads["closed_at"], day),
            "Stand": leads["status"].map({"open": "Offen", "lost": " abgesagt", "converted": "AUFTRAG"}),
        },
        "negocios": {
            "Código": deals["deal_id"], "Anfrage": deals["lead_id"], "Aberto": local(deals["opened_at"], day),
            "Fim": local(deals["closed_at"], day),
            "Situação": deals["outcome"].map({"won": "Ganho", "lost": "Perdido", "open": "Em aberto"}),
            "Soma": [f"{x:,.2f}".translate({44: ".", 46: ","}) if x == x else "" for x in deals["amount"]],
        },
        "kunden": {
            "Kunde": accounts["account_id"], "Mitarbeiter": accounts["employees"], "Branche": accounts["industry"],
        },
        "kontakte": {
            "Anfrage": events["lead_id"], "Zeitpunkt": local(events["occurred_at"], minute), "Art": events["kind"],
        },
    }  # fmt: skip
    for name, columns in tables.items():
        pd.DataFrame(columns).to_csv(tmp_path / f"{name}.csv", sep=";", index=False, encoding="latin-1")
    made.params_file.write_text(FOREIGN + yaml.safe_dump(SMALL | registry | {"artifacts": "."}))
    scores, manifest = whole_job(Company(tmp_path))

    audit = json.loads((tmp_path / "audit.json").read_text())
    assert audit["reconciliation"]["exact"]
    won = deals[deals["outcome"] == "won"]
    assert audit["reconciliation"]["total"]["loaded_deals"] == len(won)
    assert audit["reconciliation"]["total"]["loaded_amount"] == pytest.approx(won["amount"].sum(), abs=0.005)
    assert all(count["quarantined"] == 0 for count in audit["counts"].values())
    assert manifest["absent"] == {}
    assert abs(len(scores) - (pd.read_parquet(tmp_path / "truth.parquet")["outcome"] == "open").sum()) <= 2
