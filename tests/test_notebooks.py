"""The notebooks run as they are, and what they read ships next to them."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from lab.small_results import copy_small
from lab.weakness_picture import CAUSE, GAP, LOST, SCALE, TITLE, draw
from weakspot.artifacts.run import load_run
from weakspot.artifacts.weaknesses import (
    Cause,
    CauseVariable,
    Clip,
    Confirmation,
    Rate,
    Rescue,
    Weakness,
    Weaknesses,
)
from weakspot.errors import ConfigError

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
    blocked = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'ale_py', 'gymnasium'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
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


DOCS = NOTEBOOKS.parent
READING = [
    pytest.param(code, id=f"{path.relative_to(DOCS)}-{number}")
    for path in sorted(DOCS.rglob("*.md"))
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL))
    if "load_run(" in code and "weakspot.sweep" not in code
]


@pytest.mark.parametrize("code", READING)
def test_code_on_pages_that_reads_a_run_works(code, capsys):
    code = re.sub(r'"runs/\w+"', repr(str(SHIPPED)), code).replace('"/scratch/runs"', repr(str(SHIPPED.parent)))
    exec(compile(code, "page", "exec"), {})
    assert "runs/" not in code


def test_picture_of_a_weakness_shows_loss_rescue_and_cause():
    rate = Rate(8, 8, 2, 0.2, 1.0)
    cause = Cause((CauseVariable((3,), "byte 3", 0, 0, 5, 9),), False, rate, 9, 0.01)
    rescue = Rescue("holding UP for 8 decisions", 8, rate, rate, 5, 0.01, None, 1.0)
    loss, rescued = (Clip(0, 0, (0,) * 9, 0, lost, first, 9, 1, "") for lost, first in ((6, 0), (None, 9)))
    weakness = Weakness("avoidable loss", "", (), (), rate, rate, None, 0.0, cause, rescue, loss, rescued)
    frames = np.random.default_rng(0).integers(0, 256, (18, 20, 20, 3), dtype=np.uint8)
    before, after = frames[:1].copy(), frames[:1].copy()
    after[0, 5:8, 10:14] ^= 255
    confirmation = Confirmation("loses a life", 9, 0.01, rate, rate, (), (weakness,), 0)
    weaknesses = Weaknesses(confirmation, frames[None, :4], before, after, frames)
    picture = draw(weaknesses, 1, columns=3)
    cell, row = SCALE * 20 + GAP, SCALE * 20 + GAP + TITLE
    assert picture.shape == (3 * row, 3 * cell, 3)
    newest = picture[TITLE : TITLE + SCALE * 20, 2 * cell : 2 * cell + SCALE * 20]
    assert (newest[0] == LOST).all() and (newest[30, 30] == frames[6, 10, 10]).all(), "the loss ends at decision 6"
    marked = picture[2 * row + TITLE :, 2 * cell :][1:60:3, 1:60:3]
    assert (
        (marked[6, 12] == before[0, 6, 12]).all()
        and (marked[3, 8] == CAUSE).all()
        and not (marked[15, 2] == before[0, 15, 2]).all()
    )
    with pytest.raises(ConfigError, match="no weakness 2"):
        draw(weaknesses, 2)
