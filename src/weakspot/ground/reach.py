"""Searches for a way to play from recorded states to a wanted state.

A seeded beam search: from each recorded state, the agent's own play, held actions and random actions are tried for some
decisions, and the moments closest to the wanted state are continued.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from weakspot.actions import Action
from weakspot.agents.base import Agent, choose
from weakspot.agents.recurrent import Carried
from weakspot.envs.base import Step
from weakspot.envs.plays import Play, go_back, set_mark
from weakspot.envs.random_actions import random_action
from weakspot.ground.edits import Found, Score
from weakspot.ground.play import Player, Route

CHUNK = 4
"""Decisions between two selections."""
BEAM = 3
"""Moments that are continued."""
WAYS = ("agent", "held", "held", "random")
"""What is tried from each of them."""


@dataclass(frozen=True)
class _Node:
    """A moment of play: its route, a mark of the environment, the last k frames (k, h, w, c), and the distance."""

    route: Route
    mark: Any
    window: np.ndarray
    score: float


def search_play(
    player: Player,
    agent: Agent,
    starts: Sequence[int],
    score: Score,
    steps: int,
    generator: np.random.Generator,
) -> Found | None:
    """The moment of play that is closest to the wanted state.

    Args:
        player: of the environment.
        agent: that plays a part of the actions.
        starts: indices of the recorded states to play from.
        score: of the states that are passed.
        steps: decisions that may be played, for all starts together.
        generator: of all choices.

    Returns:
        The closest state of which every frame was drawn after the start; None if there is none.
    """
    act, spec = agent_actions(agent, generator), player.environment.spec
    nodes = [_node_at(player, start) for start in starts]
    end = player.steps + steps
    best: Found | None = None
    while nodes and player.steps < end:
        children: list[_Node] = []
        for node in nodes:
            for way in WAYS:
                if player.steps >= end:
                    break
                step = go_back(player.environment, node.mark)
                taken: list[Action] = []
                held = random_action(agent.spec, generator)

                def chosen(step: Step, way: str = way, held: Action = held) -> Action:
                    action = held if way == "held" else random_action(agent.spec, generator)
                    if way == "agent" or not spec.allows(step.entries, action):
                        return act(step)
                    return action

                frames: list[np.ndarray] = []
                for _ in range(CHUNK):
                    taken.append(chosen(step))
                    play: Play = player.take(taken[-1:])
                    step = play.last
                    frames.append(play.frames[0])
                    if play.ended:
                        break
                else:
                    window = np.concatenate([node.window, np.stack(frames)])
                    route = Route(node.route.start, {}, (*node.route.actions, *taken))
                    children.append(_Node(route, set_mark(player.environment), window[-len(node.window) :], np.inf))
        if not children:
            break
        scores = score(np.stack([child.window for child in children]))
        nodes = [
            _Node(child.route, child.mark, child.window, float(distance))
            for child, distance in zip(children, scores, strict=True)
        ]
        nodes.sort(key=lambda node: node.score)
        nodes = nodes[:BEAM]
        complete = [node for node in nodes if len(node.route.actions) >= len(node.window)]
        if complete and (best is None or complete[0].score < best.score):
            best = Found(complete[0].route, complete[0].window, complete[0].score)
    return best


def _node_at(player: Player, start: int) -> _Node:
    player.environment.restore(player.place(start))
    window = player.dataset.stacks(np.array([start]))[0]
    return _Node(Route(start), set_mark(player.environment), window, np.inf)


def agent_actions(agent: Agent, generator: np.random.Generator) -> Callable[[Step], Action]:
    """The agent's actions as a function of single steps; a recurrent agent takes each for the start of an episode."""
    noise = torch.Generator().manual_seed(int(generator.integers(2**31)))

    def act(step: Step) -> Action:
        carried = Carried(agent, 1)
        carried.see(step.entries[None])
        with torch.no_grad():
            output = carried.act(torch.as_tensor(step.observation[None]).to(agent.device, torch.float32))
        action = choose(output, agent.spec, noise)[0]
        return int(action) if action.ndim == 0 else tuple(float(value) for value in action)

    return act
