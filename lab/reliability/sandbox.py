"""Runs weakspot in forked processes, which start without imports and can be killed, limited, and made to fail."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weakspot import session
from weakspot.cli import main

TINY_AGENT = '''"""An untrained policy with a critic for Pong."""
import torch
from torch import nn


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 8, 8), nn.ReLU(), nn.Flatten())
        self.heads = nn.Linear(400, 7)

    def forward(self, states):
        outputs = self.heads(self.body(states))
        return outputs[:, :6], outputs[:, 6]


def agent():
    network = Policy()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    return network
'''
TINY = (
    *("--environment", "pong", "--targets", "T-", "LEFT", "--collect.frames", "48", "--collect.streams", "2"),
    *("--collect.shard-steps", "8", "--collect.snapshot-every", "8", "--collect.epsilon", "1.0"),
    *("--train.recipe", "fast-gaussian", "--train.steps", "2", "--train.prior-steps", "1", "--train.batch-size", "4"),
    *("--train.checkpoint-every", "0", "--train.workers", "1", "--train.held-out", "0.3", "--train.measured", "4"),
    *("--synthesize.states", "2", "--synthesize.steps", "2", "--synthesize.candidates", "4", "--goggles.episodes", "1"),
    *("--goggles.longest", "5", "--fidelity.reconstructions", "1", "--samples.shown", "1", "--ground.states", "1"),
    *("--ground.trials", "2", "--ground.steps", "2", "--confirm.controls", "2", "--confirm.rollouts", "2"),
    *("--confirm.first", "2", "--confirm.horizon", "3", "--confirm.holds", "1", "--confirm.losing", "1"),
    *("--confirm.probes", "1", "--policy-values.tau", "1.0"),
)
"""Options of a run of all stages that takes seconds."""
COPIES = 4
"""Copies of the environment that play on from recorded states, instead of 32."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: exit code; negative for a signal, None if it was still running after the time limit and was killed.
        output: what it printed, both streams.
        peak_mb: the largest memory of the process.
    """

    code: int | None
    output: str
    peak_mb: float

    @property
    def traceback(self) -> bool:
        """Whether the command ended in a traceback, or in an exit code that no error has."""
        return "Traceback (most recent call last)" in self.output or self.code == 1

    @property
    def stage(self) -> str:
        """The stage that was running last."""
        found = re.findall(r"^(\S+) \.\.\.$", self.output, re.MULTILINE)
        return found[-1].partition("/")[0] if found else "start"


class Forked:
    """A function in a forked process of its own session.

    Args:
        work: the function; its result is the exit code.
        log: file of what it prints.
    """

    def __init__(self, work: Callable[[], int], log: Path) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._log = log
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            os.setsid()
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
            code = work()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            import traceback

            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to the process and everything it started."""
        os.killpg(self.pid, number)

    def has_ended(self) -> bool:
        """Whether the process has ended; :meth:`wait` then returns at once."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, seconds: float = 900.0) -> Outcome:
        """Waits for the end of the process, and kills it after ``seconds``."""
        deadline, timed_out = time.monotonic() + seconds, False
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                timed_out = True
                self.kill()
                _, status, usage = os.wait4(self.pid, 0)
                break
            time.sleep(0.005)
        code = None if timed_out else os.waitstatus_to_exitcode(status)
        return Outcome(code, self._log.read_text(errors="replace") if self._log.exists() else "", usage.ru_maxrss / 1024)


@dataclass(frozen=True)
class Sandbox:
    """A folder for runs and logs, with the tiny agent."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "agent.py").write_text(TINY_AGENT)

    def options(self, output: Path, *more: str) -> list[str]:
        """The options of a tiny run."""
        return ["--agent", f"{self.folder / 'agent.py'}:agent", *TINY, "--output", str(output), *more]

    def start(self, arguments: Sequence[str], before: Callable[[], None] = lambda: None, log: str = "log.txt") -> Forked:
        """Starts a command of weakspot; ``before`` is called in its process first."""

        def work() -> int:
            before()
            return main(arguments)

        return Forked(work, self.folder / log)

    def run(self, output: Path, *more: str, before: Callable[[], None] = lambda: None) -> Outcome:
        """A tiny run, from start to end."""
        return self.start(["run", *self.options(output, *more)], before).wait()


def import_everything(sandbox: Sandbox) -> Outcome:
    """Imports all that a run needs, by running one in this process, so that forked processes start at once."""
    session.POOL = COPIES
    with open(sandbox.folder / "first.txt", "w") as log, contextlib.redirect_stdout(log):
        code = main(["run", *sandbox.options(sandbox.folder / "first")])
    return Outcome(code, (sandbox.folder / "first.txt").read_text(), 0.0)
