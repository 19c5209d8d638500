"""What a forward pass may make, hold and compute: counted before memory is taken, whatever the file says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from weakspot.errors import WeightsError

LARGEST_STATE = 1 << 27
"""Numbers that all operations together may make for one observation."""
MOST_KEPT, MOST_HELD = 1 << 26, 1 << 28
"""Bytes that results which are still needed may have for one observation, while a file is loaded; and those with all that an
operation may need at most."""
MOST_WORK = 1 << 34
"""Multiplications for one observation; see ``NUMBER`` and ``STEP`` for what else is counted as such."""
NUMBER, STEP = 32, 1 << 15
"""Multiplications that take as long as reading or writing a number, and as one step of an operation."""
TRIED = 2
"""Observations for which there is room in any case: so many are tried when a file is loaded."""


def size_of(shape: Iterable[int]) -> int:
    """Numbers of a shape.  An empty dimension counts as 1: what is reduced over it has the other sizes."""
    return math.prod(max(size, 1) for size in shape)


def width_of(*tensors: Tensor) -> int:
    """Whole numbers take twice the bytes of a floating point number."""
    return max((-(-tensor.element_size() // 4) for tensor in tensors), default=1)


class Budget:
    """Counts what a forward pass makes, before memory is taken for it.

    Args:
        source: path of the file, for error messages.
        observations: how many there is room for: those of the batch that weakspot chose, never a size out of the file.
        stored: numbers of the weights in the file.
        held: whether the bytes that are kept and held at once are limited, too.  They are while the file is loaded;
            afterwards, gradients hold everything that is made.
    """

    def __init__(self, source: str, observations: int, stored: int = 0, held: bool = False) -> None:
        self.source = source
        self._numbers = LARGEST_STATE * observations + 2 * stored
        self._work = MOST_WORK * observations
        self._kept = MOST_KEPT * observations + 8 * stored if held else None
        self._bytes = MOST_HELD * observations + 8 * stored if held else None
        self._limits = (self._numbers, self._work)
        self._held = Held()
        self._inputs, self._taken, self._made = 0, 0, 0

    def start(self, inputs: Sequence[Tensor]) -> None:
        """Begins an operation.  It may copy its inputs without counting that; what it makes beyond them is taken.

        Raises:
            WeightsError: there are too many numbers, as in all methods.
        """
        self._inputs, self._taken, self._made = 0, 0, 0
        self.multiply(STEP)
        for tensor in inputs:
            self._inputs += 4 * width_of(tensor) * size_of(tensor.shape)
            self.multiply(NUMBER * size_of(tensor.shape))
        self._check_held()

    def take(self, shape: Iterable[int], width: int = 1) -> None:
        """Counts a tensor of this shape that is about to be made; ``width`` is that of :func:`width_of`."""
        size = size_of(shape)
        self._made += size
        self._numbers -= size
        if self._numbers < 0:
            raise self._error(f"makes more than {self._limits[0]:,} numbers")
        self.multiply(STEP + NUMBER * size)
        self.borrow(size, width)

    def borrow(self, count: int, width: int = 1) -> None:
        """Counts numbers that an operation needs while it computes."""
        self._taken += 4 * width * count
        self._check_held()

    def multiply(self, count: int) -> None:
        """Counts multiplications."""
        self._work -= count
        if self._work < 0:
            raise self._error(f"computes more than {self._limits[1]:,} multiplications")

    def finish(self, results: Sequence[Tensor]) -> None:
        """Ends an operation; counts what it made without taking it."""
        unseen = sum(size_of(tensor.shape) for tensor in results) - self._made
        if unseen > 0:
            self.take((unseen,))
        self._inputs, self._taken = 0, 0

    def keep(self, tensor: Tensor) -> None:
        """Counts a result until it is dropped."""
        if self._bytes is not None:
            self._held.add(tensor)
            self._check_held()
            if self._kept is not None and self._held.bytes > self._kept:
                raise self._error(f"keeps more than {self._kept:,} bytes")

    def drop(self, tensor: Tensor) -> None:
        """Says that a result is needed no more."""
        if self._bytes is not None:
            self._held.remove(tensor)

    def _check_held(self) -> None:
        if self._bytes is not None and self._held.bytes + self._inputs + self._taken > self._bytes:
            raise self._error(f"holds more than {self._bytes:,} bytes at once")

    def _error(self, what: str) -> WeightsError:
        return WeightsError(
            f"the network in {self.source} {what} for a few observations",
            expected="the network of an agent",
            todo="export it again; if it is that large, write a function that builds it: path.py:factory",
        )


class Held:
    """The memory of tensors; those that share it are counted once, and as long as one of them is kept.

    Attributes:
        bytes: of all of them.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._users: dict[int, int] = {}

    def add(self, tensor: Tensor) -> None:
        """Counts a tensor."""
        place, size = _memory(tensor)
        self.bytes += 0 if place in self._users else size
        self._users[place] = self._users.get(place, 0) + 1

    def remove(self, tensor: Tensor) -> None:
        """Counts a tensor no more; nothing happens if it was not added."""
        place, size = _memory(tensor)
        users = self._users.pop(place, 0)
        if users > 1:
            self._users[place] = users - 1
        elif users:
            self.bytes -= size


def _memory(tensor: Tensor) -> tuple[int, int]:
    """Where the memory of a tensor is, and how many bytes it has."""
    storage: torch.UntypedStorage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()
