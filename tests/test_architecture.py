"""The law of the house: imports run down the layers, an outside package has one room, one idea a file."""

import ast
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    ("features", "models", "pipeline.common"),
    ("pipeline.config",),
    ("pipeline.archive", "pipeline.identity", "pipeline.simulation"),
    ("pipeline.ingest",),
    ("pipeline.audit", "pipeline.funnel", "pipeline.model_registry"),
    ("pipeline.training", "pipeline.insights", "pipeline.onboarding"),
    ("pipeline.evaluation", "pipeline.scoring"),
    ("pipeline.revenue",),
    ("pipeline.planning",),
    ("pipeline.reporting",),
    ("pipeline.delivery",),
    ("pipeline.operations",),
    ("pipeline.web",),
    ("pipeline.commands",),
    ("pipeline.cli",),
)
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
OWNERS = {
    "mlflow": ("pipeline.model_registry.mlflow_registry",),
    "fastapi": ("pipeline.web",),
    "starlette": ("pipeline.web",),
    "uvicorn": ("pipeline.web",),
    "jinja2": ("pipeline.reporting",),
    "splink": ("pipeline.identity",),
    "optuna": ("pipeline.training",),
    "pyspark": ("pipeline.ingest.spark", "pipeline.scoring.spark"),
    "typer": ("pipeline.cli",),
}
"""The only rooms that may import an outside package."""
CORE = {
    "features": {"yaml", "duckdb"},
    "models": {"ibis", "yaml", "duckdb"},
}
"""What the functional core does not import besides."""
LINES_LIMIT = 450
COMMAND_LINES = 40
"""The command line is a list, a function a command: its limit grows with them."""


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


PATHS = {
    module_of(path): path
    for package in ("features", "models", "pipeline")
    for path in sorted((ROOT / package).rglob("*.py"))
}
MODULES = {name: path for name, path in PATHS.items() if path.name != "__init__.py"}


def package_of(module):
    return ".".join(module.split(".")[: 2 if module.startswith("pipeline.") else 1])


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Every import, inside functions and under TYPE_CHECKING too: (module, name or None)."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield from ((node.module, alias.name) for alias in node.names)


EDGES = {
    (name, inner, taken)
    for name, path in MODULES.items()
    for module, taken in imports(path)
    if module.split(".")[0] in ("features", "models", "pipeline")
    for inner in [f"{module}.{taken}" if f"{module}.{taken}" in MODULES else module]
}


def called(path):
    return {ast.unparse(n.func) for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)}


def test_every_module_lies_in_a_layer():
    assert not [name for name in MODULES if package_of(name) not in RANK]


def test_pipeline_itself_holds_the_commands_line_and_packages():
    assert {path.name for path in (ROOT / "pipeline").glob("*.py")} == {"__init__.py", "cli.py"}


def test_package_files_are_empty():
    assert not [name for name, path in PATHS.items() if path.name == "__init__.py" and path.read_text().strip()]


def test_imports_run_down_only():
    wrong = {
        f"{importer} -> {imported}"
        for importer, imported, _ in EDGES
        if package_of(importer) != package_of(imported) and RANK[package_of(imported)] >= RANK[package_of(importer)]
    }
    assert not wrong


def test_no_files_import_each_other_in_a_circle():
    below = {name: {inner for outer, inner, _ in EDGES if outer == name} for name in MODULES}
    done, path = set(), []

    def visit(name):
        if name in path:
            pytest.fail(" -> ".join([*path[path.index(name) :], name]))
        if name not in done and name in below:
            path.append(name)
            for inner in sorted(below[name]):
                visit(inner)
            path.pop()
            done.add(name)

    for name in sorted(MODULES):
        visit(name)


def test_no_package_takes_a_private_name_of_another():
    wrong = [
        f"{importer} takes {imported}.{taken}"
        for importer, imported, taken in EDGES
        if package_of(importer) != package_of(imported) and taken and taken.startswith("_")
    ]
    assert not wrong


@pytest.mark.parametrize("outside", OWNERS)
def test_an_outside_package_has_one_room(outside):
    users = {name for name, path in MODULES.items() if outside in {module.split(".")[0] for module, _ in imports(path)}}
    assert not [name for name in users if not any(f"{name}.".startswith(f"{room}.") for room in OWNERS[outside])]


@pytest.mark.parametrize("name", sorted(PATHS))
def test_the_functional_core_imports_no_plumbing_and_opens_no_file(name):
    package = name.split(".")[0]
    if package in CORE:
        assert not {module.split(".")[0] for module, _ in imports(PATHS[name])} & CORE[package]
        assert not {"open", "Path", "pathlib.Path"} & called(PATHS[name])


@pytest.mark.parametrize("name", sorted(PATHS))
def test_nothing_unpickles(name):
    path = PATHS[name]
    assert not {"pickle", "cloudpickle", "dill"} & {module.split(".")[0] for module, _ in imports(path)}
    if {"np.load", "numpy.load"} & called(path):
        assert "allow_pickle=False" in path.read_text(encoding="utf-8")
    assert not {"joblib.load", "pd.read_pickle"} & called(path)


def test_files_hold_one_idea():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    commands = len(list((ROOT / "pipeline" / "commands").glob("[a-z]*.py")))
    limits = {"pipeline.cli": max(LINES_LIMIT, COMMAND_LINES * commands)}
    assert not {name: count for name, count in lines.items() if count > limits.get(name, LINES_LIMIT)}


def test_layers_are_drawn_for_contributors():
    """CONTRIBUTING.md names every package that there is, from the bottom up."""
    drawn = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    there = [package for layer in LAYERS for package in layer if any(package_of(name) == package for name in MODULES)]
    places = [drawn.find(f"`{package}`") for package in there]
    assert not [package for package, place in zip(there, places, strict=True) if place < 0]
    ranks = sorted(there, key=lambda package: places[there.index(package)])
    assert all(RANK[a] <= RANK[b] for a, b in pairwise(ranks))


def test_help_imports_nothing_heavy():
    heavy = ("pandas", "numpy", "ibis", "duckdb", "lightgbm", "sklearn", "mlflow", "shap", "fastapi", "matplotlib")
    code = f"import sys, pipeline.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
