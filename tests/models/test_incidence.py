"""The incidence model: what must hold for any data, and a known truth found again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import column_or_1d
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import _assert_all_finite

from models.incidence import IncidenceBooster

TIMES = np.linspace(0, 120, 13)


def company(rows: int = 1500, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two outcomes with constant rates that hang on a number and a word; censored at a calendar date."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "size": rng.normal(size=rows),
            "source": rng.choice(["web", "fair", "list"], size=rows, p=[0.5, 0.3, 0.2]),
            "noise": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
        }
    )
    rates = true_rates(X)
    first = rng.exponential(1 / rates)
    as_of = rng.uniform(0, 200, size=rows)
    end = 240 - as_of
    happened = first.min(axis=1) < end
    y = pd.DataFrame(
        {
            "event": np.where(happened, first.argmin(axis=1) + 1, 0),
            "duration": np.minimum(first.min(axis=1), end),
            "as_of": pd.Timestamp("2024-01-01") + pd.to_timedelta(as_of, unit="D"),
        }
    )
    return X, y


def true_rates(X: pd.DataFrame) -> np.ndarray:
    source = X["source"].map({"web": 0.5, "fair": 0.0, "list": -1.5}).to_numpy(dtype=float)
    return np.exp(np.stack([-4.5 + 0.8 * X["size"] + source, -4.0 - 0.5 * X["size"]], axis=1))


def true_incidence(X: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    rates = true_rates(X)
    total = rates.sum(axis=1)
    ended = -np.expm1(-total[:, None] * times) / total[:, None]
    return rates[:, :, None] * ended[:, None, :]


@pytest.fixture(scope="module")
def fitted() -> tuple[IncidenceBooster, pd.DataFrame, pd.DataFrame]:
    X, y = company()
    return IncidenceBooster(random_state=0, threads=1).fit(X, y), X, y


def test_rows_sum_to_one_and_incidence_never_falls(fitted) -> None:
    model, X, _ = fitted
    found = model.predict_cumulative_incidence(X, np.linspace(0, 900, 181))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    assert (np.diff(found[:, 1:], axis=2) >= -1e-15).all()


def test_same_seed_gives_the_same_bytes() -> None:
    X, y = company(400)
    one, two = (IncidenceBooster(random_state=3, threads=t).fit(X, y).margins(X) for t in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_finds_a_known_truth_again() -> None:
    X, y = company(5000, seed=1)
    fresh, _ = company(1000, seed=2)
    model = IncidenceBooster(random_state=0, threads=1, trees=80, pieces=3).fit(X, y)
    found = model.predict_cumulative_incidence(fresh, [60.0])[:, 1:, 0]
    truth = true_incidence(fresh, np.array([60.0]))[:, :, 0]
    constant = np.abs(truth - truth.mean(axis=0)).mean()
    assert np.abs(found - truth).mean() < 0.35 * constant
    np.testing.assert_allclose(found.mean(axis=0), truth.mean(axis=0), rtol=0.1)


def test_young_leads_are_not_taken_for_failures() -> None:
    """Half the leads are seen for a tenth of the time: a binary label would halve their chance."""
    rng = np.random.default_rng(0)
    duration = rng.exponential(50.0, size=4000)
    young = rng.random(4000) < 0.5
    seen = np.where(young, 5.0, 100.0)
    y = pd.DataFrame({"event": (duration < seen).astype(int), "duration": np.minimum(duration, seen)})
    X = pd.DataFrame({"young": young})
    found = IncidenceBooster(random_state=0, threads=1, trees=40).fit(X, y).predict_proba(X, 4.0)[:, 1]
    assert found[young].mean() == pytest.approx(1 - np.exp(-4 / 50), rel=0.12)
    assert found[~young].mean() == pytest.approx(1 - np.exp(-4 / 50), rel=0.12)


def test_shuffled_outcomes_give_the_base_rate() -> None:
    X, y = company(3000, seed=4)
    shuffled = y.sample(frac=1, random_state=0).reset_index(drop=True)
    model = IncidenceBooster(random_state=0, threads=1).fit(X, shuffled)
    found = model.predict_proba(company(1000, seed=5)[0], 60.0)[:, 1]
    honest = IncidenceBooster(random_state=0, threads=1).fit(X, y).predict_proba(company(1000, seed=5)[0], 60.0)[:, 1]
    assert found.std() < 0.35 * honest.std()
    assert found.mean() == pytest.approx(honest.mean(), rel=0.1)


@pytest.mark.parametrize("wins", [0, 1, 8])
def test_few_outcomes_stay_near_the_base_rate(wins: int) -> None:
    X, y = company(600, seed=6)
    y["event"] = np.where(y["event"] == 1, 0, y["event"])
    y.loc[y.index[:wins], "event"] = 1
    found = IncidenceBooster(random_state=0, threads=1).fit(X, y).predict_proba(X, 30.0)
    assert found[:, 1].mean() < 3 * (wins + 0.5) / 600
    assert found[:, 1].max() < 8 * (wins + 0.5) / 600


def test_all_still_open_gives_nearly_nothing() -> None:
    X, y = company(50)
    model = IncidenceBooster(random_state=0, threads=1).fit(X, y.assign(event=0))
    assert model.predict_proba(X).shape == (50, 2)
    assert (model.predict_proba(X, 30.0)[:, 1] < 0.02).all()


def test_order_of_rows_does_not_change_rates_or_level() -> None:
    X, y = company(800, seed=7)
    order = np.random.default_rng(0).permutation(800)
    settings = {"random_state": 0, "threads": 1, "recalibrate": False, "bagging_share": 1.0}
    one = IncidenceBooster(**settings).fit(X[["size", "noise"]], y)
    two = IncidenceBooster(**settings).fit(X[["size", "noise"]].iloc[order], y.iloc[order])
    np.testing.assert_allclose(one.grid_.base_rates, two.grid_.base_rates, rtol=1e-5)
    np.testing.assert_allclose(one.margins(X[["size", "noise"]]), two.margins(X[["size", "noise"]]), atol=1e-3)


def test_weights_count_like_duplicates() -> None:
    X, y = company(700, seed=8)
    X = X[["size"]].round(1)  # few enough values for LightGBM to cut between the same ones
    twice = y["event"].to_numpy() == 1
    settings = {"random_state": 0, "threads": 1, "recalibrate": False, "bagging_share": 1.0, "trees": 30}
    weighed = IncidenceBooster(**settings).fit(X, y, sample_weight=1.0 + twice)
    repeated = IncidenceBooster(**settings).fit(pd.concat([X, X[twice]]), pd.concat([y, y[twice]]))
    apart = np.abs(weighed.predict_proba(X, 30.0) - repeated.predict_proba(X, 30.0)).mean()
    ignored = IncidenceBooster(**settings).fit(X, y).predict_proba(X, 30.0)
    assert apart < 0.01
    assert apart < 0.3 * np.abs(weighed.predict_proba(X, 30.0) - ignored).mean()


def test_a_lead_looked_at_five_times_is_one_leads_evidence() -> None:
    X, y = company(300, seed=9)
    lead = np.tile(np.arange(300), 5)
    once = IncidenceBooster(random_state=0, threads=1, recalibrate=False).fit(X, y)
    often = IncidenceBooster(random_state=0, threads=1, recalibrate=False).fit(
        pd.concat([X] * 5), pd.concat([y] * 5), groups=lead
    )
    np.testing.assert_allclose(once.grid_.base_rates, often.grid_.base_rates, rtol=1e-4)


def test_recent_exposure_counts_when_rates_drift() -> None:
    rng = np.random.default_rng(3)
    as_of = rng.uniform(0, 1000, size=6000)
    duration = rng.exponential(np.where(as_of < 800, 400.0, 100.0))
    end = np.minimum(1000 - as_of, 60.0)
    y = pd.DataFrame(
        {"event": (duration < end).astype(int), "duration": np.minimum(duration, end).clip(1e-3), "as_of": as_of}
    )
    X = pd.DataFrame({"noise": rng.normal(size=6000)})
    truth = 1 - np.exp(-30 / 100)
    kept, forgotten = (
        IncidenceBooster(random_state=0, threads=1, half_life_days=h, recalibrate=False)
        .fit(X, y)
        .predict_proba(X, 30.0)[:, 1]
        .mean()
        for h in (None, 60.0)
    )
    assert kept < 0.75 * truth
    assert forgotten == pytest.approx(truth, rel=0.12)
    repaired = IncidenceBooster(random_state=0, threads=1).fit(X, y).predict_proba(X, 30.0)[:, 1].mean()
    assert kept < repaired < 1.1 * truth


def test_drift_of_the_level_leaves_what_features_do_alone() -> None:
    rng = np.random.default_rng(4)
    as_of, x = rng.uniform(0, 1000, size=(2, 6000)) * [[1.0], [0.001]]
    duration = rng.exponential(np.where(as_of < 800, 400.0, 100.0) * np.exp(-x))
    end = np.minimum(1000 - as_of, 60.0)
    y = pd.DataFrame(
        {"event": (duration < end).astype(int), "duration": np.minimum(duration, end).clip(1e-3), "as_of": as_of}
    )
    X = pd.DataFrame({"x": x})
    slow, quick = (
        IncidenceBooster(random_state=0, threads=1, half_life_days=h, recalibrate=False).fit(X, y).margins(X)[:, 0]
        for h in (None, 60.0)
    )
    moved = quick - slow
    assert moved.min() > 0.5
    np.testing.assert_allclose(moved, moved[0, 0], atol=1e-12)


def test_what_happens_soon_decides_what_features_do_where_it_is_what_matters() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=4000)
    # For ten days x helps, then it hurts.
    soon, late = rng.exponential(60 * np.exp(-x)), 10 + rng.exponential(60 * np.exp(x))
    duration = np.where(soon < 10, soon, late)
    y = pd.DataFrame({"event": 1, "duration": np.minimum(duration, 300.0)})
    X = pd.DataFrame({"x": x})
    alike, near = (
        IncidenceBooster(random_state=0, threads=1, pieces=2, near_days=h, recalibrate=False).fit(X, y)
        for h in (None, 1.0)
    )
    assert near.lines_[0].slope[0, 0] == pytest.approx(alike.lines_[0].slope[0, 0])  # lines are fitted apart anyhow
    truth = x > 0
    helped = [np.corrcoef(model.predict_proba(X, 10.0)[:, 1], truth)[0, 1] for model in (alike, near)]
    assert helped[1] > helped[0]


def test_days_to_win_grow_with_the_quantile_and_end_at_the_cut_off(fitted) -> None:
    model, X, _ = fitted
    days = model.predict_days(X, [0.1, 0.5, 0.9, 1.0], until_days=90.0)
    assert (np.diff(days, axis=1) > 0).all()
    np.testing.assert_allclose(days[:, -1], 90.0)
    reached = model.predict_proba(X.iloc[:1], days[0, 1])[0, 1]
    assert reached == pytest.approx(model.predict_proba(X.iloc[:1], 90.0)[0, 1] / 2)


def test_margins_are_affine_in_what_the_boosters_and_the_lines_say(fitted) -> None:
    model, X, _ = fitted
    numbers = model.encoder_.transform(X)
    for piece in (0, model.grid_.pieces_count - 1):
        seen = np.column_stack([numbers, np.full(len(X), piece)])
        assert seen.shape[1] == len(model.columns_)
        assert model.columns_[-1] == "piece"
        for k, booster in enumerate(model.boosters_):
            (level, slope), share = model.calibration_[k], model.line_share_[k]
            trees, lines = booster.predict(seen, raw_score=True), model.lines_[k].margins(numbers)[:, piece]
            np.testing.assert_allclose(
                model.margins(X)[:, k, piece], level + slope * ((1 - share) * trees + share * lines)
            )


def test_clocks_find_what_happens_a_fixed_time_after_something() -> None:
    """Half of the leads are lost 30 days after their last mail, whenever they are looked at."""
    rng = np.random.default_rng(0)
    since = rng.uniform(0, 28, size=3000)
    X = pd.DataFrame({"mail_days": since})
    lost = rng.random(3000) < 0.5
    y = pd.DataFrame({"event": lost.astype(int), "duration": np.where(lost, 30 - since + rng.random(3000), 60.0)})
    times = np.array([10.0, 20.0])
    truth = 0.5 * (times > 30.5 - since[:, None])
    apart = []
    for clocks in ((), ("mail_days",)):
        model = IncidenceBooster(random_state=0, threads=1, pieces=16, trees=60, clocks=clocks)
        apart.append(np.abs(model.fit(X, y).predict_cumulative_incidence(X, times)[:, 1] - truth).mean())
    assert apart[1] < 0.8 * apart[0]
    assert model.columns_ == ["mail_days", "mail_days", "piece"]


def test_stale_leads_decay_as_the_data_say_and_young_ones_do_not_count_as_lost() -> None:
    """Rates fall with silence to a hundredth; leads of this week were hardly watched, and are as good as the others."""
    rng = np.random.default_rng(1)
    silent, is_new = rng.uniform(0, 300, size=12_000), rng.random(12_000) < 0.3
    truth = 0.01 * np.exp(-silent / 60)
    time, seen = rng.exponential(1 / truth), np.where(is_new, rng.uniform(0.5, 7, size=12_000), 90.0)
    X = pd.DataFrame({"silent_days": silent, "is_new": is_new})
    y = pd.DataFrame({"event": (time < seen).astype(int), "duration": np.minimum(time, seen)})
    found = IncidenceBooster(random_state=0, threads=1).fit(X, y).predict_proba(X, 90.0)[:, 1]
    wanted = 1 - np.exp(-90 * truth)
    for some in (silent < 30, (silent > 120) & (silent < 180), is_new, ~is_new):
        assert found[some].sum() == pytest.approx(wanted[some].sum(), rel=0.3)
    assert found[silent > 240].mean() < 0.05 * found[silent < 30].mean()


def test_what_rates_hang_on_most_is_not_drawn_to_the_average() -> None:
    """Rates fall thirtyfold with age; among 60 columns of noise, many small steps do not get that far."""
    rng = np.random.default_rng(0)
    age = rng.exponential(100.0, size=8000)
    X = pd.DataFrame(rng.normal(size=(8000, 60))).rename(columns=str).assign(age_days=age)
    truth = 0.003 * np.where(age < 7, 10.0, np.where(age < 200, 1.0, 0.3))
    time = rng.exponential(1 / truth)
    y = pd.DataFrame({"event": (time < 60).astype(int), "duration": np.minimum(time, 60.0)})
    wrong = []
    for early in ((), ("age_days",)):
        model = IncidenceBooster(random_state=0, threads=1, trees=60, recalibrate=False, early_features=early).fit(X, y)
        found, wanted = model.predict_proba(X, 30.0)[:, 1], 1 - np.exp(-30 * truth)
        wrong.append(np.log(found[age > 200].sum() / wanted[age > 200].sum()))
    assert abs(wrong[1]) < 0.6 * wrong[0]


def test_what_can_only_raise_the_chance_never_lowers_it() -> None:
    X, y = company(800, seed=11)
    X["wobble"] = X["noise"].fillna(0.0)
    model = IncidenceBooster(random_state=0, threads=1, monotone_increasing=("wobble",)).fit(X, y)
    margins = np.stack([model.margins(X.assign(wobble=value))[:, 0] for value in np.linspace(-3, 3, 13)])
    assert (np.diff(margins, axis=0) >= -1e-12).all()


def test_columns_that_cannot_run_or_rise_are_refused() -> None:
    X, y = company(50)
    for settings in ({"clocks": ("absent",)}, {"monotone_increasing": ("source",)}):
        with pytest.raises(ValueError, match="must name columns of numbers"):
            IncidenceBooster(**settings).fit(X, y)


QUICK = {"random_state": 0, "threads": 1, "trees": 10, "pieces": 3}


def test_rows_without_weight_are_no_rows() -> None:
    X, y = company(400)
    for counted in (y["as_of"] < y["as_of"].median(), y["as_of"] > y["as_of"].quantile(0.9)):
        weighed = IncidenceBooster(**QUICK).fit(X, y, sample_weight=counted.astype(float))
        alone = IncidenceBooster(**QUICK).fit(X[counted], y[counted])
        np.testing.assert_array_equal(weighed.margins(X), alone.margins(X))


def test_weights_that_add_up_to_one_leave_the_level() -> None:
    X, y = company(400)
    constant = 1 - np.exp(-30 * (y["event"] == 1).sum() / y["duration"].sum())
    found = IncidenceBooster(**QUICK).fit(X, y[["event", "duration"]], np.full(400, 1 / 400)).predict_proba(X, 30.0)
    assert found[:, 1].mean() == pytest.approx(constant, rel=0.25)


def test_a_word_that_came_into_use_lately_is_learnt_and_one_never_seen_says_nothing() -> None:
    X, y = company(400)
    late = X["source"].where(y["as_of"] > y["as_of"].quantile(0.9), None)
    found = IncidenceBooster(**QUICK).fit(X.assign(source=late), y).predict_proba(X, 30.0)
    assert np.isfinite(found).all()
    for nothing in (None, np.nan):
        model = IncidenceBooster(**QUICK).fit(X.assign(new=nothing), y)
        filled = [model.margins(X.assign(new=value)) for value in (nothing, "word", 3.0)]
        np.testing.assert_array_equal(filled[1], filled[0])
        np.testing.assert_array_equal(filled[2], filled[0])


def test_a_half_life_may_be_short_and_follow_up_long() -> None:
    X, y = company(400)
    y["duration"] *= 50
    assert np.isfinite(IncidenceBooster(**QUICK, half_life_days=7.0).fit(X, y).margins(X)).all()


def test_with_one_tree_there_are_lines_alone() -> None:
    X, y = company(400)
    assert (IncidenceBooster(**QUICK | {"trees": 1, "early_features": ("size",)}).fit(X, y).line_share_ == 1).all()


def test_the_first_trees_see_their_columns_and_the_piece_alone() -> None:
    X, y = company(400)
    X["piece"] = X["noise"] = X["size"] ** 2
    model = IncidenceBooster(**QUICK, early_features=("size",), clocks=("size",), monotone_increasing=("piece",)).fit(
        X, y
    )
    for booster in model.boosters_:
        splits = booster.trees_to_dataframe().dropna(subset="split_feature").query("tree_index < 20")
        places = {booster.feature_name().index(name) for name in splits["split_feature"]}
        assert places <= {0, len(model.columns_) - 2, len(model.columns_) - 1}


def test_a_frame_and_an_array_are_read_alike() -> None:
    X, y = company(200)
    framed, bare = (IncidenceBooster(**QUICK).fit(seen, y) for seen in (X, X.to_numpy(dtype=object)))
    with pytest.warns(UserWarning, match="feature names"):
        np.testing.assert_array_equal(framed.margins(X.to_numpy(dtype=object)), framed.margins(X))
    with pytest.warns(UserWarning, match="feature names"):
        np.testing.assert_array_equal(bare.margins(X), framed.margins(X))


def test_dates_may_be_given_in_any_way() -> None:
    X, y = company(200)
    dates = y["as_of"]
    local = dates.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    one = IncidenceBooster(**QUICK).fit(X, y).margins(X)
    for given in (local, local.map(lambda d: d.isoformat()), (dates - pd.Timestamp(0)) / pd.Timedelta("1D")):
        np.testing.assert_allclose(IncidenceBooster(**QUICK).fit(X, y.assign(as_of=given)).margins(X), one, atol=1e-9)


def test_time_differences_and_missing_leads_are_refused(fitted) -> None:
    X, y = company(50)
    with pytest.raises(ValueError, match="days as numbers"):
        IncidenceBooster().fit(X, y.assign(duration=pd.to_timedelta(y["duration"], unit="D")))
    with pytest.raises(ValueError, match="none of them missing"):
        IncidenceBooster().fit(X, y, groups=[None, *range(49)])
    with pytest.raises(ValueError, match="quantiles must lie"):
        fitted[0].predict_days(fitted[1], [np.nan])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("duration", 0.0, "above 0"), ("duration", np.nan, "finite"), ("event", -1, "whole"), ("as_of", None, "missing")],
)
def test_labels_that_cannot_be_are_refused(column: str, value: object, message: str) -> None:
    X, y = company(50)
    y.loc[y.index[3], column] = value
    with pytest.raises(ValueError, match=message):
        IncidenceBooster().fit(X, y)


class OneDimensional(IncidenceBooster):
    """Lets scikit-learn's checks, which know only one-dimensional targets, reach everything else."""

    def fit(self, X, y, sample_weight=None):
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        y = np.asarray(column_or_1d(y, warn=True))
        _assert_all_finite(y)
        event = np.unique(y, return_inverse=True)[1] % 3
        return super().fit(X, pd.DataFrame({"event": event, "duration": 1.0 + np.arange(len(y)) % 7}), sample_weight)


NOT_APPLICABLE = {
    "check_sample_weight_equivalence_on_dense_data": "bagging draws rows, and a weight of two is one row, not two",
    "check_sample_weight_equivalence_on_sparse_data": "sparse input is refused",
}


@parametrize_with_checks(
    [OneDimensional(trees=5, random_state=0, threads=1)], expected_failed_checks=lambda _: NOT_APPLICABLE
)
def test_scikit_learn_estimator_checks(estimator, check) -> None:
    check(estimator)
