"""Two agents of one game as one, so that states can be looked for in which they disagree.

The pair plays as the first of them does.  In place of a critic's value it answers how far apart the two policies are, so
that the target V+ looks for disagreement, and V- for agreement.
"""

import os

import torch
from torch import nn

import weakspot as ws


class Pair(nn.Module):
    """Answers log-probabilities (b, a) of the first agent's actions, and how far the second one's are from them (b,)."""

    def __init__(self, first, second, sharpness=1.0):
        super().__init__()
        self.answers = (first, second)
        self.networks = nn.ModuleList([first.module, second.module])
        self.sharpness = sharpness  # of policies made from Q-values, one over their unit

    def policy(self, agent, observation):
        """Log-probabilities of the agent's actions (b, a)."""
        scores = agent(observation).scores
        return torch.log_softmax(scores if agent.spec.scores_are == "log-probabilities" else self.sharpness * scores, dim=1)

    def forward(self, observation):
        p, q = (self.policy(agent, observation) for agent in self.answers)
        middle = ((p.exp() + q.exp()) / 2).clamp(min=1e-12).log()
        apart = (p.exp() * (p - middle) + q.exp() * (q - middle)).sum(dim=1) / 2  # Jensen-Shannon divergence, 0 to log 2
        return p, apart


def pong():
    """The Pong agent that ships, and another one, whose file the environment variable SECOND names."""
    return Pair(ws.load_agent("pong-double-dqn"), ws.load_agent(os.environ["SECOND"]), sharpness=10.0)
