"""What all parts of a confirmation share: the environment, the agent, the rule, and the rollouts they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weakspot.agents.base import Agent
from weakspot.analysis.expectation import Expectation
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.losses import LossRule
from weakspot.confirm.overrides import Override, job_of
from weakspot.confirm.rollouts import Job, Roller, Rollout
from weakspot.confirm.seeds import Seeds
from weakspot.confirm.starts import Start, views_of
from weakspot.envs.pool import EnvironmentPool
from weakspot.ground.likeness import Likeness
from weakspot.ground.play import Player
from weakspot.types import Stacks

LONGER = 2.0
"""Horizon of the rollouts that judge causes and rescues, in horizons: a loss that is only put off is not avoided."""
Report = Callable[[str, int, int], None]
"""Called with what is being done, and how much of it."""
ByState = list[list[Rollout]]
"""Rollouts from each of some states."""


@dataclass(frozen=True, eq=False)
class Context:
    """What all parts of a confirmation share.

    Attributes:
        player, pool: of the environment.
        agent: under test.
        reference: name of another agent whose play is tried, or None.
        likeness: compares states.
        config: settings.
        rule: what a loss is.
        roller: makes rollouts.
        expectation: what the agent expects, or None.
        seeds: of rollouts.
        generator: of all other choices.
        report: called during the work.
        possible: which states (n, k, h, w, c) can be, by what they show (n,); None if that is not known.
        alive: what it is worth to be alive at the end of a rollout: the mean return of rollouts from control states.
    """

    player: Player
    pool: EnvironmentPool
    agent: Agent
    reference: str | None
    likeness: Likeness
    config: ConfirmConfig
    rule: LossRule
    roller: Roller
    expectation: Expectation | None
    seeds: Seeds
    generator: np.random.Generator
    report: Report
    possible: Callable[[Stacks], np.ndarray] | None = None
    alive: float = 0.0

    def progress(self, what: str) -> Callable[[int, int], None]:
        """Reports the progress of one part."""
        return lambda done, total: self.report(what, done, total)

    @property
    def longer(self) -> int:
        """Decisions of the rollouts that judge causes and rescues.  They are the horizon's where a loss is a low outcome:
        the outcomes of longer rollouts are others."""
        return round(LONGER * self.config.horizon) if self.rule.measure is None else self.config.horizon

    def agent_rollouts(self, starts: Sequence[Start], count: int, what: str, *, horizon: int | None = None) -> ByState:
        """The agent's own rollouts, ``count`` from each state; by default of the configured horizon."""
        horizon = self.config.horizon if horizon is None else horizon
        return self._rollouts([Job(start.snapshot, 0, horizon, hidden=start.hidden) for start in starts], count, what)

    def within_horizon(self, rollouts: ByState) -> ByState:
        """The rollouts without the losses that come after the configured horizon."""
        horizon = self.config.horizon
        return [[replace(r, loss=None) if (r.loss or 0) > horizon else r for r in of_state] for of_state in rollouts]

    def override_rollouts(self, starts: Sequence[Start], overrides: Sequence[Override], count: int, what: str) -> ByState:
        """Rollouts with an override for each state, ``count`` from each."""
        pairs = zip(starts, overrides, strict=True)
        return self._rollouts([job_of(start, override, 0, self.longer) for start, override in pairs], count, what)

    def without_action(self, starts: Sequence[Start], action: int, decisions: int, count: int, what: str) -> ByState:
        """Rollouts in which the agent may not take an action for some decisions, ``count`` from each state."""
        horizon = self.config.horizon
        jobs = [
            Job(start.snapshot, 0, horizon, banned=action, banned_for=decisions, hidden=start.hidden) for start in starts
        ]
        return self._rollouts(jobs, count, what)

    def returns(self, rollouts: ByState) -> np.ndarray:
        """The mean return from each state (n,), with what being alive at the end of a rollout is worth.

        Where a lost life is a loss, it ends the return, as in the training of most agents of such games.  The agent acts for
        the same number of decisions in its own rollouts and after an override.
        """
        return np.array([np.mean([self._worth(rollout) for rollout in of_state]) for of_state in rollouts])

    def _worth(self, rollout: Rollout) -> float:
        ended = rollout.terminated or (self.rule.lives and rollout.lost)
        return float(rollout.rewards[: self.end(rollout)].sum()) + (0.0 if ended else self.alive)

    def earned(self, rollouts: ByState) -> np.ndarray:
        """The mean discounted return over the horizon from each state (n,), as the agent's expectation is calibrated."""
        gamma, horizon = self.config.gamma, self.config.horizon
        return np.array(
            [np.mean([r.discounted(gamma, min(self.end(r), horizon)) for r in of_state]) for of_state in rollouts]
        )

    def end(self, rollout: Rollout) -> int:
        """The number of decisions whose rewards count for the return."""
        return rollout.loss if self.rule.lives and rollout.loss else len(rollout.actions)

    def expected(self, starts: Sequence[Start]) -> np.ndarray | None:
        """The return that the agent expects in states (n,); None if it expects nothing."""
        if self.expectation is None:
            return None
        return self.expectation(views_of(self.likeness, starts).output, self.agent.spec)

    def until_loss(self, jobs: Sequence[Job], what: str) -> list[Rollout]:
        """Rollouts that end with a loss, where losses are events; otherwise whole ones."""
        made = self.roller.run(jobs, until_loss=self.rule.measure is None, progress=self.progress(what))
        return self.rule.judged(made)

    def _rollouts(self, jobs: Sequence[Job], count: int, what: str) -> ByState:
        """``count`` rollouts of each job, each with a seed of its own."""
        if not count:
            return [[] for _ in jobs]
        seeded = [job.with_seed(self.seeds.next()) for job in jobs for _ in range(count)]
        made = self.rule.judged(self.roller.run(seeded, progress=self.progress(what)))
        return [made[i : i + count] for i in range(0, len(made), count)]
