"""Plays an agent for its score, and, if it plays badly, with variants of its observations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from weakspot.agents.base import Agent
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.goggles import Played, play_episodes
from weakspot.checkup.config import CheckConfig
from weakspot.checkup.finding import Finding
from weakspot.checkup.variants import TransformedAgent, Variant, input_variants
from weakspot.envs.base import Environment, EnvironmentSpec
from weakspot.intervals import bootstrap_mean

PlayProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with what plays, the number of finished episodes, and their total."""


@dataclass(frozen=True)
class Player:
    """Plays episodes and returns their scores.

    Attributes:
        factory: makes environments.
        progress: see :data:`PlayProgress`.
    """

    factory: Callable[[], Environment]
    progress: PlayProgress

    def __call__(self, name: str, agent: Agent, config: GogglesConfig) -> Played:
        """Plays the episodes."""
        return play_episodes(agent, self.factory, config, None, lambda done, total: self.progress(name, done, total))


def check_playing(agent: Agent, player: Player, environment: EnvironmentSpec, config: CheckConfig) -> Iterator[Finding]:
    """Whether the agent scores what the user expects, or more than random play; if not, whether a variant of its
    observations scores more."""
    episodes = GogglesConfig(episodes=config.episodes, epsilon=0.0, longest=config.longest, seed=config.seed)
    played = player("the agent", agent, episodes)
    scores, cut = played.scores, played.truncated
    random = player("random play", agent, replace(episodes, epsilon=1.0)).scores
    generator = np.random.default_rng(config.seed)
    mean, low, high = bootstrap_mean(scores, generator)
    beats_random = bootstrap_mean(scores - random, generator)[1] > 0
    passed = beats_random if config.score is None else high >= config.score
    seen = f"{mean:.4g} on average (95 % interval {low:.4g} to {high:.4g})"
    if config.score is not None:
        seen += f", you expect {config.score:g}"
    seen += f"; random play {random.mean():.4g}"
    if cut:
        seen += f"; {cut} of {config.episodes} episodes were stopped after {config.longest} decisions"
    if passed:
        yield Finding("plays as expected", True, seen)
        return
    todo = "see below whether it plays better with changed observations"
    if cut and config.score is not None:
        todo = f"if you expect the score of whole episodes, play them with --longest above {config.longest}; else {todo}"
    yield Finding("plays as expected", False, seen, todo)
    yield from _check_variants(agent, player, input_variants(environment), episodes, scores, generator)


def _check_variants(
    agent: Agent,
    player: Player,
    variants: tuple[Variant, ...],
    episodes: GogglesConfig,
    scores: np.ndarray,
    generator: np.random.Generator,
) -> Iterator[Finding]:
    """Whether the agent plays no better with each variant.

    The best variant of several may be best by chance, so it is compared with the agent once more, on other episodes.

    Args:
        agent, player, variants: what plays, how, and with which observations.
        episodes: those of ``scores``.
        scores: of the agent with unchanged observations (n,).
        generator: of the bootstrap.
    """

    def changed(variant: Variant) -> TransformedAgent:
        return TransformedAgent(agent, variant.transform)

    means = [player(f"the agent, {variant.name}", changed(variant), episodes).scores.mean() for variant in variants]
    best = variants[int(np.argmax(means))]
    others = replace(episodes, seed=episodes.seed + episodes.episodes)
    unchanged = player("the agent, other episodes", agent, others).scores
    transformed = player(f"the agent, {best.name}, other episodes", changed(best), others).scores
    better = bootstrap_mean(transformed - unchanged, generator)[1] > 0
    for variant, mean in zip(variants, means, strict=True):
        seen = f"{mean:.4g} on average, {scores.mean():.4g} without this change"
        if variant is best:
            seen += f"; in other episodes {transformed.mean():.4g}, and {unchanged.mean():.4g} without it"
        yield Finding(f"plays no better with {variant.name}", not (better and variant is best), seen, variant.todo)
