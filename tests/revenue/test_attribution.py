"""Credit to campaigns: every rule adds up to the cent, and the model's shares are those of the definition."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.revenue.attribution import EXACT_PLAYERS, RULES, coalitions, credit, shapley_weights, touch_weights

NAMES = ["fair", "webinar", "mail", "ads"]


def touches_of(deals):
    rows = [
        {"deal": f"D{n}", "campaign": NAMES[name], "touched_at": pd.Timestamp("2026-01-01") + pd.Timedelta(days=day)}
        for n, touched in enumerate(deals)
        for name, day in sorted(touched, key=lambda one: one[1])
    ]
    frame = pd.DataFrame(rows, columns=["deal", "campaign", "touched_at"])
    return frame.assign(opened_at=pd.Timestamp("2026-06-01"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    deals=st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 150)), max_size=6), min_size=1, max_size=8),
    cents=st.lists(st.integers(-50_000, 10_000_000), min_size=8, max_size=8),
    rule=st.sampled_from([rule for rule in RULES if rule != "model"]),
)
def test_every_deal_is_credited_to_the_cent(deals, cents, rule):
    touches = touches_of(deals)
    amounts = pd.DataFrame({"deal": [f"D{n}" for n in range(len(deals))], "cents": cents[: len(deals)]})
    weights = touches[["deal", "campaign"]].assign(weight=touch_weights(touches, rule) if len(touches) else [])
    credited = credit(amounts, weights)
    sums = credited.groupby("deal")["cents"].sum()
    assert sums.to_dict() == amounts.set_index("deal")["cents"].to_dict()
    untouched = {f"D{n}" for n, touched in enumerate(deals) if not touched}
    assert set(credited.loc[credited["campaign"].isna(), "deal"]) == untouched
    assert not credited.duplicated(["deal", "campaign"]).any()


def test_rules_weigh_as_they_are_named():
    touches = touches_of([[(0, 0), (1, 137), (2, 144), (3, 151)]])
    weights = {rule: touch_weights(touches, rule).round(4).tolist() for rule in RULES[:-1]}
    assert weights["first"] == [1, 0, 0, 0]
    assert weights["last"] == [0, 0, 0, 1]
    assert weights["linear"] == [0.25] * 4
    assert weights["position"] == [0.4, 0.1, 0.1, 0.4]
    first, second, third, fourth = weights["time_decay"]
    assert (round(fourth / third), round(third / second)) == (2, 2)
    assert first < 0.001
    two = touch_weights(touches_of([[(0, 0), (1, 10)]]), "position")
    assert two.tolist() == [0.5, 0.5]


def test_what_is_no_rule_is_refused():
    with pytest.raises(ValueError, match="shapley"):
        touch_weights(touches_of([[(0, 0)]]), "shapley")


def test_left_over_cents_go_to_the_largest_remainders():
    weights = pd.DataFrame({"deal": ["D"] * 3, "campaign": ["b", "a", "c"], "weight": [1 / 3] * 3})
    credited = credit(pd.DataFrame({"deal": ["D"], "cents": [100]}), weights)
    assert credited.set_index("campaign")["cents"].to_dict() == {"a": 34, "b": 33, "c": 33}


def brute_force(players, value):
    """Average gain over every order of the players: the definition."""
    gains = np.zeros(len(players))
    for order in itertools.permutations(range(len(players))):
        held = np.zeros(len(players), dtype=bool)
        for player in order:
            before = value(held[None])[0]
            held[player] = True
            gains[player] += value(held[None])[0] - before
    return gains / math.factorial(len(players))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shapley_weights_are_those_of_the_definition(count):
    rng = np.random.default_rng(count)
    table = rng.random(2**count) + 0.1

    def value(held):
        return table[held @ (1 << np.arange(count))]

    players = [f"P{n}" for n in range(count)]
    parts = shapley_weights(players, value(coalitions(count)))
    assert parts[None] == pytest.approx(table[0] / table[-1])
    assert [parts[name] for name in players] == pytest.approx(brute_force(players, value) / table[-1])
    assert sum(parts.values()) == pytest.approx(1)


def test_many_players_are_sampled_and_still_add_up():
    count = EXACT_PLAYERS + 4
    effect = np.linspace(0, 1, count)
    names = [f"P{n}" for n in range(count)]
    parts = shapley_weights(names, 1 + coalitions(count) @ effect)
    assert parts == shapley_weights(names, 1 + coalitions(count) @ effect)
    assert sum(parts.values()) == pytest.approx(1)
    assert [parts[f"P{n}"] for n in range(count)] == pytest.approx(effect / (1 + effect.sum()))
    assert parts["P0"] == pytest.approx(0), "nothing for a campaign without effect"


def test_where_a_win_was_never_likely_nobody_is_credited():
    assert shapley_weights(["fair"], np.zeros(2)) == {None: 1.0}
