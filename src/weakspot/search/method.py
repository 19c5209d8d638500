"""What every way to find states for a target has in common, so that any comparison takes any of them.

A :class:`Method` is given :class:`Sources` (the agent, its rollouts, a state model) and a target, and gives back states with
the agent's answers, best first or in the order it found them, and what that cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.data.dataset import StateDataset, as_state
from weakspot.errors import ConfigError
from weakspot.state_model.model import StateModel
from weakspot.targets.base import Target
from weakspot.types import PerState, State

BATCH = 64
BACKWARD = 2
"""Forward passes that a backward one counts as."""


@dataclass(frozen=True, eq=False)
class Sources:
    """What methods may work with.

    Attributes:
        perceive: A(s).
        dataset: the agent's rollouts.
        indices: the states of the rollouts that may be used; whole ones.
        answers: what the agent answered to these.
        model: g, in the space where the data's codes are N(0, I).
    """

    perceive: Perceiver
    dataset: StateDataset
    indices: np.ndarray
    answers: AgentOutput
    model: StateModel


@dataclass(frozen=True)
class Cost:
    """Passes through networks, a backward one counted as two forward ones.

    Attributes:
        model: through encoder or decoder (with the flow), one state each.
        agent: through the agent.
    """

    model: int = 0
    agent: int = 0


@dataclass(frozen=True)
class Found:
    """The states that a method found for a target, one row each.

    Attributes:
        state: (n, kc, h, w) in [0, 1].
        output: the agent's answers to them.
        target: T(A(s)) of each.
        cost: what finding all of them took.
        index: their numbers in the data set (n,), where they are states of the rollouts; None where they are made.
    """

    state: State
    output: AgentOutput
    target: PerState
    cost: Cost
    index: np.ndarray | None = None


class Method(Protocol):
    """A way to find states for a target."""

    @property
    def name(self) -> str:
        """For tables and figures."""
        ...

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """Finds ``count`` states; the same seed gives the same states.

        Raises:
            TargetError: the target is not finite, or cannot be descended on.
            ConfigError: there are fewer states than are wanted.
        """
        ...


def answered(perceive: Perceiver, states: State) -> AgentOutput:
    """The agent's answers to any number of states, in batches, without gradients."""
    with torch.no_grad():
        return concat_outputs([perceive(part.to(perceive.agent.device)) for part in states.split(BATCH)])


def of_rollouts(sources: Sources, chosen: np.ndarray, target: Target) -> Found:
    """States of the rollouts, by their numbers in ``sources.indices``, as they were stored; asks the agent nothing anew."""
    index = sources.indices[chosen]
    output = sources.answers.rows(torch.from_numpy(chosen))
    return Found(as_state(sources.dataset.stacks(index)), output, target(output), Cost(), index)


def select_spaced(ranked: np.ndarray, stream: np.ndarray, time: np.ndarray, count: int, gap: int) -> np.ndarray:
    """The first ``count`` of ``ranked`` that are at least ``gap`` decisions from each other, where they are of one stream.

    Args:
        ranked: numbers of states, best first.
        stream, time: of all states.
        count: how many are wanted; fewer are given back where there are no more.
        gap: decisions.
    """
    chosen: list[int] = []
    taken: dict[int, list[int]] = {}
    for one in ranked.tolist():
        others = taken.setdefault(int(stream[one]), [])
        if all(abs(int(time[one]) - other) >= gap for other in others):
            others.append(int(time[one]))
            chosen.append(one)
        if len(chosen) == count:
            break
    return np.array(chosen, dtype=np.int64)


def enough(chosen: np.ndarray, count: int, what: str) -> np.ndarray:
    """The same numbers, if there are ``count`` of them; raises :class:`ConfigError` otherwise."""
    if len(chosen) < count:
        raise ConfigError(
            f"{len(chosen)} states {what}", expected=f"{count}", todo="ask for fewer states, or collect more frames"
        )
    return chosen
