"""Table 1, section 4.5 of the paper: the agent's score when it sees only reconstructions, for each loss of the state model.

    python -m experiments.table_1_loss_study --budget 15 --output docs/results/pong

The columns are the agent itself, a plain VAE, the attentive reconstruction loss alone, the paper's full loss, and the recipe
``fast``. The paper's network learns little within minutes, so the three losses are also compared on the network of ``fast``,
which learns enough: its squared error with equal weights, with the agent's saliency as weights, and with the perception loss
as well. All models are trained on the same states for the same processor time, and the scores are of the same episodes, by
their seeds. A finished experiment that is run again only redraws its figure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.arguments import at_least, experiment_parser, parse_arguments
from lab.command import run_command, say
from lab.experiment import start_experiment
from lab.figures import save_figure
from lab.measures import reconstruction_measures
from lab.objects import plays
from lab.pipeline import MODEL, STATES, experiment_config, goggles_config, goggles_record, open_session

RECIPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "VAE": ("paper-vae", ()),
    "L_p only": ("paper-attentive", ()),
    "full": ("paper", ()),
    "fast": ("fast", ()),
    "VAE, network of fast": ("fast", ("saliency_share=0", "moving_share=0", "perception=0")),
    "L_p only, network of fast": ("fast", ("saliency_share=1", "moving_share=0", "perception=0")),
    "full, network of fast": ("fast", ("saliency_share=1", "moving_share=0")),
}
"""Recipe of each column, and its settings."""
PAPER = {
    "Pong": {"agent": 14, "VAE": -8, "L_p only": 4, "full": 14},
    "Atlantis": {"agent": 108, "VAE": 95, "L_p only": 98, "full": 109},
    "Qbert": {"agent": 64, "VAE": 26, "L_p only": 28, "full": 31},
}
"""Mean scores over 20 runs, as printed; those of Atlantis and Q*bert are not in the games' own units."""


def draw_figure(columns: dict[str, Any], paper: dict[str, int] | None, title: str, path: Path) -> None:
    """Draws the score of each column with its interval, every episode as a dot, and next to them the paper's scores."""
    names = [name for name in ("agent", *RECIPES) if name in columns]
    figure = Figure(figsize=(1.0 * len(names) + (4.0 if paper else 0.6), 3.9), layout="constrained")
    ratios = [len(names), 4] if paper else None
    ours, *others = figure.subplots(1, 2 if paper else 1, squeeze=False, width_ratios=ratios)[0]
    generator = np.random.default_rng(0)
    for position, name in enumerate(names):
        column = columns[name]
        jittered = position + 0.2 + 0.12 * generator.random(len(column["scores"]))
        ours.plot(jittered, column["scores"], ".", color="silver", markersize=4, zorder=1)
        ours.plot(position, column["mean"], "o", color="steelblue")
        if column["low"] is not None:
            ours.vlines(position, column["low"], column["high"], color="steelblue", linewidth=2)
    ours.set_title(
        f"here: mean of {len(columns[names[0]]['scores'])} episodes, 95 % interval;\ngray: each episode", fontsize=9
    )
    _style_columns(ours, names)
    for axes in others:
        assert paper
        axes.plot(range(len(paper)), list(paper.values()), "D", color="darkorange")
        axes.set_title("paper's agent: mean of 20 runs, as printed", fontsize=9)
        _style_columns(axes, list(paper))
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def _style_columns(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), [name.replace(", network of", ",\nnetwork\nof") for name in names])
    axes.set(xlim=(-0.5, len(names) - 0.5), xlabel="what the agent sees through", ylabel="score of an episode")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--episodes", type=at_least(1), default=20)
    parser.add_argument(
        "--longest", type=at_least(1), default=goggles_config(1).longest, help="decisions after which an episode is cut"
    )
    parser.add_argument("--columns", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    arguments = parse_arguments(parser)
    extra = arguments.extra
    experiment = start_experiment(arguments, stages=STATES)
    earlier = experiment.earlier("table-1")
    columns: dict[str, Any] = earlier.get("columns", {})
    paper = next((scores for title, scores in PAPER.items() if plays(experiment.session.subject, title)), None)

    def write() -> None:
        experiment.write("table-1", {"columns": columns, "paper": paper}, earlier.get("seconds", 0.0))

    goggles = goggles_config(extra.episodes, extra.longest)
    for name in extra.columns:
        recipe, settings = RECIPES[name]
        config = experiment_config(arguments, recipe=recipe, recipe_settings=settings, goggles=goggles)
        session = open_session(config, (*MODEL, "goggles"))
        model = session.model
        if name in columns and columns[name]["model"] == model.info["made_of"]:
            continue
        scores = goggles_record(session)
        columns["agent"] = scores["agent"]
        columns[name] = {
            **scores["goggles"],
            "difference": scores["difference"],
            "steps": model.info["steps"],
            "model": model.info["made_of"],
            "keeps": reconstruction_measures(session, session.held_out),
        }
        write()
        say(f"{name}: {columns[name]}")
    write()
    draw_figure(columns, paper, experiment.agent_name, arguments.output / "table-1.png")


if __name__ == "__main__":
    run_command(main)
