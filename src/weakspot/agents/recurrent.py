"""Agents with a hidden state, such as an LSTM's.

The output of such an agent depends on the observation o_t and on its hidden state h_t, which sums up the episode so far:

    (A_t, h_{t+1}) = f(o_t, h_t),        h_0 at the start of an episode

While the agent plays, :class:`Carried` takes h from each decision to the next.  Where single states are judged, h is held
fixed, see :class:`AtHidden` and :class:`weakspot.agents.base.Perceiver`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, cast

import numpy as np
import torch
from torch import Tensor, nn

from weakspot.agents.base import Agent, AgentOutput, AgentSpec, WrappedAgent
from weakspot.agents.module import checked_observation, output_of
from weakspot.agents.returned import describe
from weakspot.errors import OutputError
from weakspot.types import Hidden, Observation


class RecurrentAgent(Agent, Protocol):
    """An agent with a hidden state; called with an observation alone, it is at the start of an episode."""

    @property
    def hidden_size(self) -> int:
        """m, how many numbers the hidden state of one episode has."""
        ...

    def initial_hidden(self, batch: int) -> Hidden:
        """h_0 (b, m), at the start of an episode."""
        ...

    def advance(self, observation: Observation, hidden: Hidden) -> tuple[AgentOutput, Hidden]:
        """f: maps observations (b, c, h, w) in 0 to 255 and hidden states (b, m) to the output and the next hidden states,
        differentiably."""
        ...


def is_recurrent(agent: Agent) -> TypeGuard[RecurrentAgent]:
    """Whether an agent has a hidden state."""
    return getattr(agent, "hidden_size", 0) > 0


def takes_entries(agent: Agent) -> bool:
    """Whether the hidden state of an agent is what the environment gives beside its image; see
    :mod:`weakspot.agents.entries`."""
    return bool(getattr(agent, "takes_entries", False))


@dataclass(frozen=True)
class RecurrentModuleAgent:
    """A network with a hidden state and fixed weights.

    Attributes:
        module: maps observations (b, c, h, w) and a hidden state to (scores, hidden) or (scores, value, hidden).  Its method
            ``initial_hidden(batch)`` returns the hidden state of episodes that start: a tensor, or a list or tuple of
            tensors, (b, ...) each.
        spec, device: see :class:`~weakspot.agents.module.ModuleAgent`.
    """

    module: nn.Module
    spec: AgentSpec
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False).to(self.device)

    @property
    def hidden_size(self) -> int:
        return self.initial_hidden(1).shape[1]

    def initial_hidden(self, batch: int) -> Hidden:
        return _joined(self._parts(batch))

    def advance(self, observation: Observation, hidden: Hidden) -> tuple[AgentOutput, Hidden]:
        observation = checked_observation(observation, self.spec).to(self.device)
        parts = self._split(hidden.to(self.device), len(observation))
        result: object = cast(Any, self.module)(observation, parts)
        returned: list[Any] = list(cast(Sequence[Any], result)) if isinstance(result, list | tuple) else []
        if len(returned) not in (2, 3):
            raise OutputError(
                f"the network of agent {self.spec.name!r} returned {describe(cast(object, result))} for a hidden state",
                expected="(scores, hidden) or (scores, value, hidden)",
                todo="return the next hidden state as the last part",
            )
        *outputs, following = returned
        joined = _joined(_parts_of(following))
        if joined.shape != hidden.shape:
            raise OutputError(
                f"the next hidden state of agent {self.spec.name!r} is {describe(following)}",
                expected=f"{tuple(hidden.shape)} numbers, as in initial_hidden(batch), with the batch as first dimension",
                todo="exchange the first dimensions if the batch comes second, as in the states of nn.LSTM",
            )
        return output_of(outputs[0] if len(outputs) == 1 else tuple(outputs), self.spec, len(observation)), joined

    def __call__(self, observation: Observation) -> AgentOutput:
        """The output at the start of an episode: A(o; h_0)."""
        return self.advance(observation, self.initial_hidden(len(observation)))[0]

    def _parts(self, batch: int) -> list[Tensor]:
        initial: object = cast(Any, self.module).initial_hidden(batch)
        parts = _parts_of(initial)
        tensors = [part for part in parts if isinstance(part, Tensor)]
        if len(tensors) != len(parts) or any(part.dim() < 2 or len(part) != batch for part in tensors):
            raise OutputError(
                f"initial_hidden({batch}) of agent {self.spec.name!r} returned {describe(initial)}",
                expected="a tensor, or a tuple of tensors, with the batch as first dimension and at least one other",
                todo="exchange the first dimensions if the batch comes second, as in the states of nn.LSTM",
            )
        return [part.to(self.device, torch.float32) for part in tensors]

    def _split(self, hidden: Hidden, batch: int) -> Any:
        """The hidden state in the form in which the module returns it."""
        templates = self._parts(batch)
        sizes = [template[0].numel() for template in templates]
        flat = torch.split(hidden, sizes, dim=1)
        parts = [part.reshape(like.shape) for part, like in zip(flat, templates, strict=True)]
        initial: object = cast(Any, self.module).initial_hidden(batch)
        return tuple(parts) if isinstance(initial, list | tuple) else parts[0]


def _parts_of(hidden: object) -> list[Any]:
    """The parts of a hidden state in the form in which a module returns it."""
    return list(cast(Sequence[Any], hidden)) if isinstance(hidden, list | tuple) else [hidden]


def _joined(parts: Sequence[Tensor]) -> Hidden:
    return torch.cat([part.flatten(1).float() for part in parts], dim=1)


def is_recurrent_module(network: nn.Module) -> bool:
    """Whether a network has the form that :class:`RecurrentModuleAgent` takes."""
    return callable(getattr(network, "initial_hidden", None))


@dataclass(frozen=True)
class AtHidden(WrappedAgent):
    """An agent whose hidden state is held fixed: A(o) = f(o, h).

    Attributes:
        agent: the agent.
        hidden: h (b, m), one for each observation of a batch, or (1, m) for all of them.  No gradient passes through it.
    """

    agent: RecurrentAgent
    hidden: Hidden

    def __call__(self, observation: Observation) -> AgentOutput:
        hidden = self.hidden.detach().expand(len(observation), -1)
        return self.agent.advance(observation, hidden)[0]


class Carried:
    """The hidden states of episodes that are played side by side; does nothing for agents without one.

    Args:
        agent: plays.
        count: E, number of episodes; all are at their start.
    """

    def __init__(self, agent: Agent, count: int) -> None:
        self._agent = agent
        self._hidden = agent.initial_hidden(count) if is_recurrent(agent) else None

    def see(self, entries: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Gives the episodes ``rows``, by default all, what their environments give beside their images (n, v), before
        their next decision; does nothing for agents that see images alone."""
        if self._hidden is not None and takes_entries(self._agent):
            chosen = slice(None) if rows is None else torch.as_tensor(rows, device=self._hidden.device)
            self._hidden = self._hidden.clone()
            self._hidden[chosen] = torch.as_tensor(np.array(entries)).to(self._hidden)

    def act(self, observation: Observation, rows: np.ndarray | None = None) -> AgentOutput:
        """The output for observations (n, c, h, w) of the episodes ``rows`` (n,), by default all; advances their states."""
        if self._hidden is None or not is_recurrent(self._agent):
            return self._agent(observation)
        chosen = slice(None) if rows is None else torch.as_tensor(rows, device=self._hidden.device)
        output, following = self._agent.advance(observation, self._hidden[chosen])
        self._hidden = self._hidden.clone()
        self._hidden[chosen] = following.detach()
        return output

    def restart(self, rows: np.ndarray) -> None:
        """Puts the episodes ``rows``, numbers or a mask (E,), back to their start."""
        if self._hidden is not None and is_recurrent(self._agent):
            chosen = torch.as_tensor(rows, device=self._hidden.device)
            self._hidden[chosen] = self._agent.initial_hidden(len(self._hidden))[chosen]

    def place(self, rows: np.ndarray, hidden: np.ndarray | None) -> None:
        """Puts episodes into states with the given hidden states (n, m); None for their start."""
        if self._hidden is None:
            return
        if hidden is None:
            self.restart(rows)
        else:
            self._hidden[torch.as_tensor(rows)] = torch.as_tensor(hidden).to(self._hidden)

    @property
    def hidden(self) -> np.ndarray | None:
        """The hidden states (E, m) float32; None for agents without one."""
        return None if self._hidden is None else self._hidden.detach().float().cpu().numpy().copy()
