"""Writes ``docs/results.md`` from the files of the experiments: the paper's tables and figures next to ours.

    python -m experiments.results --results docs/results --page docs/results.md

``--results`` contains one folder for each agent, named as the page should call it, with the JSON and PNG files that the
experiments wrote to ``--output``.  Sections without files are left out of the page.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lab import intervals
from lab.command import run_command, say
from lab.novelty import PERCENTAGES
from lab.page import table
from lab.records import read_record, save_text
from weakspot.errors import ConfigError

DEVIATIONS = {
    "frames": "The paper trains a state model on 10,000 states of its agent. The number of states here is given at the end "
    "of each section.",
    "budget": "The paper trains a state model for 2,000 epochs, four hours on a Titan Xp. The CPU minutes used here, summed "
    "over all cores, are given at the end of each section.",
    "recipe": "Unless a section says otherwise, the state model is the recipe `fast`. Three searches run for each state; "
    "they start at the best of many samples, are not rewarded for going beyond the best real state, and the best third of "
    "them is kept ([the state model](state_model.md)). The paper's settings are `--recipe paper` and, in a run, "
    "`--synthesize.preset paper`.",
    "candidates": "Figure 1 starts its searches at the best of 1,024 samples, all others at the best of 4,096.",
    "agents": "The agents differ from the paper's, and so do some of the games: see the table below. The agents whose files "
    "begin with `acktr` come from a public repository, like that of section 4.3; they output log-probabilities and a value, "
    "whereas the paper's double DQNs output Q-values.",
    "figure 2": "The paper shows the weights for a DQN agent as masks, without numbers. Ours are drawn on a linear scale, "
    "as multiples of a uniform map; the lightest half percent is beyond the end of the scale.",
    "scores": "One action in a hundred is random when scores are measured; otherwise a greedy agent plays the same few "
    "games again and again. Games that have not ended are cut after 6,000 decisions, or after the number given in the "
    "command.",
    "units": "The scores that the paper prints for Q\\*bert and Atlantis are in units other than the games' own, "
    "probably in clipped rewards: 64 x 25 points of Q\\*bert are 1,600.",
    "energies": "Activation maximisation minimises without a bound and random search keeps the lowest energies, whereas "
    "Algorithm 1 is not rewarded for going beyond the best real state. Judged by energy alone, the first two look better.",
    "highlights": "HIGHLIGHTS returns single states here; Amir and Amir (2018) show short trajectories around them.",
    "table 2": "The paper's row of table 2 is for its driving simulator, with the seven values of the arXiv text. The paper "
    "counts pixels with a relative difference of more than 25 % in one colour; relative to what it does not say. Ours of "
    "the town is of the agent that sees classes, 64x64, and of V-, V+ and BRAKE, with a state model of five processor "
    "minutes. It is blurred, and blur alone makes nearly all of the difference there, by the range: reconstructions of "
    "held-out real states, which are not new, differ in .39 of their pixels from the closest training state, random samples "
    "in .40, synthesised states in .43, the held-out states themselves in .09.",
    "figure 7": "The paper's figure 7 is one state of Seaquest under T±. Ours are the first states of each search, for the "
    "agents and targets that the pictures name.",
    "figure 8": "The paper's figure 8 is of Boxing, probably for a double DQN. Ours of Boxing is for a double DQN of ours, "
    "with a state model of five processor minutes; the others are of the agents that the table names.",
}
"""How we differ from the paper, by names that the sections refer to; the page numbers them."""
NUMBERS = {name: number for number, name in enumerate(DEVIATIONS, 1)}

HELD_OUT = "held-out real states"
METHODS = {
    "target_sd": "target, standard deviations beyond the mean of real states",
    "beyond_the_best_held_out": "share beyond the best held-out state",
    "closest_mse": "MSE to the closest training state",
    "differing_pixels": "share of pixels that differ from it",
    "feature_distance": "feature distance to real states",
    "feature_distance_over_floor": "feature distance / floor",
    "vendi": "Vendi score",
    "valid": "share that passes the object checks",
}
"""The measures of each method's states, with their column headings."""

Records = dict[str, dict[str, Any]]
"""The results of one experiment, by the name of the agent."""


def read(results: Path, name: str) -> Records:
    """Reads ``name``.json in each agent's folder.

    Raises:
        ConfigError: a file is not valid JSON.
    """
    return {path.parent.name: read_record(path) for path in sorted(results.glob(f"*/{name}.json"))}


def made_by(records: Records) -> str:
    """The commands, each with its settings, the time it took and the versions of the packages."""
    lines = []
    for agent, record in records.items():
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        settings = record["settings"]
        budget = settings.get("minutes", settings["budget_cpu_minutes"])
        lines.append(
            f"- {agent}: `{record['command']}` ({settings['frames']:,} states, {budget:g} CPU "
            f"minutes per state model, seed {settings['seed']}; the last run took {record['seconds']:,.0f} s, not counting "
            f"results that an earlier command had already made; {versions})"
        )
    return "\n".join(lines)


def figures(results: Path, records: Records, name: str, caption: str) -> str:
    """The figures called ``name``, one for each agent that has one."""
    agents_with_figure = [agent for agent in records if (results / agent / f"{name}.png").exists()]
    return "\n\n".join(f"![{agent}: {caption}]({results.name}/{agent}/{name}.png)" for agent in agents_with_figure)


def figure_1(results: Path) -> str:
    records = read(results, "figure-1")
    rows = [
        (agent, target, line["states"], *sorted(line["energies"])[:: len(line["energies"]) - 1], *_real(line))
        for agent, record in records.items()
        for target, line in record["targets"].items()
    ]
    head = ("agent", "target", "n", "lowest energy", "highest energy")
    head += ("held-out real states, n", "their mean energy", "their lowest energy")
    return _section(records, figures(results, records, "figure-1", "synthesised states"), table(head, rows))


def figure_4(results: Path) -> str:
    records = read(results, "figure-4")
    rows = [
        (agent, sign, *_chance(line), line["best real states"])
        for agent, record in records.items()
        for sign, line in record["shown"].items()
    ]
    head = ("agent", "what a state shows", *CHANCE, "best real states")
    apart = [
        (agent, kind, line["frames"], line["distance"])
        for agent, record in records.items()
        for kind, line in record["distance to the closest enemy"].items()
    ]
    second = ("agent", "states", "n, with player and enemy", "mean distance in pixels")
    images = figures(results, records, "figure-4", "critical states")
    return _section(records, images, table(head, rows), table(second, apart))


CHANCE = ("n", "synthesised states", "random samples", "real states", "synthesised / real", "synthesised / random samples")
"""The columns of :func:`_chance`."""


def _chance(line: dict[str, Any]) -> tuple[object, ...]:
    """How often synthesised states show something, beside what chance gives; see :func:`lab.enrichment.enrichment`."""
    shares = (line["synthesised"], line["random samples"], line["real"])
    return line["states"]["synthesised"], *shares, line["over real"], line["over random samples"]


def ball_places(results: Path) -> str:
    records = read(results, "ball-places")
    rows = [
        (agent, target, place, *_chance(line), line["best real states"])
        for agent, record in records.items()
        for target, places in record["targets"].items()
        for place, line in places.items()
    ]
    same = "\n".join(
        f"- {agent}: in {record[f'{HELD_OUT} with the place of the memory'][0]:.2f} of the held-out real states, the place "
        "read off the picture is that of the emulator's memory."
        for agent, record in records.items()
    )
    images = figures(results, records, "ball-places", "where the ball is")
    return _section(records, images, table(("agent", "target", "the ball", *CHANCE, "best real states"), rows), same)


def _real(line: dict[str, Any]) -> tuple[object, ...]:
    real = line[HELD_OUT]
    return real["count"], real["mean"], real["best"]


def figure_2(results: Path) -> str:
    records = read(results, "figure-2")
    rows = [
        (
            *(agent, name, line["frames"]),
            *(line["share of the weights"], line["share of the picture"], line["times a uniform map"]),
        )
        for agent, record in records.items()
        for name, line in record["objects"].items()
    ]
    head = ("agent", "object", "n, frames that show it", "share of the weights", "share of the picture")
    return _section(
        records, figures(results, records, "figure-2", "weights of the loss"), table((*head, "ratio of the two"), rows)
    )


def figure_3(results: Path) -> str:
    records = read(results, "figure-3")
    images = figures(results, records, "figure-3", "activation maximisation and Algorithm 1")
    return _section(records, images, _methods(records, lambda record: {record["target"]: record["methods"]}))


def baselines(results: Path) -> str:
    records = read(results, "baselines")
    rows = [
        (agent, target, method, line["states"], line["passes"]["model"], line["passes"]["agent"], line["seconds"])
        for agent, record in records.items()
        for target, methods in record["targets"].items()
        for method, line in methods.items()
    ]
    head = ("agent", "target", "method", "n", "passes through the state model", "passes through the agent", "seconds")
    cost = (
        "The cost of finding all n states, from one run; a backward pass counts as two forward passes. Random search gets "
        "as many passes through the state model as Algorithm 1 used."
    )
    images = figures(results, records, "baselines", "methods")
    return _section(
        records, images, _methods(records, lambda record: record["targets"]), cost if records else "", table(head, rows)
    )


def _methods(records: Records, targets: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    """The measures of each method's states, and of held-out real states for comparison."""
    rows: list[tuple[object, ...]] = []
    for agent, record in records.items():
        for target, methods in targets(record).items():
            rows += [
                (agent, target, method, line["states"], *(line[name] for name in METHODS))
                for method, line in methods.items()
            ]
        real = record[HELD_OUT]
        rows.append((agent, "any", HELD_OUT, real["states"], *(real.get(name) for name in METHODS)))
    return table(("agent", "target", "method", "n", *METHODS.values()), rows)


def section_4_4(results: Path) -> str:
    records = read(results, "section-4-4")
    rows = []
    for agent, record in records.items():
        lost, up, other = record["lives lost"], record["real where it goes up"], record["real where it does not"]
        rows.append(
            (
                *(agent, lost["out of oxygen"] + lost["otherwise"], lost["out of oxygen"]),
                *(lost["share out of oxygen"], lost["that took in oxygen again"]),
                *(up["seen"], up["oxygen"], other["seen"], other["oxygen"]),
            )
        )
    head = ("agent", "n, lives lost", "from lack of oxygen", "share of these", "share of lives that refilled their oxygen")
    head += ("n, real states in which the agent goes up", "mean oxygen")
    head += ("n, real states in which it does not", "mean oxygen")
    alone = [
        (agent, line["out of oxygen"] + line["otherwise"], line["out of oxygen"], line["share out of oxygen"])
        for agent, record in records.items()
        for line in [record["lives lost without random actions"]]
    ]
    every = [
        (agent, action, len(line["synthesised oxygen"]), line["synthesised with little oxygen"], line["preferred"],
         line["real"]["seen"], line["real"]["oxygen"])
        for agent, record in records.items()
        for action, line in record["actions"].items()
    ]  # fmt: skip
    second = ("agent", "action", "n, synthesised states", "share with little oxygen", "states in which the agent takes it")
    second += ("n, real states in which it is taken", "mean oxygen")
    chance = [
        (agent, which, *_chance(row))
        for agent, record in records.items()
        for which, row in (
            ("all actions", record["states with little oxygen"]),
            ("actions that do not go up", record["states with little oxygen, actions that do not go up"]),
        )
    ]
    third = ("agent", "states synthesised for", *CHANCE)
    return _section(
        records,
        figures(results, records, "section-4-4-lives", "oxygen over every life of the rollouts"),
        table(head, rows),
        "Lives without the random actions of the collection:" if alone else "",
        table(("agent", "n, lives lost", "from lack of oxygen", "share of these"), alone),
        "The share of synthesised states that show little oxygen, beside what chance gives:" if chance else "",
        table(third, chance),
        "\n".join(f"- {_little_oxygen(agent, record)}" for agent, record in records.items()),
        figures(results, records, "section-4-4", "states synthesised for each action"),
        table(second, every),
    )


def _little_oxygen(agent: str, record: dict[str, Any]) -> str:
    """For how many actions one of four states shows little oxygen, for how many chance would do that, and what follows."""
    counted = record["actions with little oxygen in one of four states"]
    _, low, high = record["states with little oxygen"]["over real"]
    if low > 1:
        follows = "They are more frequent among the synthesised states than among real ones, as the paper says."
    else:
        follows = (
            f"They are {'rarer' if high < 1 else 'no more frequent'} among the synthesised states than among real ones: "
            "**this does not support the paper's inference, although the agent has the flaw**."
        )
    return (
        f"{agent}: of the {len(record['actions'])} actions, {counted['synthesised']} have a state with less than "
        f"{record['little oxygen']:.0%} of the bar among the first four; real states chosen at random would give "
        f"{counted['expected by chance']}. {follows}"
    )


LOSSES = ("VAE", "L_p only", "full")
"""The columns of table 1."""
OF_FAST = ", network of fast"
"""Ends the names of the recorded columns with these losses on the network of ``fast``."""


def table_1(results: Path) -> str:
    records = read(results, "table-1")
    rows: list[tuple[object, ...]] = []
    for agent, record in records.items():
        columns, count = record["columns"], len(record["columns"]["agent"]["scores"])
        if record["paper"]:
            rows.append((f"{agent}, paper", 20, *(record["paper"].get(name) for name in ("agent", *LOSSES)), None))
        for ending, network in (("", "the paper's network"), (OF_FAST, "the network of `fast`")):
            names = [f"{loss}{ending}" for loss in LOSSES]
            if not {*names, *(["fast"] if ending else [])} & set(columns):
                continue
            found = [columns.get(name) for name in ("agent", *names)] + [columns.get("fast") if ending else None]
            what = f"{agent}, {network}"
            rows.append((what, count, *(intervals.ends_of(column) if column else None for column in found)))
            compared = [intervals.ends_of(column["difference"]) if column else None for column in found[1:]]
            rows.append((f"{what}, minus the agent's own", count, None, *compared))
            if all("signs" in column for column in found if column):
                rows.append((f"{what}, signs of rewards", count, *(_mean(c["signs"]) if c else None for c in found)))
    head = ("", "n, episodes", "agent", *LOSSES, "recipe `fast`")
    return _section(records, figures(results, records, "table-1", "scores"), table(head, rows))


def _mean(values: list[float]) -> intervals.IntervalOf:
    return intervals.mean(values, np.random.default_rng(0))


def table_2(results: Path) -> str:
    records = read(results, "table-2")
    rows: list[tuple[object, ...]] = []
    for agent, record in records.items():
        if not rows:
            rows.append(("paper", None, record["paper"]["mean"], *record["paper"]["shares"].values()))
        rows += [
            (f"{agent}, {kind}, {part}, {reading}", line["states"], line["mean"], *line["shares"].values())
            for kind, parts in record["table 2"].items()
            for part, readings in parts.items()
            for reading, line in readings.items()
        ]
    head = ("", "n", "mean share of pixels that differ", *(f"states that differ in > {p} %" for p in PERCENTAGES))
    return _section(
        records,
        table(head, rows),
        figures(results, records, "table-2", "table 2 as a histogram"),
        _methods(records, lambda record: record["targets"]),
        figures(results, records, "figure-7", "figure 7"),
    )


def figure_8(results: Path) -> str:
    records = read(results, "figure-8")
    names = ("count", "mean", "best", "beyond the best held-out state", "checked")
    names += ("pass the checks", "of those that pass the checks", "have a twin")
    rows = [
        (agent, target, kind, *(line.get(name) for name in names))
        for agent, record in records.items()
        for target, kinds in record["targets"].items()
        for kind, line in kinds.items()
    ]
    head = ("agent", "target", "states", "n", "mean energy", "lowest energy", "share beyond the best held-out state")
    head += ("n, object checks", "share that passes them", "of these, share beyond the best held-out state", "have a twin")
    return _section(records, figures(results, records, "figure-8", "distributions of the target"), table(head, rows))


def loss_scale(results: Path) -> str:
    """One row per state model and number of steps, and one per search."""
    cells = {
        folder.parent.name: [read_record(path) for path in sorted(folder.glob("*.json"))]
        for folder in sorted(results.glob("*/loss-scale"))
    }
    rows, searches = [], []
    for agent, records in cells.items():
        for record in sorted(records, key=lambda record: (record["settings"]["loss"], record["settings"]["scale"])):
            loss, scale = record["settings"]["loss"], record["settings"]["scale"]
            rows += [
                (agent, loss, f"{scale:,.12g}", line["steps"], round(line["cpu_seconds"] / 60, 1), line["kl"],
                 int(line["active_units"]), 1e4 * line["mse"], line["agreement"], line.get("ball_recall"),
                 line["samples"].get("valid"), intervals.ends_of(line["goggles"]))
                for line in record["measures"]
            ]  # fmt: skip
            searches += [
                (agent, loss, f"{scale:,.12g}", label, line["states"], line["target_sd"],
                 line["beyond_the_best_held_out"], line["valid"], line["closest_mse"], line["converged"],
                 line["steps"]["mean"])
                for label, line in record["searches"].items()
            ]  # fmt: skip
    if not rows:
        return ""
    head = ("agent", "loss", "scale", "steps", "processor minutes", "KL, nats", "latent dimensions in use", "MSE x 1e4")
    head += ("same action", "ball recall", "samples that pass the object checks", "score on reconstructions")
    second = ("agent", "loss", "scale", "Algorithm 1", "n", "target, standard deviations beyond the mean of real states")
    second += ("share beyond the best held-out state", "share that passes the object checks")
    second += ("MSE to the closest training state", "converged", "mean steps")
    pictures = [
        f"![{agent}: {path.stem}]({results.name}/{agent}/loss-scale/{path.name})"
        for agent in cells
        for path in sorted((results / agent / "loss-scale").glob("*.png"))
    ]
    commands = "\n".join(f"- {agent}: `{records[0]['command']}`" for agent, records in cells.items())
    return "\n\n".join([table(head, rows), table(second, searches), *pictures, commands])


def equal_time(results: Path) -> str:
    records = read(results, "equal-time")
    rows = [
        (agent, name, measure, line["fast"], line["seconds of fast"] / 60,
         f"not within {line['seconds of paper'] / 60:.3g}" if line["lower bound"] else line["seconds of paper"] / 60,
         f"at least {line['factor']:g}" if line["lower bound"] else line["factor"])
        for agent, record in records.items()
        for name, found in record["factors"].items()
        for measure, line in found.items()
    ]  # fmt: skip
    scores = [
        (agent, name, line["steps"], len(line["goggles"]["goggles"]["scores"]), intervals.ends_of(line["goggles"]["agent"]),
         intervals.ends_of(line["goggles"]["goggles"]))
        for agent, record in records.items()
        for name, line in record["trainings"].items()
    ]  # fmt: skip
    head = ("agent", "training", "measure", "value at its end", "its minutes", "minutes of the paper's recipe", "factor")
    second = ("agent", "training", "steps", "n, episodes", "the agent's score", "its score on reconstructions")
    images = figures(results, records, "equal-time", "measures over the time of training")
    return _section(records, images, table(head, rows), table(second, scores))


def performance(results: Path) -> str:
    path = results / "neighbours.json"
    rows: list[tuple[object, ...]] = []
    if path.exists():
        line = read_record(path)
        task = f"closest of {line['among']:,} training states for each of {line['states']:,} (`benchmarks.neighbours`)"
        memory = f"{line['megabytes']:,}, {line['megabytes_more']:,} of it for the search"
        rows.append((task, 1, line["seconds"], 60, memory, 2000))
    rows += [
        (f"four states of {agent} for {target}", 1, line["seconds"], 20, None, None)
        for agent, record in read(results, "figure-1").items()
        for target, line in record["targets"].items()
    ]
    head = ("task", "n, runs", "seconds", "limit", "peak megabytes", "limit")
    return table(head, rows) if rows else ""


COMMON = ("frames", "budget", "recipe", "agents")
"""Differences that apply to everything made with a state model."""
SECTIONS: tuple[tuple[str, str, tuple[str, ...], Callable[[Path], str]], ...] = (
    (
        "Figure 1: synthesised states",
        "The four states kept of the twelve searches for each target; none of these is left out. The agent of Seaquest is a "
        "policy: V+ and V- are its critic's, S+ and S- of the action values that follow from critic and policy "
        "([targets](targets.md#action-values-of-a-policy)), and T± asks where it is decided.",
        (*COMMON, "candidates"),
        figure_1,
    ),
    (
        "Figure 2: where the loss looks",
        "Random held-out frames with the weights of equation 2.",
        ("frames", "agents", "figure 2"),
        figure_2,
    ),
    (
        "Table 1: the agent's score through the state model",
        "Mean scores over the same episodes. The paper's three losses are compared on the network of `fast`, which learns "
        "enough within minutes, on the same states and for the same time: equal weights, the agent's saliency as weights, "
        "and with the perception loss as well. The recipe `fast` also weights what moves. What the paper's own network "
        "learns in minutes is shown with [the scale of the loss](#the-scale-of-the-loss). Of Atlantis only `fast` is shown: "
        "the losses were measured there with a collapsed code, and these columns are taken back.",
        ("frames", "budget", "agents", "scores", "units"),
        table_1,
    ),
    (
        "Figure 3, section 4.6: activation maximisation",
        "The same agent and target, with and without a state model.",
        (*COMMON, "energies"),
        figure_3,
    ),
    (
        "Alternatives to Algorithm 1",
        "All methods with the same targets, agents and state models.",
        ("frames", "budget", "recipe", "agents", "energies", "highlights"),
        baselines,
    ),
    (
        "Figure 4, section 4.3: critical states of the ACKTR agent",
        "T± of a policy asks where it is decided. The paper's examples are states with little oxygen and states close to "
        "enemies. Both are read off the newest frame: less than a quarter of the bar, and less than 15 pixels between the "
        "centres of the player and an enemy. Faint enemies of synthesised frames may be missed, also in random samples.",
        COMMON,
        figure_4,
    ),
    (
        "Section 4.4: states synthesised for each action",
        "The paper reports states with little oxygen for all actions, although going up is the only sensible action in "
        "them, and suffocation as the major cause of death. We read the oxygen of a state off the bar in the picture; the "
        "gallery marks it red if less than a quarter of the bar is left.",
        COMMON,
        section_4_4,
    ),
    (
        "Table 2, figure 7, section 4.8: novelty",
        "A pixel differs if one of its colours differs by more than 25 % of its range, or of the training state's colour, "
        'which is what "relative" says but makes every colour differ from black. The closest training state is searched '
        "for all frames of a state, and for the newest one alone. The pictures repeat figure 7: "
        "synthesised states, and below each the closest training state and the training state whose target value is "
        "closest.",
        (*COMMON, "table 2", "figure 7"),
        table_2,
    ),
    (
        "Figure 8: distributions of the target",
        "Lower energies fit the target better. In the paper, some synthesised states are beyond the entire validation set "
        "for each of T-, T+ and T±. Twins are states that the environment itself drew, for the first states of Algorithm 1; "
        "only Pong's have been searched for so far.",
        (*COMMON, "figure 8"),
        figure_8,
    ),
    (
        "The ball of Pong",
        "A ball behind the agent's paddle, which is the right one, is the obvious state of little value, and one behind the "
        'opponent\'s of great value. The paper shows "scoring a point" in figure 1 and counts nothing; without the shares '
        "of real states and of random samples, a gallery says nothing. The place is read off the newest frame.",
        COMMON,
        ball_places,
    ),
    (
        "The scale of the loss",
        "The paper does not say in which units pixels are; a scale of 1 means from 0 to 1, and 65,025 from 0 to 255 "
        "([decision 25](decisions/025-scale-of-the-papers-loss.md)). The paper's three losses at each scale, measured after "
        "the same numbers of steps; vae-sum is the plain VAE with the error summed over pixels.",
        ("agents",),
        loss_scale,
    ),
    (
        "fast and the paper's recipe at equal time",
        "The time that the paper's recipe takes to be as good as fast at the end of its training, for good.",
        ("frames", "agents"),
        equal_time,
    ),
    ("Performance", "", (), performance),
)


def _section(records: Records, *parts: str) -> str:
    if not records:
        return ""
    return "\n\n".join([part for part in parts if part] + ["Commands:", made_by(records)])


def agents(results: Path) -> str:
    """The table of the agents: name of the folder, file and game."""
    rows = []
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        records = [read_record(path)["settings"] for path in sorted(folder.glob("*.json"))]
        rows += sorted({(folder.name, settings["agent"], settings["environment"]) for settings in records})
    return table(("agent", "file", "game"), rows)


ADVICE = (
    "Two experiments that run at the same time should get one core each, `taskset -c 0 python -m ...` and `taskset -c 1 "
    "...`: threads that share both cores wait for each other, and both experiments take several times as long."
)


def page(results: Path) -> str:
    """The whole page in Markdown."""
    contents = [section(results) for *_, section in SECTIONS]
    parts = [
        "# Results",
        "The tables and figures of *Finding and Visualizing Weaknesses of Deep Reinforcement Learning Agents* (Rupprecht, "
        "Ibrahim, Pal; ICLR 2020), repeated with this package. Each section ends with the commands that made it; `FOLDER` "
        "in them is the folder of the agents. `python -m experiments.results` writes this page from the files in "
        f"`{results.name}/`. Further results: [the state model]({results.name}/state_model.md), "
        f"[driving]({results.name}/driving.md), [agents](agents.md#results).",
        "Differences from the paper:\n\n" + "\n".join(f"{NUMBERS[name]}. {text}" for name, text in DEVIATIONS.items()),
        agents(results),
        "n is the number of states, episodes or frames behind a number. Brackets contain 95 % intervals: bootstrap for "
        "means, Wilson's for shares, jackknife for everything else. They cover the variation between the states of one "
        "search with one state model. Feature distances are Fréchet distances in the agent's last hidden layer; the floor "
        "is the distance between two halves of as many held-out real states, given in the row of held-out real states. A "
        "dash means that there is no such number: only Pong has object checks.",
    ]
    for (title, text, differs, _), content in zip(SECTIONS, contents, strict=True):
        if content:
            numbers = ", ".join(str(number) for number in sorted(NUMBERS[name] for name in differs))
            intro = " ".join(part for part in (text, f"Differences from the paper: {numbers}." if numbers else "") if part)
            parts.append("\n\n".join(part for part in (f"## {title}", intro, content) if part))
    parts.append(f"## How to run them\n\n{ADVICE}")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"))
    arguments = parser.parse_args()
    if not arguments.results.is_dir():
        raise ConfigError(
            f"there is no folder {arguments.results}",
            expected="the output of the experiments",
            todo="run an experiment, or check --results",
        )
    save_text(arguments.page, page(arguments.results))
    say(f"wrote {arguments.page}")


if __name__ == "__main__":
    run_command(main)
