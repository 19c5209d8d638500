"""How long the exact search for the closest training states takes, and how much memory.

    python -m benchmarks.neighbours --states 1000 --frames 10000 --output docs/results

The states that are looked for are the data set's own, with noise of a few levels, so that the answer is known: each one's
closest state is the one it was made of, or one that is the same.  Prints the seconds, the peak of the process's memory, how
far that is above the peak before there was anything of the search, and the share of right answers; and writes them into
``neighbours.json`` in ``--output``, if that is given.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.recall import stored
from lab.arguments import at_least
from weakspot.analysis.novelty import closest
from weakspot.config import RunConfig
from weakspot.data.dataset import StateDataset
from weakspot.state_model.batch import with_history
from weakspot.state_model.config import TrainConfig
from weakspot.subject import subject
from weakspot.system.compute import threads
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code


def peak() -> float:
    """The most memory that the process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(dataset: StateDataset, states: int) -> dict[str, Any]:
    """Looks for ``states`` noisy states of the data set among all of its whole ones."""
    indices = with_history(dataset, np.arange(len(dataset)))
    rng = np.random.default_rng(0)
    chosen = rng.choice(indices, states)
    before = peak()
    noisy = dataset.stacks(chosen)
    for stack in noisy:
        stack[:] = (stack + rng.integers(-3, 4, stack.shape, dtype=np.int16)).clip(0, 255)
    started = time.perf_counter()
    with threads(TrainConfig().parts):
        found = closest(noisy, dataset, indices)
    seconds = time.perf_counter() - started
    highest = peak()
    right = [bool((dataset.stacks(chosen[[i]])[0] == stack).all()) for i, stack in enumerate(found.stacks)]
    return {
        "states": states,
        "among": len(indices),
        "seconds": round(seconds, 1),
        "megabytes": round(highest),
        "megabytes_more": round(highest - before),
        "right": float(np.mean(right)),
        "threads": TrainConfig().parts,
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=at_least(1), default=1_000)
    parser.add_argument("--frames", type=at_least(1), default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/neighbours"))
    parser.add_argument("--output", type=Path, help="of the JSON file; nothing is written without")
    told = parser.parse_args()
    make_folder(told.folder)
    dataset, _ = stored(subject(RunConfig()), told.folder, told.frames)
    result = measure(dataset, told.states)
    print(json.dumps(result))
    if told.output:
        write_json(make_folder(told.output) / "neighbours.json", result)


if __name__ == "__main__":
    sys.exit(exit_code(main))
