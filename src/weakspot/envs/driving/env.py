"""The town as gymnasium environments (paper, section 4.7).

    weakspot/Drive-v0           eight frames of depth, semantic classes and gray, as in the paper's first experiment
    weakspot/DriveSemantic-v0   four frames of semantic classes, as in its second

An observation is a uint8 array (frames * channels, height, width).  Frames are concatenated, oldest first; frames from
before the episode are black.  The depth channel is 255 at the car and 0 at 100 metres and beyond; each class has a channel
that is 255 where the class is; the gray channel is the shaded image.  A step lasts 0.1 seconds, or ``hold`` times as long.
The reward of each 0.1 seconds is

    metres along the lane / 14  -  0.01 |lateral acceleration| / 5 m/s^2  -  1 if it ends the episode

Driving along the lane at the highest speed, 50 km/h, earns a reward of 1 per second.  On the wrong side of the street the
metres count negatively, on intersections they do not count.  An episode terminates with a collision, off the road, or when
the car crosses the stop line of a red light, and is truncated after ``seconds``; ``info["cause"]`` names the cause.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from weakspot.envs.base import continuous as continuous_action
from weakspot.envs.base import discrete
from weakspot.envs.driving.bicycle import MAX_LATERAL_ACCELERATION, MAX_SPEED, WHEELBASE
from weakspot.envs.driving.chase import chase
from weakspot.envs.driving.classes import CLASS_NAMES
from weakspot.envs.driving.pedestrians import DISTRACTED, REASONABLE, Behaviour
from weakspot.envs.driving.sensors import FAR, Camera, View, look
from weakspot.envs.driving.town import TownConfig, is_number, is_pair, is_whole
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
"""Steering (1 left, -1 right) and pedal (1 throttle, -1 brake) of each discrete action."""
DIMENSIONS = ("steer", "pedal")
PEDESTRIANS: dict[str, Behaviour | None] = {"reasonable": REASONABLE, "distracted": DISTRACTED, "none": None}
SENSORS = {"depth": ("depth",), "classes": CLASS_NAMES, "gray": ("gray",)}
SWERVE_PENALTY, END_PENALTY = 0.01, 1.0
BUFFER_OBSERVATIONS = 4
"""Size of the frame buffer, in observations; the larger it is, the less often frames are moved."""
_CLASS_NUMBERS = np.arange(len(CLASS_NAMES), dtype=np.uint8)[:, None, None]


class DriveEnv(gymnasium.Env[np.ndarray, Any]):
    """The town as a gymnasium environment; the module's docstring defines observations and rewards.

    Args:
        sensors: which of ``depth``, ``classes`` and ``gray`` a frame has, in this order.
        frames: number of frames in an observation, 1 to 64.
        pedestrians: ``reasonable``, ``distracted`` or ``none``, or the fraction of street crossings that pedestrians start
            without looking.
        size: height and width of a frame, 16 to 1024 each.
        continuous: whether actions are vectors of steering and pedal, each from -1 to 1, instead of indices of ``ACTIONS``.
        town: seed of the town.
        blocks: number of blocks of the town, from west to east and from south to north.
        cars, people: number of other cars and of pedestrians; there are no people if ``pedestrians`` is ``none``.
        seconds: length after which an episode is truncated.
        hold: length of a step in units of 0.1 seconds, like ``frame_skip`` in Atari games; 1 to 10.
        render_mode: ``rgb_array`` for a view of the car from behind and above, or None.

    Raises:
        ConfigError: one of these is invalid.
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
        self.shape = shape = (self.frames * len(self.channels), height, width)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32) if continuous else spaces.Discrete(len(ACTIONS))
        self._buffer = np.zeros((BUFFER_OBSERVATIONS * shape[0], height, width), np.uint8)
        self._end = shape[0]
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode.  A seed sets the random state from which this and all later episodes get their seeds."""
        super().reset(seed=seed)
        self.world.reset(int(self.np_random.integers(2**31)))
        self._window()[:] = 0
        self._running = True
        self._append_frame()
        return self._window().copy(), self._info(None, 0.0)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Takes an action for ``hold`` times 0.1 seconds.

        Raises:
            ConfigError: there is no such action, or no episode is running.
        """
        if not self._running:
            raise ConfigError("step() without a running episode", expected="reset() before step()")
        controls = self._controls(action)
        reward, metres, terminated, truncated, cause = 0.0, 0.0, False, False, None
        for _ in range(self.hold):
            outcome = self.world.step(*controls)
            reward, metres, cause = reward + self._reward(outcome), metres + outcome.distance, outcome.cause
            terminated = cause is not None
            truncated = not terminated and self.world.state.decisions * SECONDS >= self.seconds - SECONDS / 2
            if terminated or truncated:
                break
        self._append_frame()
        self._running = not (terminated or truncated)
        return self._window().copy(), reward, terminated, truncated, self._info("time" if truncated else cause, metres)

    def view(self) -> View:
        """The driver's current view: depth in metres, classes, and gray."""
        return look(self.world, self.camera)

    def render(self) -> np.ndarray | None:
        """The view from behind (360, 640, 3) uint8, or None without a render mode."""
        return chase(self.world) if self.render_mode == "rgb_array" else None

    def get_state(self) -> bytes:
        """Everything needed to continue bit for bit, under a checksum: world, frame stack and random state."""
        header = {
            "settings": self._settings(),
            "running": self._running,
            "seeds": self.np_random.bit_generator.state,
        }
        return pack(header, {"world": self.world.get_state(), "observation": self._window().tobytes()})

    def set_state(self, stored: bytes) -> np.ndarray:
        """Restores a state, and returns the observation there.

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

    def _append_frame(self) -> None:
        """Appends the current view to the frame stack."""
        count, view = len(self.channels), self.view()
        if self._end + count > len(self._buffer):  # the buffer is full: move the frame stack to its start
            stack = self._window()[count:].copy()
            self._buffer[: len(stack)] = stack
            self._end = len(stack)
        frame = self._buffer[self._end : self._end + count]
        self._end += count
        channel = 0
        for sensor in self.sensors:
            if sensor == "depth":
                frame[channel] = 255.5 - view.depth * np.float32(255 / FAR)
            elif sensor == "gray":
                frame[channel] = view.gray
            else:
                classes = frame[channel : channel + len(CLASS_NAMES)]
                np.equal(view.classes, _CLASS_NUMBERS, out=classes.view(np.bool_))
                np.negative(classes, out=classes)  # 1 becomes 255
            channel += len(SENSORS[sensor])

    def _window(self) -> np.ndarray:
        """The current frame stack, a view into the buffer."""
        return self._buffer[self._end - self.shape[0] : self._end]

    def _reward(self, outcome: Outcome) -> float:
        car = self.world.state.car
        lateral = car.speed * car.speed * abs(math.tan(car.steer)) / WHEELBASE / MAX_LATERAL_ACCELERATION
        return outcome.along / MAX_SPEED - SWERVE_PENALTY * lateral - END_PENALTY * (outcome.cause is not None)

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
    """How pedestrians behave; None for no pedestrians."""
    if isinstance(pedestrians, str) and pedestrians in PEDESTRIANS:
        return PEDESTRIANS[pedestrians]
    if is_number(pedestrians):
        return Behaviour(distraction=float(pedestrians))
    raise ConfigError(f"pedestrians = {pedestrians!r}", expected=f"{', '.join(PEDESTRIANS)}, or a fraction from 0 to 1")


def _pair(name: str, value: object) -> tuple[int, int]:
    """Two whole numbers."""
    if isinstance(value, tuple | list) and is_pair(pair := tuple(cast("tuple[Any, ...]", value)), is_whole):
        return int(pair[0]), int(pair[1])
    raise ConfigError(f"{name} = {value!r}", expected="two whole numbers")


def _check(sensors: object, frames: Any, seconds: Any, hold: Any, render_mode: object, continuous: object) -> None:
    """Raises :class:`ConfigError` for invalid arguments of :class:`DriveEnv`, which may come from a user's file."""
    names = tuple(cast("tuple[object, ...]", sensors)) if isinstance(sensors, tuple | list) else ()
    if not names or names != tuple(name for name in SENSORS if name in names):
        raise ConfigError(f"sensors = {sensors!r}", expected=f"some of {', '.join(SENSORS)}, in this order")
    for name, number, maximum in (("frames", frames, 64), ("hold", hold, 10)):
        if not (is_whole(number) and 1 <= number <= maximum):
            raise ConfigError(f"{name} = {number!r}", expected=f"a whole number from 1 to {maximum}")
    if not (is_number(seconds) and seconds > 0):
        raise ConfigError(f"seconds = {seconds!r}", expected="a number above 0")
    if not (render_mode is None or (isinstance(render_mode, str) and render_mode == "rgb_array")):
        raise ConfigError(f"render_mode = {render_mode!r}", expected="rgb_array, or None")
    if not isinstance(continuous, bool):
        raise ConfigError(f"continuous = {continuous!r}", expected="True or False")
