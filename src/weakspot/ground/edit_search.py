"""Searches for states with a low score by changing variables of recorded states and the actions after them, among those
that are possible.

It serves :class:`weakspot.search.memory_search.MemorySearch`, which has no synthesised state to come close to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weakspot.errors import ConfigError
from weakspot.ground.edits import Found, VariableBank, search_edits
from weakspot.ground.twins import Grounds, nearby, play_onwards
from weakspot.types import Stacks

ATTEMPTS = 2
"""Searches that share the trials; the later ones run if the state that the earlier ones found is not possible."""


@dataclass(frozen=True, eq=False)
class PossibleEdits:
    """The possible states that changes of variables lead to; an :class:`weakspot.search.method.EditSearch`.

    Args:
        grounds: of the agent.
        bank: recorded values of the variables.
        usual: largest share of held-out real states that may be more usual.
        seed: of the play after a state was found.
    """

    grounds: Grounds
    bank: VariableBank
    usual: float = 1.0
    seed: int = 0

    @property
    def starts(self) -> np.ndarray:
        """Recorded states with a history long enough to be changed before it begins."""
        return self.grounds.usable

    @property
    def steps(self) -> int:
        """Decisions played so far."""
        return self.grounds.player.steps

    def __call__(
        self, start: int, score: Callable[[Stacks], np.ndarray], trials: int, generator: np.random.Generator
    ) -> np.ndarray | None:
        """See :class:`weakspot.search.method.EditSearch`; the quick checks are a part of every trial."""
        grounds, frames = self.grounds, self.grounds.player.dataset.environment.frames
        bank = nearby(self.bank, grounds, [start])

        def bounded(stacks: Stacks) -> np.ndarray:
            return np.where(grounds.plausibility.drawing.is_whole(stacks), score(stacks), np.inf)

        for _ in range(ATTEMPTS):
            found = search_edits(grounds.player, [start - frames], bank, bounded, max(1, trials // ATTEMPTS), generator)
            if found is not None and np.isfinite(found.score) and self._is_possible(found):
                return found.stack
        return None

    def _is_possible(self, found: Found) -> bool:
        player = self.grounds.player
        step = player.follow(found.route, found.stack, f"from state {found.route.start}")
        density, editable = self.grounds.density, player.editable
        if density is not None and editable is not None and density.unusual(editable.read_variables()) > self.usual:
            return False
        onwards = play_onwards(player, self.grounds.likeness.perceive.agent, step, self.seed)
        return self.grounds.plausibility.check(found.stack, onwards).possible


def possible_edits(grounds: Grounds, usual: float = 1.0, seed: int = 0) -> PossibleEdits:
    """The possible states that changes of variables lead to.

    Raises:
        ConfigError: the environment cannot be edited, or none of its variables varies.
    """
    if grounds.bank is None or not len(grounds.bank.varying):
        raise ConfigError(
            f"{grounds.player.dataset.environment.id} has no variables that vary and can be changed",
            expected="an environment whose state can be edited",
            todo="use another method, or give the environment an editor (entry point group weakspot.editors)",
        )
    return PossibleEdits(grounds, grounds.bank, usual, seed)
