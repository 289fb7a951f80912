"""Events that name no lead: each finds one by another key, or is set aside with its reason."""

from company_files import load_company

from pipeline.ingest.quarantine import quarantined

LEADS = [
    {"lead_id": "L1", "created_at": "2024-01-10 09:00", "contact_id": "C1", "account_id": "A1", "status": "lost",
     "closed_at": "2024-03-01 09:00", "email": "Ann@Firm.example", "phone": "+49 30 1234567"},
    {"lead_id": "L2", "created_at": "2024-02-10 09:00", "contact_id": "C1", "account_id": "A1", "status": "open",
     "closed_at": "", "email": "ann@firm.example", "phone": "030/1234567"},
    {"lead_id": "L3", "created_at": "2024-04-10 09:00", "contact_id": "C1", "account_id": "A1", "status": "lost",
     "closed_at": "2024-04-12 09:00", "email": "", "phone": ""},
    {"lead_id": "L4", "created_at": "nonsense", "contact_id": "C4", "account_id": "A4", "status": "open",
     "closed_at": "", "email": "", "phone": ""},
]  # fmt: skip
DEALS = [
    {"deal_id": "D1", "lead_id": "L1", "account_id": "", "outcome": "open", "closed_at": "", "opened_at": "2024-02-01"},
    {"deal_id": "D2", "lead_id": "", "account_id": "A1", "outcome": "open", "closed_at": "", "opened_at": "2024-04-11"},
]
KEYS = ("lead_id", "deal_id", "contact_id", "email", "phone", "account_id")


def linked(folder, *events: tuple[str, dict]):
    rows = [
        {"event_id": f"E{n}", "occurred_at": at, "kind": "visit", **dict.fromkeys(KEYS, ""), **keys}
        for n, (at, keys) in enumerate(events)
    ]
    loaded = load_company(folder, leads=LEADS, deals=DEALS, events=rows,
                          data={"quarantined_share_limit": 0.9, "known_until": "2024-06-01"})  # fmt: skip
    count = loaded.counts["events"]
    assert count["rows"] == count["loaded"] + count["quarantined"] == len(rows)
    found = loaded.tables.events.select("event_id", "lead_id").to_pandas().set_index("event_id").lead_id.to_dict()
    return [found.get(f"E{n}") for n in range(len(rows))], loaded


def test_a_contact_leads_to_its_newest_open_lead_else_the_newest_before_else_the_first_after(tmp_path):
    found, loaded = linked(
        tmp_path,
        ("2024-01-20 10:00", {"contact_id": "C1"}),
        ("2024-02-20 10:00", {"contact_id": "C1"}),
        ("2024-04-11 10:00", {"contact_id": "C1"}),
        ("2024-05-01 10:00", {"contact_id": "C1"}),
        ("2024-01-01 10:00", {"contact_id": "C1"}),
    )
    assert found == ["L1", "L2", "L3", "L2", "L1"]
    assert loaded.counts["events"]["linked"] == {"contact_id": 5}


def test_mail_and_phone_are_told_apart_by_what_they_mean_and_a_deal_leads_to_its_lead(tmp_path):
    found, _ = linked(
        tmp_path,
        ("2024-01-20 10:00", {"email": " Ann Lee <ANN@firm.example>"}),
        ("2024-01-20 10:00", {"phone": "0049 (30) 123-4567"}),
        ("2024-05-20 10:00", {"deal_id": "D1", "contact_id": "C9"}),
        ("2024-05-20 10:00", {"deal_id": "D2"}),
        ("2024-05-20 10:00", {"account_id": "A1"}),
        ("2024-05-20 10:00", {"lead_id": "L1", "contact_id": "C4"}),
        ("2024-05-20 10:00", {"lead_id": "L9", "email": "ann@firm.example"}),
    )
    assert found == ["L1", "L1", "L1", "L3", "L2", "L1", "L2"]


def test_what_leads_nowhere_is_set_aside_with_its_key_and_reason(tmp_path):
    found, loaded = linked(
        tmp_path,
        ("2024-01-20 10:00", {"email": "who@nowhere.example"}),
        ("2024-01-20 10:00", {}),
        ("2024-01-20 10:00", {"lead_id": "L4", "contact_id": "C1"}),
        ("2024-01-20 10:00", {"phone": "12"}),
        ("2024-01-20 10:00", {"contact_id": "C1"}),
    )
    assert found == [None, None, None, None, "L1"]
    told = quarantined(loaded.connection)[quarantined(loaded.connection)["table"] == "events"][
        ["column", "value", "reason"]
    ]
    assert told.astype(object).where(told.notna(), None).to_numpy().tolist() == [
        ["email", "who@nowhere.example", "leads to no lead"],
        ["lead_id", None, "nothing says whose it is"],
        ["lead_id", "L4", "its lead is in quarantine"],
        ["phone", "12", "leads to no lead"],
    ]


def test_a_lead_that_is_lost_later_keeps_the_event_it_had(tmp_path):
    (before,), _ = linked(tmp_path, ("2024-02-05 10:00", {"contact_id": "C1"}))
    assert before == "L1"
