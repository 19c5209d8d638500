"""The environment in a person's hands: from a state of the run, the person or the agent plays on; variables are changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from weakspot.actions import Action, plain_action
from weakspot.agents.base import Agent, AgentOutput, choose
from weakspot.agents.recurrent import is_recurrent, takes_entries
from weakspot.artifacts.arrays import Array
from weakspot.artifacts.kept import Edit
from weakspot.envs.base import Step
from weakspot.envs.editable import Variable
from weakspot.envs.plays import go_back, set_mark
from weakspot.errors import ConfigError, EditError, WeakspotError
from weakspot.explore.states import Place
from weakspot.ground.hidden import hidden_at
from weakspot.ground.play import Player
from weakspot.types import Hidden

LONGEST = 3_000
"""Decisions of a clip that is kept; of longer games the last ones are kept."""


@dataclass(frozen=True)
class Shot:
    """A moment of a game.

    Attributes:
        stack: the state (k, h, w, c).
        output: the agent's output there.
        action: what the agent would do.
        decision: number of decisions since the start.
        reward: of the last decision.
        total: of all rewards since the start.
        ended: why the game is over, or an empty text.
    """

    stack: Array
    output: AgentOutput
    action: Action
    decision: int
    reward: float
    total: float
    ended: str


@dataclass(frozen=True)
class EditView:
    """What a change does: the state after the same decisions without it and with it."""

    without: Shot
    edited: Shot


@dataclass(frozen=True)
class _Moment:
    """Everything that is needed to return to a moment of a game."""

    mark: Any
    stack: tuple[Array, ...]
    step: Step
    hidden: Hidden | None
    actions: int
    total: float
    edits: int


class Game:
    """A game from a state of the run.

    Args:
        player: an environment that nobody else uses.
        agent: whose outputs are shown, and who plays on if asked.  A recurrent agent sees all decisions, whoever takes them.
        place: where the game starts.

    Raises:
        ConfigError: no route to the state is known.
        SnapshotError: the environment draws other frames than before.
    """

    def __init__(self, player: Player, agent: Agent, place: Place) -> None:
        if place.route is None:
            raise ConfigError(
                f"there is no way to the {place.label} in the environment",
                expected="a twin, a recorded state, or the state of a weakness",
                todo="choose one of these; a synthesised state has none itself, but its twin has",
            )
        self._player, self._agent, self.place = player, agent, place
        hidden = hidden_at(player, agent, place.route)
        self._hidden = None if hidden is None else torch.as_tensor(hidden)[None].to(agent.device)
        self._step = player.follow(place.route, place.stack, place.label)
        self._stack = deque(place.stack, maxlen=len(place.stack))
        self._noise = torch.Generator().manual_seed(0)
        self._total = 0.0
        self._undo: _Moment | None = None
        self.actions: list[Action] = []
        """Taken so far."""
        self.edits: list[Edit] = []
        """Variables that were changed so far."""
        self.frames: deque[Array] = deque(list(place.stack[-1:]), maxlen=LONGEST)
        """Of the start, and after each decision."""

    @property
    def variables(self) -> tuple[tuple[Variable, float], ...]:
        """The variables of the environment with their values; empty if it cannot be edited."""
        editable = self._player.editable
        return () if editable is None else tuple(zip(editable.variables, editable.read_variables().tolist(), strict=True))

    def shot(self) -> Shot:
        """The current moment."""
        output, _ = self._look()
        action = choose(output, self._agent.spec, self._noise)[0]
        plain = int(action) if action.ndim == 0 else tuple(float(value) for value in action)
        step = self._step
        ended = "the game is over" if step.terminated else "the time is up" if step.truncated else ""
        if ended and step.cause:
            ended = f"{ended}: {step.cause}"
        return Shot(np.stack(self._stack), output, plain, len(self.actions), step.reward, self._total, ended)

    def step(self, action: Action | None) -> Shot:
        """Takes a decision; None takes the agent's.

        Raises:
            ConfigError: the game is over, or there is no such action.
        """
        if self._step.terminated or self._step.truncated:
            raise ConfigError("the game is over", expected="a game that goes on", todo="start again from a state")
        chosen = self.shot().action if action is None else action
        if action is not None and not self._player.environment.spec.allows(self._step.entries, action):
            raise ConfigError(
                "the environment forbids this action now", expected="another one", todo="choose another action"
            )
        self._undo = None
        self._take(chosen)
        return self.shot()

    def edit(self, changes: Mapping[int, float]) -> EditView:
        """Changes variables and plays as many decisions as a state has frames, as the agent would have without the change.

        The game goes on from the changed state; :meth:`undo` takes the change back.

        Raises:
            EditError: the environment cannot be edited, or refuses the change.
            ConfigError: the game is over.
        """
        editable = self._player.editable
        if editable is None:
            raise EditError("this environment has no variables that can be changed", expected="an editable environment")
        if self._step.terminated or self._step.truncated:
            raise ConfigError("the game is over", expected="a game that goes on", todo="start again from a state")
        before = self._moment()
        edit = Edit(len(self.actions), dict(changes), tuple(_names(editable.variables, changes)))
        without, actions = self._unedited(before)
        try:
            editable.write_variables(changes)
            for action in actions:
                self._take(action)
                if self._step.terminated or self._step.truncated:
                    break
        except WeakspotError:
            self._return(before)
            raise
        except Exception as error:  # environments may fail in states that play does not lead to
            self._return(before)
            raise EditError(f"the environment fails after this change: {error}", expected="a possible state") from error
        self.edits.append(edit)
        self._undo = before
        return EditView(without, self.shot())

    def undo(self) -> Shot:
        """Takes the last change back; raises :class:`ConfigError` if decisions were taken since."""
        if self._undo is None:
            raise ConfigError("there is no change that can be taken back", expected="a change just before")
        self._return(self._undo)
        self._undo = None
        return self.shot()

    def close(self) -> None:
        """Frees the environment."""
        self._player.environment.close()

    def _unedited(self, before: _Moment) -> tuple[Shot, list[Action]]:
        """What happens without a change, and the agent's actions; the game is then as before."""
        actions: list[Action] = []
        for _ in range(len(self._stack)):
            action = self.shot().action
            actions.append(action)
            self._take(action)
            if self._step.terminated or self._step.truncated:
                break
        shot = self.shot()
        self._return(before)
        return shot, actions

    def _look(self) -> tuple[AgentOutput, Hidden | None]:
        """The agent's output in the current state, and its hidden state in the next one if it has one."""
        observation = torch.as_tensor(self._step.observation[None]).to(self._agent.device, torch.float32)
        with torch.no_grad():
            if self._hidden is None or not is_recurrent(self._agent):
                return self._agent(observation), None
            if takes_entries(self._agent):
                self._hidden = torch.as_tensor(self._step.entries)[None].to(self._hidden)
            return self._agent.advance(observation, self._hidden)

    def _take(self, action: Action) -> None:
        following = self._hidden if self._hidden is None else self._look()[1]
        self._step = self._player.environment.step(action)
        self._hidden = following
        self.actions.append(plain_action(action))
        self.frames.append(self._step.frame)
        self._stack.append(self._step.frame)
        self._total += self._step.reward

    def _moment(self) -> _Moment:
        mark = set_mark(self._player.environment)
        return _Moment(mark, tuple(self._stack), self._step, self._hidden, len(self.actions), self._total, len(self.edits))

    def _return(self, moment: _Moment) -> None:
        go_back(self._player.environment, moment.mark)
        for _ in range(len(self.actions) - moment.actions):
            self.frames.pop()
        del self.actions[moment.actions :], self.edits[moment.edits :]
        self._stack.extend(moment.stack)
        self._step, self._hidden, self._total = moment.step, moment.hidden, moment.total


def _names(variables: tuple[Variable, ...], changes: Mapping[int, float]) -> list[str]:
    """The names of the variables that are changed; those that do not exist are refused later."""
    return [variables[position].name for position in sorted(changes) if 0 <= position < len(variables)]
