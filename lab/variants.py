"""Variants of the recipe ``fast`` without one of its ingredients, and their training and measurement as stored results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lab.descents import compare_with_best, descend, reference_states
from lab.flow_checks import round_trip_error
from lab.measures import kernel_width
from lab.pipeline import MEASURE_EVERY, MEASURED
from lab.states import target_named
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.samples import measure_samples
from weakspot.options import Precision
from weakspot.run.entry import read_entry
from weakspot.run.store import Request, Store
from weakspot.search.config import SynthesisConfig
from weakspot.session import Session
from weakspot.state_model.batch import Batch, DataStatistics
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.fast import FastConfig, FastNetwork, FastRecipe
from weakspot.state_model.flow import FlowPrior
from weakspot.state_model.model import StateModel
from weakspot.state_model.recipes import all_settings
from weakspot.state_model.train import train
from weakspot.system.compute import threads
from weakspot.system.files import write_json
from weakspot.system.provenance import digest, file_digest, public_version, source_digest

MEASURES = "measures.json"


class DarkRecipe(FastRecipe):
    """The network draws whole frames instead of corrections of the median frame."""

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> FastNetwork:
        """With a black frame in place of the median frame."""
        return super().network(replace(statistics, median=torch.zeros_like(statistics.median)), precision)


class JointRecipe(FastRecipe):
    """The frames of a state go through the network together, as the channels of one image, with one latent."""

    def network(self, statistics: DataStatistics, precision: torch.dtype) -> FastNetwork:
        """For one frame with the channels of all frames."""
        frames, config = statistics.frames, self.config
        return FastNetwork(statistics.median.repeat(frames, 1, 1), 1, frames * config.code, config.width, precision)


class EqualChannelsRecipe(FastRecipe):
    """Squared errors have the same weight in every channel, however little the channel varies."""

    def weights(self, batch: Batch, statistics: DataStatistics) -> Tensor:
        """Without weights of channels."""
        return super().weights(batch, replace(statistics, channel_weights=None))


class ConstantRateRecipe(FastRecipe):
    """The learning rate stays constant after the warm-up."""

    def learning_rate(self, progress: float, step: int) -> float:
        """That at the start of the schedule."""
        return super().learning_rate(0.0, step)


@dataclass(frozen=True)
class Variant:
    """A recipe, and the number format of its products."""

    recipe: FastRecipe
    precision: Precision = "auto"


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
    "without the cosine": lambda: Variant(ConstantRateRecipe(FULL.config)),
    "without bfloat16": lambda: Variant(FULL, "float32"),
    "without the flow": lambda: Variant(FastRecipe(FULL.config, flow=None)),
}
"""The variants by name; the first is the whole recipe."""


@dataclass(frozen=True)
class Measurement:
    """How variants are measured: the search for T-, and the number of random samples."""

    search: SynthesisConfig
    samples: int


def variant_folder(session: Session, name: str, minutes: float, seed: int, measurement: Measurement) -> Path:
    """Where the store keeps the training of a variant and its measures."""
    return Store(session.config.store_path).folder(_request(session, name, minutes, seed, measurement)[0])


def variant_measures(session: Session, name: str, minutes: float, seed: int, measurement: Measurement) -> dict[str, float]:
    """The measures of a variant, which is trained and measured unless that is in the store.

    Args:
        session: with recorded states and their saliency.
        name: of the variant.
        minutes: processor minutes of the training.
        seed: of the training.
        measurement: of the variant.
    """
    request, config, variant = _request(session, name, minutes, seed, measurement)

    def work(folder: Path) -> str:
        with threads(config.parts):
            model = train(
                session.perceive, session.dataset, session.maps, config, folder, chosen_recipe=variant.recipe,
                clock=time.process_time,
            )  # fmt: skip
            measures = _measures(session, model, measurement) | {"steps": float(model.info["steps"])}
        write_json(folder / MEASURES, measures)
        return file_digest(folder / MEASURES)

    entry, _ = Store(session.config.store_path).make(request, work)
    return json.loads((entry.folder / MEASURES).read_text())


def _request(
    session: Session, name: str, minutes: float, seed: int, measurement: Measurement
) -> tuple[Request, TrainConfig, Variant]:
    variant = VARIANTS[name]()
    config = TrainConfig(
        minutes=minutes, clock="processor", seed=seed, precision=variant.precision, measure_every=MEASURE_EVERY,
        measured=MEASURED,
    )  # fmt: skip
    entries = {stage: read_entry(session.results[stage]) for stage in ("subject", "collect", "saliency")}
    made_from: dict[str, Any] = {
        "recipe": [type(variant.recipe).__name__, *all_settings(variant.recipe)],
        "train": asdict(config),
        "measurement": asdict(measurement),
        "inputs": {stage: entry.record.fingerprint for stage, entry in entries.items() if entry},
        "torch": public_version("torch"),
        "sources": source_digest("analysis", "search", "targets"),
    }
    part = f"{name.replace(' ', '-')}-{digest(made_from)}"
    outputs = (MEASURES, "model.safetensors", "model.json")
    return Request("ablation", part, made_from, outputs, ("checkpoint.pt", "prior.pt")), config, variant


def _measures(session: Session, model: StateModel, measurement: Measurement) -> dict[str, float]:
    dataset, held_out = session.dataset, session.held_out
    samples = measure_samples(model, session.perceive, dataset, held_out, measurement.samples)
    measures = fidelity(model, session.perceive, dataset, held_out).line()
    measures["feature_distance_over_floor"] = samples.distance / samples.floor
    if samples.checks is not None:
        measures["valid_samples"] = float(samples.checks.valid.mean())
    if isinstance(model.prior, FlowPrior):
        noise = torch.randn(measurement.samples, model.latent, generator=torch.Generator().manual_seed(0)).to(model.device)
        measures["there_and_back"] = round_trip_error(model, noise)
    target, width = target_named(session, "T-"), kernel_width(session)
    reference = reference_states(session, target, width, measurement.search.states)
    result = descend(session, model, measurement.search)(target, measurement.search.regulariser)
    compared = compare_with_best(session, result.state, result.target.numpy(force=True), reference, width)
    reported = ("target_sd", "beyond_99", "valid")
    measures |= {f"optimised_{measure}": compared[measure] for measure in reported if measure in compared}
    return {measure: round(value, 5) for measure, value in measures.items()}
