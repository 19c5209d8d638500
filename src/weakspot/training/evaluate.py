"""Scores of complete episodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from weakspot.agents.formats.card import KINDS
from weakspot.system.progress import ProgressCallback
from weakspot.training.arena import Arena


def evaluate(
    act: Callable[[np.ndarray], np.ndarray],
    arena: Arena,
    episodes: int,
    seed: int,
    epsilon: float = 0.0,
    max_decisions: int = 27_000,
    progress: ProgressCallback = lambda share, text: None,
) -> list[float]:
    """Unclipped scores of ``episodes`` complete games, played in parallel, one in each copy of the environment.

    Args:
        act: maps observations (b, c, h, w) uint8 to actions (b,).
        arena: where the agent plays.
        episodes: number of games.
        seed: of the first game and of the random actions; the other games have the following seeds.
        epsilon: share of random actions.
        max_decisions: games are truncated after this many decisions.
        progress: called before each decision with the share that is done, and a short text.
    """
    generator = np.random.default_rng(seed)
    envs = arena.make_evaluation_env(episodes)
    try:
        observations, _ = envs.reset(seed=seed)
        scores, running = np.zeros(episodes), np.ones(episodes, dtype=bool)
        for decision in range(max_decisions):
            progress(max(1.0 - running.mean(), decision / max_decisions), f"{episodes - running.sum()} of {episodes} games")
            if not running.any():
                break
            actions = act(observations)
            explore = generator.random(episodes) < epsilon
            actions = np.where(explore, generator.integers(0, len(arena.actions), episodes), actions).astype(np.int64)
            observations, rewards, terminated, truncated, _info = envs.step(actions)
            scores += rewards * running
            running &= ~(terminated | truncated)
    finally:
        envs.close()
    return [float(score) for score in scores]


def greedy(
    action_scores: Callable[[Tensor], Tensor], device: torch.device | str = "cpu"
) -> Callable[[np.ndarray], np.ndarray]:
    """The greedy policy; ``action_scores`` maps uint8 observations to scores (b, a)."""

    def act(observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return action_scores(torch.as_tensor(observations).to(device)).argmax(dim=1).cpu().numpy()

    return act


def sampled(
    action_scores: Callable[[Tensor], Tensor], device: torch.device | str, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The policy that samples actions; ``action_scores`` returns log-probabilities (b, a), up to a constant."""
    generator = np.random.default_rng(seed)

    def act(observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = action_scores(torch.as_tensor(observations).to(device)).cpu().numpy()
        return (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)

    return act


def make_policy(
    kind: str, action_scores: Callable[[Tensor], Tensor], device: torch.device | str, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The policy of agents of a kind in :data:`weakspot.agents.formats.card.KINDS`: sampled or greedy."""
    if KINDS[kind].scores_are == "log-probabilities":
        return sampled(action_scores, device, seed)
    return greedy(action_scores, device)
