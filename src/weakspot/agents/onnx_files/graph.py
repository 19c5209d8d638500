"""What an ONNX file says, as plain data: nodes, constants, the input and the outputs (without the package ``onnx``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

Attribute: TypeAlias = float | str | Tensor | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
"""The value of an attribute; whole numbers are ints."""
MOST_DIMENSIONS = 8
"""Dimensions of a tensor in a file."""


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        operator: its name in ONNX, such as ``Conv``.
        inputs: names of what it takes; an empty name stands for an optional input that is left out.
        outputs: names of what it makes.
        attributes: its settings.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class Graph:
    """A network in a file.

    Attributes:
        source: path of the file, for error messages.
        opset: version of ONNX's operators.
        nodes: in the order in which they are computed; only those that an output needs.
        constants: the weights and other constants by name; floating point ones as float32, whole numbers as int64.
        input: name of the observation.
        shape: of the observation, with the batch first; None for a dimension of any size; empty if the file does not say it.
        integer: whether the observation is whole numbers.
        outputs: names of what the network returns.
    """

    source: str
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    input: str
    shape: tuple[int | None, ...]
    integer: bool
    outputs: tuple[str, ...]

    @property
    def batch(self) -> int | None:
        """The number of observations that the file was exported for; None if it takes any."""
        return self.shape[0] if self.shape else None
