"""Speed and memory of the pipeline's parts: training steps, searches, and a whole run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from weakspot.artifacts.training import WEIGHTS
from weakspot.data.dataset import as_state
from weakspot.errors import RunError
from weakspot.search.algorithm_1 import synthesize
from weakspot.search.config import SynthesisConfig
from weakspot.search.distribution import SearchDistribution
from weakspot.search.energy import TargetScale, measure_scale
from weakspot.search.starts import starts
from weakspot.session import Session
from weakspot.state_model.batch import measure as measure_statistics
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.feeder import Feeder
from weakspot.state_model.model import StateModel, load
from weakspot.state_model.recipes import recipe
from weakspot.state_model.train import gradients, train
from weakspot.system.compute import resolve
from weakspot.targets.base import Target
from weakspot.targets.resolve import resolve_target

SHARPNESS = 10.0
"""b of the soft maximum, per score."""
UNREACHABLE = -1e9
"""A tolerance with which no search stops early."""


def training_step_overhead(session: Session, steps: int = 30, rounds: int = 5) -> dict[str, float]:
    """Seconds of a training step divided by those of forward and backward pass on a batch in memory, one worker each."""
    dataset, indices = session.dataset, session.trained_on
    fast = recipe("fast")
    statistics = measure_statistics(dataset, indices, np.random.default_rng(0))
    torch.set_num_threads(1)
    network: Any = fast.network(statistics, resolve("auto", "cpu"))
    feeder = Feeder(dataset, session.maps, indices, network.latent, 0)
    batch = feeder.batch(*feeder.draw(fast.config.batch_size), "cpu")

    def bare_seconds() -> float:
        started = time.perf_counter()
        for _ in range(steps):
            gradients(fast, network, batch, session.perceive, statistics, 1.0)
        return (time.perf_counter() - started) / steps

    def real_seconds() -> float:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(steps=steps, prior_steps=1, workers=1)
            model = train(session.perceive, dataset, session.maps, config, Path(folder))
            return model.info["seconds"] / steps

    bare_seconds()
    pairs = [(bare_seconds(), real_seconds()) for _ in range(rounds)]
    return {
        "step_overhead": median(real / bare for bare, real in pairs),
        "step_ms": 1e3 * median(real for _, real in pairs),
        "bare_step_ms": 1e3 * median(bare for bare, _ in pairs),
    }


@dataclass(frozen=True)
class Search:
    """Searches of a session's state model for T-."""

    session: Session
    target: Target
    scale: TargetScale

    def starts(self, model: StateModel, config: SynthesisConfig) -> SearchDistribution:
        """Where the searches start, with candidates of their own."""
        dataset = self.session.dataset
        return starts(
            model, self.session.perceive, config, lambda indices: as_state(dataset.stacks(indices)),
            self.session.trained_on,
        )(self.target)  # fmt: skip

    def run(
        self, model: StateModel, start: SearchDistribution, config: SynthesisConfig, first: int = 0
    ) -> tuple[float, torch.Tensor]:
        """Seconds of the searches, and the target's values; ``first`` is the number of the first search."""
        started = time.perf_counter()
        result = synthesize(model, self.session.perceive, self.target, start, config, self.scale, first=first)
        return time.perf_counter() - started, result.target

    def model(self, precision: torch.dtype) -> StateModel:
        """The session's state model with products in a number format."""
        return load(self.session.results["train"] / WEIGHTS, "cpu", precision)


def search_for_t_minus(session: Session) -> Search:
    """Searches of the session's state model for T-."""
    target = resolve_target("T-", session.subject.agent.spec, SHARPNESS)
    return Search(session, target, measure_scale(target, session.recorded_outputs(session.trained_on)))


def synthesis_speedup(session: Session, states: int = 64, steps: int = 60) -> dict[str, float]:
    """States per second of ``states`` searches at once divided by that of single searches (eight are timed), and the
    largest difference of their results.

    The results are compared in float32 after five steps, in standard deviations of the target: later, and in bfloat16,
    rounding has grown into other states that are as good, since Adam takes a full step however small the gradient.
    """
    search = search_for_t_minus(session)
    config = SynthesisConfig(states=states, searches=1, steps=steps, tolerance=UNREACHABLE)
    torch.set_num_threads(2)
    model, exact = (search.model(kind) for kind in (resolve("auto", "cpu"), torch.float32))
    start = search.starts(exact, config)

    def run(model: StateModel, settings: SynthesisConfig, first: int = 0) -> tuple[float, torch.Tensor]:
        rows = slice(first, first + settings.states)
        return search.run(model, SearchDistribution(start.mean[rows], start.sigma[rows]), settings, first)

    run(model, replace(config, steps=3))
    together, _ = run(model, config)
    single = median(run(model, replace(config, states=1), first=j)[0] for j in range(8))
    _, batched = run(exact, replace(config, steps=5))
    alone = [run(exact, replace(config, states=1, steps=5), first=j)[1] for j in range(8)]
    differences = (abs(float(value[0] - batched[j])) for j, value in enumerate(alone))
    return {
        "synthesis_speedup": single * states / together,
        "together_seconds": together,
        "one_seconds": single,
        "largest_difference": max(differences) / search.scale.scale,
    }


def target_seconds(session: Session, steps: int = 300) -> dict[str, float]:
    """Seconds that 64 states for one target take on two threads, including the candidates: with the default settings, and
    with one search of ``steps`` steps for each state, none of which stops early."""
    search = search_for_t_minus(session)
    model, defaults = search.model(resolve("auto", "cpu")), SynthesisConfig(states=64)

    def seconds(config: SynthesisConfig) -> float:
        started = time.perf_counter()
        search.run(model, search.starts(model, config), config)
        return time.perf_counter() - started

    torch.set_num_threads(2)
    longest = replace(defaults, searches=1, steps=steps, tolerance=UNREACHABLE)
    return {"target_seconds": seconds(defaults), f"target_seconds_of_{steps}_steps": seconds(longest)}


def peak_memory(agent: str, environment: str | None) -> dict[str, float]:
    """Largest memory of a run on 10,000 frames in MB: the processes' proportional shares, sampled and summed.

    Raises:
        RunError: the run failed.
    """
    folder = Path(tempfile.mkdtemp())
    options = ["--environment", environment] if environment else []
    command = [sys.executable, "-m", "weakspot.cli", "run", "--agent", agent, *options, "--output", str(folder / "run")]
    command += ["--collect.frames", "10000", "--train.steps", "40", "--train.prior-steps", "10"]
    command += ["--synthesize.steps", "20", "--goggles.longest", "50"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    largest = 0
    while process.poll() is None:
        largest = max(largest, sum(_proportional_share(pid) for pid in _with_children(process.pid)))
        time.sleep(0.5)
    shutil.rmtree(folder)
    if process.returncode:
        raise RunError(f"the run ended with exit code {process.returncode}", expected="0", todo="see its errors above")
    return {"peak_mb": largest / 1024}


def _with_children(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _with_children(int(child)))]


def _proportional_share(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass  # the process has just ended
    return 0
