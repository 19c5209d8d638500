"""The notebooks run as they are, and what they read ships next to them."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from lab.small_results import copy_small
from weakspot.artifacts.run import load_run

NOTEBOOKS = Path(__file__).parent.parent / "docs" / "notebooks"
SHIPPED = NOTEBOOKS / "results" / "pong"
LARGEST = 3e6
"""Bytes of results that ship."""


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", ["pong", "own_agent"])
def test_notebook_runs(name, tmp_path):
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    notebook = read(name)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path / "notebooks")}}).execute()
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", ())
                if "image/png" in output.get("data", {})]  # fmt: skip
    assert len(pictures) >= 2


@pytest.mark.parametrize("name", ["pong", "own_agent"])
def test_notebook_is_stored_with_its_outputs(name):
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs) >= 2
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    for cell in cells:
        ast.parse(cell.source)


def test_the_notebook_of_pong_needs_neither_torch_nor_an_emulator():
    blocked = "import sys\nfor name in ('torch', 'ale_py', 'gymnasium'):\n    sys.modules[name] = None\n"
    code = "\n".join(cell.source for cell in read("pong").cells if cell.cell_type == "code")
    code = code.replace("from IPython.display import Image, display", "Image = display = lambda *a, **k: None")
    subprocess.run([sys.executable, "-c", blocked + code], cwd=NOTEBOOKS, check=True, capture_output=True)


def test_shipped_results_are_small_and_complete():
    run = load_run(SHIPPED)
    assert set(run.findings) == set(run.novelty) == {"T-", "T±"}
    assert all(entry.changed() is None for entry in run.entries.values())
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file() and not path.is_symlink()) < LARGEST


def test_a_small_copy_reads_the_same(tmp_path):
    size = copy_small(SHIPPED, tmp_path / "copy")
    first, second = load_run(SHIPPED), load_run(tmp_path / "copy")
    assert (first.fidelity, first.collection, first.command) == (second.fidelity, second.collection, second.command)
    assert (first.findings["T-"].states == second.findings["T-"].states).all() and size < LARGEST
