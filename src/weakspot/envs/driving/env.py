"""The town as gymnasium environments (paper, section 4.7).

    weakspot/Drive-v0           eight frames of depth, semantic classes and gray, as in the paper's first experiment
    weakspot/DriveSemantic-v0   four frames of semantic classes, as in its second

An observation holds the frames one after the other, oldest first, black before the episode, each with its channels, as
bytes (frames * channels, height, width): depth is 255 at the car and 0 at 100 metres and beyond, each class has a channel of
its own with 255 where it is, gray is gray.  A decision lasts 0.1 seconds, or is held for some times as long.  The reward of
0.1 seconds is

    metres along the lane / 14  -  0.01 |sideways acceleration| / 5 m/s^2  -  1 if it ends the episode

so that driving at the highest speed, 50 km/h, along the lane is worth 1 a second; on the wrong side of the street metres
count backwards, on intersections they do not count.  Episodes end with a collision, off the road, and behind a red light's
stop line, or are cut off after their time; ``info["cause"]`` says which.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from weakspot.envs.base import continuous as continuous_action
from weakspot.envs.base import discrete
from weakspot.envs.driving.bicycle import MOST_SIDEWAYS, MOST_SPEED, WHEELBASE
from weakspot.envs.driving.chase import chase
from weakspot.envs.driving.classes import CLASS_NAMES
from weakspot.envs.driving.pedestrians import DISTRACTED, REASONABLE, Behaviour
from weakspot.envs.driving.sensors import FAR, Camera, View, look
from weakspot.envs.driving.town import TownConfig, are_two, is_number, is_whole
from weakspot.envs.driving.world import SECONDS, STATE_VERSION, Outcome, World, WorldConfig, plain
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError

ACTIONS: dict[str, tuple[float, float]] = {
    "COAST": (0.0, 0.0),
    "THROTTLE": (0.0, 1.0),
    "BRAKE": (0.0, -1.0),
    "LEFT": (1.0, 0.0),
    "RIGHT": (-1.0, 0.0),
    "THROTTLE_LEFT": (0.5, 1.0),
    "THROTTLE_RIGHT": (-0.5, 1.0),
}
"""Steering, 1 to the left and -1 to the right, and pedal, 1 throttle and -1 brake, of each discrete action."""
DIMENSIONS = ("steer", "pedal")
PEDESTRIANS: dict[str, Behaviour | None] = {"reasonable": REASONABLE, "distracted": DISTRACTED, "none": None}
SENSORS = {"depth": ("depth",), "classes": CLASS_NAMES, "gray": ("gray",)}
SWERVING, ENDING = 0.01, 1.0
ROOM = 4
"""Observations' worth of frames kept, so that they need not be moved with every decision."""
_NUMBERS = np.arange(len(CLASS_NAMES), dtype=np.uint8)[:, None, None]


class DriveEnv(gymnasium.Env[np.ndarray, Any]):
    """See the module.

    Args:
        sensors: which of ``depth``, ``classes`` and ``gray`` a frame has, in this order.
        frames: in an observation.
        pedestrians: ``reasonable``, ``distracted`` or ``none``, or the share of crossings that are begun without a look.
        size: height and width of a frame, 16 to 1024 each.
        continuous: whether actions are a row of steering and pedal, each from -1 to 1, instead of a number of ``ACTIONS``.
        town: seed of the town.
        blocks: of the town, from west to east and from south to north.
        cars, people: how many there are beside the agent's car; no people with pedestrians ``none``.
        seconds: after which an episode is cut off.
        hold: how many times 0.1 seconds a decision lasts, as ``frame_skip`` in Atari games; 1 to 10.
        render_mode: ``rgb_array``, a view over the car from behind, or None.

    Raises:
        ConfigError: one of these cannot be.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / SECONDS)}

    def __init__(
        self,
        sensors: tuple[str, ...] = ("depth", "classes", "gray"),
        frames: int = 8,
        pedestrians: str | float = "reasonable",
        size: tuple[int, int] = (128, 128),
        continuous: bool = False,
        town: int = 0,
        blocks: tuple[int, int] = (5, 5),
        cars: int = 30,
        people: int = 200,
        seconds: float = 60.0,
        hold: int = 1,
        render_mode: str | None = None,
    ) -> None:
        _check(sensors, frames, seconds, hold, render_mode, continuous)
        behaviour = _behaviour(pedestrians)
        height, width = _pair("size", size)
        self.camera = Camera(height, width)
        config = WorldConfig(TownConfig(town, _pair("blocks", blocks)), cars, people, behaviour or REASONABLE)
        self.world = World(config if behaviour else replace(config, people=0))
        self.sensors, self.frames, self.continuous = tuple(sensors), int(frames), continuous
        self.channels = tuple(name for sensor in self.sensors for name in SENSORS[sensor])
        self.seconds, self.hold, self.render_mode = seconds, int(hold), render_mode
        self.metadata = {**self.metadata, "render_fps": round(1 / (self.hold * SECONDS))}
        shape = (self.frames * len(self.channels), height, width)
        self.observation_space: spaces.Box = spaces.Box(0, 255, shape, np.uint8)
        self.action_space: Any = spaces.Box(-1, 1, (2,), np.float32) if continuous else spaces.Discrete(len(ACTIONS))
        self._film = np.zeros((ROOM * shape[0], height, width), np.uint8)
        self._end = shape[0]
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode; with a seed, restarts the seeds of all episodes from it."""
        super().reset(seed=seed)
        self.world.reset(int(self.np_random.integers(2**31)))
        self._window()[:] = 0
        self._running = True
        self._see()
        return self._window().copy(), self._info(None, 0.0)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One decision.

        Raises:
            ConfigError: there is no such action, or no episode is running.
        """
        if not self._running:
            raise ConfigError("a decision without a running episode", expected="reset() before step()")
        controls = self._controls(action)
        reward, metres, terminated, truncated, cause = 0.0, 0.0, False, False, None
        for _ in range(self.hold):
            outcome = self.world.step(*controls)
            reward, metres, cause = reward + self._reward(outcome), metres + outcome.way, outcome.cause
            terminated = cause is not None
            truncated = not terminated and self.world.state.decisions * SECONDS >= self.seconds - SECONDS / 2
            if terminated or truncated:
                break
        self._see()
        self._running = not (terminated or truncated)
        return self._window().copy(), reward, terminated, truncated, self._info("time" if truncated else cause, metres)

    def view(self) -> View:
        """What the driver sees now: depth in metres, classes, and gray."""
        return look(self.world, self.camera)

    def render(self) -> np.ndarray | None:
        """The view from behind (360, 640, 3) uint8, or None where no render mode was chosen."""
        return chase(self.world) if self.render_mode == "rgb_array" else None

    def get_state(self) -> bytes:
        """Everything needed to go on bit for bit, under a checksum: the world, the frames seen, the random numbers."""
        header = {
            "settings": self._settings(),
            "running": self._running,
            "seeds": self.np_random.bit_generator.state,
        }
        return pack(header, {"world": self.world.get_state(), "observation": self._window().tobytes()})

    def set_state(self, stored: bytes) -> np.ndarray:
        """Goes back to a state, and returns the observation there.

        Raises:
            SnapshotError: the bytes are damaged, or of an environment with other settings or of another version.
        """
        header, parts = unpack_for(self._settings(), stored)
        self.world.set_state(parts["world"])
        self._running = header["running"]
        self.np_random.bit_generator.state = header["seeds"]
        window = self._window()
        window[:] = np.frombuffer(parts["observation"], np.uint8).reshape(window.shape)
        return self._window().copy()

    def _controls(self, action: Any) -> tuple[float, float]:
        if self.continuous:
            steer, pedal = continuous_action(action, DIMENSIONS, ((-1.0, 1.0), (-1.0, 1.0)))
            return steer, pedal
        return list(ACTIONS.values())[discrete(action, len(ACTIONS))]

    def _see(self) -> None:
        """Puts what is seen now behind the other frames."""
        count, view = len(self.channels), self.view()
        if self._end + count > len(self._film):  # back to the beginning; most steps move nothing
            kept = self._window()[count:].copy()
            self._film[: len(kept)] = kept
            self._end = len(kept)
        frame = self._film[self._end : self._end + count]
        self._end += count
        at = 0
        for sensor in self.sensors:
            if sensor == "depth":
                frame[at] = 255.5 - view.depth * np.float32(255 / FAR)
            elif sensor == "gray":
                frame[at] = view.gray
            else:
                shown = frame[at : at + len(CLASS_NAMES)]
                np.equal(view.classes, _NUMBERS, out=shown.view(np.bool_))
                np.negative(shown, out=shown)  # 255 for 1
            at += len(SENSORS[sensor])

    def _window(self) -> np.ndarray:
        """The frames seen last."""
        return self._film[self._end - self.observation_space.shape[0] : self._end]

    def _reward(self, outcome: Outcome) -> float:
        car = self.world.state.car
        sideways = car.speed * car.speed * abs(math.tan(car.steer)) / WHEELBASE / MOST_SIDEWAYS
        return outcome.along / MOST_SPEED - SWERVING * sideways - ENDING * (outcome.cause is not None)

    def _info(self, cause: str | None, metres: float) -> dict[str, Any]:
        return {"cause": cause, "metres": metres, "speed": self.world.state.car.speed}

    def _settings(self) -> dict[str, Any]:
        settings = {
            "version": STATE_VERSION,
            "sensors": self.sensors,
            "frames": self.frames,
            "camera": asdict(self.camera),
            "continuous": self.continuous,
            "seconds": self.seconds,
            "hold": self.hold,
        }
        return plain(settings)


def _behaviour(pedestrians: str | float) -> Behaviour | None:
    """How pedestrians behave, or None where there are none."""
    if isinstance(pedestrians, str) and pedestrians in PEDESTRIANS:
        return PEDESTRIANS[pedestrians]
    if is_number(pedestrians):
        return Behaviour(distraction=float(pedestrians))
    raise ConfigError(f"pedestrians = {pedestrians!r}", expected=f"{', '.join(PEDESTRIANS)}, or a share from 0 to 1")


def _pair(name: str, given: Any) -> tuple[int, int]:
    """Two whole numbers."""
    if not (isinstance(given, tuple | list) and are_two(tuple(given), is_whole)):
        raise ConfigError(f"{name} = {given!r}", expected="two whole numbers")
    return int(given[0]), int(given[1])


def _check(
    sensors: tuple[str, ...], frames: int, seconds: float, hold: int, render_mode: str | None, continuous: bool
) -> None:
    named = isinstance(sensors, tuple | list) and all(isinstance(name, str) for name in sensors)
    if not (named and sensors and tuple(sensors) == tuple(name for name in SENSORS if name in sensors)):
        raise ConfigError(f"sensors = {sensors!r}", expected=f"some of {', '.join(SENSORS)}, in this order")
    for name, number, most in (("frames", frames, 64), ("hold", hold, 10)):
        if not (is_whole(number) and 1 <= number <= most):
            raise ConfigError(f"{name} = {number!r}", expected=f"a whole number from 1 to {most}")
    if not (is_number(seconds) and seconds > 0):
        raise ConfigError(f"seconds = {seconds!r}", expected="a time above 0")
    if not (render_mode is None or (isinstance(render_mode, str) and render_mode == "rgb_array")):
        raise ConfigError(f"render_mode = {render_mode!r}", expected="rgb_array, or None")
    if not isinstance(continuous, bool):
        raise ConfigError(f"continuous = {continuous!r}", expected="True or False")
