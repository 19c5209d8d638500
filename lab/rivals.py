"""Other ways to choose the states that rollouts start from, for comparisons of what confirmation finds with each.

Every method chooses :data:`CHOSEN` states; the same number of random recorded states is the baseline of all of them.

    low values            recorded states of which the agent expects least
    HIGHLIGHTS            recorded states in which the choice of the action matters most (Amir and Amir 2018)
    random testing        perturbed play that ends in a loss
    MDPFuzz               the same, guided by rewards and by the coverage of states (Pang et al. 2022)
    MDPFuzz, no coverage  its ablation, guided by rewards alone (Mazouni et al. 2025)

The last three are those of the package ``mdpfuzz``.  Their inputs are a recorded state and :data:`PERTURBED` actions that
are taken before the agent acts; a test that ends in a loss within :data:`PLAYED` decisions is a crash, and rollouts start
:data:`BEFORE` decisions before the loss.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from weakspot.agents.base import Agent
from weakspot.analysis.expectation import value_of
from weakspot.confirm.losses import LossRule, rule_for
from weakspot.confirm.starts import Start, start_at
from weakspot.data.dataset import recorded_outputs
from weakspot.envs.random_actions import random_action
from weakspot.errors import ConfigError
from weakspot.ground.play import Player, Route
from weakspot.ground.reach import agent_actions
from weakspot.search.highlights import INTERVAL, importance, summary
from weakspot.search.method import select_spaced
from weakspot.search.retrieval import GAP
from weakspot.session import Session

CHOSEN = 56
PERTURBED, PLAYED, BEFORE = 8, 120, 25
TESTS, POOL = 400, 60
"""Tests of a fuzzer, and those that fill its pool at first."""
CLUSTERS, TAU, GAMMA = 10, 0.01, 0.01
"""k, tau and gamma of MDPFuzz's coverage."""
DIMENSIONS = 12
"""Principal components of the variables that coverage is measured in."""
MOVED, REPLACED = 40, 0.3
"""Largest change of a recorded state's place among all in a mutation, and the probability that it replaces an action."""


def low_values(session: Session, seed: int) -> list[Start]:
    """Recorded states of which the agent expects least, some decisions apart."""
    dataset, usable = session.dataset, usable_states(session)
    values = value_of(recorded_outputs(dataset, usable), session.subject.agent.spec)
    if values is None:
        raise ConfigError(f"{session.subject.agent.spec.name} has no values", expected="a critic or Q-values")
    ranked = usable[np.argsort(values, kind="stable")]
    return _recorded(session, select_spaced(ranked, dataset.stream, dataset.time, CHOSEN, GAP), "low value")


def highlights(session: Session, seed: int) -> list[Start]:
    """The summary of HIGHLIGHTS."""
    dataset, usable = session.dataset, usable_states(session)
    important = importance(recorded_outputs(dataset, usable).scores.numpy())
    chosen = summary(
        important, dataset.stream[usable], CHOSEN, INTERVAL,
        lambda held, _: int(np.argmin(important[held])),
    )  # fmt: skip
    return _recorded(session, usable[np.sort(chosen)], "highlight")


def random_testing(session: Session, seed: int) -> list[Start]:
    """Crashes of random tests."""

    def fuzz(fuzzer: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:  # it always writes logs
            fuzzer.random_testing(n=TESTS, path=str(Path(folder) / "random"))

    return _crashes(session, seed, fuzz)


def mdpfuzz(session: Session, seed: int) -> list[Start]:
    """Crashes that MDPFuzz finds."""
    return _crashes(session, seed, lambda fuzzer: fuzzer.fuzzing(n=POOL, test_budget=TESTS))


def mdpfuzz_without_coverage(session: Session, seed: int) -> list[Start]:
    """Crashes that MDPFuzz finds without its coverage."""
    return _crashes(session, seed, lambda fuzzer: fuzzer.fuzzing_no_coverage(n=POOL, test_budget=TESTS))


RIVALS: Mapping[str, Callable[[Session, int], list[Start]]] = {
    "low values": low_values,
    "HIGHLIGHTS": highlights,
    "random testing": random_testing,
    "MDPFuzz": mdpfuzz,
    "MDPFuzz, no coverage": mdpfuzz_without_coverage,
}
"""What chooses the states, by the name of the method."""


def usable_states(session: Session) -> np.ndarray:
    """Indices of the recorded states with complete histories."""
    dataset = session.dataset
    return np.flatnonzero(dataset.age >= dataset.environment.frames)


def _recorded(session: Session, chosen: np.ndarray, name: str) -> list[Start]:
    stacks = session.dataset.stacks(chosen)
    return [
        start_at(session.player, session.subject.agent, Route(int(index)), stack, f"{name} {number}")
        for number, (index, stack) in enumerate(zip(chosen, stacks, strict=True), start=1)
    ]


def _crashes(session: Session, seed: int, fuzz: Callable[[Any], None]) -> list[Start]:
    """The states before the losses of the first crashes of a fuzzer, evenly spread over the crashes in their order."""
    try:
        fuzzing = importlib.import_module("mdpfuzz.mdpfuzz")
    except ImportError as error:
        raise ConfigError("no package mdpfuzz", expected="mdpfuzz 0.0.3", todo="pip install mdpfuzz==0.0.3") from error
    executor = Executor(session.player, session.subject.agent, rule_for(session.dataset, None), usable_states(session))
    fuzzer = fuzzing.Fuzzer(seed, CLUSTERS, TAU, GAMMA, executor)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        fuzz(fuzzer)
    crashes = executor.crashes
    spread = np.linspace(0, len(crashes) - 1, min(CHOSEN, len(crashes)))
    chosen: list[int] = np.unique(spread.astype(int)).tolist() if crashes else []
    player, agent = session.player, session.subject.agent
    return [start_at(player, agent, crashes[place].route, crashes[place].stack, f"crash {place + 1}") for place in chosen]


@dataclass(frozen=True)
class Crash:
    """A state some decisions before a loss, and the route that makes it."""

    route: Route
    stack: np.ndarray


def _no_crashes() -> list[Crash]:
    return []


@dataclass
class Executor:
    """Runs the tests of a fuzzer; an input is the position of a recorded state and actions (1 + p,).

    Attributes:
        player, agent, rule: what plays, and what a loss is.
        usable: indices of the recorded states.
        crashes: found so far.
        sim_steps, env_seed: read by the fuzzer.
    """

    player: Player
    agent: Agent
    rule: LossRule
    usable: np.ndarray
    crashes: list[Crash] = field(default_factory=_no_crashes)
    sim_steps: int = PLAYED
    env_seed: int = 0

    def __post_init__(self) -> None:
        if self.agent.spec.continuous:
            raise ConfigError(f"{self.agent.spec.name} acts with numbers", expected="an agent with discrete actions")
        if self.player.editable is None:
            raise ConfigError("an environment without variables", expected="one whose state can be edited")
        chosen = np.unique(np.linspace(0, len(self.usable) - 1, 200).astype(int))
        rows = np.stack([self._variables(int(index)) for index in self.usable[chosen]])
        self._mean, self._spread = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        self._axes = np.linalg.svd((rows - self._mean) / self._spread, full_matrices=False)[2][:DIMENSIONS]

    def generate_input(self, rng: np.random.Generator) -> np.ndarray:
        """A random input."""
        actions = [random_action(self.agent.spec, rng) for _ in range(PERTURBED)]
        return np.array([int(rng.integers(len(self.usable))), *actions])

    def generate_inputs(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Several random inputs."""
        return np.stack([self.generate_input(rng) for _ in range(n)])

    def mutate(self, input: np.ndarray, rng: np.random.Generator, **words: object) -> np.ndarray:
        """An input near another one, but not the same: the fuzzer divides by their distance."""
        moved = int(rng.integers(1, MOVED + 1)) * int(rng.choice([-1, 1]))
        place = (int(input[0]) + moved) % len(self.usable)
        kept = rng.random(PERTURBED) >= REPLACED
        fresh = self.generate_input(rng)[1:]
        return np.array([place, *np.where(kept, input[1:], fresh)])

    def load_policy(self, **words: object) -> None:
        """Nothing: the agent is loaded."""

    def execute_policy(self, input: np.ndarray, policy: object) -> tuple[float, bool, np.ndarray, float]:
        """The sum of rewards, whether there was a loss, the states (t, d), and no time."""
        index, player = int(self.usable[int(input[0])]), self.player
        step = player.environment.restore(player.place(index))
        act = agent_actions(self.agent, np.random.default_rng(0))
        frames = list(player.dataset.stacks(np.array([index]))[0])
        history, taken, total, lost = len(frames), [], 0.0, False
        states = [self._point()]
        while len(taken) < PERTURBED + PLAYED and not lost:
            planned = len(taken) < PERTURBED
            action = int(input[1 + len(taken)]) if planned else act(step)
            play = player.take([action])
            step = play.last
            taken.append(action)
            frames.append(step.frame)
            states.append(self._point())
            total += step.reward
            lost = self.rule.is_loss(step.reward, step.life_lost, step.terminated)
            if play.ended:
                break
        if lost:
            length = max(0, len(taken) - BEFORE)
            stack = np.stack(frames[length : length + history])
            self.crashes.append(Crash(Route(index, {}, tuple(taken[:length])), stack))
        return total, lost, np.stack(states), 0.0

    def _point(self) -> np.ndarray:
        assert self.player.editable is not None
        return (self.player.editable.read_variables() - self._mean) / self._spread @ self._axes.T

    def _variables(self, index: int) -> np.ndarray:
        assert self.player.editable is not None
        self.player.environment.restore(self.player.place(index))
        return self.player.editable.read_variables()
