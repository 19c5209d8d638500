"""Ways to make frames that are easily confused with the right one: environments whose description differs a little."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from weakspot.envs.atari import AREA, SCREEN, AtariConfig, AtariEnvironment
from weakspot.envs.base import Environment
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.reduction import EMULATOR, Reduction
from weakspot.words import listed

RESIZES = ("area", "linear", "nearest", "cubic", "pillow-bilinear")
"""The interpolations that public code uses most; torchvision with antialiasing is nearly Pillow's."""
MAXIMA = {2: "the maximum over two frames", 1: "the last frame"}
GRAYS: Mapping[str, str | tuple[float, float, float]] = {
    "the emulator's gray": EMULATOR,
    "gray by Rec. 601": "rec601",
    "gray by Rec. 601 with red and blue exchanged": (0.114, 0.587, 0.299),
    "gray by Rec. 709": "rec709",
    "gray as the mean of the colours": "mean",
    "red as gray": "red",
    "green as gray": "green",
    "blue as gray": "blue",
}
SKIPS = (1, 2, 3, 4)
"""Frame skips that are tried; for Atari games, all but the first, which hardly anybody uses and which costs most."""
PLAYFIELD = (34, 16, 0, 0)
"""Rows above and below the playing field in many tutorials for Atari games."""
FIRST_DQN = (18, 8, 0, 0)
"""Rows that the first DQN cut off after the resize."""
BAR = (0, 12, 0, 0)
"""The bar below the picture of CarRacing."""


@dataclass(frozen=True)
class Suspect:
    """An environment whose frames are made in another way.

    Attributes:
        name: such as "linear interpolation and the last frame".
        factory: makes the environment.
        todo: how to describe it, if the agent plays better there.
        pace: decisions in the time of one decision now; 2 if each action is held half as long.
        is_common: whether public code often differs in it, so that it is also tried for agents that beat random play.
        setting: that is changed, by its key in a TOML file.
    """

    name: str
    factory: Callable[[], Environment]
    todo: str
    pace: float = 1.0
    is_common: bool = False
    setting: str = ""


@dataclass(frozen=True)
class Change:
    """A change of a description.

    Attributes:
        name, is_common: see :class:`Suspect`.
        settings: new values by the keys of a TOML file.
    """

    name: str
    settings: Mapping[str, Any]
    is_common: bool = False

    @property
    def setting(self) -> str:
        """The key that matters; some changes set others with it."""
        return next(iter(self.settings))


def suspects(environment: Environment) -> tuple[Suspect, ...]:
    """Other ways to make frames of the same shape; none for environments that are neither games nor described."""
    if isinstance(environment, AtariEnvironment):
        return tuple(_of_game(environment.config))
    if isinstance(environment, DescribedEnvironment):
        return tuple(_of_described(environment))
    return ()


def _of_game(config: AtariConfig) -> Iterator[Suspect]:
    reduction = config.reduction or replace(AREA, size=config.frame_size)
    skip = (sum(config.skips) - 1) / 2
    now = _settings(reduction, config.pooled, skip)
    for change in _changes(reduction, SCREEN, config.pooled, skip, is_game=True):
        own = {name: value for name, value in change.settings.items() if name in ("maximum", "frame_skip")}
        reduced = {name: value for name, value in change.settings.items() if name not in own}
        changed = replace(config, reduction=replace(reduction, **reduced), **own)
        todo = _written(change.settings, now) if config.reduction else _described(changed)
        pace = skip / change.settings.get("frame_skip", skip)
        factory = partial(AtariEnvironment, changed)
        yield Suspect(change.name, factory, todo, pace, change.is_common, change.setting)


def _of_described(environment: DescribedEnvironment) -> Iterator[Suspect]:
    description, reduction = environment.description, environment.description.reduction
    skip, maximum = description.frame_skip or 1, description.maximum or 1
    is_racing, now = description.id.startswith("CarRacing"), _settings(reduction, maximum, skip)
    for change in _changes(reduction, environment.image_size, maximum, skip, is_racing=is_racing):
        changed = replace(description, **change.settings)
        pace = skip / change.settings.get("frame_skip", skip)
        todo = _written(change.settings, now)
        factory = partial(DescribedEnvironment, changed)
        yield Suspect(change.name, factory, todo, pace, change.is_common, change.setting)


def _settings(reduction: Reduction, maximum: int, skip: float) -> dict[str, Any]:
    """The settings by the keys of a TOML file."""
    reduced = {field.name: getattr(reduction, field.name) for field in fields(Reduction)}
    return {**reduced, "maximum": maximum, "frame_skip": skip}


def _changes(
    reduction: Reduction,
    image: tuple[int, int],
    maximum: int,
    skip: float,
    *,
    is_game: bool = False,
    is_racing: bool = False,
) -> Iterator[Change]:
    """The changes that leave the shape of a frame as it is.

    Args:
        reduction: how images are reduced now.
        image: height and width of an image.
        maximum, skip: of the description.
        is_game: whether it is an Atari game.
        is_racing: whether it is gymnasium's CarRacing.
    """
    maxima = MAXIMA if skip > 1 else {maximum: ""}
    for resize in RESIZES if reduction.size not in (None, image) else (reduction.resize,):
        for frames, words in maxima.items():
            if (resize, frames) != (reduction.resize, maximum):
                named = [f"{resize} interpolation"] * (reduction.size is not None) + [words] * bool(words)
                changed = {"resize": resize} | ({"maximum": frames} if len(maxima) > 1 else {})
                yield Change(" and ".join(named), changed, is_common=True)
    yield from _grays(reduction, is_game=is_game)
    if reduction.size is not None:
        exact = "rounded between the steps" if reduction.exact else "not rounded between the steps"
        yield Change(f"frames that are {exact}", {"exact": not reduction.exact})
    height, width = reduction.output_size(*image)
    if height == width:
        yield Change("rows and columns exchanged", {"transposed": not reduction.transposed}, is_common=True)
    yield from _crops(reduction, image, is_game=is_game, is_racing=is_racing)
    for frames in SKIPS[is_game:]:
        if frames != skip:
            yield Change(f"frame skip {frames}", {"frame_skip": frames})


def _grays(reduction: Reduction, *, is_game: bool) -> Iterator[Change]:
    if reduction.weights is None:
        return
    for name, gray in GRAYS.items():
        if gray != reduction.gray and (is_game or gray != EMULATOR):
            yield Change(name, {"gray": gray, "rounding": "nearest"})
    words = {"nearest": "down", "down": "nearest"}[reduction.rounding]
    yield Change(f"gray that is rounded {words}", {"rounding": words})
    if reduction.size is not None and reduction.resize != "nearest":
        resize, gray = reduction.order.index("resize"), reduction.order.index("gray")
        exchanged = {"resize": "gray", "gray": "resize"}
        order = tuple(exchanged.get(step, step) for step in reduction.order)
        yield Change(f"gray {'before' if resize < gray else 'after'} the resize", {"order": order})


def _crops(reduction: Reduction, image: tuple[int, int], *, is_game: bool, is_racing: bool) -> Iterator[Change]:
    """Other crops, without padding; all have the size that frames have now."""
    if reduction.size is None:
        return
    size = reduction.output_size(*image)
    size = (size[1], size[0]) if reduction.transposed else size
    nothing, first = (0, 0, 0, 0), ("crop", *(step for step in reduction.order if step != "crop"))
    crops: dict[str, dict[str, Any]] = {
        "nothing cut off and nothing added": {"crop": nothing, "size": size, "order": first},
    }
    if is_game:
        tall = (size[0] + sum(FIRST_DQN[:2]), size[1])
        crops["the playing field alone"] = {"crop": PLAYFIELD, "size": size, "order": first}
        crops["a crop after the resize"] = {"crop": FIRST_DQN, "size": tall, "order": ("gray", "resize", "crop")}
    if is_racing:
        crops["the bar at the bottom cut off"] = {"crop": BAR, "size": size, "order": first}
    for name, settings in crops.items():
        if (settings["crop"], nothing, settings["size"]) != (reduction.crop, reduction.pad, reduction.size):
            yield Change(name, {**settings, "pad": nothing})


def _written(settings: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What to write into the TOML file."""
    return f"write {_lines(settings, now)} into the TOML file that describes its environment"


def _described(config: AtariConfig) -> str:
    """A whole TOML file for a game."""
    reduction = config.reduction or AREA
    settings = _settings(reduction, config.pooled, config.skips[0])
    usual = _settings(Reduction(size=None), AtariConfig(config.game).pooled, AtariConfig(config.game).skips[0])
    return f"describe its environment in a TOML file, whose lines are {_lines({'id': config.game, **settings}, usual)}"


def _lines(settings: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The settings that differ from those of now, as TOML, on one line."""
    is_weighted = isinstance(settings.get("gray"), tuple)  # which would be rounded down
    chosen = {
        name: value
        for name, value in settings.items()
        if name not in now or value != now[name] or (name == "rounding" and is_weighted)
    }
    # JSON and TOML write texts, numbers, lists, true and false alike; without gray, it is false.
    lines = [f"{name} = {json.dumps(False if value is None else value)}" for name, value in chosen.items()]
    return listed(lines, "and")
