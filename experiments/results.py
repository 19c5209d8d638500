"""Writes ``docs/results.md`` from what the experiments have left: the paper's tables and figures beside ours.

    python -m experiments.results --results docs/results --page docs/results.md

``--results`` holds a folder for each agent, named as its reader should call it, with the JSON and PNG files that the
experiments write into ``--output``.  What is not there is not in the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from weakspot.cli import exit_code
from weakspot.errors import ConfigError
from weakspot.files import write_text
from weakspot.progress import say

DEVIATIONS = (
    "The paper trains a state model for four hours on a Titan Xp; ours have the processor time that each result tells.",
    "Where nothing else is said, the state model is the recipe `fast`, and three searches for each state start at the best "
    "of many samples and gain nothing beyond the best real state; the better third of them is kept "
    "([docs/state_model.md](state_model.md)). The paper's are `--recipe paper --start prior --enough never --searches 1`.",
    "The agents are others than the paper's: the double DQN of Pong that ships with this package, and the ACKTR agents of a "
    "public repository, as in sections 4.3 and 4.4.",
    "One action in a hundred is at random when scores are measured: without, a greedy agent plays the same few games again "
    "and again. Games are scored after 6,000 decisions if they have not ended.",
    "Figures 1 and 4 and section 4.4 start their searches at the best of 1,024 samples, all else at the best of 4,096, or "
    "of as many as the command says.",
    "Activation maximisation descends without end, and random search keeps what is lowest, while Algorithm 1 gains nothing "
    "beyond the best real state: of energies alone the first two have more to show.",
    "The scores that the paper prints for Q*bert and Atlantis are in other units than the games' own.",
    "The paper's row of table 2 is of its driving simulator. It speaks of a relative difference of more than 25 %; ours is "
    "of a quarter of a colour's whole range.",
)

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


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown; a tuple of three numbers is a mean and its interval."""
    columns = list(head)
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [_cell(value) for _, value in zip(columns, row, strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        mean, low, high = (_cell(part) for part in value)
        return f"{mean} ({low} to {high})" if low else mean
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{round(value, 9):.3g}"
    return str(value)


def made_by(told: Told) -> str:
    """The commands, each with what it was measured on."""
    lines = []
    for agent, record in told.items():
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        settings = record["settings"]
        lines.append(
            f"- {agent}: `{record['command']}` ({settings['frames']:,} states, {settings['budget_cpu_minutes']:g} processor "
            f"minutes, seed {settings['seed']}; {versions})"
        )
    return "\n".join(lines)


def pictures(results: Path, told: Told, name: str, what: str) -> str:
    """The pictures of that name, one for each agent that has one."""
    there = [agent for agent in told if (results / agent / f"{name}.png").exists()]
    return "\n\n".join(f"![{agent}: {what}]({results.name}/{agent}/{name}.png)" for agent in there)


def figure_1(results: Path) -> str:
    told = read(results, "figure-1")
    rows = [
        (agent, target, line["seconds"], line["share of held-out states left behind"])
        for agent, record in told.items()
        for target, line in record["targets"].items()
    ]
    head = ("agent", "target", "seconds for four states", "held-out real states that the target ranks behind them")
    return _section(told, pictures(results, told, "figure-1", "synthesised states"), table(head, rows))


def figure_2(results: Path) -> str:
    told = read(results, "figure-2")
    rows = [
        (agent, name, line["share of the weights"], line["share of the picture"], line["times a uniform map"])
        for agent, record in told.items()
        for name, line in record["objects"].items()
    ]
    head = ("agent", "object", "share of the weights on it", "share of the picture", "times a uniform map (95 % interval)")
    return _section(told, pictures(results, told, "figure-2", "weights of the loss"), table(head, rows))


def figure_3(results: Path) -> str:
    return _methods(results, read(results, "figure-3"), "figure-3", lambda record: {record["target"]: record["methods"]})


def baselines(results: Path) -> str:
    return _methods(results, read(results, "baselines"), "baselines", lambda record: record["targets"])


def _methods(results: Path, told: Told, name: str, targets: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    rows = [
        (
            agent,
            target,
            method,
            line["target_sd"],
            line["beyond_the_best_held_out"],
            line["closest_mse"],
            line["differing_pixels"],
            line["feature_distance_over_floor"],
            line["vendi"],
            line.get("valid"),
        )
        for agent, record in told.items()
        for target, methods in targets(record).items()
        for method, line in methods.items()
    ]
    head = (
        *(
            "agent",
            "target",
            "method",
            "target, standard deviations beyond the mean",
            "share beyond the best held-out state",
        ),
        *("mse to the closest training state", "pixels that differ from it", "feature distance over its floor"),
        *("Vendi score", "pass the object checks"),
    )
    return _section(told, pictures(results, told, name, "methods"), table(head, rows))


def figure_4(results: Path) -> str:
    told = read(results, "figure-4")
    return _section(told, pictures(results, told, "figure-4", "critical states"))


def section_4_4(results: Path) -> str:
    told = read(results, "section-4-4")
    rows = [
        (
            agent,
            record["lives lost"]["out of oxygen"],
            record["lives lost"]["otherwise"],
            record["lives lost"]["share out of oxygen"],
            record["lives lost"]["that took in oxygen again"],
            record["synthesised states with little oxygen"],
        )
        for agent, record in told.items()
    ]
    head = (
        "agent",
        "lives lost for want of oxygen",
        "otherwise",
        "share for want of oxygen (95 % interval)",
        "share of the lives that took in oxygen again",
        "synthesised states with less than a quarter of the bar",
    )
    shown = [
        pictures(results, told, name, what)
        for name, what in (
            ("section-4-4", "states that call for each action"),
            ("section-4-4-lives", "oxygen of every life of the rollouts"),
        )
    ]
    return _section(told, *shown, table(head, rows))


def table_1(results: Path) -> str:
    told = read(results, "table-1")
    names = ("agent", "VAE", "L_p only", "full", "fast")
    rows: list[tuple[object, ...]] = []
    for agent, record in told.items():
        if record["paper"]:
            rows.append((f"{agent}, paper's agent", *(record["paper"].get(name) for name in names)))
        columns = record["columns"]
        ours: list[object] = [(c["mean"], c["low"], c["high"]) if (c := columns.get(name)) else None for name in names]
        rows.append((f"{agent}, here", *ours))
    return _section(told, table(("", *names), rows))


def table_2(results: Path) -> str:
    told = read(results, "table-2")
    rows: list[tuple[object, ...]] = []
    for agent, record in told.items():
        lines = record["table 2"]
        if not rows:
            rows.append(("paper", *lines["paper"].values()))
        rows += [(f"{agent}, {kind}", *lines[kind].values()) for kind in ("synthesised", "held-out real states")]
    head = ("share that differs from its closest training state in more than", "10 %", "20 %", "30 %", "50 %", "70 %")
    every = [
        (agent, target, line["closest_mse"], line["feature_distance_over_floor"], line.get("valid"))
        for agent, record in told.items()
        for target, line in record["targets"].items()
    ]
    second = ("agent", "target", "mse to the closest training state", "feature distance over its floor", "pass the checks")
    shown = [pictures(results, told, name, what) for name, what in (("figure-7", "figure 7"), ("table-2", "closest states"))]
    return _section(told, table(head, rows), table(second, every), *shown)


def figure_8(results: Path) -> str:
    told = read(results, "figure-8")
    rows = [
        (
            agent,
            target,
            kind,
            line["mean"],
            line.get("beyond the best held-out state"),
            line.get("of those that pass the checks"),
        )
        for agent, record in told.items()
        for target, kinds in record["targets"].items()
        for kind, line in kinds.items()
    ]
    head = (
        "agent",
        "target",
        "states",
        "mean energy",
        "share beyond the best held-out state",
        "of those that pass the checks",
    )
    return _section(told, pictures(results, told, "figure-8", "distributions of the target"), table(head, rows))


SECTIONS: tuple[tuple[str, str, Callable[[Path], str]], ...] = (
    ("Figure 1: synthesised states", "The first four of each search, none chosen.", figure_1),
    ("Figure 2: where the loss looks", "Random held-out frames, and the weights of equation 2 over them.", figure_2),
    ("Table 1: the agent's score through the state model", "Means over the same episodes, with 95 % intervals.", table_1),
    (
        "Figure 3, section 4.6: activation maximisation",
        "The same agent and target, without a state model and with it.",
        figure_3,
    ),
    ("What else a user could do", "All methods for the same targets, agents and state models.", baselines),
    ("Figure 4, section 4.3: critical states of the ACKTR agent", "", figure_4),
    ("Section 4.4: reading the states that call for each action", "", section_4_4),
    (
        "Table 2, figure 7, section 4.8: novelty",
        "A pixel differs when a colour is off by more than 25 % of its range. Pictures: synthesised states, under each the "
        "closest training state, and the training state with the closest value of the target.",
        table_2,
    ),
    ("Figure 8: distributions of the target", "Smaller energies are wanted more.", figure_8),
)


def _section(told: Told, *parts: str) -> str:
    if not told:
        return ""
    return "\n\n".join([part for part in parts if part] + ["Made by", made_by(told)])


def page(results: Path) -> str:
    """The whole page."""
    parts = [
        "# Results",
        "The tables and figures of *Finding and Visualizing Weaknesses of Deep Reinforcement Learning Agents* (Rupprecht, "
        "Ibrahim, Pal; ICLR 2020), repeated with this package. `python -m experiments.results` writes this page from the "
        f"files in `{results.name}/`; `FOLDER` in its commands is where the agents lie.",
        "What differs from the paper:\n\n" + "\n".join(f"{n}. {text}" for n, text in enumerate(DEVIATIONS, 1)),
    ]
    for title, said, section in SECTIONS:
        content = section(results)
        if content:
            parts.append("\n\n".join(part for part in (f"## {title}", said, content) if part))
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
