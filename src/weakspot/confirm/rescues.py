"""Rescues: what could be done in place of the agent's own actions so that a loss does not come.

For some decisions an action is held, or short random sequences are taken, or another agent plays; then the agent under test
plays on, for as long as in its own rollouts, so that a loss that only comes later is no rescue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.actions import Action
from weakspot.agents.base import AgentSpec
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.losses import LossRule
from weakspot.confirm.rollouts import Job, Roller, Rollout
from weakspot.confirm.seeds import Seeds
from weakspot.confirm.starts import Start

SEQUENCES, PIECE = 4, 4
"""Random sequences that are tried, and the decisions for which each of their actions is held."""
BEST, AGAIN = 3, 4
"""Overrides of each state that are tried again after a first rollout, and their rollouts."""


@dataclass(frozen=True)
class Override:
    """What is done in place of the agent's actions.

    Attributes:
        label: in words, such as ``holding UP for 25 decisions``.
        actions: taken first.
        actor: index of the agent that plays; 0 is the agent under test, after the actions.
        held: index of the single action that is held, or None.
    """

    label: str
    actions: tuple[Action, ...]
    actor: int = 0
    held: int | None = None


def overrides(spec: AgentSpec, config: ConfirmConfig, reference: str | None) -> list[Override]:
    """All overrides for an agent; ``reference`` is the name of another agent, or None."""
    generator = np.random.default_rng(config.seed)
    found: list[Override] = []
    for name, index, action in _single_actions(spec):
        found += [Override(f"{name} for {hold} decisions", (action,) * hold, held=index) for hold in config.holds]
    longest = max(config.holds)
    for number in range(SEQUENCES):
        pieces = [_random_action(spec, generator) for _ in range(-(-longest // PIECE))]
        actions = tuple(action for action in pieces for _ in range(PIECE))[:longest]
        found.append(Override(f"random sequence {number + 1} of {longest} decisions", actions))
    if reference:
        found.append(Override(f"the play of {reference}", (), actor=1))
    return found


def _single_actions(spec: AgentSpec) -> list[tuple[str, int | None, Action]]:
    """The actions that are held: all discrete ones; of continuous ones, both ends and the middle of each dimension."""
    bounds = spec.action_bounds
    if bounds is None:
        return [(f"holding {name}", index, index) for index, name in enumerate(spec.action_names)]
    middle = [(low + high) / 2 for low, high in bounds]
    found: list[tuple[str, int | None, Action]] = [("holding the middle of every dimension", None, tuple(middle))]
    for dimension, (name, (low, high)) in enumerate(zip(spec.action_names, bounds, strict=True)):
        for value in (low, high):
            found.append((f"holding {name} at {value:g}", None, (*middle[:dimension], value, *middle[dimension + 1 :])))
    return found


def _random_action(spec: AgentSpec, generator: np.random.Generator) -> Action:
    if spec.action_bounds is None:
        return int(generator.integers(len(spec.action_names)))
    return tuple(float(generator.uniform(low, high)) for low, high in spec.action_bounds)


def job_of(start: Start, override: Override, seed: int, horizon: int) -> Job:
    """A rollout with an override, after which the agent plays on for ``horizon`` decisions."""
    return Job(start.snapshot, seed, horizon + len(override.actions), override.actions, override.actor)


@dataclass(frozen=True)
class Tried:
    """What the overrides did to one losing state.

    Attributes:
        first: whether a single rollout with each override had no loss (o,).
        saved: share of later rollouts with the best overrides that had no loss; 0 for the others (o,).
    """

    first: np.ndarray
    saved: np.ndarray

    @property
    def can_be_saved(self) -> bool:
        """Whether an override avoids at least half of the losses."""
        return bool(self.saved.max(initial=0.0) >= 0.5)


def try_overrides(
    roller: Roller, rule: LossRule, starts: Sequence[Start], options: Sequence[Override], config: ConfirmConfig,
    seeds: Seeds, progress: Callable[[int, int], None] | None = None,
) -> list[Tried]:  # fmt: skip
    """Tries all overrides once from every state, and the best of each state some more times."""
    jobs = [job_of(start, option, seeds.next(), config.horizon) for start in starts for option in options]
    rollouts = rule.judged(roller.run(jobs, until_loss=rule.measure is None, progress=progress))
    by_state = [rollouts[i : i + len(options)] for i in range(0, len(rollouts), len(options))]
    best = [_best(tried, options) for tried in by_state]
    again = [
        job_of(start, options[o], seeds.next(), config.horizon)
        for start, chosen in zip(starts, best, strict=True)
        for o in chosen
        for _ in range(AGAIN)
    ]
    later = iter(rule.judged(roller.run(again, until_loss=rule.measure is None, progress=progress)))
    found: list[Tried] = []
    for tried, chosen in zip(by_state, best, strict=True):
        saved = np.zeros(len(options))
        for o in chosen:
            saved[o] = np.mean([not next(later).lost for _ in range(AGAIN)])
        found.append(Tried(np.array([not rollout.lost for rollout in tried]), saved))
    return found


def _best(tried: Sequence[Rollout], options: Sequence[Override]) -> list[int]:
    """The overrides of one state that are tried again: those without a loss, with the latest loss, with the best return."""

    def rank(o: int) -> tuple[bool, int, float]:
        rollout = tried[o]
        time = len(rollout.actions) if rollout.loss is None else rollout.loss - len(options[o].actions)
        return rollout.lost, -time, -rollout.total

    return sorted(range(len(options)), key=rank)[:BEST]


def label_of(chosen: Sequence[Override]) -> str:
    """The overrides of several states in words, the most frequent ones first, such as ``holding UP or UPLEFT for 25
    decisions``."""
    labels = [option.label for option, _ in Counter(chosen).most_common()]
    if len(labels) == 1:
        return labels[0]
    if all(option.held is not None for option in chosen):
        names = list(dict.fromkeys(label.removeprefix("holding ").partition(" for ")[0] for label in labels))
        lengths = sorted({len(option.actions) for option in chosen})
        joined = " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
        return f"holding {joined} for {' or '.join(map(str, lengths))} decisions"
    return " or ".join(labels)


def best_for_group(tried: Sequence[Tried]) -> list[int]:
    """The overrides that save most states of a group, best first, at most :data:`BEST`."""
    votes = np.sum([np.maximum(one.first * 0.5, one.saved) + 0.1 * one.first for one in tried], axis=0)
    return [int(o) for o in np.argsort(-votes, kind="stable")[:BEST]]
