"""A morning's mails through a real mail server: each once, to whom it belongs, or doubtful; no secret gets out."""

from __future__ import annotations

import email
import email.policy
import socket
import sqlite3
from datetime import datetime

import pytest
from aiosmtpd.controller import Controller
from conftest import refusal
from delivery_company import FakeClock, frame, scored
from postgresql_server import free_port

from pipeline.commands import deliver as command
from pipeline.commands.deliver import deliver, dry_run
from pipeline.delivery import smtp_sink
from pipeline.delivery.outbox import DOUBTFUL
from pipeline.ingest.load import load_tables


class Mailbox:
    """Takes mails, or answers as told."""

    def __init__(self):
        self.mails, self.reply, self.refuses = [], "250 taken", {}

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.reply.startswith("250"):
            self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        if self.reply == "250 lost":
            server.transport.abort()
        return self.reply


@pytest.fixture(scope="module")
def server():
    box = Mailbox()
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


@pytest.fixture
def box(server):
    server[0].__init__()
    return server[0]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The company's tables, read once: they are the same in every test."""
    return load_tables(scored(tmp_path_factory.mktemp("tables")).params)


@pytest.fixture
def company(server, box, tables, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_loader", lambda params: lambda: tables)
    found = scored(tmp_path)
    found.sinks(mail={"to": f"smtp://127.0.0.1:{server[1]}", "from": "leadrev@seller.example"})
    return found


def sent(company, clock=None, **options):
    (result,) = deliver(company.params, clock=clock or FakeClock(), **options).results
    return result


def to(box):
    return [mail["To"] for mail in box.mails]


def test_everybody_gets_their_own_leads_and_opted_out_people_are_on_no_list(company, box):
    assert sent(company).sent == 2, "ben has no address; mia's team has one hot lead that nobody touched"
    mia, ana = box.mails
    assert to(box) == ["mia@seller.example", "ana@seller.example"]
    assert ana["Subject"] == "Your 2 leads for 15 May 2026"
    assert mia["Subject"] == "1 hot lead that nobody has touched, 15 May 2026"
    text = ana.get_content()
    assert "Acme · Alma Costa" in text
    assert "€1,000 expected; 25% to be won within 90 days" in text
    assert "https://crm.example/L1" in text
    for hidden in ("Cargo", "Echo", "javascript", "alma@acme", "Delta"):
        assert hidden not in text
    assert "Acme" in mia.get_content()
    assert "Bolt" not in mia.get_content()
    assert sent(company).sent == 0, "nothing to say sends nothing"


def test_a_mail_says_when_its_figures_are_not_todays_and_what_is_wrong(company, box):
    company.score(frame(), degraded=[{"source": "events", "why": "stale: its newest row is of 2026-05-09"}])
    sent(company, FakeClock(datetime(2026, 5, 18, 6)))
    text = " ".join(box.mails[1].get_content().split())
    assert "Not today's figures: they are of 15 May 2026." in text
    assert "To be read with care: events: stale: its newest row is of 2026-05-09." in text


def test_the_outbox_holds_ids_and_no_person(company, box):
    box.reply = "451 come back later"
    assert sent(company).failed == 2
    kept = (
        b"".join(p.read_bytes() for p in (company.folder / "outbox").iterdir())
        + (company.folder / "deliveries.jsonl").read_bytes()
    )
    for person in (b"Alma", b"Acme", b"seller.example", b"Ana"):
        assert person not in kept


def test_an_answer_lost_parks_the_mail_as_doubtful_and_only_a_person_sends_it_again(company, box):
    box.reply = "250 lost"
    first = sent(company)
    assert (first.sent, first.failed, first.parked) == (0, 0, 2)
    assert len(box.mails) == 2
    box.reply = "250 taken"
    assert sent(company).sent == 0
    assert len(box.mails) == 2, "it may have arrived, and has"
    assert sent(company, to="mail", resend=True).sent == 2


def test_a_mail_that_a_killed_run_was_sending_is_doubtful(company, box):
    box.reply = "451 later"
    sent(company)
    with sqlite3.connect(company.folder / "outbox" / "outbox.db") as database:
        database.execute("UPDATE outbox SET state = 'sending' WHERE row LIKE 'owner%'")
    box.reply = "250 taken"
    result = sent(company, FakeClock(datetime(2026, 5, 15, 12)))
    assert (result.sent, result.parked) == (1, 1)
    assert to(box) == ["mia@seller.example"]
    assert (DOUBTFUL, "the run was killed while it was being sent", 1) in result.words


def test_a_refused_address_is_told_in_the_servers_words_and_the_others_get_theirs(company, box):
    box.refuses["ana@seller.example"] = "550 5.1.1 mailbox is gone"
    clock = FakeClock()
    assert sent(company, clock).failed == 1
    assert to(box) == ["mia@seller.example"]
    for _ in range(5):
        clock.sleep(6 * 3600)
        company.score(frame(), as_of=f"{clock.now():%Y-%m-%dT%H:%M:%SZ}")
        result = sent(company, clock)
    assert (result.failed, result.parked) == (0, 1), "after eight tries"
    assert "550 5.1.1 mailbox is gone" in result.text
    clock.sleep(48 * 3600)
    box.refuses.clear()
    assert sent(company, clock).sent == 0, "parked until somebody says so"
    assert sent(company, clock, to="mail", resend=True).sent == 1


def test_a_server_that_never_answers_takes_nothing_and_is_tried_again(company, box, monkeypatch):
    monkeypatch.setattr(smtp_sink.SMTPSink.__init__, "__defaults__", (0.2,))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        company.sinks(mail={"to": f"smtp://127.0.0.1:{silent.getsockname()[1]}", "from": "leadrev@seller.example"})
        clock = FakeClock()
        result = sent(company, clock)
    assert (result.sent, result.failed, result.parked) == (0, 2, 0)
    assert "timed out" in result.text
    assert clock.slept == [1, 10]


def test_a_password_goes_out_encrypted_only_and_stands_nowhere(company, box, monkeypatch):
    planted = "pl4nted-secret"
    monkeypatch.setenv("LEADREV_SMTP_PASSWORD", planted)
    address = company.params.deliver.sinks["mail"].to.replace("smtp://", "smtp://bot@")
    company.sinks(mail={"to": address, "from": "leadrev@seller.example"})
    result = sent(company)
    assert (result.sent, result.failed) == (0, 2)
    assert "STARTTLS" in result.text
    kept = b"".join(path.read_bytes() for path in company.folder.rglob("*") if path.is_file())
    assert planted.encode() not in kept + result.text.encode()


def test_a_dry_run_shows_a_mail_and_sends_none(company, box):
    shown = dry_run(company.params)
    assert "mail: 2 rows to send (2 new, 0 changed, 0 cleared)" in shown
    assert "without a mail address in the table of owners: ben" in shown
    assert "in no mail: 2 leads" in shown
    assert not box.mails
    assert not (company.folder / "outbox").exists()


def test_a_host_nobody_named_gets_no_mail(company):
    company.sinks(mail={"to": "smtp://elsewhere.example", "from": "leadrev@seller.example"})
    assert "deliver.mail.to: host elsewhere.example is not in data.hosts" in refusal("deliver", folder=company.folder)
