"""What the monitor finds, and how often it cries wolf, on simulated years; beside a fixed comparison over 90 days."""

from __future__ import annotations

import numpy as np

from pipeline.operations.monitoring import Evidence, delayed, dispersion_of, follow

WINS_A_MONTH, DAYS, MONTH_DAYS, STEP_DAY, STEP = 40, 365, 30, 180, 1.5
STARTS = range(0, DAYS, MONTH_DAYS)
WORLDS = {
    "wins one by one": (1, 0, 0.0),
    "in threes, entered ten days late": (3, 10, 0.0),
    "off by a level of at most 10%": (1, 0, 0.1),
    "off, in threes, ten days late": (3, 10, 0.1),
}
"""By name: wins booked at a time, days to their entry, how far the level may be off."""


def year(rng, bulk: int, lag: int, off: float, step: float = 1.0) -> tuple[np.ndarray, np.ndarray, float]:
    """Simulate a year of wins by the day they become known, with what was expected and the dispersion of the past."""
    rates = np.full(2 * DAYS, WINS_A_MONTH / MONTH_DAYS)
    level = 1 + rng.uniform(-off, off)
    true = rates * level * np.where(np.arange(2 * DAYS) >= DAYS + STEP_DAY, step, 1.0)
    wins = bulk * rng.poisson(true / bulk)
    lags = rng.poisson(lag, 400)
    known = np.zeros(2 * DAYS)
    for day in np.flatnonzero(wins):
        at = day + rng.poisson(lag)
        if at < 2 * DAYS and (day < DAYS) == (at < DAYS):  # wins from before the first forecast do not count
            known[at] += wins[day]
    return known[DAYS:], delayed(rates[DAYS:], lags), dispersion_of(known[:DAYS])


def fixed_comparison(observed: np.ndarray, expected: np.ndarray, dispersion: float) -> int | None:
    """Give the first of the days 90, 180, … on which the last 90 days differ with a chance under 5%."""
    for day in range(90, DAYS + 1, 90):
        n, m = observed[day - 90 : day].sum(), expected[day - 90 : day].sum()
        if abs(n - m) > 1.96 * np.sqrt(m * dispersion):
            return day - 1
    return None


def run(*, quick: bool = False, years: int = 200) -> None:
    """Print the tables."""
    years = 50 if quick else years
    print(f"\nMonitor: {years} simulated years at {WINS_A_MONTH} wins a month; alarm at an e-value of 20")
    print(f"{'world':36}{'tolerance':>10}{'ever alarm':>12}{'fixed 90 days':>15}")
    for name, (bulk, lag, off) in WORLDS.items():
        for tolerance in (0.0, 0.1):
            if off > tolerance:
                continue
            found = [_both(seed, bulk, lag, off, tolerance, 1.0) for seed in range(years)]
            alarms, fixed = (sum(one[k] is not None for one in found) for k in (0, 1))
            print(f"{name:36}{tolerance:>10.0%}{alarms:>12}{fixed:>15}")
    print(f"\nConversion times {STEP} from day {STEP_DAY}: median days until it is found (share found within the year)")
    print(f"{'world':36}{'tolerance':>10}{'monitor':>16}{'fixed 90 days':>18}{'alarm before':>14}")
    for name, (bulk, lag, off) in WORLDS.items():
        for tolerance in (0.0, 0.1):
            if off > tolerance:
                continue
            found = [_both(seed, bulk, lag, off, tolerance, STEP) for seed in range(years)]
            early = sum(one[0] is not None and one[0] < STEP_DAY for one in found)
            cells = [_median([one[k] for one in found]) for k in (0, 1)]
            print(f"{name:36}{tolerance:>10.0%}{cells[0]:>16}{cells[1]:>18}{early:>14}")


def _both(seed: int, bulk: int, lag: int, off: float, tolerance: float, step: float) -> tuple[int | None, int | None]:
    observed, expected, dispersion = year(np.random.default_rng([seed, bulk, lag]), bulk, lag, off, step)
    evidence: Evidence = follow(observed, expected, STARTS, dispersion=dispersion, tolerance=tolerance)
    return evidence.alarm_day(), fixed_comparison(observed, expected, dispersion)


def _median(days: list[int | None]) -> str:
    after = [np.inf if day is None else day - STEP_DAY + 1 for day in days if day is None or day >= STEP_DAY]
    share = float(np.mean(np.isfinite(after))) if after else 0.0
    middle = float(np.median(after)) if after else np.inf
    return f"{'never' if np.isinf(middle) else f'{middle:.0f}'} ({share:.0%})"
