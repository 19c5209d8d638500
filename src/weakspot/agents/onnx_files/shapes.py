"""Operators that change or compute shapes, or choose and join parts of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from weakspot.agents.onnx_files.budget import size_of
from weakspot.agents.onnx_files.call import Call, Operator, cut, together
from weakspot.agents.onnx_files.read import cast_type

PADDINGS = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
"""Kinds of padding in ONNX, and in torch."""
NOTHING = torch.empty(0, dtype=torch.int64)
"""No places."""


def _axis(call: Call, axis: int, dimensions: int, end: int = 0) -> int:
    """An axis counted from the front."""
    found = axis + dimensions if axis < 0 else axis
    if not 0 <= found < dimensions + end:
        raise call.error(f"its axis is {axis}, and its input has shape {tuple(call.x.shape)}")
    return found


def _identity(call: Call) -> Tensor:
    return call.x


def _cast(call: Call) -> Tensor:
    kind = cast_type(call.node.attributes.get("to"))
    if kind is None:
        raise call.error("there is no such type of numbers here")
    call.take(call.x.shape, like=(call.x, torch.empty(0, dtype=kind)))
    return call.x.to(kind)


def _constant_of_shape(call: Call) -> Tensor:
    shape = call.integers(0) or []
    value = call.node.attributes.get("value", torch.zeros(1))
    if not isinstance(value, Tensor) or value.numel() != 1 or any(size < 0 for size in shape):
        raise call.error(f"its shape is {cut(shape)}")
    call.take(shape, like=(value,))
    return value.reshape(()).expand(shape).clone()


def _shape(call: Call) -> Tensor:
    sizes = torch.tensor(call.x.shape, dtype=torch.int64)
    end = call.setting("end", call.x.dim())
    return sizes[call.setting("start", 0) : end]


def _size(call: Call) -> Tensor:
    return torch.tensor(call.x.numel())


def _flatten(call: Call) -> Tensor:
    axis = _axis(call, call.setting("axis", 1), call.x.dim(), end=1)
    return call.x.reshape(math.prod(call.x.shape[:axis]), math.prod(call.x.shape[axis:]))


def _reshape(call: Call) -> Tensor:
    """The same numbers in another shape.  A first size that was exported as a constant means the batch."""
    x, target = call.x, call.integers(1) or []
    if not call.setting("allowzero", 0):
        target = [x.shape[place] if size == 0 and place < x.dim() else size for place, size in enumerate(target)]
    batch = call.batch
    if batch.fixed and x.dim() and target and target[0] == batch.fixed and len(x) == batch.size:
        target[0] = batch.size
    return x.reshape(target)


def _transpose(call: Call) -> Tensor:
    order = call.numbers("perm") or list(reversed(range(call.x.dim())))
    return call.x.permute(order)


def _squeeze(call: Call) -> Tensor:
    axes = call.numbers("axes") if call.opset < 13 else call.integers(1)
    if axes is None:
        return call.x.squeeze()
    chosen = {_axis(call, axis, call.x.dim()) for axis in axes}
    if any(call.x.shape[axis] != 1 for axis in chosen):
        raise call.error(f"it removes the dimensions {sorted(chosen)} of {tuple(call.x.shape)}")
    return call.x.reshape([size for axis, size in enumerate(call.x.shape) if axis not in chosen])


def _unsqueeze(call: Call) -> Tensor:
    axes = (call.numbers("axes") if call.opset < 13 else call.integers(1)) or []
    result, dimensions = call.x, call.x.dim() + len(axes)
    for axis in sorted(_axis(call, axis, dimensions) for axis in axes):
        result = result.unsqueeze(axis)
    return result


def _concat(call: Call) -> Tensor:
    parts = call.tensors()
    axis = _axis(call, call.setting("axis", 0), parts[0].dim())
    call.take((sum(size_of(part.shape) for part in parts),), like=parts)
    return torch.cat(together(*parts), dim=axis)


def _split(call: Call) -> Sequence[Tensor]:
    x = call.x
    axis = _axis(call, call.setting("axis", 0), x.dim())
    count = len(call.node.outputs)
    if call.setting("num_outputs", count) != count:
        raise call.error(f"it has {count} outputs, and its num_outputs is {cut(call.node.attributes['num_outputs'])}")
    sizes = call.numbers("split", count) if call.opset < 13 else call.integers(1, count)
    if sizes is None:
        each = -(-x.shape[axis] // max(count, 1))
        sizes = [min(each, max(x.shape[axis] - each * place, 0)) for place in range(count)]
    if len(sizes) != count or sum(sizes) != x.shape[axis] or any(size < 0 for size in sizes):
        raise call.error(f"it splits {x.shape[axis]} into {cut(sizes)}")
    starts = accumulate(sizes[:-1], initial=0)
    return [x.narrow(axis, start, size) for start, size in zip(starts, sizes, strict=True)]


def _slice(call: Call) -> Tensor:
    if call.opset < 10:
        starts, ends, axes, steps = call.numbers("starts"), call.numbers("ends"), call.numbers("axes"), None
    else:
        starts, ends, axes, steps = (call.integers(position) for position in range(1, 5))
    if starts is None or ends is None:
        raise call.error("it does not say where to begin and to end")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise call.error(f"it takes from {cut(starts)} to {cut(ends)} by {cut(steps)} along {cut(axes)}")
    result = call.x
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = _axis(call, axis, call.x.dim())
        chosen = range(*slice(start, end, step).indices(result.shape[axis]))
        if step > 0:
            result = result[(slice(None),) * axis + (slice(chosen.start, max(chosen.stop, chosen.start), step),)]
        else:
            call.borrow((len(chosen),), like=(NOTHING,))
            call.take((*result.shape[:axis], len(chosen), *result.shape[axis + 1 :]))
            places = torch.arange(chosen.start, chosen.stop, step) if chosen else NOTHING
            result = result.index_select(axis, places.to(result.device))
    return result


def _gather(call: Call) -> Tensor:
    x, places = call.x, call.tensor(1)
    axis = _axis(call, call.setting("axis", 0), x.dim())
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    call.take(shape)
    call.borrow(places.shape, times=3, like=(places,))
    flat, size = places.reshape(-1), x.shape[axis]
    if places.is_floating_point() or bool(((flat < -size) | (flat >= size)).any()):
        raise call.error(f"it takes places that are not in {size}")
    return x.index_select(axis, torch.where(flat < 0, flat + size, flat).to(x.device)).reshape(shape)


def _expand(call: Call) -> Tensor:
    wanted = call.integers(1) or []
    shape = call.common_shape(call.x.shape, wanted)
    call.take(shape)
    return call.x.expand(shape)


def _pad(call: Call) -> Tensor:
    x = call.x
    mode, pads, value = call.setting("mode", "constant"), call.numbers("pads"), call.setting("value", 0.0)
    if call.opset >= 11:
        pads, value = call.integers(1), call.number(2, 0.0)
    axes = call.integers(3) or list(range(x.dim()))
    if pads is None or len(pads) != 2 * len(axes) or mode not in PADDINGS:
        raise call.error(f"its pads are {cut(pads)}, its mode is {cut(mode)}")
    before, after = [0] * x.dim(), [0] * x.dim()
    for place, axis in enumerate(axes):
        before[_axis(call, axis, x.dim())], after[_axis(call, axis, x.dim())] = pads[place], pads[place + len(axes)]
    call.take([max(sum(sizes), 0) for sizes in zip(x.shape, before, after, strict=True)])
    first = next((axis for axis in range(x.dim()) if before[axis] or after[axis]), x.dim())
    pairs = [pad for axis in reversed(range(first, x.dim())) for pad in (before[axis], after[axis])]
    if not pairs:
        return x
    return F.pad(x, pairs, value=value) if mode == "constant" else F.pad(x, pairs, mode=PADDINGS[mode])


OPERATORS: dict[str, Operator] = {
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _identity,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Pad": _pad,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""The operators by their names in ONNX."""
