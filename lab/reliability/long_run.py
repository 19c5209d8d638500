"""What kills cost a long run: the work that is done again after each."""

from __future__ import annotations

import shutil
import signal
import time
from typing import Any

from lab.reliability.sandbox import Sandbox


def cost_of_kills(sandbox: Sandbox, steps: int, every: float) -> dict[str, Any]:
    """Trains ``steps`` steps undisturbed, and again with a kill every ``every`` seconds.

    The cost of a kill is the start of the process, reading the checkpoint, and the steps since the last one, which is at
    most ``--train.checkpoint-every`` old. From it follows the share that kills every ten minutes cost.

    Args:
        sandbox: where the runs are.
        steps: of the training.
        every: seconds between kills.
    """
    more = ("--train.steps", str(steps), "--train.checkpoint-every", "5")
    seconds: list[float] = []
    kills = 0
    for interval in (float("inf"), every):
        output = sandbox.folder / "long"
        shutil.rmtree(output, ignore_errors=True)
        started = time.monotonic()
        while True:
            process = sandbox.start(["run", *sandbox.options(output, *more)])
            outcome = process.wait(min(interval, 86_400.0))
            if outcome.code is not None and outcome.code != -signal.SIGKILL:
                break
            kills += 1
        seconds.append(time.monotonic() - started)
    per_kill = max(seconds[1] - seconds[0], 0.0) / max(kills, 1)
    return {
        "steps": steps,
        "undisturbed_seconds": round(seconds[0], 1),
        "disturbed_seconds": round(seconds[1], 1),
        "kills": kills,
        "seconds_per_kill": round(per_kill, 2),
    }
