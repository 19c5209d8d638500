"""Compares the weaknesses of two agents of one environment, such as two checkpoints of a training.

Both agents play from the same states: those of the weaknesses of either run.  A weakness of the first run is gone if the
second agent loses less often from its states (Fisher exact test, p below 0.05 over the number of weaknesses), and not
mostly; a weakness of the second run is new if the first agent does; all others are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Literal, TypeAlias

from weakspot.agents.base import Agent
from weakspot.artifacts.run import Run
from weakspot.artifacts.weaknesses import Rate, Weakness
from weakspot.confirm import verdicts
from weakspot.confirm.losing import JUDGED
from weakspot.confirm.losses import rule_for
from weakspot.confirm.rollouts import Job, Roller
from weakspot.confirm.seeds import Seeds
from weakspot.confirm.statistics import fisher, rate_of
from weakspot.errors import ConfigError
from weakspot.ground.hidden import hidden_at
from weakspot.ground.play import Route
from weakspot.opened import open_run
from weakspot.session import Session

Status: TypeAlias = Literal["gone", "kept", "new"]
ROLLOUTS = 8
"""Rollouts of each agent from each state."""


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
        ConfigError: a run has no confirmation, or the environments differ.
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
        weaknesses = _all_compared((first, second), sessions, Seeds(seed), report)
    return Comparison((first.agent.name, second.agent.name), weaknesses)


def _all_compared(
    runs: tuple[Run, Run], sessions: list[Session], seeds: Seeds, report: Callable[[int, int], None]
) -> tuple[Compared, ...]:
    agents = [session.subject.agent for session in sessions]
    work = [
        (number, session, weakness)
        for number, (run, session) in enumerate(zip(runs, sessions, strict=True))
        for weakness in run.weaknesses
        if weakness.verdict == "avoidable loss"
    ]
    compared: list[Compared] = []
    for number, session, weakness in work:
        compared.append(_compared(number, session, weakness, agents, seeds, len(work)))
        report(len(compared), len(work))
    return tuple(compared)


def _compared(number: int, session: Session, weakness: Weakness, agents: list[Agent], seeds: Seeds, total: int) -> Compared:
    rates = [_rate(session, weakness, agent, seeds) for agent in agents]
    own, other = rates[number], rates[1 - number]
    p = fisher(own, other)
    better = other.share < own.share and other.share < verdicts.LOSES and p < verdicts.LEVEL / total
    status: Status = ("gone", "new")[number] if better else "kept"
    return Compared(status, weakness.sentence, number + 1, rates[0], rates[1], p)


def _rate(session: Session, weakness: Weakness, agent: Agent, seeds: Seeds) -> Rate:
    """The losses of an agent from the states of a weakness."""
    rule, confirmation = rule_for(session.dataset, None), session.config.confirm
    epsilon = confirmation.epsilon if agent.spec.acts == "greedy" else 0.0
    roller = Roller(session.pool, [agent], epsilon, rule.is_loss)
    routes = [Route(state.start, state.changes, state.actions) for state in weakness.states[:JUDGED]]
    snapshots = [session.player.snapshot_of(route) for route in routes]
    hidden = [hidden_at(session.player, agent, route) for route in routes]
    pairs = [pair for pair in zip(snapshots, hidden, strict=True) for _ in range(ROLLOUTS)]
    jobs = [Job(snapshot, seeds.next(), confirmation.horizon, hidden=hidden) for snapshot, hidden in pairs]
    made = roller.run(jobs, until_loss=True)
    return rate_of([made[i : i + ROLLOUTS] for i in range(0, len(made), ROLLOUTS)])
