"""Memory search: evolution over the variables of the environment, with the target as its aim and without a state model.

For each state, a recorded one is changed: variables of the environment, such as the bytes of an Atari console's memory, are
set to other values, and the environment plays on, with the recorded actions or others, until it has drawn every frame of the
state anew.  The score of a set of
changes is the target there,

    T(A(s)) / tau,        tau the standard deviation of T over the recorded states,

among states that are possible (:mod:`weakspot.ground.plausibility`).  The searches start at the recorded states with the
lowest T.  It is the rival of Algorithm 1 with twins wherever an environment can be edited: it spends the same number of
decisions in the environment and needs no state model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from weakspot.data.dataset import as_state
from weakspot.errors import ConfigError
from weakspot.search.method import (
    Cost,
    EditSearch,
    SearchResult,
    Sources,
    perceive_batched,
    require_count,
    select_spaced,
)
from weakspot.search.retrieval import GAP
from weakspot.targets.base import Target
from weakspot.types import Stacks


@dataclass(frozen=True)
class MemorySearch:
    """Evolution over the variables of the environment.

    Attributes:
        trials: sets of changes and actions for each state.
        name: see :class:`weakspot.search.method.Method`.
    """

    trials: int = 800
    name: str = "memory search"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`.

        A recorded state takes the place of a search that finds no possible state.

        Raises:
            ConfigError: the environment cannot be edited.
        """
        edits = _require_edits(sources)
        scale, agent_passes, before = float(target(sources.outputs).std()), 0, edits.steps

        def score(stacks: Stacks) -> np.ndarray:
            nonlocal agent_passes
            agent_passes += len(stacks)
            return target(perceive_batched(sources.perceive, as_state(stacks))).cpu().numpy() / scale

        found: list[np.ndarray] = []
        for number, start in enumerate(_spaced_starts(sources, edits, target, count)):
            stack = edits(start, score, self.trials, np.random.default_rng([seed, number]))
            found.append(sources.dataset.stacks(np.array([start]))[0] if stack is None else stack)
        state = as_state(np.stack(found))
        output = perceive_batched(sources.perceive, state)
        cost = Cost(agent=agent_passes + count, environment=edits.steps - before)
        return SearchResult(state, output, target(output), cost)


def _require_edits(sources: Sources) -> EditSearch:
    if sources.edits is None:
        raise ConfigError(
            f"memory search in {sources.dataset.environment.id}, whose state cannot be edited",
            expected="an environment with variables that can be changed",
            todo="use another method, or give the environment an editor (entry point group weakspot.editors)",
        )
    return sources.edits


def _spaced_starts(sources: Sources, edits: EditSearch, target: Target, count: int) -> list[int]:
    """The recorded states with the lowest target that can be changed, some decisions apart."""
    positions = np.flatnonzero(np.isin(sources.indices, edits.starts))
    values = target(sources.outputs.rows(torch.as_tensor(positions))).numpy()
    ranked = sources.indices[positions][np.argsort(values, kind="stable")]
    chosen = select_spaced(ranked, sources.dataset.stream, sources.dataset.time, count, GAP)
    return require_count(chosen, count, f"that can be changed and are {GAP} decisions apart").tolist()
