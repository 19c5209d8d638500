"""What a network returned: its structure as text, its scores and values, and advice if they cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from weakspot.agents.base import ScoresAre, bound_tensors
from weakspot.errors import OutputError
from weakspot.types import Bounds

FLOOR = -30.0
"""The log-probability of an action that a mask forbids; its action is never sampled."""
MASKED = {"log-probabilities": -1e4, "q-values": -1e7}
"""Scores at or below this are those of actions that a mask forbids, such as minus infinity."""


def describe(result: object) -> str:
    """The structure of what a network returned, such as ``(tensor (2, 6), tensor (2, 1))``."""
    if isinstance(result, Tensor):
        return f"tensor {tuple(result.shape)}"
    if isinstance(result, Mapping):
        entries = cast(Mapping[object, object], result).items()
        return "{" + ", ".join(f"{name}: {describe(part)}" for name, part in entries) + "}"
    if isinstance(result, list | tuple):
        inside = ", ".join(describe(part) for part in cast(Sequence[object], result))
        return f"[{inside}]" if isinstance(result, list) else f"({inside})"
    return "None" if result is None else f"a {type(result).__name__}"


def scores_and_value(result: object, name: str, actions: int) -> tuple[Tensor, Tensor | None]:
    """Splits what a network returned into scores and values.

    Args:
        result: a tensor of scores, or scores and values; empty parts at the end, such as the hidden state None of a network
            without memory, are ignored.
        name: of the agent, for error messages.
        actions: a, number of columns of the scores.

    Raises:
        OutputError: it is something else; the message shows its structure and says what to change.
    """
    parts: list[object] = list(cast(Sequence[object], result)) if isinstance(result, list | tuple) else [result]
    while len(parts) > 1 and _is_empty(parts[-1]):
        parts.pop()
    first, second = parts[0], parts[1] if len(parts) == 2 else None
    if isinstance(first, Tensor) and (len(parts) == 1 or isinstance(second, Tensor)):
        if not isinstance(second, Tensor):
            return first, None
        _check_order(first, second, name, actions)
        return first, second
    raise OutputError(
        f"the network of agent {name!r} returned {describe(cast(object, result))}",
        expected="a tensor of scores (b, a), or a pair (scores, value)",
        todo=_advice(parts, cast(object, result)),
    )


def _is_empty(part: object) -> bool:
    return part is None or (isinstance(part, list | tuple | Mapping) and not len(cast(Any, part)))


def is_value(output: Tensor) -> bool:
    """Whether an output has the shape of values: (b,) or (b, 1)."""
    return output.dim() == 1 or tuple(output.shape[1:]) == (1,)


def are_scores(output: Tensor, actions: int) -> bool:
    """Whether an output has the shape of scores: (b, a)."""
    return output.dim() == 2 and output.shape[1] == actions


def _check_order(first: Tensor, second: Tensor, name: str, actions: int) -> None:
    """Raises an error for a pair that is not (scores, value)."""
    if actions > 1 and is_value(first) and are_scores(second, actions):
        raise OutputError(
            f"the network of agent {name!r} returned {describe((first, second))}: the value first, and then the scores",
            expected="(scores, value) in this order",
            todo="exchange the two in its forward, or in a module around it: `value, scores = net(x); return scores, value`",
        )
    if actions > 1 and first.shape == second.shape:
        raise OutputError(
            f"the network of agent {name!r} returned {describe((first, second))}: two numbers for each action",
            expected="(scores, value), with one value for each observation",
            todo="return what the agent acts on alone: of a Gaussian policy the means, without the standard deviations; of "
            "a Beta policy with alpha and beta of at least 1 both are understood; of a distribution over returns its means",
        )


def _advice(parts: Sequence[object], result: object) -> str:
    if isinstance(result, Mapping):
        return "return its entry with the scores, or (scores, value), in a module around it"
    if len(parts) in (2, 3) and isinstance(parts[0], Tensor):
        return (
            "return the scores, or (scores, value). If the last part is a hidden state, let forward take it as its second "
            "argument, forward(observation, hidden), and give the module a method initial_hidden(batch)"
        )
    if any(isinstance(part, list | tuple) for part in parts):
        return "take the tuples apart in a module around it, and return the scores, or (scores, value), alone"
    return "wrap it in a module whose forward returns one of these"


def unmasked(scores: Tensor, scores_are: ScoresAre) -> Tensor:
    """Scores (b, a) in which forbidden actions, whose scores a mask has set to minus infinity, have finite ones.

    A forbidden action gets the log-probability :data:`FLOOR`; a forbidden Q-value becomes slightly
    lower than the lowest one of the allowed actions of the same state, so that the action is never the best.  No gradient
    passes through either.
    Rows in which all actions are forbidden stay unchanged.
    """
    if scores_are == "means":
        return scores
    forbidden = scores.detach() <= MASKED[scores_are]
    if not forbidden.any():
        return scores
    allowed = scores.detach()
    if scores_are == "log-probabilities":
        return _replaced(scores, forbidden, torch.full_like(allowed, FLOOR))
    lowest = allowed.masked_fill(forbidden, torch.inf).amin(dim=1, keepdim=True)
    spread = allowed.masked_fill(forbidden, -torch.inf).amax(dim=1, keepdim=True) - lowest
    floor = lowest - 0.01 * spread - 1e-5 * lowest.abs().clamp_min(1.0)
    return _replaced(scores, forbidden & lowest.isfinite(), floor.expand_as(scores))


def _replaced(scores: Tensor, where: Tensor, values: Tensor) -> Tensor:
    """Scores with other values in some places; written so that guided backpropagation, which would take torch.where for a
    nonlinearity of the agent, passes it."""
    places = where.nonzero(as_tuple=True)
    return scores.index_put(places, values[places])


class BetaMeans(nn.Module):
    """The mean action of a Beta policy, whose actions are ``low + (high - low) x`` with x drawn from Beta(alpha, beta):

        mean = low + (high - low) alpha / (alpha + beta)

    Args:
        network: maps observations to (alpha, beta), (b, a) each, or to ((alpha, beta), value).
        bounds: of the actions.
    """

    def __init__(self, network: nn.Module, bounds: Bounds) -> None:
        super().__init__()
        self.network, self.bounds = network, bounds

    def forward(self, observation: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        result = self.network(observation)
        (alpha, beta), value = result if isinstance(result[0], list | tuple) else (result, None)
        low, high = bound_tensors(self.bounds, alpha)
        means = low + (high - low) * (alpha / (alpha + beta))
        return means if value is None else (means, value)


def is_beta(result: object, dimensions: int) -> bool:
    """Whether a network returned alpha and beta of a Beta policy, both at least 1: (alpha, beta), or ((alpha, beta), value).

    Args:
        result: for a batch of observations.
        dimensions: of an action; for a single one, a pair alone is read as (mean, value).
    """
    if not isinstance(result, list | tuple):
        return False
    parts = cast(Sequence[object], result)
    nested = len(parts) == 2 and isinstance(parts[0], list | tuple)
    pair = cast(Sequence[object], parts[0]) if nested else parts
    if len(pair) != 2 or not (nested or dimensions > 1):
        return False
    tensors = [part for part in pair if isinstance(part, Tensor) and part.dim() == 2 and part.shape[1] == dimensions]
    return len(tensors) == 2 and all(bool((part >= 1).all()) for part in tensors)
