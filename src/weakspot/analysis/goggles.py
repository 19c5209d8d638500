"""Goggles: the agent's score when it sees only reconstructions, against its score without (paper, section 4.5, table 1).

If the state model keeps everything that matters to the agent, the score stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from weakspot.agents.base import Agent, AgentOutput, choose
from weakspot.agents.recurrent import Carried
from weakspot.analysis.config import GogglesConfig
from weakspot.data.dataset import as_state
from weakspot.envs.base import Environment
from weakspot.envs.parallel import ParallelEnvironments
from weakspot.intervals import bootstrap_mean, bootstrap_ratio
from weakspot.state_model.model import StateModel


@dataclass(frozen=True)
class Played:
    """Scores of episodes.

    Attributes:
        scores: the sum of the rewards of each episode (n,).
        signs: the sum of the signs of the rewards (n,): the score in the units in which agents of Atari games are trained.
        truncated: number of episodes that were scored before their end.
    """

    scores: np.ndarray
    signs: np.ndarray
    truncated: int


@dataclass(frozen=True)
class Scores:
    """Scores of the agent with and without goggles, in episodes with the same seeds.

    Attributes:
        agent: with the real observations.
        goggles: with reconstructions.
    """

    agent: Played
    goggles: Played

    def record(self, seed: int) -> dict[str, Any]:
        """Means and 95 % bootstrap intervals as plain data; difference and ratio are of paired episodes.

        The ratio is None unless the interval of the agent's own score is above 0.  The ends of all intervals are None for a
        single episode.

        Args:
            seed: of the bootstrap.
        """
        generator = np.random.default_rng(seed)
        agent, goggles = self.agent.scores, self.goggles.scores

        def interval_record(interval: tuple[float, float, float]) -> dict[str, Any]:
            ends = interval[1:] if len(agent) > 1 else (None, None)
            return dict(zip(("mean", "low", "high"), (interval[0], *ends), strict=True))

        def summarised(played: Played) -> dict[str, Any]:
            return {
                "scores": played.scores.tolist(),
                "signs": played.signs.tolist(),
                **interval_record(bootstrap_mean(played.scores, generator)),
            }

        difference = interval_record(bootstrap_mean(goggles - agent, generator))
        of_agent, of_goggles = summarised(self.agent), summarised(self.goggles)
        ratio = bootstrap_ratio(goggles, agent, generator)
        truncated = self.agent.truncated + self.goggles.truncated
        note = f"{truncated} episodes were scored before their end" if truncated else ""
        return {
            "episodes": len(agent),
            "agent": of_agent,
            "goggles": of_goggles,
            "difference": difference,
            "ratio": interval_record(ratio) if ratio else None,
            "note": note,
        }


def play_episodes(
    agent: Agent,
    factory: Callable[[], Environment],
    config: GogglesConfig,
    model: StateModel | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Played:
    """Plays ``config.episodes`` episodes in parallel.

    Args:
        agent: the agent.
        factory: makes one environment.
        config: number, length and seeds of the episodes, and the share of random actions.
        model: the agent sees its reconstructions; without one it sees the real observations.
        progress: called with the number of finished episodes and their total.
        workers: number of processes.
    """
    probe = factory()
    spec, observe = probe.spec, probe.observe
    carried = Carried(agent, config.episodes)
    generator = torch.Generator().manual_seed(config.seed)
    count = config.episodes
    scores, signs, running = np.zeros(count), np.zeros(count), np.ones(count, dtype=bool)
    stacks = np.zeros((count, spec.frames, spec.height, spec.width, spec.channels), np.uint8)
    with ParallelEnvironments(factory, spec, count, workers) as environments, torch.no_grad():
        environments.reset([config.seed + i for i in range(count)])
        stacks[:, -1] = environments.current.frames
        for _ in range(config.longest):
            rows = torch.as_tensor(np.flatnonzero(running))
            if model is None:
                observation = torch.as_tensor(environments.current.observations[running]).to(agent.device, torch.float32)
            else:
                observation = observe(model.reconstruct(as_state(stacks[running]).to(model.device)))
            carried.see(environments.current.entries[running], np.flatnonzero(running))
            output = carried.act(observation, np.flatnonzero(running))
            scores_all = torch.zeros(count, output.scores.shape[1])
            scores_all[rows] = output.scores.float().cpu()
            allowed = spec.allowed(environments.current.entries)
            actions: Any = choose(AgentOutput(scores_all), agent.spec, generator, config.epsilon, allowed)
            environments.step(actions.tolist())
            current = environments.current
            scores += np.where(running, current.reward, 0.0)
            signs += np.where(running, np.sign(current.reward), 0.0)
            running &= ~(current.terminated | current.truncated)
            progress(count - int(running.sum()), count)
            if not running.any():
                break
            stacks[:, :-1] = stacks[:, 1:]
            stacks[:, -1] = environments.current.frames
    return Played(scores, signs, int(running.sum()))


def goggles(
    model: StateModel,
    agent: Agent,
    factory: Callable[[], Environment],
    config: GogglesConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scores:
    """Plays the same episodes twice, with real observations and with reconstructions.

    Args:
        model: makes the reconstructions.
        agent, factory, config: see :func:`play_episodes`.
        progress: called with the number of finished episodes and their total, over both.
    """
    total = 2 * config.episodes
    alone = play_episodes(agent, factory, config, None, lambda done, _: progress(done, total))
    through = play_episodes(agent, factory, config, model, lambda done, _: progress(config.episodes + done, total))
    return Scores(alone, through)
