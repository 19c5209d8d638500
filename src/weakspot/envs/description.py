"""Descriptions of gymnasium environments: how one is made and preprocessed, as a dataclass and as a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from weakspot.errors import ConfigError


def _no_arguments() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Description:
    """How an environment is made and preprocessed.

    Attributes:
        id: the id that ``gymnasium.make`` gets.
        frames: k, number of frames in a state.
        gray: True if the agent sees gray frames as OpenCV computes them; three weights of red, green and blue if it sees
            gray frames that are rounded down, as gymnasium's ``GrayscaleObservation`` computes them; False if it sees
            colour, all channels of a frame next to each other.
        size: height and width of a frame, or None for the environment's own.
        crop: pixels cut off before the resize: top, bottom, left, right.
        frame_skip: environment steps that an action is repeated for; their rewards are added up.
        actions: names of the discrete actions, or of the dimensions of continuous actions; None to number them.
        make: further arguments of ``gymnasium.make``.

    Raises:
        ConfigError: a value is out of range.
    """

    id: str
    frames: int = 4
    gray: bool | tuple[float, float, float] = True
    size: tuple[int, int] | None = (84, 84)
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    frame_skip: int = 1
    actions: tuple[str, ...] | None = None
    make: dict[str, Any] = field(default_factory=_no_arguments)

    def __post_init__(self) -> None:
        if not isinstance(self.gray, bool):
            object.__setattr__(self, "gray", _weights(self.gray))
        size = (1, 1) if self.size is None else self.size
        lengths_fit = (len(size), len(self.crop)) == (2, 4)
        if not lengths_fit or min(self.frames, self.frame_skip, *size) < 1 or min(self.crop) < 0:
            raise ConfigError(
                f"an environment with frames = {self.frames}, frame_skip = {self.frame_skip}, size = {self.size}, "
                f"crop = {self.crop}",
                expected="frames and frame_skip at least 1, size = [height, width], crop = [top, bottom, left, right]",
            )


def read_description(path: Path) -> Description:
    """Reads the description in a TOML file.

    Raises:
        ConfigError: the file cannot be read, or has unknown keys or invalid values.
    """
    keys = [f.name for f in fields(Description)]
    todo = f"see the example in weakspot.envs.described; the keys are {', '.join(keys)}"
    try:
        entries = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", expected="an environment as TOML", todo=todo) from error
    unknown = sorted(set(entries) - set(keys))
    if unknown or not isinstance(entries.get("id"), str):
        raise ConfigError(
            f"{path} says {', '.join(unknown)}" if unknown else f"{path} has no id",
            expected="an id, and no unknown keys",
            todo=todo,
        )
    return description_of(entries, path)


def description_of(entries: dict[str, Any], source: Path) -> Description:
    """The description with these entries; without a size, the frames of the environment are not resized.

    Args:
        entries: values by the names of the fields of :class:`Description`, lists for tuples.
        source: the file they come from, for error messages.

    Raises:
        ConfigError: an entry has the wrong type.
    """
    _check_types(entries, source)
    settings: dict[str, Any] = {"size": None}
    settings |= {
        name: tuple(cast("list[Any]", value)) if isinstance(value, list) else value for name, value in entries.items()
    }
    try:
        return Description(**settings)
    except TypeError as error:
        raise ConfigError(f"{source}: {error}", expected="values as in the example in weakspot.envs.described") from error


def _check_types(entries: dict[str, Any], path: Path) -> None:
    for name, is_row in (("frames", False), ("frame_skip", False), ("size", True), ("crop", True)):
        value = entries.get(name, [] if is_row else 1)
        numbers = value if is_row else [value]
        if not isinstance(numbers, list) or not all(type(number) is int for number in cast("list[object]", numbers)):
            expected = "whole numbers: one each for frames and frame_skip, and lists for size and crop"
            raise ConfigError(f"{path} says {name} = {value!r}", expected=expected)
    if not isinstance(gray := entries.get("gray", True), bool):
        _weights(gray)
    names = entries.get("actions", [])
    if not _are_names(names):
        raise ConfigError(f"{path} says actions = {names!r}", expected="a list of different names")


def _are_names(names: object) -> bool:
    """Whether ``names`` is a list of different strings."""
    if not isinstance(names, list):
        return False
    elements = cast("list[object]", names)
    return all(isinstance(name, str) for name in elements) and len(set(elements)) == len(elements)


def _weights(gray: object) -> tuple[float, ...]:
    """Three weights of red, green and blue."""
    weights = tuple(cast("list[Any]", gray)) if isinstance(gray, list | tuple) else ()
    are_numbers = len(weights) == 3 and all(isinstance(weight, int | float) for weight in weights)
    if not are_numbers or min(weights) < 0 or not 0 < sum(weights) <= 1 + 1e-6:
        raise ConfigError(
            f"an environment with gray = {gray!r}",
            expected="true, false, or three weights of red, green and blue that add up to 1 at most",
        )
    return weights
