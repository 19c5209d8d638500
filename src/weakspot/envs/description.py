"""How a gymnasium environment is made and shown, as TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from weakspot.errors import ConfigError


@dataclass(frozen=True)
class Description:
    """How an environment is made and shown.

    Attributes:
        id: what ``gymnasium.make`` is given.
        frames: k, frames in a state.
        gray: whether the agent sees gray frames, as OpenCV makes them, or three weights of red, green and blue, for gray
            frames that are rounded down, as gymnasium's ``GrayscaleObservation`` makes them; otherwise colour, the channels
            of each frame together.
        size: height and width of a frame, or None for the environment's own.
        crop: pixels that are cut off before: top, bottom, left, right.
        frame_skip: steps that an action is held; rewards are added up.
        actions: what the actions, or the dimensions of continuous ones, are called, or None for their numbers.
        make: further arguments of ``gymnasium.make``.
    """

    id: str
    frames: int = 4
    gray: bool | tuple[float, float, float] = True
    size: tuple[int, int] | None = (84, 84)
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    frame_skip: int = 1
    actions: tuple[str, ...] | None = None
    make: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.gray, bool):
            object.__setattr__(self, "gray", _weights(self.gray))
        size = self.size or (1, 1)
        known = len(size) == 2 and len(self.crop) == 4
        if not known or min(self.frames, self.frame_skip, *size) < 1 or min(self.crop) < 0:
            raise ConfigError(
                f"an environment with frames = {self.frames}, frame_skip = {self.frame_skip}, size = {self.size}, "
                f"crop = {self.crop}",
                expected="frames and frame_skip from 1 up, size = [height, width], crop = [top, bottom, left, right]",
            )


def read_description(path: Path) -> Description:
    """The description in a TOML file.

    Raises:
        ConfigError: it cannot be read, or says something that is not known.
    """
    known = [f.name for f in fields(Description)]
    todo = f"see the example at the head of weakspot.envs.described; it knows {', '.join(known)}"
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", expected="an environment as TOML", todo=todo) from error
    unknown = sorted(set(told) - set(known))
    if unknown or not isinstance(told.get("id"), str):
        raise ConfigError(
            f"{path} says {', '.join(unknown)}" if unknown else f"{path} has no id",
            expected="id, and nothing that is not known",
            todo=todo,
        )
    return description_of(told, path)


def description_of(told: dict[str, Any], source: Path) -> Description:
    """The description that known entries make; without a size, the environment keeps its own.

    Raises:
        ConfigError: an entry is of the wrong type; ``source`` is where it stands.
    """
    _check_types(told, source)
    settings: dict[str, Any] = {"size": None}
    settings |= {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    try:
        return Description(**settings)
    except TypeError as error:
        raise ConfigError(f"{source}: {error}", expected=f"values as in the example of {__name__}") from error


def _check_types(told: dict[str, Any], path: Path) -> None:
    for name, several in (("frames", False), ("frame_skip", False), ("size", True), ("crop", True)):
        value = told.get(name, [] if several else 1)
        numbers = value if several else [value]
        if not isinstance(numbers, list) or any(isinstance(n, bool) or not isinstance(n, int) for n in numbers):
            wanted = "whole numbers: one each for frames and frame_skip, and lists for size and crop"
            raise ConfigError(f"{path} says {name} = {value!r}", expected=wanted)
    if not isinstance(gray := told.get("gray", True), bool):
        _weights(gray)
    names = told.get("actions", [])
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
        raise ConfigError(f"{path} says actions = {names!r}", expected="a list of different names")


def _weights(gray: Any) -> tuple[float, ...]:
    """Three weights of red, green and blue."""
    numbers = isinstance(gray, list | tuple) and len(gray) == 3 and all(isinstance(weight, int | float) for weight in gray)
    if not numbers or min(gray) < 0 or not 0 < sum(gray) <= 1 + 1e-6:
        raise ConfigError(
            f"an environment with gray = {gray!r}",
            expected="true, false, or three weights of red, green and blue that add up to 1 at most",
        )
    return tuple(gray)
