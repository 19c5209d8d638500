"""Guided backpropagation (Springenberg et al. 2015) through any network made of ReLUs.

Guided backpropagation is the ordinary gradient, except that every ReLU passes back only positive gradients, and only
where its input was positive:

    backward of y = max(x, 0):    g  ->  g * [x > 0] * [g > 0]

The rule has to reach every ReLU, however it is written, or the result is silently something else.  So the ReLU family is
replaced during the forward pass (modules, reused modules, functions, methods, in place or not, ``clamp(min=0)``), and the
recorded graph is then searched: a ReLU that was missed, or another nonlinearity for which the rule is not defined, raises
an error that names it.

For networks with other nonlinearities, or with compiled code, use :mod:`weakspot.saliency.gradient` (``rule`` of the
:class:`~weakspot.agents.base.Perceiver`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from weakspot.agents.base import AgentOutput, Perceiver
from weakspot.errors import SaliencyError
from weakspot.saliency.scalar import check_finite, explained_scalar, not_differentiable
from weakspot.types import Observation, State


def guided_gradient(perceive: Perceiver, state: State, scalar: Callable[[AgentOutput], Tensor] | None = None) -> Observation:
    """Guided backpropagation of a scalar function of the agent's output to its observation.

    Args:
        perceive: the agent behind the observation function.
        state: states (b, kc, h, w) in [0, 1].
        scalar: maps the output to one number per state (b,), or to their sum; by default
            :func:`~weakspot.saliency.scalar.explained_scalar`.  Its own gradient is the ordinary one: the rule applies to
            the agent's network only.

    Returns:
        The guided gradient (b, k, h, w) for each pixel of ``perceive.observe(state)``, whose range is 0 to 255.

    Raises:
        SaliencyError: the network contains something for which guided backpropagation is not defined, is scripted or
            compiled, or is not differentiable; or the gradient is not finite.
    """
    agent = perceive.agent
    _check_not_opaque(agent.module)
    with torch.inference_mode(False), torch.enable_grad():
        observation = perceive.observe(state).detach().clone().requires_grad_()
        with _GuidedReLUs():
            output = perceive.agent_in(state)(observation.clone())  # a clone, so that the network may modify it in place
        heads = [output.scores] + ([] if output.value is None else [output.value])
        head_gradients = _scalar_gradients(heads, scalar or explained_scalar(agent.spec))
        used = [(head, gradient) for head, gradient in zip(heads, head_gradients, strict=True) if gradient is not None]
        roots = [head.grad_fn for head, _ in used]
        path = _nodes_between([root for root in roots if root is not None], observation)
        if not path:
            raise not_differentiable(perceive)
        _check_nonlinearities(path, agent.spec.name)
        connected = [(head, gradient) for head, gradient in used if head.requires_grad]
        (guided,) = torch.autograd.grad(
            [head for head, _ in connected], [observation], grad_outputs=[gradient for _, gradient in connected]
        )
    return check_finite(guided, perceive)


def _scalar_gradients(heads: Sequence[Tensor], scalar: Callable[[AgentOutput], Tensor]) -> Sequence[Tensor | None]:
    """The ordinary gradients of ``scalar`` with respect to the agent's scores and value; None for one it does not use."""
    copies = [head.detach().requires_grad_() for head in heads]
    number = scalar(AgentOutput(copies[0], copies[1] if len(copies) == 2 else None)).sum()
    if not number.requires_grad:
        raise SaliencyError(
            "the number to explain does not depend on the agent's output",
            expected="a differentiable function of AgentOutput",
            todo="avoid .item(), .detach() and argmax in it",
        )
    return cast("Sequence[Tensor | None]", torch.autograd.grad(number, copies, allow_unused=True))


class _GuidedReLU(torch.autograd.Function):
    """max(x, 0) with the guided backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _guided_backward(ctx, gradients[0])


class _GuidedReLUInPlace(torch.autograd.Function):
    """max(x, 0) in place, with the guided backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        ctx.mark_dirty(x)
        return x.clamp_(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _guided_backward(ctx, gradients[0])


def _guided_backward(ctx: Any, gradient: Tensor) -> Tensor:
    (positive,) = ctx.saved_tensors
    return gradient * (positive & (gradient > 0))


class _GuidedReLUs(TorchFunctionMode):
    """Replaces every ReLU that torch can see by a guided one, in this thread, while the context is active.

    Raises :class:`SaliencyError` for a comparison of a whole differentiable tensor (``x * (x > 0)``), which could be a ReLU
    that leaves no trace in the graph.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operation = getattr(func, "overloadpacket", func)  # an exported program calls its overloads by name
        x = _argument(args, kwargs, 0, "input", "self")
        if isinstance(x, Tensor) and x.requires_grad:
            if operation in _RELU:
                return _guided(x, in_place=bool(_argument(args, kwargs, 1, "inplace")), out=kwargs.get("out"))
            if operation in _RELU_IN_PLACE:
                return _guided(x, in_place=True, out=None)
            if func in _CLAMP and _clamps_at_zero(args, kwargs):
                return _guided(x, in_place=func in _CLAMP_IN_PLACE, out=kwargs.get("out"))
        if operation in _COMPARISONS:
            for operand in args[:2]:
                if isinstance(operand, Tensor) and operand.requires_grad and operand.numel() > 1:
                    raise SaliencyError(
                        f"the network compares activations ({getattr(func, '__name__', func)}), "
                        "which can hide a nonlinearity from guided backpropagation",
                        expected="ReLU written as nn.ReLU, F.relu, torch.relu, x.relu() or x.clamp(min=0)",
                        todo="write x * (x > 0) as torch.relu(x)",
                    )
        return func(*args, **kwargs)


_RELU = {torch.relu, F.relu, Tensor.relu, torch.ops.aten.relu}

_RELU_IN_PLACE = {torch.relu_, F.relu_, Tensor.relu_, torch.ops.aten.relu_}

_CLAMP_IN_PLACE = {torch.clamp_, Tensor.clamp_, torch.clip_, Tensor.clip_, torch.clamp_min_, Tensor.clamp_min_}

_CLAMP_MIN = {torch.clamp_min, Tensor.clamp_min, torch.clamp_min_, Tensor.clamp_min_}

_CLAMP = _CLAMP_IN_PLACE | _CLAMP_MIN | {torch.clamp, Tensor.clamp, torch.clip, Tensor.clip}

_COMPARISONS = {
    getattr(owner, name)
    for name in ("gt", "ge", "lt", "le", "greater", "greater_equal", "less", "less_equal", "sign", "heaviside")
    for owner in (torch, Tensor, torch.ops.aten)
} | {Tensor.__gt__, Tensor.__ge__, Tensor.__lt__, Tensor.__le__}


def _guided(x: Tensor, *, in_place: bool, out: Tensor | None) -> Tensor:
    """The guided ReLU of ``x``, with the arguments of the ReLU that it replaces."""
    if out is not None:
        raise SaliencyError("the network writes a ReLU into out=", todo="use the returned tensor instead")
    function: Any = _GuidedReLUInPlace if in_place else _GuidedReLU  # Function.apply has no type hints
    result: Tensor = function.apply(x)
    return result


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, *names: str) -> Any:
    """An argument by its position or by one of its names; None if it was not passed."""
    if len(args) > position:
        return args[position]
    return next((kwargs[name] for name in names if name in kwargs), None)


def _clamps_at_zero(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the arguments of ``clamp`` make it a ReLU."""
    low, high = _argument(args, kwargs, 1, "min"), _argument(args, kwargs, 2, "max")
    return high is None and isinstance(low, (int, float)) and low == 0


def _check_not_opaque(module: nn.Module) -> None:
    """Raises :class:`SaliencyError` if the network or a part of it is scripted or compiled."""
    for name, part in cast("Iterator[tuple[str, nn.Module]]", module.named_modules()):
        compiled = type(part).__name__ == "OptimizedModule" or getattr(part, "_compiled_call_impl", None) is not None
        if isinstance(part, torch.jit.ScriptModule) or compiled:
            how = "compiled" if compiled else "scripted"
            raise SaliencyError(
                f"the network's {f'part {name!r}' if name else 'whole'} is {how}; its ReLUs cannot be reached",
                expected="a plain nn.Module",
                todo=f"pass the network as it was before it was {how}, or use the ordinary gradient: --saliency gradient",
            )


def _nodes_between(roots: Iterable[Node], leaf: Tensor) -> list[Node]:
    """The nodes of the graph that lie on a path from ``roots`` to ``leaf``."""
    users: dict[Node, list[Node]] = {}
    ends: list[Node] = []
    pending = list(roots)
    visited = set(pending)
    while pending:
        node = pending.pop()
        if getattr(node, "variable", None) is leaf:
            ends.append(node)
        for next_node, _ in node.next_functions:
            if next_node is None:
                continue
            users.setdefault(next_node, []).append(node)
            if next_node not in visited:
                visited.add(next_node)
                pending.append(next_node)
    between = set(ends)
    pending = ends
    while pending:
        for user in users.get(pending.pop(), []):
            if user not in between:
                between.add(user)
                pending.append(user)
    return list(between)


_NONLINEAR = re.compile(
    r"^(Relu|Threshold|Hardtanh|Clamp|ClampMin|ClampMax|LeakyRelu|RreluWithNoise|Rrelu|PreluKernel|Prelu|Elu|Celu|Selu|"
    r"Gelu|Silu|Mish|Hardswish|Hardsigmoid|Hardshrink|Softshrink|Softplus|LogSigmoid|Sigmoid|Tanh|Logit|Glu|"
    r"Exp|Exp2|Expm1|Log|Log2|Log10|Log1P|Abs|Sqrt|Rsqrt|Pow|Square|Reciprocal|Sin|Cos|Tan|Sinc|Asin|Acos|Atan|Atan2|Sinh|Cosh|"
    r"Asinh|Acosh|Atanh|Erf|Erfc|Erfinv|Sign|Sgn|Heaviside|Floor|Ceil|Round|Trunc|Frac|Maximum|Minimum|Fmax|Fmin|Where|MaskedFill|"
    r"NanToNum|Xlogy|Rnn\w*|Lstm\w*|Gru\w*|ThnnFused\w*|Cudnn\w*Rnn|CudnnRnn|MkldnnRnn\w*|MiopenRnn)Backward\w*$",
    re.IGNORECASE,
)

_OPAQUE = re.compile(r"DifferentiableGraph|CompiledFunction|torch::jit", re.IGNORECASE)


def _check_nonlinearities(path: Iterable[Node], agent: str) -> None:
    """Raises :class:`SaliencyError` for a node whose nonlinearity is not a guided ReLU, or cannot be inspected."""
    for node in path:
        function = getattr(type(node), "_forward_cls", None)
        if function in (_GuidedReLU, _GuidedReLUInPlace):
            continue
        name = node.name()
        if function is not None or _OPAQUE.search(name):
            raise SaliencyError(
                f"the network of agent {agent!r} contains {name.removesuffix('Backward')}, a custom, scripted or "
                "compiled operation, which guided backpropagation cannot inspect",
                expected="a network of torch operations, with ReLU as the only nonlinearity",
                todo="write the network in plain torch operations, or use the ordinary gradient: --saliency gradient",
            )
        if _NONLINEAR.match(name):
            operation = re.sub(r"Backward\w*$", "", name)
            raise SaliencyError(
                f"the network of agent {agent!r} contains {operation}, for which guided backpropagation is not defined",
                expected="ReLU as the only nonlinearity, written as nn.ReLU, F.relu, torch.relu, x.relu() or x.clamp(min=0)",
                todo="use an agent with ReLUs, or the ordinary gradient: --saliency gradient",
            )
