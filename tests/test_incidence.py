"""The incidence model: what must hold for any data, and a known truth found again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

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
