"""Recorded states, and what is computed from them: targets, threads, images, maps and reconstructions."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache

import numpy as np
import torch

from weakspot.agents.base import AgentOutput
from weakspot.analysis.config import PolicyValuesConfig
from weakspot.analysis.policy_values import fit_temperature
from weakspot.analysis.returns import returns_as_trained
from weakspot.config import RunConfig
from weakspot.data.dataset import StateDataset, as_stacks, as_state
from weakspot.report.images import in_colour
from weakspot.saliency.rules import saliency
from weakspot.saliency.weights import loss_weights
from weakspot.search.method import Sources
from weakspot.session import Session, sharpness_for
from weakspot.state_model.batch import with_full_history
from weakspot.state_model.config import TrainConfig
from weakspot.system.compute import threads
from weakspot.targets.base import Target
from weakspot.targets.names import needs_policy_values
from weakspot.targets.resolve import default_targets, resolve_target
from weakspot.types import Frames, Stacks, State

BATCH = 64


def worker_threads() -> AbstractContextManager[None]:
    """As many threads for tensor work as the training of a state model has workers."""
    return threads(TrainConfig().parts)


def whole_states(dataset: StateDataset) -> np.ndarray:
    """Indices of all states with whole histories (n,)."""
    return with_full_history(dataset, np.arange(len(dataset)))


def real_states(session: Session, indices: np.ndarray) -> State:
    """Recorded states (n, kc, h, w) in [0, 1]."""
    return as_state(session.dataset.stacks(indices))


def held_out_outputs(session: Session) -> AgentOutput:
    """The agent's outputs in the held-out states."""
    return session.recorded_outputs(session.held_out)


def target_named(session: Session, name: str) -> Target:
    """The target of that name, scaled to the recorded scores as in a run, with action values fitted if it needs them."""
    spec, sharpness = session.subject.agent.spec, sharpness_for(session.dataset, RunConfig().sharpness)
    if needs_policy_values(name, spec.action_names, spec.scores_are):
        return resolve_target(name, spec, sharpness, _temperature(session))
    return resolve_target(name, spec, sharpness)


@lru_cache(maxsize=4)
def _temperature(session: Session) -> float:
    """The temperature of a policy's action values, fitted as in a run with the default settings."""
    return fit_temperature(session.dataset, returns_as_trained(session.dataset, PolicyValuesConfig().gamma)).tau


def default_target_names(session: Session) -> tuple[str, ...]:
    """Names of the agent's default targets."""
    return default_targets(session.subject.agent.spec, session.recorded_outputs(session.trained_on))


@lru_cache(maxsize=1)
def search_sources(session: Session) -> Sources:
    """What search methods may use: the agent, the states that the model was trained on, and the model.

    One object per session, since Algorithm 1 draws its candidates once for each.
    """
    outputs = session.recorded_outputs(session.trained_on)
    return Sources(session.perceive_for_targets, session.dataset, session.trained_on, outputs, session.model)


def stacks_of(session: Session, states: State) -> Stacks:
    """States as stacks of frames (n, k, h, w, c), uint8."""
    return as_stacks(states.detach().cpu(), session.dataset.environment.channels)


def newest_images(session: Session, stacks: Stacks) -> Frames:
    """The newest frame of each stack as an RGB image (n, h, w, 3)."""
    colours = session.dataset.environment.channel_colours
    return (in_colour(stacks[:, -1:], colours) if colours else stacks[:, -1:])[:, 0]


def state_images(session: Session, states: State) -> Frames:
    """The newest frame of each state as an RGB image (n, h, w, 3)."""
    return newest_images(session, stacks_of(session, states))


def newest_loss_weights(session: Session, indices: np.ndarray) -> np.ndarray:
    """The weights of the reconstruction loss (eq. 2) over the newest frame of recorded states (n, h, w)."""
    device = session.subject.agent.device
    parts = np.array_split(indices, -(-len(indices) // BATCH))
    maps = [loss_weights(saliency(session.perceive, real_states(session, part).to(device)))[:, -1] for part in parts]
    return torch.cat(maps).cpu().numpy()


def reconstructed(session: Session, states: State) -> State:
    """The state model's reconstructions of states (n, kc, h, w)."""
    with torch.no_grad():
        return torch.cat([session.model.reconstruct(part) for part in states.split(BATCH)])
