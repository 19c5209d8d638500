"""How long the exact search for the closest training states takes, and how much memory.

    python -m benchmarks.neighbours --states 1000 --frames 10000

The states that are looked for are the data set's own, with noise of a few levels, so that the answer is known: each one's
closest state is the one it was made of, or one that is the same.  Prints the seconds, the peak of the process's memory above
what it was before, and the share of right answers.
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

from benchmarks.arguments import at_least
from benchmarks.recall import stored
from weakspot.analysis.novelty import closest
from weakspot.cli import exit_code
from weakspot.config import RunConfig
from weakspot.dataset import StateDataset
from weakspot.files import make_folder
from weakspot.pipeline import subject
from weakspot.state_model.batch import with_history
from weakspot.state_model.train import TrainConfig, threads


def measure(dataset: StateDataset, states: int) -> dict[str, Any]:
    """Looks for ``states`` noisy states of the data set among all of its whole ones."""
    indices = with_history(dataset, np.arange(len(dataset)))
    rng = np.random.default_rng(0)
    chosen = rng.choice(indices, states)
    stacks = dataset.stacks(chosen)
    noisy = (stacks.astype(np.int16) + rng.integers(-3, 4, stacks.shape, dtype=np.int16)).clip(0, 255).astype(np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with threads(TrainConfig().parts):
        found = closest(noisy, dataset, indices)
    seconds = time.perf_counter() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    right = [bool((stack == found.stacks[i]).all()) for i, stack in enumerate(stacks)]
    return {
        "states": states,
        "among": len(indices),
        "seconds": round(seconds, 1),
        "megabytes_more": round(grown),
        "right": float(np.mean(right)),
        "threads": TrainConfig().parts,
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=at_least(1), default=1_000)
    parser.add_argument("--frames", type=at_least(1), default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/neighbours"))
    told = parser.parse_args()
    make_folder(told.folder)
    dataset, _ = stored(subject(RunConfig()), told.folder, told.frames)
    print(json.dumps(measure(dataset, told.states)))


if __name__ == "__main__":
    sys.exit(exit_code(main))
