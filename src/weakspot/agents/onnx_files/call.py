"""One execution of a node: what it takes, its settings, and how much memory is left for what it makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor

from weakspot.agents.onnx_files.graph import Attribute, Node
from weakspot.errors import WeightsError

Setting = TypeVar("Setting", bound=Attribute)

LARGEST_STATE = 1 << 27
"""Numbers that all operations together may make for one observation."""
LARGEST_STEP = 1 << 16
"""Largest stride, dilation, padding and size of a window."""


class GraphError(WeightsError):
    """A node cannot be computed as the file describes it."""


class Budget:
    """Counts the numbers that a forward pass makes, before memory is taken for them.

    Args:
        source: path of the file, for error messages.
        left: numbers that may still be made.
    """

    def __init__(self, source: str, left: int) -> None:
        self.source, self.left = source, left

    def take(self, shape: Iterable[int]) -> None:
        """Counts a tensor of this shape.

        Raises:
            WeightsError: there are too many numbers.
        """
        self.left -= math.prod(shape)
        if self.left < 0:
            raise WeightsError(
                f"the network in {self.source} makes more than {LARGEST_STATE:,} numbers from one observation",
                expected="the network of an agent",
                todo="export it again; if it is that large, write a function that builds it: path.py:factory",
            )


@dataclass(frozen=True)
class Batch:
    """The batch of a forward pass.

    Attributes:
        size: its number of observations.
        fixed: the number that the file was exported for; None if it takes any.
    """

    size: int
    fixed: int | None


@dataclass(frozen=True)
class Call:
    """One execution of a node.

    Attributes:
        node: what is computed.
        inputs: what it takes; None for an input that is left out.
        opset: version of the operators.
        budget: of the forward pass.
        batch: of the forward pass.
    """

    node: Node
    inputs: Sequence[Tensor | None]
    opset: int
    budget: Budget
    batch: Batch

    @property
    def x(self) -> Tensor:
        """The first input."""
        return self.tensor(0)

    def tensor(self, position: int) -> Tensor:
        """An input that must be there."""
        found = self.optional(position)
        if found is None:
            raise self.error(f"its input {position} is missing")
        return found

    def tensors(self) -> list[Tensor]:
        """All inputs, of a node without optional ones."""
        return [self.tensor(position) for position in range(max(len(self.inputs), 1))]

    def optional(self, position: int) -> Tensor | None:
        """An input, or None if it is left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def setting(self, name: str, default: Setting) -> Setting:
        """An attribute, which has the type of its default."""
        found = self.node.attributes.get(name, default)
        if isinstance(default, float) and isinstance(found, int):
            found = float(found)
        if not isinstance(found, type(default)):
            raise self.error(f"its {name} is {found!r}")
        return cast(Setting, found)

    def numbers(self, name: str) -> list[int] | None:
        """An attribute of several whole numbers; None if it is left out."""
        if name not in self.node.attributes:
            return None
        found = self.node.attributes[name]
        if not isinstance(found, tuple) or not all(isinstance(number, int) for number in found):
            raise self.error(f"its {name} is {found!r}")
        return [int(number) for number in found]

    def steps(self, name: str, count: int, default: int, least: int = 1) -> list[int]:
        """Sizes of windows, strides, dilations or paddings: ``count`` numbers."""
        found = self.numbers(name) or [default] * count
        if len(found) != count or not all(least <= number <= LARGEST_STEP for number in found):
            raise self.error(f"its {name} is {found}")
        return found

    def integers(self, position: int) -> list[int] | None:
        """An input of whole numbers that says what to do, such as a shape; None if it is left out."""
        found = self.optional(position)
        if found is None:
            return None
        if found.is_floating_point() or found.dim() > 1:
            raise self.error(f"its input {position} is {found.dtype} of shape {tuple(found.shape)} instead of whole numbers")
        return [int(number.item()) for number in found.reshape(-1)]

    def common_shape(self, *shapes: Sequence[int]) -> tuple[int, ...]:
        """The shape to which tensors of these shapes are broadcast."""
        dimensions = max(map(len, shapes))
        aligned = [(1,) * (dimensions - len(shape)) + tuple(shape) for shape in shapes]
        sizes = [{size for size in column if size != 1} for column in zip(*aligned, strict=True)]
        if any(len(found) > 1 for found in sizes):
            raise self.error(f"the shapes {', '.join(str(tuple(shape)) for shape in shapes)} do not fit")
        return tuple(max(found, default=1) for found in sizes)

    def error(self, why: str) -> GraphError:
        """The error for a node that cannot be computed."""
        return GraphError(
            f"the operator {self.node.operator} in {self.budget.source} cannot be computed: {why}",
            expected="a network as torch.onnx.export writes it",
            todo="export it again; if this stays, write a function that builds the network in torch: path.py:factory",
        )


Result: TypeAlias = Tensor | Sequence[Tensor]
Operator: TypeAlias = Callable[[Call], Result]
"""Computes a node: one tensor, or one for each of its outputs."""


def together(*tensors: Tensor) -> list[Tensor]:
    """The same tensors on one device: whole numbers, such as shapes, stay on the processor until they meet others."""
    devices = {tensor.device for tensor in tensors}
    if len(devices) == 1:
        return list(tensors)
    device = next(device for device in devices if device != torch.device("cpu"))
    return [tensor.to(device) for tensor in tensors]
