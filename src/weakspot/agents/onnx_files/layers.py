"""Operators that are layers of networks: convolutions, products, pooling, normalisation, softmax, and reductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from weakspot.agents.onnx_files.budget import size_of
from weakspot.agents.onnx_files.call import Call, Operator, cut, together

CONVOLUTIONS: Sequence[Callable[..., Tensor]] = (F.conv1d, F.conv2d, F.conv3d)
MAXIMA: Sequence[Callable[..., Tensor]] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVERAGES: Sequence[Callable[..., Tensor]] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


def _conv(call: Call) -> Tensor:
    x, weight, bias = call.x, call.tensor(1), call.optional(2)
    sides = _sides(call)
    if weight.dim() != x.dim() or not 1 <= (groups := call.setting("group", 1)) <= max(x.shape[1], 1):
        raise call.error(f"its weights have shape {tuple(weight.shape)}, and its input {tuple(x.shape)}")
    dilations, strides = call.steps("dilations", sides, 1), call.steps("strides", sides, 1)
    windows = [d * (k - 1) + 1 for d, k in zip(dilations, weight.shape[2:], strict=True)]
    before, after = _padding(call, windows, strides)
    spatial = _spatial(x, windows, strides, before, after)
    call.take((len(x), weight.shape[0], *spatial))
    unfolded = size_of(weight.shape[1:])
    call.budget.multiply(size_of((len(x), weight.shape[0], *spatial)) * unfolded)
    call.borrow((len(x), *spatial, unfolded, groups))  # torch may unfold the windows
    if before == after:
        return CONVOLUTIONS[sides - 1](x, weight, bias, strides, before, dilations, groups)
    return CONVOLUTIONS[sides - 1](_padded(call, before, after), weight, bias, strides, 0, dilations, groups)


def _sides(call: Call) -> int:
    """The number of dimensions of pictures."""
    sides = call.x.dim() - 2
    if not 1 <= sides <= 3:
        raise call.error(f"its input has shape {tuple(call.x.shape)}")
    return sides


def _padding(call: Call, windows: Sequence[int], strides: Sequence[int]) -> tuple[list[int], list[int]]:
    """How many numbers are added before and behind each dimension."""
    sides = len(windows)
    how = call.setting("auto_pad", "NOTSET")
    if how == "NOTSET":
        pads = call.steps("pads", 2 * sides, 0, least=0)
        return pads[:sides], pads[sides:]
    if how == "VALID":
        return [0] * sides, [0] * sides
    if how not in ("SAME_UPPER", "SAME_LOWER"):
        raise call.error(f"its auto_pad is {cut(how)}")
    sizes = zip(call.x.shape[2:], windows, strides, strict=True)
    total = [max((-(-size // stride) - 1) * stride + window - size, 0) for size, window, stride in sizes]
    less, more = [pad // 2 for pad in total], [pad - pad // 2 for pad in total]
    return (less, more) if how == "SAME_UPPER" else (more, less)


def _spatial(
    x: Tensor, windows: Sequence[int], strides: Sequence[int], before: Sequence[int], after: Sequence[int]
) -> list[int]:
    """An upper bound of the size of what windows make."""
    sizes = zip(x.shape[2:], windows, strides, before, after, strict=True)
    return [max((size + first + last - window) // stride + 2, 1) for size, window, stride, first, last in sizes]


def _padded(call: Call, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Tensor:
    """The first input with padding."""
    x = call.x
    sizes = zip(x.shape[2:], before, after, strict=True)
    call.take((*x.shape[:2], *(size + first + last for size, first, last in sizes)))
    pads = [pad for pair in zip(reversed(before), reversed(after), strict=True) for pad in pair]
    return F.pad(x, pads, value=value)


def _gemm(call: Call) -> Tensor:
    first, second, bias = call.x, call.tensor(1), call.optional(2)
    first = first.mT if call.setting("transA", 0) else first
    second = second.mT if call.setting("transB", 0) else second
    if first.dim() != 2 or second.dim() != 2:
        raise call.error(f"it takes tensors of shape {tuple(first.shape)} and {tuple(second.shape)}")
    shape = (first.shape[0], second.shape[1])
    if bias is not None and call.common_shape(shape, bias.shape) != shape:
        raise call.error(f"it adds shape {cut(tuple(bias.shape))} to {shape}")
    call.take(shape)
    call.borrow(shape, times=2)
    call.budget.multiply(size_of((*shape, first.shape[1])))
    product = call.setting("alpha", 1.0) * (first @ second)
    return product if bias is None else product + call.setting("beta", 1.0) * bias


def _matmul(call: Call) -> Tensor:
    first, second = together(call.x, call.tensor(1))
    rows = first.shape[-2:-1] if first.dim() > 1 else ()
    columns = second.shape[-1:] if second.dim() > 1 else ()
    matrices, inner = call.common_shape(first.shape[:-2], second.shape[:-2]), first.shape[-1:]
    call.take((*matrices, *rows, *columns), like=(first, second))
    call.budget.multiply(size_of((*matrices, *rows, *columns, *inner)))
    if matrices:  # torch copies what it repeats
        for shape in ((*matrices, *rows, *inner), (*matrices, *inner, *columns)):
            call.borrow(shape, like=(first, second))
    return first @ second


def _batch_norm(call: Call) -> Tensor:
    if call.setting("training_mode", 0):
        raise call.error("it is in training mode; export the network in evaluation mode, behind .eval()")
    scale, bias, mean, variance = (call.tensor(position) for position in range(1, 5))
    call.take(call.x.shape)
    return F.batch_norm(call.x, mean, variance, scale, bias, eps=call.setting("epsilon", 1e-5))


def _instance_norm(call: Call) -> Tensor:
    call.take(call.x.shape)
    scale, bias = _of_channels(call, call.x.shape[1:2])
    return F.instance_norm(call.x, weight=scale, bias=bias, eps=call.setting("epsilon", 1e-5))


def _of_channels(call: Call, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Scale and bias, which have this shape."""
    scale, bias = call.tensor(1), call.tensor(2)
    if not tuple(scale.shape) == tuple(bias.shape) == tuple(shape):
        shapes = f"{cut(tuple(scale.shape))} and {cut(tuple(bias.shape))}"
        raise call.error(f"its scale and bias have shapes {shapes}, and its input {cut(tuple(call.x.shape))}")
    return scale, bias


def _layer_norm(call: Call) -> Tensor:
    x, axis = call.x, call.setting("axis", -1)
    axis = axis + x.dim() if axis < 0 else axis
    if not 0 <= axis < x.dim():
        raise call.error(f"its axis is {axis}, and its input has shape {tuple(x.shape)}")
    scale, bias = call.tensor(1), call.optional(2)
    for part in (scale, *([] if bias is None else [bias])):
        if call.common_shape(x.shape, part.shape) != tuple(x.shape):
            raise call.error(f"its scale or bias has shape {cut(tuple(part.shape))}, and its input {tuple(x.shape)}")
    call.take(x.shape)
    call.borrow(x.shape, times=2)
    normal = F.layer_norm(x, x.shape[axis:], eps=call.setting("epsilon", 1e-5)) * scale
    return normal if bias is None else normal + bias


def _group_norm(call: Call) -> Tensor:
    x, groups = call.x, call.setting("num_groups", 1)
    if x.dim() < 2 or groups < 1 or x.shape[1] % groups:
        raise call.error(f"it has {groups} groups, and its input has shape {tuple(x.shape)}")
    call.take(x.shape)
    scale, bias = _of_channels(call, (groups,) if call.opset < 21 else x.shape[1:2])
    if call.opset < 21:  # one number for each group
        scale, bias = (part.repeat_interleave(x.shape[1] // groups) for part in (scale, bias))
    return F.group_norm(x, groups, scale, bias, call.setting("epsilon", 1e-5))


def _max_pool(call: Call) -> Tensor:
    if len(call.node.outputs) > 1 or call.setting("storage_order", 0):
        raise call.error("it also returns where the maxima are")
    return _pool(call, MAXIMA, -torch.inf)


def _average_pool(call: Call) -> Tensor:
    return _pool(call, AVERAGES, 0.0)


def _pool(call: Call, functions: Sequence[Callable[..., Tensor]], filler: float) -> Tensor:
    """Pooling; paddings that differ at both ends are added first, which averages allow only if they count."""
    x, sides = call.x, _sides(call)
    window, strides = call.steps("kernel_shape", sides, 0), call.steps("strides", sides, 1)
    dilations = call.steps("dilations", sides, 1)
    windows = [d * (k - 1) + 1 for d, k in zip(dilations, window, strict=True)]
    before, after = _padding(call, windows, strides)
    shape = (*x.shape[:2], *_spatial(x, windows, strides, before, after))
    call.take(shape)
    call.borrow(shape, times=2)  # the places of maxima, which are whole numbers
    call.budget.multiply(size_of(shape) * size_of(window))
    is_average, counts = functions is AVERAGES, bool(call.setting("count_include_pad", 0))
    if is_average and any(step != 1 for step in dilations):
        raise call.error(f"its dilations are {dilations}")
    ceil = bool(call.setting("ceil_mode", 0))
    if before != after or any(pad > size // 2 for pad, size in zip(before, window, strict=True)):
        if is_average and (not counts or ceil):
            raise call.error(f"its pads are {before} and {after}")
        x, before = _padded(call, before, after, filler), [0] * sides
    pool = functions[sides - 1]
    return (
        pool(x, window, strides, before, ceil, counts) if is_average else pool(x, window, strides, before, dilations, ceil)
    )


def _global(reduce: Callable[..., Tensor]) -> Operator:
    """Pooling over whole pictures."""

    def operator(call: Call) -> Tensor:
        sides = _sides(call)
        call.take(call.x.shape[:2])
        return reduce(call.x, tuple(range(2, 2 + sides)), keepdim=True)

    return operator


def _softmax(function: Callable[[Tensor, int], Tensor]) -> Operator:
    """Softmax along one dimension; before version 13 over all behind it together."""

    def operator(call: Call) -> Tensor:
        call.take(call.x.shape)
        if call.opset >= 13:
            return function(call.x, call.setting("axis", -1))
        axis = call.setting("axis", 1) % max(call.x.dim(), 1)
        return function(call.x.flatten(axis), -1).reshape(call.x.shape)

    return operator


def _reduction(function: Callable[[Tensor, list[int], bool], Tensor], axes_became_input: int) -> Operator:
    """A reduction over dimensions, by default over all of them."""

    def operator(call: Call) -> Tensor:
        axes = call.numbers("axes") if call.opset < axes_became_input else call.integers(1)
        if not axes:
            if call.setting("noop_with_empty_axes", 0):
                return call.x
            axes = list(range(call.x.dim()))
        call.borrow(call.x.shape, times=4)  # what a sum of exponentials needs, and more than any result
        return function(call.x, axes, bool(call.setting("keepdims", 1)))

    return operator


def _norm(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return cast(Tensor, torch.linalg.vector_norm(x, dim=axes, keepdim=keep))  # pyright: ignore[reportUnknownMemberType]


OPERATORS: dict[str, Operator] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "Gemm": _gemm,
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax),
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _softmax(torch.log_softmax),
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "ReduceL2": _reduction(_norm, 18),
    "ReduceLogSumExp": _reduction(torch.logsumexp, 18),
    "ReduceMax": _reduction(torch.amax, 18),
    "ReduceMean": _reduction(lambda x, axes, keep: x.mean(axes, keep), 18),
    "ReduceMin": _reduction(torch.amin, 18),
    "ReduceSum": _reduction(lambda x, axes, keep: x.sum(axes, keep), 13),
    "Softmax": _softmax(torch.softmax),
}
"""The operators by their names in ONNX."""
