"""The import law: pipeline knows features and models; these know neither each other nor the outside."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "features": {"models", "pipeline", "yaml", "mlflow", "typer", "fastapi", "jinja2"},
    "models": {"features", "pipeline", "ibis", "yaml", "mlflow", "typer", "fastapi", "jinja2", "duckdb"},
}
MODULES = [path for package in ("features", "models", "pipeline") for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def called(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_imports_only_what_the_law_allows(path):
    package = path.relative_to(ROOT).parts[0]
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & FORBIDDEN.get(package, set())


@pytest.mark.parametrize("package", ["features", "models"])
def test_the_functional_core_opens_no_file(package):
    for path in (ROOT / package).rglob("*.py"):
        assert not {"open", "Path", "pathlib.Path"} & set(called(path)), path.name


def test_one_module_imports_mlflow():
    users = {path.name for path in MODULES if any(name.split(".")[0] == "mlflow" for name in imported(path))}
    assert users == {"mlflow_registry.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles(path):
    assert not {"pickle", "cloudpickle", "dill"} & {name.split(".")[0] for name in imported(path)}
    if {"np.load", "numpy.load"} & set(called(path)):
        assert "allow_pickle=False" in path.read_text()
    assert not {"joblib.load", "pd.read_pickle"} & set(called(path))


def test_files_hold_one_idea():
    too_long = {str(path.relative_to(ROOT)): n for path in MODULES if (n := len(path.read_text().splitlines())) > 450}
    assert not too_long


def test_help_imports_nothing_heavy():
    heavy = ("pandas", "numpy", "ibis", "duckdb", "lightgbm", "sklearn", "mlflow", "shap", "fastapi", "matplotlib")
    code = f"import sys, pipeline.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
