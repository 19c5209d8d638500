"""The arenas by name."""

from __future__ import annotations

from functools import cache

from weakspot.envs.driving.registration import ENVIRONMENTS
from weakspot.training.arena import Arena
from weakspot.training.atari import atari_arena


@cache
def arena_of(game: str, pedestrians: str | None = None) -> Arena:
    """The arena of an Atari game or of a driving environment, as :class:`weakspot.training.config.TrainingConfig` names it,
    and the pedestrians there.

    Raises:
        ConfigError: a driving environment, and what its sensors need is not installed.
    """
    if game in ENVIRONMENTS:
        from weakspot.training.driving import driving_arena  # needs embreex

        return driving_arena(game, pedestrians)
    return atari_arena(game)
