"""Plays an agent for its score, and with variants of its observations and of the frames they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from weakspot.agents.base import Agent
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.goggles import Played, play_episodes
from weakspot.checkup.config import CheckConfig
from weakspot.checkup.finding import Finding
from weakspot.checkup.suspects import Suspect
from weakspot.checkup.variants import TransformedAgent, Variant
from weakspot.envs.base import Environment
from weakspot.intervals import bootstrap_mean

PlayProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with what plays, the number of finished episodes, and their total."""

SHORT_EPISODES, SHORT_LENGTH = 4, 600
"""Episodes, and decisions in each, with which variants are compared at first."""


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


@dataclass(frozen=True)
class Candidate:
    """The agent in one variant of its observations or of its frames.

    Attributes:
        name: of the variant.
        agent: the agent, possibly behind a transform.
        player: plays in the right environment.
        todo: what to change if it plays better.
    """

    name: str
    agent: Agent
    player: Player
    todo: str


def candidates(
    agent: Agent, player: Player, variants: Sequence[Variant], suspects: Sequence[Suspect]
) -> tuple[Candidate, ...]:
    """The agent in each variant of its observations, and of the frames they are made of."""
    observed = [Candidate(v.name, TransformedAgent(agent, v.transform), player, v.todo) for v in variants]
    framed = [Candidate(s.name, agent, replace(player, factory=s.factory), s.todo) for s in suspects]
    return (*observed, *framed)


def check_playing(agent: Agent, player: Player, others: Sequence[Candidate], config: CheckConfig) -> Iterator[Finding]:
    """Whether the agent scores what the user expects, or more than random play, and whether a variant scores more.

    Games are added until the first can be told, or there are ``config.most`` of them.  With an expected score that is
    reached, no variants are tried.
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
    if verdict is None and config.score is not None:
        verdict = False
    yield _finding(verdict, scores, random, cut, config, generator)
    if verdict is not True or config.score is None:
        yield from _check_candidates(agent, player, others, episodes, generator)


def _verdict(scores: np.ndarray, random: np.ndarray, expected: float | None, generator: np.random.Generator) -> bool | None:
    """Whether the agent scores what is expected, or more than random play; None if there are too few games to tell.

    The interval of a few games is itself uncertain, so an expected score less than its width above it is not yet ruled out.
    """
    if expected is None:
        _, low, high = bootstrap_mean(scores - random, generator)
        return True if low > 0 else False if high <= 0 else None
    _, low, high = bootstrap_mean(scores, generator)
    return True if high >= expected else False if high + (high - low) <= expected else None


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


def _check_candidates(
    agent: Agent,
    player: Player,
    others: Sequence[Candidate],
    episodes: GogglesConfig,
    generator: np.random.Generator,
) -> Iterator[Finding]:
    """Whether the agent plays no better in each variant.

    All are compared in a few short games.  The best of many may be best by chance, so it is compared with the agent once
    more, in other and longer games.

    Args:
        agent, player: what plays, and how.
        others: the variants.
        episodes: number, length and seeds of the longer games.
        generator: of the bootstrap.
    """
    if not others:
        return
    shorter = min(episodes.episodes, SHORT_EPISODES), min(episodes.longest, SHORT_LENGTH)
    short = replace(episodes, episodes=shorter[0], longest=shorter[1])
    without = player("the agent, short games", agent, short).scores.mean()
    named = [(f"change {n} of {len(others)}: {other.name}, short games", other) for n, other in enumerate(others, start=1)]
    means = [other.player(name, other.agent, short).scores.mean() for name, other in named]
    best, better, longer = others[int(np.argmax(means))], False, ""
    if max(means) > without:
        later = replace(episodes, seed=episodes.seed + 2 * episodes.episodes)
        unchanged = player("the agent, other episodes", agent, later).scores
        changed = best.player(f"the agent, {best.name}, other episodes", best.agent, later).scores
        better = bootstrap_mean(changed - unchanged, generator)[1] > 0
        longer = f"; in other and longer games {changed.mean():.4g}, and {unchanged.mean():.4g} without it"
    for other, mean in zip(others, means, strict=True):
        seen = f"{mean:.4g} on average in short games, {without:.4g} without this change"
        is_best = other is best
        yield Finding(f"plays no better with {other.name}", not (better and is_best), seen + longer * is_best, other.todo)
