"""A company's CRM, simulated with a known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.formatting import count as counted
from pipeline.common.progress import step
from pipeline.simulation.revenue_company import simulate_revenue
from pipeline.simulation.simulate import simulate as write_company


def simulate(
    out: Path, *, leads: int, export: str | None = None, seed: int = 0, revenue: bool = False, **settings: Any
) -> str:
    """Write the company (`pipeline.simulation.simulate.simulate`), and say where it lies and what comes next.

    Parameters
    ----------
    revenue : bool
        Instead, one whose way to revenue has a known truth (`pipeline.simulation.revenue_company.simulate_revenue`).
    """
    if revenue:
        if export is not None or settings.get("mess") or settings.get("until"):
            raise UserError("--revenue: is for clean tables; leave out --mess, --export and --until")
        with step(f"simulating {counted(leads, 'lead', 'leads')} on their way to revenue"):
            simulate_revenue(out, leads=leads, seed=seed)
        following = f"leadrev funnel -p {out}/params.yaml"
        return f"A company of {leads:,} leads lies in {out}/, what is true of it in truth.json; next: {following}"
    with step(f"simulating {counted(leads, 'lead', 'leads')}"):
        write_company(out, leads=leads, export=export, seed=seed, **settings)
    following = f"leadrev init {out}" if export else f"leadrev check -p {out}/params.yaml"
    return f"A company of {leads:,} leads lies in {out}/; next: {following}"
