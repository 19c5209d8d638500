"""Descriptions of gymnasium environments: how one is made and preprocessed, as a dataclass and as a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from weakspot.envs.reduction import STEPS, Reduction, Rounding, Sides, Weights
from weakspot.errors import ConfigError


def _no_arguments() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Description:
    """How an environment is made and preprocessed.

    Attributes:
        id: the id that ``gymnasium.make`` gets, or that of an Atari game.
        frames: k, number of frames in a state.
        gray: True if the agent sees gray frames as OpenCV computes them; a name in :data:`weakspot.envs.reduction.GRAYS`;
            three weights of red, green and blue; False if it sees colour, all channels of a frame next to each other.
        rounding: ``nearest`` or ``down``; None rounds down if ``gray`` is three weights, as gymnasium's
            ``GrayscaleObservation``, and to the nearest whole number otherwise.
        size: height and width of a frame, or None for the environment's own.
        resize: the interpolation, see :data:`weakspot.envs.reduction.RESIZES`.
        crop: pixels cut off: top, bottom, left, right.
        pad: black pixels added at the end: top, bottom, left, right.
        order: in which ``crop``, ``resize`` and ``gray`` follow each other.
        exact: intermediate results are not rounded.
        transposed: rows and columns of frames are exchanged.
        frame_skip: environment steps that an action is repeated for; their rewards are added up.  For Atari games, frames of
            the emulator.  None is one, or what the id of an Atari game implies.
        maximum: a frame is the pixel maximum over the last 1 or 2 of these steps.  None is 1, or what the id of an Atari
            game implies.
        actions: names of the discrete actions, or of the dimensions of continuous actions; None to number them.
        make: further arguments of ``gymnasium.make``.

    Raises:
        ConfigError: a value is out of range.
    """

    id: str
    frames: int = 4
    gray: bool | str | Weights = True
    rounding: Rounding | None = None
    size: tuple[int, int] | None = (84, 84)
    resize: str = "area"
    crop: Sides = (0, 0, 0, 0)
    pad: Sides = (0, 0, 0, 0)
    order: tuple[str, ...] = STEPS
    exact: bool = False
    transposed: bool = False
    frame_skip: int | None = None
    maximum: int | None = None
    actions: tuple[str, ...] | None = None
    make: dict[str, Any] = field(default_factory=_no_arguments)

    def __post_init__(self) -> None:
        if not isinstance(self.gray, bool | str):
            object.__setattr__(self, "gray", _weights(self.gray))
        size = (1, 1) if self.size is None else self.size
        lengths_fit = (len(size), len(self.crop), len(self.pad)) == (2, 4, 4)
        least = min(self.frames, self.frame_skip or 1, *size)
        if not lengths_fit or least < 1 or self.frame_skip == 0 or min(*self.crop, *self.pad) < 0:
            raise ConfigError(
                f"an environment with frames = {self.frames}, frame_skip = {self.frame_skip}, size = {self.size}, "
                f"crop = {self.crop}, pad = {self.pad}",
                expected="frames and frame_skip at least 1, size = [height, width], crop and pad = [top, bottom, left, "
                "right]",
            )
        if self.maximum not in (None, 1, 2):
            raise ConfigError(f"maximum = {self.maximum}", expected="1 (the last frame) or 2 (the maximum over two)")
        _ = self.reduction  # raises if a value is out of range

    @property
    def reduction(self) -> Reduction:
        """How images are reduced."""
        gray = ("rec601" if self.gray else None) if isinstance(self.gray, bool) else self.gray
        return Reduction(
            size=self.size,
            crop=self.crop,
            pad=self.pad,
            resize=self.resize,
            gray=gray,
            rounding=self.rounding or ("down" if isinstance(gray, tuple) else "nearest"),
            order=self.order,
            exact=self.exact,
            transposed=self.transposed,
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
    rows, single = ("size", "crop", "pad"), ("frames", "frame_skip", "maximum")
    for name in (*rows, *single):
        value = entries.get(name, [] if name in rows else 1)
        numbers = value if name in rows else [value]
        if not isinstance(numbers, list) or not all(type(number) is int for number in cast("list[object]", numbers)):
            expected = f"whole numbers: one each for {', '.join(single)}, and lists for {', '.join(rows)}"
            raise ConfigError(f"{path} says {name} = {value!r}", expected=expected)
    for name, kind in (("resize", str), ("rounding", str), ("exact", bool), ("transposed", bool), ("make", dict)):
        if name in entries and not isinstance(entries[name], kind):
            raise ConfigError(f"{path} says {name} = {entries[name]!r}", expected=f"a value of type {kind.__name__}")
    if "order" in entries and not _are_names(entries["order"]):
        raise ConfigError(f"{path} says order = {entries['order']!r}", expected='such as ["crop", "gray", "resize"]')
    if not isinstance(gray := entries.get("gray", True), bool | str):
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


def _weights(gray: object) -> Weights:
    """Three weights of red, green and blue."""
    weights = tuple(cast("list[Any]", gray)) if isinstance(gray, list | tuple) else ()
    are_numbers = len(weights) == 3 and all(isinstance(weight, int | float) for weight in weights)
    if not are_numbers or min(weights) < 0 or not 0 < sum(weights) <= 1 + 1e-6:
        raise ConfigError(
            f"an environment with gray = {gray!r}",
            expected="true, false, a name such as rec709, or three weights of red, green and blue that add up to 1 at most",
        )
    return cast("Weights", weights)
