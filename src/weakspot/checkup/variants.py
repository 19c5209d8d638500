"""Variants of an agent's observations that are easily confused with the right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

from torch import Tensor

from weakspot.agents.base import AgentOutput, WrappedAgent
from weakspot.agents.recurrent import is_recurrent, takes_entries
from weakspot.envs.base import EnvironmentSpec
from weakspot.types import Hidden, Observation

Transform: TypeAlias = Callable[[Observation], Observation]


@dataclass(frozen=True)
class Variant:
    """One way to change observations (b, c, h, w).

    Attributes:
        name: such as "observations in the range 0 to 1".
        transform: maps an environment's observations to the variant.
        todo: what to change if the agent plays better with the variant.
    """

    name: str
    transform: Transform
    todo: str


@dataclass(frozen=True)
class TransformedAgent(WrappedAgent):
    """An agent that receives transformed observations.

    Attributes:
        agent: the agent.
        transform: applied to observations before the agent receives them.
    """

    transform: Transform

    @property
    def hidden_size(self) -> int:
        return self.agent.hidden_size if is_recurrent(self.agent) else 0

    @property
    def takes_entries(self) -> bool:
        return takes_entries(self.agent)

    def initial_hidden(self, batch: int) -> Hidden:
        assert is_recurrent(self.agent), "only agents with a hidden state have an initial one"
        return self.agent.initial_hidden(batch)

    def advance(self, observation: Observation, hidden: Hidden) -> tuple[AgentOutput, Hidden]:
        assert is_recurrent(self.agent), "only agents with a hidden state advance it"
        return self.agent.advance(self.transform(observation), hidden)

    def __call__(self, observation: Observation) -> AgentOutput:
        return self.agent(self.transform(observation))


def input_variants(environment: EnvironmentSpec, *, transposed: bool = True) -> tuple[Variant, ...]:
    """The variants that make sense for the observations of an environment, with ``transposed`` ones or without."""
    frames = environment.frames
    variants = [
        Variant(
            "observations in the range 0 to 1",
            lambda x: x / 255.0,
            "it was trained on 0 to 1: divide observations by 255 in its forward, or in a module in front of it",
        ),
        Variant(
            "observations in the range -1 to 1",
            lambda x: x / 127.5 - 1.0,
            "it was trained on -1 to 1: scale observations in its forward, or in a module in front of it",
        ),
        Variant(
            "observations 255 times as large",
            lambda x: x * 255.0,
            "its observations are divided by 255 twice: remove the division in front of it, or the one in its forward",
        ),
        Variant(
            "observations twice as bright",
            lambda x: x * 2.0,
            "it was trained on numbers twice as large: check what its forward, or a module in front of it, divides by",
        ),
        Variant(
            "observations half as bright",
            lambda x: x * 0.5,
            "it was trained on numbers half as large: check what its forward, or a module in front of it, divides by",
        ),
        Variant(
            "the newest frame first",
            lambda x: _per_frame(x, frames).flip(1).flatten(1, 2),
            "it was trained on stacks whose newest frame comes first: reverse the frames of observations in front of it",
        ),
    ]
    if transposed and environment.height == environment.width:
        variants.append(
            Variant(
                "rows and columns exchanged",
                lambda x: x.transpose(2, 3),
                "it was trained on transposed frames: exchange dimensions 2 and 3 of observations in front of it",
            )
        )
    if not environment.gray and environment.channel_colours is None:
        variants.append(
            Variant(
                "channels in the order blue, green, red",
                lambda x: _per_frame(x, frames).flip(2).flatten(1, 2),
                "it was trained on BGR: reverse the channels of each frame in front of it",
            )
        )
    return tuple(variants)


def _per_frame(observation: Observation, frames: int) -> Tensor:
    """Observations (b, k c, h, w) as (b, k, c, h, w)."""
    return cast(Tensor, observation.unflatten(1, (frames, -1)))
