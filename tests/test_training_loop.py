"""The resumable training loop: its budget, its checkpoints, work between steps, and kills."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from weakspot.errors import StorageError
from weakspot.system.metrics import append_metrics, drop_metrics_after, read_line
from weakspot.system.training_loop import CheckpointFile, Every, TrainingLoop, budget, load_checkpoint, store_checkpoint


class RandomWalk:
    """A random walk: its next step depends on its place and its generator."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.place = torch.zeros(())
        self.calls: list[tuple[float, int]] = []

    def step(self, share: float, steps: int) -> None:
        self.calls.append((share, steps))
        self.place = self.place + torch.randn((), generator=self.generator)

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place, "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.place = state["place"]
        self.generator.set_state(state["generator"])


def make_loop(folder: Path, steps: int, made_of: str = "these settings") -> tuple[RandomWalk, TrainingLoop]:
    walk = RandomWalk()
    return walk, TrainingLoop(walk, CheckpointFile(folder / "checkpoint.pt", made_of), budget(steps, 0.0))


def test_a_resumed_loop_ends_in_the_same_bits(tmp_path):
    once, whole = make_loop(tmp_path, 10)
    whole.run()
    (tmp_path / "checkpoint.pt").unlink()
    make_loop(tmp_path, 4)[1].run()
    walk, loop = make_loop(tmp_path, 10)
    content = loop.checkpoint.read()
    assert content is not None
    loop.load_state_dict(content)
    assert loop.steps == 4
    loop.run()
    assert torch.equal(walk.place, once.place) and loop.steps == 10
    assert walk.calls == [(steps / 10, steps) for steps in range(4, 10)]


def test_checkpoint_of_other_settings_is_not_read(tmp_path):
    _, loop = make_loop(tmp_path, 3)
    assert loop.checkpoint.read() is None
    loop.run()
    stored = loop.checkpoint.read()
    assert stored is not None and stored["steps"] == 3
    assert make_loop(tmp_path, 3, "other settings")[1].checkpoint.read() is None
    assert (tmp_path / "checkpoint.pt").exists()


def test_damaged_checkpoint_raises_an_error_and_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    _, loop = make_loop(tmp_path, 3)
    loop.run()
    path = loop.checkpoint.path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Exception, match=r".+"):
        loop.checkpoint.read()
    torch.save({"made_of": "these settings", "place": Evil()}, path)
    with pytest.raises(Exception, match=r"mkdir"):
        loop.checkpoint.read()
    assert not (tmp_path / "ran").exists()


def test_budget_in_seconds_counts_only_the_steps(tmp_path):
    """Each reading advances this clock by one second. A step takes two readings, and so does the slow work between steps."""
    readings = itertools.count()
    loop = TrainingLoop(
        RandomWalk(), CheckpointFile(tmp_path / "c.pt", ""), budget(0, 5.0), clock=lambda: float(next(readings))
    )
    loop.run([Every(0.0, lambda: next(readings))])
    assert (loop.steps, loop.seconds, loop.share) == (5, 5.0, 0.8)


def test_work_between_steps_runs_in_order_and_at_its_intervals(tmp_path):
    readings, done = itertools.count(), []
    loop = TrainingLoop(
        RandomWalk(), CheckpointFile(tmp_path / "c.pt", ""), budget(6, 0.0), clock=lambda: float(next(readings))
    )
    loop.run([Every(2.0, lambda: done.append(("a", loop.steps))), Every(3.0, lambda: done.append(("b", loop.steps)))])
    assert done == [("a", 2), ("b", 3), ("a", 4), ("a", 6), ("b", 6)]


def test_restarted_interval_counts_from_the_restart():
    done: list[int] = []
    every = Every(10.0, lambda: done.append(1))
    every.restart(95.0)
    every.tick(104.9)
    assert not done
    every.tick(105.0)
    every.tick(114.9)
    assert len(done) == 1
    every.restart(114.0)
    every.tick(115.0)
    assert len(done) == 1


def test_the_state_before_an_error_stays_in_the_checkpoint(tmp_path):
    _, loop = make_loop(tmp_path, 10)

    def stop() -> None:
        if loop.steps == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run([Every(0.0, stop), Every(0.0, loop.store)])
    assert load_checkpoint(tmp_path / "checkpoint.pt")["steps"] == 5


KILLED = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_training_loop import Every, make_loop
    _, loop = make_loop(Path(sys.argv[1]), 1_000_000)
    loop.run([Every(0.0, loop.store)])
"""


def test_a_kill_at_any_moment_leaves_a_checkpoint_to_resume_from(tmp_path):
    script = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    content = make_loop(tmp_path, 1)[1].checkpoint.read()
    assert content is not None and content["steps"] >= 1
    walk, loop = make_loop(tmp_path, content["steps"] + 5)
    loop.load_state_dict(content)
    loop.run()
    whole, other = make_loop(tmp_path / "whole", content["steps"] + 5)
    (tmp_path / "whole").mkdir()
    other.run()
    assert torch.equal(walk.place, whole.place)


def test_a_checkpoint_larger_than_files_may_be_is_a_storage_error(tmp_path):
    """torch's own writer raises a RuntimeError without the number of the operating system's error."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, usual[1]))
        with pytest.raises(StorageError, match="cannot write"):
            store_checkpoint(tmp_path / "checkpoint.pt", {"weights": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert not list(tmp_path.iterdir())


def test_metrics_after_the_checkpoint_are_dropped_and_nan_is_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in range(1, 5):
        append_metrics(path, {"step": step, "loss": 0.5})
    with pytest.raises(ValueError):
        append_metrics(path, {"step": 5, "loss": float("nan")})
    drop_metrics_after(path, 2)
    append_metrics(path, {"step": 3, "loss": 1.0})
    assert [read_line(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.5}, {"step": 3, "loss": 1.0},
    ]  # fmt: skip
