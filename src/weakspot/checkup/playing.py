"""Plays an agent for its score, until it is clear whether it plays as expected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weakspot.agents.base import Agent
from weakspot.analysis.config import GogglesConfig
from weakspot.checkup.candidate import Player
from weakspot.checkup.config import CheckConfig
from weakspot.checkup.finding import Finding
from weakspot.intervals import bootstrap_mean


def check_score(agent: Agent, player: Player, config: CheckConfig) -> tuple[Finding, np.ndarray]:
    """Whether the agent scores what the user expects, or more than random play.

    Games are added until that can be told, or there are ``config.most`` of them.

    Returns:
        The finding, and the agent's scores (n,), from the seed ``config.seed`` on.
    """
    episodes = GogglesConfig(episodes=config.episodes, epsilon=0.0, longest=config.longest, seed=config.seed)
    generator = np.random.default_rng(config.seed)
    scores, random, cut = np.zeros(0), np.zeros(0), 0
    verdict: bool | None = None
    while verdict is None and (not len(scores) or len(scores) + config.episodes <= config.most):
        batch = replace(episodes, seed=config.seed + len(scores))
        played = player("the agent", agent, batch)
        scores, cut = np.append(scores, played.scores), cut + played.truncated
        random = np.append(random, player("random play", agent, replace(batch, epsilon=1.0)).scores)
        verdict = _verdict(scores, random, config.score, generator)
    return _finding(verdict, scores, random, cut, config, generator), scores


def _verdict(scores: np.ndarray, random: np.ndarray, expected: float | None, generator: np.random.Generator) -> bool | None:
    """Whether the agent scores what is expected, or more than random play; None if there are too few games to tell.

    It scores what is expected if its mean does, or if that is within the interval and the interval above the middle between
    random play and what is expected: one that reaches down to random play is too wide to tell.  The interval of a few games
    is itself uncertain, so an expected score less than its width above it is not yet ruled out.
    """
    if expected is None:
        _, low, high = bootstrap_mean(scores - random, generator)
        return True if low > 0 else False if high <= 0 else None
    mean, low, high = bootstrap_mean(scores, generator)
    if mean >= expected or (high >= expected and low > (random.mean() + expected) / 2):
        return True
    return False if high + (high - low) <= expected else None


def _finding(
    verdict: bool | None,
    scores: np.ndarray,
    random: np.ndarray,
    cut: int,
    config: CheckConfig,
    generator: np.random.Generator,
) -> Finding:
    mean, low, high = bootstrap_mean(scores, generator)
    seen = f"{mean:.4g} on average in {len(scores)} episodes (95 % interval {low:.4g} to {high:.4g})"
    if config.score is not None:
        seen += f", you expect {config.score:g}"
    seen += f"; random play {random.mean():.4g}"
    if cut:
        seen += f"; {cut} of {len(scores)} episodes were stopped after {config.longest} decisions"
    if config.score is None:
        seen += "; compared with random play alone, give --score to compare with the score you expect"
    todo = "see below whether it plays better with changed observations or frames"
    if verdict is None:
        todo = f"not enough games to tell: raise --episodes and --most (now {config.most}); {todo}"
    elif cut and config.score is not None:
        todo = f"if you expect the score of whole episodes, play them with --longest above {config.longest}; else {todo}"
    return Finding("plays as expected", verdict, seen, "" if verdict else todo)
