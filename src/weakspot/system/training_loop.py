"""The resumable training loop of the state model, its flow and the agents.

A training takes steps until its budget is used.  Every few seconds it writes a checkpoint, atomically, and after a kill the
same call resumes from there::

    loop = TrainingLoop(trained, CheckpointFile(folder / "checkpoint.pt", made_of), used, clock)
    if (content := loop.checkpoint.read()) is not None:
        loop.load_state_dict(content)
    loop.run([Every(60.0, loop.store)])

Agents are stepped by stable-baselines3 instead of :meth:`TrainingLoop.run`; they share :class:`Every` and the reading and
writing of checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch

from weakspot.system.files import write_atomic

Budget: TypeAlias = Callable[[int, float], float]
"""Maps steps and seconds of training to the share of the budget that they use, from 0; from 1 on the budget is used."""


def budget(steps: int, seconds: float) -> Budget:
    """A budget of ``steps``, or of ``seconds`` if ``steps`` is 0."""
    return (lambda done, _: done / steps) if steps > 0 else (lambda _, spent: spent / seconds)


def store_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes tensors and plain data to ``path``, atomically; raises :class:`~weakspot.errors.StorageError`."""
    write_atomic(path, lambda temporary: torch.save(dict(content), temporary))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Any:
    """Reads what :func:`store_checkpoint` wrote, without running any code that the file holds.

    Raises:
        Exception: the file is missing, damaged, or holds more than tensors and plain data; torch raises many types.
    """
    return torch.load(path, map_location=device, weights_only=True)


@dataclass(frozen=True)
class CheckpointFile:
    """The file that a training resumes from.

    Attributes:
        path: of the file.
        made_of: digest of everything the training depends on, such as data and settings.  A checkpoint with another one is
            never resumed from.
    """

    path: Path
    made_of: str

    def store(self, content: Mapping[str, Any]) -> None:
        """Writes ``content`` and :attr:`made_of`, atomically."""
        store_checkpoint(self.path, {"made_of": self.made_of, **content})

    def read(self) -> dict[str, Any] | None:
        """The content of the file, or None if there is no file or if it was made of something else.

        Raises:
            Exception: the file is damaged; see :func:`load_checkpoint`.
        """
        if not self.path.exists():
            return None
        content = load_checkpoint(self.path)
        return content if content["made_of"] == self.made_of else None


class Trainable(Protocol):
    """What a :class:`TrainingLoop` trains.  Its state dict holds tensors and plain data only, and none of the keys
    ``made_of``, ``steps`` and ``seconds``, which are the loop's."""

    def step(self, share: float, steps: int) -> None:
        """One training step, ``share`` of the budget and ``steps`` steps after the start."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on, random generators included."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        ...


class Every:
    """Calls ``work`` whenever ``seconds`` have passed since the last call, on any clock.

    Args:
        seconds: the interval; 0 calls it each time.
        work: what to do.
    """

    def __init__(self, seconds: float, work: Callable[[], object]) -> None:
        self._seconds, self._work = seconds, work
        self._last = 0.0

    def restart(self, now: float) -> None:
        """Starts the interval anew at the time ``now``."""
        self._last = now

    def tick(self, now: float) -> None:
        """Calls the work if it is due at the time ``now``."""
        if now - self._last >= self._seconds:
            self._last = now
            self._work()


class TrainingLoop:
    """Steps until the budget is used, and the counts that a checkpoint keeps.

    Attributes:
        checkpoint: the file that the training is stored in.
        steps: steps taken, those before a resume included.
        seconds: seconds that these steps took by the clock; what is done between steps is not counted.
        share: share of the budget that was used when the last step began.

    Args:
        trained: what is trained.
        checkpoint: see above.
        used: the budget.
        clock: returns the current time in seconds.
    """

    def __init__(
        self,
        trained: Trainable,
        checkpoint: CheckpointFile,
        used: Budget,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.checkpoint = checkpoint
        self.steps, self.seconds, self.share = 0, 0.0, 0.0
        self._trained, self._used, self._clock = trained, used, clock

    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Resumes from the content of a checkpoint."""
        self._trained.load_state_dict(content)
        self.steps, self.seconds = content["steps"], content["seconds"]

    def store(self) -> None:
        """Writes the checkpoint."""
        self.checkpoint.store({**self._trained.state_dict(), "steps": self.steps, "seconds": self.seconds})

    def run(self, periodic: Sequence[Every] = ()) -> None:
        """Steps until the budget is used, then stores the checkpoint.

        Args:
            periodic: what is done between steps, in this order; intervals are in seconds of training.
        """
        for task in periodic:
            task.restart(self.seconds)
        while (share := self._used(self.steps, self.seconds)) < 1.0:
            self.share = share
            started = self._clock()
            self._trained.step(share, self.steps)
            self.steps += 1
            self.seconds += self._clock() - started
            for task in periodic:
                task.tick(self.seconds)
        self.store()
