"""Poisson boosters that share one data set, with rows that differ in little more than a few running columns."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_ONE_THREAD_CELLS = 20_000_000
_FIRST_TREES, _FIRST_RATE = 20, 0.4


def poisson_boosters(
    numbers: FloatArray,
    row: NDArray[np.intp],
    running: list[FloatArray],
    observed: FloatArray,
    expected: FloatArray,
    weight: FloatArray,
    monotone_increasing: list[list[int]],
    first: list[int],
    trees: int,
    threads: int | None,
    **settings: Any,
) -> list[lgb.Booster]:
    """Fit log(observed / expected) of each outcome by boosted Poisson regression.

    The values of a row are sorted into LightGBM's bins once; its entries are then copies of bytes, not of floats, so
    that memory grows with rows, and hardly with entries.

    Parameters
    ----------
    numbers : ndarray of shape (n, columns)
        What is the same in all entries of a row.
    row : ndarray of int, shape (entries,)
        Which row each entry belongs to, never falling.
    running : list of ndarray of shape (entries,)
        Columns that differ between entries; they come after ``numbers``.
    observed, expected : ndarray of shape (entries, outcomes)
        Outcomes, and outcomes expected without features (> 0).
    weight : ndarray of shape (entries,)
        Weights.
    monotone_increasing : list of list of int
        Of each outcome, 1 for each column that may only raise it, else 0.
    first : list of int
        Columns that twenty trees, made before all others and in larger steps, see alone.
    trees : int
        Further trees an outcome.
    threads : int or None
        Threads; None: all cores, or one where there is little to do.
    **settings
        Further parameters of LightGBM.

    Returns
    -------
    list of lightgbm.Booster
        One an outcome. Their raw score is the log-ratio.
    """
    # Below some millions of cells threads mostly wait for each other, without end on a busy machine.
    some = 1 if len(row) * numbers.shape[1] < _ONE_THREAD_CELLS else 0
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
    data = once.subset(row.astype(np.int32), params=params).construct()  # type: ignore[arg-type]
    for column in running:
        data.add_features_from(lgb.Dataset(column[:, None], params=params).construct())
    data.set_weight(weight)
    columns = data.num_feature()
    alone, all_of_them = [float(c in first) for c in range(columns)], [1.0] * columns  # what a split is worth
    early = _FIRST_TREES if first else 0
    rate = settings["learning_rate"]
    in_turn = lgb.reset_parameter(
        feature_contri=lambda tree: alone if tree < early else all_of_them,
        learning_rate=lambda tree: _FIRST_RATE if tree < early else rate,
    )
    boosters = []
    for k in range(observed.shape[1]):
        # LightGBM refuses to learn of an outcome never seen: let what came be what was expected.
        data.set_label(observed[:, k] if observed[:, k].any() else expected[:, k])
        data.set_init_score(np.log(expected[:, k]))
        trained = lgb.train(
            params | {"monotone_constraints": monotone_increasing[k]}, data, early + trees, callbacks=[in_turn]
        )
        boosters.append(lgb.Booster(model_str=trained.model_to_string()))  # lets go of the training data
    return boosters
