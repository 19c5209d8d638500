"""Damages every file of a finished run in several ways, and sees whether anybody takes it for good."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab.reliability.contents import contents, differences, read_everything
from lab.reliability.sandbox import Sandbox
from weakspot.errors import WeakspotError

CONSUMERS = {"collect": "saliency", "saliency": "train", "train": "samples", "synthesize": "novelty", "subject": "collect"}
"""A quick stage that reads the result of each stage; all others are read by the report."""


@dataclass
class Damages:
    """What damages did: their number, those that went on unnoticed, those that ended in a traceback, and descriptions."""

    corruptions: int = 0
    silent: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)


def flip(path: Path, other: Path, generator: random.Random) -> None:
    """Flips one bit."""
    data = bytearray(path.read_bytes())
    if data:
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    _replace(path, bytes(data))


def truncate(path: Path, other: Path, generator: random.Random) -> None:
    """Keeps a part of the beginning."""
    data = path.read_bytes()
    _replace(path, data[: generator.randrange(max(len(data), 1))])


def empty(path: Path, other: Path, generator: random.Random) -> None:
    """Leaves nothing but the name."""
    _replace(path, b"")


def delete(path: Path, other: Path, generator: random.Random) -> None:
    """Deletes the file."""
    path.unlink()


def swap(path: Path, other: Path, generator: random.Random) -> None:
    """Puts the file of another run there; one with other bytes of the same size if both runs have the same content."""
    data, foreign = path.read_bytes(), other.read_bytes() if other.exists() else b""
    _replace(path, foreign if foreign not in (data, b"") else bytes(reversed(data)))


def _replace(path: Path, data: bytes) -> None:
    path.unlink()  # the file itself is linked from the undamaged run
    path.write_bytes(data)


WAYS: tuple[Callable[[Path, Path, random.Random], None], ...] = (flip, truncate, empty, delete, swap)


def damage_runs(sandbox: Sandbox, reference: Path, other: Path, rounds: int, limit: int, seed: int = 0) -> Damages:
    """Damages files of copies of ``reference``, one at a time.

    Args:
        sandbox: where the copies are made.
        reference: a finished run.
        other: a finished run with another seed, whose files are swapped in.
        rounds: how often every file is damaged in every way.
        limit: at most so many damages.
        seed: of the bits that are flipped.
    """
    generator, wanted, result = random.Random(seed), contents(reference), Damages()
    cases = list(_cases(reference, other)) * rounds
    generator.shuffle(cases)
    for path, foreign, way in cases[:limit]:
        name = f"{way.__name__} {path.relative_to(reference / 'store') if 'store' in path.parts else path.name}"
        copy = sandbox.folder / "damaged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(reference, copy, symlinks=True, copy_function=os.link)
        damaged = copy / path.relative_to(reference)
        before = damaged.read_bytes()
        way(damaged, foreign, generator)
        if damaged.exists() and damaged.read_bytes() == before:
            continue
        result.corruptions += 1
        result.kinds[way.__name__] = result.kinds.get(way.__name__, 0) + 1
        for problem, kind in _judge(sandbox, copy, path.relative_to(reference), wanted):
            (result.tracebacks if kind == "traceback" else result.silent).append(f"{name}: {problem}")
    return result


def _cases(reference: Path, other: Path) -> Iterator[tuple[Path, Path, Callable[..., None]]]:
    """Every file of a run with its counterpart of another run, and every way to damage it."""
    results = {entry.resolve(): name for name, entry in _shown(reference).items()}
    others = {name: entry.resolve() for name, entry in _shown(other).items()}
    for path in sorted(path for path in reference.rglob("*") if path.is_file() and not path.is_symlink()):
        if path.suffix == ".lock" or path.name == ".lock":
            continue
        name = results.get(path.parent.resolve())
        counterpart = others[name] / path.name if name else other / path.relative_to(reference)
        same = bool(name) and counterpart.parent.name == path.parent.name  # the same result: its record is as good
        for way in WAYS:
            if way is not swap or not same:
                yield path, counterpart, way


def _shown(folder: Path) -> dict[str, Path]:
    return {name: entry.folder for name, entry in read_everything(folder).entries.items()}


def _judge(sandbox: Sandbox, copy: Path, damaged: Path, wanted: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with how a damage is met by the reader, by ``weakspot verify`` and by the next stage."""
    verified = sandbox.start(["verify", str(copy)], log="verify.txt").wait()
    is_result = damaged.parts[0] == "store" and damaged.parts[1] not in ("runs", "locks", "store.json")
    if verified.traceback:
        yield verified.output[-300:], "traceback"
    if is_result and verified.code == 0:
        yield "weakspot verify found nothing", "silent"
    is_shown = is_result and damaged.parts[1] == "report"  # the page and its data, which nothing reads
    try:
        read_everything(copy)
        if is_result and not is_shown and damaged.name != "entry.json" and _is_read(damaged):
            yield "load_run read it", "silent"
    except WeakspotError:
        pass
    except Exception as error:
        yield f"load_run raised {type(error).__name__}: {error}", "traceback"
    if is_result and not is_shown:
        consumer = CONSUMERS.get(damaged.parts[1], "report")
        shutil.rmtree(copy / "store" / consumer, ignore_errors=True)
        shutil.rmtree(copy / "store" / "report", ignore_errors=True)
    outcome = sandbox.run(copy)
    if outcome.traceback:
        yield outcome.output[-300:], "traceback"
    elif outcome.code == 0:
        if is_shown:
            return  # the report of a finished run is shown as it is; verify finds the damage
        try:
            if different := differences(wanted, contents(copy)):
                yield f"a run went on with it: {', '.join(different[:4])}", "silent"
        except WeakspotError as error:
            yield f"the run that followed cannot be read: {error}", "silent"


def _is_read(damaged: Path) -> bool:
    """Whether load_run reads files of this stage and name; the others are inputs of later stages alone."""
    return damaged.parts[1] not in ("saliency",) and not damaged.name.startswith(
        ("frames-", "steps-", "snapshots-", "shard-", "meta.json", "model.safetensors")
    )
