"""HIGHLIGHTS (Amir and Amir 2018): the states of the rollouts in which it matters most what the agent does.

The importance of a state is the spread of the agent's scores,

    I(s) = max_a q_a(s) - min_a q_a(s),

of Q-values as published; of agents that answer log-probabilities, the spread of those.
The rollouts are gone through in their order, with a summary of ``count`` states that is full from some point on:

    HIGHLIGHTS      a state more important than the least important one of the summary takes its place;
    HIGHLIGHTS-DIV  a state more important than the one of the summary that is most like it takes that one's place;

and a state can be taken ``interval`` decisions after the last one that was.  The target says nothing
here: a summary is what it is, whatever its reader is after.  Its values are given with the states, to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from weakspot.analysis.features import features
from weakspot.baselines.method import Cost, Found, Sources, enough, of_rollouts
from weakspot.dataset import as_state
from weakspot.errors import ConfigError
from weakspot.targets import Target

INTERVAL = 50
"""Decisions from one state that is taken to the next, at least; as published."""

Replaced = Callable[[list[int], int], int]
"""Which place of a full summary a state may take, from the states in the summary and the new one."""


def importance(scores: np.ndarray) -> np.ndarray:
    """I(s) of scores (n, a)."""
    return scores.max(axis=1) - scores.min(axis=1)


def summary(important: np.ndarray, stream: np.ndarray, count: int, interval: int, replaced: Replaced) -> list[int]:
    """The states of a summary, by their numbers, in no order.

    Args:
        important: I of each state (n,), in the order of its rollout, one rollout after another.
        stream: the rollout of each (n,).
        count: size of the summary.
        interval: states from one that is taken to the next, at least.
        replaced: which one gives way.
    """
    taken: list[int] = []
    wait, current = 0, None
    for number, value in enumerate(important.tolist()):
        if stream[number] != current:
            wait, current = 0, stream[number]
        if wait:
            wait -= 1
            continue
        if len(taken) < count:
            taken.append(number)
        else:
            place = replaced(taken, number)
            if value <= important[taken[place]]:
                continue
            taken[place] = number
        wait = max(interval - 1, 0)
    return taken


@dataclass(frozen=True)
class Highlights:
    """HIGHLIGHTS.

    Attributes:
        interval: decisions from one state that is taken to the next, at least.
        name: see :class:`weakspot.baselines.method.Method`.
    """

    interval: int = INTERVAL
    name: str = "HIGHLIGHTS"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.baselines.method.Method`; nothing here is random."""
        important = importance(sources.answers.scores.numpy())
        order = _in_order(sources)

        def least(taken: list[int], new: int) -> int:
            return int(np.argmin(important[order[taken]]))

        return _found(sources, target, important, order, count, self.interval, least)


@dataclass(frozen=True)
class HighlightsDiv:
    """HIGHLIGHTS-DIV, with distances in the agent's last hidden layer.

    Attributes:
        interval: decisions from one state that is taken to the next, at least.
        name: see :class:`weakspot.baselines.method.Method`.
    """

    interval: int = INTERVAL
    name: str = "HIGHLIGHTS-DIV"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.baselines.method.Method`; nothing here is random."""
        important = importance(sources.answers.scores.numpy())
        order = _in_order(sources)
        known: dict[int, torch.Tensor] = {}

        def seen(number: int) -> torch.Tensor:
            if number not in known:
                state = as_state(sources.dataset.stacks(sources.indices[order[[number]]]))
                known[number] = features(sources.perceive, state)[0]
            return known[number]

        def closest(taken: list[int], new: int) -> int:
            if important[order[new]] <= important[order[taken]].min():
                return int(np.argmin(important[order[taken]]))  # takes nobody's place, so that no distance is needed
            apart = torch.stack([seen(number) for number in taken]) - seen(new)
            return int(apart.norm(dim=1).argmin())

        found = _found(sources, target, important, order, count, self.interval, closest)
        return replace(found, cost=Cost(agent=len(known)))


def _in_order(sources: Sources) -> np.ndarray:
    """Places of the states in ``sources.indices``, one rollout after another, each in its order."""
    dataset = sources.dataset
    return np.lexsort((dataset.time[sources.indices], dataset.stream[sources.indices]))


def _found(
    sources: Sources, target: Target, important: np.ndarray, order: np.ndarray, count: int, interval: int, replaced: Replaced
) -> Found:
    if sources.perceive.agent.spec.continuous:
        raise ConfigError(
            "HIGHLIGHTS of an agent with continuous actions", expected="scores that say what each action is worth"
        )
    if interval < 0:
        raise ConfigError(f"interval is {interval}", expected="0 or more decisions")
    streams = sources.dataset.stream[sources.indices][order]
    taken = order[summary(important[order], streams, count, interval, replaced)]
    taken = taken[np.argsort(-important[taken], kind="stable")]
    return of_rollouts(sources, enough(taken, count, f"that are {interval} decisions apart"), target)
