"""Recipes for equal time on the same cores and the same frames: ball recall over time, and the goggles score of ``fast``.

The time is that of the training steps, on all cores; measuring in between is left out for both.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lab.arguments import at_least, positive
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.goggles import goggles
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.config import RunConfig
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset
from weakspot.errors import ConfigError
from weakspot.saliency.maps import maps_for
from weakspot.state_model.batch import with_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.model import StateModel
from weakspot.state_model.train import train
from weakspot.subject import Subject, subject
from weakspot.system.compute import threads
from weakspot.system.files import make_folder
from weakspot.system.process import exit_code
from weakspot.system.progress import say

Stored: TypeAlias = tuple[StateDataset, np.ndarray]


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """One process after another: who asks for the same rollouts or the same model meanwhile waits, and finds them made."""
    path = make_folder(folder) / ".lock"
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is working in {folder}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def stored(one: Subject, folder: Path, frames: int = CollectConfig().frames) -> Stored:
    """States of the agent and their saliency maps, collected once."""
    with in_turn(folder):
        dataset = collect(one.agent, one.factory, CollectConfig(frames=frames), folder / "collect")
        made_for = f"{dataset.fingerprint} {one.agent.spec.fingerprint} {one.perceive.rule}"
        return dataset, maps_for(made_for, one.perceive, dataset, folder)


MEASURED = 2_000
"""Held-out states at most that a model is measured on while it is trained."""
Clock: TypeAlias = Callable[[], float]


def place(folder: Path, recipe: str, minutes: float, clock: Clock = time.perf_counter) -> Path:
    """Where a recipe is trained: no budget goes on with another one's training."""
    return folder / f"{recipe}-{minutes:g}-{clock.__name__}"


def curve(
    one: Subject, data: Stored, recipe: str, minutes: float, folder: Path, clock: Clock = time.perf_counter
) -> tuple[StateModel, list[dict[str, Any]]]:
    """Trains one recipe for ``minutes`` of ``clock`` on all cores; what stands in ``folder``, of the same data and settings,
    is gone on with, or found finished.

    Returns:
        The model, and what was measured on held-out states: ``step``, ``seconds`` of training, and the measures.
    """
    dataset, maps = data
    held = with_history(dataset, dataset.split()[1])
    held = np.sort(np.random.default_rng(0).permutation(held)[:MEASURED])
    there = place(folder, recipe, minutes, clock)

    def measures(model: StateModel) -> dict[str, float]:
        line = fidelity(model, one.perceive, dataset, held).line()
        print(f"  {recipe}: step {model.info['steps']:,}, {model.info['seconds']:.0f} s, {line}", flush=True)
        return line

    config = TrainConfig(recipe=recipe, minutes=minutes, measure_every=30.0)
    with in_turn(there), threads(config.parts):
        model = train(one.perceive, dataset, maps, config, there, clock=clock, measures=measures)
    lines = [json.loads(line) for line in (there / "metrics.jsonl").read_text().splitlines()]
    return model, [line for line in lines if "agreement" in line]


def measure(agent: str, environment: str | None, minutes: float, episodes: int, folder: Path) -> dict[str, Any]:
    """Recall of ``fast`` and ``paper`` over time, and the goggles test with ``fast``."""
    one = subject(RunConfig(agent=agent, environment=environment))
    if not is_pong(one.spec.id):
        raise ConfigError(
            f"{one.spec.id} has no ball to look for", expected="Pong", todo="use benchmarks.fidelity for other games"
        )
    data = stored(one, folder)
    model, fast = curve(one, data, "fast", minutes, folder)
    _, paper = curve(one, data, "paper", minutes, folder)
    config = replace(GogglesConfig(), episodes=episodes)
    with threads(TrainConfig().parts):
        scores = goggles(model, one.agent, one.factory, config).record(config.seed)
    return {
        "ball_recall_fast": fast[-1]["ball_recall"],
        "ball_recall_paper": paper[-1]["ball_recall"],
        "agent_score": scores["agent"]["mean"],
        "goggles_score": scores["goggles"]["mean"],
        "goggles": scores,
        "minutes": minutes,
        "curve_fast": fast,
        "curve_paper": paper,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--minutes", type=positive, default=7.0)
    parser.add_argument("--episodes", type=at_least(1), default=20)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"))
    told = parser.parse_args()
    print(json.dumps(measure(told.agent, told.environment, told.minutes, told.episodes, told.folder), indent=2))


if __name__ == "__main__":
    sys.exit(exit_code(main))
