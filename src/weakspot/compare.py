"""Compares the weaknesses of two agents of one environment, such as two checkpoints of a training.

Both agents play from the same states: those of the weaknesses of either run.  A weakness of the first run is gone if the
second agent loses less often from its states (Fisher exact test, p below 0.05 over the number of weaknesses), and not
mostly; a weakness of the second run is new if the first agent does; all others are kept.

Where a loss is a low return or a low outcome of the user's function, the threshold is measured on rollouts of the agent that
has the weakness, from recorded states of its own run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from weakspot.agents.base import Agent
from weakspot.artifacts.run import Run
from weakspot.artifacts.weaknesses import Rate, Weakness
from weakspot.confirm import verdicts
from weakspot.confirm.inputs import outcome_function
from weakspot.confirm.losing import JUDGED
from weakspot.confirm.losses import LossRule, rule_for
from weakspot.confirm.rollouts import Job, Roller, Rollout, epsilon_of
from weakspot.confirm.seeds import Seeds
from weakspot.confirm.starts import control_starts
from weakspot.confirm.statistics import fisher, rate_of
from weakspot.errors import ConfigError
from weakspot.ground.hidden import hidden_at
from weakspot.ground.play import route_to
from weakspot.opened import open_run
from weakspot.session import Session

Status: TypeAlias = Literal["gone", "kept", "new"]
ROLLOUTS = 8
"""Rollouts of each agent from each state."""
CONTROLS = 40
"""Recorded states on whose rollouts the threshold of a low return is measured."""


@dataclass(frozen=True)
class Compared:
    """One weakness.

    Attributes:
        status: gone or kept, for a weakness of the first run; new or kept, for one of the second.
        sentence: the weakness in words.
        run: 1 or 2, the run that found it.
        first, second: losses in rollouts of the two agents from the same states.
        p: of Fisher's exact test.
    """

    status: Status
    sentence: str
    run: int
    first: Rate
    second: Rate
    p: float


@dataclass(frozen=True)
class Comparison:
    """The weaknesses of two runs, and the names of their agents."""

    agents: tuple[str, str]
    weaknesses: tuple[Compared, ...]

    @property
    def counts(self) -> dict[Status, int]:
        """The number of weaknesses of each status."""
        counts = Counter(compared.status for compared in self.weaknesses)
        return {"gone": counts["gone"], "kept": counts["kept"], "new": counts["new"]}


def compare(
    first: Run, second: Run, *, seed: int = 0, trust: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:  # fmt: skip
    """Compares the avoidable losses of two runs.

    Args:
        first, second: with confirmations, of agents of the same environment.
        seed: of the rollouts.
        trust: allow code in the agents' files to run.
        report: called with the number of compared weaknesses and their total.

    Raises:
        ConfigError: a run has no confirmation, the environments differ, or losses are judged by code that is not trusted.
    """
    for run in (first, second):
        if run.confirmation is None:
            raise ConfigError(
                f"{run.folder} has no confirmation", expected="a run with weaknesses", todo="run `weakspot run` first"
            )
    if first.environment != second.environment:
        raise ConfigError(
            f"{first.folder} is about {first.environment.id}, {second.folder} about {second.environment.id}",
            expected="the same environment with the same preprocessing",
            todo="compare runs of agents of one environment",
        )
    with ExitStack() as stack:
        sessions = [stack.enter_context(closing(open_run(run, trust=trust))) for run in (first, second)]
        for session in sessions:
            _check_outcome(session, trust=trust)
        weaknesses = _all_compared((first, second), sessions, Seeds(seed), report)
    return Comparison((first.agent.name, second.agent.name), weaknesses)


def _check_outcome(session: Session, *, trust: bool) -> None:
    """Raises :class:`ConfigError` if the losses of a run are judged by code that may not be run."""
    outcome = session.config.confirm.outcome
    if outcome is not None and not trust:
        raise ConfigError(
            f"the weaknesses of {session.config.output} were judged by code in {outcome}",
            expected="permission to run it",
            todo="add --trust if you trust that file",
        )


def _all_compared(
    runs: tuple[Run, Run], sessions: list[Session], seeds: Seeds, report: Callable[[int, int], None]
) -> tuple[Compared, ...]:
    agents = [session.subject.agent for session in sessions]
    by_run = [[weakness for weakness in run.weaknesses if weakness.verdict == "avoidable loss"] for run in runs]
    total = sum(map(len, by_run))
    compared: list[Compared] = []
    for number, (session, weaknesses) in enumerate(zip(sessions, by_run, strict=True)):
        if not weaknesses:
            continue
        confirmation = runs[number].confirmation
        assert confirmation is not None
        horizon = confirmation.horizon
        rule = _rule(session, horizon, seeds)
        for weakness in weaknesses:
            rates = [_rate(session, rule, weakness, agent, horizon, seeds) for agent in agents]
            compared.append(_compared(number, weakness, rates, total))
            report(len(compared), total)
    return tuple(compared)


def _compared(number: int, weakness: Weakness, rates: list[Rate], total: int) -> Compared:
    own, other = rates[number], rates[1 - number]
    p = fisher(own, other)
    better = other.share < own.share and other.share < verdicts.LOSES and p < verdicts.LEVEL / total
    status: Status = ("gone", "new")[number] if better else "kept"
    return Compared(status, weakness.sentence, number + 1, rates[0], rates[1], p)


def _rule(session: Session, horizon: int, seeds: Seeds) -> LossRule:
    """What a loss is in a run, with the threshold of its own agent."""
    config, player = session.config.confirm, session.player
    rule = rule_for(session.dataset, outcome_function(config.outcome))
    if rule.measure is None:
        return rule
    agent = session.subject.agent
    controls = control_starts(player, agent, CONTROLS, np.random.default_rng(config.seed))
    pairs = [(start.snapshot, start.hidden) for start in controls]
    return rule.calibrated(_rollouts(session, rule, agent, pairs, config.first, horizon, seeds))


def _rate(session: Session, rule: LossRule, weakness: Weakness, agent: Agent, horizon: int, seeds: Seeds) -> Rate:
    """The losses of an agent from the states of a weakness."""
    routes = [route_to(state) for state in weakness.states[:JUDGED]]
    snapshots = [session.player.snapshot_of(route) for route in routes]
    hidden = [hidden_at(session.player, agent, route) for route in routes]
    pairs = list(zip(snapshots, hidden, strict=True))
    made = rule.judged(_rollouts(session, rule, agent, pairs, ROLLOUTS, horizon, seeds))
    return rate_of([made[i : i + ROLLOUTS] for i in range(0, len(made), ROLLOUTS)])


def _rollouts(
    session: Session,
    rule: LossRule,
    agent: Agent,
    starts: Sequence[tuple[bytes, np.ndarray | None]],
    each: int,
    horizon: int,
    seeds: Seeds,
) -> list[Rollout]:
    """Rollouts of an agent, a few from each snapshot and hidden state, to the first loss if losses are events."""
    config = session.config.confirm
    roller = Roller(session.pool, [agent], epsilon_of(agent, config.epsilon), rule.is_loss)
    pairs = [pair for pair in starts for _ in range(each)]
    jobs = [Job(snapshot, seeds.next(), horizon, hidden=hidden) for snapshot, hidden in pairs]
    return roller.run(jobs, until_loss=rule.measure is None)
