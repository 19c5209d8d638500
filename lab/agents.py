"""The agents of the repository, and their scores in full games."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from weakspot.agents import zoo
from weakspot.agents.formats.card import read_card
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.weights import read_weights
from weakspot.training.arenas import arena_of
from weakspot.training.evaluate import evaluate, make_policy
from weakspot.training.start import training_cost

Play = Callable[..., list[float]]
"""Scores of a policy: takes the policy, its arena, the number of games, the first seed, the share of random actions, and
the decisions after which a game is truncated."""


def shipped_agents() -> list[Path]:
    """Files of the agents that ship with weakspot."""
    return [zoo.path(name) for name in zoo.names()]


def agent_files(folder: Path) -> list[Path]:
    """Files of the agents in a folder."""
    return sorted(folder.glob(f"*{zoo.SUFFIX}"))


def no_operation(observations: np.ndarray) -> np.ndarray:
    """A policy that always takes action 0; with a share of random actions of 1 it plays at random."""
    return np.zeros(len(observations), np.int64)


def agent_facts(path: Path) -> dict[str, Any]:
    """What an agent's file records of its training, and its size."""
    card = read_card(read_weights(path)[1], str(path))
    decisions, hours = training_cost(card.training)
    return {
        "environment": card.environment,
        "algorithm": card.training["algorithm"],
        "network": card.network,
        "decisions": decisions,
        "starts_from": card.training["settings"].get("start"),
        "cpu_hours": hours,
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "score_on_the_card": card.score["mean"],
        "command": card.training["command"],
    }


def scores_of_agent(
    path: Path, games: int, seed: int, random_actions: dict[str, float], play: Play = evaluate
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of an agent (n,) and of random play (n,) in the same games.

    Args:
        path: of the agent's file.
        games: their number, n.
        seed: of the first game.
        random_actions: share of the agent's actions that are random, by the kind of agent.
        play: plays a policy.
    """
    card = read_card(read_weights(path)[1], str(path))
    agent, settings = load_agent(str(path)), card.training["settings"]
    arena, longest = arena_of(settings["game"], settings.get("pedestrians")), settings.get("episode_decisions", 27_000)
    policy = make_policy(card.kind, lambda observations: agent(observations.float()).scores, agent.device, seed)
    scores = play(policy, arena, games, seed, random_actions[card.kind], longest)
    return np.array(scores), np.array(play(no_operation, arena, games, seed, 1.0, longest))
