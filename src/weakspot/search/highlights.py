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
from weakspot.data.dataset import as_state
from weakspot.errors import ConfigError
from weakspot.search.method import Cost, Found, Sources, enough, of_rollouts
from weakspot.targets.base import Target

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
        name: see :class:`weakspot.search.method.Method`.
    """

    interval: int = INTERVAL
    name: str = "HIGHLIGHTS"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.search.method.Method`; nothing here is random."""
        return _summarised(sources, target, count, self.interval, _least_important)


@dataclass(frozen=True)
class HighlightsDiv:
    """HIGHLIGHTS-DIV, with distances in the agent's last hidden layer.

    Attributes:
        interval: decisions from one state that is taken to the next, at least.
        name: see :class:`weakspot.search.method.Method`.
    """

    interval: int = INTERVAL
    name: str = "HIGHLIGHTS-DIV"

    def __call__(self, sources: Sources, target: Target, count: int, seed: int) -> Found:
        """See :class:`weakspot.search.method.Method`; nothing here is random."""
        known: dict[int, torch.Tensor] = {}

        def most_alike(important: np.ndarray, index: np.ndarray) -> Replaced:
            def seen(number: int) -> torch.Tensor:
                if number not in known:
                    known[number] = features(sources.perceive, as_state(sources.dataset.stacks(index[[number]])))[0]
                return known[number]

            def replaced(taken: list[int], new: int) -> int:
                if important[new] <= important[taken].min():
                    return int(important[taken].argmin())  # takes nobody's place, so that no distance is needed
                apart = torch.stack([seen(number) for number in taken]) - seen(new)
                return int(apart.norm(dim=1).argmin())

            return replaced

        found = _summarised(sources, target, count, self.interval, most_alike)
        return replace(found, cost=Cost(agent=len(known)))


def _least_important(important: np.ndarray, index: np.ndarray) -> Replaced:
    return lambda taken, new: int(important[taken].argmin())


def _summarised(
    sources: Sources, target: Target, count: int, interval: int, rule: Callable[[np.ndarray, np.ndarray], Replaced]
) -> Found:
    """A summary of the rollouts; ``rule`` makes which one gives way, from I (n,) and the numbers in the data set (n,) of
    the states, one rollout after another, each in its order."""
    if sources.perceive.agent.spec.continuous:
        raise ConfigError(
            "HIGHLIGHTS of an agent with continuous actions", expected="scores that say what each action is worth"
        )
    if interval < 0:
        raise ConfigError(f"interval is {interval}", expected="0 or more decisions")
    stream, time = sources.dataset.stream[sources.indices], sources.dataset.time[sources.indices]
    order = np.lexsort((time, stream))
    important = importance(sources.answers.scores.numpy())[order]
    taken = np.array(summary(important, stream[order], count, interval, rule(important, sources.indices[order])))
    taken = order[taken[np.argsort(-important[taken], kind="stable")]]
    return of_rollouts(sources, enough(taken, count, f"that are {interval} decisions apart"), target)
