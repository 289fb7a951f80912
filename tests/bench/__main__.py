"""Run every benchmark and print its tables: ``python -m tests.bench [name …] [--quick]``, from the project's folder."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from tests.bench import (
    ablation,
    campaigns,
    experiments,
    features,
    funnel,
    incidence,
    monitor,
    onboarding,
    pages,
    reasons,
)

BENCHES = {
    "incidence": incidence.run, "features": features.run, "reasons": reasons.run, "pages": pages.run,
    "ablation": ablation.run, "onboarding": onboarding.run, "campaigns": campaigns.run, "funnel": funnel.run,
    "experiments": experiments.run, "monitor": monitor.run,
}  # fmt: skip
PARTS = (
    "lightgbm", "shap", "numpy", "scikit-learn", "hazardous", "scikit-survival", "lifelines",
    "duckdb", "polars", "featuretools",
)  # fmt: skip


def machine() -> str:
    """Say what the figures were measured on."""
    found = []
    for part in PARTS:
        try:
            found.append(f"{part} {version(part)}")
        except PackageNotFoundError:
            found.append(f"{part} absent")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores (load {load:.1f} at the start), "
        f"Python {platform.python_version()}; {', '.join(found)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BENCHES), help=f"of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="leave out the slow peers and the large sizes")
    given = parser.parse_args()
    unknown = set(given.names) - set(BENCHES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}: there are {', '.join(BENCHES)}")
    print(machine())
    for name in given.names:
        BENCHES[name](quick=given.quick)


if __name__ == "__main__":
    main()
