"""Lets the operations of a run on files fail, takes its resources away, interrupts it, and runs it twice at once."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from lab.reliability.contents import contents, differences
from lab.reliability.operations import before_writes
from lab.reliability.sandbox import Outcome, Sandbox

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
TIME_LIMIT, LONGEST = 1_800.0, 1_200.0
"""Seconds that two processes may take at the same time, and all failing writes together."""
SIGNALS = ((signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT,), (signal.SIGINT, signal.SIGINT))
Case = TypeVar("Case")


@dataclass
class Faults:
    """What faults did: their number, by kind, and whatever was lost, wrong, or ended in a traceback."""

    faults: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, kind: str) -> None:
        """Counts a fault."""
        self.faults += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1


def fail_once(root: Path, number: int, sites: Path) -> None:
    """Lets the first operation that writes below ``root`` fail with the error ``number``, if none like it failed before.

    Operations are alike if they do the same to a file of the same name, numbers aside, in the same folder. ``sites`` is a
    file that names those that failed.
    """
    known, place = set(sites.read_text().splitlines()) if sites.exists() else set[str](), str(root)

    def fail(event: str, path: str) -> None:
        site = f"{event} {_site(path.removeprefix(place))}"
        if site not in known:
            known.add(site)
            with open(sites, "a") as file:
                file.write(f"{site}\n")
            raise OSError(number, os.strerror(number), path)

    before_writes(place, fail)


def _site(path: str) -> str:
    """A path without keys, numbers and random parts."""
    parts = ["*" if len(part) == 16 and not part.strip("0123456789abcdef") else part for part in Path(path).parts]
    name = "".join("0" if c.isdigit() else c for c in parts[-1]) if parts else ""
    if name.endswith(".tmp"):
        name = f"{name.rsplit('.', 2)[0]}.tmp"
    if "-" in name and name.endswith((".lock", ".seconds", ".seconds.tmp")):
        name = f"{name.partition('-')[0]}.{name.partition('.')[2]}"
    return "/".join([*parts[:-1], name])


def part_of(cases: Iterable[Case], share: float, seed: int) -> list[Case]:
    """A share of the cases, at least one, in their order."""
    cases = list(cases)
    kept = random.Random(seed).sample(range(len(cases)), max(round(len(cases) * min(share, 1.0)), 1))
    return [cases[place] for place in sorted(kept)]


def failing_writes(sandbox: Sandbox, reference: Path, result: Faults, share: float, seed: int = 0) -> None:
    """Every kind of write fails once with each error; the same command is repeated until the run ends, or until the share of
    the time is used up."""
    wanted, deadline = contents(reference), time.monotonic() + LONGEST * share
    for number in part_of(ERRORS, share, seed):
        output, sites = sandbox.folder / "failing", sandbox.folder / f"sites-{number}.txt"
        shutil.rmtree(output, ignore_errors=True)
        sites.unlink(missing_ok=True)
        count, code = 0, 2
        while code and time.monotonic() < deadline:
            outcome = sandbox.run(output, before=partial(fail_once, output, number, sites))
            failed = len(sites.read_text().splitlines()) if sites.exists() else 0
            for _ in range(failed - count):
                result.add(errno.errorcode[number])
            code = outcome.code or 0
            if outcome.traceback or (code and code != 2) or (code and failed == count):
                result.problems.append(f"{errno.errorcode[number]}: exit code {outcome.code}: {outcome.output[-400:]}")
                break
            count = failed
        result.problems += _lost(sandbox, output, wanted, errno.errorcode[number])


def _lost(sandbox: Sandbox, output: Path, wanted: dict[str, str], what: str) -> Iterator[str]:
    """What a run without faults does not bring back."""
    outcome = sandbox.run(output)
    if outcome.code:
        yield f"after {what}: exit code {outcome.code}: {outcome.output[-400:]}"
        return
    for name in differences(wanted, contents(output)):
        yield f"after {what}: {name} differs"
    for path in output.rglob("*.tmp"):
        yield f"after {what}: {path} is left"


def limited(kind: int, value: int) -> Callable[[], None]:
    """A function that limits a resource of its process."""
    return lambda: resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _interrupt(sandbox: Sandbox, output: Path, signals: tuple[signal.Signals, ...], after: float) -> Outcome:
    process = sandbox.start(["run", *sandbox.options(output)])
    time.sleep(after)
    for number in signals:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            break
        time.sleep(0.02)
    return process.wait()


def interruptions(sandbox: Sandbox, reference: Path, result: Faults, share: float, seed: int = 0) -> None:
    """SIGTERM, SIGHUP, Ctrl-C and Ctrl-C twice, each at two random moments."""
    generator, wanted, output = random.Random(seed), contents(reference), sandbox.folder / "interrupted"
    shutil.rmtree(output, ignore_errors=True)
    started = time.monotonic()
    sandbox.run(output)
    length = time.monotonic() - started
    for signals in part_of(SIGNALS * 2, share, seed):
        name = " ".join(number.name for number in signals)
        shutil.rmtree(output, ignore_errors=True)
        outcome = _interrupt(sandbox, output, signals, generator.uniform(0.1, length))
        result.add(name)
        if outcome.traceback or outcome.code not in (0, 130):
            result.problems.append(f"{name}: exit code {outcome.code}: {outcome.output[-400:]}")
        result.problems += _lost(sandbox, output, wanted, name)


def two_at_once(sandbox: Sandbox, reference: Path, result: Faults, share: float, seed: int = 0) -> None:
    """Two processes on one run folder, and two run folders on one store."""
    wanted = contents(reference)
    for kind in part_of(("one folder", "one store"), share, seed):
        outputs = [sandbox.folder / "both", sandbox.folder / ("both" if kind == "one folder" else "both-2")]
        store = sandbox.folder / "both-store"
        for path in (*outputs, store):
            shutil.rmtree(path, ignore_errors=True)
        more = ("--store", str(store)) if kind == "one store" else ()
        processes = [
            sandbox.start(["run", *sandbox.options(output, *more)], log=f"both-{number}.txt")
            for number, output in enumerate(outputs)
        ]
        for process, output in zip(processes, outputs, strict=True):
            outcome = process.wait(TIME_LIMIT)
            result.add(f"two processes on {kind}")
            if outcome.code:
                result.problems.append(f"two processes on {kind}: exit code {outcome.code}: {outcome.output[-400:]}")
            elif different := differences(wanted, contents(output)):
                result.problems.append(f"two processes on {kind}: {different}")


def clock_jumps(sandbox: Sandbox, reference: Path, result: Faults, seed: int = 0) -> None:
    """A clock that jumps by up to a year, forwards and backwards, whenever it is read."""
    output = sandbox.folder / "jumping"
    shutil.rmtree(output, ignore_errors=True)

    def jump() -> None:
        generator, real = random.Random(seed), time.time
        time.time = lambda: real() + generator.uniform(-1, 1) * 365 * 86_400

    outcome = sandbox.run(output, before=jump)
    result.add("clock jumps")
    if outcome.code:
        result.problems.append(f"clock jumps: exit code {outcome.code}: {outcome.output[-400:]}")
    else:
        result.problems += [f"clock jumps: {name}" for name in differences(contents(reference), contents(output))]


def limits(sandbox: Sandbox, reference: Path, result: Faults, share: float, seed: int = 0) -> None:
    """Few descriptors, little memory, small files, and an output that is full or closed."""
    wanted, output = contents(reference), sandbox.folder / "limited"
    cases: dict[str, Callable[[], None]] = {
        **{f"{n} descriptors": limited(resource.RLIMIT_NOFILE, n) for n in (8, 12, 16, 24, 32)},
        **{f"{mb} MB more memory": _more_memory(mb) for mb in (1, 16, 64, 256)},
        **{f"files of {kb} kB": limited(resource.RLIMIT_FSIZE, kb << 10) for kb in (1, 16, 256, 4096)},
        "full output": _output_to("/dev/full"),
        "closed output": lambda: os.close(1),
        "full error output": _output_to("/dev/full", 2),
    }
    for name, before in part_of(cases.items(), share, seed):
        shutil.rmtree(output, ignore_errors=True)
        outcome = sandbox.run(output, before=before)
        result.add(name)
        if outcome.traceback or outcome.code not in (0, 2):
            result.problems.append(f"{name}: exit code {outcome.code}: {outcome.output[-400:]}")
        result.problems += _lost(sandbox, output, wanted, name)


def _more_memory(megabytes: int) -> Callable[[], None]:
    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (megabytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))

    return limit


def _output_to(path: str, descriptor: int = 1) -> Callable[[], None]:
    def redirect() -> None:
        os.dup2(os.open(path, os.O_WRONLY), descriptor)

    return redirect
