"""When searches may stop: what they find, and what they cost.

    python -m benchmarks.convergence --frames 40000 --cpu-minutes 10 --patience 40 20 15 10 5
    python -m benchmarks.convergence --frames 20000 --cpu-minutes 10 --patience 40 --ahead 1.5 3 --targets T- LEFT

A search stops when the mean energy of its last ``patience`` steps is not lower, by ``tolerance``, than that of as many steps
before, so that 40 of 60 steps mean that no search stops for that reason. It also stops after 20 steps if it is not among the
best ``ahead`` searches for each state. For each target and seed: the mean target in standard deviations of the real states
below their mean, the share that passes the object checks (Pong only), the mean steps of a search, and the
processor time of all searches, with the candidates not counted. All searches start at the same candidates.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from lab.arguments import add_training_arguments, at_least, positive
from lab.command import run_command, say
from lab.descents import descend, valid_share
from lab.pipeline import open_session, run_config
from lab.records import all_versions, save_record
from lab.states import held_out_outputs, target_named, worker_threads
from weakspot import SynthesisConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, minutes=10.0)
    parser.add_argument("--targets", nargs="+", default=["T-", "T+-", "RIGHT"])
    parser.add_argument("--patience", nargs="+", type=at_least(1), default=[40, 20, 15, 10, 7, 5])
    parser.add_argument("--tolerance", nargs="+", type=positive, default=[0.01])
    parser.add_argument("--ahead", nargs="+", type=positive, default=[SynthesisConfig().ahead])
    parser.add_argument("--states", type=at_least(2), default=24)
    parser.add_argument("--candidates", type=at_least(1), default=SynthesisConfig().candidates, help="to start at")
    parser.add_argument("--steps", type=at_least(1), default=SynthesisConfig().steps, help="at most, of each search")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="folder of the record; default: --folder")
    arguments = parser.parse_args()
    session = open_session(
        run_config(
            arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames, minutes=arguments.cpu_minutes,
            targets=arguments.targets,
        )
    )  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"patience": patience, "tolerance": tolerance, "ahead": ahead}
        for patience, tolerance, ahead in itertools.product(arguments.patience, arguments.tolerance, arguments.ahead)
    ]
    targets, rows = [target_named(session, name) for name in arguments.targets], []
    with worker_threads():
        outputs = held_out_outputs(session)
        for seed in arguments.seeds:
            for change in changes:
                config = SynthesisConfig(
                    states=arguments.states, candidates=arguments.candidates, steps=arguments.steps, seed=seed, **change
                )
                searches = descend(session, session.model, config)
                for target in targets:
                    real, started = target(outputs).numpy(), time.process_time()
                    found = searches(target, config.regulariser)
                    row: dict[str, Any] = {
                        "target": target.name,
                        "seed": seed,
                        **change,
                        "target_sd": float((real.mean() - found.target.numpy(force=True).mean()) / real.std()),
                        "valid": valid_share(session.dataset.environment.id, found.state),
                        "steps": found.spent / config.total_searches,
                        "cpu_seconds": round(time.process_time() - started, 1),
                    }
                    rows.append(row)
                    say(f"{row}")
    for change in changes:
        chosen = [row for row in rows if change.items() <= row.items()]
        means = {
            name: round(float(np.mean([row[name] for row in chosen])), 3)
            for name in ("target_sd", "valid", "steps", "cpu_seconds")
            if chosen[0][name] is not None
        }
        say(f"{change}: {means}")
    settings = {"agent": session.subject.agent.spec.name, "frames": arguments.frames, "cpu_minutes": arguments.cpu_minutes}
    record = {"settings": settings, "versions": all_versions(), "rows": rows}
    save_record((arguments.output or arguments.folder) / "convergence.json", record)


if __name__ == "__main__":
    run_command(main)
