"""Figure 1 and the appendix of the paper: four synthesised states for each target of a game.

    python -m experiments.figure_1_states --targets T+ T- T+- --output docs/results/pong

The searches have the same settings for every game, the defaults but with fewer candidates. Four of twelve searches are kept,
and these four are shown. Below each image is the energy of the state under the target (lower is better), with those of
held-out real states for comparison. The record contains the time that each target took.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lab.arguments import CANDIDATES_OF_FOUR, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.experiment import Experiment, start_experiment
from lab.figures import save_figure
from lab.measures import HELD_OUT
from lab.methods import SearchResult, Target, algorithm_1, run_uncached
from lab.states import default_target_names, held_out_outputs, search_sources, state_images, target_named, worker_threads

STATES_PER_TARGET = 4
"""States per target."""


def draw_figure(
    experiment: Experiment, rows: list[tuple[Target, SearchResult]], records: dict[str, Any], path: Path
) -> None:
    """Draws a row of newest frames for each target, each with its energy; the label shows the energies of real states."""
    figure = Figure(figsize=(2.0 * STATES_PER_TARGET + 1.4, 2.35 * len(rows) + 0.7), layout="constrained")
    grid = figure.subplots(len(rows), STATES_PER_TARGET, squeeze=False)
    for line, (target, result), record in zip(grid, rows, records.values(), strict=True):
        images = state_images(experiment.session, result.state)
        for axes, pixels, energy in zip(line, images, result.target.tolist(), strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(f"energy {energy:.3g}", fontsize=8, labelpad=2)
        real = record[HELD_OUT]
        label = f"{target.name}\n\nreal states:\nmean {real['mean']:.3g}\nbest {real['best']:.3g}"
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    title = f"{experiment.agent_name}: the first {STATES_PER_TARGET} states of each search; lower energies are better"
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--targets", nargs="+", help="as for `weakspot run`; default: the agent's default targets")
    parser.set_defaults(candidates=CANDIDATES_OF_FOUR)
    arguments = parse_arguments(parser)
    experiment = start_experiment(arguments, arguments.extra.targets)
    session = experiment.session
    rows, records = [], {}
    held_out, sources = held_out_outputs(session), search_sources(session)
    with worker_threads():
        for name in arguments.extra.targets or default_target_names(session):
            target, started = target_named(session, name), time.monotonic()
            result = run_uncached(algorithm_1(arguments), sources, target, STATES_PER_TARGET, arguments.seed)
            seconds = time.monotonic() - started
            real = target(held_out).numpy()
            records[name] = {
                "states": STATES_PER_TARGET,
                "seconds": round(seconds, 1),
                "energies": [round(energy, 5) for energy in result.target.tolist()],
                HELD_OUT: {"count": len(real), "mean": float(real.mean()), "best": float(real.min())},
            }
            rows.append((target, result))
            say(f"{name}: {records[name]}")
    draw_figure(experiment, rows, records, arguments.output / "figure-1.png")
    experiment.write("figure-1", {"targets": records})


if __name__ == "__main__":
    run_command(main)
