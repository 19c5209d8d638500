"""Pong on the real emulator, played by a small agent; shared by the tests of state models and measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from weakspot.agents.base import AgentOutput, AgentSpec, Perceiver
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.observation import gray_observation
from weakspot.saliency.maps import load_maps, saliency_maps
from weakspot.state_model.batch import Batch, with_full_history
from weakspot.state_model.feeder import Feeder


class SmallAgent:
    """An untrained convolutional network over gray Pong stacks."""

    device = torch.device("cpu")

    def __init__(self, factor: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.module = nn.Sequential(nn.Conv2d(4, 4, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(400, 6))
        for parameter in self.module.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.requires_grad_(False)
        names = ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
        self.spec = AgentSpec("small", "PongNoFrameskip-v4", names, (4, 84, 84), "q-values", "greedy", "small")
        self.factor = factor

    def __call__(self, observation):
        return AgentOutput(self.factor * self.module(observation / 255))


def collect_pong(folder: Path) -> tuple[StateDataset, Perceiver, np.ndarray]:
    """Recorded states of Pong, the agent that played, and its saliency maps."""
    agent = SmallAgent()
    config = CollectConfig(frames=240, streams=2, shard_steps=60, snapshot_every=60, epsilon=1.0)
    dataset = collect(agent, lambda: AtariEnvironment(AtariConfig("pong")), config, folder / "states", workers=1)
    perceive = Perceiver(agent, gray_observation)
    saliency_maps(perceive, dataset, folder / "maps.npy")
    return dataset, perceive, load_maps(folder / "maps.npy", len(dataset))


def make_batch(pong_rollout, latent: int, size: int = 4) -> Batch:
    dataset, _, maps = pong_rollout
    feeder = Feeder(dataset, maps, with_full_history(dataset, np.arange(len(dataset))), latent, seed=0)
    return feeder.batch(*feeder.draw(size), "cpu")
