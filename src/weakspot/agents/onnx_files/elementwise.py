"""Operators that work on each number by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from weakspot.agents.onnx_files.call import Call, Operator, together

Two = Callable[[Tensor, Tensor], Tensor]


def _broadcast(call: Call, *tensors: Tensor) -> list[Tensor]:
    """Tensors that can be combined; their common shape is counted."""
    call.take(call.common_shape(*(tensor.shape for tensor in tensors)), like=tensors)
    return together(*tensors)


def _one(function: Callable[[Tensor], Tensor]) -> Operator:
    """An operator of one tensor."""

    def operator(call: Call) -> Tensor:
        call.take(call.x.shape)
        return function(call.x)

    return operator


def _two(function: Two) -> Operator:
    """An operator of two tensors."""

    def operator(call: Call) -> Tensor:
        first, second = _broadcast(call, call.x, call.tensor(1))
        return function(first, second)

    return operator


def _quotient(call: Call) -> Tensor:
    first, second = _broadcast(call, call.x, call.tensor(1))
    if not first.is_floating_point():  # what is divided, the quotient, and what replaces a part of it
        call.borrow(call.common_shape(first.shape, second.shape), times=4, like=(first, second))
    return _divide(first, second)


def _several(function: Two) -> Operator:
    """An operator of any number of tensors."""

    def operator(call: Call) -> Tensor:
        def combined(first: Tensor, second: Tensor) -> Tensor:
            return function(*_broadcast(call, first, second))

        return reduce(combined, call.tensors())

    return operator


def _activation(function: Callable[[Tensor, Call], Tensor]) -> Operator:
    """An operator of one tensor and settings."""

    def operator(call: Call) -> Tensor:
        call.take(call.x.shape)
        call.borrow(call.x.shape)
        return function(call.x, call)

    return operator


def _divide(first: Tensor, second: Tensor) -> Tensor:
    """The quotient; that of whole numbers is cut off towards zero.

    The processor cannot divide the smallest whole number by -1: that would end the process.
    """
    if first.is_floating_point() or second.is_floating_point():
        return first / second
    is_minus = second == -1
    quotient = torch.div(first, torch.where(is_minus, torch.ones_like(second), second), rounding_mode="trunc")
    return torch.where(is_minus, -first, quotient)


def _power(call: Call) -> Tensor:
    first, second = _broadcast(call, call.x, call.tensor(1))
    if second.numel() == 1 and not second.requires_grad:  # the gradient at zero is that of the polynomial
        return first.pow(second.item()).reshape(call.common_shape(first.shape, second.shape))
    return first.pow(second)


def _clip(call: Call) -> Tensor:
    call.take(call.x.shape)
    if call.opset < 11:
        low, high = call.setting("min", -math.inf), call.setting("max", math.inf)
        return _between(call.x, low, high)
    return _between(call.x, call.number(1, -math.inf), call.number(2, math.inf))


def _between(x: Tensor, low: float, high: float) -> Tensor:
    """Limits numbers; written so that guided backpropagation knows a lower limit of zero alone as a ReLU."""
    low_bound, high_bound = None if low == -math.inf else low, None if high == math.inf else high
    return x if low_bound is None and high_bound is None else x.clamp(min=low_bound, max=high_bound)


def _where(call: Call) -> Tensor:
    condition, first, second = _broadcast(call, call.x, call.tensor(1), call.tensor(2))
    call.borrow(condition.shape)
    return torch.where(condition.bool(), first, second)


def _leaky(x: Tensor, call: Call) -> Tensor:
    return F.leaky_relu(x, call.setting("alpha", 0.01))


def _selu(x: Tensor, call: Call) -> Tensor:
    alpha, gamma = call.setting("alpha", 1.6732632423543772), call.setting("gamma", 1.0507009873554805)
    return gamma * F.elu(x, alpha)


def _hard_sigmoid(x: Tensor, call: Call) -> Tensor:
    return (call.setting("alpha", 0.2) * x + call.setting("beta", 0.5)).clamp(0.0, 1.0)


def _gelu(x: Tensor, call: Call) -> Tensor:
    return F.gelu(x, approximate=call.setting("approximate", "none"))


def _parametric(call: Call) -> Tensor:
    x, slope = _broadcast(call, call.x, call.tensor(1))
    call.borrow(call.common_shape(x.shape, slope.shape), times=2)
    return torch.where(x < 0, slope * x, x)


OPERATORS: dict[str, Operator] = {
    "Abs": _one(torch.abs),
    "Add": _two(torch.add),
    "And": _two(torch.logical_and),
    "Ceil": _one(torch.ceil),
    "Celu": _activation(lambda x, call: F.celu(x, call.setting("alpha", 1.0))),
    "Clip": _clip,
    "Cos": _one(torch.cos),
    "Div": _quotient,
    "Elu": _activation(lambda x, call: F.elu(x, call.setting("alpha", 1.0))),
    "Equal": _two(torch.eq),
    "Erf": _one(torch.erf),
    "Exp": _one(torch.exp),
    "Floor": _one(torch.floor),
    "Gelu": _activation(_gelu),
    "Greater": _two(torch.gt),
    "GreaterOrEqual": _two(torch.ge),
    "HardSigmoid": _activation(_hard_sigmoid),
    "HardSwish": _one(F.hardswish),
    "LeakyRelu": _activation(_leaky),
    "Less": _two(torch.lt),
    "LessOrEqual": _two(torch.le),
    "Log": _one(torch.log),
    "Max": _several(torch.maximum),
    "Min": _several(torch.minimum),
    "Mish": _one(F.mish),
    "Mul": _two(torch.mul),
    "Neg": _one(torch.neg),
    "Not": _one(torch.logical_not),
    "Or": _two(torch.logical_or),
    "PRelu": _parametric,
    "Pow": _power,
    "Reciprocal": _one(torch.reciprocal),
    "Selu": _activation(_selu),
    "Sigmoid": _one(torch.sigmoid),
    "Sign": _one(torch.sign),
    "Sin": _one(torch.sin),
    "Softplus": _one(F.softplus),
    "Softsign": _one(F.softsign),
    "Sqrt": _one(torch.sqrt),
    "Sub": _two(torch.sub),
    "Sum": _several(torch.add),
    "Tanh": _one(torch.tanh),
    "Where": _where,
}
"""The operators by their names in ONNX, except Relu, which is a module of its own."""
