"""The parts of the reliability benchmark: each returns its figures and, if something went wrong, descriptions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from lab.reliability.damages import damage_runs
from lab.reliability.faults import Faults, clock_jumps, failing_writes, interruptions, limits, two_at_once
from lab.reliability.hostile import load_hostile
from lab.reliability.kills import kill_runs
from lab.reliability.long_run import cost_of_kills
from lab.reliability.sandbox import Sandbox, import_everything
from lab.reliability.soak import soak
from lab.reliability.sweep_kills import kill_sweeps
from weakspot.errors import RunError

KEYS = (
    "kills", "kills_lost", "corruptions", "corruptions_silent", "corruptions_traceback", "faults", "faults_lost", "hostile",
    "hostile_traceback", "hostile_executed", "peak_mb",
)  # fmt: skip
"""The main figures of the record."""
KILLS, SWEEP_KILLS, DAMAGES, HOSTILE, SOAK, STEPS = 200, 20, 300, 600, 200, 3_000
"""Full numbers: of kills of runs and of sweeps, damages, hostile files, runs of the soak, and steps of the long run."""


@cache
def _imported(folder: Path) -> None:
    """Imports everything, once in this process."""
    outcome = import_everything(Sandbox(folder))
    if outcome.code:
        raise RunError(f"a tiny run ended with exit code {outcome.code}: {outcome.output[-500:]}")


def _sandbox(folder: Path) -> Sandbox:
    _imported(folder.parent)
    return Sandbox(folder)


def _reference(sandbox: Sandbox, name: str = "reference", *more: str) -> Path:
    output = sandbox.folder / name
    outcome = sandbox.run(output, *more)
    if outcome.code:
        raise RunError(f"a tiny run ended with exit code {outcome.code}: {outcome.output[-500:]}")
    return output


def _kills(folder: Path, share: float, seed: int) -> dict[str, Any]:
    sandbox = _sandbox(folder)
    result = kill_runs(sandbox, _reference(sandbox), max(round(KILLS * share), 1), seed)
    result += kill_sweeps(sandbox, round(SWEEP_KILLS * share), seed)
    return {
        "kills": result.kills, "kills_lost": len(result.problems),
        "kills_by_stage": dict(result.stages), "kills_problems": result.problems[:20],
    }  # fmt: skip


def _damages(folder: Path, share: float, seed: int) -> dict[str, Any]:
    sandbox = _sandbox(folder)
    reference, other = _reference(sandbox), _reference(sandbox, "other", "--collect.seed", "1", "--train.seed", "1")
    result = damage_runs(sandbox, reference, other, 2, max(round(DAMAGES * 1.05 * share), 1), seed)
    return {
        "corruptions": result.corruptions, "corruptions_silent": len(result.silent),
        "corruptions_traceback": len(result.tracebacks), "corruptions_by_kind": result.kinds,
        "corruptions_problems": [*result.silent, *result.tracebacks][:20],
    }  # fmt: skip


def _faults(folder: Path, share: float, seed: int) -> dict[str, Any]:
    sandbox, result = _sandbox(folder), Faults()
    reference = _reference(sandbox)
    clock_jumps(sandbox, reference, result, seed)
    for part in (limits, two_at_once, interruptions, failing_writes):
        part(sandbox, reference, result, share, seed)
    return {
        "faults": result.faults, "faults_lost": len(result.problems), "faults_by_kind": result.kinds,
        "faults_problems": result.problems[:20],
    }  # fmt: skip


def _hostile(folder: Path, share: float, seed: int) -> dict[str, Any]:
    _imported(folder.parent)  # else each of a thousand processes imports what it needs
    result = load_hostile(folder, max(round(HOSTILE * share), 1), seed)
    return {
        "hostile": result.files, "hostile_traceback": len(result.tracebacks), "hostile_executed": len(result.executed),
        "peak_mb": round(result.peak_mb, 1), "hostile_accepted": result.accepted, "hostile_by_kind": result.kinds,
        "hostile_problems": [*result.tracebacks, *result.executed][:20],
    }  # fmt: skip


def _soak(folder: Path, share: float, seed: int) -> dict[str, Any]:
    return {"soak": soak(_sandbox(folder), max(round(SOAK * share), 2))}


def _long_run(folder: Path, share: float, seed: int) -> dict[str, Any]:
    return {"long_run": cost_of_kills(_sandbox(folder), max(round(STEPS * share), 2), 20.0)}


PARTS: dict[str, Callable[[Path, float, int], dict[str, Any]]] = {
    "kills": _kills, "damages": _damages, "faults": _faults, "hostile": _hostile, "soak": _soak, "long-run": _long_run,
}  # fmt: skip


def measure(part: str, folder: Path, share: float, seed: int) -> dict[str, Any]:
    """Tries one part; see :data:`PARTS`."""
    return PARTS[part](folder, share, seed)
