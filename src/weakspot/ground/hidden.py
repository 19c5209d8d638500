"""The hidden state of a recurrent agent in a state that a route leads to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from weakspot.agents.base import Agent
from weakspot.agents.recurrent import is_recurrent, takes_entries
from weakspot.envs.base import Step
from weakspot.envs.editable import Editable
from weakspot.ground.play import Player, Route


def hidden_at(player: Player, agent: Agent, route: Route) -> np.ndarray | None:
    """The hidden state (m,) with which an agent sees the state at the end of a route.

    It begins with the one recorded at the start of the route.  The agent then sees each state of the route, whoever chose
    the actions:

        h_{t+1} = the second part of f(o_t, h_t)

    For agents that take other entries of the observation it is what the environment gives at the end of the route.

    Args:
        player: is left somewhere on the route.
        agent: the one that was recorded.
        route: to the state.

    Returns:
        None for agents without a hidden state, and for others than the recorded one, which begin with h_0.
    """
    if takes_entries(agent):
        return _along(player, route).entries
    dataset = player.dataset
    if not is_recurrent(agent) or dataset.hidden is None or dataset.agent.fingerprint != agent.spec.fingerprint:
        return None
    hidden = torch.as_tensor(np.array(dataset.hidden[route.start]))[None].to(agent.device)
    if not route.actions:
        return hidden[0].cpu().numpy()

    def see(step: Step) -> None:
        nonlocal hidden
        observation = torch.as_tensor(step.observation)[None].to(agent.device, torch.float32)
        with torch.no_grad():
            hidden = agent.advance(observation, hidden)[1]

    _along(player, route, see)
    return hidden[0].float().cpu().numpy()


def _along(player: Player, route: Route, see: Callable[[Step], None] = lambda step: None) -> Step:
    """Follows a route, calls ``see`` with each step before the last, and returns the last."""
    environment = player.environment
    step = environment.restore(player.place(route.start))
    if route.changes:
        assert isinstance(environment, Editable), "only editable environments get changes"
        environment.write_variables(route.changes)
    for action in route.actions:
        see(step)
        step = environment.step(action)
    return step
