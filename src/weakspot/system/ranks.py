"""Processes that ``torchrun`` started, on one machine or several, and the messages between them.

The process of rank 0 makes the run; the others help it to train.  Messages go from rank 0 to all others; sums go over all.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from weakspot.errors import ConfigError, RunError

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = timedelta(days=7)
"""How long a process waits for a message: helpers wait while the states are collected."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a group, inside :func:`joined_ranks`.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
        local: of this process, among those on its machine.
    """

    rank: int
    size: int
    local: int

    @property
    def leads(self) -> bool:
        """Whether this process makes the run."""
        return self.rank == 0

    def broadcast(self, content: Any) -> None:
        """Sends plain data or tensors from rank 0 to all others, which call :meth:`receive`.

        Raises:
            RunError: another process has ended; so do :meth:`receive` and :meth:`sum`.
        """
        self._exchange([content])

    def receive(self) -> Any:
        """Receives what rank 0 sends."""
        return self._exchange([None])[0]

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sums of tensors over all processes, each of which calls this with tensors of the same shapes."""
        import torch.distributed

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._answers():
            torch.distributed.all_reduce(flat)  # pyright: ignore[reportUnknownMemberType]
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def _exchange(self, content: list[Any]) -> list[Any]:
        import torch.distributed

        with self._answers():
            torch.distributed.broadcast_object_list(content, src=0, device=torch.device("cpu"))
        return content

    @contextmanager
    def _answers(self) -> Generator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = (str(error).splitlines() or [repr(error)])[0]
            raise RunError(
                f"process {self.rank} of {self.size} lost the others: {reason}",
                expected="processes that all train until the end",
                todo="look for the first error above; the same command resumes",
            ) from error


@contextmanager
def joined_ranks(device: str) -> Generator[Ranks | None]:
    """Joins the processes that ``torchrun`` started, inside the block; yields None if it started none, or this one alone.

    Args:
        device: ``cpu`` or ``cuda``, of which each process of a machine uses its own.

    Raises:
        ConfigError: torch cannot do this here, there are more processes than GPUs, or the other processes do not answer.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield None
        return
    import torch.distributed  # not before: a process alone needs it only for its stages

    ranks = Ranks(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    if not torch.distributed.is_available():
        raise ConfigError("this build of torch has no torch.distributed", expected="one that has", todo="start one process")
    backend = "gloo"
    if device.startswith("cuda"):
        if ranks.local >= torch.cuda.device_count():
            raise ConfigError(
                f"process {ranks.local} of this machine has no GPU of its own: there are {torch.cuda.device_count()}",
                expected="at most as many processes as GPUs",
                todo="lower --nproc-per-node of torchrun",
            )
        torch.cuda.set_device(ranks.local)
        backend = "cpu:gloo,cuda:nccl"
    try:
        torch.distributed.init_process_group(backend, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"process {ranks.rank} of {size} cannot reach the others: {error}",
            expected="a start by torchrun, which sets MASTER_ADDR and MASTER_PORT",
            todo="check the rendezvous of torchrun",
        ) from error
    yield ranks
    torch.distributed.destroy_process_group()  # not after an error: then torchrun ends the other processes


def device_of(ranks: Ranks | None, device: str) -> str:
    """The device of a process: of several GPUs, each process has the one of its number on its machine."""
    return device if ranks is None or not device.startswith("cuda") else f"cuda:{ranks.local}"
