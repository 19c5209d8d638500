"""The states that rollouts start from: twins, and recorded states drawn at random as controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.agents.base import Agent
from weakspot.artifacts.twins import Twins
from weakspot.data.dataset import StateDataset
from weakspot.errors import SnapshotError
from weakspot.ground.hidden import hidden_at
from weakspot.ground.likeness import Likeness, Views
from weakspot.ground.play import Player, Route, route_to_twin

REPLAYED, PLAYED = 6, 8
"""Recorded states whose recorded actions are played again before any rollout, and the number of actions."""


@dataclass(frozen=True)
class WhatIf:
    """What was changed in a recorded state.

    Attributes:
        kind: of the variables that were changed, such as ``person``.
        positions: of these variables.
        words: their changes, such as ``person 3 speed: 1.2 to 2``.
    """

    kind: str
    positions: tuple[int, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """A state that rollouts start from.

    Attributes:
        source: symbol of the target and number of the synthesised state, such as ``T- 3``, or other words for where it comes
            from; empty for recorded states that were drawn at random.
        target: symbol of the target; empty for all but twins.
        route: that makes it.
        snapshot: of the environment there.
        stack: (k, h, w, c) uint8.
        variables: of the environment there (v,); None if it cannot be edited.
        hidden: hidden state of the agent there (m,); None for agents without one.
        what_if: what was changed in a recorded state; None for all but what-ifs.
    """

    source: str
    target: str
    route: Route
    snapshot: bytes
    stack: np.ndarray
    variables: np.ndarray | None
    hidden: np.ndarray | None = None
    what_if: WhatIf | None = None

    @property
    def is_control(self) -> bool:
        """Whether it is a recorded state that was drawn at random."""
        return not self.source


def twin_starts(player: Player, agent: Agent, twins: Mapping[str, Twins]) -> list[Start]:
    """The accepted twins of all targets."""
    starts: list[Start] = []
    for symbol, found in twins.items():
        for twin, stack in zip(found.search.twins, found.states, strict=True):
            if twin.accepted:
                starts.append(start_at(player, agent, route_to_twin(twin), stack, f"{symbol} {twin.number + 1}", symbol))
    return starts


def control_starts(player: Player, agent: Agent, count: int, generator: np.random.Generator) -> list[Start]:
    """Recorded states with complete histories, drawn at random, in the order of their indices."""
    dataset = player.dataset
    usable = np.flatnonzero(dataset.age >= dataset.environment.frames)
    chosen = np.sort(generator.choice(usable, min(count, len(usable)), replace=False))
    stacks = dataset.stacks(chosen)
    return [start_at(player, agent, Route(int(index)), stack) for index, stack in zip(chosen, stacks, strict=True)]


def start_at(
    player: Player, agent: Agent, route: Route, stack: np.ndarray, source: str = "", target: str = "",
    what_if: WhatIf | None = None,
) -> Start:  # fmt: skip
    """The state that a route leads to.

    Args:
        player: of the environment.
        agent: whose hidden state there is a part of it, if it has one.
        route: that makes the state.
        stack: its frames (k, h, w, c), which have to be drawn again.
        source, target, what_if: see :class:`Start`.

    Raises:
        SnapshotError: the route leads to other frames.
    """
    hidden = hidden_at(player, agent, route)
    player.follow(route, stack, f"state {source}")
    values = player.editable.read_variables() if player.editable else None
    return Start(source, target, route, player.environment.snapshot(), stack, values, hidden, what_if)


def unchanged(player: Player, agent: Agent, start: Start) -> Start:
    """The state of a what-if without the change."""
    index = start.route.start + len(start.route.actions)
    return start_at(player, agent, Route(index), player.dataset.stacks(np.array([index]))[0])


def check_replay(player: Player, generator: np.random.Generator) -> None:
    """Plays recorded actions again from some recorded states, and compares the frames bit for bit.

    Raises:
        SnapshotError: a frame differs: results of rollouts could not be repeated.
    """
    dataset: StateDataset = player.dataset
    last = len(dataset) - PLAYED - 1
    chosen: list[int] = np.sort(generator.choice(max(last, 1), min(REPLAYED, max(last, 1)), replace=False)).tolist()
    for index in chosen:
        same_stream = index // dataset.steps == (index + PLAYED) // dataset.steps
        over = dataset.terminated[index : index + PLAYED] | dataset.truncated[index : index + PLAYED]
        if not same_stream or over.any():
            continue
        player.environment.restore(player.place(index))
        play = player.take(player.recorded_actions(index, PLAYED))
        recorded = dataset.newest(np.arange(index + 1, index + 1 + PLAYED))
        if not np.array_equal(play.frames, recorded):
            raise SnapshotError(
                f"the recorded actions from state {index} lead to other frames than the recorded ones",
                expected="the same frames bit for bit",
                todo="check that snapshots contain all random numbers of the environment, and collect the states again",
            )


def views_of(likeness: Likeness, starts: Sequence[Start]) -> Views:
    """What is compared of the states."""
    return likeness.views(np.stack([start.stack for start in starts]))
