"""Kills processes of a sweep at random moments, repeats the command, and compares the runs at the end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from lab.faults import processes_of
from lab.processes import descendants
from lab.reliability.contents import contents, differences
from lab.reliability.kills import Kills
from lab.reliability.sandbox import TINY, Forked, Outcome, Sandbox
from weakspot.sweep.command import sweep
from weakspot.sweep.expand import runs_of
from weakspot.sweep.read import read_sweep

TIME_LIMIT = 900.0
"""Seconds that a sweep may take when it is not killed any more."""
LONGEST = 12.0
"""Seconds after which the next kill comes at the latest; a job takes about as long."""
RUN = "sweep"
"""What such kills count as, beside the names of stages."""
OWN = ("--environment", "--targets", "--train.recipe")
"""Options of the tiny run that a sweep has other words for."""


def kill_sweeps(sandbox: Sandbox, count: int, seed: int = 0) -> Kills:
    """Kills processes of sweeps ``count`` times: the driver, or one of those that it started, directly or not.

    Sweeps are repeated until they end. Each has three jobs: one that records states, and two runs that use them.
    """
    generator, result = random.Random(seed), Kills()
    wanted: dict[str, dict[str, str]] = {}
    if count and (code := _start(sandbox, "reference").wait().code):
        result.problems.append(f"a sweep that nobody disturbed ended with exit code {code}")
        return result
    if count:
        wanted = _runs(sandbox, "reference")
    while result.kills < count:
        shutil.rmtree(sandbox.folder / "killed", ignore_errors=True)
        while True:
            process = _start(sandbox, "killed")
            outcome = _disturbed(process, generator, result, count)
            if outcome.code != -signal.SIGKILL:
                break
        result.problems += _problems(sandbox, outcome, wanted)
    return result


def _disturbed(process: Forked, generator: random.Random, result: Kills, count: int) -> Outcome:
    """Kills processes of a running sweep until its driver ends; returns how it ended."""
    while True:
        is_last = result.kills >= count
        ended = time.monotonic() + (TIME_LIMIT if is_last else generator.uniform(0.0, LONGEST))
        while not process.has_ended() and time.monotonic() < ended:
            time.sleep(0.02)
        if process.has_ended():
            return process.wait()
        if is_last:
            process.kill()
            result.problems.append(f"a sweep did not end within {TIME_LIMIT:.0f} s")
            return replace(process.wait(), code=None)
        victim = generator.choice(descendants(process.pid))
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            result.kills += 1
            result.stages[RUN] += 1


def _problems(sandbox: Sandbox, outcome: Outcome, wanted: dict[str, dict[str, str]]) -> Iterator[str]:
    if outcome.code:
        yield f"a sweep ended with exit code {outcome.code}: {outcome.output[-400:]}"
        return
    found = _runs(sandbox, "killed")
    for name, files in wanted.items():
        yield from (f"{file} of the run {name} of a sweep differs after kills" for file in differences(files, found[name]))
    yield from (f"{path} is left" for path in (sandbox.folder / "killed").rglob("*.tmp"))
    end = time.monotonic() + 5.0
    while (left := processes_of(sandbox.folder / "killed")) and time.monotonic() < end:
        time.sleep(0.1)
    if left:
        yield f"{len(left)} processes are left"


def _start(sandbox: Sandbox, name: str) -> Forked:
    file = sandbox.folder / f"{name}.toml"
    file.write_text(_sweep_file(sandbox, name))
    return Forked(lambda: sweep([str(file), "--workers", "2"]), sandbox.folder / f"{name}.log")


def _runs(sandbox: Sandbox, name: str) -> dict[str, dict[str, str]]:
    folders = [run.config.output for run in runs_of(read_sweep(sandbox.folder / f"{name}.toml"))]
    return {folder.name: contents(folder) for folder in folders}


def _sweep_file(sandbox: Sandbox, name: str) -> str:
    """A sweep of two runs, with different targets, with the settings of the tiny run."""
    environment, recipe = _option("--environment"), _option("--train.recipe")
    head = {
        "output": str(sandbox.folder / name), "games": [environment], "recipes": [recipe], "targets": [["T-"], ["LEFT"]],
        "agents": [f"{sandbox.folder / 'agent.py'}:agent"], "retries": 20,
    }  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    names = [place for place, word in enumerate(TINY) if word.startswith("--")]
    for place, end in zip(names, [*names[1:], len(TINY)], strict=True):
        if TINY[place] not in OWN:
            values = TINY[place + 1 : end]
            value = f"[{', '.join(values)}]" if TINY[place] == "--confirm.holds" else values[0]
            lines.append(f"run.{TINY[place].removeprefix('--')} = {value}")
    return "\n".join(lines) + "\n"


def _option(name: str) -> str:
    return TINY[TINY.index(name) + 1]
