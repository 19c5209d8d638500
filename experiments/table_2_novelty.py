"""Table 2 and figure 7, section 4.8 of the paper: how far synthesised states are from everything the model was trained on.

    python -m experiments.table_2_novelty --states 1000 --output docs/results/pong

The closest training state of each in mean squared error, over the whole training set, and in how many pixels it differs: a
pixel differs when a colour is off by more than 25 % of its range.  The same for held-out real states, which says what any
state of the game has.  Beside the closest state in pixels the closest one under the target (figure 7).  Novelty alone is no
merit, a blurred state is novel too: the share that passes the object checks where there are any, and the distance from real
states in the agent's features, stand beside it, and the same of the best real states under the target and of any real ones.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab import prepared
from lab.arguments import at_least
from lab.figures import save, save_labelled
from lab.found_cache import searches
from lab.measures import HELD_OUT, measured, usual, yard
from weakspot.analysis.novelty import closest
from weakspot.data.dataset import recorded_outputs
from weakspot.intervals import bootstrap_mean, wilson
from weakspot.search.retrieval import Retrieval
from weakspot.system.process import exit_code
from weakspot.system.progress import say
from weakspot.targets.resolve import default_targets
from weakspot.types import Frames

PAPER = {"10": 0.99, "20": 0.73, "30": 0.16, "50": 0.01, "70": 0.0}
"""Shares of states that differ in more than so many percent of their pixels; table 2."""
PAPER_MEAN = 0.25
"""Share of the pixels that differ, on average; section 4.8."""
SHOWN = 8


def shares(differing: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """The line of table 2, each share with its interval."""
    return {percent: wilson(int((differing > int(percent) / 100).sum()), len(differing)) for percent in PAPER}


def line_of(differing: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """The line of table 2, of how many states it is, and how many pixels differ on average."""
    return {"states": len(differing), "mean": bootstrap_mean(differing, generator), "shares": shares(differing)}


def histogram(lines: dict[str, np.ndarray], title: str, path: Path) -> None:
    """Table 2 as a picture: how many states differ from their closest training state in how many pixels."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots()
    bins = np.linspace(0, max(float(np.concatenate(list(lines.values())).max()), 1e-3), 41)
    for name, differing in lines.items():
        each = np.full(len(differing), 100 / len(differing))
        axes.hist(
            100 * differing, bins=list(100 * bins), histtype="step", weights=each, label=f"{name} (n = {len(differing):,})"
        )
    axes.set(xlabel="percent of pixels that differ from the closest training state", ylabel="percent of states")
    save(figure, path)


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--targets", nargs="+")
    arguments.add_argument("--states", type=at_least(3), default=1000, help="synthesised states for all targets together")
    given = prepared.read(arguments)
    there = prepared.prepare(given, given.extra.targets or ())
    sources = there.sources(there.model(given))
    names = list(given.extra.targets or default_targets(there.subject.agent.spec, sources.answers))
    each = -(-given.extra.states // len(names))
    known, told, differing = yard(there, each), {}, []
    answers = recorded_outputs(there.dataset, there.trained)
    pictures: list[tuple[str, Frames]] = []
    with prepared.on_all_cores(), searches("table-2", given, there, sources) as find:
        for name in names:
            target = there.target(name)
            found = find(given.algorithm, name, each)
            line, near = measured(found, target, known)
            best, _ = measured(find(Retrieval(), name, each), target, known)
            differing.append(near.differing_share)
            values = target(answers).numpy()
            alike = there.trained[np.abs(values[None] - found.target.cpu().numpy()[:SHOWN, None]).argmin(axis=1)]
            pictures += [
                (f"{target.name}\nsynthesised", there.pictures(found.state[:SHOWN])),
                ("closest\ntraining state", there.shown(near.stacks[:SHOWN])),
                (f"training state\nclosest in {target.name}", there.shown(there.dataset.stacks(alike))),
            ]
            told[name] = {given.algorithm.name: line, Retrieval().name: best}
            say(f"{name}: {told[name]}")
        chosen = np.random.default_rng(given.seed).permutation(there.held)[: len(names) * each]
        started = time.monotonic()
        real = closest(there.dataset.stacks(chosen), there.dataset, there.trained)
        seconds = time.monotonic() - started
        every, generator = np.concatenate(differing), np.random.default_rng(given.seed)
        lines = {"synthesised": every, HELD_OUT: real.differing_share}
        result: dict[str, Any] = {
            "targets": told,
            HELD_OUT: usual(known),
            "paper": {"mean": PAPER_MEAN, "shares": PAPER},
            "table 2": {kind: line_of(differing, generator) for kind, differing in lines.items()},
            "nearest neighbours": {"of": len(chosen), "among": len(there.trained), "seconds": round(seconds, 1)},
        }
        who = there.subject.agent.spec.name
        histogram(lines, who, given.output / "table-2.png")
        save_labelled(pictures, given.output / "figure-7.png", f"{who}: the newest frame of the first {SHOWN} states")
        prepared.write("table-2", given, there, result)


if __name__ == "__main__":
    sys.exit(exit_code(main))
