"""Poisson boosters that share one data set, whose rows differ in little more than a few running columns."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from models.risk_set import RiskSet

FloatArray = NDArray[np.float64]

_ONE_THREAD_CELLS = 20_000_000
_EARLY_TREES, _EARLY_RATE = 20, 0.4


def poisson_boosters(
    numbers: FloatArray,
    running: list[FloatArray],
    risk: RiskSet,
    monotone_increasing: list[list[int]],
    early_features: list[int],
    trees: int,
    threads: int | None,
    **settings: Any,
) -> list[lgb.Booster]:
    """Fit log(observed / expected) of each outcome by gradient-boosted Poisson regression.

    The values of a row are binned by LightGBM once; its entries are then copies of bytes, not of floats, so memory
    grows with rows and hardly with entries.

    Parameters
    ----------
    numbers : ndarray of shape (n, columns)
        What is the same in all entries of a row.
    running : list of ndarray of shape (entries,)
        Columns that differ between entries; they come after ``numbers``.
    risk : RiskSet
        Entries at risk, of all outcomes.
    monotone_increasing : list of list of int
        For each outcome, 1 for each column that can only raise it, else 0.
    early_features : list of int
        The only columns that the first twenty trees may split on, in larger steps.
    trees : int
        Trees per outcome after those.
    threads : int or None
        Threads; None: all cores, or one where there is little data.
    **settings
        Further parameters of LightGBM.

    Returns
    -------
    list of lightgbm.Booster
        One per outcome. Their raw score is log(observed / expected).
    """
    # Below some millions of cells threads mostly wait for each other, forever on a busy machine.
    some = 1 if len(risk.row) * numbers.shape[1] < _ONE_THREAD_CELLS else 0
    params = {
        "objective": "poisson",
        "min_data_in_leaf": 1,
        "boost_from_average": False,
        "feature_pre_filter": False,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads or some,
        "verbose": -1,
        **settings,
    }
    once = lgb.Dataset(numbers, params=params, free_raw_data=False).construct()
    data = once.subset(risk.row.astype(np.int32), params=params).construct()  # type: ignore[arg-type]
    for column in running:
        data.add_features_from(lgb.Dataset(column[:, None], params=params).construct())
    data.set_weight(risk.weight)
    columns = data.num_feature()
    # LightGBM multiplies the gain of a split by its column's contribution: 0 keeps the column out.
    early_gains, later_gains = [float(c in early_features) for c in range(columns)], [1.0] * columns
    early = _EARLY_TREES if early_features else 0
    rate = settings["learning_rate"]
    in_turn = lgb.reset_parameter(
        feature_contri=lambda tree: early_gains if tree < early else later_gains,
        learning_rate=lambda tree: _EARLY_RATE if tree < early else rate,
    )
    boosters = []
    for k in range(risk.observed.shape[1]):
        observed, expected = risk.observed[:, k], risk.expected[:, k]
        # LightGBM refuses labels that are all zero: with the expected ones, an outcome never observed gets no splits.
        data.set_label(observed if observed.any() else expected)
        data.set_init_score(np.log(expected))
        trained = lgb.train(
            params | {"monotone_constraints": monotone_increasing[k]}, data, early + trees, callbacks=[in_turn]
        )
        boosters.append(lgb.Booster(model_str=trained.model_to_string()))  # lets go of the training data
    return boosters
