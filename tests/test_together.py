"""Several processes train one state model, as torchrun starts them; with gloo, on one machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from weakspot.cli import main

SCRIPT = """
from weakspot.cli import entry
from weakspot.state_model import monitor

monitor.REPORT_EVERY = 0.0  # loss terms of every step
entry()
"""
SETTINGS = (
    *("--environment", "pong", "--targets", "T-", "--collect.frames", "160", "--collect.streams", "2"),
    *("--train.recipe", "fast-gaussian", "--train.batch-size", "9", "--train.workers", "1", "--train.precision", "float32"),
    *("--train.prior-steps", "1", "--train.measured", "8"),
)


def torchrun(folder: Path, command: str, *arguments: str, processes: int = 2) -> subprocess.Popen[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), str(script)]
    words += [command, *SETTINGS, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=240)
    return process.returncode, printed


def losses(run: Path) -> np.ndarray:
    """Step and loss of every line of the metrics."""
    (path,) = run.glob("store/**/metrics.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return np.array([(line["step"], line["loss"]) for line in lines if "loss" in line])


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose state model is not trained yet."""
    folder = tmp_path_factory.mktemp("together") / "collected"
    for stage in ("collect", "saliency"):
        assert main([stage, *SETTINGS, "--train.steps", "12", "--output", str(folder)]) == 0
    return folder


def test_two_processes_have_the_loss_curve_of_one(collected: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder in (alone, together):
        shutil.copytree(collected, folder, symlinks=True)
    for folder, processes in ((alone, 1), (together, 2)):
        code, printed = ended(
            torchrun(tmp_path, "train", "--train.steps", "12", "--output", str(folder), processes=processes)
        )
        assert code == 0, printed
        assert printed.count("train ...") == 1, "only rank 0 speaks"
    one, two = losses(alone), losses(together)
    np.testing.assert_array_equal(one[:, 0], np.arange(1, 13))
    np.testing.assert_array_equal(one[:, 0], two[:, 0])
    np.testing.assert_allclose(two[:3, 1], one[:3, 1], rtol=2e-4)
    np.testing.assert_allclose(two[:, 1], one[:, 1], rtol=0.05)  # the optimiser amplifies rounding
    assert one[-1, 1] < one[0, 1]
    code, printed = ended(torchrun(tmp_path, "train", "--train.steps", "12", "--output", str(together)))
    assert code == 0 and "nothing to do" in printed, printed


def test_a_killed_helper_ends_the_training_and_the_same_command_resumes(collected: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(collected, run, symlinks=True)
    options = ("--train.steps", "40", "--train.checkpoint-every", "0", "--output", str(run))
    process = torchrun(tmp_path, "train", *options)
    end = time.monotonic() + 120
    while not (found := list(run.glob("store/**/metrics.jsonl"))) or len(found[0].read_text().splitlines()) < 3:
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.05)
    children = [
        int(pid) for task in Path(f"/proc/{process.pid}/task").iterdir() for pid in (task / "children").read_text().split()
    ]
    ranks = {rank_of(pid): pid for pid in children}
    os.kill(ranks["1"], signal.SIGKILL)
    code, printed = ended(process)
    assert code != 0, printed
    code, printed = ended(torchrun(tmp_path, "train", *options))
    assert code == 0, printed
    np.testing.assert_array_equal(losses(run)[:, 0], np.arange(1, 41))
    assert main(["verify", str(run)]) == 0


def rank_of(pid: int) -> str | None:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((entry.partition(b"=")[2].decode() for entry in entries if entry.startswith(b"RANK=")), None)


@pytest.mark.parametrize(
    ("options", "processes", "message"),
    [
        (("--train.recipe", "paper"), 2, "computes whole batches at once"),
        (("--train.batch-size", "1"), 2, "2 processes train on batches of 1"),
        (("--targets", "NOPE"), 2, "NOPE"),
    ],
)
def test_what_cannot_be_divided_is_refused(
    options: tuple[str, ...], processes: int, message: str, collected: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(collected, run, symlinks=True)
    process = torchrun(tmp_path, "train", "--train.steps", "2", *options, "--output", str(run), processes=processes)
    code, printed = ended(process)
    assert code != 0 and message in printed, printed
    assert "error: " in printed and "weakspot/cli.py" not in printed, "a message, and no traceback of ours"
