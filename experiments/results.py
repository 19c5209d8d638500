"""Writes ``docs/results.md`` from what the experiments have left: the paper's tables and figures beside ours.

    python -m experiments.results --results docs/results --page docs/results.md

``--results`` holds a folder for each agent, named as its reader should call it, with the JSON and PNG files that the
experiments write into ``--output``.  What is not there is not in the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.page import cell, table
from weakspot.errors import ConfigError
from weakspot.system.files import write_text
from weakspot.system.process import exit_code
from weakspot.system.progress import say

DEVIATIONS = {
    "frames": "The paper trains a state model on 10,000 states of its agent; ours on as many as each section tells.",
    "budget": "The paper trains a state model for 2,000 epochs, four hours on a Titan Xp; ours have the processor minutes "
    "that each section tells, all cores together.",
    "recipe": "Where nothing else is said, the state model is the recipe `fast`, and three searches for each state start at "
    "the best of many samples and gain nothing beyond the best real state; the better third of them is kept "
    "([docs/state_model.md](state_model.md)). The paper's are `--recipe paper --start prior --enough never --searches 1`.",
    "candidates": "Figures 1 and 4 and section 4.4 start their searches at the best of 1,024 samples, all else at the best "
    "of 4,096.",
    "agents": "The agents are others than the paper's, and the games are those that there are agents of: see the table "
    "below. The agents whose files begin with `acktr` are of a public repository, as that of section 4.3 is; they answer "
    "log-probabilities and a value, where the paper's double DQNs answer Q-values.",
    "figure 2": "The paper shows the weights of a DQN agent as masks, without numbers. Ours are drawn on a linear scale, as "
    "multiples of a uniform map, with the lightest half percent beyond the end of the bar.",
    "scores": "One action in a hundred is at random when scores are measured: without, a greedy agent plays the same few "
    "games again and again. Games are scored after 6,000 decisions if they have not ended, or after as many as the command "
    "says.",
    "units": "The scores that the paper prints for Q\\*bert and Atlantis are in other units than the games' own.",
    "energies": "Activation maximisation descends without end, and random search keeps what is lowest, while Algorithm 1 "
    "gains nothing beyond the best real state: of energies alone the first two have more to show.",
    "highlights": "HIGHLIGHTS gives single states here, where Amir and Amir (2018) give short trajectories around them.",
    "table 2": "The paper's line of table 2 is of its driving simulator. It speaks of a relative difference of more than 25 "
    "%; ours is of a quarter of a colour's whole range.",
    "figure 7": "The paper's figure 7 is one state of Seaquest under T±; ours are the first of each search, of the agents "
    "and under the targets that the pictures name.",
    "figure 8": "The paper's figure 8 is of Boxing; ours are of the agents that the table names.",
}
"""What differs from the paper, by names that the sections refer to; the page numbers them."""
NUMBERS = {name: number for number, name in enumerate(DEVIATIONS, 1)}

HELD_OUT = "held-out real states"
METHODS = {
    "target_sd": "target, standard deviations beyond the mean of real states",
    "beyond_the_best_held_out": "share beyond the best held-out state",
    "closest_mse": "mse to the closest training state",
    "differing_pixels": "share of pixels that differ from it",
    "feature_distance": "distance from real states in features",
    "feature_distance_over_floor": "the same over its floor",
    "vendi": "Vendi score",
    "valid": "share that passes the object checks",
}
"""What is measured of each method's states, and what the page calls it."""

Told = dict[str, dict[str, Any]]
"""By the name of the agent, what one experiment found."""


def read(results: Path, name: str) -> Told:
    """What ``name``.json says in each agent's folder.

    Raises:
        ConfigError: one of them is no JSON.
    """
    told = {}
    for path in sorted(results.glob(f"*/{name}.json")):
        try:
            told[path.parent.name] = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"{path} cannot be read: {error}", expected="what an experiment wrote", todo="run it again"
            ) from error
    return told


def made_by(told: Told) -> str:
    """The commands, each with what it was measured on and how long that took."""
    lines = []
    for agent, record in told.items():
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        settings = record["settings"]
        lines.append(
            f"- {agent}: `{record['command']}` ({settings['frames']:,} states, {settings['budget_cpu_minutes']:g} processor "
            f"minutes for each state model, seed {settings['seed']}; {record['seconds']:,.0f} s by the clock the last time, "
            f"for what no command before had trained or found; {versions})"
        )
    return "\n".join(lines)


def pictures(results: Path, told: Told, name: str, what: str) -> str:
    """The pictures of that name, one for each agent that has one."""
    there = [agent for agent in told if (results / agent / f"{name}.png").exists()]
    return "\n\n".join(f"![{agent}: {what}]({results.name}/{agent}/{name}.png)" for agent in there)


def figure_1(results: Path) -> str:
    return _states(results, "figure-1", "synthesised states")


def figure_4(results: Path) -> str:
    return _states(results, "figure-4", "critical states")


def _states(results: Path, name: str, what: str) -> str:
    told = read(results, name)
    rows = [
        (agent, target, line["states"], *sorted(line["energies"])[:: len(line["energies"]) - 1], *_real(line))
        for agent, record in told.items()
        for target, line in record["targets"].items()
    ]
    head = ("agent", "target", "n", "their lowest energy", "their highest energy")
    head += ("held-out real states, n", "their mean energy", "their lowest energy")
    return _section(told, pictures(results, told, name, what), table(head, rows))


def _real(line: dict[str, Any]) -> tuple[object, ...]:
    real = line[HELD_OUT]
    return real["count"], real["mean"], real["best"]


def figure_2(results: Path) -> str:
    told = read(results, "figure-2")
    rows = [
        (
            *(agent, name, line["frames"]),
            *(line["share of the weights"], line["share of the picture"], line["times a uniform map"]),
        )
        for agent, record in told.items()
        for name, line in record["objects"].items()
    ]
    head = ("agent", "object", "n, frames that show one", "share of the weights on it", "share of the picture")
    return _section(
        told, pictures(results, told, "figure-2", "weights of the loss"), table((*head, "ratio of the two"), rows)
    )


def figure_3(results: Path) -> str:
    told = read(results, "figure-3")
    shown = pictures(results, told, "figure-3", "activation maximisation and Algorithm 1")
    return _section(told, shown, _methods(told, lambda record: {record["target"]: record["methods"]}))


def baselines(results: Path) -> str:
    told = read(results, "baselines")
    rows = [
        (agent, target, method, line["states"], line["passes"]["model"], line["passes"]["agent"], line["seconds"])
        for agent, record in told.items()
        for target, methods in record["targets"].items()
        for method, line in methods.items()
    ]
    head = ("agent", "target", "method", "n", "passes through the state model", "passes through the agent", "seconds")
    cost = (
        "What finding all n states cost, once; a backward pass counts as two forward ones. Random search is given the "
        "passes through the state model that Algorithm 1 had."
    )
    shown = pictures(results, told, "baselines", "methods")
    return _section(told, shown, _methods(told, lambda record: record["targets"]), cost if told else "", table(head, rows))


def _methods(told: Told, targets: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    """What is measured of the states of each method, and of held-out real ones, whatever the target."""
    rows: list[tuple[object, ...]] = []
    for agent, record in told.items():
        for target, methods in targets(record).items():
            rows += [
                (agent, target, method, line["states"], *(line[name] for name in METHODS))
                for method, line in methods.items()
            ]
        real = record[HELD_OUT]
        rows.append((agent, "any", HELD_OUT, real["states"], *(real.get(name) for name in METHODS)))
    return table(("agent", "target", "method", "n", *METHODS.values()), rows)


def section_4_4(results: Path) -> str:
    told = read(results, "section-4-4")
    rows = []
    for agent, record in told.items():
        lost, up, other = record["lives lost"], record["real where it goes up"], record["real where it does not"]
        rows.append(
            (
                *(agent, lost["out of oxygen"] + lost["otherwise"], lost["out of oxygen"]),
                *(lost["share out of oxygen"], lost["that took in oxygen again"]),
                *(up["seen"], up["oxygen"], other["seen"], other["oxygen"]),
            )
        )
    head = ("agent", "n, lives lost", "for want of oxygen", "share of them", "share of the lives that took in oxygen again")
    head += ("n, real states where the agent goes up", "mean oxygen there")
    head += ("n, real states where it does not", "mean oxygen there")
    every = [
        (
            agent,
            action,
            len(line["synthesised oxygen"]),
            *line["synthesised oxygen"],
            line["preferred"],
            line["real"]["seen"],
            line["real"]["oxygen"],
        )
        for agent, record in told.items()
        for action, line in record["actions"].items()
    ]
    second = ("agent", "action", "n", "oxygen of the four states that call for it, least first", "", "", "")
    second += ("of these the agent takes it in", "n, real states where it is taken", "mean oxygen there")
    return _section(
        told,
        pictures(results, told, "section-4-4-lives", "oxygen of every life of the rollouts"),
        table(head, rows),
        "\n".join(f"- {_little_oxygen(agent, record)}" for agent, record in told.items()),
        pictures(results, told, "section-4-4", "states that call for each action"),
        table(second, every),
    )


def _little_oxygen(agent: str, record: dict[str, Any]) -> str:
    """Of how many actions a state shows little oxygen, and how many of these do not take the submarine up."""
    actions, bar = record["actions"], record["little oxygen"]
    little = [name for name, line in actions.items() if min(line["synthesised oxygen"]) < bar]
    below = [name for name in little if not actions[name]["up"]]
    others = sum(not line["up"] for line in actions.values())
    share = cell(record["synthesised states with little oxygen"])
    count = sum(len(line["synthesised oxygen"]) for line in actions.values())
    named = f": {', '.join(below)}" if below else ""
    return (
        f"{agent}: for {len(little)} of its {len(actions)} actions at least one of the four states shows less than "
        f"{bar:.0%} of the bar; of the {others} actions that do not take the submarine up, for {len(below)}{named}. Of all "
        f"{count} states the share is {share}."
    )


def table_1(results: Path) -> str:
    told = read(results, "table-1")
    names = ("agent", "VAE", "L_p only", "full", "fast")
    rows: list[tuple[object, ...]] = []
    for agent, record in told.items():
        if record["paper"]:
            rows.append((f"{agent}, paper's agent", 20, *(record["paper"].get(name) for name in names)))
        columns = record["columns"]
        ours = [_ends(columns[name]) if name in columns else None for name in names]
        less = [_ends(columns[name]["difference"]) if name in columns else None for name in names[1:]]
        count = len(columns["agent"]["scores"])
        rows += [(f"{agent}, here", count, *ours), (f"{agent}, here, less the agent's own", count, None, *less)]
    return _section(told, pictures(results, told, "table-1", "scores"), table(("", "n, episodes", *names), rows))


def _ends(line: dict[str, Any]) -> tuple[object, ...]:
    return line["mean"], line["low"], line["high"]


def table_2(results: Path) -> str:
    told = read(results, "table-2")
    rows: list[tuple[object, ...]] = []
    for agent, record in told.items():
        if not rows:
            rows.append(("paper", None, record["paper"]["mean"], *record["paper"]["shares"].values()))
        rows += [
            (f"{agent}, {kind}", line["states"], line["mean"], *line["shares"].values())
            for kind, line in record["table 2"].items()
        ]
    head = ("", "n", "mean share of pixels that differ", *(f"states that differ in > {p} %" for p in (10, 20, 30, 50, 70)))
    return _section(
        told,
        table(head, rows),
        pictures(results, told, "table-2", "table 2 as a histogram"),
        _methods(told, lambda record: record["targets"]),
        pictures(results, told, "figure-7", "figure 7"),
    )


def figure_8(results: Path) -> str:
    told = read(results, "figure-8")
    names = ("count", "mean", "best", "beyond the best held-out state", "checked")
    names += ("pass the checks", "of those that pass the checks")
    rows = [
        (agent, target, kind, *(line.get(name) for name in names))
        for agent, record in told.items()
        for target, kinds in record["targets"].items()
        for kind, line in kinds.items()
    ]
    head = ("agent", "target", "states", "n", "mean energy", "lowest energy", "share beyond the best held-out state")
    head += ("n of the object checks", "share that passes them", "of those, share beyond the best held-out state")
    return _section(told, pictures(results, told, "figure-8", "distributions of the target"), table(head, rows))


def performance(results: Path) -> str:
    path = results / "neighbours.json"
    rows: list[tuple[object, ...]] = []
    if path.exists():
        line = json.loads(path.read_text())
        what = f"the closest of {line['among']:,} training states for each of {line['states']:,} (`benchmarks.neighbours`)"
        memory = f"{line['megabytes']:,}, {line['megabytes_more']:,} of it for the search"
        rows.append((what, 1, line["seconds"], 60, memory, 2000))
    rows += [
        (f"four states of {agent} for {target}", 1, line["seconds"], 20, None, None)
        for agent, record in read(results, "figure-1").items()
        for target, line in record["targets"].items()
    ]
    head = ("what", "n, runs", "seconds", "asked for, at most", "megabytes at most", "asked for, at most")
    return table(head, rows) if rows else ""


COMMON = ("frames", "budget", "recipe", "agents")
"""What differs in all that is made with a state model."""
SECTIONS: tuple[tuple[str, str, tuple[str, ...], Callable[[Path], str]], ...] = (
    (
        "Figure 1: synthesised states",
        "The first four of each search, none chosen.",
        (*COMMON, "candidates"),
        figure_1,
    ),
    (
        "Figure 2: where the loss looks",
        "Random held-out frames, and the weights of equation 2 over them.",
        ("frames", "agents", "figure 2"),
        figure_2,
    ),
    (
        "Table 1: the agent's score through the state model",
        "Mean scores over the same episodes. VAE, L_p only and full are the paper's losses; fast is our own recipe.",
        ("frames", "budget", "agents", "scores", "units"),
        table_1,
    ),
    (
        "Figure 3, section 4.6: activation maximisation",
        "The same agent and target, without a state model and with it.",
        (*COMMON, "energies"),
        figure_3,
    ),
    (
        "What else a user could do",
        "All methods for the same targets, agents and state models.",
        ("frames", "budget", "recipe", "agents", "energies", "highlights"),
        baselines,
    ),
    ("Figure 4, section 4.3: critical states of the ACKTR agent", "", (*COMMON, "candidates"), figure_4),
    (
        "Section 4.4: reading the states that call for each action",
        "The paper finds states with little oxygen for all actions, though up is the only sensible one in them, and "
        "suffocation to be the major cause of death. Oxygen of states is read off the picture's bar; in the gallery it is "
        "red where less than a quarter of the bar is left.",
        (*COMMON, "candidates"),
        section_4_4,
    ),
    (
        "Table 2, figure 7, section 4.8: novelty",
        "A pixel differs when a colour is off by more than 25 % of its range. Figure 7 is the pictures: synthesised states, "
        "under each the closest training state, and the training state with the closest value of the target.",
        (*COMMON, "table 2", "figure 7"),
        table_2,
    ),
    (
        "Figure 8: distributions of the target",
        "Smaller energies are wanted more. In the paper some synthesised states are beyond all of the validation set, under "
        "each of T-, T+ and T±.",
        (*COMMON, "figure 8"),
        figure_8,
    ),
    ("Performance", "", (), performance),
)


def _section(told: Told, *parts: str) -> str:
    if not told:
        return ""
    return "\n\n".join([part for part in parts if part] + ["Made by", made_by(told)])


def agents(results: Path) -> str:
    """What each folder's name stands for."""
    rows = []
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        records = [json.loads(path.read_text())["settings"] for path in sorted(folder.glob("*.json"))]
        rows += sorted({(folder.name, settings["agent"], settings["environment"]) for settings in records})
    return table(("agent", "its file", "its game"), rows)


def page(results: Path) -> str:
    """The whole page."""
    contents = [section(results) for *_, section in SECTIONS]
    parts = [
        "# Results",
        "The tables and figures of *Finding and Visualizing Weaknesses of Deep Reinforcement Learning Agents* (Rupprecht, "
        "Ibrahim, Pal; ICLR 2020), repeated with this package. `python -m experiments.results` writes this page from the "
        f"files in `{results.name}/`; `FOLDER` in its commands is where the agents lie. Two experiments at a time want a "
        "core each, `taskset -c 0 python -m ...` and `taskset -c 1 ...`: threads that share both cores wait for each other, "
        "and both experiments take several times as long.",
        "What differs from the paper:\n\n" + "\n".join(f"{NUMBERS[name]}. {text}" for name, text in DEVIATIONS.items()),
        agents(results),
        "n is how many states, or episodes, or frames a number is of. Intervals, in brackets, are of 95 %: of means by the "
        "bootstrap, of shares Wilson's, of all else by the jackknife. They are over the states of one search with one state "
        "model. Distances in features are Frechet's, in the agent's last hidden layer; their floor is the distance between "
        "two halves of as many held-out real states, and is what the line of those says. A dash stands where there is "
        "nothing to tell: only Pong has object checks.",
    ]
    for (title, said, differs, _), content in zip(SECTIONS, contents, strict=True):
        if content:
            numbers = ", ".join(str(number) for number in sorted(NUMBERS[name] for name in differs))
            about = " ".join(part for part in (said, f"What differs from the paper: {numbers}." if numbers else "") if part)
            parts.append("\n\n".join(part for part in (f"## {title}", about, content) if part))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"))
    told = parser.parse_args()
    if not told.results.is_dir():
        raise ConfigError(
            f"there is no folder {told.results}", expected="what the experiments wrote", todo="run one of them"
        )
    write_text(told.page, page(told.results))
    say(f"{told.page} is written")


if __name__ == "__main__":
    sys.exit(exit_code(main))
