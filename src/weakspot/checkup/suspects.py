"""Ways to make frames that are easily confused with the right one: interpolations, and the maximum over two frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from weakspot.envs.atari import AREA, AtariConfig, AtariEnvironment
from weakspot.envs.base import Environment
from weakspot.envs.described import DescribedEnvironment

RESIZES = ("area", "linear", "nearest", "pillow-bilinear")
"""The interpolations that public code uses most."""
MAXIMA = {2: "the maximum over two frames", 1: "the last frame"}


@dataclass(frozen=True)
class Suspect:
    """An environment whose frames are made in another way.

    Attributes:
        name: such as "linear interpolation and the last frame".
        factory: makes the environment.
        todo: how to describe it, if the agent plays better there.
    """

    name: str
    factory: Callable[[], Environment]
    todo: str


def suspects(environment: Environment) -> tuple[Suspect, ...]:
    """The other ways to make frames of an environment; none for environments whose frames are not resized."""
    if isinstance(environment, AtariEnvironment):
        return tuple(_of_game(environment.config))
    if isinstance(environment, DescribedEnvironment):
        return tuple(_of_described(environment))
    return ()


def _of_game(config: AtariConfig) -> Iterator[Suspect]:
    reduction = config.reduction or replace(AREA, size=config.frame_size)
    if reduction.size is None:
        return
    for resize in RESIZES:
        for maximum, words in MAXIMA.items():
            if (resize, maximum) != (reduction.resize, config.pooled):
                changed = replace(config, reduction=replace(reduction, resize=resize), maximum=maximum)
                yield Suspect(
                    f"{resize} interpolation and {words}",
                    partial(AtariEnvironment, changed),
                    "describe its environment in a TOML file, whose lines are "
                    f'id = "{config.game}", size = {list(reduction.size)}, gray = "{reduction.gray}", '
                    f'resize = "{resize}" and maximum = {maximum}',
                )


def _of_described(environment: DescribedEnvironment) -> Iterator[Suspect]:
    description = environment.description
    if description.size is None:
        return
    for resize in RESIZES:
        if resize != description.resize:
            yield Suspect(
                f"{resize} interpolation",
                partial(DescribedEnvironment, replace(description, resize=resize)),
                f'write resize = "{resize}" into the TOML file that describes its environment',
            )
