"""One Atari game on one emulator: colour states, the agent's gray observation, and snapshots to go back to.

Observations are bit for bit those of ``ale_py.vector_env.AtariVectorEnv``: at reset up to ``noop_max - 1`` emulator
frames, the first of them FIRE, then the action repeated for ``frame_skip`` emulator frames, pixel maximum over the last
two of them, gray, resized by area, a stack of ``frames``, oldest first, black at reset but for the newest.  Only the
random numbers (no-ops, sticky actions) are our own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from ale_py import Action, ALEInterface, ALEState, LoggerMode, roms

from weakspot.envs.base import EnvironmentSpec, Step, check_running, discrete, last_shown
from weakspot.envs.observation import gray_observation
from weakspot.envs.screen import Screen
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError
from weakspot.games import all_actions, environment_id, minimal_actions, resolve_game, sticky_actions
from weakspot.types import Decision, Observation, State


@dataclass(frozen=True)
class AtariConfig:
    """How a game is played and shown.

    Attributes:
        game: the game's name or id: ``pong``, ``Pong``, ``PongNoFrameskip-v4``, ``ALE/Pong-v5``.
        frame_skip: emulator frames a decision.
        noop_max: a reset is followed by 0 to ``noop_max - 1`` emulator frames, the press of FIRE among them.
        frames: k, frames in a state.
        size: height and width of a frame, in pixels.
        repeat_action_probability: of the emulator's sticky actions; None takes what the id stands for (0.25 for
            ``ALE/...-v5``, otherwise 0).
        full_action_space: all 18 actions instead of those the game uses.
        max_frames: an episode is truncated after so many emulator frames.
    """

    game: str = "pong"
    frame_skip: int = 4
    noop_max: int = 30
    frames: int = 4
    size: int = 84
    repeat_action_probability: float | None = None
    full_action_space: bool = False
    max_frames: int = 108_000

    def __post_init__(self) -> None:
        lowest = {"frame_skip": 1, "noop_max": 0, "frames": 1, "size": 1, "max_frames": 1}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}", expected=f"a whole number from {least} up")
        if not 0 <= self.sticky <= 1:
            raise ConfigError(f"repeat_action_probability is {self.sticky}", expected="a number from 0 to 1")

    @property
    def rom(self) -> str:
        """Name of the ROM; raises :class:`UnknownGameError` where there is none."""
        return resolve_game(self.game)

    @property
    def sticky(self) -> float:
        """Probability that the emulator repeats the previous action, in each emulator frame."""
        given = self.repeat_action_probability
        return sticky_actions(self.game) if given is None else given


RAM = 128
"""Bytes of the Atari's memory."""


class StickyActions:
    """Repeats the previous action with some probability, in each emulator frame.

    The emulator could do this itself, but the action it holds is not in its stored states, so that play after a
    restored state would differ from play without.

    Args:
        probability: of a repetition.

    Attributes:
        held: the previous emulator frame's action.
    """

    def __init__(self, probability: float) -> None:
        self._probability = probability
        self.held = Action.NOOP

    def press(self, action: Action, random: np.random.Generator) -> Action:
        """The action of this emulator frame, where ``action`` is wanted."""
        if self._probability == 0 or random.random() >= self._probability:
            self.held = action
        return self.held


class AtariEnvironment:
    """One game, as :class:`weakspot.envs.base.Environment` wants it.  Not to be shared between threads at one time.

    Without a seed the random state is that of seed 0.

    Args:
        config: how the game is played and shown.

    Raises:
        UnknownGameError: there is no such game.
    """

    def __init__(self, config: AtariConfig) -> None:
        self.config = config
        self._rom = config.rom
        self._actions = all_actions() if config.full_action_space else minimal_actions(self._rom)
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)  # see StickyActions
        self._screen: Screen | None = None  # loading a ROM takes long: it waits for the seed
        self._random = np.random.default_rng(0)
        self._joystick = StickyActions(config.sticky)
        self._step: Step | None = None
        self._elapsed = 0
        self._lives = 0
        self._grays: deque[np.ndarray] = deque(maxlen=config.frames)
        self._frames: deque[np.ndarray] = deque(maxlen=config.frames)
        self._blacken()

    @property
    def spec(self) -> EnvironmentSpec:
        """The game's id, actions and picture."""
        config = self.config
        return EnvironmentSpec(
            id=environment_id(self._rom, config.sticky),
            action_names=tuple(action.name for action in self._actions),
            frames=config.frames,
            height=config.size,
            width=config.size,
            channels=3,
            ram=RAM,
            preprocessing=self._settings() | {"resize": "area", "pixel_maximum": 2, "fire_reset": True},
        )

    @property
    def observe(self) -> Callable[[State], Observation]:
        """The gray observation as a differentiable function of the state."""
        return gray_observation

    @property
    def stack(self) -> np.ndarray:
        """The present state (k, h, w, 3) uint8, oldest frame first."""
        return np.stack(self._frames)

    def reset(self, seed: int | None = None) -> Step:
        """Starts an episode; with a seed, restarts emulator and no-op counts from it."""
        if seed is not None or self._screen is None:
            self._load(seed or 0)
        ale, screen, fires = self._ale, self._loaded(), Action.FIRE in self._actions
        no_ops = int(self._random.integers(max(self.config.noop_max, 1))) - int(fires)
        ale.reset_game()
        self._joystick.held = Action.NOOP
        if fires:
            ale.act(self._joystick.press(Action.FIRE, self._random))
        for _ in range(no_ops):
            ale.act(self._joystick.press(Action.NOOP, self._random))
            if ale.game_over():
                ale.reset_game()
        self._blacken()
        self._elapsed, self._lives = 0, ale.lives()
        return self._show(screen.start(), reward=0.0, terminated=False, truncated=False, life_lost=False)

    def step(self, action: Decision) -> Step:
        """Takes one of the ``spec.action_names`` by number for ``frame_skip`` emulator frames.

        Raises:
            ConfigError: there is no such action, or no episode is running.
        """
        check_running(self._step)
        code = self._actions[discrete(action, len(self._actions))]
        ale, screen, limit = self._ale, self._loaded(), self.config.max_frames
        reward, over, captures = 0, False, []
        for left in range(self.config.frame_skip, 0, -1):
            reward += ale.act(self._joystick.press(code, self._random))
            self._elapsed += 1
            over = ale.game_over()
            if over or self._elapsed >= limit:
                break
            if left <= 2:
                captures.append(screen.capture(left - 1))
        else:
            captures.reverse()
            return self._show_step(screen.show(*captures), reward, over)
        return self._show_step(screen.show_last(*captures), reward, over)

    def snapshot(self) -> bytes:
        """Everything needed to go on bit for bit, under a checksum.

        Raises:
            ConfigError: before the first reset.
        """
        shown = last_shown(self._step)
        header = {
            "settings": self._settings(),
            "elapsed": self._elapsed,
            "lives": self._lives,
            "random": self._random.bit_generator.state,
            "held": int(self._joystick.held.value),
            "reward": shown.reward,
            "terminated": shown.terminated,
            "truncated": shown.truncated,
            "life_lost": shown.life_lost,
        }
        parts = {
            "emulator": self._ale.cloneState(include_rng=True).serialize(),
            "grays": b"".join(gray.tobytes() for gray in self._grays),
            "frames": b"".join(frame.tobytes() for frame in self._frames),
            "ram": shown.ram.tobytes(),
        }
        return pack(header, parts | self._loaded().store())

    def restore(self, snapshot: bytes) -> Step:
        """Goes back to a snapshot, of this or another environment with the same settings, and shows what it showed.

        Raises:
            SnapshotError: the snapshot is damaged, or of another game or other settings.
        """
        header, parts = unpack_for(self._settings(), snapshot)
        k, size = self.config.frames, self.config.size
        if self._screen is None:
            self._load(0)
        self._ale.restoreState(ALEState(parts["emulator"]))
        self._loaded().load(parts)
        self._grays.extend(np.frombuffer(parts["grays"], np.uint8).reshape(k, size, size).copy())
        self._frames.extend(np.frombuffer(parts["frames"], np.uint8).reshape(k, size, size, 3).copy())
        self._random.bit_generator.state = header["random"]
        self._joystick.held = Action(header["held"])
        self._elapsed, self._lives = header["elapsed"], header["lives"]
        self._step = Step(
            observation=np.stack(self._grays),
            frame=self._frames[-1],
            reward=header["reward"],
            terminated=header["terminated"],
            truncated=header["truncated"],
            life_lost=header["life_lost"],
            ram=np.frombuffer(parts["ram"], np.uint8).copy(),
        )
        return self._step

    def close(self) -> None:
        """Nothing: an emulator holds memory only."""

    def _load(self, seed: int) -> None:
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(str(roms.get_rom_path(self._rom)))
        self._random = np.random.default_rng(seed)
        self._screen = self._screen or Screen(self._ale, self.config.size)

    def _loaded(self) -> Screen:
        if self._screen is None:
            raise ConfigError("the environment shows nothing yet", expected="reset() or restore() first")
        return self._screen

    def _blacken(self) -> None:
        black = np.zeros((self.config.size, self.config.size, 4), np.uint8)
        self._grays.extend([black[..., 3]] * self.config.frames)
        self._frames.extend([black[..., :3]] * self.config.frames)

    def _settings(self) -> dict[str, Any]:
        settings = asdict(self.config)
        return settings | {"game": self._rom, "repeat_action_probability": self.config.sticky}

    def _show_step(self, small: np.ndarray, reward: int, over: bool) -> Step:
        lives = self._ale.lives()
        life_lost, self._lives = lives < self._lives, lives
        truncated = not over and self._elapsed >= self.config.max_frames
        return self._show(small, float(reward), over, truncated, life_lost)

    def _show(self, small: np.ndarray, reward: float, terminated: bool, truncated: bool, life_lost: bool) -> Step:
        self._grays.append(cv2.extractChannel(small, 3))
        self._frames.append(cv2.cvtColor(small, cv2.COLOR_RGBA2RGB))
        self._step = Step(
            observation=np.concatenate(self._grays).reshape(-1, *self._grays[0].shape),
            frame=self._frames[-1],
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            life_lost=life_lost,
            ram=self._ale.getRAM(),
        )
        return self._step
