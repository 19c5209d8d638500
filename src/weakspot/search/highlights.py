"""HIGHLIGHTS (Amir and Amir 2018): the states of the rollouts in which the choice of the action matters most.

The importance of a state is the spread of the agent's scores,

    I(s) = max_a q_a(s) - min_a q_a(s),

of Q-values as published; for agents with log-probabilities, the spread of those.
The rollouts are traversed in order, and a summary of up to ``count`` states is built.  Once the summary is full,

    HIGHLIGHTS      a state replaces the least important state of the summary if it is more important;
    HIGHLIGHTS-DIV  a state replaces the state of the summary most similar to it if it is more important than that one;

and after a state was added, the next ``interval`` - 1 decisions of the rollout are skipped.  The target has no influence;
its values at the chosen states are returned for comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weakspot.analysis.features import features
from weakspot.data.dataset import as_state
from weakspot.errors import ConfigError
from weakspot.search.method import Cost, SearchResult, Sources, recorded_states, require_count
from weakspot.targets.base import Target

linalg: Any = torch.linalg  # has no type hints

INTERVAL = 50
"""Minimum distance in decisions between two states that are added; as published."""

ReplacementRule = Callable[[list[int], int], int]
"""Which position of a full summary a new state may take: from the states in the summary and the new one."""


def importance(scores: np.ndarray) -> np.ndarray:
    """I(s) (n,) of scores (n, a)."""
    return scores.max(axis=1) - scores.min(axis=1)


def summary(important: np.ndarray, stream: np.ndarray, count: int, interval: int, rule: ReplacementRule) -> list[int]:
    """The states of a summary, as positions in ``important``, in no particular order.

    Args:
        important: I of each state (n,), in temporal order, one rollout after another.
        stream: the rollout of each state (n,).
        count: size of the summary.
        interval: minimum distance in decisions between two states that are added.
        rule: which state of a full summary may be replaced.
    """
    chosen: list[int] = []
    wait, current = 0, None
    for number, value in enumerate(important.tolist()):
        if stream[number] != current:
            wait, current = 0, stream[number]
        if wait:
            wait -= 1
            continue
        if len(chosen) < count:
            chosen.append(number)
        else:
            position = rule(chosen, number)
            if value <= important[chosen[position]]:
                continue
            chosen[position] = number
        wait = max(interval - 1, 0)
    return chosen


@dataclass(frozen=True)
class Highlights:
    """HIGHLIGHTS.

    Attributes:
        interval: minimum distance in decisions between two states that are added.
        name: see :class:`weakspot.search.method.Method`.
    """

    interval: int = INTERVAL
    name: str = "HIGHLIGHTS"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`; deterministic, ``seed`` is ignored."""
        return _summarise(sources, target, count, self.interval, _replace_least_important)


@dataclass(frozen=True)
class HighlightsDiv:
    """HIGHLIGHTS-DIV, with distances in the agent's last hidden layer.

    Attributes:
        interval: minimum distance in decisions between two states that are added.
        name: see :class:`weakspot.search.method.Method`.
    """

    interval: int = INTERVAL
    name: str = "HIGHLIGHTS-DIV"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
        """See :class:`weakspot.search.method.Method`; deterministic, ``seed`` is ignored."""
        cache: dict[int, Tensor] = {}

        def replace_most_similar(important: np.ndarray, index: np.ndarray) -> ReplacementRule:
            def features_of(number: int) -> Tensor:
                if number not in cache:
                    cache[number] = features(sources.perceive, as_state(sources.dataset.stacks(index[[number]])))[0]
                return cache[number]

            def rule(chosen: list[int], new: int) -> int:
                if important[new] <= important[chosen].min():
                    return int(important[chosen].argmin())  # will not be replaced, so no distance is needed
                difference = torch.stack([features_of(number) for number in chosen]) - features_of(new)
                return int(linalg.vector_norm(difference, dim=1).argmin())

            return rule

        result = _summarise(sources, target, count, self.interval, replace_most_similar)
        return replace(result, cost=Cost(agent=len(cache)))


def _replace_least_important(important: np.ndarray, index: np.ndarray) -> ReplacementRule:
    return lambda chosen, new: int(important[chosen].argmin())


def _summarise(
    sources: Sources, target: Target, count: int, interval: int,
    make_rule: Callable[[np.ndarray, np.ndarray], ReplacementRule],
) -> SearchResult:  # fmt: skip
    """A summary of the rollouts, most important states first.

    Args:
        make_rule: makes the replacement rule from I (n,) and the data set indices (n,) of the states in temporal order.
    """
    if sources.perceive.agent.spec.continuous:
        raise ConfigError(
            "HIGHLIGHTS for an agent with continuous actions",
            expected="scores that are values of the actions",
            todo="use another method",
        )
    if interval < 0:
        raise ConfigError(f"interval is {interval}", expected="0 or more decisions")
    stream, time = sources.dataset.stream[sources.indices], sources.dataset.time[sources.indices]
    order = np.lexsort((time, stream))
    important = importance(sources.outputs.scores.numpy())[order]
    rule = make_rule(important, sources.indices[order])
    chosen = np.array(summary(important, stream[order], count, interval, rule))
    chosen = order[chosen[np.argsort(-important[chosen], kind="stable")]]
    return recorded_states(sources, require_count(chosen, count, f"that are {interval} decisions apart"), target)
