"""The two pictures kept with every trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.evaluation.cutoff import Evaluation

BLUE, GREY = "#0072B2", "#666666"  # Okabe and Ito's palette: told apart by the colour-blind


def calibration_figure(evaluation: Evaluation) -> Any:
    """Plot the win probability that was forecast against the share that was won, in groups of equally many leads."""
    figure, axes = _axes(
        "Are the probabilities right?",
        f"Forecast win probability within {evaluation.horizon_days} days (%)",
        "Share won (%)",
    )
    groups = evaluation.calibration
    expected = [100 * group["p_mean"] for group in groups]
    observed = [100 * group["observed"] for group in groups]
    top = 1.05 * max([*expected, *observed, 1e-9])
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--", label="as forecast")
    axes.plot(expected, observed, color=BLUE, marker="o", label="actual")
    axes.set(xlim=(0, top), ylim=(0, top))
    axes.legend(frameon=False)
    return figure


def capture_figure(evaluation: Evaluation) -> Any:
    """Plot the share of the outcome that sits in the top leads of the ranking."""
    what = "revenue" if evaluation.has_value else "wins"
    figure, axes = _axes("Is the ranking worth following?", "Leads, best first (%)", f"Share of the {what} (%)")
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle="--", label="in any order")
    for name, curve in evaluation.capture_curves.items():
        shares = [100 * step / (len(curve) - 1) for step in range(len(curve))]
        is_own = name == "leadrev"
        axes.plot(
            shares,
            [100 * value for value in curve],
            color=BLUE if is_own else None,
            linewidth=2.5 if is_own else 1,
            label=name.replace("_", " "),
        )
    axes.set(xlim=(0, 100), ylim=(0, 101))
    axes.legend(frameon=False)
    return figure


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
