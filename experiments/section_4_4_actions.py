"""Section 4.4 of the paper: states that call for each action of Seaquest, the oxygen they show, and what the agent dies of.

    python -m experiments.section_4_4_actions --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors \
        --output docs/results/seaquest

The first four states of each action's search, those with least oxygen first, with the oxygen that each shows, read off the
picture.  Beside them, of the rollouts: how much oxygen there is where the agent takes each action, and where it goes up or
does not; the oxygen of every life from its beginning to its end, and how many of them were lost without any.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab import prepared
from lab.figures import save, write_figure
from lab.found_cache import searches
from weakspot.analysis.objects.seaquest_oxygen import Life, lives, oxygen
from weakspot.data.dataset import StateDataset, as_stacks
from weakspot.errors import ConfigError
from weakspot.games import is_game
from weakspot.intervals import bootstrap_mean, wilson
from weakspot.subject import Subject
from weakspot.system.process import exit_code
from weakspot.system.progress import say
from weakspot.types import Frames

SHOWN, ACROSS = 4, 3
"""States of an action, and actions in a row."""
LITTLE = 0.25
"""Of the bar; below it a submarine has to surface."""
SEEN = 2000
"""Real states, at most, that oxygen is read off where the agent goes up, and as many where it does not."""


def gallery(actions: dict[str, Frames], title: str, path: Path) -> None:
    """All actions, four newest frames each, with the oxygen under each, red where there is little."""
    down = -(-len(actions) // ACROSS)
    figure = Figure(figsize=(1.25 * SHOWN * ACROSS, 1.75 * down + 0.9), layout="constrained")
    parts = figure.subfigures(down, ACROSS, squeeze=False).flatten()
    for part, (name, frames) in zip(parts, actions.items(), strict=False):
        part.suptitle(name, fontsize=9)
        for axes, frame, level in zip(part.subplots(1, SHOWN), frames, oxygen(frames), strict=True):
            axes.imshow(frame, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(f"oxygen {level:.0%}", fontsize=7, labelpad=2, color="firebrick" if level < LITTLE else "black")
    figure.suptitle(title, fontsize=10)
    write_figure(figure, path)


def of_lives(lost: list[Life]) -> dict[str, Any]:
    """What lives were lost of, and how many of those were that lasted as long as the shortest that was lost for want of
    oxygen: the others ended before the tank could be empty."""
    suffocated = [len(life.oxygen) for life in lost if life.out_of_oxygen]
    lasted = [life for life in lost if suffocated and len(life.oxygen) >= min(suffocated)]
    return {
        "out of oxygen": len(suffocated),
        "otherwise": len(lost) - len(suffocated),
        "share out of oxygen": wilson(len(suffocated), len(lost)) if lost else None,
        "that took in oxygen again": wilson(sum(life.breaths > 0 for life in lost), len(lost)) if lost else None,
        "decisions of the shortest out of oxygen": min(suffocated, default=None),
        "as long as that": len(lasted),
        "share of these out of oxygen": wilson(len(suffocated), len(lasted)) if lasted else None,
        "each": [{"decisions": len(life.oxygen), "out of oxygen": life.out_of_oxygen} for life in lost],
    }


def lines_of_lives(lost: list[Life], title: str, path: Path) -> None:
    """The oxygen of every life over its decisions: a submarine that surfaces has a saw, one that never does a slope."""
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = figure.subplots()
    for suffocated, colour, how in ((True, "firebrick", "lost for want of oxygen"), (False, "steelblue", "lost otherwise")):
        those = [life.oxygen for life in lost if life.out_of_oxygen == suffocated]
        for levels in those:
            axes.plot(levels, color=colour, alpha=0.35, linewidth=0.8)
        ends, last = [len(levels) - 1 for levels in those], [levels[-1] for levels in those]
        axes.scatter(ends, last, color=colour, s=10, zorder=3, label=f"{how}: {len(those)}")
    axes.set(title=title, xlabel="decisions since the life began", ylabel="oxygen in the tank", ylim=(-0.03, 1.03))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    save(figure, path)


def is_up(action: str) -> bool:
    """Whether an action takes the submarine up, whatever else it does."""
    return action.startswith("UP")


def real_oxygen(dataset: StateDataset, states: np.ndarray, generator: np.random.Generator) -> dict[str, Any]:
    """How many real states there are, and the mean oxygen of some of them; None where there are too few for an interval."""
    some = generator.permutation(states)[:SEEN]
    mean = bootstrap_mean(oxygen(dataset.newest(some)), generator) if len(some) > 1 else None
    return {"states": len(states), "seen": len(some), "oxygen": mean}


def refuse(one: Subject) -> None:
    """Raises :class:`ConfigError` for agents of another game."""
    if not is_game(one.spec.id, "Seaquest"):
        raise ConfigError(f"section 4.4 with an agent of {one.spec.id}", expected="an agent of Seaquest")


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.set_defaults(candidates=prepared.CANDIDATES_OF_FOUR)
    given = prepared.read(arguments)
    there = prepared.prepare(given, refuse=refuse)
    one, dataset = there.subject, there.dataset
    sources = there.sources(there.model(given))
    method = given.algorithm
    generator = np.random.default_rng(given.seed)
    whole = np.concatenate([there.trained, there.held])
    taken = dataset.action[whole]
    made: dict[str, Frames] = {}
    told: dict[str, Any] = {}
    with prepared.on_all_cores(), searches("section-4-4", given, there, sources) as find:
        for position, name in enumerate(one.agent.spec.action_names):
            found = find(method, name, SHOWN)
            frames = as_stacks(found.state.cpu())[:, -1]
            made[name] = frames[oxygen(frames).argsort()]
            told[name] = {
                "up": is_up(name),
                "synthesised oxygen": [round(float(level), 3) for level in oxygen(made[name])],
                "preferred": int((found.output.scores.argmax(dim=1) == position).sum()),
                "real": real_oxygen(dataset, whole[taken == position], generator),
            }
            say(f"{name}: {told[name]}")
        up = np.array([is_up(name) for name in one.agent.spec.action_names])[taken]
        order = np.lexsort((dataset.time, dataset.stream))
        lost = lives(dataset.ram[order], dataset.life_lost[order], dataset.stream[order])
        suffocated = sum(life.out_of_oxygen for life in lost)
        every = oxygen(np.concatenate(list(made.values())))
        who = one.agent.spec.name
        title = f"{who}: states that call for each action; red: less than {LITTLE:.0%} of the bar"
        if lost:
            title += f"\n{suffocated} of the {len(lost)} lives lost in its rollouts ended for want of oxygen"
            lines_of_lives(lost, f"{who}: every life of its rollouts", given.output / "section-4-4-lives.png")
        gallery(made, title, given.output / "section-4-4.png")
        result = {
            "actions": told,
            "little oxygen": LITTLE,
            "real where it goes up": real_oxygen(dataset, whole[up], generator),
            "real where it does not": real_oxygen(dataset, whole[~up], generator),
            "lives lost": of_lives(lost),
            "synthesised states with little oxygen": wilson(int((every < LITTLE).sum()), len(every)),
        }
        prepared.write("section-4-4", given, there, result)


if __name__ == "__main__":
    sys.exit(exit_code(main))
