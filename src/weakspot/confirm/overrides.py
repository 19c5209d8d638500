"""Overrides: what is done in place of the agent's own actions for some decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.actions import Action, named_runs
from weakspot.agents.base import AgentSpec
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.rollouts import Job
from weakspot.confirm.starts import Start
from weakspot.envs.random_actions import random_action
from weakspot.words import listed

SEARCHED = "a searched sequence: "
"""Beginning of the labels of sequences that were searched for one state."""
PARTS = 5
"""Parts of a sequence that its label names, at most."""
NAMED = 3
"""Overrides of several states that are all named; of more, all but the two most frequent ones are counted."""
SEQUENCES, PIECE = 4, 4
"""Random sequences that are tried, and the decisions for which each of their actions is held."""


@dataclass(frozen=True)
class Override:
    """What is done in place of the agent's actions.

    Attributes:
        label: in words, such as ``holding UP for 25 decisions``.
        actions: taken first.
        actor: index of the agent that plays; 0 is the agent under test, after the actions.
        held: index of the single action that is held, or None.
        without: index of an action that the agent may not take, or None.
        without_for: decisions for which this holds.
    """

    label: str
    actions: tuple[Action, ...]
    actor: int = 0
    held: int | None = None
    without: int | None = None
    without_for: int = 0

    @property
    def decisions(self) -> int:
        """Number of decisions in which the agent is not free."""
        return max(len(self.actions), self.without_for)

    @property
    def action(self) -> int | None:
        """Index of the single action that is held, or not taken."""
        return self.without if self.held is None else self.held


def overrides(spec: AgentSpec, config: ConfirmConfig, reference: str | None, taken: Sequence[int] = ()) -> list[Override]:
    """All overrides for an agent.

    Args:
        spec: of the agent.
        config: settings.
        reference: name of another agent, or None.
        taken: indices of the discrete actions that the agent often takes where it loses; it plays without each of them.
    """
    generator = np.random.default_rng(config.seed)
    found: list[Override] = []
    for name, index, action in single_actions(spec):
        found += [Override(f"{name} for {hold} decisions", (action,) * hold, held=index) for hold in config.holds]
    for index in taken:
        found += [
            Override(f"not taking {spec.action_names[index]} for {hold} decisions", (), without=index, without_for=hold)
            for hold in config.holds
        ]
    longest = max(config.holds)
    for number in range(SEQUENCES):
        pieces = [random_action(spec, generator) for _ in range(-(-longest // PIECE))]
        actions = tuple(action for action in pieces for _ in range(PIECE))[:longest]
        found.append(Override(f"random sequence {number + 1} of {longest} decisions", actions))
    if reference:
        found.append(Override(f"the play of {reference}", (), actor=1))
    return found


def searched(spec: AgentSpec, actions: tuple[Action, ...]) -> Override:
    """The override with actions that were searched for one state, named after its first parts."""
    runs = named_runs(actions, spec.action_names)
    parts = [name if count == 1 else f"{count} x {name}" for name, count in runs]
    more = f", and so on, {len(actions)} decisions" if len(parts) > PARTS else ""
    return Override(SEARCHED + ", ".join(parts[:PARTS]) + more, actions)


def single_actions(spec: AgentSpec) -> list[tuple[str, int | None, Action]]:
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


def job_of(start: Start, override: Override, seed: int, horizon: int) -> Job:
    """A rollout with an override, after which the agent plays on for ``horizon`` decisions."""
    return Job(
        start.snapshot, seed, horizon + override.decisions, override.actions, override.actor,
        banned=override.without, banned_for=override.without_for, hidden=start.hidden,
    )  # fmt: skip


def label_of(chosen: Sequence[Override]) -> str:
    """The overrides of several states in words, the most frequent ones first, such as ``holding UP or UPLEFT for 25
    decisions``."""
    if len({option.label for option in chosen}) == 1:
        return chosen[0].label
    searches = len({option.label for option in chosen if option.label.startswith(SEARCHED)})
    any_search = "a searched sequence" + (" for each state" if searches > 1 else "")
    counted = Counter(any_search if option.label.startswith(SEARCHED) else option.label for option in chosen)
    labels = [label for label, _ in counted.most_common()]
    for words in ("holding ", "not taking "):
        if all(label.startswith(words) for label in labels):
            names = list(dict.fromkeys(label.removeprefix(words).partition(" for ")[0] for label in labels))
            lengths = sorted({option.decisions for option in chosen})
            return f"{words}{_some(names)} for {' or '.join(map(str, lengths))} decisions"
    return _some(labels)


def _some(words: Sequence[str]) -> str:
    """All words, or the first ones and how many others there are."""
    if len(words) <= NAMED:
        return listed(words, "or")
    return f"{', '.join(words[: NAMED - 1])} or, depending on the state, one of {len(words) - NAMED + 1} others"
