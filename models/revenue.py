"""From margins to money: expected revenue, the win probability, the days to winning, and their gradients.

For a lead with rates a = λ_won, λ = Σ_k λ_k in each bin of time and expected amounts V given that it is won there::

    E(t) = Σ_b S_b a_b g_b V_b         g_b = ∫₀^w e^{−λ_b u} du,  w = days spent in bin b by t
    F(t) = the same with V = 1         the win probability by t
    D(t) = Σ_b S_b a_b (t_b g_b + h_b) / F(t),  h_b = ∫₀^w u e^{−λ_b u} du      mean days, given won by t

S_b is the chance to be open when b starts at day t_b. All three are smooth functions of the margins, and with T_{>b}
the terms behind bin b their gradients are sums over bins of closed forms::

    ∂E/∂m_won,b  = a_b [S_b (Q_b + a_b Q'_b) − w_b T_{>b}]      Q_b = V_b g_b,  Q'_b = dQ_b/dλ
    ∂E/∂m_k,b    = λ_kb [S_b a_b Q'_b − w_b T_{>b}]             any other outcome k
    ∂E/∂m_V,b    = S_b a_b g_b V_b

Won is the first outcome of the grid; every further one only takes leads away. Nothing here is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from models.hazards import TimeGrid, check_margins

FloatArray = NDArray[np.float64]

_CHUNK_FLOATS = 131_072  # 1 MB an array: a handful of them stay in the processor's cache
_SERIES_BELOW = 0.1
_SERIES = np.array([(-1.0) ** j / (float(np.prod(np.arange(1, j + 1))) * (j + 3)) for j in range(9)])


class Gradients(NamedTuple):
    """Gradients of the three shown quantities with respect to every margin.

    Each has shape (outcomes + 1, pieces, n): the outcomes in the grid's order, the value margin last. Leads come last,
    because everything that sums over outcomes and pieces is then contiguous.
    """

    money: FloatArray
    points: FloatArray
    days: FloatArray


def expected_revenue(margins: ArrayLike, value_margins: ArrayLike, grid: TimeGrid, until_days: ArrayLike) -> FloatArray:
    """Return expected revenue until given days: Σ over time of ΔF_won(t) · V(t).

    Parameters
    ----------
    margins : array-like of shape (n, outcomes, pieces)
        Log-multipliers of the base rates; won is outcome 0.
    value_margins : array-like of shape (n, pieces)
        Log of the expected amount, given that the lead is won in that piece.
    grid : TimeGrid
        Bins, pieces and base rates.
    until_days : array-like of shape (times,) or (n, times)
        Days from ``as_of``, ≥ 0, the same for every lead or each lead's own.

    Returns
    -------
    ndarray of shape (n, times)
        In the unit of the amounts.

    Raises
    ------
    ValueError
        If shapes do not fit each other or a time is negative or not finite.

    Examples
    --------
    A lead that is won at 0.01 per day for 1000 euros:

    >>> import numpy as np
    >>> from models.hazards import TimeGrid
    >>> grid = TimeGrid([0, 100], [0], [[0.01]])
    >>> expected_revenue([[[0.0]]], [[np.log(1000.0)]], grid, [30, 100]).round(1)
    array([[259.2, 632.1]])
    """
    margins = check_margins(margins, grid)
    values = np.asarray(value_margins, dtype=float)
    if values.shape != (len(margins), grid.pieces_count):
        raise ValueError(f"value_margins must have shape ({len(margins)}, {grid.pieces_count}), got {values.shape}")
    until = np.asarray(until_days, dtype=float)
    until = np.broadcast_to(until, (len(margins), until.shape[-1])) if until.ndim in (1, 2) else until
    if until.ndim != 2 or not np.isfinite(until).all() or (until < 0).any():
        raise ValueError(f"until_days must be days ≥ 0 of shape (times,) or (n, times), got {until_days!r}")
    result = np.empty(until.shape)
    widths = np.diff(grid.bin_edges_days)
    step = max(1, _CHUNK_FLOATS // grid.bins_count)
    for start in range(0, len(margins), step):
        rows = slice(start, start + step)
        rates = _rates(_lead_last(margins[rows]), grid.base_rates, grid.bin_piece)
        amounts = np.exp(values[rows].T)[grid.bin_piece]
        total = rates.sum(axis=0)
        passed = total * widths[:, None]
        g = widths[:, None] * _moments(passed)[0]
        earning = _open_at(passed) * rates[0] * amounts
        reached = np.zeros_like(total)
        np.cumsum((earning * g)[:-1], axis=0, out=reached[1:])
        at = grid.bin_of(until[rows])
        lead = np.arange(at.shape[0])[:, None]
        within = until[rows] - grid.bin_edges_days[at]
        partial = within * _moments(total[at, lead] * within)[0]
        result[rows] = reached[at, lead] + earning[at, lead] * partial
    return result


def p_win(margins: ArrayLike, grid: TimeGrid, until_days: ArrayLike) -> FloatArray:
    """Return the win probability by given days: expected revenue where every deal is worth one.

    Parameters
    ----------
    margins : array-like of shape (n, outcomes, pieces)
        Log-multipliers of the base rates; won is outcome 0.
    grid : TimeGrid
        Bins, pieces and base rates.
    until_days : array-like of shape (times,) or (n, times)
        Days from ``as_of``, ≥ 0.

    Returns
    -------
    ndarray of shape (n, times)
        Probabilities.
    """
    margins = np.asarray(margins, dtype=float)
    return expected_revenue(margins, np.zeros((len(margins), grid.pieces_count)), grid, until_days)


def mean_days_to_win(margins: ArrayLike, grid: TimeGrid, until_days: float) -> FloatArray:
    """Return the mean days from ``as_of`` to winning, given that the lead is won by ``until_days`` (a restricted mean).

    Parameters
    ----------
    margins : array-like of shape (n, outcomes, pieces)
        Log-multipliers of the base rates; won is outcome 0.
    grid : TimeGrid
        Bins, pieces and base rates.
    until_days : float
        Days from ``as_of``, > 0.

    Returns
    -------
    ndarray of shape (n,)
        Days; NaN where the lead cannot be won by then.
    """
    margins = check_margins(margins, grid)
    cut = _cut(grid, until_days, until_days)
    starts, widths = cut.edges[:-1, None], np.diff(cut.edges)[:, None]
    result = np.empty(len(margins))
    step = max(1, _CHUNK_FLOATS // len(widths))
    for start in range(0, len(margins), step):
        rows = slice(start, start + step)
        rates = _rates(_lead_last(margins[rows]), cut.base_rates, cut.piece)
        passed = rates.sum(axis=0) * widths
        first, second, _ = _moments(passed)
        winning = _open_at(passed) * rates[0] * widths
        with np.errstate(invalid="ignore"):
            result[rows] = (winning * (starts * first + widths * second)).sum(axis=0) / (winning * first).sum(axis=0)
    return result


def total_quantiles(
    p_win: ArrayLike,
    expected_revenue: ArrayLike,
    amount_spread: float,
    level_sd: float,
    quantiles: Sequence[float] = (0.1, 0.9),
) -> FloatArray:
    """Estimate quantiles of what a set of leads brings in total, within the same time.

    Leads are won independently of each other given the forecast, each amount is spread around its expectation, and all
    of them share one unknown error of the level. The total is 0 with the chance that none is won; beyond that a gamma
    distribution of the mean and variance that are left gives the quantiles.

    Parameters
    ----------
    p_win, expected_revenue : array-like of shape (n,)
        Chance and money within that time.
    amount_spread : float
        Mean of (amount ÷ expected amount)² over wins, each weighing its expected amount squared; 1: no spread.
    level_sd : float
        Standard deviation of the level's relative error.
    quantiles : sequence of float, default=(0.1, 0.9)
        Which; these two hold 80% of such totals between them.

    Returns
    -------
    ndarray of shape (quantiles,)
        Rising.
    """
    money = np.asarray(expected_revenue, dtype=float)
    total = float(money.sum())
    if not total > 0:
        return np.full(len(quantiles), min(total, 0.0))  # NaN where money cannot be said
    chance = np.clip(np.asarray(p_win, dtype=float), 1e-12, 1.0)
    variance = float((money**2 * (amount_spread / chance - 1)).sum()) + (level_sd * total) ** 2
    with np.errstate(divide="ignore"):
        some = -float(np.expm1(np.log1p(-chance).sum()))
    mean = total / some
    variance = max((variance + total**2) / some - mean**2, (1e-6 * mean) ** 2)
    beyond = np.maximum(np.asarray(quantiles, dtype=float) - (1.0 - some), 0.0) / some
    return stats.gamma.ppf(beyond, mean**2 / variance, scale=variance / mean)


def gradients(
    margins: FloatArray, value_margins: FloatArray, grid: TimeGrid, horizon_days: float, ever_days: float
) -> Gradients:
    """Exact gradients of what is shown, from one pass over the bins.

    The quantities: expected revenue within ``horizon_days`` (money), the win probability within ``horizon_days``
    (points, as a probability), and the mean days to winning, given won by ``ever_days`` (days).

    Parameters
    ----------
    margins : ndarray of shape (outcomes, pieces, n)
        Log-multipliers of the base rates, lead last; won is outcome 0.
    value_margins : ndarray of shape (pieces, n)
        Log of the expected amount, given that the lead is won in that piece.
    grid : TimeGrid
        Bins, pieces and base rates.
    horizon_days, ever_days : float
        Days from ``as_of``, 0 < ``horizon_days`` ≤ ``ever_days``.

    Returns
    -------
    Gradients
        Each of shape (outcomes + 1, pieces, n).
    """
    cut = _cut(grid, horizon_days, ever_days)
    rates = _rates(margins, cut.base_rates, cut.piece)
    starts, widths = cut.edges[:-1, None], np.diff(cut.edges)[:, None]
    passed = rates.sum(axis=0) * widths
    first, second, third = _moments(passed)
    g = widths * first
    h = widths**2 * second
    open_at = _open_at(passed)
    winning = open_at * rates[0]
    won = winning * g

    near = cut.near_count
    amounts = np.exp(value_margins)[cut.piece[:near]]
    money = _piece_gradients(
        rates[:, :near], winning[:near], amounts * g[:near], -amounts * h[:near], open_at[:near], widths[:near], cut
    )
    points = _piece_gradients(rates[:, :near], winning[:near], g[:near], -h[:near], open_at[:near], widths[:near], cut)
    timed = _piece_gradients(rates, winning, starts * g + h, -(starts * h + widths**3 * third), open_at, widths, cut)
    ever = _piece_gradients(rates, winning, g, -h, open_at, widths, cut)
    chance = won.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_days = (winning * (starts * g + h)).sum(axis=0) / chance
        days = (timed - mean_days * ever) / chance
    days[-1] = 0.0
    points[-1] = 0.0
    return Gradients(money, points, days)


class _Cut(NamedTuple):
    """A grid cut off at ``ever_days``, with a bin edge at ``horizon_days``; ``near_count`` bins lie before that."""

    edges: FloatArray
    piece: NDArray[np.intp]
    base_rates: FloatArray
    near_count: int
    pieces_count: int


def _cut(grid: TimeGrid, horizon_days: float, ever_days: float) -> _Cut:
    if not 0 < horizon_days <= ever_days:
        raise ValueError(f"days must be 0 < horizon_days ≤ ever_days, got {horizon_days!r} and {ever_days!r}")
    inner = grid.bin_edges_days[:-1]
    edges = np.unique(np.concatenate([inner[inner < ever_days], [horizon_days, ever_days]]))
    at = grid.bin_of(edges[1:])
    near_count = int(np.searchsorted(edges, horizon_days))
    return _Cut(edges, grid.bin_piece[at], grid.base_rates[:, at], near_count, grid.pieces_count)


def _lead_last(margins: FloatArray) -> FloatArray:
    return np.ascontiguousarray(np.moveaxis(margins, 0, -1))


def _rates(margins: FloatArray, base_rates: FloatArray, piece: NDArray[np.intp]) -> FloatArray:
    """Events per day of each outcome in each bin: (outcomes, bins, n) from margins (outcomes, pieces, n)."""
    return np.exp(margins)[:, piece] * base_rates[:, :, None]


def _open_at(passed: FloatArray) -> FloatArray:
    """Chance to be open at each bin's start, from the hazard passed within each bin: both (bins, n)."""
    summed = np.cumsum(passed, axis=0)
    summed -= passed
    return np.exp(-summed)


def _moments(passed: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """∫₀¹ uʲ e^{−zu} du for j = 0, 1, 2 and z = the hazard passed.

    The last one comes from its series where z is small, the other two from it by recursion, in which no digits cancel:
    the limit of no hazard needs no care, and none of the three loses precision near it.
    """
    decay = np.exp(-passed)
    third = np.full_like(passed, _SERIES[-1])
    for coefficient in _SERIES[-2::-1]:
        third *= passed
        third += coefficient
    large = passed > _SERIES_BELOW
    if large.any():
        z = passed[large]
        third[large] = (2.0 - decay[large] * (z * (z + 2.0) + 2.0)) / z**3
    second = 0.5 * (decay + passed * third)
    first = decay + passed * second
    return first, second, third


def _piece_gradients(
    rates: FloatArray,
    winning: FloatArray,
    worth: FloatArray,
    worth_slope: FloatArray,
    open_at: FloatArray,
    widths: FloatArray,
    cut: _Cut,
) -> FloatArray:
    """Gradient of Σ_b S_b a_b Q_b with respect to (every outcome and log Q, every piece): (outcomes + 1, pieces, n)."""
    terms = winning * worth
    # What is behind bin b shrinks by w_b for each unit of hazard in b.
    behind = np.cumsum(terms[::-1], axis=0)[::-1] - terms
    shared = winning * worth_slope - widths * behind
    pieces = cut.piece[: len(terms)]
    firsts = np.flatnonzero(np.diff(pieces, prepend=-1))
    result = np.zeros((len(rates) + 1, cut.pieces_count, terms.shape[1]))
    for outcome, rate in enumerate(rates):
        by_bin = rate * shared
        if outcome == 0:
            by_bin += terms
        result[outcome, pieces[firsts]] = np.add.reduceat(by_bin, firsts, axis=0)
    result[-1, pieces[firsts]] = np.add.reduceat(terms, firsts, axis=0)
    return result
