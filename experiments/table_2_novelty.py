"""Table 2 and figure 7, section 4.8 of the paper: how far synthesised states are from the states the model was trained on.

    python -m experiments.table_2_novelty --states 1000 --output docs/results/pong

For each synthesised state, the closest training state in mean squared error over the whole training set, and the share of
pixels that differ from it; see :mod:`lab.novelty` for the ways in which the paper can be read. Random samples of the state
model and held-out real states are compared as well: "we sample states" may mean either of the first two, and the real ones
are the reference. Figure 7 also shows the training state closest in the target's value. Novelty alone says little, since a
blurred state is novel too: reconstructions of held-out states show how much the blur adds. The record contains the share
that passes the object checks, if the game has any, and the distance to real states in the agent's features; the same for
the best real states and for held-out ones.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab.arguments import at_least, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.experiment import Experiment, start_experiment
from lab.figures import save_chart, save_labelled
from lab.measures import HELD_OUT, ReferenceStats, measure_real, measure_result, reference_stats
from lab.methods import algorithm_1, random_samples, retrieval
from lab.novelty import ALL_FRAMES, BY_RANGE, PAPER, PAPER_MEAN, Differences, differences
from lab.states import (
    default_target_names,
    newest_images,
    real_states,
    reconstructed,
    stacks_of,
    state_images,
    target_named,
    worker_threads,
)

RECONSTRUCTED = "reconstructions of held-out real states"
"""Compared with the held-out states themselves, they show what blur alone adds to the differences."""
STATES_DRAWN = 8
"""States per target in figure 7."""


def draw_histogram(kinds: dict[str, np.ndarray], title: str, path: Path) -> None:
    """Draws histograms of the share of pixels that differ from the closest training state."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots()
    bins = np.linspace(0, max(float(np.concatenate(list(kinds.values())).max()), 1e-3), 41)
    for name, differing in kinds.items():
        weights = np.full(len(differing), 100 / len(differing))
        label = f"{name} (n = {len(differing):,})"
        axes.hist(100 * differing, bins=list(100 * bins), histtype="step", weights=weights, label=label)
    axes.set(xlabel="percent of pixels that differ from the closest training state", ylabel="percent of states")
    save_chart(figure, path)


Rows = list[tuple[str, np.ndarray]]
"""Labelled images."""


def compare_target(
    experiment: Experiment, name: str, count: int, reference: ReferenceStats
) -> tuple[dict[str, Any], np.ndarray, Rows]:
    """The measures of Algorithm 1 and of retrieval for a target, the synthesised stacks, and the rows of figure 7."""
    session, method = experiment.session, algorithm_1(experiment.arguments)
    target, trained_on = target_named(session, name), session.trained_on
    result = experiment.find(method, name, count)
    measures, nearest = measure_result(result, target, reference)
    retrieved, _ = measure_result(experiment.find(retrieval(), name, count), target, reference)
    values = target(session.recorded_outputs(trained_on)).numpy()
    similar = trained_on[np.abs(values[None] - result.target.cpu().numpy()[:STATES_DRAWN, None]).argmin(axis=1)]
    rows: Rows = [
        (f"{target.name}\nsynthesised", state_images(session, result.state[:STATES_DRAWN])),
        ("closest\ntraining state", newest_images(session, nearest.stacks[:STATES_DRAWN])),
        (f"training state\nclosest in {target.name}", newest_images(session, session.dataset.stacks(similar))),
    ]
    return {method.name: measures, retrieval().name: retrieved}, stacks_of(session, result.state), rows


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--targets", nargs="+", help="default: the agent's default targets")
    parser.add_argument("--states", type=at_least(3), default=1000, help="synthesised states, all targets together")
    arguments = parse_arguments(parser)
    experiment = start_experiment(arguments, arguments.extra.targets)
    session = experiment.session
    names = list(arguments.extra.targets or default_target_names(session))
    count = -(-arguments.extra.states // len(names))
    reference, record, synthesised = reference_stats(session, count), {}, []
    rows: Rows = []
    with worker_threads():
        for name in names:
            record[name], stacks, rows_of_target = compare_target(experiment, name, count, reference)
            synthesised.append(stacks)
            rows += rows_of_target
            say(f"{name}: {record[name]}")
        total = len(names) * count
        samples = experiment.find(random_samples(), names[0], total).state
        chosen = np.random.default_rng(arguments.seed).permutation(session.held_out)[:total]
        rebuilt = reconstructed(session, real_states(session, chosen).to(session.model.device))
        kinds: dict[str, Differences] = {
            "synthesised": differences(session, np.concatenate(synthesised)),
            random_samples().name: differences(session, stacks_of(session, samples)),
        }
        kinds[RECONSTRUCTED] = differences(session, stacks_of(session, rebuilt))
        started = time.monotonic()
        kinds[HELD_OUT] = differences(session, session.dataset.stacks(chosen))
        seconds = time.monotonic() - started
        generator = np.random.default_rng(arguments.seed)
        result: dict[str, Any] = {
            "targets": record,
            HELD_OUT: measure_real(reference),
            "paper": {"mean": PAPER_MEAN, "shares": {str(percent): share for percent, share in PAPER.items()}},
            "table 2": {kind: found.record(generator) for kind, found in kinds.items()},
            "nearest neighbours": {
                "of": len(chosen), "among": len(session.trained_on), "seconds": round(seconds, 1)
            },
        }  # fmt: skip
        drawn = {kind: found.shares[ALL_FRAMES, BY_RANGE] for kind, found in kinds.items()}
        draw_histogram(drawn, experiment.agent_name, arguments.output / "table-2.png")
        title = f"{experiment.agent_name}: the newest frame of the first {STATES_DRAWN} states"
        save_labelled(rows, arguments.output / "figure-7.png", title)
        experiment.write("table-2", result)


if __name__ == "__main__":
    run_command(main)
