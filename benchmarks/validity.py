"""What descending on a target does to states: how far it gets, whether they stay possible, and whether they differ.

    python -m benchmarks.validity --models fast "fast without its flow" paper --regularisers 0 0.003 0.03

For each model and weight of the regulariser, 64 states are synthesised for each target, from the models that
:mod:`benchmarks.fidelity` trained in the same folder (or trains now).  A model without its flow is the same network,
searched where the codes of whole stacks have mean 0 and covariance I.  Of the states: the target in standard deviations of
the real states' below their mean, the share that exceeds 99 % of the real states, in Pong the share that passes the object
checks, and the Vendi score and mean distance in the agent's features, each over that of the 64 real states that are best
under the same target.  Writes ``validity.json``, ``validity.png`` and sheets of the states that the default weight makes, in
random order.  What was measured before a kill is not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.recall import curve, stored
from lab.arguments import at_least, for_trainings, not_negative
from lab.figures import save, sheet
from weakspot.analysis.diversity import mean_distance, typical_distance, vendi_score
from weakspot.analysis.features import features
from weakspot.analysis.objects.pong import pong_checks
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.config import RunConfig
from weakspot.data.dataset import StateDataset, as_stacks, as_state, recorded_outputs
from weakspot.errors import ConfigError
from weakspot.search.algorithm_1 import Findings, synthesize
from weakspot.search.config import SynthesisConfig
from weakspot.search.energy import measure_scale
from weakspot.search.starts import starts
from weakspot.session import sharpness_for
from weakspot.state_model import whitening
from weakspot.state_model.batch import with_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.feeder import encoded
from weakspot.state_model.model import StateModel
from weakspot.state_model.recipes import RECIPES, recipe
from weakspot.subject import Subject, subject
from weakspot.system.compute import threads
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.system.provenance import digest
from weakspot.targets.base import Target
from weakspot.targets.resolve import resolve_target
from weakspot.types import State

WITHOUT_FLOW = " without its flow"
BEST = 64
"""Real states that are best under a target, and synthesised ones beside them."""


@dataclass(frozen=True)
class Real:
    """The real states under one target, and what the synthesised ones are held against.

    Attributes:
        values: the target's values (n,).
        best: the best states (BEST, kc, h, w).
        vendi, distance: Vendi score and mean distance of the best states in the agent's features.
        valid: share of them that passes the object checks, or None where there are none.
    """

    values: np.ndarray
    best: State
    vendi: float
    distance: float
    valid: float | None


def usual_distance(one: Subject, dataset: StateDataset) -> float:
    """Typical distance of two real states in the agent's features, the width of the Vendi score's kernel."""
    some = np.random.default_rng(0).permutation(with_history(dataset, np.arange(len(dataset))))[:500]
    return typical_distance(features(one.perceive, as_state(dataset.stacks(some))))


def valid_share(environment: str, states: State) -> float | None:
    """Share of states that passes the object checks, or None where there are none."""
    return float(pong_checks(as_stacks(states)).valid.mean()) if is_pong(environment) else None


def real_states(one: Subject, dataset: StateDataset, target: Target, width: float) -> Real:
    """What there is among the real states under ``target``."""
    indices = with_history(dataset, np.arange(len(dataset)))
    values = target(recorded_outputs(dataset, indices)).numpy()
    best = as_state(dataset.stacks(indices[np.argsort(values)[:BEST]]))
    seen = features(one.perceive, best)
    valid = valid_share(dataset.environment.id, best)
    return Real(values, best, vendi_score(seen, width), mean_distance(seen), valid)


def measures(
    one: Subject, environment: str, states: State, target: np.ndarray, real: Real, width: float
) -> dict[str, float]:
    """The line of one model, weight and target."""
    made = features(one.perceive, states)
    line = {
        "target_sd": float((real.values.mean() - target.mean()) / real.values.std()),
        "best_real_sd": float((real.values.mean() - np.sort(real.values)[:BEST].mean()) / real.values.std()),
        "beyond_99": float((target <= np.quantile(real.values, 0.01)).mean()),
        "vendi_ratio": vendi_score(made, width) / real.vendi,
        "distance_ratio": mean_distance(made) / real.distance,
        "valid": valid_share(environment, states),
        "best_real_valid": real.valid,
    }
    return {name: round(value, 4) for name, value in line.items() if value is not None}


def searched(
    one: Subject, model: StateModel, dataset: StateDataset, config: SynthesisConfig
) -> Callable[[Target, float], Findings]:
    """Searches for a target with a weight of the regulariser; all of them begin at the same candidates."""
    indices = with_history(dataset, dataset.split()[0])
    answers = recorded_outputs(dataset, indices)
    start = starts(model, one.perceive, config, lambda chosen: as_state(dataset.stacks(chosen)), indices)

    def search(target: Target, weight: float) -> Findings:
        settings, known = replace(config, regulariser=weight), measure_scale(target, answers)
        return synthesize(model, one.perceive, target, start(target), settings, known)

    return search


def models() -> list[str]:
    """The names of models: of recipes, and of those that have a flow also without it."""
    return [*RECIPES, *(f"{name}{WITHOUT_FLOW}" for name in RECIPES if recipe(name).flow)]


def sweep(
    one: Subject, model: StateModel, dataset: StateDataset, real: dict[str, Real], width: float,
    targets: list[Target], weights: list[float], config: SynthesisConfig, pictures: Path, kept: Path,
) -> list[dict[str, Any]]:  # fmt: skip
    """One line for each weight and target; sheets of the states at the weight of ``config`` go to ``pictures``-target.

    Lines are kept in ``kept`` as they are measured, and those that stand there are taken as they are.
    """
    wanted = [(weight, target) for weight in weights for target in targets]
    lines = {(line["regulariser"], line["target"]): line for line in (json.loads(kept.read_text()) if kept.exists() else [])}
    left = [(weight, target) for weight, target in wanted if (weight, target.name) not in lines]
    if left:
        search = searched(one, model, dataset, config)
        for weight, target in left:
            found = search(target, weight)
            values = found.target.numpy(force=True)
            told = measures(one, dataset.environment.id, found.state, values, real[target.name], width)
            if weight == config.regulariser:
                shown = found.state[np.random.default_rng(0).permutation(len(found.state))]  # they come best starts first
                sheet(shown, pictures.with_name(f"{pictures.name}-{target.slug}.png"))
            lines[weight, target.name] = {"regulariser": weight, "target": target.name, **told}
            print(f"  {json.dumps(lines[weight, target.name])}", flush=True)
            write_json(kept, list(lines.values()))
    return [lines[weight, target.name] for weight, target in wanted]


def without_flow(model: StateModel, dataset: StateDataset) -> StateModel:
    """The same network, its latent space only whitened; raises :class:`ConfigError` where there is no flow to leave out."""
    if "flow" not in model.info:
        raise ConfigError(f"a model of the recipe {model.info.get('recipe')} has no flow", expected="fast")
    indices = with_history(dataset, dataset.split()[0])
    codes = encoded(model.network, dataset, indices, model.device)
    info = {name: told for name, told in model.info.items() if name != "flow"}
    return replace(model, prior=whitening.fit(*codes).to(model.device), info=info)


def trade_off(result: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Validity, or diversity where there are no checks, over target value: a line a model, a point a weight."""
    titles = {"valid": "pass the object checks", "vendi_ratio": "Vendi score over that of the best real states"}
    every = [line for lines in result.values() for line in lines]
    up = [name for name in titles if name in every[0]]
    figure = Figure(figsize=(5.2 * len(up), 4.0), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(up), squeeze=False)[0], up, strict=True):
        axes.margins(0.1)
        for number, (model, lines) in enumerate(result.items()):
            place = (3, -13 if number % 2 else 6)
            weights = sorted({line["regulariser"] for line in lines})
            of = {weight: [line for line in lines if line["regulariser"] == weight] for weight in weights}
            x = [np.mean([line["target_sd"] for line in of[weight]]) for weight in weights]
            y = [np.mean([line[name] for line in of[weight]]) for weight in weights]
            axes.plot(x, y, marker="o", label=model)
            for weight, *point in zip(weights, x, y, strict=True):
                axes.annotate(f"{weight:g}", point, textcoords="offset points", xytext=place, fontsize=8)
        axes.set(title=titles[name], xlabel="target, in standard deviations of real states below their mean")
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for_trainings(parser, minutes=60.0)
    parser.add_argument("--models", nargs="+", default=["fast", f"fast{WITHOUT_FLOW}", "paper"], choices=models())
    parser.add_argument("--targets", nargs="+", help="T-, T+, T+- and every action without")
    parser.add_argument("--regularisers", nargs="+", type=not_negative, default=[0.0, 0.001, 0.003, 0.01, 0.03, 0.1])
    parser.add_argument(
        "--searches", type=at_least(1), default=SynthesisConfig().searches, help="for each state that is kept"
    )
    parser.add_argument("--steps", type=at_least(1), default=SynthesisConfig().steps, help="of a search, at most")
    told = parser.parse_args()
    make_folder(told.folder)
    one = subject(RunConfig(agent=told.agent, environment=told.environment))
    data = stored(one, told.folder, told.frames)
    dataset, _ = data
    sharpness = sharpness_for(dataset, RunConfig().sharpness)
    targets = [
        resolve_target(name, one.agent.spec, sharpness)
        for name in told.targets or ("T-", "T+", "T+-", *one.agent.spec.action_names)
    ]
    width = usual_distance(one, dataset)
    real = {target.name: real_states(one, dataset, target, width) for target in targets}
    config = SynthesisConfig(states=BEST, searches=told.searches, steps=told.steps)
    result: dict[str, list[dict[str, Any]]] = {}
    for name in told.models:
        model, _ = curve(one, data, name.removesuffix(WITHOUT_FLOW), told.cpu_minutes, told.folder, time.process_time)
        print(name, flush=True)
        with threads(TrainConfig().parts):
            if name.endswith(WITHOUT_FLOW):
                model = without_flow(model, dataset)
            pictures = told.folder / f"optimised-{name.replace(' ', '-')}"
            place = make_folder(told.folder / "validity") / f"{digest(name, model.info['made_of'], asdict(config))}.json"
            result[name] = sweep(one, model, dataset, real, width, targets, told.regularisers, config, pictures, place)
    settings = {
        "agent": one.agent.spec.name, "frames": told.frames, "cpu_minutes": told.cpu_minutes,
        "default": config.regulariser, "searches": told.searches, "steps": told.steps, "torch": torch.__version__,
    }  # fmt: skip
    write_json(told.folder / "validity.json", {"settings": settings, "models": result})
    trade_off(result, told.folder / "validity.png")


if __name__ == "__main__":
    sys.exit(exit_code(main))
