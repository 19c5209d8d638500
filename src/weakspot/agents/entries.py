"""Agents that see more than an image: the other entries of dict observations, and action masks.

The output of such an agent depends on its observation o and on the entries e that the environment gives beside the image:

    A_t = f(o_t, e_t)

While the agent plays, e_t comes from the environment.  Where single states are judged, it is held fixed, as the hidden state
of a recurrent agent is (:mod:`weakspot.agents.recurrent`): for a recorded state at the recorded entries, for any other
state at those of the recorded state that looks most like it.  So these agents have the form of recurrent ones, whose hidden
state is e and which return it unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.agents.listing import join_names
from weakspot.agents.module import checked_observation, output_of
from weakspot.errors import MismatchError
from weakspot.interface import MASK
from weakspot.types import Hidden, Observation

Layout: TypeAlias = tuple[tuple[str, int], ...]
"""Names and sizes of entries, one after the other."""


@dataclass(frozen=True)
class EntriesAgent:
    """A network that takes entries, with fixed weights.

    Attributes:
        module: maps observations (b, c, h, w) and entries, tensors (b, n) by name, to scores, or scores and values.  Its
            attribute ``other_entries`` has the names of those that it takes.
        spec, device: see :class:`~weakspot.agents.module.ModuleAgent`.
        layout: of everything that the environment gives.
    """

    module: nn.Module
    spec: AgentSpec
    layout: Layout
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    takes_entries = True

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False).to(self.device)

    @property
    def hidden_size(self) -> int:
        """v, how many numbers all entries have."""
        return sum(size for _, size in self.layout)

    def initial_hidden(self, batch: int) -> Hidden:
        """Entries (b, v) for a state of which nothing else is known: zeros, and every action is allowed."""
        rows = [torch.full((batch, size), float(name == MASK)) for name, size in self.layout]
        return torch.cat(rows, dim=1).to(self.device)

    def advance(self, observation: Observation, hidden: Hidden) -> tuple[AgentOutput, Hidden]:
        """The output for observations (b, c, h, w) in 0 to 255 and entries (b, v), differentiably; and the same entries."""
        observation = checked_observation(observation, self.spec).to(self.device)
        result: object = cast(Any, self.module)(observation, by_name(hidden.to(self.device), self.layout))
        return output_of(result, self.spec, len(observation)), hidden

    def __call__(self, observation: Observation) -> AgentOutput:
        """The output with the entries of :meth:`initial_hidden`."""
        return self.advance(observation, self.initial_hidden(len(observation)))[0]


def by_name(entries: Tensor, layout: Layout) -> dict[str, Tensor]:
    """Entries (b, v) as tensors (b, n) by name."""
    parts = torch.split(entries, [size for _, size in layout], dim=1)
    return {name: part for (name, _), part in zip(layout, parts, strict=True)}


def entries_taken(network: nn.Module) -> tuple[str, ...]:
    """The names of the entries that a network takes; empty for networks that see images alone."""
    names: object = getattr(network, "other_entries", ())
    return tuple(str(name) for name in cast(Sequence[object], names)) if isinstance(names, list | tuple) else ()


def check_layout(network: nn.Module, layout: Layout | None, environment: str, name: str) -> Layout:
    """The layout of an environment that gives all entries that a network takes.

    Raises:
        MismatchError: it does not give one of them.
    """
    given = layout or ()
    if missing := [entry for entry in entries_taken(network) if entry not in dict(given)]:
        has = join_names([entry for entry, _ in given]) if given else "none"
        raise MismatchError(
            f"the network of {name} takes the entries {join_names(missing)} of observations",
            expected=f"entries that {environment} gives beside its image: {has}",
            todo="give the environment that the agent was trained on, or correct other_entries"
            + (" (a mask needs a method action_masks())" if MASK in missing else ""),
        )
    return given


class MaskedPolicy(nn.Module):
    """A policy whose forbidden actions get no probability, as in MaskablePPO of sb3-contrib.

    Args:
        network: maps observations, and entries if it takes some, to logits (b, a) and values.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.other_entries = tuple(dict.fromkeys((*entries_taken(network), MASK)))

    def forward(self, observation: Tensor, entries: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        more = (entries,) if entries_taken(self.network) else ()
        logits, value = self.network(observation, *more)
        places = (entries[MASK] < 0.5).nonzero(as_tuple=True)
        return logits.index_put(places, logits.new_tensor(FORBIDDEN)), value


FORBIDDEN = -1e8
"""Logit of a forbidden action; finite, so that a state in which all are forbidden has a distribution, too."""
