"""The interface of all methods that find states for a target, so that any comparison takes any of them.

A :class:`Method` gets :class:`Sources` (the agent, its rollouts, a state model) and a target, and returns states with the
agent's outputs, best first or in the order it found them, and what they cost.  :data:`weakspot.search.registry.METHODS`
names all methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from weakspot.agents.base import AgentOutput, Perceiver, concat_outputs
from weakspot.data.dataset import StateDataset, as_state
from weakspot.errors import ConfigError
from weakspot.state_model.model import StateModel
from weakspot.targets.base import Target
from weakspot.types import PerState, Stacks, State

BATCH = 64
"""States evaluated at once."""
BACKWARD = 2
"""Forward passes that a backward pass counts as."""


@runtime_checkable
class EditSearch(Protocol):
    """Searches for states of the environment by changing variables of recorded states.

    Attributes:
        starts: indices of the recorded states that can be changed, sorted (m,).
        steps: decisions played so far.
    """

    @property
    def starts(self) -> np.ndarray: ...

    @property
    def steps(self) -> int: ...

    def __call__(
        self, start: int, score: Callable[[Stacks], np.ndarray], trials: int, generator: np.random.Generator
    ) -> np.ndarray | None:
        """The state with the lowest score that the environment draws after changes of the recorded state ``start``.

        Args:
            start: index of the recorded state.
            score: of stacks (n, k, h, w, c).
            trials: sets of changes, and of actions after them, that are tried.
            generator: of all choices.

        Returns:
            The state (k, h, w, c); None if no possible state was found.
        """
        ...


@dataclass(frozen=True, eq=False)
class Sources:
    """The inputs of a method.

    Attributes:
        perceive: A(s).
        dataset: the agent's rollouts.
        indices: the states of the rollouts that may be used, all with complete frame stacks (m,).
        outputs: the agent's recorded outputs at these states.
        model: g, which maps N(0, I) to states.
        edits: searches among changed states of the environment; None if there is no environment, or if it cannot be edited.
    """

    perceive: Perceiver
    dataset: StateDataset
    indices: np.ndarray
    outputs: AgentOutput
    model: StateModel
    edits: EditSearch | None = None


@dataclass(frozen=True)
class Cost:
    """Number of passes through networks, one state each; a backward pass counts as two forward passes.

    Attributes:
        model: through the encoder or the decoder (including the flow).
        agent: through the agent.
        environment: decisions played in the environment.
    """

    model: int = 0
    agent: int = 0
    environment: int = 0


@dataclass(frozen=True)
class SearchResult:
    """The states that a method found for a target, one row each.

    Attributes:
        state: (n, kc, h, w) in [0, 1].
        output: the agent's outputs at these states.
        target: T(A(s)) of each state (n,).
        cost: of finding all of them.
        index: their indices in the data set (n,) if they are recorded states; None if they are synthesised.
    """

    state: State
    output: AgentOutput
    target: PerState
    cost: Cost
    index: np.ndarray | None = None


@runtime_checkable
class Method(Protocol):
    """A way to find states for a target."""

    @property
    def name(self) -> str:
        """Label for tables and figures."""
        ...

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """Finds ``count`` states; the same seed gives the same states.

        Args:
            sources: the agent, its rollouts and a state model.
            target: what to search for; smaller values are better.
            count: number of states.
            seed: of all random numbers; methods without any ignore it.

        Raises:
            TargetError: the target is not finite, or has no usable gradient.
            ConfigError: fewer than ``count`` states can be found.
        """
        ...


def perceive_batched(perceive: Perceiver, states: State) -> AgentOutput:
    """The agent's outputs at any number of states, computed in batches and without gradients."""
    with torch.no_grad():
        return concat_outputs([perceive(part.to(perceive.agent.device)) for part in torch.split(states, BATCH)])


def recorded_states(sources: Sources, chosen: np.ndarray, target: Target) -> SearchResult:
    """Recorded states with the agent's recorded outputs; evaluates no network.

    Args:
        sources: the rollouts.
        chosen: positions in ``sources.indices`` (n,).
        target: evaluated at the recorded outputs.
    """
    index = sources.indices[chosen]
    output = sources.outputs.rows(torch.as_tensor(chosen))
    return SearchResult(as_state(sources.dataset.stacks(index)), output, target(output), Cost(), index)


def select_spaced(ranked: np.ndarray, stream: np.ndarray, time: np.ndarray, count: int, gap: int) -> np.ndarray:
    """The first ``count`` states of ``ranked`` that are at least ``gap`` decisions apart within each stream.

    Args:
        ranked: indices of states, best first.
        stream, time: stream and decision number of all states.
        count: number of states to select; fewer are returned if there are not enough.
        gap: minimum distance in decisions.
    """
    chosen: list[int] = []
    chosen_times: dict[int, list[int]] = {}
    for index in ranked.tolist():
        others = chosen_times.setdefault(int(stream[index]), [])
        if all(abs(int(time[index]) - other) >= gap for other in others):
            others.append(int(time[index]))
            chosen.append(index)
        if len(chosen) == count:
            break
    return np.array(chosen, dtype=np.int64)


def require_count(chosen: np.ndarray, count: int, what: str) -> np.ndarray:
    """Returns ``chosen``, or raises :class:`ConfigError` if it has fewer than ``count`` entries; ``what`` qualifies them."""
    if len(chosen) < count:
        raise ConfigError(
            f"{len(chosen)} states {what}", expected=f"{count}", todo="ask for fewer states, or collect more frames"
        )
    return chosen
