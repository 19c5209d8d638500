"""Jobs of a sweep, and their marks on disk.

    jobs/<name>/
      job.json          the job
      lock              held by the process that makes an attempt
      attempt-1.json    where and when an attempt was started
      attempt-1.log     what its commands printed
      done.json         the job is done; written last, atomically
      failed.json       why the last attempt failed

The marks are the only truth: a job is done if ``done.json`` has the key of the job and the outputs exist, whatever an
executor says. A mark with another key belongs to other settings and does not count.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from weakspot.errors import RunError, SchemaError
from weakspot.run.records import decode_record, write_record
from weakspot.sweep.config import Resources
from weakspot.system.files import make_folder, write_json
from weakspot.system.provenance import digest

SCHEMA = 1
JOB, DONE, FAILED, LOCK = "job.json", "done.json", "failed.json", "lock"

R = TypeVar("R")


@dataclass(frozen=True)
class Job:
    """One job: commands that are executed one after the other.

    Attributes:
        name: unique in its sweep, and a valid file name.
        commands: each as a list of words; the word ``weakspot`` at the start runs this package.
        outputs: files that exist when the job is done.
        needs: names of the jobs that must be done before.
        key: digest of everything the results depend on.
        resources: what the job may use.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    outputs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    key: str = ""
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", digest(self.commands))


@dataclass(frozen=True)
class JobRecord:
    """What ``job.json`` holds: the job, and the folder that its paths are relative to."""

    schema: int
    job: Job
    cwd: str


@dataclass(frozen=True)
class Attempt:
    """The record of an attempt.

    Attributes:
        key: of the job.
        number: of the attempt, from 1.
        host, pid, parent: the machine, the process, and the process that started it.
        started: seconds since 1970.
    """

    key: str
    number: int
    host: str
    pid: int
    parent: int
    started: float


@dataclass(frozen=True)
class Done:
    """The mark of a job that is done.

    Attributes:
        key: of the job.
        attempt: number of the attempt that completed it.
        host: the machine.
        started, finished: seconds since 1970.
    """

    key: str
    attempt: int
    host: str
    started: float
    finished: float


@dataclass(frozen=True)
class Failed:
    """The mark of an attempt that failed.

    Attributes:
        key: of the job.
        attempt: number of the attempt.
        reason: one line.
        retry: whether another attempt can succeed; an error that a command explains stays the same.
    """

    key: str
    attempt: int
    reason: str
    retry: bool


@dataclass(frozen=True)
class JobFolder:
    """The folder of a job."""

    path: Path

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.path / LOCK

    def log(self, attempt: int) -> Path:
        """The log of an attempt."""
        return self.path / f"attempt-{attempt}.log"

    def write(self, job: Job) -> None:
        """Writes the job; raises :class:`StorageError` if that fails."""
        record = JobRecord(SCHEMA, job, str(Path.cwd()))
        make_folder(self.path)
        with suppress(RunError, SchemaError):  # missing, damaged, or of another version: it is written
            if self.read() == record:
                return
        write_record(self.path / JOB, record)

    def read(self) -> JobRecord:
        """The job.

        Raises:
            RunError: the file is missing or damaged.
        """
        path = self.path / JOB
        try:
            return decode_record(path, path.read_bytes(), JobRecord, SCHEMA, "output of the sweep")
        except (OSError, msgspec.DecodeError) as error:
            raise RunError(f"{path} cannot be read: {error}", todo="run the same sweep again") from error

    def done(self, key: str) -> Done | None:
        """The mark of a job with this key that is done."""
        return self._mark(DONE, Done, key)

    def failed(self, key: str) -> Failed | None:
        """The mark of the last attempt at a job with this key, if it failed."""
        return self._mark(FAILED, Failed, key)

    def attempts(self) -> int:
        """The number of attempts so far."""
        numbers = [int(path.stem.removeprefix("attempt-")) for path in self.path.glob("attempt-*.json")]
        return max(numbers, default=0)

    def attempt(self, number: int) -> Attempt | None:
        """The record of an attempt."""
        return _read(self.path / f"attempt-{number}.json", Attempt)

    def record(self, mark: Attempt | Done | Failed) -> None:
        """Writes a mark; raises :class:`StorageError` if that fails."""
        name = {Attempt: "attempt", Done: DONE, Failed: FAILED}[type(mark)]
        if isinstance(mark, Attempt):
            name = f"attempt-{mark.number}.json"
            (self.path / FAILED).unlink(missing_ok=True)
        write_json(self.path / name, msgspec.to_builtins(mark))

    def reset(self) -> None:
        """Removes the mark that the job is done."""
        (self.path / DONE).unlink(missing_ok=True)

    def _mark(self, name: str, kind: type[R], key: str) -> R | None:
        mark: Any = _read(self.path / name, kind)
        return mark if mark is not None and mark.key == key else None


def is_done(folder: JobFolder, job: Job) -> bool:
    """Whether a job has its mark and its outputs. The outputs may have been deleted since."""
    return folder.done(job.key) is not None and all(Path(output).exists() for output in job.outputs)


def _read(path: Path, kind: type[R]) -> R | None:
    """A mark; None if it is missing or damaged, since then the work is done again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
