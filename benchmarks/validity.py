"""What a search does to states: how far it lowers the target, and whether the states stay valid and diverse.

    python -m benchmarks.validity --models fast "fast without its flow" paper --regularisers 0 0.003 0.03

For each model and weight of the regulariser, 64 states are synthesised for each target, with the models that
:mod:`benchmarks.fidelity` trains with the same settings and ``--folder``. A model without its flow is the same network with
a latent space in which the latents of whole stacks have mean 0 and covariance I. Measured are the target in standard
deviations of the real states below their mean, the share of states beyond 99 % of the real ones, the share that passes the
object checks (Pong only), and Vendi score and mean distance in the agent's features, divided by those of the 64 real states
that are best under the same target. Writes ``validity.json``, ``validity.png`` and sheets of the states of the default
weight, in random order. Searches that are finished are not repeated after a kill.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lab.arguments import add_training_arguments, at_least, non_negative
from lab.command import run_command, say
from lab.descents import (
    WITHOUT_FLOW,
    ReferenceStates,
    StoredDescents,
    Target,
    compare_with_best,
    model_names,
    reference_states,
)
from lab.figures import save_chart, save_sheet
from lab.measures import kernel_width
from lab.pipeline import open_session, run_config
from lab.records import save_record
from lab.states import target_named, worker_threads
from weakspot import SynthesisConfig

BEST = 64
"""Synthesised states per target, and the best real states that they are compared with."""

Rows = list[dict[str, Any]]
"""Measures of a model, one row for each weight and target."""


def sweep(
    descents: StoredDescents,
    references: dict[str, ReferenceStates],
    width: float,
    targets: list[Target],
    weights: list[float],
    sheets: Path,
) -> Rows:
    """One row for each weight and target; writes sheets of the states of the default weight to ``sheets``-TARGET.png.

    Args:
        descents: the searches.
        references: the real states under each target, by its name.
        width: of the Vendi score's kernel.
        targets, weights: of the searches.
        sheets: folder and first part of the name of the sheets.
    """
    rows: Rows = []
    for weight in weights:
        for target in targets:
            result = descents(target, weight)
            values = result.target.numpy(force=True)
            measures = compare_with_best(descents.session, result.state, values, references[target.name], width)
            if weight == descents.config.regulariser:
                shuffled = result.state[np.random.default_rng(0).permutation(len(result.state))]  # they are sorted by start
                save_sheet(shuffled, sheets.with_name(f"{sheets.name}-{target.slug}.png"))
            rows.append({"regulariser": weight, "target": target.name, **measures})
            say(f"  {json.dumps(rows[-1])}")
    return rows


def draw_trade_off(models: dict[str, Rows], path: Path) -> None:
    """Draws validity, and diversity, over the target: a line for each model, a point for each weight."""
    titles = {"valid": "pass the object checks", "vendi_ratio": "Vendi score over that of the best real states"}
    measured = next(iter(models.values()))[0]
    names = [name for name in titles if name in measured]
    figure = Figure(figsize=(5.2 * len(names), 4.0), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.margins(0.1)
        for number, (model, rows) in enumerate(models.items()):
            offset = (3, -13 if number % 2 else 6)
            weights = sorted({row["regulariser"] for row in rows})
            by_weight = {weight: [row for row in rows if row["regulariser"] == weight] for weight in weights}
            x = [np.mean([row["target_sd"] for row in by_weight[weight]]) for weight in weights]
            y = [np.mean([row[name] for row in by_weight[weight]]) for weight in weights]
            axes.plot(x, y, marker="o", label=model)
            for weight, *point in zip(weights, x, y, strict=True):
                axes.annotate(f"{weight:g}", point, textcoords="offset points", xytext=offset, fontsize=8)
        axes.set(title=titles[name], xlabel="target, in standard deviations of real states below their mean")
    save_chart(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, minutes=60.0)
    parser.add_argument("--models", nargs="+", default=["fast", f"fast{WITHOUT_FLOW}", "paper"], choices=list(model_names()))
    parser.add_argument("--targets", nargs="+", help="default: T-, T+, T+- and every action")
    parser.add_argument("--regularisers", nargs="+", type=non_negative, default=[0.0, 0.001, 0.003, 0.01, 0.03, 0.1])
    defaults = SynthesisConfig()
    parser.add_argument("--searches", type=at_least(1), default=defaults.searches, help="per state; the best are kept")
    parser.add_argument("--steps", type=at_least(1), default=defaults.steps, help="largest number of steps of a search")
    arguments = parser.parse_args()
    config = SynthesisConfig(states=BEST, searches=arguments.searches, steps=arguments.steps)
    models: dict[str, Rows] = {}
    references: dict[str, ReferenceStates] = {}
    targets: list[Target] = []
    agent, width = "", 0.0
    for name in arguments.models:
        session = open_session(
            run_config(
                arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames,
                recipe=name.removesuffix(WITHOUT_FLOW), minutes=arguments.cpu_minutes, targets=arguments.targets or (),
            )
        )  # fmt: skip
        if not references:  # they are the same for all models
            spec = session.subject.agent.spec
            names = arguments.targets or ("T-", "T+", "T+-", *spec.action_names)
            agent, width = spec.name, kernel_width(session)
            targets = [target_named(session, target) for target in names]
            references = {target.name: reference_states(session, target, width, BEST) for target in targets}
        say(name)
        with worker_threads():
            descents = StoredDescents(session, name, config)
            sheets = arguments.folder / f"optimised-{name.replace(' ', '-')}"
            models[name] = sweep(descents, references, width, targets, arguments.regularisers, sheets)
    settings = {
        "agent": agent, "frames": arguments.frames, "cpu_minutes": arguments.cpu_minutes,
        "default": config.regulariser, "searches": arguments.searches, "steps": arguments.steps,
        "torch": torch.__version__,
    }  # fmt: skip
    save_record(arguments.folder / "validity.json", {"settings": settings, "models": models})
    draw_trade_off(models, arguments.folder / "validity.png")


if __name__ == "__main__":
    run_command(main)
