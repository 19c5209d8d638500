"""Driving: episodes in the town, the scenes in which drivers decide, and the semantic classes of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from weakspot.agents.base import Agent, AgentOutput, choose
from weakspot.agents.load import load_agent
from weakspot.analysis.objects.driving import classes_of, shares, visible_objects
from weakspot.analysis.samples import draw_samples
from weakspot.artifacts.run import Run
from weakspot.artifacts.training import WEIGHTS
from weakspot.data.dataset import StateDataset, as_stacks, as_state, recorded_outputs
from weakspot.envs.driving.classes import CLASS_NAMES, colours
from weakspot.envs.driving.env import ACTIONS, PEDESTRIANS
from weakspot.envs.driving.environment import DriveEnvironment
from weakspot.envs.driving.sensors import Camera
from weakspot.envs.driving.world import CAUSES, SECONDS, STATE_VERSION
from weakspot.session import sharpness_for
from weakspot.state_model.batch import with_full_history
from weakspot.state_model.model import StateModel, load
from weakspot.targets.base import Target
from weakspot.targets.resolve import resolve_target
from weakspot.types import State

ACTION_NAMES = tuple(ACTIONS)
BRAKE = ACTION_NAMES.index("BRAKE")
BATCH = 32


@dataclass(frozen=True)
class Decision:
    """A driver's decision.

    Attributes:
        action: its number.
        brake: the probability of braking; None for drivers without observations.
        value: the critic's value, or None.
    """

    action: int
    brake: float | None = None
    value: float | None = None


@dataclass(frozen=True)
class SceneOutputs:
    """An agent's outputs in an episode, summed over the decisions in one kind of scene.

    Attributes:
        decisions: their number.
        brake: sum of the probabilities of braking.
        value: sum of the critic's values, or None.
    """

    decisions: int
    brake: float
    value: float | None


@dataclass(frozen=True)
class Episode:
    """One episode.

    Attributes:
        metres: distance driven.
        reward: total reward.
        seconds: duration.
        cause: of its end; ``time`` if the time was over.
        outputs_by_scene: of the agent, by the kind of scene; empty for drivers without observations.
    """

    metres: float
    reward: float
    seconds: float
    cause: str
    outputs_by_scene: dict[str, SceneOutputs] = field(default_factory=dict)


Driver = Callable[[np.ndarray], Decision]
"""Decides on an observation (c, h, w)."""


def pedestrian_kinds() -> tuple[str, ...]:
    """The kinds of pedestrians in the town."""
    return tuple(PEDESTRIANS)


def causes_of_ends() -> tuple[str, ...]:
    """Why episodes end, apart from time."""
    return CAUSES


def town_version() -> int:
    """The version of the town's dynamics, which results depend on."""
    return STATE_VERSION


def agent_driver(agent: Agent, seed: int) -> Driver:
    """The agent, which acts as its spec says."""
    generator = torch.Generator().manual_seed(seed)

    def drive(observation: np.ndarray) -> Decision:
        with torch.inference_mode():
            output = agent(torch.from_numpy(observation[None]).to(agent.device, torch.float32))
            action = int(choose(output, agent.spec, generator)[0])
            return Decision(action, _brake(agent, output), None if output.value is None else float(output.value[0]))

    return drive


def _brake(agent: Agent, output: AgentOutput) -> float:
    """The probability of braking; for scores that are not log-probabilities, 1 if braking is the best action, else 0."""
    if agent.spec.scores_are == "log-probabilities":
        return float(output.scores[0].softmax(dim=0)[BRAKE])
    return float(output.scores[0].argmax() == BRAKE)


def random_driver(seed: int) -> Driver:
    """A driver that takes random actions."""
    generator = np.random.default_rng(seed)
    return lambda observation: Decision(int(generator.integers(len(ACTION_NAMES))))


def constant_driver(action: str) -> Driver:
    """A driver that always takes one action."""
    number = ACTION_NAMES.index(action)
    return lambda observation: Decision(number)


def make_driver(kind: str, agent_file: str, seed: int) -> tuple[Driver, str]:
    """A driver, and the id of the environment of the agent in a file.

    Args:
        kind: ``agent``, ``random``, or ``always ACTION``.
        agent_file: the agent's file.
        seed: of sampled and random actions.
    """
    agent = load_agent(agent_file)
    if kind == "agent":
        return agent_driver(agent, seed), agent.spec.environment
    driver = random_driver(seed) if kind == "random" else constant_driver(kind.split()[1])
    return driver, agent.spec.environment


def drive_episodes(driver: Driver, environment: str, pedestrians: str, count: int, first_seed: int) -> list[Episode]:
    """``count`` episodes in an environment, each with its own seed, starting with ``first_seed``."""
    env = DriveEnvironment(environment, pedestrians=pedestrians).env
    episodes = []
    for seed in range(first_seed, first_seed + count):
        observation, info = env.reset(seed=seed)
        metres = total = 0.0
        frames, decisions = [], []
        while True:
            decisions.append(driver(observation))
            if decisions[-1].brake is not None:
                frames.append(env.view().classes)
            observation, reward, terminated, truncated, info = env.step(decisions[-1].action)
            metres, total = metres + info["metres"], total + reward
            if terminated or truncated:
                break
        outputs_by_scene = _outputs_by_scene(np.stack(frames), decisions, env.camera) if frames else {}
        episodes.append(Episode(metres, total, env.world.state.decisions * SECONDS, info["cause"], outputs_by_scene))
    return episodes


def _outputs_by_scene(classes: np.ndarray, decisions: list[Decision], camera: Camera) -> dict[str, SceneOutputs]:
    """An agent's outputs to frames of classes (n, h, w), summed by the kind of scene."""
    brake = np.array([decision.brake for decision in decisions], np.float64)
    value = np.array([decision.value for decision in decisions], np.float64)  # NaN without a critic
    return {
        name: SceneOutputs(
            int(mask.sum()), float(brake[mask].sum()), None if np.isnan(value).any() else float(value[mask].sum())
        )
        for name, mask in visible_objects(classes, camera).reasons().items()
    }


@dataclass(frozen=True)
class DrivingRun:
    """The recorded states and findings of a finished run in a driving environment.

    Attributes:
        run: the run.
        dataset: its recorded states.
        held_out: indices of whole states that the state model was not trained on.
        channels: names of the channels of a frame.
        camera: that the agent sees through.
    """

    run: Run
    dataset: StateDataset
    held_out: np.ndarray
    channels: tuple[str, ...]
    camera: Camera

    @property
    def outputs(self) -> AgentOutput:
        """The agent's outputs in the held-out states."""
        return recorded_outputs(self.dataset, self.held_out)

    def target(self, name: str) -> Target:
        """The target of that name, scaled to the recorded scores and with the action values of the run."""
        sharpness, values = sharpness_for(self.dataset, self.run.settings["sharpness"]), self.run.policy_values.get(name)
        return resolve_target(name, self.dataset.agent, sharpness, values.tau if values else None)

    def classes(self, stacks: np.ndarray) -> np.ndarray:
        """The classes (n, h, w) in the newest frames of stacks (n, k, h, w, c).

        Raises:
            ConfigError: the frames do not show classes.
        """
        return classes_of(stacks, self.channels)

    def real_classes(self) -> np.ndarray:
        """The classes (n, h, w) in the newest frames of the held-out states; raises :class:`ConfigError` as above."""
        return self.classes(self.dataset.newest(self.held_out)[:, None])

    @cached_property
    def model(self) -> StateModel:
        """The state model of the run."""
        return load(self.run.entries["train"].folder / WEIGHTS)

    @torch.inference_mode()
    def reconstructed_classes(self, indices: np.ndarray) -> np.ndarray:
        """The classes (n, h, w) in the newest frames of the reconstructions of recorded states."""
        parts = np.array_split(indices, max(1, len(indices) // BATCH))
        return self._classes(self.model.reconstruct(as_state(self.dataset.stacks(part))) for part in parts)

    def sampled_classes(self, count: int) -> np.ndarray:
        """The classes (n, h, w) in the newest frames of random samples of the state model."""
        return self._classes(torch.split(draw_samples(self.model, count), BATCH))

    def _classes(self, states: Iterable[State]) -> np.ndarray:
        return np.concatenate([self.classes(as_stacks(state, len(self.channels))) for state in states])


def open_driving_run(run: Run) -> DrivingRun:
    """Opens the recorded states of a finished run.

    Raises:
        DatasetError: they are damaged.
    """
    dataset = StateDataset.open(run.entries["collect"].folder)
    held_out = with_full_history(dataset, dataset.split(run.settings["train"]["held_out"])[1])
    channels = tuple(dataset.environment.preprocessing.get("channels", ()))
    camera = Camera(dataset.environment.height, dataset.environment.width)
    return DrivingRun(run, dataset, held_out, channels, camera)


def frame_contents(classes: np.ndarray, camera: Camera) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Which frames of classes (n, h, w) show each object (n,), by its name, and which show nothing in the car's way (n,)."""
    objects = visible_objects(classes, camera)
    return objects.counts, objects.empty


def reasons_to_brake(classes: np.ndarray, camera: Camera) -> dict[str, np.ndarray]:
    """Which frames of classes (n, h, w) show which reason to brake, or none, by its name (n,)."""
    return visible_objects(classes, camera).reasons()


def class_shares(classes: np.ndarray) -> dict[str, float]:
    """The mean share of pixels of each class."""
    return dict(zip(CLASS_NAMES, shares(classes).round(5).tolist(), strict=True))


def class_images(classes: np.ndarray) -> np.ndarray:
    """Frames of classes (n, h, w) as RGB images (n, h, w, 3)."""
    return colours(classes)
