"""Time of a training step against its bare networks, of 64 states at once against one by one, of a whole target; memory."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.recall import place, stored
from lab.arguments import positive
from weakspot.config import RunConfig
from weakspot.data.dataset import as_state, recorded_outputs
from weakspot.search.algorithm_1 import synthesize
from weakspot.search.config import SynthesisConfig
from weakspot.search.distribution import SearchDistribution
from weakspot.search.energy import TargetScale, measure_scale
from weakspot.search.starts import starts
from weakspot.state_model.batch import measure as statistics_of
from weakspot.state_model.batch import with_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.feeder import Feeder
from weakspot.state_model.model import StateModel, load
from weakspot.state_model.recipes import recipe
from weakspot.state_model.train import gradients, train
from weakspot.subject import Subject, subject
from weakspot.system.compute import resolve
from weakspot.system.process import exit_code
from weakspot.targets.base import Target
from weakspot.targets.resolve import resolve_target


def step_overhead(one: Subject, folder: Path, steps: int = 30, rounds: int = 5) -> dict[str, float]:
    """Seconds of a real training step over those of forward and backward on a batch in memory, one worker each."""
    dataset, maps = stored(one, folder)
    chosen = recipe("fast")
    train_indices = with_history(dataset, dataset.split()[0])
    statistics = statistics_of(dataset, train_indices, np.random.default_rng(0))
    torch.set_num_threads(1)
    network: Any = chosen.network(statistics, resolve("auto", "cpu"))
    feeder = Feeder(dataset, maps, train_indices, network.latent, 0)
    batch = feeder.batch(*feeder.draw(chosen.config.batch_size), "cpu")

    def bare() -> float:
        started = time.perf_counter()
        for _ in range(steps):
            gradients(chosen, network, batch, one.perceive, statistics, 1.0)
        return (time.perf_counter() - started) / steps

    def real() -> float:
        with tempfile.TemporaryDirectory() as place:
            model = train(one.perceive, dataset, maps, TrainConfig(steps=steps, prior_steps=1, workers=1), Path(place))
            return model.info["seconds"] / steps

    bare()
    pairs = [(bare(), real()) for _ in range(rounds)]
    return {
        "step_overhead": median(r / b for b, r in pairs),
        "step_ms": 1e3 * median(r for _, r in pairs),
        "bare_step_ms": 1e3 * median(b for b, _ in pairs),
    }


def _searched_for(
    one: Subject, folder: Path
) -> tuple[Callable[[StateModel, SynthesisConfig], SearchDistribution], Target, TargetScale]:
    """Where searches of a model for T- begin, and T-, with what the real states say of it."""
    dataset, _ = stored(one, folder)
    indices = with_history(dataset, dataset.split()[0])
    target = resolve_target("T-", one.agent.spec, 10.0)

    def begin(model: StateModel, config: SynthesisConfig) -> SearchDistribution:
        return starts(model, one.perceive, config, lambda i: as_state(dataset.stacks(i)), indices)(target)

    return begin, target, measure_scale(target, recorded_outputs(dataset, indices))


def synthesis_speedup(one: Subject, folder: Path, minutes: float, states: int = 64, steps: int = 60) -> dict[str, float]:
    """States a second of ``states`` at once over one after another (eight of them timed), and whether they are the same.

    They are compared in float32 after five steps, in standard deviations of the target: later, and in bfloat16, rounding
    has grown into other states that are as good, since Adam takes a full step on the smallest slope.
    """
    begin, target, known = _searched_for(one, folder)
    config = SynthesisConfig(states=states, searches=1, steps=steps, tolerance=-1e9)

    def run(model: StateModel, settings: SynthesisConfig, first: int = 0) -> tuple[float, torch.Tensor]:
        rows = slice(first, first + settings.states)
        started = time.perf_counter()
        begin = SearchDistribution(start.mean[rows], start.sigma[rows])
        found = synthesize(model, one.perceive, target, begin, settings, known, first=first)
        return time.perf_counter() - started, found.target

    torch.set_num_threads(2)
    stored_model = place(folder, "fast", minutes) / "model.safetensors"
    model, exact = (load(stored_model, "cpu", kind) for kind in (resolve("auto", "cpu"), torch.float32))
    start = begin(exact, config)
    run(model, replace(config, steps=3))
    together, _ = run(model, config)
    each = median(run(model, replace(config, states=1), first=j)[0] for j in range(8))
    _, wanted = run(exact, replace(config, steps=5))
    alone = [run(exact, replace(config, states=1, steps=5), first=j)[1] for j in range(8)]
    return {
        "synthesis_speedup": each * states / together,
        "together_seconds": together,
        "one_seconds": each,
        "largest_difference": max(abs(float(value[0] - wanted[j])) for j, value in enumerate(alone)) / known.scale,
    }


def target_seconds(one: Subject, folder: Path, minutes: float, steps: int = 300) -> dict[str, float]:
    """Seconds that 64 states for one target take on two threads, from the first candidate on: as a run makes them, and with
    one search of ``steps`` steps for each, none of which ends early."""
    begin, target, known = _searched_for(one, folder)
    model = load(place(folder, "fast", minutes) / "model.safetensors", "cpu", resolve("auto", "cpu"))
    usual = SynthesisConfig(states=64)

    def seconds(config: SynthesisConfig) -> float:
        started = time.perf_counter()
        synthesize(model, one.perceive, target, begin(model, config), config, known)
        return time.perf_counter() - started

    torch.set_num_threads(2)
    longest = replace(usual, searches=1, steps=steps, tolerance=-1e9)
    return {"target_seconds": seconds(usual), f"target_seconds_of_{steps}_steps": seconds(longest)}


def peak_memory(agent: str, environment: str | None) -> dict[str, float]:
    """Largest memory of a run on 10,000 frames in MB: the processes' proportional shares, sampled, added up."""
    folder = Path(tempfile.mkdtemp())
    where = ["--environment", environment] if environment else []
    command = [sys.executable, "-m", "weakspot.cli", "run", "--agent", agent, *where, "--output", str(folder / "run")]
    command += ["--collect.frames", "10000", "--train.steps", "40", "--train.prior-steps", "10"]
    command += ["--synthesize.steps", "20", "--analyse.goggles.longest", "50"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, sum(_share(pid) for pid in _family(process.pid)))
        time.sleep(0.5)
    shutil.rmtree(folder)
    if process.returncode:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return {"peak_mb": most / 1024}


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def _share(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass  # it has just ended
    return 0


def measure(agent: str, environment: str | None, minutes: float, folder: Path) -> dict[str, float]:
    """All of this file; uses the model that :mod:`benchmarks.recall` trained."""
    one = subject(RunConfig(agent=agent, environment=environment))
    return {
        **step_overhead(one, folder),
        **synthesis_speedup(one, folder, minutes),
        **target_seconds(one, folder, minutes),
        **peak_memory(agent, environment),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--minutes", type=positive, default=7.0, help="that the model in the folder was trained for")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"))
    told = parser.parse_args()
    print(json.dumps(measure(told.agent, told.environment, told.minutes, told.folder), indent=2))


if __name__ == "__main__":
    sys.exit(exit_code(main))
