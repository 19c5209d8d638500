"""Agents out of networks that were read from files: do they fit their environment, and how do they act?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from weakspot.agents.base import AgentSpec, ScoresAre
from weakspot.agents.module import ModuleAgent, fingerprint
from weakspot.errors import MismatchError, UnknownGameError, WeightsError
from weakspot.games import environment_id, id_in, interface, resolve_game
from weakspot.interface import Interface

WAY_OUT = "write a function that builds your network and loads these weights, and name it as path.py:factory"
"""What to do with weights whose network is not known here."""


def trained_on(path: Path, given: str | None, told: str | None = None) -> str:
    """The id of the Atari environment that an agent's file was trained on.

    Args:
        path: of the file; an id may stand in its name or in that of its folder.
        given: what the user says; needed where nothing else tells it.
        told: what the file itself says.

    Raises:
        WeightsError: nothing tells it.
        MismatchError: the user says another one than the file.
        UnknownGameError: no such game.
    """
    found = told or id_in(path.stem) or id_in(path.parent.name) or given
    if found is None:
        raise WeightsError(
            f"{path} does not tell which environment its agent was trained on",
            expected="an id in the file's name, such as acktr_PongNoFrameskip-v4.safetensors, or given explicitly",
            todo="give the environment, such as PongNoFrameskip-v4",
        )
    if given and resolve_game(given) != resolve_game(found):
        raise MismatchError(
            f"the agent in {path} was trained on {environment_id(found)}, not on {given}",
            expected=f"environment {environment_id(found)}, or none given",
            todo="leave the environment out, or choose another agent",
        )
    return found


def check_actions(path: Path, answered: float, interface: Interface) -> None:
    """Raises :class:`MismatchError` where a file's agent answers another number of actions than its environment has."""
    names = interface.action_names
    if answered != len(names):
        raise MismatchError(
            f"the agent in {path} answers {answered:g} actions",
            expected=f"{len(names)} for {interface.environment}: {', '.join(names)}",
            todo="name the environment the agent was trained on",
        )


def fitted(
    network: nn.Module,
    path: Path,
    interface: Interface,
    sees: tuple[int, ...],
    scores_are: ScoresAre,
    device: torch.device | str,
) -> ModuleAgent:
    """The agent out of a file at ``path``.

    Raises:
        MismatchError: it sees something else than its environment shows.
    """
    if tuple(sees) != interface.observation_shape:
        raise MismatchError(
            f"the agent in {path} sees observations of shape {tuple(sees)}",
            expected=f"{interface.observation_shape}, what {interface.environment} shows here",
            todo="describe the preprocessing it was trained with, or name another environment",
        )
    return agent_around(network, interface, path.stem, scores_are, device)


def agent_around(
    network: nn.Module, interface: Interface, name: str, scores_are: ScoresAre, device: torch.device | str
) -> ModuleAgent:
    """A network as an agent that takes the best of its Q-values or the means it answers, or draws from its
    log-probabilities."""
    spec = AgentSpec(
        name=name,
        environment=interface.environment,
        action_names=interface.action_names,
        observation_shape=interface.observation_shape,
        scores_are=scores_are,
        acts="sampled" if scores_are == "log-probabilities" else "greedy",
        fingerprint=fingerprint(network),
        action_bounds=interface.action_bounds,
    )
    return ModuleAgent(network, spec, torch.device(device))


def interface_for(path: Path, given: str | Interface | None, told: str | None = None) -> Interface:
    """That of the environment the user gives, or the file at ``path`` tells."""
    if not isinstance(given, Interface):
        return interface(trained_on(path, given, told))
    if told and not same_environment(told, given.environment):
        raise MismatchError(
            f"the agent in {path} was trained on {told}, not on {given.environment}",
            expected=f"environment {told}",
            todo="choose another environment, or another agent",
        )
    return given


def wrap(network: nn.Module, fits: Interface, *, name: str, device: torch.device | str = "cpu") -> ModuleAgent:
    """An agent around a network.

    A tensor is taken for Q-values and acted on greedily; a pair is taken for (logits, value), and actions are sampled.
    Where actions are continuous, either is taken for the means of the policy, which are acted on as they are.

    Args:
        network: maps observations (b, c, h, w) in 0 to 255 to Q-values, or to logits and values, or to means of
            continuous actions with or without values.
        fits: what the environment that it was trained on shows, and which actions it has.
        name: for people.
        device: where to compute.

    Raises:
        MismatchError: the network cannot take the environment's observations.
    """
    network = network.eval().to(device)
    try:
        with torch.no_grad():
            answer: Any = network(torch.zeros(1, *fits.observation_shape, device=device))
    except Exception as error:
        raise MismatchError(
            f"the network of {name} cannot take an observation of shape {(1, *fits.observation_shape)}: {error}",
            expected=f"a network for what {fits.environment} shows, in 0 to 255, channels first, in batches of any size",
            todo="wrap it in a module that converts the observation to what it was trained on",
        ) from error
    pair = isinstance(answer, (tuple, list))
    scores_are = "means" if fits.action_bounds else "log-probabilities" if pair else "q-values"
    return agent_around(network, fits, name, scores_are, device)


def same_environment(environment: str, other: str) -> bool:
    """Whether two ids name the same environment, whatever module registers it."""
    if environment.rpartition(":")[2] == other.rpartition(":")[2]:  # whatever module registers it
        return True
    try:
        return resolve_game(environment) == resolve_game(other)
    except UnknownGameError:
        return False
