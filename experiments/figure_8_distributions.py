"""Figure 8 of the paper: the distribution of the target's energy over real and over synthesised states.

    python -m experiments.figure_8_distributions --targets T- T+- --output docs/results/pong

Compared are held-out real states, random samples of the state model, the best training states (retrieval), the states of
Algorithm 1, and the twins of the first of these: states that the environment itself drew. The record also contains the
share of states beyond the best held-out state, among all states and, for games with object checks, among those that pass
them, and the share of states that have a twin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab import intervals
from lab.arguments import at_least, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.experiment import start_experiment
from lab.figures import save_chart
from lab.measures import HELD_OUT, passed_checks
from lab.methods import algorithm_1, random_samples, retrieval
from lab.states import held_out_outputs, stacks_of, target_named, worker_threads
from lab.twins import twin_energies

TWINS = "their twins"
"""Name of the states of the environment that stand for those of Algorithm 1."""
CHECKED = 1000
"""Held-out real states, at most, whose objects are checked."""


def draw_figure(energies: dict[str, dict[str, np.ndarray]], title: str, path: Path) -> None:
    """Draws a panel for each target with a histogram for each kind of states."""
    figure = Figure(figsize=(max(4.6 * len(energies), 8.0), 3.9), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, (target, kinds) in zip(figure.subplots(1, len(energies), squeeze=False)[0], energies.items(), strict=True):
        pooled = np.concatenate(list(kinds.values()))
        bins = np.linspace(pooled.min(), pooled.max() + 1e-9, 50)
        for name, values in kinds.items():
            axes.hist(values, bins=list(bins), histtype="step", density=True, label=f"{name} (n = {len(values):,})")
        axes.set(title=f"target {target}", xlabel="energy; lower is better", ylabel="density of states")
        axes.set_yscale("log")
    save_chart(figure, path)


def spread(energies: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """The mean with its interval, and the quartiles."""
    quartiles = [float(value) for value in np.percentile(energies, [25, 50, 75])]
    return {"mean": intervals.mean(energies, generator), "quartiles": quartiles}


def check_record(passed: np.ndarray | None) -> dict[str, Any]:
    """The share that passes the object checks, and the number of states checked; None without checks."""
    return {
        "pass the checks": None if passed is None else intervals.share(passed),
        "checked": None if passed is None else len(passed),
    }


def twins_record(energies: np.ndarray, searched: int, best: float, generator: np.random.Generator) -> dict[str, Any]:
    """Energies of the twins of ``searched`` states, ``best`` being the lowest energy of the held-out states."""
    has_twin = np.arange(searched) < len(energies)
    record: dict[str, Any] = {"count": len(energies), "have a twin": intervals.share(has_twin)}
    if len(energies):
        record |= {"best": float(energies.min()), **spread(energies, generator)}
        record["beyond the best held-out state"] = intervals.share(energies < best)
    return record


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--targets", nargs="+", default=["T-", "T+", "T+-"])
    parser.add_argument("--states", type=at_least(3), default=200, help="per method and target")
    parser.add_argument(
        "--twins", type=at_least(0), default=24, help="states of Algorithm 1, per target, whose twins are searched for"
    )
    arguments = parse_arguments(parser)
    experiment = start_experiment(arguments, arguments.extra.targets)
    session = experiment.session
    outputs = held_out_outputs(session)
    generator = np.random.default_rng(arguments.seed)
    checked = generator.permutation(session.held_out)[:CHECKED]
    real_passed = passed_checks(session, session.dataset.stacks(checked))
    all_energies: dict[str, dict[str, np.ndarray]] = {}
    record: dict[str, Any] = {}
    with worker_threads():
        for name in arguments.extra.targets:
            target = target_named(session, name)
            real = target(outputs).numpy()
            best, all_energies[target.name] = float(real.min()), {HELD_OUT: real}
            record[name] = {
                HELD_OUT: {"count": len(real), "best": best} | spread(real, generator) | check_record(real_passed)
            }
            for method in (random_samples(), retrieval(), algorithm_1(arguments)):
                result = experiment.find(method, name, arguments.extra.states)
                energies = result.target.cpu().numpy()
                all_energies[target.name][method.name] = energies
                beyond, passed = energies < best, passed_checks(session, stacks_of(session, result.state))
                record[name][method.name] = {
                    "count": len(energies),
                    "best": float(energies.min()),
                    **spread(energies, generator),
                    **check_record(passed),
                    "beyond the best held-out state": intervals.share(beyond),
                    "of those that pass the checks": None if passed is None else intervals.share_if_any(beyond[passed]),
                }
                say(f"{name}, {method.name}: {record[name][method.name]}")
            if arguments.extra.twins:
                stacks = stacks_of(session, result.state)[: arguments.extra.twins]
                energies = twin_energies(session, target, stacks, arguments.seed)
                record[name][TWINS] = twins_record(energies, len(stacks), best, generator)
                if len(energies):
                    all_energies[target.name][TWINS] = energies
                say(f"{name}, {TWINS}: {record[name][TWINS]}")
        draw_figure(all_energies, experiment.agent_name, arguments.output / "figure-8.png")
        experiment.write("figure-8", {"targets": record})


if __name__ == "__main__":
    run_command(main)
