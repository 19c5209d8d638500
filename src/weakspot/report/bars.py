"""The agent's scores in a state as bars: Q-values, probabilities of actions, or means of continuous actions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.subject import AgentRecord
from weakspot.report.axis import Axis
from weakspot.report.text import number


@dataclass(frozen=True)
class Bar:
    """A bar from ``left`` over ``width`` percent of its row, with its value as text; ``chosen`` if it is highlighted."""

    left: float
    width: float
    text: str
    chosen: bool


@dataclass(frozen=True)
class BarRow:
    """The bars of one action: one, or two if real and reconstructed states are compared."""

    action: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Bars:
    """The scores in one state, one row for each action; bars start at ``zero`` percent."""

    rows: tuple[BarRow, ...]
    zero: float


def displayed_scores(scores: Array, agent: AgentRecord) -> Array:
    """Scores (n, a) as they are displayed: log-probabilities as probabilities, others unchanged."""
    if not _has_probabilities(agent):
        return scores
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def bar_axes(scores: Array, agent: AgentRecord) -> list[Axis]:
    """The axis of each action for displayed scores (n, a).

    Discrete actions share one axis. Each dimension of a continuous action has its own, with zero in the middle and room for
    its bounds.
    """
    count = scores.shape[1]
    if _has_probabilities(agent):
        return [Axis(0.0, 1.0)] * count
    if agent.action_bounds is not None:
        ends = np.maximum(np.abs(scores).max(axis=0), np.abs(np.asarray(agent.action_bounds)).max(axis=1))
        return [Axis(-float(end), float(end)) for end in np.where(ends > 0, ends, 1.0)]
    low, high = min(0.0, float(scores.min())), max(0.0, float(scores.max()))
    return [Axis(low, high if high > low else low + 1.0)] * count


def score_bars(actions: Sequence[str], states: Sequence[Array], axes: Sequence[Axis], agent: AgentRecord) -> Bars:
    """The displayed scores (a,) of each of ``states`` as bars, those of one action in one row."""
    zero = float(axes[0].percent([0.0])[0])
    rows: list[BarRow] = []
    for index, (action, axis) in enumerate(zip(actions, axes, strict=True)):
        bars: list[Bar] = []
        for scores in states:
            position = float(axis.percent([scores[index]])[0])
            text = _score_text(float(scores[index]), axis, agent)
            chosen = agent.continuous or index == int(scores.argmax())
            bars.append(Bar(round(min(zero, position), 2), round(abs(position - zero), 2), text, chosen))
        rows.append(BarRow(action, tuple(bars)))
    return Bars(tuple(rows), round(zero, 2))


def bars_caption(scores: Array, agent: AgentRecord, where: str) -> str:
    """What the bars show, and their range; ``where`` says of which state, such as ``in a state``."""
    best = "most likely" if agent.acts == "sampled" else "chosen"
    if _has_probabilities(agent):
        return f"Bars: probability of each action {where}, from 0 to 100\u00a0%; the {best} one is coloured."
    if agent.continuous:
        return (
            f"Bars: the policy’s mean for each dimension of the action {where}, before clipping to its bounds, with zero in "
            "the middle. Each dimension has its own scale, the same for all states here."
        )
    axis = bar_axes(scores, agent)[0]
    return (
        f"Bars: Q-value of each action {where}, from {number(axis.low)} to {number(axis.high)}, the same for all states "
        f"here; the {best} one is coloured."
    )


def action_text(actions: Sequence[str], scores: Array, axes: Sequence[Axis], agent: AgentRecord) -> str:
    """The best action with its displayed score, such as ``LEFT 83 %``, or all dimensions of a continuous action."""
    indices = range(len(actions)) if agent.continuous else [int(scores.argmax())]
    return ", ".join(f"{actions[index]} {_score_text(float(scores[index]), axes[index], agent)}" for index in indices)


def _has_probabilities(agent: AgentRecord) -> bool:
    return agent.scores_are == "log-probabilities"


def _score_text(value: float, axis: Axis, agent: AgentRecord) -> str:
    """Percent; or, for all scores on the axis, the decimals that give the largest three significant digits."""
    if _has_probabilities(agent):
        return f"{100 * value:.0f}\u00a0%" if value >= 0.005 else "<1\u00a0%"
    decimals = max(0, 2 - math.floor(math.log10(max(-axis.low, axis.high))))
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")
