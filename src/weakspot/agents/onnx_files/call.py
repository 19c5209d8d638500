"""One execution of a node: what it takes, and its settings."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor

from weakspot.agents.onnx_files.budget import Budget, size_of, width_of
from weakspot.agents.onnx_files.graph import MOST_DIMENSIONS, Attribute, Node
from weakspot.errors import WeightsError

Setting = TypeVar("Setting", bound=Attribute)

LARGEST_STEP = 1 << 16
"""Largest stride, dilation, padding and size of a window."""
MOST_NUMBERS = 2 * MOST_DIMENSIONS
"""Whole numbers of a setting, such as a shape or the paddings at both ends."""


class GraphError(WeightsError):
    """A node cannot be computed as the file describes it."""


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

    def take(self, *shapes: Sequence[int], like: Sequence[Tensor] = ()) -> None:
        """Counts tensors that are about to be made, of the type of ``like`` or of the first input.

        Raises:
            WeightsError: there are too many numbers.
        """
        width = width_of(*(like or (self.x,)))
        for shape in shapes:
            self.budget.take(shape, width)

    def borrow(self, shape: Sequence[int], times: int = 1, like: Sequence[Tensor] = ()) -> None:
        """Counts tensors of one shape that are needed while the node computes, and raises what :meth:`take` does."""
        self.budget.borrow(times * size_of(shape), width_of(*(like or (self.x,))))

    def setting(self, name: str, default: Setting) -> Setting:
        """An attribute, which has the type of its default."""
        found = self.node.attributes.get(name, default)
        if isinstance(default, float) and isinstance(found, int):
            found = float(found)
        if not isinstance(found, type(default)):
            raise self.error(f"its {name} is {cut(found)}")
        return cast(Setting, found)

    def numbers(self, name: str, most: int = MOST_NUMBERS) -> list[int] | None:
        """An attribute of several whole numbers, at most ``most``; None if it is left out."""
        if name not in self.node.attributes:
            return None
        found = self.node.attributes[name]
        if not isinstance(found, tuple) or len(found) > most or not all(isinstance(number, int) for number in found):
            raise self.error(f"its {name} is {cut(found)}")
        return [int(number) for number in found]

    def steps(self, name: str, count: int, default: int, least: int = 1) -> list[int]:
        """Sizes of windows, strides, dilations or paddings: ``count`` numbers."""
        found = self.numbers(name) or [default] * count
        if len(found) != count or not all(least <= number <= LARGEST_STEP for number in found):
            raise self.error(f"its {name} is {cut(found)}")
        return found

    def integers(self, position: int, most: int = MOST_NUMBERS) -> list[int] | None:
        """An input of at most ``most`` whole numbers that says what to do, such as a shape; None if it is left out."""
        found = self.optional(position)
        if found is None:
            return None
        if found.is_floating_point() or found.dim() > 1 or found.numel() > most:
            kind = f"{found.dtype} of shape {cut(tuple(found.shape))}"
            raise self.error(f"its input {position} is {kind} instead of at most {most} whole numbers")
        return [int(number.item()) for number in found.reshape(-1)]

    def number(self, position: int, default: float) -> float:
        """An input of one number; ``default`` if it is left out."""
        found = self.optional(position)
        if found is not None and found.numel() != 1:
            raise self.error(f"its input {position} has shape {cut(tuple(found.shape))} instead of one number")
        return default if found is None else float(found.item())

    def common_shape(self, *shapes: Sequence[int]) -> tuple[int, ...]:
        """The shape to which tensors of these shapes are broadcast."""
        dimensions = max(map(len, shapes))
        aligned = [(1,) * (dimensions - len(shape)) + tuple(shape) for shape in shapes]
        sizes = [{size for size in column if size != 1} for column in zip(*aligned, strict=True)]
        if any(len(found) > 1 for found in sizes):
            raise self.error(f"the shapes {', '.join(cut(tuple(shape)) for shape in shapes[:4])} do not fit")
        return tuple(max(found, default=1) for found in sizes)

    def error(self, why: str) -> GraphError:
        """The error for a node that cannot be computed."""
        return GraphError(
            f"the operator {self.node.operator} in {self.budget.source} cannot be computed: {why}",
            expected="a network as torch.onnx.export writes it",
            todo="export it again; if this stays, write a function that builds the network in torch: path.py:factory",
        )


def cut(value: object) -> str:
    """A value out of a file as error messages show it: about 100 characters."""
    return SHORT.repr(value)


SHORT = reprlib.Repr()
SHORT.maxtuple = SHORT.maxlist = 8
SHORT.maxstring = SHORT.maxlong = SHORT.maxother = 60

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
