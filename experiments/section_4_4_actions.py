"""Section 4.4 of the paper: states in which each action of Seaquest is preferred, their oxygen, and what the agent dies of.

    python -m experiments.section_4_4_actions --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors \
        --output docs/results/seaquest

For each action, 64 synthesised states, and the share of them that show little oxygen, which is read off the bar in the
frame. The paper has no base rate: the same share of all real states and of random samples of the state model says how often
such a state comes up by chance. For the recorded states: the oxygen where the agent takes each action, and where it goes up
or does not; the oxygen over each life, and how many lives were lost because it ran out, also of lives without the random
actions of the collection.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab import intervals
from lab.arguments import at_least, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.enrichment import enrichment
from lab.experiment import Experiment, start_experiment
from lab.figures import save_chart, save_figure
from lab.methods import algorithm_1
from lab.objects import check_game
from lab.pipeline import experiment_config, open_session
from lab.samples import random_states
from lab.seaquest import LOW_OXYGEN, Life, oxygen_level, recorded_lives
from lab.states import stacks_of, worker_threads
from weakspot import StateDataset

STATES_PER_ACTION, ACTIONS_PER_ROW = 4, 3
"""States of an action that are drawn, and actions per row of the figure."""
SAMPLES = 512
"""Random samples of the state model."""
MEASURED = 2000
"""Real states, at most, whose oxygen is measured, of each kind."""


def draw_gallery(actions: dict[str, np.ndarray], title: str, path: Path) -> None:
    """Draws four newest frames for each action, with their oxygen below, red if there is little."""
    rows = -(-len(actions) // ACTIONS_PER_ROW)
    figure = Figure(figsize=(1.25 * STATES_PER_ACTION * ACTIONS_PER_ROW, 1.75 * rows + 0.9), layout="constrained")
    parts = figure.subfigures(rows, ACTIONS_PER_ROW, squeeze=False).flatten()
    for part, (name, frames) in zip(parts, actions.items(), strict=False):
        part.suptitle(name, fontsize=9)
        for axes, frame, level in zip(part.subplots(1, STATES_PER_ACTION), frames, oxygen_level(frames), strict=True):
            axes.imshow(frame, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(
                f"oxygen {level:.0%}", fontsize=7, labelpad=2, color="firebrick" if level < LOW_OXYGEN else "black"
            )
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def lives_record(lost: list[Life]) -> dict[str, Any]:
    """How many lives were lost because the oxygen ran out, among all lives, and among those that lasted as long as the
    shortest of them: in shorter lives the tank could not become empty."""
    suffocated = [len(life.oxygen) for life in lost if life.out_of_oxygen]
    lasted = [life for life in lost if suffocated and len(life.oxygen) >= min(suffocated)]
    return {
        "out of oxygen": len(suffocated),
        "otherwise": len(lost) - len(suffocated),
        "share out of oxygen": intervals.share_if_any([life.out_of_oxygen for life in lost]),
        "that took in oxygen again": intervals.share_if_any([life.breaths > 0 for life in lost]),
        "decisions of the shortest out of oxygen": min(suffocated, default=None),
        "as long as that": len(lasted),
        "share of these out of oxygen": intervals.share_if_any([life.out_of_oxygen for life in lasted]),
        "each": [{"decisions": len(life.oxygen), "out of oxygen": life.out_of_oxygen} for life in lost],
    }


def draw_lives(lost: list[Life], title: str, path: Path) -> None:
    """Draws the oxygen of each life over its decisions: it rises again each time the submarine surfaces."""
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = figure.subplots()
    for suffocated, colour, label in (
        (True, "firebrick", "lost for lack of oxygen"),
        (False, "steelblue", "lost otherwise"),
    ):
        curves = [life.oxygen for life in lost if life.out_of_oxygen == suffocated]
        for levels in curves:
            axes.plot(levels, color=colour, alpha=0.35, linewidth=0.8)
        ends, last = [len(levels) - 1 for levels in curves], [levels[-1] for levels in curves]
        axes.scatter(ends, last, color=colour, s=10, zorder=3, label=f"{label}: {len(curves)}")
    axes.set(title=title, xlabel="decisions since the life began", ylabel="oxygen in the tank", ylim=(-0.03, 1.03))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    save_chart(figure, path)


def goes_up(action: str) -> bool:
    """Whether an action moves the submarine up, alone or combined with other moves."""
    return action.startswith("UP")


def real_oxygen(dataset: StateDataset, states: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """The number of real states, and the mean oxygen of a random choice of them; None if there are too few."""
    chosen = generator.permutation(states)[:MEASURED]
    mean = intervals.mean(oxygen_level(dataset.newest(chosen)), generator) if len(chosen) > 1 else None
    return {"states": len(states), "seen": len(chosen), "oxygen": mean}


def examine_actions(
    experiment: Experiment, states: np.ndarray, generator: np.random.Generator
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The record of each action, and the newest frames of its states (n, h, w, 3), in the order of the searches."""
    session, method = experiment.session, algorithm_1(experiment.arguments)
    taken = session.dataset.action[states]
    record: dict[str, Any] = {}
    frames_of: dict[str, np.ndarray] = {}
    for number, name in enumerate(session.subject.agent.spec.action_names):
        found = experiment.find(method, name, experiment.arguments.extra.states)
        frames_of[name] = stacks_of(session, found.state)[:, -1]
        levels = oxygen_level(frames_of[name])
        record[name] = {
            "up": goes_up(name),
            "synthesised oxygen": [round(float(level), 3) for level in levels],
            "synthesised with little oxygen": intervals.share(levels < LOW_OXYGEN),
            "preferred": int((found.output.scores.argmax(dim=1) == number).sum()),
            "real": real_oxygen(session.dataset, states[taken == number], generator),
        }
        say(f"{name}: {record[name]}")
    return record, frames_of


def without_random_actions(experiment: Experiment) -> StateDataset:
    """A collection of the agent without random actions."""
    config = experiment_config(experiment.arguments)
    config = replace(config, collect=replace(config.collect, epsilon=0.0))
    return open_session(config, ("subject", "collect")).dataset


def chance_of_any(base: float, states: int) -> float:
    """The probability that at least one of ``states`` states shows what a share ``base`` of all states shows."""
    return 1.0 - (1.0 - base) ** states


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--states", type=at_least(STATES_PER_ACTION), default=64, help="synthesised states of each action")
    arguments = parse_arguments(parser)
    experiment = start_experiment(arguments, check=lambda subject: check_game(subject, "Seaquest", "section 4.4"))
    session, dataset, output = experiment.session, experiment.session.dataset, arguments.output
    generator = np.random.default_rng(arguments.seed)
    states = np.concatenate([session.trained_on, session.held_out])
    with worker_threads():
        actions, frames = examine_actions(experiment, states, generator)
        up = np.array([goes_up(name) for name in session.subject.agent.spec.action_names])[dataset.action[states]]
        lost, lost_alone = recorded_lives(dataset), recorded_lives(without_random_actions(experiment))
        synthesised = {name: oxygen_level(found) < LOW_OXYGEN for name, found in frames.items()}
        samples = oxygen_level(stacks_of(session, random_states(session, SAMPLES))[:, -1]) < LOW_OXYGEN
        real = oxygen_level(dataset.newest(generator.permutation(states)[:MEASURED])) < LOW_OXYGEN
        every = np.concatenate(list(synthesised.values()))
        not_up = np.concatenate([flags for name, flags in synthesised.items() if not goes_up(name)])
        shown_low = sum(bool(flags[:STATES_PER_ACTION].any()) for flags in synthesised.values())
        title = (
            f"{experiment.agent_name}: states in which each action is preferred; red: less than {LOW_OXYGEN:.0%} of the bar"
        )
        if lost:
            suffocated = sum(life.out_of_oxygen for life in lost)
            title += f"\n{suffocated} of the {len(lost)} lives lost in the recorded episodes ended for lack of oxygen"
            draw_lives(lost, f"{experiment.agent_name}: all recorded lives", output / "section-4-4-lives.png")
        drawn = {
            name: found[:STATES_PER_ACTION][oxygen_level(found[:STATES_PER_ACTION]).argsort()]
            for name, found in frames.items()
        }
        draw_gallery(drawn, title, output / "section-4-4.png")
        result = {
            "actions": actions,
            "little oxygen": LOW_OXYGEN,
            "real where it goes up": real_oxygen(dataset, states[up], generator),
            "real where it does not": real_oxygen(dataset, states[~up], generator),
            "lives lost": lives_record(lost),
            "lives lost without random actions": lives_record(lost_alone),
            "states with little oxygen": enrichment(every, samples, real),
            "states with little oxygen, actions that do not go up": enrichment(not_up, samples, real),
            "actions with little oxygen in one of four states": {
                "synthesised": shown_low,
                "expected by chance": round(len(frames) * chance_of_any(float(real.mean()), STATES_PER_ACTION), 1),
            },
        }
        experiment.write("section-4-4", result)


if __name__ == "__main__":
    run_command(main)
