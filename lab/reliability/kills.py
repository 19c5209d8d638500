"""Kills a run right before random operations on files, repeats the command, and compares the end."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lab.reliability.contents import contents, differences
from lab.reliability.operations import before_writes
from lab.reliability.sandbox import Sandbox

AT_MOST = 300
"""Operations that a run does at most before it is killed; a stage does about a hundred, so a run gets on between kills."""


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

    def __add__(self, other: Kills) -> Kills:
        """Both together."""
        return Kills(self.kills + other.kills, self.stages + other.stages, self.problems + other.problems)


def kill_at(operation: int, root: Path) -> None:
    """Kills this process, and the processes it starts, right before an operation that changes something below ``root``."""
    left = operation

    def count(event: str, path: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.killpg(os.getpid(), signal.SIGKILL)

    before_writes(str(root), count)


def kill_runs(sandbox: Sandbox, reference: Path, count: int, seed: int = 0) -> Kills:
    """Kills runs ``count`` times; each run is repeated until it ends, and compared with ``reference``."""
    generator, wanted, result = random.Random(seed), contents(reference), Kills()
    while result.kills < count:
        output = sandbox.folder / "killed"
        shutil.rmtree(output, ignore_errors=True)
        while True:
            patience = generator.randrange(AT_MOST) if result.kills < count else 1 << 40
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
