"""One attempt at a job, in processes of its own: ``python -m weakspot.sweep.attempt FOLDER PARENT``.

The first process, the guard, forks a second one, which leads a process group, holds the lock of the job and executes its
commands. When either of them ends, for whatever reason, or the process that started the guard ends, the group is killed: no
command outlives its attempt, and two attempts never work at the same time. A single process would not do, since clusters
kill the processes that their workers started, but not the children of these.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from weakspot.errors import WeakspotError
from weakspot.sweep.config import Resources
from weakspot.sweep.job import DONE, Attempt, Done, Failed, JobFolder, JobRecord, is_done
from weakspot.system.cores import LIMIT
from weakspot.system.files import almost_full, storage_errors
from weakspot.system.locks import waiting_lock

USER_ERROR = 2
"""The exit status of a command that explains its error."""
_SET_PARENT_DEATH_SIGNAL = 1


def attempt(folder: JobFolder, parent: int) -> None:
    """Executes the commands of the job in ``folder`` and writes its marks; does nothing if it is done.

    The caller holds the lock of the job. ``parent`` is the process of the executor that asked for the attempt.

    Raises:
        StorageError: a mark cannot be written.
        RunError: the job cannot be read.
    """
    record = folder.read()
    if is_done(folder, record.job):
        return
    started = Attempt(record.job.key, folder.attempts() + 1, socket.gethostname(), os.getpid(), parent, time.time())
    folder.record(started)
    failed = _execute(folder, record, started)
    folder.record(failed or Done(started.key, started.number, started.host, started.started, time.time()))


def _execute(folder: JobFolder, record: JobRecord, started: Attempt) -> Failed | None:
    """Executes the commands; the mark of the failure if one fails, or outputs are missing."""
    job, environment = record.job, _environment(record.job.resources)
    end = time.monotonic() + 3600 * job.resources.hours
    log = folder.log(started.number)
    with storage_errors(log), open(log, "wb") as output:
        for command in job.commands:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            try:
                code = _call(command, record.cwd, environment, output.fileno(), end - time.monotonic())
            except subprocess.TimeoutExpired:
                return Failed(job.key, started.number, f"no end after {job.resources.hours:g} hours", True)
            except OSError as error:
                return Failed(job.key, started.number, f"{command[0]} cannot be started: {error}", False)
            if code:
                full = almost_full(folder.path / DONE)
                reason = _reason(command, code, log) + (": no space left on the disk" if full else "")
                return Failed(job.key, started.number, reason, code != USER_ERROR and not full)
    if missing := [output for output in job.outputs if not Path(output).exists()]:
        return Failed(job.key, started.number, f"ended without writing {', '.join(missing)}", True)
    return None


def _call(command: tuple[str, ...], cwd: str, environment: dict[str, str], output: int, seconds: float) -> int:
    words = [sys.executable, "-m", "weakspot.cli", *command[1:]] if command[0] == "weakspot" else list(command)
    process = subprocess.Popen(
        words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        preexec_fn=_die_with_parent,
    )  # fmt: skip
    return process.wait(max(seconds, 0.0))


def _reason(command: tuple[str, ...], code: int, log: Path) -> str:
    """Why a command failed, in one line: the error that it printed last, if there is one."""
    ended = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 10_000))
        lines = file.read().decode(errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return f"{' '.join(command[:2])}: {ended}{f': {errors[-1]}' if errors else ''}"


def _environment(resources: Resources) -> dict[str, str]:
    """The environment of the commands, which limits the threads of all libraries."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", LIMIT)
    return dict(os.environ) | {name: str(resources.threads) for name in names} | {"PYTHONUNBUFFERED": "1"}


def _die_with_parent() -> None:
    """Makes the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def end_group() -> NoReturn:
    """Kills this process and everything it started."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.killpg(0, signal.SIGKILL)
    raise SystemExit(1)  # not reached


def end_with(parent: int, end: Callable[[], object]) -> None:
    """Calls ``end`` when the process ``parent``, which started this one, ends, and on SIGTERM."""

    def terminated(number: int, frame: object) -> None:
        end()

    signal.signal(signal.SIGTERM, terminated)
    for announcement in (signal.SIGUSR1, signal.SIGUSR2):  # Slurm sends it to all processes before it ends a job
        signal.signal(announcement, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before
        end()


def guard(child: int, parent: int) -> NoReturn:
    """Waits for the process that makes the attempt, and kills its group when it or the ``parent`` of this process ends."""

    def kill_group() -> NoReturn:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # also ends processes that are stopped
        os._exit(0)

    end_with(parent, kill_group)
    os.waitpid(child, 0)
    kill_group()


def work(folder: JobFolder, parent: int) -> NoReturn:
    """Makes the attempt with the lock of the job, and prints why its outcome is not on the disk, if that is so."""
    try:
        with waiting_lock(folder.lock, lambda: None):
            try:
                attempt(folder, parent)
            except (WeakspotError, OSError) as error:
                _print_error(error)
            end_group()  # before the lock is released
    except (WeakspotError, OSError) as error:
        _print_error(error)
    end_group()


def _print_error(error: Exception) -> None:
    print(str(error).splitlines()[0], file=sys.stderr, flush=True)


def main() -> NoReturn:
    """Starts the two processes of an attempt."""
    folder, parent, first = JobFolder(Path(sys.argv[1])), int(sys.argv[2]), os.getpid()
    child = os.fork()
    if child:
        with suppress(OSError):  # whoever is first
            os.setpgid(child, child)
        guard(child, parent)
    with suppress(OSError):
        os.setpgid(0, 0)
    end_with(first, end_group)
    work(folder, parent)


if __name__ == "__main__":
    main()
