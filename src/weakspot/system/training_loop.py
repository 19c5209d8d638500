"""The resumable training loop of the state model, its flow and the agents.

A training takes steps until its budget is used.  Every few seconds it writes a checkpoint, atomically, and after a kill the
same call resumes from there::

    loop = TrainingLoop(trainable, CheckpointFile(folder / "checkpoint.pt", made_of), budget, clock)
    if (content := loop.checkpoint.read()) is not None:
        loop.load_state_dict(content)
    loop.run([Every(60.0, loop.store)])

Agents are trained by the loop of stable-baselines3 instead of :meth:`TrainingLoop.run`; they share :class:`Every` and the
functions that read and write checkpoints.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch

from weakspot.system.files import write_bytes

Budget: TypeAlias = Callable[[int, float], float]
"""Maps steps and seconds of training to the share of the budget that is used; 1 or more ends the training."""


def budget(steps: int, seconds: float) -> Budget:
    """A budget of ``steps``, or of ``seconds`` if ``steps`` is 0."""
    return (lambda done, _: done / steps) if steps > 0 else (lambda _, spent: spent / seconds)


def store_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes tensors and plain data to ``path``, atomically; raises :class:`~weakspot.errors.StorageError`."""
    buffer = io.BytesIO()  # the errors of torch's own writer have no number of the operating system
    torch.save(dict(content), buffer)
    write_bytes(path, buffer.getbuffer())


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Any:
    """Reads a file of :func:`store_checkpoint`, without running any code in it.

    Its content is compared with the checksums in it, which torch itself does not do.

    Raises:
        Exception: the file is missing, damaged, or contains more than tensors and plain data; torch raises many types.
    """
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
    return torch.load(path, map_location=device, weights_only=True)


@dataclass(frozen=True)
class CheckpointFile:
    """The file that a training resumes from.

    Attributes:
        path: of the file.
        made_of: digest of everything the training depends on, such as data and settings.  A checkpoint with another digest
            is ignored.
    """

    path: Path
    made_of: str

    def store(self, content: Mapping[str, Any]) -> None:
        """Writes ``content`` and :attr:`made_of`, atomically."""
        store_checkpoint(self.path, {"made_of": self.made_of, **content})

    def read(self) -> dict[str, Any] | None:
        """The content of the file; None if there is no file, or if it has another digest.

        Raises:
            Exception: the file is damaged; see :func:`load_checkpoint`.
        """
        if not self.path.exists():
            return None
        content = load_checkpoint(self.path)
        return content if content["made_of"] == self.made_of else None


class Trainable(Protocol):
    """An object that a :class:`TrainingLoop` trains.  Its state dict contains only tensors and plain data, and none of the
    keys ``made_of``, ``steps`` and ``seconds``, which the loop adds."""

    def step(self, share: float, steps: int) -> None:
        """Takes one training step.  ``share`` of the budget is used, and ``steps`` steps have been taken before."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that later steps depend on, including random generators."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        ...


class Every:
    """Calls ``work`` whenever ``seconds`` have passed since the last call, on any clock.

    Args:
        seconds: the interval; 0 calls ``work`` at every tick.
        work: the function to call.
    """

    def __init__(self, seconds: float, work: Callable[[], object]) -> None:
        self._seconds, self._work = seconds, work
        self._last = 0.0

    def restart(self, now: float) -> None:
        """Restarts the interval at the time ``now``."""
        self._last = now

    def tick(self, now: float) -> None:
        """Calls ``work`` if it is due at the time ``now``."""
        if now - self._last >= self._seconds:
            self._last = now
            self._work()


class TrainingLoop:
    """Takes training steps until the budget is used, and counts them.

    Attributes:
        checkpoint: the file that the training resumes from.
        steps: number of steps taken, including those before a resume.
        seconds: time that these steps took by the clock, without the periodic work between steps.
        share: share of the budget that was used when the last step began.

    Args:
        trainable: the object to train.
        checkpoint: see above.
        budget: see :data:`Budget`.
        clock: returns the current time in seconds.
    """

    def __init__(
        self,
        trainable: Trainable,
        checkpoint: CheckpointFile,
        budget: Budget,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.checkpoint = checkpoint
        self.steps, self.seconds, self.share = 0, 0.0, 0.0
        self._trainable, self._budget, self._clock = trainable, budget, clock

    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Resumes from the content of a checkpoint."""
        self._trainable.load_state_dict(content)
        self.steps, self.seconds = content["steps"], content["seconds"]

    def store(self) -> None:
        """Writes the checkpoint."""
        self.checkpoint.store({**self._trainable.state_dict(), "steps": self.steps, "seconds": self.seconds})

    def run(self, periodic: Sequence[Every] = ()) -> None:
        """Steps until the budget is used, then stores the checkpoint.

        Args:
            periodic: work between steps, in this order; intervals are in seconds of training.
        """
        for task in periodic:
            task.restart(self.seconds)
        while (share := self._budget(self.steps, self.seconds)) < 1.0:
            self.share = share
            started = self._clock()
            self._trainable.step(share, self.steps)
            self.steps += 1
            self.seconds += self._clock() - started
            for task in periodic:
                task.tick(self.seconds)
        self.store()
