"""The agent with one change of its observations, or of the frames they are made of, and how it plays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from weakspot.agents.base import Agent
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.goggles import Played, play_episodes
from weakspot.checkup.suspects import Suspect
from weakspot.checkup.variants import TransformedAgent, Variant
from weakspot.envs.base import Environment

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


@dataclass(frozen=True)
class Candidate:
    """The agent with one change.

    Attributes:
        name: of the change.
        agent: the agent, possibly behind a transform.
        player: plays in the right environment.
        todo: what to change if it plays better.
        pace, is_common, setting: see :class:`~weakspot.checkup.suspects.Suspect`; all variants of observations are common,
            and none changes a setting.
    """

    name: str
    agent: Agent
    player: Player
    todo: str
    pace: float = 1.0
    is_common: bool = True
    setting: str = ""

    def scores(self, name: str, games: GogglesConfig) -> np.ndarray:
        """The scores (n,) of games that are as long in the time of the environment as those without the change."""
        return self.player(name, self.agent, replace(games, longest=max(round(games.longest * self.pace), 1))).scores


def candidates(
    agent: Agent, player: Player, variants: Sequence[Variant], suspects: Sequence[Suspect]
) -> tuple[Candidate, ...]:
    """The agent in each variant of its observations, and of the frames they are made of."""
    observed = [Candidate(v.name, TransformedAgent(agent, v.transform), player, v.todo) for v in variants]
    framed = [
        Candidate(s.name, agent, replace(player, factory=s.factory), s.todo, s.pace, s.is_common, s.setting)
        for s in suspects
    ]
    return (*observed, *framed)
