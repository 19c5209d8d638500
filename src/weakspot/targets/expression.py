"""Targets as expressions: the energies of the trees of :mod:`weakspot.targets.grammar`."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.errors import TargetError
from weakspot.targets.base import Target
from weakspot.targets.grammar import (
    VALUE,
    Call,
    Expression,
    Name,
    Negation,
    Number,
    Operation,
    expression_slug,
    parse,
    rows_used,
    write,
)

HAS: dict[str, tuple[str, ...]] = {"q-values": ("q",), "log-probabilities": ("p", "logp"), "means": ("mean",)}
"""The rows that agents have, by what their scores are."""

_OPERATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "^": torch.pow,
}
_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda row: row.max(dim=1, keepdim=True).values,
    "min": lambda row: row.min(dim=1, keepdim=True).values,
    "avg": lambda row: row.mean(dim=1, keepdim=True),
    "sum": lambda row: row.sum(dim=1, keepdim=True),
    "std": lambda row: row.std(dim=1, keepdim=True, correction=0),
    "second": lambda row: row.topk(2, dim=1).values[:, 1:],
    "logsumexp": lambda row: row.logsumexp(dim=1, keepdim=True),
    "entropy": lambda row: -(row * row.clamp_min(1e-12).log()).sum(dim=1, keepdim=True),
}
_ELEMENTWISE: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}
_OF_SEVERAL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"max": torch.maximum, "min": torch.minimum}


def from_expression(text: str, agent: AgentSpec) -> Target:
    """The target that minimises an expression.

    Raises:
        UnknownTargetError: it is not an expression.
        TargetError: this agent has no such output, or the expression does not depend on the agent.
    """
    tree = parse(text, agent.action_names)
    used, rows = rows_used(tree), HAS[agent.scores_are]
    if not used:
        raise TargetError(f"target {text!r} is a constant", expected=f"an expression of {', '.join((*rows, VALUE))}")
    if missing := sorted(used - {*rows, VALUE}):
        raise TargetError(
            f"target {text!r} uses {', '.join(missing)}, and the scores of this agent are {agent.scores_are}",
            expected=f"{', '.join(rows)}, or {VALUE} of an agent with a critic",
            todo=f"write the expression with {' or '.join(rows)}",
        )
    name = write(tree, agent.action_names)
    return Target(
        name, expression_slug(name), "States of the user's expression", f"{name} is small.", name,
        lambda output: _evaluate(tree, output).expand(len(output.scores), 1)[:, 0],
    )  # fmt: skip


def _evaluate(tree: Expression, output: AgentOutput) -> Tensor:
    """The value of a tree: (b, a) of a row, and (b, 1) or (1, 1) of a number."""
    match tree:
        case Number():
            return output.scores.new_full((1, 1), tree.value)
        case Name():
            return _named(tree, output)
        case Negation():
            return -_evaluate(tree.operand, output)
        case Operation():
            return _OPERATORS[tree.operator](_evaluate(tree.left, output), _evaluate(tree.right, output))
        case Call():
            values = [_evaluate(argument, output) for argument in tree.arguments]
            if len(values) > 1:
                return reduce(_OF_SEVERAL[tree.function], values)
            reduces = tree.kind == "number" and tree.arguments[0].kind == "row"
            return (_REDUCTIONS if reduces else _ELEMENTWISE)[tree.function](values[0])


def _named(tree: Name, output: AgentOutput) -> Tensor:
    if tree.name == VALUE:
        if output.value is None:
            raise TargetError(
                "the target uses V, and this agent has no critic",
                expected="an actor-critic",
                todo="write the expression without V",
            )
        return output.value[:, None]
    row = output.scores
    if tree.name in ("p", "logp"):
        row = torch.log_softmax(row, dim=1)  # logits that an agent gives for log-probabilities would else not sum to one
        row = row.exp() if tree.name == "p" else row
    return row if tree.index is None else row[:, tree.index : tree.index + 1]
