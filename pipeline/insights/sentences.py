"""Sentences with their weights as JSON lists, for any number of leads: each sentence is made once a distinct value."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.catalogue import sentence
from pipeline.common import formatting
from pipeline.insights.contact_cadence import ContactCadence
from pipeline.insights.feature_groups import FloatArray, Signals

TEXT = pa.large_string()
NOTHING = pa.scalar("", TEXT)


def heads(
    signals: Signals,
    X: pd.DataFrame,
    leads: NDArray[np.intp],
    columns: NDArray[np.intp],
    sign: int,
    extra: tuple[NDArray[np.bool_], str] | None = None,
    cadence: ContactCadence | None = None,
) -> pa.Array:
    """Write the JSON of some reasons up to their weight.

    Parameters
    ----------
    signals : Signals
        Of the columns.
    X : data frame of shape (n_leads, n_features)
        The leads' features.
    leads, columns : ndarray of int, shape (reasons,)
        The place of each reason's lead in `X`, and the column that speaks.
    sign : int
        1 for the lead, −1 against it.
    extra : (ndarray of bool of shape (reasons,), str), optional
        Which sentences get a second half, and which; one about something unknown gets none.
    cadence : ContactCadence, optional
        What won leads of the same segment are used to: said behind a column that speaks against a lead instead.

    Returns
    -------
    array of text, shape (reasons,)
        ``{"code": …, "text": …, "feature": …, "value": …, "money": ``
    """
    longer = np.zeros(len(leads), dtype=bool) if extra is None else extra[0]
    written: list[str] = []
    codes = np.empty(len(leads), dtype=np.int64)
    for column in np.unique(columns):
        entry = signals.entries[column]
        here = np.flatnonzero(columns == column)
        values = X[entry.name].iloc[leads[here]]
        if entry.unit == "days":
            values = values.astype(float).round(2)  # a quarter of an hour: nobody tells more, and few are distinct
        code, distinct = pd.factorize(values, use_na_sentinel=False)
        used_to = cadence.of(entry.name) if cadence and sign < 0 else [None]
        segment = cadence.segment[leads[here]] if cadence and len(used_to) > 1 else np.zeros(len(here), dtype=np.intp)
        codes[here] = len(written) + 2 * (code * len(used_to) + segment) + longer[here]
        for value, habit in itertools.product(distinct, used_to):
            plain = _plain(value)
            text = sentence(entry, plain, favourable=sign > 0, formats=formatting, currency=signals.currency)
            more = extra[1] if extra and plain is not None else ""
            if habit and isinstance(plain, int | float) and plain >= habit[0]:
                text, more = text + habit[1], ""
            for wording in (text, text + more):
                head = {"code": entry.group, "text": wording, "feature": entry.name, "value": plain}
                written.append(json.dumps(head, ensure_ascii=False)[:-1] + ', "money": ')
    return pa.array(written, TEXT).take(pa.array(codes))


def weighed(begun: pa.Array, money: FloatArray | None, points: FloatArray | None) -> pa.Array:
    """Put the weights behind the heads: one JSON object a reason."""
    middle, end = pa.scalar(', "points": ', TEXT), pa.scalar("}", TEXT)
    return pc.binary_join_element_wise(begun, figures(money), middle, figures(points), end, NOTHING)


def figures(numbers: FloatArray | None) -> pa.Array | pa.Scalar:
    """Write numbers as JSON does, to two decimals; null where there are none."""
    if numbers is None:
        return pa.scalar("null", TEXT)
    return pc.cast(pa.array(np.round(numbers, 2) + 0.0), TEXT)  # no minus before nothing


def as_lists(objects: pa.Array, counts: NDArray[np.integer]) -> NDArray[np.object_]:
    """Gather JSON objects into a JSON list for each lead, which has the next `counts` of them."""
    offsets = np.concatenate([[0], np.cumsum(counts)])
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), objects.cast(TEXT))
    inside = pc.binary_join(lists, pa.scalar(", ", TEXT))
    texts = pc.binary_join_element_wise(pa.scalar("[", TEXT), inside, pa.scalar("]", TEXT), NOTHING)
    return texts.to_numpy(zero_copy_only=False)


def _plain(value: object) -> str | float | int | None:
    """Give a cell as JSON holds it: missing is null, a whole number is an integer."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float | int | np.number):
        number = float(value)
        return int(number) if number.is_integer() else round(number, 4)
    return str(value)
