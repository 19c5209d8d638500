"""One Atari game on one emulator: colour states, the agent's gray observation, and exact snapshots.

By default, observations are bit for bit those of ``ale_py.vector_env.AtariVectorEnv``. A reset plays up to ``noop_max - 1``
emulator frames, the first of them FIRE. A step repeats the action for ``frame_skip`` emulator frames, takes the pixel
maximum over the last two of them, converts it to gray, resizes it by area, and appends it to a stack of ``frames``, oldest
first. At reset all frames of the stack but the newest are black. Ids of other versions skip frames in another way, and a
:class:`~weakspot.envs.reduction.Reduction` describes other ways to make a frame of an image. Only the random numbers
(no-ops, sticky actions, random frame skips) are our own.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, cast

import ale_py
import cv2
import numpy as np
from ale_py import ALEInterface, ALEState, roms

from weakspot.actions import Action
from weakspot.envs.atari_bytes import RAM, bytes_of
from weakspot.envs.base import EnvironmentSpec, Step, check_running, discrete, last_step
from weakspot.envs.editable import Variable, check_changes
from weakspot.envs.observation import observation_function
from weakspot.envs.reduce import reduce_image
from weakspot.envs.reduction import Reduction
from weakspot.envs.screen import Capture, Screen, ScreenMark
from weakspot.envs.snapshot import pack, unpack_for
from weakspot.errors import ConfigError
from weakspot.games import (
    all_actions,
    game_version,
    minimal_actions,
    played_id,
    resolve_game,
    silence_emulator,
)
from weakspot.types import Observation, State

NOOP, FIRE = ale_py.Action(0), ale_py.Action(1)  # by number: ale-py's stub leaves the type of Action.NOOP open


SCREEN = (210, 160)
"""Height and width of the emulator's screen."""
ENDING = 2
"""Emulator frames that end a frame which a changed memory has broken off, and clear what it left on the screen."""


@dataclass(frozen=True)
class AtariConfig:
    """How a game is played and preprocessed.

    Attributes:
        game: the game's name or id: ``pong``, ``Pong``, ``PongNoFrameskip-v4``, ``ALE/Pong-v5``; see
            :func:`weakspot.games.game_version` for what ids mean.
        frame_skip: emulator frames per step, or a pair as in :class:`~weakspot.games.GameVersion`; None takes what the id
            implies.
        maximum: a frame is the pixel maximum over the last 1 or 2 of them; None takes what the id implies.
        noop_max: a reset plays 0 to ``noop_max - 1`` emulator frames, including the one that presses FIRE.
        frames: k, number of frames in a state.
        size: height and width of a frame, in pixels.
        reduction: how images become frames, which then have its size instead; None is ``AtariVectorEnv``'s: by area, and the
            emulator's own gray.
        repeat_action_probability: of the emulator's sticky actions; None takes the probability that the id implies (0.25
            for ``ALE/...-v5``, otherwise 0).
        full_action_space: all 18 actions instead of those that have an effect in the game.
        max_frames: an episode is truncated after this many emulator frames.

    Raises:
        ConfigError: a number is out of range.
    """

    game: str = "pong"
    frame_skip: int | tuple[int, int] | None = None
    maximum: int | None = None
    noop_max: int = 30
    frames: int = 4
    size: int = 84
    reduction: Reduction | None = None
    repeat_action_probability: float | None = None
    full_action_space: bool = False
    max_frames: int = 108_000

    def __post_init__(self) -> None:
        minima = {"noop_max": 0, "frames": 1, "size": 1, "max_frames": 1}
        for name, minimum in minima.items():
            if getattr(self, name) < minimum:
                raise ConfigError(f"{name} is {getattr(self, name)}", expected=f"a whole number, at least {minimum}")
        least, beyond = self.skips
        if least < 1 or beyond <= least:
            raise ConfigError(f"frame_skip is {self.frame_skip}", expected="a whole number, at least 1, or a growing pair")
        if self.maximum not in (None, 1, 2):
            raise ConfigError(f"maximum is {self.maximum}", expected="1 or 2")
        if not 0 <= self.sticky <= 1:
            raise ConfigError(f"repeat_action_probability is {self.sticky}", expected="a number from 0 to 1")

    @property
    def rom(self) -> str:
        """Name of the ROM; raises :class:`UnknownGameError` if there is none."""
        return resolve_game(self.game)

    @property
    def sticky(self) -> float:
        """Probability that the emulator repeats the previous action, in each emulator frame."""
        probability = self.repeat_action_probability
        return game_version(self.game).sticky if probability is None else probability

    @property
    def skips(self) -> tuple[int, int]:
        """Emulator frames per step: at least the first number, and less than the second."""
        skip = game_version(self.game).frame_skip if self.frame_skip is None else self.frame_skip
        return skip if isinstance(skip, tuple) else (skip, skip + 1)

    @property
    def pooled(self) -> int:
        """Number of the last emulator frames of a step over which the maximum is taken."""
        return self.maximum or game_version(self.game).maximum

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.reduction.output_size(*SCREEN) if self.reduction else (self.size, self.size)


AREA = Reduction(gray="emulator")
"""How ``AtariVectorEnv`` reduces images."""


def _shrink(whole: np.ndarray, reduction: Reduction) -> np.ndarray:
    """The reduced frame (h', w', 4) of a whole one (h, w, 4), [r g b gray]; gray is zero if the agent sees colour."""
    colours, emulated = cast(Any, cv2.cvtColor(whole, cv2.COLOR_RGBA2RGB)), cast(Any, cv2.extractChannel(whole, 3))
    frame, gray = reduce_image(colours, reduction, emulated)
    return np.dstack([frame, np.zeros(frame.shape[:2], np.uint8) if gray is None else gray])


class StickyActions:
    """Repeats the previous action with some probability, in each emulator frame.

    The emulator could do this itself, but its stored states do not include the previous action, so the game would continue
    differently after a restore.

    Args:
        probability: of a repetition.

    Attributes:
        previous: the previous emulator frame's action.
    """

    def __init__(self, probability: float) -> None:
        self._probability = probability
        self.previous = NOOP

    def apply(self, action: ale_py.Action, random: np.random.Generator) -> ale_py.Action:
        """The action that the emulator gets in this frame if the agent chose ``action``."""
        if self._probability == 0 or random.random() >= self._probability:
            self.previous = action
        return self.previous


@dataclass(frozen=True, eq=False)
class AtariMark:
    """A state of one :class:`AtariEnvironment` object; see there for the fields.  Nothing in it may be changed."""

    step: Step
    emulator: ALEState
    screen: ScreenMark
    random: Mapping[str, Any]
    held: ale_py.Action
    elapsed: int
    lives: int
    edited: bool
    changed: bool
    grays: tuple[np.ndarray, ...]
    frames: tuple[np.ndarray, ...]


class AtariEnvironment:
    """One Atari game as a :class:`weakspot.envs.base.Environment`.  Not safe to use from several threads at once.

    Until the first reset with a seed, the random state is that of seed 0.

    Args:
        config: how the game is played and preprocessed.

    Raises:
        UnknownGameError: there is no such game.
    """

    def __init__(self, config: AtariConfig) -> None:
        self.config = config
        self._rom = config.rom
        self._actions = all_actions() if config.full_action_space else minimal_actions(self._rom)
        silence_emulator()
        self._size, self._weights = config.frame_size, (config.reduction or AREA).weights
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)  # see StickyActions
        self._screen: Screen | None = None  # loading a ROM is slow and needs the seed: the first reset does it
        self._random = np.random.default_rng(0)
        self._sticky_actions = StickyActions(config.sticky)
        self._step: Step | None = None
        self._elapsed = 0
        self._lives = 0
        self._edited = False
        """Whether variables were changed since the last step: the emulator counts lives only when it steps."""
        self._unchanged: ALEState | None = None
        """After the last reset."""
        self._changed = False
        """Whether variables were changed on the way from the last reset to the current state; see
        :meth:`_restore_emulator`."""
        self._grays: deque[np.ndarray] = deque(maxlen=config.frames)
        self._frames: deque[np.ndarray] = deque(maxlen=config.frames)
        self._clear_frames()

    @property
    def spec(self) -> EnvironmentSpec:
        """The game's id, actions and image size."""
        config = self.config
        return EnvironmentSpec(
            id=played_id(config.game, config.sticky),
            action_names=tuple(action.name for action in self._actions),
            frames=config.frames,
            height=self._size[0],
            width=self._size[1],
            channels=3,
            gray=self._weights is not None,
            ram=RAM,
            preprocessing=self._settings() | {"fire_reset": True, "frame_skip": self._frame_skip},
        )

    @property
    def observe(self) -> Callable[[State], Observation]:
        """The observation as a differentiable function of the state."""
        return observation_function(self.config.reduction or AREA)

    @property
    def stack(self) -> np.ndarray:
        """The current state (k, h, w, 3) uint8, oldest frame first."""
        return np.stack(self._frames)

    def reset(self, seed: int | None = None) -> Step:
        """Starts an episode.  A seed sets the emulator's random state and that of no-ops and sticky actions."""
        if seed is not None or self._screen is None:
            self._load(seed or 0)
        elif self._changed:
            self._end_frames()
        ale, screen, fires = self._ale, self._require_screen(), FIRE in self._actions
        no_ops = int(self._random.integers(max(self.config.noop_max, 1))) - int(fires)
        ale.reset_game()
        self._sticky_actions.previous = NOOP
        if fires:
            ale.act(self._sticky_actions.apply(FIRE, self._random))
        for _ in range(no_ops):
            ale.act(self._sticky_actions.apply(NOOP, self._random))
            if ale.game_over():
                ale.reset_game()
        self._clear_frames()
        self._elapsed, self._lives, self._edited, self._changed = 0, ale.lives(), False, False
        self._unchanged = ale.cloneState()
        return self._record(screen.start(), reward=0.0, terminated=False, truncated=False, life_lost=False)

    def step(self, action: Action) -> Step:
        """Repeats an action for ``frame_skip`` emulator frames.

        Args:
            action: the index of one of ``spec.action_names``.

        Raises:
            ConfigError: there is no such action, or no episode is running.
        """
        check_running(self._step)
        code = self._actions[discrete(action, len(self._actions))]
        ale, screen, limit = self._ale, self._require_screen(), self.config.max_frames
        reward, over = 0, False
        captures: list[Capture] = []
        least, beyond = self.config.skips
        skip = least if beyond == least + 1 else int(self._random.integers(least, beyond))
        for left in range(skip, 0, -1):
            reward += ale.act(self._sticky_actions.apply(code, self._random))
            self._elapsed += 1
            over = ale.game_over()
            if over or self._elapsed >= limit:
                break
            if left <= 2:
                captures.append(screen.capture(left - 1))
        else:
            captures.reverse()
            return self._record_step(screen.show(*captures), reward, over)
        return self._record_step(screen.show_last(*captures), reward, over)

    def snapshot(self) -> bytes:
        """Everything needed to continue bit for bit, under a checksum.

        Raises:
            ConfigError: there has been no reset yet.
        """
        last = last_step(self._step)
        header = {
            "settings": self._settings(),
            "elapsed": self._elapsed,
            "lives": self._lives,
            "edited": self._edited,
            "changed": self._changed,
            "random": self._random.bit_generator.state,
            "held": int(self._sticky_actions.previous.value),
            "reward": last.reward,
            "terminated": last.terminated,
            "truncated": last.truncated,
            "life_lost": last.life_lost,
        }
        parts = {
            "emulator": self._ale.cloneState(include_rng=True).serialize(),
            "grays": b"".join(gray.tobytes() for gray in self._grays),
            "frames": b"".join(frame.tobytes() for frame in self._frames),
            "ram": last.ram.tobytes(),
        }
        return pack(header, parts | self._require_screen().store())

    def restore(self, snapshot: bytes) -> Step:
        """Restores a snapshot, and returns the step that was current when it was taken.

        Args:
            snapshot: of this or another environment with the same settings.

        Raises:
            SnapshotError: the snapshot is damaged, or of another game or other settings.
        """
        header, parts = unpack_for(self._settings(), snapshot)
        k, size = self.config.frames, self._size
        if self._screen is None:
            self.reset(0)
        self._restore_emulator(ALEState(parts["emulator"]), header.get("changed", False))
        self._require_screen().load(parts)
        self._grays.extend(np.frombuffer(parts["grays"], np.uint8).reshape(k, *size).copy())
        self._frames.extend(np.frombuffer(parts["frames"], np.uint8).reshape(k, *size, 3).copy())
        self._random.bit_generator.state = header["random"]
        self._sticky_actions.previous = ale_py.Action(header["held"])
        self._elapsed, self._lives = header["elapsed"], header["lives"]
        self._edited = header.get("edited", False)  # snapshots of earlier versions have neither this nor "changed"
        self._step = Step(
            observation=self._observation(),
            frame=self._frames[-1],
            reward=header["reward"],
            terminated=header["terminated"],
            truncated=header["truncated"],
            life_lost=header["life_lost"],
            ram=np.frombuffer(parts["ram"], np.uint8).copy(),
        )
        return self._step

    def mark(self) -> AtariMark:
        """The same as :meth:`snapshot` for :meth:`go_back`: quick, but only valid in this object and process.

        Raises:
            ConfigError: there has been no reset yet.
        """
        return AtariMark(
            step=last_step(self._step, "mark"),
            emulator=self._ale.cloneState(include_rng=True),
            screen=self._require_screen().mark(),
            random=self._random.bit_generator.state,
            held=self._sticky_actions.previous,
            elapsed=self._elapsed,
            lives=self._lives,
            edited=self._edited,
            changed=self._changed,
            grays=tuple(self._grays),
            frames=tuple(self._frames),
        )

    def go_back(self, mark: AtariMark) -> Step:
        """Returns to a mark of this environment, and returns the step that was current when it was set."""
        self._restore_emulator(mark.emulator, mark.changed)
        self._require_screen().go_back(mark.screen)
        self._random.bit_generator.state = mark.random
        self._sticky_actions.previous = mark.held
        self._elapsed, self._lives, self._edited = mark.elapsed, mark.lives, mark.edited
        self._grays.extend(mark.grays)
        self._frames.extend(mark.frames)
        self._step = mark.step
        return mark.step

    def reseed(self, seed: int) -> None:
        """Sets the random state of no-ops and sticky actions; the emulator itself uses no random numbers after a reset."""
        self._random = np.random.default_rng(seed)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The bytes of the memory; see :mod:`weakspot.envs.atari_bytes`."""
        return bytes_of(self._rom)

    def read_variables(self) -> np.ndarray:
        """The memory (128,) as float64; raises :class:`ConfigError` before the first reset."""
        self._require_screen()
        return self._ale.getRAM().astype(np.float64)

    def write_variables(self, changes: Mapping[int, float]) -> None:
        """Changes bytes of the memory.

        If the game counts its score in one of them, the change counts as a reward of the next step.  No life is counted as
        lost in that step, since a changed number of lives could not be told from a lost one.

        Raises:
            EditError: there is no such byte, or a value is not a whole number from 0 to 255.
            ConfigError: no episode is running.
        """
        check_running(self._step, "write_variables")
        for position, value in check_changes(self.variables, changes).items():
            self._ale.setRAM(position, int(value))
        self._edited = self._changed = True
        self._step = replace(last_step(self._step), ram=self._ale.getRAM())

    def _restore_emulator(self, state: ALEState, changed: bool) -> None:
        """Restores the emulator's state, in which variables were ``changed`` or not.

        A changed memory can make the game break off a frame.  How far a frame has come is not a part of ALE's states:
        without more, the next frame after a restore would begin there, and games such as Kung-Fu Master go on differently.
        So a frame is ended in an unchanged state.  A state in which a frame is broken off cannot be restored exactly.
        """
        if self._changed and self._unchanged is not None:
            self._ale.restoreState(self._unchanged if changed else state)
            self._end_frames()
        self._ale.restoreState(state)
        self._changed = changed

    def _end_frames(self) -> None:
        for _ in range(ENDING):
            self._ale.act(NOOP)

    def close(self) -> None:
        """Does nothing: an emulator holds no resources but memory."""

    def _load(self, seed: int) -> None:
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(str(roms.get_rom_path(self._rom)))  # pyright: ignore[reportUnknownMemberType]  # ale-py's stub
        self._random = np.random.default_rng(seed)
        reduction = self.config.reduction
        shrink = None if reduction is None else partial(_shrink, reduction=reduction)
        self._screen = self._screen or Screen(self._ale, self._size, self.config.pooled, shrink)

    def _require_screen(self) -> Screen:
        if self._screen is None:
            raise ConfigError("the environment has no episode yet", expected="reset() or restore() first")
        return self._screen

    def _clear_frames(self) -> None:
        black = np.zeros((*self._size, 4), np.uint8)
        self._grays.extend([black[..., 3]] * self.config.frames)
        self._frames.extend([black[..., :3]] * self.config.frames)

    @property
    def _frame_skip(self) -> int | str:
        """For readers: the frames of a step, or the range they are drawn from."""
        least, beyond = self.config.skips
        return least if beyond == least + 1 else f"{least} to {beyond - 1}"

    def _settings(self) -> dict[str, Any]:
        config = self.config
        settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))  # lists for tuples, as in a stored snapshot
        own = {"game": self._rom, "repeat_action_probability": config.sticky, "frame_skip": list(config.skips)}
        reduction = None if config.reduction else {"resize": "area", "gray": "emulator"}
        return settings | own | {"maximum": config.pooled} | ({"reduction": reduction} if reduction else {})

    def _observation(self) -> np.ndarray:
        if self._weights is None:
            return np.concatenate([frame.transpose(2, 0, 1) for frame in self._frames])
        return np.concatenate(self._grays).reshape(-1, *self._grays[0].shape)

    def _record_step(self, small: np.ndarray, reward: int, over: bool) -> Step:
        lives = self._ale.lives()
        life_lost, self._lives = lives < self._lives and not self._edited, lives
        self._edited = False
        truncated = not over and self._elapsed >= self.config.max_frames
        return self._record(small, float(reward), over, truncated, life_lost)

    def _record(self, small: np.ndarray, reward: float, terminated: bool, truncated: bool, life_lost: bool) -> Step:
        """Adds a small frame (h, w, 4), [r g b gray], to the stacks, and stores and returns the step."""
        self._grays.append(cv2.extractChannel(small, 3))
        self._frames.append(cv2.cvtColor(small, cv2.COLOR_RGBA2RGB))
        self._step = Step(
            observation=self._observation(),
            frame=self._frames[-1],
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            life_lost=life_lost,
            ram=self._ale.getRAM(),
        )
        return self._step
