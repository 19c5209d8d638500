"""What weakspot needs of an agent, and nothing more.

An :class:`Agent` maps a batch of observations to an :class:`AgentOutput`, differentiably.  A :class:`Perceiver` puts the
environment's observation function in front of it, so that everything downstream (losses, targets, synthesis) talks about
states alone: ``A(s)`` in the paper's words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from weakspot.errors import MismatchError, OutputError
from weakspot.options import SaliencyRule
from weakspot.types import Actions, Bounds, Observation, PerState, Scores, State


@dataclass(frozen=True)
class AgentOutput:
    """The agent's answer A(s) to a batch of states.

    Attributes:
        scores: one number an action (b, a): Q-values, or action log-probabilities for policy agents; where actions are
            continuous, the policy's mean in each dimension, before it is held within its bounds.
        value: the critic's value of each state (b,), or None where the agent has no critic.
    """

    scores: Scores
    value: PerState | None = None

    def vector(self) -> Tensor:
        """Everything the agent answered, one row a state: what the perception loss (eq. 3) compares."""
        if self.value is None:
            return self.scores
        return torch.cat([self.scores, self.value[:, None]], dim=1)

    def rows(self, chosen: Tensor) -> AgentOutput:
        """The answers to the states ``chosen``."""
        return AgentOutput(self.scores[chosen], None if self.value is None else self.value[chosen])


def concat_outputs(parts: Sequence[AgentOutput]) -> AgentOutput:
    """One agent's answers to several batches of states as the answer to one."""
    values = [part.value for part in parts if part.value is not None]
    return AgentOutput(torch.cat([part.scores for part in parts]), torch.cat(values) if values else None)


ScoresAre: TypeAlias = Literal["q-values", "log-probabilities", "means"]


@dataclass(frozen=True)
class AgentSpec:
    """What is known about an agent without asking it anything.

    Attributes:
        name: for people.
        environment: id of the environment it was trained on, such as ``PongNoFrameskip-v4``.
        action_names: what each score stands for: an action, or a dimension of continuous ones.
        observation_shape: (c, h, w) of what it sees.
        scores_are: ``q-values``, ``log-probabilities``, or ``means`` of continuous actions.
        acts: ``greedy`` takes the best score, or the mean within its bounds; ``sampled`` draws from the log-probabilities.
        fingerprint: SHA-256 over its weights, or over its file and code where these are more than weights; ties stored
            states to the agent that saw them.
        action_bounds: of continuous actions; None where actions are discrete.

    Raises:
        MismatchError: means without bounds for each of them, bounds of something else than means, or drawn means.
    """

    name: str
    environment: str
    action_names: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    scores_are: ScoresAre
    acts: Literal["greedy", "sampled"]
    fingerprint: str
    action_bounds: Bounds | None = None

    def __post_init__(self) -> None:
        bounds = self.action_bounds
        whole = bounds is not None and len(bounds) == len(self.action_names) and self.acts == "greedy"
        if whole if self.scores_are == "means" else bounds is None:
            return
        raise MismatchError(
            f"agent {self.name!r} answers {self.scores_are} for {len(self.action_names)} actions, acts {self.acts}, and has "
            f"the bounds {bounds}",
            expected="means, acts greedy, and a pair of bounds for each; or other scores, and no bounds",
            todo="make scores_are and action_bounds of its AgentSpec fit each other and its environment",
        )

    @property
    def continuous(self) -> bool:
        """Whether its actions are rows of numbers."""
        return self.action_bounds is not None


@runtime_checkable
class Agent(Protocol):
    """A trained agent with fixed weights."""

    @property
    def spec(self) -> AgentSpec: ...

    @property
    def module(self) -> nn.Module:
        """The network, for saliency to look into."""
        ...

    @property
    def device(self) -> torch.device: ...

    def __call__(self, observation: Observation) -> AgentOutput:
        """Answers a batch of observations (b, c, h, w) in 0 to 255, differentiable in them."""
        ...


def choose(output: AgentOutput, spec: AgentSpec, generator: torch.Generator, epsilon: float = 0.0) -> Actions:
    """The actions the agent takes, (b,) or (b, a): greedy or sampled as its spec says, a share ``epsilon`` of them at
    random.

    Draws the same number of random numbers whatever the answers are, so that runs can be paired by seed.
    """
    return explore(output, spec, generator, epsilon)[0]


def explore(output: AgentOutput, spec: AgentSpec, generator: torch.Generator, epsilon: float) -> tuple[Actions, Actions]:
    """The actions of :func:`choose`, and those that the agent takes when nothing is at random."""
    scores = output.scores.detach().cpu()
    if not torch.isfinite(scores).all():
        raise OutputError(
            f"agent {spec.name!r} answered {_first_bad(scores)} for an observation",
            expected="finite numbers, one an action",
            todo="check the agent's weights and the range of the observations it was trained on (0-255 or 0-1)",
        )
    batch, actions = scores.shape
    noise = torch.rand(batch, actions, generator=generator).clamp_(1e-12, 1 - 1e-7)
    at_random = torch.rand(batch, generator=generator) < epsilon
    if spec.action_bounds is not None:
        low, high = ends(spec.action_bounds, scores)
        own = scores.clamp(low, high)
        return torch.where(at_random[:, None], low + (high - low) * noise, own), own
    random = torch.randint(actions, (batch,), generator=generator)
    if spec.acts == "sampled":
        scores = scores - torch.log(-torch.log(noise))  # Gumbel: the argmax is a draw from the softmax
    own = scores.argmax(dim=1)
    return torch.where(at_random, random, own), own


def ends(bounds: Bounds, like: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest values (a,) of continuous actions, in the number format and on the device of ``like``."""
    low, high = torch.tensor(bounds, dtype=like.dtype, device=like.device).unbind(dim=1)
    return low, high


CLOSE_ACTIONS = 0.1
"""Continuous actions that differ by no more than this share of the range, in every dimension, count as the same."""


def same_action(scores: Scores, others: Scores, bounds: Bounds | None) -> Bool[Tensor, "b"]:
    """Whether an agent that answers ``scores`` does the same as one that answers ``others``: the same best action, or
    continuous actions within ``bounds`` that are close."""
    if bounds is None:
        return scores.argmax(dim=1) == others.argmax(dim=1)
    low, high = ends(bounds, scores)
    apart = scores.clamp(low, high) - others.clamp(low, high)
    return (apart.abs() <= CLOSE_ACTIONS * (high - low)).all(dim=1)


def _first_bad(scores: Tensor) -> str:
    return str(scores[~torch.isfinite(scores)][0].item())


@dataclass(frozen=True)
class Perceiver:
    """A(s): the agent behind the environment's observation function, differentiable in the state.

    Attributes:
        agent: the agent.
        observe: maps states (b, kc, h, w) in [0, 1] to observations (b, c, h, w) in the agent's range.
        rule: how it is found where the agent looks; see :mod:`weakspot.saliency.guided`.
    """

    agent: Agent
    observe: Callable[[State], Observation]
    rule: SaliencyRule = "guided"

    def __call__(self, state: State) -> AgentOutput:
        return self.agent(self.observe(state))
