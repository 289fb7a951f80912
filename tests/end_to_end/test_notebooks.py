"""Notebooks run from top to bottom on the Python that runs the tests, and are kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import install
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
CELL_SECONDS = 120


@pytest.fixture(scope="session")
def kernel_folder(tmp_path_factory):
    """A kernel of its own for this Python, whatever kernels the machine has."""
    folder = tmp_path_factory.mktemp("jupyter")
    install(prefix=str(folder))
    return folder


@pytest.fixture
def own_kernel(kernel_folder, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(kernel_folder / "share" / "jupyter"))
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(kernel_folder / name.lower()))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # plots are drawn into the notebook, as a reader sees them


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    kept = [cell.id for cell in code_cells(notebook) if cell.outputs or cell.execution_count is not None]
    assert not kept, "clear all outputs before committing, so that its changes can be read"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_leaves_nothing_behind(path, own_kernel):
    before = sorted(path.parent.iterdir())
    notebook = nbformat.read(path, as_version=4)
    # Started where the notebook lies, as Jupyter does; a cell that fails raises, with the cell and its traceback.
    NotebookClient(
        notebook, kernel_name="python3", timeout=CELL_SECONDS, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    assert all(cell.execution_count for cell in code_cells(notebook) if cell.source.strip())
    assert sorted(path.parent.iterdir()) == before
