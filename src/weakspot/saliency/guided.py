"""Where the agent looks: guided backpropagation (Springenberg et al. 2015) through any network made of ReLUs.

Guided backpropagation is the ordinary gradient, except that every ReLU passes back only positive gradients, and these
only where its input was positive:

    backward of y = max(x, 0):    g  ->  g * [x > 0] * [g > 0]

The rule has to reach every ReLU, however it is written, or the result is silently something else.  So the ReLU family
is replaced while the agent answers (modules, reused modules, functions, methods, in place or not, ``clamp(min=0)``),
and the recorded graph is then searched: a ReLU that was missed, or another nonlinearity for which the rule is not
defined, is refused by name.

For networks with other nonlinearities, or that are code of another kind, there is the ordinary gradient, if asked for
(``rule`` of the :class:`~weakspot.agents.base.Perceiver`).

Numbers that leave this module are those of the paper's eq. 2: |gradient| of the score of the best action, pi(s) =
max_a A(s)_a, averaged over 5x5 pixels (section 4.5).  Where actions are continuous, there is no best one among them; the
number is then sum_i |A(s)_i| / (high_i - low_i), in units of each dimension's range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from weakspot.agents.base import AgentOutput, Perceiver
from weakspot.errors import SaliencyError
from weakspot.saliency.scalar import check_finite, explained, not_differentiable
from weakspot.types import Observation, State


def guided_gradient(perceive: Perceiver, state: State, scalar: Callable[[AgentOutput], Tensor] | None = None) -> Observation:
    """Guided backpropagation of a number computed from the agent's answer, back to its observation.

    Args:
        perceive: the agent behind the observation function.
        state: states (b, kc, h, w) in [0, 1].
        scalar: maps the answer to one number a state (b,), or to their sum; by default :func:`explained`.  It is
            differentiated ordinarily: the rule applies to the agent's network only.

    Returns:
        The guided gradient (b, k, h, w) for each pixel of ``perceive.observe(state)``, whose range is 0 to 255.

    Raises:
        SaliencyError: the network holds something for which guided backpropagation is not defined, is scripted or
            compiled, or does not answer differentiably; or the gradient is not finite.
    """
    agent = perceive.agent
    _refuse_opaque(agent.module)
    with torch.inference_mode(False), torch.enable_grad():
        observation = perceive.observe(state).detach().clone().requires_grad_()
        with _GuidedReLUs():
            output = agent(observation.clone())  # a clone, so that the network may work on it in place
        answers = [output.scores] + ([] if output.value is None else [output.value])
        copies = [answer.detach().requires_grad_() for answer in answers]
        number = (scalar or explained(agent.spec))(AgentOutput(copies[0], copies[1] if len(copies) == 2 else None)).sum()
        if not number.requires_grad:
            raise SaliencyError(
                "the number to be explained does not depend on the agent's answer",
                expected="a differentiable function of AgentOutput",
            )
        wanted = torch.autograd.grad(number, copies, allow_unused=True)
        used = [(answer, gradient) for answer, gradient in zip(answers, wanted, strict=True) if gradient is not None]
        roots = [answer.grad_fn for answer, _ in used]
        path = _nodes_between([root for root in roots if root is not None], observation)
        if not path:
            raise not_differentiable(perceive)
        _refuse_nonlinear(path, agent.spec.name)
        connected = [(answer, gradient) for answer, gradient in used if answer.requires_grad]
        (guided,) = torch.autograd.grad(
            [answer for answer, _ in connected], [observation], grad_outputs=[gradient for _, gradient in connected]
        )
    return check_finite(guided, perceive)


class _GuidedReLU(torch.autograd.Function):
    """max(x, 0) with the guided backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _guide(ctx, gradients[0])


class _GuidedReLUInPlace(torch.autograd.Function):
    """The same, overwriting x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        ctx.mark_dirty(x)
        return x.clamp_(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _guide(ctx, gradients[0])


def _guide(ctx: Any, gradient: Tensor) -> Tensor:
    (positive,) = ctx.saved_tensors
    return gradient * (positive & (gradient > 0))


class _GuidedReLUs(TorchFunctionMode):
    """While this is active, in this thread, every ReLU that torch can see is a guided one.

    A comparison of a whole differentiable tensor (``x * (x > 0)``) is refused: it could be a ReLU that leaves no
    trace in the graph.
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
    if out is not None:
        raise SaliencyError("the network writes a ReLU into out=", todo="use the returned tensor instead")
    result = _GuidedReLUInPlace.apply(x) if in_place else _GuidedReLU.apply(x)
    assert isinstance(result, Tensor)
    return result


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, *names: str) -> Any:
    if len(args) > position:
        return args[position]
    return next((kwargs[name] for name in names if name in kwargs), None)


def _clamps_at_zero(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    low, high = _argument(args, kwargs, 1, "min"), _argument(args, kwargs, 2, "max")
    return high is None and isinstance(low, (int, float)) and low == 0


def _refuse_opaque(module: nn.Module) -> None:
    for name, part in module.named_modules():
        compiled = type(part).__name__ == "OptimizedModule" or part._compiled_call_impl is not None
        if isinstance(part, torch.jit.ScriptModule) or compiled:
            how = "compiled" if compiled else "scripted"
            raise SaliencyError(
                f"the network's {f'part {name!r}' if name else 'whole'} is {how}; its ReLUs cannot be reached",
                expected="a plain nn.Module",
                todo=f"give the network as it was before it was {how}, or ask for the ordinary gradient: "
                "--saliency gradient",
            )


def _nodes_between(roots: Iterable[Node], leaf: Tensor) -> list[Node]:
    """The nodes of the graph that lie on a way from ``roots`` to ``leaf``."""
    users: dict[Node, list[Node]] = {}
    ends: list[Node] = []
    waiting = list(roots)
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if getattr(node, "variable", None) is leaf:
            ends.append(node)
        for following, _ in node.next_functions:
            if following is None:
                continue
            users.setdefault(following, []).append(node)
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    between = set(ends)
    waiting = ends
    while waiting:
        for user in users.get(waiting.pop(), []):
            if user not in between:
                between.add(user)
                waiting.append(user)
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


def _refuse_nonlinear(path: Iterable[Node], agent: str) -> None:
    for node in path:
        function = getattr(type(node), "_forward_cls", None)
        if function in (_GuidedReLU, _GuidedReLUInPlace):
            continue
        name = node.name()
        if function is not None or _OPAQUE.search(name):
            raise SaliencyError(
                f"the network of agent {agent!r} contains {name.removesuffix('Backward')}, an operation of its own "
                "(custom, scripted or compiled) that guided backpropagation cannot look into",
                expected="a network of torch operations, with ReLU as the only nonlinearity",
                todo="give the network in plain torch operations, or ask for the ordinary gradient: --saliency gradient",
            )
        if _NONLINEAR.match(name):
            operation = re.sub(r"Backward\w*$", "", name)
            raise SaliencyError(
                f"the network of agent {agent!r} contains {operation}, for which guided backpropagation is not defined",
                expected="ReLU as the only nonlinearity, written as nn.ReLU, F.relu, torch.relu, x.relu() or x.clamp(min=0)",
                todo="use an agent with ReLUs, or ask for the ordinary gradient: --saliency gradient",
            )
