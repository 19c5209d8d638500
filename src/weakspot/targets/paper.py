"""The targets of the paper (section 2.3) and their relatives, as energies that are minimised.

With q the agent's action values (of a policy with a critic, those of :mod:`weakspot.targets.policy_values`) and

    softmax_b(q) = sum_i q_i exp(b q_i) / sum_k exp(b q_k),        softmin_b(q) = -softmax_b(-q):

    ======  =============================================  ====================================
    T-      even the best action has a low value           softmax_b(q)                  (eq. 6)
    T+      even the worst action has a high value         -softmin_b(q)
    T+-     one action has a high value, another a low one -(softmax_b(q) - softmin_b(q)) (eq. 7)
    S+, S-  good, bad overall                              -sum q, +sum q
    V+, V-  the critic's value is high, low                -V, +V
    ACTION  this action is preferred                       -q_action
    DIM+,   a continuous action is high, low in this       -q_dim, +q_dim
    DIM-    dimension
    ======  =============================================  ====================================

T+- of a policy takes its log-probabilities: the critic's value does not matter for the difference between two actions.  Its
states are those in which the policy is decided.

The paper maximises T+, T+- and S+ as it prints them (sections 2.3 and 4.2); here their negatives are minimised.
The scores of continuous actions are the policy's mean, not values, so for them only DIM+, DIM-, V+ and V- make sense.
ACTION, DIM+ and DIM- are in :mod:`weakspot.targets.actions`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from weakspot.agents.base import AgentOutput
from weakspot.errors import TargetError
from weakspot.targets.base import Target
from weakspot.targets.names import SCORE_SYMBOLS, VALUE_SYMBOLS
from weakspot.types import PerState, Scores


def softmax_value(q: Scores, sharpness: float) -> PerState:
    """sum_i q_i exp(b q_i) / sum_k exp(b q_k): between the mean (b = 0) and the maximum of q (b to infinity)."""
    return (torch.softmax(sharpness * q, dim=1) * q).sum(dim=1)


def softmin_value(q: Scores, sharpness: float) -> PerState:
    """-softmax_value(-q): between the mean and the minimum of q."""
    return -softmax_value(-q, sharpness)


Values = Callable[[AgentOutput], Scores]
"""q (b, a), the action values in the agent's output."""


def t_minus(sharpness: float, values: Values, equation: str) -> Target:
    """T- (eq. 6): even the best action is worth little.  ``equation`` says what q is, if it is not the agent's scores."""
    return Target(
        "T-", SCORE_SYMBOLS["T-"], "States of little value", "Even the best action is worth little to the agent.",
        f"softmax(q){equation}", lambda output: softmax_value(values(output), sharpness),
    )  # fmt: skip


def t_plus(sharpness: float, values: Values, equation: str) -> Target:
    """T+: even the worst action is worth much."""
    return Target(
        "T+", SCORE_SYMBOLS["T+"], "States of great value", "Even the worst action is worth much to the agent.",
        f"-softmin(q){equation}", lambda output: -softmin_value(values(output), sharpness),
    )  # fmt: skip


def t_plus_minus(sharpness: float) -> Target:
    """T± (eq. 7; written T+- on the command line): one action has a high value and another a low one."""
    return Target(
        "T±", SCORE_SYMBOLS["T+-"], "Critical states",
        "One action is worth much to the agent and another little: the choice matters.",
        "-(softmax(q) - softmin(q))", lambda output: -_spread(output, sharpness),
    )  # fmt: skip


def decided(sharpness: float) -> Target:
    """T± of a policy: it strongly prefers one action to another."""
    return Target(
        "T±", SCORE_SYMBOLS["T+-"], "States in which the policy is decided",
        "The policy gives one action a high probability and another a very low one.",
        "-(softmax(log pi) - softmin(log pi))", lambda output: -_spread(output, sharpness),
    )  # fmt: skip


def s_plus(values: Values, equation: str) -> Target:
    """S+: good overall."""
    return Target(
        "S+", SCORE_SYMBOLS["S+"], "States good overall",
        "The sum over all actions is large: good even under random actions.",
        f"-sum q{equation}", lambda output: -values(output).sum(dim=1),
    )  # fmt: skip


def s_minus(values: Values, equation: str) -> Target:
    """S-: bad overall."""
    return Target(
        "S-", SCORE_SYMBOLS["S-"], "States bad overall", "The sum over all actions is small: bad whatever the agent does.",
        f"sum q{equation}", lambda output: values(output).sum(dim=1),
    )  # fmt: skip


def v_plus() -> Target:
    """V+: the critic's value is high."""
    return Target(
        "V+", VALUE_SYMBOLS["V+"], "States the critic likes", "The critic expects much.",
        "-V", lambda output: -_value(output, "V+"),
    )  # fmt: skip


def v_minus() -> Target:
    """V-: the critic's value is low."""
    return Target(
        "V-", VALUE_SYMBOLS["V-"], "States the critic dreads", "The critic expects little.",
        "V", lambda output: _value(output, "V-"),
    )  # fmt: skip


def _spread(output: AgentOutput, sharpness: float) -> PerState:
    return softmax_value(output.scores, sharpness) - softmin_value(output.scores, sharpness)


def _value(output: AgentOutput, name: str) -> PerState:
    if output.value is None:
        raise TargetError(
            f"target {name} needs a critic, and this agent has none",
            expected="an actor-critic",
            todo="for agents with Q-values use T+ and T-, or S+ and S-; for continuous actions, the ends of each dimension",
        )
    return output.value
