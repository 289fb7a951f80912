from decimal import Decimal

from company_files import DEALS, load_company
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.audit.reconciliation import reconcile


def test_won_deals_are_counted_in_their_local_month_to_the_cent(tmp_path):
    told = reconcile(load_company(tmp_path, data={"timezone": "America/Sao_Paulo"}))
    assert told.is_exact
    assert [(month.month, month.deals["source"], month.revenue["source"]) for month in told.months] == [
        ("2024-02", 2, Decimal("300.3000"))
    ]


def test_deals_without_a_lead_stand_in_a_line_of_their_own_and_count(tmp_path):
    told = reconcile(load_company(tmp_path, deals=[*DEALS, {**DEALS[0], "deal_id": "D9", "lead_id": "L99"}]))
    assert told.total.deals["loaded"] == 3
    assert told.total.deals["without_lead"] == 1
    assert told.total.revenue["without_lead"] == Decimal("100.1000")
    assert told.is_exact


def test_every_difference_is_listed_with_its_month_and_amount(tmp_path):
    deals = [*DEALS, {**DEALS[0], "deal_id": "D8", "closed_at": "2024-02-31"}, DEALS[1]]
    told = reconcile(load_company(tmp_path, deals=deals, data={"quarantined_share_limit": 0.5}))
    assert told.differences == [
        "2024-02: 1 won deal, 200.20: in quarantine",
        "no date: 1 won deal, 100.10: in quarantine",
    ]
    assert told.total.missing_deals == 0


def test_of_a_deal_in_versions_the_newest_counts(tmp_path):
    deals = [{**DEALS[0], "recorded_at": "2024-02-01", "amount": ""}, {**DEALS[0], "recorded_at": "2024-05-01"}]
    total = reconcile(load_company(tmp_path, deals=deals)).total
    assert total.deals["source"] == total.deals["loaded"] == 1
    assert total.revenue["source"] == total.revenue["loaded"] == Decimal("100.1000")


CENTS = st.integers(-(10**9), 10**9)


@settings(
    max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    amounts=st.lists(
        st.tuples(CENTS, st.sampled_from(["won", "lost", "eh?"]), st.integers(1, 31)), min_size=1, max_size=30
    )
)
def test_money_adds_up_to_the_cent(tmp_path, amounts):
    deals = [
        {"deal_id": f"X{n}", "lead_id": f"L{n % 12}", "outcome": word, "closed_at": f"2024-02-{day:02d}",
         "amount": f"{Decimal(cents) / 100:.2f}"}
        for n, (cents, word, day) in enumerate(amounts)
    ]  # fmt: skip
    total = reconcile(load_company(tmp_path, deals=[*DEALS, *deals], data={"quarantined_share_limit": 1})).total
    assert total.revenue["source"] == Decimal("300.30") + sum(
        (Decimal(cents) / 100 for cents, word, _ in amounts if word == "won"), Decimal(0)
    )
    assert total.missing_revenue == 0
    assert total.missing_deals == 0
