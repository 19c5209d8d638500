"""Kills a run at random operations on files and at random moments, repeats the command, and compares the end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lab.reliability.contents import contents, differences
from lab.reliability.sandbox import Sandbox

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.symlink", "os.truncate")
"""Operations on files that Python announces to audit hooks before it does them."""


@dataclass
class Kills:
    """What kills did.

    Attributes:
        kills: their number.
        stages: how many there were in each stage.
        problems: whatever was lost or wrong afterwards.
    """

    kills: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def kill_at(operation: int, root: Path) -> None:
    """Kills this process, and the processes it starts, right before an operation on files below ``root``."""
    left, pid, place = operation, os.getpid(), str(root)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in EVENTS and os.getpid() == pid and str(arguments[0]).startswith(place):
            left -= 1
            if left < 0:
                os.killpg(pid, signal.SIGKILL)

    sys.addaudithook(hook)


def kill_runs(sandbox: Sandbox, reference: Path, count: int, seed: int = 0) -> Kills:
    """Kills runs ``count`` times; each run is repeated until it ends, and compared with ``reference``."""
    generator, wanted, result = random.Random(seed), contents(reference), Kills()
    while result.kills < count:
        output = sandbox.folder / "killed"
        shutil.rmtree(output, ignore_errors=True)
        while True:
            patience = generator.randrange(30) if result.kills < count else 1 << 40
            outcome = sandbox.run(output, before=partial(kill_at, patience, output))
            if outcome.code != -signal.SIGKILL:
                break
            result.kills += 1
            result.stages[outcome.stage] += 1
        if outcome.code:
            result.problems.append(f"exit code {outcome.code}: {outcome.output[-400:]}")
            continue
        result.problems += [f"{name} differs after kills" for name in differences(wanted, contents(output))]
        result.problems += [f"{path} is left" for path in output.rglob("*.tmp")]
        if "nothing to do" not in sandbox.run(output).output:
            result.problems.append("the finished run was not up to date")
    return result
