"""Action values of a policy, for the targets T-, T+, S+ and S-, which ask about values.

Log-probabilities are no values: T-, T+ and S+ of them all ask for the uniform policy, and S- for the deterministic one.
With a critic V, a policy pi implies

    q_a = V + tau (log pi_a + H(pi)),        H the entropy of pi.

A policy that is optimal under an entropy bonus of weight tau has log pi_a = A_a / tau + const and sum_a pi_a A_a = 0, so
that these q are its action values.  :mod:`weakspot.analysis.policy_values` fits tau to the returns of recorded states.
"""

from __future__ import annotations

from weakspot.agents.base import AgentOutput
from weakspot.errors import TargetError
from weakspot.types import Scores


def implied_values(output: AgentOutput, tau: float) -> Scores:
    """q (b, a), the action values that log-probabilities and the critic's value imply.

    Args:
        output: of an actor-critic; its scores are log-probabilities.
        tau: the temperature, in the units of the critic's value, positive.

    Raises:
        TargetError: the agent has no critic.
    """
    if output.value is None:
        raise TargetError(
            "the targets T-, T+, S+ and S- need action values, and this agent is a policy without a critic",
            expected="an agent with Q-values, or an actor-critic",
            todo="use T+- (states in which the policy is decided) or the names of actions",
        )
    log_pi = output.scores
    entropy = -(log_pi.exp() * log_pi).sum(dim=1, keepdim=True)
    return output.value[:, None] + tau * (log_pi + entropy)
