"""The agent under test and the environment it plays in, checked against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import torch

from weakspot.agents import zoo
from weakspot.agents.base import Agent, Perceiver
from weakspot.agents.formats.card_record import METADATA_KEY, read_card
from weakspot.agents.formats.rl_zoo import read_training
from weakspot.agents.formats.sb3_files import is_training
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.weights import read_weights
from weakspot.artifacts.subject import AgentRecord, Card, EnvironmentRecord, SubjectRecord
from weakspot.config import RunConfig
from weakspot.data.collect import check_fit
from weakspot.envs.base import Environment, EnvironmentSpec
from weakspot.envs.description import Description, description_of
from weakspot.envs.family import family_of
from weakspot.envs.make import environment_factory, find_description
from weakspot.errors import OutputError
from weakspot.saliency.rules import saliency
from weakspot.system.compute import check_device
from weakspot.types import State

USUAL = 84 * 84
"""Pixels of the frames of Atari agents."""
LARGE = 4 * USUAL
"""From this many pixels on, there is a warning of the time that a run takes."""


@dataclass(frozen=True)
class Subject:
    """The agent under test and where it plays.

    Attributes:
        reference: name or path of the agent, as the user gave it.
        agent: the agent.
        factory: creates copies of the environment.
        perceive: A(s), the agent's outputs as a function of states.
        spec: of the environment.
    """

    reference: str
    agent: Agent
    factory: Callable[[], Environment]
    perceive: Perceiver
    spec: EnvironmentSpec


def load_subject(config: RunConfig) -> Subject:
    """Loads the agent and its environment, and checks that they fit each other and that saliency is defined for the agent.

    Raises:
        AgentError: the agent cannot be used.
        ConfigError: there is no such environment or device.
    """
    agent, factory, probe = load_pair(config.agent, config.environment, config.device, trust=config.trust)
    probe.close()
    perceive = Perceiver(agent, probe.observe, config.saliency)
    state = noise_state(probe.spec, agent.device)
    if not torch.isfinite(perceive(state).vector()).all():
        raise OutputError(
            f"agent {agent.spec.name!r} returned NaN or infinity for a random state",
            expected="finite numbers for any image",
            todo="check its weights, and the range of observations it expects (they are 0 to 255)",
        )
    saliency(perceive, state)  # raises for networks for which it is not defined
    return Subject(config.agent, agent, factory, perceive, probe.spec)


def load_pair(
    agent: str, environment: str | None, device: str, *, trust: bool = False
) -> tuple[Agent, Callable[[], Environment], Environment]:
    """An agent, a function that creates copies of its environment, and one copy, checked against each other.

    Args:
        agent: a reference, see :func:`load_agent`.
        environment: an Atari game, a gymnasium id, a TOML file, or an environment of another package; None if the agent's
            file or folder names it.
        device: the device of the agent.
        trust: allow code in the agent's file to run.

    Raises:
        AgentError: the agent cannot be used, or was made for another environment.
        ConfigError: there is no such environment or device.
    """
    description = trained_with(agent)
    if environment and (description is None or environment != description.id):  # the folder describes the wrappers as well
        description = find_description(environment)
    known = description or (environment if environment and family_of(environment) != "atari" else None)
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


def large_frames(spec: EnvironmentSpec) -> str:
    """A warning of the time that large frames take; empty if they are not large."""
    height, width = spec.height, spec.width
    if height * width <= LARGE:
        return ""
    return (
        f"frames of {height}x{width} pixels: collecting, training and searching take about "
        f"{height * width / USUAL:.0f} times as long as with 84x84, and need as much more memory; for an agent that sees "
        "smaller frames, size = [84, 84] in a TOML file resizes them"
    )


def trained_with(agent: str) -> Description | None:
    """The environment that an RL Zoo training folder describes; None for Atari games, and if ``agent`` is no such folder."""
    folder = Path(agent).expanduser()
    settings = read_training(folder).description if is_training(folder) else None
    return description_of(settings, folder) if settings else None


def noise_state(spec: EnvironmentSpec, device: torch.device) -> State:
    """One state of uniform noise (1, kc, h, w) in [0, 1], for checks before any state is recorded."""
    shape = (1, spec.frames * spec.channels, spec.height, spec.width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)


def record_of(subject: Subject) -> SubjectRecord:
    """Agent and environment as an artifact."""
    spec, environment = subject.agent.spec, subject.spec
    output = subject.perceive(noise_state(environment, subject.agent.device))
    return SubjectRecord(
        agent=AgentRecord(**asdict(spec), card=card_of(subject.reference)),
        environment=EnvironmentRecord(**asdict(environment)),
        has_critic=output.value is not None,
    )


SCORES = {"score_mean": "mean", "score_std": "std", "episodes": "episodes"}
TRAINING = {"steps": "policy_steps", "algorithm": "algorithm", "command": "command"}
"""The fields of an artifact's card, and the entries for them in the score and the training on the card of a file."""


def card_of(reference: str) -> Card | None:
    """The training and the score on the card in the agent's file; None if there is no card, or if it is incomplete."""
    path = zoo.path(reference) if reference in zoo.names() else Path(reference).expanduser()
    if path.suffix != ".safetensors":
        return None
    metadata = read_weights(path)[1]
    if METADATA_KEY not in metadata:
        return None
    card = read_card(metadata, str(path))
    entries = {
        **{name: card.score.get(entry) for name, entry in SCORES.items()},
        **{name: card.training.get(entry) for name, entry in TRAINING.items()},
    }
    try:
        return msgspec.convert(entries, Card)
    except msgspec.ValidationError:  # a card need not have all of them
        return None
