"""Figure 3, section 4.6 of the paper: activation maximisation in pixels and Algorithm 1, for the same agent and target.

    python -m experiments.figure_3_activation_maximisation --target T+ --output docs/results/pong

The first four states of each method, not selected: pixels without a regulariser, with total variation, blurred images,
blurred updates, Sobolev gradients, and random transformations; through an untrained network (the deep image prior); latents
of the state model with a denoiser as prior; then Algorithm 1 and the best real states. Next to the images are the distance
to the closest training state, the agent's output, and the distance to real states in the agent's features. Held-out real
states are the reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lab.arguments import at_least, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.experiment import Experiment, start_experiment
from lab.figures import save_figure
from lab.measures import HELD_OUT, measure_real, measure_result, reference_stats
from lab.methods import SearchResult, activation_maximisation, algorithm_1, denoising_prior, retrieval
from lab.states import state_images, target_named, worker_threads

STATES_PER_METHOD = 4
"""States per method that are drawn."""


def draw_figure(
    experiment: Experiment,
    rows: list[tuple[str, SearchResult, dict[str, Any]]],
    real: dict[str, Any],
    target: str,
    path: Path,
) -> None:
    """Draws a row for each method: the newest frames of its first states, and the measures of all its states."""
    figure = Figure(figsize=(1.5 * STATES_PER_METHOD + 4.2, 1.55 * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), STATES_PER_METHOD + 1, squeeze=False, width_ratios=[1] * STATES_PER_METHOD + [2])
    for line, (name, result, measures) in zip(grid, rows, strict=True):
        for axes, pixels in zip(line, state_images(experiment.session, result.state[:STATES_PER_METHOD]), strict=False):
            axes.imshow(pixels, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        text = (
            f"{name}\n\ntarget: {_interval(measures['target_sd'])} sd beyond the mean\n"
            f"mse to the closest training state: {_interval(measures['closest_mse'])}\n"
            f"distance in features: {_interval(measures['feature_distance'])}"
        )
        line[STATES_PER_METHOD].text(0.0, 0.5, text, va="center", fontsize=8)
        line[STATES_PER_METHOD].axis("off")
    title = (
        f"{experiment.agent_name}, target {target}: the first {STATES_PER_METHOD} of {real['states']} states, means of all\n"
        f"held-out real states: mse {_interval(real['closest_mse'])}, "
        f"distance in features {_interval(real['feature_distance'])}"
    )
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def _interval(values: list[float]) -> str:
    mean, low, high = (f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in values)
    return f"{mean} ({low} to {high})"


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--target", default="T+")
    parser.add_argument("--states", type=at_least(3), default=16, help="per method")
    parser.add_argument("--pixel-steps", type=at_least(1), default=300, help="of activation maximisation")
    arguments = parse_arguments(parser)
    extra = arguments.extra
    experiment = start_experiment(arguments, [extra.target])
    target = target_named(experiment.session, extra.target)
    reference = reference_stats(experiment.session, extra.states)
    methods = [*activation_maximisation(extra.pixel_steps), denoising_prior(), algorithm_1(arguments), retrieval()]
    rows = []
    with worker_threads():
        for method in methods:
            result = experiment.find(method, extra.target, extra.states)
            measures, _ = measure_result(result, target, reference)
            rows.append((method.name, result, measures))
            say(f"{method.name}: {measures}")
        real = measure_real(reference)
        draw_figure(experiment, rows, real, target.name, arguments.output / "figure-3.png")
        record = {name: measures for name, _, measures in rows}
        experiment.write("figure-3", {"target": target.name, "methods": record, HELD_OUT: real})


if __name__ == "__main__":
    run_command(main)
