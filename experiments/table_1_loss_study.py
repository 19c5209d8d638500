"""Table 1, section 4.5 of the paper: the agent's score when it sees reconstructions only, for each loss of the state model.

    python -m experiments.table_1_loss_study --budget 15 --output docs/results/pong

The columns: the agent itself, a plain VAE, the attentive reconstruction loss alone, the paper's full loss, and the recipe
``fast``.  All models are trained on the same states for the same processor time; the scores are over the same episodes, by
the same seeds.  An experiment that has ended and is run again draws its picture again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.recall import MEASURED
from lab import prepared
from lab.arguments import at_least
from lab.figures import write_figure
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.goggles import goggles
from weakspot.games import is_game
from weakspot.system.process import exit_code
from weakspot.system.progress import say

RECIPES = {"VAE": "paper-vae", "L_p only": "paper-attentive", "full": "paper", "fast": "fast"}
PAPER = {
    "Pong": {"agent": 14, "VAE": -8, "L_p only": 4, "full": 14},
    "Atlantis": {"agent": 108, "VAE": 95, "L_p only": 98, "full": 109},
    "Qbert": {"agent": 64, "VAE": 26, "L_p only": 28, "full": 31},
}
"""Mean scores over 20 runs, as printed; those of Atlantis and Q*bert are in other units than the games' own."""


def panels(columns: dict[str, Any], printed: dict[str, int] | None, title: str, path: Path) -> None:
    """The scores of each column with their intervals, every episode as a dot; beside them the paper's, on their own axis."""
    figure = Figure(figsize=(8.4 if printed else 5.4, 3.7), layout="constrained")
    here, *others = figure.subplots(1, 2 if printed else 1, squeeze=False, width_ratios=[5, 4] if printed else None)[0]
    names = [name for name in ("agent", *RECIPES) if name in columns]
    generator = np.random.default_rng(0)
    for place, name in enumerate(names):
        line = columns[name]
        aside = place + 0.2 + 0.12 * generator.random(len(line["scores"]))
        here.plot(aside, line["scores"], ".", color="silver", markersize=4, zorder=1)
        here.plot(place, line["mean"], "o", color="steelblue")
        if line["low"] is not None:
            here.vlines(place, line["low"], line["high"], color="steelblue", linewidth=2)
    here.set_title(
        f"here: mean of {len(columns[names[0]]['scores'])} episodes, 95 % interval;\ngray: each episode", fontsize=9
    )
    _columns(here, names)
    for axes in others:
        assert printed
        axes.plot(range(len(printed)), list(printed.values()), "D", color="darkorange")
        axes.set_title("paper's agent: mean of 20 runs, as printed", fontsize=9)
        _columns(axes, list(printed))
    figure.suptitle(title, fontsize=10)
    write_figure(figure, path)


def _columns(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set(xlim=(-0.5, len(names) - 0.5), xlabel="what the agent sees through", ylabel="score of an episode")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--episodes", type=at_least(1), default=20)
    arguments.add_argument(
        "--longest", type=at_least(1), default=GogglesConfig().longest, help="decisions of an episode, at most"
    )
    arguments.add_argument("--columns", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    given = prepared.read(arguments)
    there = prepared.prepare(given)
    one = there.subject
    measured = np.sort(np.random.default_rng(0).permutation(there.held)[:MEASURED])
    config = GogglesConfig(episodes=given.extra.episodes, longest=given.extra.longest)
    before = prepared.found_before("table-1", given, there)
    columns: dict[str, Any] = before.get("columns", {})
    printed = next((line for title, line in PAPER.items() if is_game(one.spec.id, title)), None)

    def keep() -> None:
        prepared.write("table-1", given, there, {"columns": columns, "paper": printed}, before.get("seconds", 0.0))

    for name in given.extra.columns:
        model = there.model(given, RECIPES[name])
        made_of = model.info["made_of"]
        if name in columns and columns[name]["model"] == made_of:
            continue
        with prepared.on_all_cores():
            scores = goggles(model, one.agent, one.factory, config).record(config.seed)
        line = fidelity(model, one.perceive, there.dataset, measured).line()
        columns["agent"] = scores["agent"]
        kept = {"steps": model.info["steps"], "model": made_of, "keeps": line}
        columns[name] = scores["goggles"] | {"difference": scores["difference"]} | kept
        keep()
        say(f"{name}: {columns[name]}")
    keep()
    panels(columns, printed, one.agent.spec.name, given.output / "table-1.png")


if __name__ == "__main__":
    sys.exit(exit_code(main))
