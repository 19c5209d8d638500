"""An agent that reports what a part of the picture shows, so that targets can ask for it.

It plays like the agent inside. In place of a critic's value it returns how bright the brightest pixel of a region of the
newest frame is, from 0 to 1. So in a target, V stands for "something bright is there".
"""

from dataclasses import replace

import weakspot as ws

NEAR_THE_PADDLE = (slice(14, 77), slice(62, 73))
"""Rows and columns of a frame of 84x84: in Pong, before the right paddle, where only the ball is bright."""


class Watcher:
    """Returns the agent's scores and, in place of a value, the brightness of a region of the newest frame."""

    def __init__(self, agent, region):
        self.agent, self.region = agent, region
        self.module, self.device = agent.module, agent.device
        watched = f"{agent.spec.fingerprint} {region}"
        self.spec = replace(agent.spec, name=f"{agent.spec.name}, watching", fingerprint=watched)

    def __call__(self, observation):
        rows, columns = self.region
        bright = observation[:, -1, rows, columns].amax(dim=(1, 2)) / 255
        return ws.AgentOutput(self.agent(observation).scores, bright)


def pong():
    """The shipped Pong agent, watching for the ball near its paddle."""
    return Watcher(ws.load_agent("pong-double-dqn"), NEAR_THE_PADDLE)
