"""A run folder: what was asked, which stages are done, and nothing half-written.

    run/
      config.json      what the run was started with; another configuration is refused
      manifest.json    each finished stage: its key, its fingerprint, its seconds
      collect/  train/  synthesize/<target>/  analyse/  report.json  report.html

A stage's key is a hash over its configuration and the fingerprints of what it reads, so a stage is done again exactly
when something it depends on has changed, and skipped otherwise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weakspot.errors import RunError, RunMismatchError
from weakspot.system.files import make_folder, write_json
from weakspot.system.provenance import versions


@dataclass(frozen=True)
class StageRecord:
    """A finished stage.

    Attributes:
        key: hash over its configuration and what it read.
        fingerprint: hash over what it made.
        seconds: how long it took, over all its attempts as far as they are known.
        versions: of what it was made by; none where an earlier version did not note them.
    """

    key: str
    fingerprint: str
    seconds: float
    versions: Mapping[str, str] = field(default_factory=dict)


class RunFolder:
    """One run on disk.

    Args:
        path: the folder; made if it is missing.
        settings: the run's configuration as plain data.

    Raises:
        RunMismatchError: the folder belongs to another configuration.
        StorageError: the folder cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = make_folder(path)
        plain = json.loads(json.dumps(settings, default=str))
        config = path / "config.json"
        if not config.exists():
            if (path / "manifest.json").exists():
                raise RunError(f"{path} has a manifest but no config.json", todo="choose another folder with --output")
            write_json(config, plain)
            return
        stored = _read(config)
        if stored != plain:
            raise RunMismatchError(
                f"{path} belongs to a run with another configuration: {_differences(stored, plain)}",
                expected="the configuration in its config.json, or a folder of its own for each run",
                todo="choose another folder with --output, or delete this one",
            )

    def records(self) -> dict[str, StageRecord]:
        """The stages that are done."""
        path = self.path / "manifest.json"
        if not path.exists():
            return {}
        try:
            return {name: StageRecord(**record) for name, record in _read(path)["stages"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is damaged: {error}",
                expected="a manifest written by weakspot",
                todo=f"delete {path}; finished stages are then checked and taken over, or done again",
            ) from error

    def done(self, name: str, key: str, outputs: list[Path]) -> StageRecord | None:
        """The record of a stage that is done with this key and whose ``outputs`` stand; None for any other."""
        record = self.records().get(name)
        return record if record and record.key == key and all(path.exists() for path in outputs) else None

    def stage(self, name: str, key: str, outputs: list[Path], work: Callable[[], str]) -> tuple[StageRecord, bool]:
        """Does a stage unless it is done, and records it; returns the record and whether anything was done.

        Args:
            name: of the stage.
            key: hash over everything it depends on.
            outputs: files without which it does not count as done.
            work: does it and returns the fingerprint of what it made.
        """
        if record := self.done(name, key, outputs):
            return record, False
        started = time.monotonic()
        self._forget(name)
        try:
            fingerprint = work()
        finally:
            seconds = time.monotonic() - started + self._spent(name)
            if self.path.exists():
                self._note_spent(name, seconds)
        record = StageRecord(key, fingerprint, round(seconds, 1), versions())
        self._write({**self.records(), name: record})
        self._note_spent(name, 0.0)
        return record, True

    def _forget(self, name: str) -> None:
        """Takes a stage's record out before its files change: it would be taken for done once its old settings came back."""
        records = self.records()
        if records.pop(name, None):
            self._write(records)

    def _write(self, records: Mapping[str, StageRecord]) -> None:
        stages = {stage: vars(finished) for stage, finished in records.items()}
        write_json(self.path / "manifest.json", {"stages": stages})

    def _spent(self, name: str) -> float:
        path = self.path / f".{name}.seconds"
        try:
            return float(path.read_text())
        except (OSError, ValueError):
            return 0.0

    def _note_spent(self, name: str, seconds: float) -> None:
        path = self.path / f".{name}.seconds"
        try:
            path.write_text(f"{seconds:.1f}") if seconds else path.unlink(missing_ok=True)
        except OSError:
            return  # a full disk is reported by whoever writes something that matters


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(
            f"{path} is damaged: {error}", expected="JSON written by weakspot", todo="choose another folder with --output"
        ) from error


def _differences(stored: Any, given: Any, prefix: str = "") -> str:
    found: list[str] = []

    def walk(a: Any, b: Any, name: str) -> None:
        if isinstance(a, dict) and isinstance(b, dict):
            for key in sorted(a.keys() | b.keys()):
                walk(a.get(key), b.get(key), f"{name}.{key}" if name else key)
        elif a != b:
            found.append(f"{name} is {a!r} there and {b!r} here")

    walk(stored, given, prefix)
    return "; ".join(found[:6]) + ("; ..." if len(found) > 6 else "")
