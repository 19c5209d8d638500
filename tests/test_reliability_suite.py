"""A small part of ``benchmarks.reliability``: kills, damages and faults of real runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import reliability
from lab.reliability.hostile import bombs, load, odd_tensors
from lab.reliability.measure import KEYS
from lab.reliability.sandbox import Forked

ROOT = Path(__file__).parent.parent


def test_a_few_kills_damages_and_faults_lose_nothing_and_none_is_silent(tmp_path):
    command = [sys.executable, "-m", "benchmarks.reliability", "--parts", "kills", "damages", "faults", "--share", "0.03"]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "runs"), "--record", str(tmp_path / "record.json")],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    record = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert record["kills"] >= 7 and record["corruptions"] >= 5 and record["faults"] >= 10
    assert record["kills_by_stage"]["sweep"] == 1
    assert not (tmp_path / "record.json").exists(), "a part of the full numbers was recorded"
    wrong = ("kills_lost", "corruptions_silent", "corruptions_traceback", "faults_lost")
    assert [record[key] for key in wrong] == [0, 0, 0, 0], {key: record[key] for key in record if key.endswith("_problems")}


TENSORS = dict(odd_tensors())
SMALL = {kind: (suffix, content) for kind, suffix, content in bombs(megabytes=64) if suffix != ".cleanrl_model"}


@pytest.mark.parametrize("kind", TENSORS)
def test_odd_tensors_are_refused_with_little_memory(tmp_path, kind):
    torch.save(TENSORS[kind], tmp_path / "agent.pt")
    _check_refused(tmp_path / "agent.pt", accepted=kind in ("complex", "bool", "float8"))


@pytest.mark.parametrize("kind", SMALL)
def test_bombs_are_refused_with_little_memory(tmp_path, kind):
    suffix, content = SMALL[kind]
    path = tmp_path / f"agent{suffix}"
    path.write_bytes(content)
    _check_refused(path, accepted=False)


def _check_refused(path: Path, accepted: bool) -> None:
    outcome = Forked(lambda: load(path), path.with_name("log.txt")).wait(120)
    assert outcome.code == 2 or (accepted and outcome.code == 0), outcome.output
    taken = float(outcome.output.rpartition("\ntaken ")[2].split()[0])
    assert taken < 200, f"loading it took {taken} MB"


def test_the_page_has_the_figures_of_the_record():
    record = json.loads(reliability.RECORD.read_text())
    assert reliability.figures_table(record) in reliability.PAGE.read_text()
    wrong = [key for key in KEYS if key.endswith(("_lost", "_silent", "_traceback", "_executed")) and record[key]]
    assert not wrong and record["peak_mb"] <= 1_000
    assert record["kills"] >= 200 and record["corruptions"] >= 300 and record["hostile"] >= 600
