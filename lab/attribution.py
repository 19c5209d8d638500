"""Whether what a confirmation says of an agent is so: by rollouts with other seeds, and by those of a healthy agent.

An agent with a planted weakness differs from the healthy agent in nothing else.  So the losses from the states of a weakness
are due to the plant if the healthy agent, from the same states, loses much less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from weakspot.agents.base import Agent
from weakspot.artifacts.weaknesses import Rate, StartRecord, Weakness
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.losses import LossRule, rule_for
from weakspot.confirm.rollouts import Job, Roller, Rollout, epsilon_of
from weakspot.confirm.seeds import Seeds
from weakspot.confirm.starts import control_starts
from weakspot.confirm.statistics import fisher, rate_of
from weakspot.envs.pool import EnvironmentPool
from weakspot.ground.hidden import hidden_at
from weakspot.ground.play import route_to
from weakspot.session import Session

STATES, ROLLOUTS = 12, 4
"""States of a weakness, at most, from which both agents play, and rollouts of each from each state."""
AGAIN, LONGER = 24, 2
"""Rollouts of the agent and of the rescue, from the state in which the rescue is shown, and their horizons, so that a loss
that is only put off is not avoided."""
CONTROLS = 80
"""Random states on which a threshold of outcomes is measured."""
LESS = 0.3
"""By how much the share of losses has to be lower for the healthy agent."""
SURE = 0.01
"""Largest p-value of a difference that counts."""
FRESH = 1_000_003
"""Added to the seed of the confirmation."""


@dataclass(frozen=True, eq=False)
class Checker:
    """Plays from the states of weaknesses again.

    Attributes:
        session: of the agent that was tested.
        pool: copies of the environment.
        healthy: the agent without the plant; None if nothing was planted.
        config: of the confirmation.
        horizon: of the rollouts that the weaknesses were found in.
    """

    session: Session
    pool: EnvironmentPool
    healthy: Agent | None
    config: ConfirmConfig
    horizon: int

    def check(self, weakness: Weakness) -> dict[str, Any]:
        """As plain data: ``repeats``, whether the rescue avoids losses with other seeds, too (None without a rescue); and if
        there is a healthy agent, the shares of losses of both agents, and whether they are ``due`` to the plant."""
        return {"repeats": self._repeats(weakness)} | (self._due(weakness) if self.healthy else {})

    @cached_property
    def _rule(self) -> LossRule:
        """What a loss is, as in the confirmation; a threshold of outcomes is measured on random states."""
        session, config = self.session, self.config
        rule, agent = rule_for(session.dataset, None), session.subject.agent
        if rule.measure is None:
            return rule
        controls = control_starts(session.player, agent, CONTROLS, np.random.default_rng([config.seed, 2]))
        places = [(start.snapshot, start.hidden) for start in controls]
        return rule.calibrated(self._rollouts(rule, places, 2, Seeds(FRESH + config.seed + 2), self.horizon))

    def _repeats(self, weakness: Weakness) -> bool | None:
        clip = weakness.rescued
        if weakness.verdict != "avoidable loss" or clip is None:
            return None
        start = weakness.states[clip.state]
        given = clip.actions[: clip.override]
        horizon = self.horizon if self._rule.measure else LONGER * self.horizon
        lost = self._lost([start], 0, AGAIN, horizon)
        saved = self._lost([start], 0, AGAIN, horizon, given)
        return saved.share < lost.share and fisher(saved, lost) < SURE

    def _due(self, weakness: Weakness) -> dict[str, Any]:
        chosen = np.unique(np.linspace(0, len(weakness.states) - 1, STATES).astype(int))
        starts = [weakness.states[i] for i in chosen]
        planted, healthy = (self._lost(starts, actor, ROLLOUTS, self.horizon) for actor in (0, 1))
        due = planted.share - healthy.share >= LESS and fisher(planted, healthy) < SURE
        return {"planted": round(planted.share, 3), "healthy": round(healthy.share, 3), "due": due}

    def _lost(
        self, starts: Sequence[StartRecord], actor: int, count: int, horizon: int, actions: tuple[Any, ...] = ()
    ) -> Rate:
        """The share of losses of an agent; ``actions`` are given first."""
        player, agent = self.session.player, self.session.subject.agent
        routes = [route_to(start) for start in starts]
        places = [(player.snapshot_of(route), hidden_at(player, agent, route)) for route in routes]
        seeds = Seeds(FRESH + self.config.seed + actor)
        made = self._rule.judged(self._rollouts(self._rule, places, count, seeds, horizon, actor, actions))
        return rate_of([made[i : i + count] for i in range(0, len(made), count)])

    def _rollouts(
        self, rule: LossRule, places: Sequence[tuple[bytes, np.ndarray | None]], count: int, seeds: Seeds, horizon: int,
        actor: int = 0, actions: tuple[Any, ...] = (),
    ) -> list[Rollout]:  # fmt: skip
        """``count`` rollouts from each snapshot and hidden state."""
        agent = self.session.subject.agent
        agents = [agent] if self.healthy is None else [agent, self.healthy]
        roller = Roller(self.pool, agents, epsilon_of(agent, self.config.epsilon), rule.is_loss)
        length = horizon + len(actions)
        jobs = [
            Job(snapshot, seeds.next(), length, actions, actor, hidden=hidden)
            for snapshot, hidden in places
            for _ in range(count)
        ]
        return roller.run(jobs, until_loss=rule.measure is None)
