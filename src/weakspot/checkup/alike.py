"""Which changes make no difference to what the agent does, so that no game can tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weakspot.agents.base import Agent, AgentSpec, choose, same_action
from weakspot.agents.recurrent import Carried, is_recurrent
from weakspot.checkup.candidate import Candidate
from weakspot.envs.base import Environment
from weakspot.types import Observation, Scores

STATES = 200
"""Decisions of one game in which changes are compared."""
TOGETHER = 50
"""States in a batch."""
EPSILON = 0.1
"""Share of random actions in it."""
ALIKE = 0.005
"""Two changes count as alike if the agent acts otherwise in at most this share of the states."""


def told_apart(
    agent: Agent, factory: Callable[[], Environment], others: Sequence[Candidate], seed: int
) -> tuple[list[Candidate], list[list[Candidate]]]:
    """Sorts changes by what the agent does in the states of one game, which is played again in each of them.

    Games with another frame skip have other states, so these changes are always told apart.

    Args:
        agent: the agent.
        factory: makes its environment.
        others: the changes.
        seed: of the game.

    Returns:
        The changes with which the agent acts as without, and the others in groups in which it acts alike.
    """
    actions, played = _played(agent, factory, seed)
    groups: list[tuple[Scores | None, list[Candidate]]] = [(_scores(agent, played), [])]
    for other in others:
        made, scores = other.player.factory, None
        if other.pace == 1.0:
            seen = played if made is factory else replace(played, observed=_replayed(made, actions, seed))
            scores = _scores(other.agent, seen)
        for known, members in groups:
            if known is not None and scores is not None and _difference(agent.spec, known, scores) <= ALIKE:
                members.append(other)
                break
        else:
            groups.append((scores, [other]))
    return groups[0][1], [members for _, members in groups[1:]]


@dataclass(frozen=True)
class _Played:
    """What an agent saw in a game.

    Attributes:
        observed: observations (n, c, h, w) uint8.
        entries: what the environment gave beside its images (n, v).
        starts: numbers of the observations with which episodes start.
    """

    observed: Observation
    entries: np.ndarray
    starts: list[int]


def _played(agent: Agent, factory: Callable[[], Environment], seed: int) -> tuple[list[Any], _Played]:
    """Actions of a game, and what the agent saw."""
    environment, generator, carried = factory(), torch.Generator().manual_seed(seed), Carried(agent, 1)
    step, actions, observed, starts = environment.reset(seed), list[Any](), list[np.ndarray](), [0]
    spec, entries = environment.spec, list[np.ndarray]()
    while True:
        observed.append(step.observation)
        entries.append(step.entries)
        carried.see(step.entries[None])
        if len(observed) == STATES:
            break
        with torch.no_grad():
            output = carried.act(torch.as_tensor(step.observation)[None].to(agent.device, torch.float32))
        allowed = spec.allowed(step.entries[None])
        action: Any = choose(output, agent.spec, generator, EPSILON, allowed)[0]
        actions.append(action.tolist())
        step = environment.step(actions[-1])
        if step.terminated or step.truncated:
            step = environment.reset()
            carried.restart(np.arange(1))
            starts.append(len(observed))
    environment.close()
    return actions, _Played(torch.as_tensor(np.stack(observed)), np.stack(entries), starts)


def _replayed(factory: Callable[[], Environment], actions: Sequence[Any], seed: int) -> Observation:
    """The observations of the same game in another environment."""
    environment = factory()
    step = environment.reset(seed)
    observed = [step.observation]
    for action in actions:
        step = environment.step(action)
        if step.terminated or step.truncated:
            step = environment.reset()
        observed.append(step.observation)
    environment.close()
    return torch.as_tensor(np.stack(observed))


def _scores(agent: Agent, played: _Played) -> Scores:
    """The agent's scores (n, a) for the observations of a game, in their order."""
    parts: Sequence[Tensor] = torch.split(played.observed, 1 if is_recurrent(agent) else TOGETHER)
    carried, scores = Carried(agent, 1), list[Tensor]()
    with torch.no_grad():
        for number, part in enumerate(parts):
            observation = part.to(agent.device, torch.float32)
            if not is_recurrent(agent):
                scores.append(agent(observation).scores)
                continue
            if number in played.starts:
                carried.restart(np.arange(1))
            carried.see(played.entries[number : number + 1])
            scores.append(carried.act(observation).scores)
    return torch.cat(scores)


def _difference(spec: AgentSpec, first: Scores, second: Scores) -> float:
    """How often the agent acts otherwise: the share of states, or the mean probability if actions are sampled."""
    if spec.acts == "sampled":
        return float((first.softmax(dim=1) - second.softmax(dim=1)).abs().sum(dim=1).mean() / 2)
    return 1.0 - float(same_action(first, second, spec.action_bounds).float().mean())
