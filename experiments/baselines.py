"""Algorithm 1 compared with what a user could do instead, for the same agent, targets and state model.

    python -m experiments.baselines --targets T- T+- --states 64 --output docs/results/pong

The alternatives are retrieval of the best real frames, HIGHLIGHTS, random samples of the state model, random search in its
latent space with as many passes through the model as Algorithm 1 used, and activation maximisation in pixels.  For each
method: the target's value, the novelty and diversity of its states, their distance to real states in the agent's features,
the share that passes the object checks (Pong only), and the cost.  Held-out real states are the reference.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.arguments import at_least, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.experiment import Experiment, start_experiment
from lab.figures import save_figure
from lab.measures import HELD_OUT, ReferenceStats, measure_real, measure_result, reference_stats
from lab.methods import Method, algorithm_1, alternatives
from lab.states import search_sources, target_named, worker_threads

PANELS = {
    "target_sd": "target, standard deviations of\nreal states beyond their mean",
    "feature_distance": "distance from real states\nin the agent's features",
    "closest_mse": "mean squared error to the\nclosest training state",
    "valid": "share that passes\nthe object checks",
}
LOGARITHMIC = {"target_sd": 1.0, "feature_distance": 0.01, "closest_mse": 1e-5}
"""Measures on symmetric log axes, since those of activation maximisation are far larger, and where each axis becomes
linear."""


def draw_measure(axes: Axes, name: str, methods: dict[str, Any], real: dict[str, Any]) -> None:
    """Draws one measure of each method with its interval, and that of real states as a band."""
    means, lows, highs = np.array([measures[name] for measures in methods.values()]).T
    rows = np.arange(len(means))
    axes.hlines(rows, lows, highs, color="steelblue", linewidth=2)
    axes.plot(means, rows, "o", color="steelblue", markersize=5)
    if name in LOGARITHMIC:
        axes.set_xscale("symlog", linthresh=LOGARITHMIC[name], subs=range(2, 10))
        axes.margins(x=0.1)
    else:
        axes.set_xlim(-0.04, 1.04)
    mean, low, high = real.get(name, (0.0, 0.0, 0.0))  # the target is relative to the mean of real states
    axes.axvspan(low, high, color="darkorange", alpha=0.25, linewidth=0)
    axes.axvline(mean, color="darkorange", linewidth=1.2)
    axes.set_yticks(rows)
    axes.set_ylim(len(means) - 0.5, -0.5)
    axes.grid(axis="y", alpha=0.3)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_figure(targets: dict[str, Any], real: dict[str, Any], title: str, path: Path) -> None:
    """Draws a row for each target, a panel for each measure, and the methods from top to bottom."""
    names = [name for name in PANELS if name != "valid" or real["valid"]]
    figure = Figure(figsize=(2.9 * len(names) + 2.4, 2.5 * len(targets) + 1.2), layout="constrained")
    grid = figure.subplots(len(targets), len(names), squeeze=False, sharex="col", sharey=True)
    for row, (target, methods) in zip(grid, targets.items(), strict=True):
        for axes, name in zip(row, names, strict=True):
            draw_measure(axes, name, methods, real)
        row[0].set_yticklabels([method.replace(", ", ",\n") for method in methods])
        row[0].set_ylabel(f"target {target}", fontsize=10)
    for axes, name in zip(grid[-1], names, strict=True):
        axes.set_xlabel(PANELS[name], fontsize=9)
    title = f"{title}: {real['states']} states of each method, with 95 % intervals; orange: as many held-out real states"
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


class Comparison:
    """The measures of each method for each target, written after every method, so that the experiment resumes after a kill.

    Args:
        experiment: of the command.
        reference: the held-out states.
    """

    def __init__(self, experiment: Experiment, reference: ReferenceStats) -> None:
        self.experiment, self.reference = experiment, reference
        self.model = experiment.session.model.info["made_of"]
        earlier = experiment.earlier("baselines")
        self.seconds_before: float = earlier.get("seconds", 0.0)
        self.targets: dict[str, Any] = earlier.get("targets", {})
        self.real: dict[str, Any] = earlier.get(HELD_OUT) or measure_real(reference)

    def measure(self, target: str, method: Method, count: int) -> int:
        """Measures a method unless an earlier attempt did; returns its passes through the state model."""
        measured = self.targets.setdefault(target, {})
        earlier = measured.get(method.name)
        if earlier and earlier["model"] == self.model:
            return earlier["passes"]["model"]
        session, started = self.experiment.session, time.monotonic()
        resolved = target_named(session, target)
        result = method(search_sources(session), resolved, count, self.experiment.arguments.seed)
        seconds = round(time.monotonic() - started, 1)
        measures, _ = measure_result(result, resolved, self.reference)
        measured[method.name] = measures | {"seconds": seconds, "model": self.model}
        self.write()
        say(f"{target}, {method.name}: {measured[method.name]}")
        return result.cost.model

    def write(self) -> None:
        """Writes what is measured so far."""
        self.experiment.write("baselines", {"targets": self.targets, HELD_OUT: self.real}, self.seconds_before)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--targets", nargs="+", default=["T-", "T+-"])
    parser.add_argument("--states", type=at_least(3), default=64, help="per method and target")
    parser.add_argument("--pixel-steps", type=at_least(1), default=300, help="of activation maximisation")
    arguments = parse_arguments(parser)
    extra = arguments.extra
    experiment = start_experiment(arguments, extra.targets)
    comparison = Comparison(experiment, reference_stats(experiment.session, extra.states))
    with worker_threads():
        for target in extra.targets:
            passes = comparison.measure(target, algorithm_1(arguments), extra.states)
            for method in alternatives(max(passes, extra.states), extra.pixel_steps):
                comparison.measure(target, method, extra.states)
    comparison.write()
    draw_figure(comparison.targets, comparison.real, experiment.agent_name, arguments.output / "baselines.png")


if __name__ == "__main__":
    run_command(main)
