"""The verdict of a backtest: plain words that follow from the figures."""

import pytest

from pipeline.evaluation.verdict import DOUBTS, REFUSALS, verdict


def figures(auc=0.8, capture=0.5, wins=1.02, money=0.95, won=400, low=None, **more):
    found = {"auc": auc, "capture_at_10": capture, "wins_ratio": wins, "forecast_ratio": money, "actual_wins": won}
    intervals = {"auc": [auc - 0.03 if low is None else low, auc + 0.03]}
    intervals |= {"wins_ratio": [wins - 0.1, wins + 0.1], "forecast_ratio": [money - 0.2, money + 0.2]}
    return found | {"interval_coverage": 0.8, "intervals": intervals} | more


def by(auc, capture, spread=0.02, brier=-0.001):
    rows = {"auc": auc, "capture_at_10": capture, "brier": brier}
    return {key: {"difference": d, "low": d - spread, "high": d + spread} for key, d in rows.items()}


def judged(own=None, **differences):
    differences = differences or {"logistic_regression": by(0.05, 0.1)}
    models = {"leadrev": own or figures()} | {name: figures(auc=0.75, capture=0.4) for name in differences}
    return verdict({"models": models, "differences": differences}, 3)


def test_better_than_all_beyond_chance_is_a_yes_with_its_figures():
    found = judged()
    assert found["use"] == "yes"
    assert not found["doubts"]
    for text in ("3 dates", "AUC of 0.80", "logistic regression: 0.75", "1.02 times the actual 400 wins"):
        assert text in found["text"]


REFUSED = [
    (None, {"biggest_company": by(-0.01, -0.02)}, "no better than the baseline (biggest company first)"),
    (None, {"biggest_company": by(0.01, 0.01)}, "no better than the baseline (biggest company first)"),
    (None, {"biggest_company": by(-0.08, 0.0)}, "worse than the baseline"),
    (None, {"champion": by(0.01, -0.2), "recent_activity": by(0.1, 0.1)}, "the champion so far"),
    (figures(auc=0.51, low=0.48), {}, "no better than chance"),
    (figures(auc=0.95, won=1), {"recent_activity": by(-0.1, -0.1)}, "only 1 win in all: too few"),
    (figures(auc=float("nan"), low=float("nan"), won=0), {}, "nothing was won"),
]


@pytest.mark.parametrize(("own", "differences", "said"), REFUSED)
def test_no_better_than_what_there_is_is_a_no(own, differences, said):
    found = judged(own, **differences)
    assert found["use"] == "no"
    assert said in found["text"].lower()


DOUBTED = [
    (None, {"recent_activity": by(0.015, 0.01)}, "by no more than chance explains"),
    (None, {"champion": by(0.01, 0.01)}, "by no more than chance explains"),
    (None, {"recent_activity": by(0.05, -0.01)}, "held no more than that of most recent activity first"),
    (figures(won=60), {}, "only 60 wins"),
    (figures(wins=1.6), {}, "expected 1.60 times the actual wins"),
    (figures(money=0.5), {}, "do not budget with it"),
    (figures(interval_coverage=0.5), {}, "50% of the amounts"),
    (None, {"aalen_johansen": by(0.1, 0.1, brier=0.001)}, "plain rates by age"),
    (None, {"logistic_regression": by(-0.05, 0.1)}, "logistic regression put the wins in a better order"),
    (None, {"champion": by(0.1, 0.1, brier=0.03)}, "probabilities of the champion so far were closer"),
]


@pytest.mark.parametrize(("own", "differences", "said"), DOUBTED)
def test_a_doubt_asks_for_care_and_is_named(own, differences, said):
    found = judged(own, **differences)
    assert found["use"] == "with care"
    assert said.lower() in found["text"].lower()


def test_a_win_that_several_dates_share_counts_once():
    rows = {"models": {"leadrev": figures(), "champion": figures(auc=0.7)}, "differences": {"champion": by(0.1, 0.1)}}
    assert verdict(rows | {"won_leads": 400}, 5)["use"] == "yes"
    found = verdict(rows | {"won_leads": 60}, 5)
    assert found["use"] == "with care"
    assert "only 60 wins to judge by" in found["text"].lower()
    assert "400 wins (60 leads" in found["text"]


def test_what_was_there_at_fewer_dates_is_not_set_beside_all_of_them():
    models = {"leadrev": figures(cutoffs_count=3), "champion": figures(auc=0.9, cutoffs_count=1)}
    models["recent_activity"] = figures(auc=0.7, cutoffs_count=3)
    found = verdict({"models": models, "differences": {name: by(0.1, 0.1) for name in models if name != "leadrev"}}, 3)
    assert "most recent activity first: 0.70" in found["text"]


def test_a_level_that_is_off_by_chance_alone_is_no_doubt():
    off = figures(money=1.6)
    off["intervals"]["forecast_ratio"] = [0.9, 2.5]
    assert judged(off)["use"] == "yes"


def test_without_draws_the_figures_themselves_decide():
    bare = figures() | {"intervals": {"auc": [None, None], "wins_ratio": [None, None]}}
    rows = {key: {"difference": d, "low": None, "high": None} for key, d in (("auc", 0.05), ("capture_at_10", 0.1))}
    assert judged(bare, logistic_regression=rows)["use"] == "yes"
    assert judged(bare | {"auc": 0.51}, logistic_regression=rows)["use"] == "no"


def test_kinds_of_leads_whose_level_is_off_beyond_chance_are_named():
    def kind(value, expected, won, low, high):
        own = {"expected_wins": expected, "wins_ratio": expected / won, "intervals": {"wins_ratio": [low, high]}}
        return {"by": "source", "value": value, "won": won, "models": {"leadrev": own}}

    segments = [kind("fair", 15, 33, 0.3, 0.6), kind("web", 30, 33, 0.7, 1.2), kind("few", 1, 4, 0.1, 0.4)]
    models = {"leadrev": figures(), "champion": figures(auc=0.7)}
    found = verdict({"models": models, "differences": {"champion": by(0.1, 0.1)}, "segments": segments}, 2)
    assert found["use"] == "yes"
    assert found["watch"] == ["source fair: 15 wins expected, 33 won"]


def test_months_that_miss_their_interval_more_often_than_chance_are_a_doubt():
    overall = {
        "models": {"leadrev": figures(), "champion": figures(auc=0.7)},
        "differences": {"champion": by(0.1, 0.1)},
    }
    assert verdict(overall | {"totals": {"inside": 5, "count": 8}}, 2)["use"] == "yes"
    found = verdict(overall | {"totals": {"inside": 1, "count": 6}}, 2)
    assert found["use"] == "with care"
    assert "only 1 of 6 months" in found["text"].lower()


def test_every_rule_is_reached_by_the_cases_above_or_by_months():
    codes = {code for own, differences, _ in [*REFUSED, *DOUBTED] for code in judged(own, **differences)["codes"]}
    assert codes == {rule.code for rule in (*REFUSALS, *DOUBTS)} - {"monthly_totals"}
