"""Figure 8 of the paper: how the target's values are distributed over real and over synthesised states.

    python -m experiments.figure_8_distributions --targets T- T+- --output docs/results/pong

Held-out real states, random samples of the state model, the best of the states it was trained on (retrieval), and what
Algorithm 1 makes.  And the share of the synthesised states that go beyond the best held-out one, among all and, where there
are object checks, among those that pass them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.arguments import at_least
from benchmarks.figures import save
from experiments import prepared
from experiments.kept import searches
from weakspot.analysis.ball import is_pong
from weakspot.analysis.intervals import wilson
from weakspot.analysis.pong_objects import pong_checks
from weakspot.baselines.method import Method
from weakspot.baselines.random_samples import RandomSamples
from weakspot.baselines.retrieval import Retrieval
from weakspot.cli import exit_code
from weakspot.dataset import as_stacks
from weakspot.pipeline import real_answers
from weakspot.progress import say


def figure(values: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """A panel for each target, a curve for each kind of states."""
    made = Figure(figsize=(4.6 * len(values), 3.6), layout="constrained")
    for axes, (target, kinds) in zip(made.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True):
        every = np.concatenate(list(kinds.values()))
        bins = np.linspace(every.min(), every.max() + 1e-9, 50)
        for name, points in kinds.items():
            axes.hist(points, bins=list(bins), histtype="step", density=True, label=name)
        axes.set(title=target, xlabel="energy; the target wants little", ylabel="density")
        axes.set_yscale("log")
    save(made, path)


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--targets", nargs="+", default=["T-", "T+", "T+-"])
    arguments.add_argument("--states", type=at_least(3), default=200)
    given = prepared.read(arguments)
    there = prepared.prepare(given, given.extra.targets)
    sources = there.sources(there.model(given))
    answers, pong = real_answers(there.dataset, there.held), is_pong(there.dataset.environment.id)
    values: dict[str, dict[str, np.ndarray]] = {}
    told: dict[str, Any] = {}
    everything: list[Method] = [RandomSamples(), Retrieval(), given.algorithm]
    with prepared.on_all_cores(), searches("figure-8", given, there, sources) as find:
        for name in given.extra.targets:
            target = there.target(name)
            values[target.name] = {"held-out real states": target(answers).numpy()}
            best, told[name] = float(values[target.name]["held-out real states"].min()), {}
            for method in everything:
                found = find(method, name, given.extra.states)
                energies = found.target.cpu().numpy()
                values[target.name][method.name] = energies
                beyond = energies < best
                line: dict[str, Any] = {
                    "mean": float(energies.mean()),
                    "quartiles": [float(value) for value in np.percentile(energies, [25, 50, 75])],
                    "beyond the best held-out state": wilson(int(beyond.sum()), len(beyond)),
                }
                if pong:
                    valid = pong_checks(as_stacks(found.state.cpu())).valid
                    line["of those that pass the checks"] = (
                        wilson(int((beyond & valid).sum()), int(valid.sum())) if valid.any() else None
                    )
                told[name][method.name] = line
                say(f"{name}, {method.name}: {line}")
            real = values[target.name]["held-out real states"]
            told[name]["held-out real states"] = {"count": len(real), "mean": float(real.mean()), "best": best}
        figure(values, given.output / "figure-8.png")
        prepared.write("figure-8", given, there, {"targets": told})


if __name__ == "__main__":
    sys.exit(exit_code(main))
