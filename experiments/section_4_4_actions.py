"""Section 4.4 of the paper: states in which each action of Seaquest is preferred, their oxygen, and what the agent dies of.

    python -m experiments.section_4_4_actions --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors \
        --output docs/results/seaquest

For each action, the first four states of its search, sorted by oxygen, which is read off the bar in the frame. For the
recorded states: the oxygen where the agent takes each action, and where it goes up or does not; the oxygen over each life,
and how many lives were lost because it ran out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab import intervals
from lab.arguments import CANDIDATES_OF_FOUR, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.experiment import Experiment, start_experiment
from lab.figures import save_chart, save_figure
from lab.methods import algorithm_1
from lab.objects import check_game
from lab.seaquest import Life, oxygen_level, recorded_lives
from lab.states import stacks_of, worker_threads
from weakspot import StateDataset

STATES_PER_ACTION, ACTIONS_PER_ROW = 4, 3
"""States per action, and actions per row of the figure."""
LOW_OXYGEN = 0.25
"""Share of the bar below which a submarine has to surface."""
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
    """The record of each action, and the newest frames of its states (4, h, w, 3), least oxygen first."""
    session, method = experiment.session, algorithm_1(experiment.arguments)
    taken = session.dataset.action[states]
    record: dict[str, Any] = {}
    frames_of: dict[str, np.ndarray] = {}
    for number, name in enumerate(session.subject.agent.spec.action_names):
        result = experiment.find(method, name, STATES_PER_ACTION)
        frames = stacks_of(session, result.state)[:, -1]
        frames_of[name] = frames[oxygen_level(frames).argsort()]
        record[name] = {
            "up": goes_up(name),
            "synthesised oxygen": [round(float(level), 3) for level in oxygen_level(frames_of[name])],
            "preferred": int((result.output.scores.argmax(dim=1) == number).sum()),
            "real": real_oxygen(session.dataset, states[taken == number], generator),
        }
        say(f"{name}: {record[name]}")
    return record, frames_of


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.set_defaults(candidates=CANDIDATES_OF_FOUR)
    arguments = parse_arguments(parser)
    experiment = start_experiment(arguments, check=lambda subject: check_game(subject, "Seaquest", "section 4.4"))
    session, dataset, output = experiment.session, experiment.session.dataset, arguments.output
    generator = np.random.default_rng(arguments.seed)
    states = np.concatenate([session.trained_on, session.held_out])
    with worker_threads():
        actions, frames = examine_actions(experiment, states, generator)
        up = np.array([goes_up(name) for name in session.subject.agent.spec.action_names])[dataset.action[states]]
        lost = recorded_lives(dataset)
        synthesised = oxygen_level(np.concatenate(list(frames.values())))
        title = (
            f"{experiment.agent_name}: states in which each action is preferred; red: less than {LOW_OXYGEN:.0%} of the bar"
        )
        if lost:
            suffocated = sum(life.out_of_oxygen for life in lost)
            title += f"\n{suffocated} of the {len(lost)} lives lost in the recorded episodes ended for lack of oxygen"
            draw_lives(lost, f"{experiment.agent_name}: all recorded lives", output / "section-4-4-lives.png")
        draw_gallery(frames, title, output / "section-4-4.png")
        result = {
            "actions": actions,
            "little oxygen": LOW_OXYGEN,
            "real where it goes up": real_oxygen(dataset, states[up], generator),
            "real where it does not": real_oxygen(dataset, states[~up], generator),
            "lives lost": lives_record(lost),
            "synthesised states with little oxygen": intervals.share(synthesised < LOW_OXYGEN),
        }
        experiment.write("section-4-4", result)


if __name__ == "__main__":
    run_command(main)
