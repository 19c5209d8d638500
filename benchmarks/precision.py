"""Float32 and bfloat16 side by side: what a training step costs, and what it learns.

    python -m benchmarks.precision --frames 20000 --seeds 0 1 2 --steps 600

Times are medians over rounds in which both formats take turns, on one thread: a step of the network of ``fast``, a step of
its flow with and without its optimisers, and a product of two matrices. With ``--steps``, state models are trained for that
many steps in each format and with each seed, and their reconstructions of the same held-out states compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from lab.arguments import at_least
from lab.command import run_command, say
from lab.networks import WITHOUT_FLOW, measures_after
from lab.pipeline import STATES, open_session, run_config
from lab.precision import FORMATS, HAS_UNITS, products
from lab.records import all_versions, save_record
from weakspot import TrainConfig


def timed(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each function; the functions take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, function in work.items():
            started = time.perf_counter()
            function()
            if turn:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    return {name: round(1e3 * median(values), 2) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--frames", type=at_least(1), default=20_000, help="number of states to collect")
    parser.add_argument("--rounds", type=at_least(1), default=10, help="of the times")
    parser.add_argument("--steps", type=at_least(0), default=0, help="of each training; 0: no trainings")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/precision"), help="folder of the runs")
    parser.add_argument("--output", type=Path, help="folder of the record; default: --folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    session = open_session(
        run_config(arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames), STATES
    )
    times = {
        name: timed({precision: make(precision) for precision in FORMATS}, arguments.rounds)
        for name, make in products(session).items()
    }
    for name, line in times.items():
        say(f"{name}: {line}, ratio {line['float32'] / line['bfloat16']:.2f}")
    rows: list[dict[str, Any]] = []
    for seed in arguments.seeds if arguments.steps else ():
        for precision in FORMATS:
            config = TrainConfig(WITHOUT_FLOW, steps=arguments.steps, workers=1, seed=seed, precision=precision)
            rows.append({"seed": seed, "precision": precision, **measures_after(session, config)})
            say(f"{rows[-1]}")
    for precision in FORMATS if rows else ():
        chosen = [row for row in rows if row["precision"] == precision]
        means = {
            name: float(np.mean([row[name] for row in chosen])) for name in rows[0] if name not in ("seed", "precision")
        }
        say(f"{precision}: {means}")
    record = {"units": HAS_UNITS, "versions": all_versions(), "milliseconds": times, "trainings": rows}
    save_record((arguments.output or arguments.folder) / "precision.json", record)


if __name__ == "__main__":
    run_command(main)
