"""The interface of an agent.

An :class:`Agent` maps a batch of observations to an :class:`AgentOutput`, differentiably.  A :class:`Perceiver` puts the
environment's observation function in front of the agent; losses, targets and searches work on states through it: ``A(s)`` in
the paper's notation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from weakspot.errors import MismatchError, OutputError
from weakspot.options import SaliencyRule
from weakspot.types import Actions, Bounds, Hidden, Observation, PerState, Scores, State


@dataclass(frozen=True)
class AgentOutput:
    """The agent's output A(s) for a batch of states.

    Attributes:
        scores: one number per action (b, a): Q-values, or action log-probabilities of a policy; for continuous actions, the
            policy's mean in each dimension, before it is clipped to the action bounds.
        value: the critic's value of each state (b,); None if the agent has no critic.
        surplus: an estimate of how much more the agent gets than it expects (b,), see
            :class:`weakspot.targets.overconfidence.Surplus`; only the target ``overconfidence`` gets it.
    """

    scores: Scores
    value: PerState | None = None
    surplus: PerState | None = None

    def vector(self) -> Tensor:
        """The scores and the value, if there is one, as one row per state (b, a) or (b, a + 1): what the perception loss
        (eq. 3) compares."""
        if self.value is None:
            return self.scores
        return torch.cat([self.scores, self.value[:, None]], dim=1)

    def rows(self, chosen: Tensor) -> AgentOutput:
        """The output for the states at the indices ``chosen`` alone."""
        return self._each(lambda numbers: numbers[chosen])

    def cpu(self) -> AgentOutput:
        """The same on the CPU."""
        return self._each(lambda numbers: numbers.cpu())

    def _each(self, change: Callable[[Tensor], Tensor]) -> AgentOutput:
        value, surplus = (None if part is None else change(part) for part in (self.value, self.surplus))
        return AgentOutput(change(self.scores), value, surplus)


def concat_outputs(parts: Sequence[AgentOutput]) -> AgentOutput:
    """Concatenates one agent's outputs for several batches of states."""
    values = [part.value for part in parts if part.value is not None]
    surplus = [part.surplus for part in parts if part.surplus is not None]
    scores = torch.cat([part.scores for part in parts])
    return AgentOutput(scores, torch.cat(values) if values else None, torch.cat(surplus) if surplus else None)


ScoresAre: TypeAlias = Literal["q-values", "log-probabilities", "means"]
"""What the scores of an agent are; ``means`` are those of continuous actions."""


@dataclass(frozen=True)
class AgentSpec:
    """What is known about an agent without running it.

    Attributes:
        name: a readable name.
        environment: id of the environment it was trained on, such as ``PongNoFrameskip-v4``.
        action_names: names of the actions, one for each score; for continuous actions, names of their dimensions.
        observation_shape: (c, h, w).
        scores_are: ``q-values``, ``log-probabilities``, or ``means`` of continuous actions.
        acts: ``greedy`` takes the action with the highest score, or the mean clipped to its bounds; ``sampled`` samples from
            the log-probabilities.
        fingerprint: SHA-256 over the weights, followed by hashes of the agent's code if it has code of its own, or hashes of
            its file and code; ties stored states to the agent that saw them.
        action_bounds: lower and upper bound of each dimension of continuous actions; None for discrete actions.

    Raises:
        MismatchError: means without bounds for each of them, bounds with scores that are not means, or sampled means.
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
        bounded = bounds is not None and len(bounds) == len(self.action_names) and self.acts == "greedy"
        consistent = bounded if self.scores_are == "means" else bounds is None
        if not consistent:
            raise MismatchError(
                f"agent {self.name!r} has scores that are {self.scores_are}, {len(self.action_names)} actions, acts "
                f"{self.acts}, and has the action bounds {bounds}",
                expected="means, acts greedy, and a pair of bounds per action; or other scores without bounds",
                todo="make scores_are, acts and action_bounds of the AgentSpec fit each other and the environment",
            )

    @property
    def continuous(self) -> bool:
        """Whether actions are continuous: one vector of numbers per decision."""
        return self.action_bounds is not None


@runtime_checkable
class Agent(Protocol):
    """A trained agent with fixed weights."""

    @property
    def spec(self) -> AgentSpec: ...

    @property
    def module(self) -> nn.Module:
        """The network, into which saliency sets its hooks."""
        ...

    @property
    def device(self) -> torch.device: ...

    def __call__(self, observation: Observation) -> AgentOutput:
        """Maps observations (b, c, h, w) in 0 to 255 to the output, differentiably."""
        ...


@dataclass(frozen=True)
class WrappedAgent:
    """What all wrappers of an agent take over from it.

    Attributes:
        agent: the agent.
    """

    agent: Agent

    @property
    def spec(self) -> AgentSpec:
        return self.agent.spec

    @property
    def module(self) -> nn.Module:
        return self.agent.module

    @property
    def device(self) -> torch.device:
        return self.agent.device


def choose(
    output: AgentOutput,
    spec: AgentSpec,
    generator: torch.Generator,
    epsilon: float = 0.0,
    allowed: np.ndarray | None = None,
) -> Actions:
    """Chooses actions (b,), or (b, a) if they are continuous: greedy or sampled as the spec says, and uniformly random with
    probability ``epsilon``.

    The number of random numbers drawn does not depend on the output, so that runs can be paired by seed.

    Args:
        output: of the agent (b, a).
        spec: of the agent.
        generator: of all choices.
        epsilon: share of random actions.
        allowed: which actions (b, a) the environment allows; where a random action is not, the agent's takes its place.

    Raises:
        OutputError: a score is not finite.
    """
    return choose_with_greedy(output, spec, generator, epsilon, allowed)[0]


def choose_with_greedy(
    output: AgentOutput,
    spec: AgentSpec,
    generator: torch.Generator,
    epsilon: float,
    allowed: np.ndarray | None = None,
) -> tuple[Actions, Actions]:
    """Returns the actions of :func:`choose`, and the actions that the agent takes with ``epsilon`` = 0.

    Raises:
        OutputError: a score is not finite.
    """
    scores = output.scores.detach().cpu()
    if not torch.isfinite(scores).all():
        raise OutputError(
            f"agent {spec.name!r} returned the score {_first_not_finite(scores)} for an observation",
            expected="finite numbers, one per action",
            todo="check the agent's weights and the range of the observations it was trained on (0-255 or 0-1)",
        )
    batch, actions = scores.shape
    noise = torch.rand(batch, actions, generator=generator).clamp_(1e-12, 1 - 1e-7)
    is_random = torch.rand(batch, generator=generator) < epsilon
    if spec.action_bounds is not None:
        low, high = bound_tensors(spec.action_bounds, scores)
        chosen = scores.clamp(low, high)
        return torch.where(is_random[:, None], low + (high - low) * noise, chosen), chosen
    random = torch.randint(actions, (batch,), generator=generator)
    if allowed is not None:
        is_random &= torch.as_tensor(allowed).gather(1, random[:, None])[:, 0]
    if spec.acts == "sampled":
        scores = scores - torch.log(-torch.log(noise))  # Gumbel-max trick: the argmax is a sample from the softmax
    chosen = scores.argmax(dim=1)
    return torch.where(is_random, random, chosen), chosen


def bound_tensors(bounds: Bounds, like: Tensor) -> tuple[Tensor, Tensor]:
    """The lower and the upper bounds (a,) of continuous actions, with the data type and on the device of ``like``."""
    low, high = torch.tensor(bounds, dtype=like.dtype, device=like.device).unbind(dim=1)
    return low, high


CLOSE_ACTIONS = 0.1
"""Continuous actions count as the same if they differ by at most this share of the range in every dimension."""


def same_action(scores: Scores, others: Scores, bounds: Bounds | None) -> Bool[Tensor, "b"]:
    """Whether two batches of scores (b, a) lead to the same action, for each state.

    Args:
        scores: of one agent.
        others: of another agent, or for other states.
        bounds: of continuous actions; None for discrete ones.

    Returns:
        (b,): true if the action with the highest score is the same; for continuous actions, if the clipped means differ by
        at most :data:`CLOSE_ACTIONS` of the range in every dimension.
    """
    if bounds is None:
        return scores.argmax(dim=1) == others.argmax(dim=1)
    low, high = bound_tensors(bounds, scores)
    difference = scores.clamp(low, high) - others.clamp(low, high)
    return (difference.abs() <= CLOSE_ACTIONS * (high - low)).all(dim=1)


def _first_not_finite(scores: Tensor) -> str:
    return str(scores[~torch.isfinite(scores)][0].item())


@dataclass(frozen=True)
class Perceiver:
    """A(s): the agent behind the environment's observation function, differentiable in the state.

    The output of a recurrent agent also depends on its hidden state, which is held fixed.  For recorded states it is the one
    that the agent had there.  For any other state x it is that of the recorded state that looks most like x:

        A(x) = f(o(x), h_n),        n = argmin_i |p(x) - p(x_i)|

    with p as in :class:`weakspot.data.recall.Recall`, or h_0 while nothing is recorded.

    Attributes:
        agent: the agent.
        observe: maps states (b, kc, h, w) in [0, 1] to observations (b, c, h, w) in the agent's range.
        rule: how the agent's saliency is computed; see :mod:`weakspot.saliency.rules`.
        hidden: the hidden states (b, m) of a recurrent agent in the states that follow; None to recall them.
        recall: maps states (b, kc, h, w) to hidden states (b, m); None for h_0.
        estimator: calls the agent with observations (b, c, h, w) and adds the surplus to its output; None to leave it out.
    """

    agent: Agent
    observe: Callable[[State], Observation]
    rule: SaliencyRule = "guided"
    hidden: Hidden | None = None
    recall: Callable[[State], Hidden] | None = None
    estimator: Callable[[Agent, Observation], AgentOutput] | None = None

    def __call__(self, state: State) -> AgentOutput:
        agent, observation = self.agent_in(state), self.observe(state)
        return agent(observation) if self.estimator is None else self.estimator(agent, observation)

    def at(self, hidden: np.ndarray | Tensor | None) -> Perceiver:
        """The same with given hidden states (b, m); unchanged for None."""
        return self if hidden is None else replace(self, hidden=torch.as_tensor(hidden))

    def agent_in(self, state: State) -> Agent:
        """The agent with the hidden states that belong to states; the agent itself if it has none."""
        from weakspot.agents.recurrent import AtHidden, is_recurrent

        if not is_recurrent(self.agent):
            return self.agent
        hidden = self.hidden if self.hidden is not None or self.recall is None else self.recall(state.detach())
        if hidden is None:
            hidden = self.agent.initial_hidden(1)
        return AtHidden(self.agent, hidden.to(self.agent.device))
