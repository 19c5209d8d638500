"""The agent under test and the environment it plays in, checked against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from weakspot.agents.base import Agent, Perceiver
from weakspot.agents.formats.rl_zoo import read_training
from weakspot.agents.formats.sb3_files import is_training
from weakspot.agents.load import load_agent
from weakspot.config import RunConfig
from weakspot.data.collect import check_fit
from weakspot.envs.base import Environment, EnvironmentSpec
from weakspot.envs.description import Description, description_of, read_description
from weakspot.envs.driving.registration import ENVIRONMENTS
from weakspot.envs.make import described, environment_factory
from weakspot.errors import OutputError
from weakspot.saliency.rules import saliency
from weakspot.system.compute import check_device
from weakspot.system.provenance import file_digest
from weakspot.system.user_code import local_files, local_module, parse_reference
from weakspot.types import State


@dataclass(frozen=True)
class Subject:
    """The agent under test and where it plays.

    Attributes:
        agent: the agent.
        factory: makes environments it plays in.
        perceive: A(s).
        spec: of the environment.
    """

    agent: Agent
    factory: Callable[[], Environment]
    perceive: Perceiver
    spec: EnvironmentSpec


def subject(config: RunConfig) -> Subject:
    """Loads the agent and checks that it fits its environment, before anything takes long."""
    agent, factory, probe = load_pair(config.agent, config.environment, config.device, trust=config.trust)
    probe.close()
    perceive = Perceiver(agent, probe.observe, config.saliency)
    state = noise_state(probe.spec, agent.device)
    if not torch.isfinite(perceive(state).vector()).all():
        raise OutputError(
            f"agent {agent.spec.name!r} answered nan or infinity to a made-up state",
            expected="finite numbers for any image",
            todo="check its weights, and the range it expects its observations in (they are 0 to 255)",
        )
    saliency(perceive, state)  # refuses networks for which it is not defined
    return Subject(agent, factory, perceive, probe.spec)


def load_pair(
    agent: str, environment: str | None, device: str, *, trust: bool = False
) -> tuple[Agent, Callable[[], Environment], Environment]:
    """An agent, what makes copies of the environment it plays in, and one copy; they fit each other.

    Args:
        agent: what :func:`load_agent` takes.
        environment: an Atari game, an id of gymnasium, or a TOML file; None where the agent's file or folder tells it.
        device: where the agent computes.
        trust: run the code that the agent's file holds, if it holds any.

    Raises:
        AgentError: the agent cannot be used, or was made for another environment.
        ConfigError: there is no such environment or device.
    """
    description = trained_with(agent)
    if environment and (description is None or environment != description.id):  # of an id, the folder knows more
        description = described(environment)
    known = description or (environment if environment in ENVIRONMENTS else None)
    if known:
        factory = environment_factory(known)
        probe = factory()
        loaded = load_agent(agent, environment=probe.spec.interface, device=check_device(device), trust=trust)
    else:
        loaded = load_agent(agent, environment=environment, device=check_device(device), trust=trust)
        factory = environment_factory(environment or loaded.spec.environment)
        probe = factory()
    check_fit(loaded.spec, probe.spec)
    return loaded, factory, probe


def trained_with(agent: str) -> Description | None:
    """How the environment of an agent that lies in the folder of a training with RL Zoo was made and shown; None for
    Atari games, and for agents that lie elsewhere."""
    folder = Path(agent).expanduser()
    progress_bar = read_training(folder).shown if is_training(folder) else None
    return description_of(progress_bar, folder) if progress_bar else None


def noise_state(spec: EnvironmentSpec, device: torch.device) -> State:
    """One state of noise (1, kc, h, w), for trying things out."""
    shape = (1, spec.frames * spec.channels, spec.height, spec.width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)


def code_digests(names: list[str]) -> list[str]:
    """Fingerprints of the user's own files among names such as ``path.py:function``, ``path.toml`` and ``module:id``, and of
    those of their neighbours that they import."""
    return [file_digest(path) for name in names for path in code_files(name)]


def code_files(name: str) -> list[Path]:
    """The files of the user's own behind a name such as ``path.py:function``, ``path.toml`` or ``module:id``."""
    if found := parse_reference(name):
        return local_files(found[0])
    if (path := Path(name).expanduser()).suffix == ".toml":
        return [path, *code_files(read_description(path).id)]
    module, colon, _ = name.partition(":")
    return local_module(module) if colon else []
