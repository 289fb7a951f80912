"""From each CRM's export to loaded tables, without an edit: the counts, sums and dates are those known beforehand."""

import json
from datetime import datetime
from decimal import Decimal

import pytest

from features import lifecycle
from pipeline.audit.reconciliation import reconcile
from pipeline.commands.init import init
from pipeline.config.params import load_params
from pipeline.ingest.load import load_tables
from pipeline.onboarding.compare import open_checks
from pipeline.onboarding.places import find_places
from pipeline.onboarding.propose import proposed
from pipeline.onboarding.write_params import is_untouched, params_text
from pipeline.simulation.simulate import simulate
from pipeline.simulation.vendor_exports import VENDORS

MOST_DECISIONS = 3


@pytest.fixture(scope="module", params=sorted(VENDORS))
def export(request, tmp_path_factory):
    """A CRM's export, the params that init writes for it, and what they load."""
    folder = tmp_path_factory.mktemp(request.param)
    simulate(folder, leads=500, events_per_lead=3, export=request.param)
    with proposed(find_places([str(folder)], folder), folder, request.param) as draft:
        text = params_text(draft)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    loaded = load_tables(load_params(folder / "params.yaml"))
    return json.loads((folder / "truth.json").read_text()), text, loaded


def standing(loaded, moment):
    counts = lifecycle.standings(loaded.tables, moment).outcome.value_counts(name="n").execute()
    return dict(counts.itertuples(index=False))


def test_leads_stand_as_they_do(export):
    truth, _, loaded = export
    assert standing(loaded, loaded.known_until) == truth["leads"]


def test_won_deals_and_revenue_are_right_in_each_month(export):
    truth, _, loaded = export
    told = reconcile(loaded)
    assert told.is_exact
    assert {month.month: (month.deals["loaded"], month.revenue["loaded"]) for month in told.months} == {
        month: (figures["deals"], Decimal(figures["amount"])) for month, figures in truth["won_by_month"].items()
    }
    alone = truth["won_without_a_lead"]
    assert (told.total.deals["without_lead"], told.total.revenue["without_lead"]) == (
        alone["deals"],
        Decimal(alone["amount"]),
    )


def test_every_event_finds_a_lead(export):
    truth, _, loaded = export
    assert loaded.counts["events"]["loaded"] == truth["events"]
    assert not loaded.counts["events"]["quarantined"]
    assert not any(count["unreadable"] for count in loaded.counts.values())


def test_leads_of_a_date_in_the_past_are_those_that_were_open(export):
    truth, _, loaded = export
    past = truth["forecast_again"]
    moment = datetime.fromisoformat(past["as_of"]).replace(hour=0) - (datetime(2026, 2, 13, 1) - datetime(2026, 2, 13))
    assert standing(loaded, moment)["open"] == past["open"]


def test_the_data_end_where_the_last_thing_happened(export):
    truth, _, loaded = export
    assert truth["last_won_on"] <= str(loaded.known_until.date()) <= "2026-05-15"


def test_a_person_has_at_most_three_decisions(export):
    _, text, _ = export
    assert len(open_checks(text)) <= MOST_DECISIONS
    assert is_untouched(text)


def test_no_column_that_knows_the_future_is_left_for_the_audit(export):
    _, _, loaded = export
    attributes = {name for names in loaded.tables.attributes.values() for name in names}
    assert not {name for name in attributes if any(word in name.lower() for word in FUTURE)}


FUTURE = ("expected", "fiscal", "forecast", "lost", "loss", "closed", "convert", "modif", "weighted", "probability",
          "duration", "activities", "last activity", "stage", "deal amount", "days to")  # fmt: skip


def test_run_again_it_changes_nothing_and_says_what_is_new(tmp_path, monkeypatch):
    nothing = {"unattached": {"deals": 0}, "total": {"quarantined_deals": 0}}
    monkeypatch.setattr(
        "pipeline.commands.init._check", lambda out: ({"currency": "EUR", "reconciliation": nothing}, "checked")
    )
    simulate(tmp_path, leads=300, events_per_lead=2, export="hubspot")
    out = tmp_path / "params.yaml"
    first = init([str(tmp_path)], out)
    assert first.is_written
    written = out.read_text()
    again = init([str(tmp_path)], out)
    assert out.read_text() == written
    assert not again.new
    edited = written.replace("company: ", "company: our-", 1)
    out.write_text(edited)
    deals = (tmp_path / "deals.csv").read_text().splitlines()
    deals = [f"{line},{'Product line' if place == 0 else 'x'}" for place, line in enumerate(deals)]
    (tmp_path / "deals.csv").write_text("\n".join(deals) + "\n")
    contacts = (tmp_path / "contacts.csv").read_text()
    (tmp_path / "contacts.csv").write_text(contacts.replace("In Progress", "Awaiting callback"))
    (tmp_path / "tickets.csv").write_text("ticket,opened\n1,2024-01-01\n2,2024-01-02\n")
    told = init([str(tmp_path)], out)
    assert out.read_text() == edited
    assert not told.is_written
    assert "new columns of deals.csv: Product line; the audit judges them" in told.new
    assert any(line.startswith("a new table, tickets.csv (2 rows), not read") for line in told.new)
    assert any("new words of leads.status: Awaiting callback" in line for line in told.new)
    assert "holds edits: it stays as it is" in told.summary()


def test_on_a_terminal_it_asks_and_an_answer_is_no_doubt_any_more(tmp_path):
    simulate(tmp_path, leads=300, events_per_lead=2, export="zoho")
    asked = []

    def ask(question, choice):
        asked.append((question, choice))
        return "America/Chicago"

    with proposed(find_places([str(tmp_path)], tmp_path), tmp_path, "x", ask=ask) as draft:
        text = params_text(draft)
    [(question, choice)] = asked
    assert question.startswith("data.timezone: no column says which")
    assert choice == "Europe/Berlin"
    assert "timezone: America/Chicago" in text
    assert not any("timezone" in check or "which day" in check for check in open_checks(text))
