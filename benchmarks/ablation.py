"""What each ingredient of the recipe ``fast`` is worth: every one taken away once, for equal processor time, several seeds.

    python -m benchmarks.ablation --cpu-minutes 5 --seeds 0 1 2

Of each are measured: what it keeps of held-out states, its random samples, how far from where it began a point of N(0, I)
ends that goes through the flow and back, and how far below the agent's usual values states of T- get, and how many of them
are possible.  Prints a table of means and ranges over the seeds, and writes ``ablation.json``.  A variant that was measured
with the same settings in the same folder is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from benchmarks.prior import there_and_back
from benchmarks.recall import Stored, stored
from benchmarks.validity import BEST, real_states, searched, usual_distance
from benchmarks.validity import measures as found_measures
from lab.arguments import at_least, for_trainings
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.samples import measure_samples
from weakspot.config import RunConfig
from weakspot.data.dataset import StateDataset
from weakspot.search.config import SynthesisConfig
from weakspot.session import sharpness_for
from weakspot.state_model.batch import Batch, DataStatistics, with_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.fast import FastConfig, FastNetwork, FastRecipe
from weakspot.state_model.flow import FlowPrior
from weakspot.state_model.model import StateModel
from weakspot.state_model.recipes import all_settings
from weakspot.state_model.train import train
from weakspot.subject import Subject, subject
from weakspot.system.compute import threads
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.system.provenance import digest
from weakspot.targets.resolve import resolve_target

SEARCH = SynthesisConfig(states=BEST)
"""Of the states for T-."""
SAMPLES = 200
"""Random samples that are compared with as many real states."""


class DarkRecipe(FastRecipe):
    """The network draws whole frames, not corrections of the median one."""

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> FastNetwork:
        return super().network(replace(statistics, median=torch.zeros_like(statistics.median)), precision)


class JointRecipe(FastRecipe):
    """The frames of a state go through the network together, as the colours of one picture, and have one code."""

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> FastNetwork:
        frames, config = statistics.frames, self.config
        return FastNetwork(statistics.median.repeat(frames, 1, 1), 1, frames * config.code, config.width, precision)


class EqualChannelsRecipe(FastRecipe):
    """A squared error is worth the same in every channel, however little that varies."""

    def weights(self, batch: Batch, statistics: DataStatistics) -> Tensor:
        return super().weights(batch, replace(statistics, channel_weights=None))


class SteadyRecipe(FastRecipe):
    """The learning rate stays where it is after the warm-up."""

    def learning_rate(self, progress: float, step: int) -> float:
        return super().learning_rate(0.0, step)


@dataclass(frozen=True)
class Variant:
    """The recipe ``fast`` without one thing."""

    recipe: FastRecipe
    precision: Any = "auto"


FULL = FastRecipe(FastConfig())

VARIANTS: dict[str, Callable[[], Variant]] = {
    "fast": lambda: Variant(FULL),
    "without saliency": lambda: Variant(FULL.changed(saliency_share=0.0)),
    "without weight on what moves": lambda: Variant(FULL.changed(moving_share=0.0)),
    "without weights of channels": lambda: Variant(EqualChannelsRecipe(FULL.config)),
    "without perception": lambda: Variant(FULL.changed(perception=0.0)),
    "without the KL": lambda: Variant(FULL.changed(prior=0.0)),
    "without taking frames apart": lambda: Variant(JointRecipe(FULL.config)),
    "without the median frame": lambda: Variant(DarkRecipe(FULL.config)),
    "without the cosine": lambda: Variant(SteadyRecipe(FULL.config)),
    "without bfloat16": lambda: Variant(FULL, "float32"),
    "without the flow": lambda: Variant(FastRecipe(FULL.config, flow=None)),
}


def one_run(one: Subject, data: Stored, folder: Path, name: str, minutes: float, seed: int) -> dict[str, float]:
    """Trains a variant with one seed, or takes the measures that stand, and gives them."""
    place = folder / "ablation" / f"{name.replace(' ', '-')}-{minutes:g}-{seed}"
    told = place / "measures.json"
    variant = VARIANTS[name]()
    dataset, maps = data
    config = TrainConfig(minutes=minutes, seed=seed, precision=variant.precision)
    made_of = digest(
        dataset.fingerprint, asdict(config), "processor time", *all_settings(variant.recipe), asdict(SEARCH), SAMPLES
    )
    if told.exists() and (known := json.loads(told.read_text()))["made_of"] == made_of:
        return known["measures"]
    with threads(config.parts):
        model = train(one.perceive, dataset, maps, config, place, chosen_recipe=variant.recipe, clock=time.process_time)
        measures = _measured(one, dataset, model) | {"steps": float(model.info["steps"])}
    write_json(told, {"made_of": made_of, "measures": measures})
    return measures


def _measured(one: Subject, dataset: StateDataset, model: StateModel) -> dict[str, float]:
    held = with_history(dataset, dataset.split()[1])
    samples = measure_samples(model, one.perceive, dataset, held, SAMPLES)
    measures = fidelity(model, one.perceive, dataset, held).line()
    measures["feature_distance_over_floor"] = samples.distance / samples.floor
    if samples.checks is not None:
        measures["valid_samples"] = float(samples.checks.valid.mean())
    if isinstance(model.prior, FlowPrior):
        noise = torch.randn(SAMPLES, model.latent, generator=torch.Generator().manual_seed(0)).to(model.device)
        measures["there_and_back"] = there_and_back(model, noise)
    target = resolve_target("T-", one.agent.spec, sharpness_for(dataset, RunConfig().sharpness))
    width = usual_distance(one, dataset)
    real = real_states(one, dataset, target, width)
    found = searched(one, model, dataset, SEARCH)(target, SEARCH.regulariser)
    told = found_measures(one, dataset.environment.id, found.state, found.target.numpy(force=True), real, width)
    measures |= {f"optimised_{name}": told[name] for name in ("target_sd", "beyond_99", "valid") if name in told}
    return {name: round(value, 5) for name, value in measures.items()}


def table(result: dict[str, list[dict[str, float]]]) -> str:
    """Means, and the range over seeds in brackets, as a table in Markdown."""
    columns = list(dict.fromkeys(column for runs in result.values() for run in runs for column in run))
    rows = ["| | " + " | ".join(column.replace("_", " ") for column in columns) + " |", "|---|" + "---|" * len(columns)]
    for name, runs in result.items():
        cells = []
        for column in columns:
            values = [run[column] for run in runs if column in run]
            cells.append(f"{mean(values):.4g} ({min(values):.4g} to {max(values):.4g})" if values else "")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for_trainings(parser, minutes=5.0)
    parser.add_argument(
        "--variants",
        nargs="+",
        default=[name for name in VARIANTS if name != "without weights of channels"],
        choices=list(VARIANTS),
        help="all by default, but for the weights of channels, which states in colour do not have",
    )
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2])
    told = parser.parse_args()
    make_folder(told.folder)
    one = subject(RunConfig(agent=told.agent, environment=told.environment))
    data = stored(one, told.folder, told.frames)
    result: dict[str, list[dict[str, float]]] = {name: [] for name in told.variants}
    for seed in told.seeds:
        for name in told.variants:
            result[name].append(one_run(one, data, told.folder, name, told.cpu_minutes, seed))
            print(f"{name}, seed {seed}: {json.dumps(result[name][-1])}", flush=True)
    settings = {
        "agent": one.agent.spec.name, "frames": told.frames, "cpu_minutes": told.cpu_minutes,
        "seeds": told.seeds,
    }  # fmt: skip
    write_json(told.folder / "ablation.json", {"settings": settings, "variants": result})
    print(table(result))


if __name__ == "__main__":
    sys.exit(exit_code(main))
