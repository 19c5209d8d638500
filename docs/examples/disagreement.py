"""Combines two agents of the same game into one, to search for states in which they disagree.

The pair plays like the first agent. In place of a critic's value it returns how far apart the two policies are, so the
target V+ searches for disagreement, and V- for agreement.
"""

import os
from dataclasses import replace

import torch
from torch import nn

import weakspot as ws


class Pair:
    """Returns the first agent's scores and, in place of a value, the distance between the two policies."""

    def __init__(self, first, second, sharpness=3.0):
        self.first, self.second, self.sharpness = first, second, sharpness
        self.module, self.device = nn.ModuleList([first.module, second.module]), first.device
        both = first.spec.fingerprint + second.spec.fingerprint
        self.spec = replace(first.spec, name=f"{first.spec.name} beside {second.spec.name}", fingerprint=both)

    def policy(self, agent, observation):
        """The agent's scores and log-probabilities (b, a); Q-values are divided by their spread first."""
        scores = agent(observation).scores
        if agent.spec.scores_are == "q-values":
            spread = scores.std(dim=1, keepdim=True).clamp_min(1e-6)
            return scores, torch.log_softmax(self.sharpness * scores / spread, dim=1)
        return scores, torch.log_softmax(scores, dim=1)

    def __call__(self, observation):
        scores, p = self.policy(self.first, observation)
        _, q = self.policy(self.second, observation)
        middle = ((p.exp() + q.exp()) / 2).clamp(min=1e-12).log()
        apart = (p.exp() * (p - middle) + q.exp() * (q - middle)).sum(dim=1) / 2  # Jensen-Shannon divergence, 0 to log 2
        return ws.AgentOutput(scores, apart)


def pong():
    """The shipped Pong agent and the agent in the file that the environment variable SECOND names."""
    return Pair(ws.load_agent("pong-double-dqn"), ws.load_agent(os.environ["SECOND"]))
