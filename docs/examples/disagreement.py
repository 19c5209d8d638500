"""Two agents of one game combined into one agent, to search for states in which they disagree.

The pair acts like the first agent.  In place of a critic's value it returns the Jensen-Shannon divergence of the two
policies, so the target V+ searches for disagreement, and V- for agreement.
"""

import os
from dataclasses import replace

import torch
from torch import nn

import weakspot as ws


class Pair:
    """An agent that returns the first agent's scores, and the Jensen-Shannon divergence of both policies as its value."""

    def __init__(self, first, second, sharpness=3.0):
        self.first, self.second, self.sharpness = first, second, sharpness
        self.module, self.device = nn.ModuleList([first.module, second.module]), first.device
        fingerprint = first.spec.fingerprint + second.spec.fingerprint
        self.spec = replace(first.spec, name=f"{first.spec.name} beside {second.spec.name}", fingerprint=fingerprint)

    def policy(self, agent, observation):
        """The agent's scores and log-probabilities (b, a); for Q-values, of a softmax in units of their spread."""
        scores = agent(observation).scores
        if agent.spec.scores_are == "q-values":
            spread = scores.std(dim=1, keepdim=True).clamp_min(1e-6)
            return scores, torch.log_softmax(self.sharpness * scores / spread, dim=1)
        return scores, torch.log_softmax(scores, dim=1)

    def __call__(self, observation):
        scores, p = self.policy(self.first, observation)
        _, q = self.policy(self.second, observation)
        mixture = ((p.exp() + q.exp()) / 2).clamp(min=1e-12).log()
        jensen_shannon = (p.exp() * (p - mixture) + q.exp() * (q - mixture)).sum(dim=1) / 2  # 0 to log 2
        return ws.AgentOutput(scores, jensen_shannon)


def pong():
    """The Pong agent of the package, and another one from the file in the environment variable SECOND."""
    return Pair(ws.load_agent("pong-double-dqn"), ws.load_agent(os.environ["SECOND"]))
