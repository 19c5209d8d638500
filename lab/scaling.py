"""How a sweep's time depends on the number of workers, and the cost of a run's stages on the number of states."""

from __future__ import annotations

import time
import zlib
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lab.commands import WEAKSPOT
from lab.faults import make_executor
from lab.processes import cost_of
from weakspot.artifacts.run import load_run
from weakspot.data.dataset import StateDataset
from weakspot.sweep.config import Resources
from weakspot.sweep.driver import run_jobs
from weakspot.sweep.job import Job

AGENT = "pong-double-dqn"
FRAMES = ("--collect.streams", "10", "--train.workers", "1")
TRAINING = ("--train.steps", "8", "--train.prior-steps", "2", "--train.measure-every", "1e6")


def jobs_seconds(executor: str, folder: Path, workers: int, jobs: int, frames: int) -> float:
    """Wall time of collections with different seeds by an executor, without the start of the executor.

    Args:
        executor: local, ray or slurm-local.
        folder: new, of the sweep.
        workers: jobs at a time.
        jobs: their number.
        frames: states of each collection.
    """

    def job(seed: int) -> Job:
        output = str(folder / "runs" / str(seed))
        words = ("--collect.frames", str(frames), "--collect.seed", str(seed), *FRAMES)
        command = ("weakspot", "collect", "--agent", AGENT, "--output", output, *words)
        return Job(f"collect-{seed}", (command,), (f"{output}/collect",), resources=Resources(hours=1))

    with closing(make_executor(executor, folder, workers)) as made:
        warm = Job("warm", (("true",),))
        run_jobs([warm], folder, made, 0, lambda text: None)
        started = time.monotonic()
        outcomes = run_jobs([job(seed) for seed in range(jobs)], folder, made, 0, lambda text: None)
        seconds = time.monotonic() - started
    assert all(outcome.status == "done" for outcome in outcomes), outcomes
    return seconds


def stage_costs(folder: Path, frames: int, queries: int) -> dict[str, Any]:
    """Costs of collecting states, of their saliency, of a few training steps, and of the search for the closest states.

    Args:
        folder: new, of the run.
        frames: number of states.
        queries: of the search.
    """
    options = ("--agent", AGENT, "--output", str(folder), "--collect.frames", str(frames), *FRAMES, *TRAINING)
    result: dict[str, Any] = {"frames": frames}
    for stage in ("collect", "saliency", "train"):
        result[stage] = asdict(cost_of([*WEAKSPOT, stage, *options]))
    states = folder / "collect"
    sizes = sum(path.stat().st_size for path in states.resolve().iterdir())
    result["bytes_per_frame"] = round(sizes / frames)
    script = (
        "import sys; from pathlib import Path; from lab.neighbours import noisy_states; "
        "from weakspot import StateDataset; "
        f"print(noisy_states(StateDataset.open(Path({str(states)!r})), {queries}).find_closest()[1].mean())"
    )
    result["closest"] = asdict(cost_of([WEAKSPOT[0], "-c", script])) | {"queries": queries}
    load_run(folder)
    return result


def compression(states: Path, count: int = 200) -> dict[str, Any]:
    """What lossless compression of single frames would save and cost: zlib at its fastest level, frame by frame.

    Frames are compressed one by one, because training reads single states in random order.
    """
    dataset = StateDataset.open(states)
    frames = dataset.newest(np.linspace(0, len(dataset) - 1, count).astype(int))
    packed, compress = _timed(lambda: [zlib.compress(frame.tobytes(), 1) for frame in frames])
    _, decompress = _timed(lambda: [zlib.decompress(one) for one in packed])
    indices = np.random.default_rng(0).permutation(len(dataset))[:count]
    _, read = _timed(lambda: dataset.stacks(indices))
    k = dataset.stacks(indices[:1]).shape[1]
    return {
        "bytes_per_frame": round(frames[0].nbytes),
        "compressed_bytes_per_frame": round(float(np.mean([len(one) for one in packed]))),
        "microseconds_to_compress_a_frame": round(1e6 * compress / count, 1),
        "microseconds_to_decompress_a_state": round(1e6 * k * decompress / count, 1),
        "microseconds_to_read_a_state_uncompressed": round(1e6 * read / count, 1),
    }


def _timed(work: Any) -> tuple[Any, float]:
    """The result of a function, and the processor time of its second call."""
    work()
    started = time.process_time()
    return work(), time.process_time() - started
