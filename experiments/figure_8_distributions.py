"""Figure 8 of the paper: how the target's values are distributed over real and over synthesised states.

    python -m experiments.figure_8_distributions --targets T- T+- --output docs/results/pong

Held-out real states, random samples of the state model, the best of the states it was trained on (retrieval), and what
Algorithm 1 makes.  And the share of the synthesised states that go beyond the best held-out one, among all and, where there
are object checks, among those that pass them; how many do, and how many held-out ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab import prepared
from lab.arguments import at_least
from lab.figures import save
from lab.found_cache import searches
from lab.measures import HELD_OUT, passing
from weakspot.data.dataset import as_stacks, recorded_outputs
from weakspot.intervals import bootstrap_mean, wilson
from weakspot.search.method import Method
from weakspot.search.random_samples import RandomSamples
from weakspot.search.retrieval import Retrieval
from weakspot.system.process import exit_code
from weakspot.system.progress import say

CHECKED = 1000
"""Held-out real states whose objects are looked at, at most."""


def figure(values: dict[str, dict[str, np.ndarray]], title: str, path: Path) -> None:
    """A panel for each target, a curve for each kind of states."""
    made = Figure(figsize=(max(4.6 * len(values), 8.0), 3.9), layout="constrained")
    made.suptitle(title, fontsize=10)
    for axes, (target, kinds) in zip(made.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True):
        every = np.concatenate(list(kinds.values()))
        bins = np.linspace(every.min(), every.max() + 1e-9, 50)
        for name, points in kinds.items():
            axes.hist(points, bins=list(bins), histtype="step", density=True, label=f"{name} (n = {len(points):,})")
        axes.set(title=f"target {target}", xlabel="energy; the target wants little", ylabel="density of states")
        axes.set_yscale("log")
    save(made, path)


def spread(energies: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """Mean with its interval, and quartiles."""
    quartiles = [float(value) for value in np.percentile(energies, [25, 50, 75])]
    return {"mean": bootstrap_mean(energies, generator), "quartiles": quartiles}


def checks(passed: np.ndarray | None) -> dict[str, Any]:
    """The share that passes the object checks, and of how many."""
    return {
        "pass the checks": None if passed is None else wilson(int(passed.sum()), len(passed)),
        "checked": None if passed is None else len(passed),
    }


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--targets", nargs="+", default=["T-", "T+", "T+-"])
    arguments.add_argument("--states", type=at_least(3), default=200)
    given = prepared.read(arguments)
    there = prepared.prepare(given, given.extra.targets)
    sources = there.sources(there.model(given))
    answers = recorded_outputs(there.dataset, there.held)
    generator = np.random.default_rng(given.seed)
    some = generator.permutation(there.held)[:CHECKED]
    usually = passing(there, there.dataset.stacks(some))
    values: dict[str, dict[str, np.ndarray]] = {}
    told: dict[str, Any] = {}
    everything: list[Method] = [RandomSamples(), Retrieval(), given.algorithm]
    with prepared.on_all_cores(), searches("figure-8", given, there, sources) as find:
        for name in given.extra.targets:
            target = there.target(name)
            real = target(answers).numpy()
            best, values[target.name] = float(real.min()), {HELD_OUT: real}
            told[name] = {HELD_OUT: {"count": len(real), "best": best} | spread(real, generator) | checks(usually)}
            for method in everything:
                found = find(method, name, given.extra.states)
                energies = found.target.cpu().numpy()
                values[target.name][method.name] = energies
                beyond = energies < best
                passed = passing(there, as_stacks(found.state.cpu(), there.dataset.environment.channels))
                these = np.zeros(len(beyond), bool) if passed is None else passed
                told[name][method.name] = {
                    "count": len(energies),
                    "best": float(energies.min()),
                    **spread(energies, generator),
                    **checks(passed),
                    "beyond the best held-out state": wilson(int(beyond.sum()), len(beyond)),
                    "of those that pass the checks": (
                        wilson(int((beyond & these).sum()), int(these.sum())) if these.any() else None
                    ),
                }
                say(f"{name}, {method.name}: {told[name][method.name]}")
        figure(values, there.subject.agent.spec.name, given.output / "figure-8.png")
        prepared.write("figure-8", given, there, {"targets": told})


if __name__ == "__main__":
    sys.exit(exit_code(main))
