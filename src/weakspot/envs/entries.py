"""What a gymnasium environment gives beside its image: the other entries of a dict observation, and its action mask.

An entry becomes numbers as :func:`gymnasium.spaces.flatten` makes them: boxes row by row, discrete entries one-hot.  Entries
of other spaces, such as texts, and very large ones are left out.

A mask says which actions are allowed.  It is an entry ``action_mask`` of the observation, or what a method ``action_masks``
of the environment or of one of its wrappers returns, as sb3-contrib asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, cast

import gymnasium
import numpy as np

from weakspot.errors import ConfigError
from weakspot.interface import MASK

NUMERIC = (gymnasium.spaces.Box, gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete, gymnasium.spaces.MultiBinary)
"""Spaces of the entries that are kept."""
MOST = 4096
"""Numbers of an entry that is kept, at most: a discrete entry has one for each of its values."""


@dataclass(frozen=True)
class Entries:
    """Turns what an environment gives beside its image into numbers.

    Attributes:
        environment: its id, for error messages.
        spaces: of the entries that are kept, by name, without the image.
        masks: returns the mask, from an observation; None if there is none.
        actions: number of actions.
        parts: numbers of choices of the parts of an action, see :class:`weakspot.interface.Interface`.
    """

    environment: str
    spaces: dict[str, gymnasium.Space[Any]]
    masks: Callable[[Any], Any] | None
    actions: int
    parts: tuple[int, ...] | None

    @property
    def layout(self) -> tuple[tuple[str, int], ...] | None:
        """Names and sizes of the entries; None without any."""
        sizes = {name: gymnasium.spaces.flatdim(space) for name, space in self.spaces.items()}
        sizes |= {MASK: self.actions} if self.masks else {}
        return tuple(sizes.items()) or None

    def __call__(self, observation: Any, *, over: bool = False) -> np.ndarray:
        """The numbers (v,) float32, one entry after the other; if the episode is over, every action is allowed.

        Raises:
            ConfigError: an entry is not of its space, or the mask is not one for the environment's actions.
        """
        rows = [self._flat(name, space, observation) for name, space in self.spaces.items()]
        if self.masks:
            rows.append(np.ones(self.actions, np.float32) if over else self._mask(self.masks(observation)))
        return np.concatenate(rows) if rows else np.zeros(0, np.float32)

    def _flat(self, name: str, space: gymnasium.Space[Any], observation: Any) -> np.ndarray:
        try:
            row = np.asarray(gymnasium.spaces.flatten(space, observation[name]), np.float32)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ConfigError(
                f"the entry {name!r} of an observation of {self.environment} cannot be read: {error!r}",
                expected=f"an element of {space}",
                todo="correct the observation or the observation space of the environment",
            ) from error
        if row.shape != (gymnasium.spaces.flatdim(space),):
            raise ConfigError(
                f"the entry {name!r} of an observation of {self.environment} has {row.size} numbers",
                expected=f"an element of {space}",
                todo="correct the observation or the observation space of the environment",
            )
        return row

    def _mask(self, given: object) -> np.ndarray:
        """The mask of all actions (a,); of actions with parts, those are allowed whose choices all are."""
        mask = np.asarray(given).reshape(-1).astype(bool)
        if self.parts and len(mask) == sum(self.parts):
            choices = np.split(mask, np.cumsum(self.parts)[:-1])
            combined = choices[0]
            for choice in choices[1:]:
                combined = np.logical_and.outer(combined, choice).reshape(-1)
            mask = combined
        if len(mask) != self.actions:
            raise ConfigError(
                f"the mask of the actions of {self.environment} has {len(mask)} numbers",
                expected=f"one for each of the {self.actions} actions",
                todo="correct its method action_masks(), or the entry of its observations",
            )
        return mask.astype(np.float32)


def entries_of(
    env: gymnasium.Env[Any, Any], environment: str, image: str | None, actions: int, parts: Sequence[int] | None
) -> Entries:
    """What an environment gives beside its image.

    Args:
        env: the environment.
        environment: its id.
        image: name of the image in observations that are dicts; None for others.
        actions: number of actions, or 0 if they are continuous.
        parts: numbers of choices of the parts of an action, if it has parts.
    """
    spaces: dict[str, gymnasium.Space[Any]] = {}
    if image is not None:
        every = dict(cast("Any", env.observation_space).spaces)
        spaces = {name: space for name, space in every.items() if name != image and _is_kept(space)}
    masks: Callable[[Any], Any] | None = None
    if actions and MASK in spaces:
        del spaces[MASK]
        masks = itemgetter(MASK)
    elif actions:
        try:
            found: Any = env.get_wrapper_attr("action_masks")
        except AttributeError:
            found = None
        if callable(found):
            masks = partial(_ask, found)
    return Entries(environment, spaces, masks, actions, tuple(parts) if parts else None)


def _ask(method: Callable[[], Any], observation: Any) -> Any:
    """The mask that a method returns, which needs no observation."""
    return method()


def _is_kept(space: gymnasium.Space[Any]) -> bool:
    return isinstance(space, NUMERIC) and gymnasium.spaces.flatdim(space) <= MOST
