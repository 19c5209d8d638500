"""Agents out of networks that were read from files: do they fit their environment, and how do they act?"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from weakspot.agents.base import AgentSpec, ScoresAre
from weakspot.agents.module import ModuleAgent, fingerprint
from weakspot.errors import MismatchError, WeightsError
from weakspot.games import environment_id, id_in, resolve_game
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
