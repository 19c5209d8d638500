"""Rollouts: playing on from given states, by the agent, by another agent, or with actions that are given for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from weakspot.actions import Action
from weakspot.agents.base import Agent
from weakspot.agents.recurrent import Carried, is_recurrent
from weakspot.envs.base import is_allowed
from weakspot.envs.pool import EnvironmentPool, Place
from weakspot.envs.random_actions import random_action


@dataclass(frozen=True)
class Job:
    """A rollout to be made.

    Attributes:
        snapshot: of the environment where it starts.
        seed: of the environment from there on, and of the agent's random choices.
        horizon: decisions, at most.
        override: actions taken first, in place of the agent's, except where a mask forbids them.
        actor: index of the agent that acts afterwards; 0 is the agent under test.
        banned: index of an action that the agent may not choose, or None.
        banned_for: decisions for which this holds.
        noise: probability with which an action of the agent is replaced by a random one, for ``noise_for`` decisions.
        hidden: hidden state (m,) of the agent under test at the start; None if it has none.  Other agents begin with h_0.
    """

    snapshot: bytes
    seed: int
    horizon: int
    override: tuple[Action, ...] = ()
    actor: int = 0
    banned: int | None = None
    banned_for: int = 0
    noise: float = 0.0
    noise_for: int = 0
    hidden: np.ndarray | None = None

    def with_seed(self, seed: int) -> Job:
        """The same rollout with another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Rollout:
    """What happened in a rollout.

    Attributes:
        seed: of the environment.
        actions: that were taken.
        rewards: unclipped, of each action (t,).
        lives_lost: whether a life was lost with each action (t,).
        terminated, truncated: whether the episode ended with the last action.
        cause: why it ended, if the environment says so.
        loss: number of the decision, from 1, with which the loss came; None if there was none.
    """

    seed: int
    actions: tuple[Action, ...]
    rewards: np.ndarray
    lives_lost: np.ndarray
    terminated: bool
    truncated: bool
    cause: str
    loss: int | None

    @property
    def lost(self) -> bool:
        """Whether there was a loss."""
        return self.loss is not None

    @property
    def total(self) -> float:
        """The sum of rewards."""
        return float(self.rewards.sum())

    def discounted(self, gamma: float, end: int) -> float:
        """The discounted sum of the first ``end`` rewards."""
        return float(self.rewards[:end] @ gamma ** np.arange(len(self.rewards[:end])))


Judge = Callable[[float, bool, bool], bool]
"""Whether a decision is a loss: from its reward, whether a life was lost, and whether the episode terminated."""


@dataclass
class _Running:
    """A rollout that is being made."""

    number: int
    job: Job
    random: np.random.Generator
    actions: list[Action] = field(default_factory=list[Action])
    rewards: list[float] = field(default_factory=list[float])
    lives: list[bool] = field(default_factory=list[bool])
    loss: int | None = None


class Roller:
    """Makes rollouts in the copies of a pool, several at a time.

    The result of a job does not depend on the other jobs, except for the rounding of the agent's outputs.

    Args:
        pool: of the environment.
        agents: the agent under test, and others of the same environment.
        epsilon: probability of a random action, for agents that act greedily.
        judge: what a loss is.

    Attributes:
        steps: decisions played so far.
    """

    def __init__(self, pool: EnvironmentPool, agents: Sequence[Agent], epsilon: float, judge: Judge) -> None:
        self._pool, self._agents, self._epsilon, self._judge = pool, agents, epsilon, judge
        self._carried = [Carried(agent, pool.count) for agent in agents]
        self.steps = 0

    def run(
        self, jobs: Sequence[Job], *, until_loss: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> list[Rollout]:
        """The rollouts of jobs, in their order.

        Args:
            jobs: to be done.
            until_loss: whether a rollout ends with the first loss.
            progress: called with the number of finished jobs and their total.
        """
        done: dict[int, Rollout] = {}
        waiting = list(enumerate(jobs))[::-1]
        running: dict[int, _Running] = {}
        while waiting or running:
            self._fill(running, waiting)
            actions = self._actions(running)
            ended = self._pool.step(actions)
            self.steps += len(actions)
            current = self._pool.current
            for slot, action in actions.items():
                rollout = running[slot]
                reward, life = float(current.reward[slot]), bool(current.life_lost[slot])
                rollout.actions.append(action)
                rollout.rewards.append(reward)
                rollout.lives.append(life)
                if rollout.loss is None and self._judge(reward, life, bool(current.terminated[slot])):
                    rollout.loss = len(rollout.actions)
                over = slot in ended or len(rollout.actions) >= rollout.job.horizon or (until_loss and rollout.loss)
                if over:
                    done[rollout.number] = Rollout(
                        rollout.job.seed, tuple(rollout.actions), np.array(rollout.rewards), np.array(rollout.lives),
                        bool(current.terminated[slot]), bool(current.truncated[slot]), ended.get(slot, ""), rollout.loss,
                    )  # fmt: skip
                    del running[slot]
                    if progress:
                        progress(len(done), len(jobs))
        return [done[number] for number in range(len(jobs))]

    def _fill(self, running: dict[int, _Running], waiting: list[tuple[int, Job]]) -> None:
        """Places waiting jobs in the copies that are free."""
        places: dict[int, Place] = {}
        for slot in range(self._pool.count):
            if slot not in running and waiting:
                number, job = waiting.pop()
                running[slot] = _Running(number, job, np.random.default_rng(job.seed))
                places[slot] = Place(job.snapshot, job.seed)
                hidden = job.hidden[None] if job.hidden is not None and job.actor == 0 else None
                self._carried[job.actor].place(np.array([slot]), hidden)
        if places:
            self._pool.place(places)

    def _actions(self, running: dict[int, _Running]) -> dict[int, Action]:
        """The next action of every rollout."""
        masks = self._pool.spec.allowed(self._pool.current.entries)
        allowed = {slot: None if masks is None else masks[slot] for slot in running}
        given = {slot: action for slot, r in running.items() if (action := _given(r, allowed[slot])) is not None}
        chosen: dict[int, Action] = {}
        for index, agent in enumerate(self._agents):
            own = {s: r for s, r in running.items() if r.job.actor == index}
            sees_all = is_recurrent(agent)  # its hidden state depends on what it sees, whoever chooses the actions
            slots = [slot for slot in own if sees_all or slot not in given]
            if slots:
                observations = torch.as_tensor(self._pool.current.observations[slots])
                self._carried[index].see(self._pool.current.entries[slots], np.array(slots))
                with torch.no_grad():
                    output = self._carried[index].act(observations.to(agent.device, torch.float32), np.array(slots))
                for slot, row in zip(slots, output.scores.float().cpu().numpy(), strict=True):
                    if slot in given:
                        continue
                    rollout = running[slot]
                    job, taken = rollout.job, len(rollout.actions)
                    banned = job.banned if taken < job.banned_for else None
                    chosen[slot] = act(agent, row, rollout.random, self._epsilon, banned, allowed[slot])
                    if taken < job.noise_for and rollout.random.random() < job.noise:
                        noise = random_action(agent.spec, rollout.random)
                        chosen[slot] = noise if is_allowed(noise, allowed[slot]) else chosen[slot]
        return {slot: given[slot] if slot in given else chosen[slot] for slot in running}


def _given(rollout: _Running, allowed: np.ndarray | None) -> Action | None:
    """The action that a job gives for now; None if it gives none, or one that the environment forbids."""
    taken, override = len(rollout.actions), rollout.job.override
    return override[taken] if taken < len(override) and is_allowed(override[taken], allowed) else None


def epsilon_of(agent: Agent, epsilon: float) -> float:
    """The probability of a random action in rollouts of an agent: ``epsilon`` if it acts greedily, else 0."""
    return epsilon if agent.spec.acts == "greedy" else 0.0


def act(
    agent: Agent, scores: np.ndarray, random: np.random.Generator, epsilon: float, banned: int | None = None,
    allowed: np.ndarray | None = None,
) -> Action:  # fmt: skip
    """An agent's action, given its scores (a,): greedy with a share of random actions, or sampled.

    The number of random numbers drawn depends on the number of actions alone.

    Args:
        agent, scores: what chooses.
        random: of its choices.
        epsilon: share of random actions, which are allowed ones.
        banned: an action that it may not choose, unless it is the only allowed one.
        allowed: which actions (a,) the environment allows; None if it has no mask.
    """
    spec, noise, pick = agent.spec, random.random(len(scores)), random.random(2)
    if spec.action_bounds is not None:
        low, high = np.array(spec.action_bounds, np.float64).T
        values = low + (high - low) * noise if pick[0] < epsilon else np.clip(scores, low, high)
        return tuple(float(value) for value in values)
    scores = scores.astype(np.float64)
    may = np.ones(len(scores), bool) if allowed is None else allowed
    if banned is not None and (may & (np.arange(len(scores)) != banned)).any():
        scores[banned] = -np.inf
    if spec.acts == "sampled":
        return int(np.argmax(scores - np.log(-np.log(np.clip(noise, 1e-12, 1 - 1e-12)))))
    choices = np.flatnonzero(np.isfinite(scores) & may)
    if pick[0] < epsilon and len(choices):
        return int(choices[int(pick[1] * len(choices))])
    return int(np.argmax(scores))
