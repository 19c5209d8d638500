"""The target ``overconfidence``: states in which the agent expects more than it gets.

With E(s) what the agent expects and G the return that followed, both of recorded states, a ridge regression on the agent's
own features phi (the inputs of its output layers) estimates the surplus of any state,

    surplus(s) = w . phi(s) + b,    fitted to G - E(s);

see :mod:`weakspot.analysis.overconfidence`.  The target minimises it.  Where it is clearly negative, the agent has the
information that it will get less than it expects, but does not use it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from weakspot.agents.base import Agent, AgentOutput, AgentSpec
from weakspot.agents.head_inputs import with_features
from weakspot.errors import TargetError
from weakspot.targets.base import Target
from weakspot.targets.names import OVERCONFIDENCE
from weakspot.types import Observation, PerState


@dataclass(frozen=True)
class Surplus:
    """The surplus of states, as a part of the agent's output: the ``estimator`` of a
    :class:`~weakspot.agents.base.Perceiver`.

    Attributes:
        weights: w (f,), in units of returns over those of the features.
        offset: b, in units of returns.
    """

    weights: Float[Tensor, "f"]
    offset: float

    def __call__(self, agent: Agent, observation: Observation) -> AgentOutput:
        """The agent's output with the surplus, differentiable in observations (b, c, h, w)."""
        output, features = with_features(agent, lambda: agent(observation))
        weights = self.weights.to(features.device, output.scores.dtype)
        return replace(output, surplus=features.to(weights.dtype) @ weights + self.offset)


def overconfidence(agent: AgentSpec) -> Target:
    """States of which the agent expects more than it gets."""

    def energy(output: AgentOutput) -> PerState:
        if output.value is None and agent.scores_are != "q-values":
            raise TargetError(
                f"the target {OVERCONFIDENCE} asks where the agent expects too much, and this agent expects nothing: it has "
                "neither Q-values nor a critic",
                expected="an agent with Q-values, or an actor-critic",
                todo="use other targets, such as the actions",
            )
        if output.surplus is None:
            raise TargetError(
                f"the target {OVERCONFIDENCE} needs an estimate of what the agent gets",
                expected="the surplus, as the stage overconfidence fits it to recorded play",
                todo=f"run `weakspot run --targets {OVERCONFIDENCE}` with the same settings first",
            )
        return output.surplus

    return Target(
        OVERCONFIDENCE, OVERCONFIDENCE, "States in which the agent expects too much",
        "The agent expects more of the state than the return that followed recorded states like it.",
        "w . phi(s) + b, fitted to return - expectation", energy,
    )  # fmt: skip
