"""A company's CRM, simulated with a known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.common.progress import step
from pipeline.simulation.simulate import simulate as write_company


def simulate(out: Path, *, leads: int, export: str | None = None, **settings: Any) -> str:
    """Write the company (`pipeline.simulation.simulate.simulate`), and say where it lies and what comes next."""
    with step(f"simulating {leads:,} leads"):
        write_company(out, leads=leads, export=export, **settings)
    following = f"leadrev init {out}" if export else f"leadrev check -p {out}/params.yaml"
    return f"A company of {leads:,} leads lies in {out}/; next: {following}"
