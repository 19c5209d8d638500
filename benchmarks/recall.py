"""Recipes at equal CPU time on the same frames: ball recall over time, and the goggles score of ``fast``."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weakspot.agents.base import Perceiver
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.goggles import GogglesConfig, goggles
from weakspot.cli import keep_memory
from weakspot.collect import CollectConfig, collect
from weakspot.config import RunConfig
from weakspot.dataset import StateDataset
from weakspot.pipeline import Subject, subject
from weakspot.saliency import load_maps, saliency_maps
from weakspot.state_model.batch import with_history
from weakspot.state_model.model import StateModel
from weakspot.state_model.train import TrainConfig, train


def stored(one: Subject, folder: Path) -> tuple[StateDataset, np.ndarray]:
    """10,000 states of the agent and their saliency maps, collected once."""
    dataset = collect(one.agent, one.factory, CollectConfig(), folder / "collect")
    path = folder / "saliency.npy"
    if not path.exists():
        saliency_maps(one.perceive, dataset, path)
    return dataset, load_maps(path, len(dataset))


def curve(
    recipe: str, perceive: Perceiver, dataset: StateDataset, maps: np.ndarray, minutes: float, folder: Path
) -> tuple[StateModel, list[dict[str, Any]]]:
    """Trains one recipe for ``minutes`` of wall time on all cores; returns the model and what was measured meanwhile."""
    held = with_history(dataset, dataset.split(0.1)[1])
    lines: list[dict[str, Any]] = []
    started = time.process_time()

    def measures(model: StateModel) -> dict[str, float | None]:
        line = fidelity(model, perceive, dataset, held).line()
        lines.append({"cpu_seconds": round(time.process_time() - started, 1), "steps": model.info["steps"], **line})
        print(f"  {recipe}: {lines[-1]}", flush=True)
        return line

    config = TrainConfig(recipe=recipe, minutes=minutes, measure_every=30.0)
    return train(perceive, dataset, maps, config, folder / recipe, measures=measures), lines


def measure(agent: str, environment: str | None, minutes: float, episodes: int, folder: Path) -> dict[str, Any]:
    """Recall of ``fast`` and ``paper`` over time, and the goggles test with ``fast``."""
    one = subject(RunConfig(agent=agent, environment=environment))
    dataset, maps = stored(one, folder)
    model, fast = curve("fast", one.perceive, dataset, maps, minutes, folder)
    torch.set_num_threads(2)
    _, paper = curve("paper", one.perceive, dataset, maps, minutes, folder)
    config = replace(GogglesConfig(), episodes=episodes)
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
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"))
    told = parser.parse_args()
    keep_memory()
    print(json.dumps(measure(told.agent, told.environment, told.minutes, told.episodes, told.folder), indent=2))


if __name__ == "__main__":
    main()
