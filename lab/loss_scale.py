"""State models of the paper's recipe with different scales of the squared error, measured as their training goes on.

A cell is a loss and a scale.  Its training is measured at several numbers of steps, and resumes after a kill.  The folder of
the runs contains

    loss-scale/CELL/    checkpoint, state model and metrics of the cell's training
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from lab.descents import descend
from lab.measures import ReferenceStats, measure_result
from lab.states import newest_images, state_images, target_named
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.goggles import play_episodes
from weakspot.analysis.samples import draw_samples, measure_samples
from weakspot.data.dataset import as_state
from weakspot.errors import ConfigError
from weakspot.intervals import bootstrap_mean, wilson
from weakspot.search.config import SynthesisConfig
from weakspot.search.method import Cost, SearchResult
from weakspot.session import Session
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.model import StateModel
from weakspot.state_model.train import train
from weakspot.system.compute import threads
from weakspot.system.files import make_folder
from weakspot.system.locks import exclusive_lock
from weakspot.system.progress import progress_bar
from weakspot.system.provenance import digest, versions

RECIPES = {"full": "paper", "attentive": "paper-attentive", "vae": "paper-vae", "vae-sum": "paper-vae"}
"""Recipe of each loss; ``vae`` averages the squared error over pixels, ``vae-sum`` sums it."""
MEASURED = 2_000
"""Held-out states, at most, that reconstructions are measured on."""
SAMPLES = 200
"""Random samples that are compared with real states."""
SHOWN = 8
"""States in each row of a figure."""

Row: TypeAlias = tuple[str, np.ndarray]
"""A label, and frames (n, h, w, 3)."""


def searches() -> dict[str, Callable[[int], SynthesisConfig]]:
    """The settings of Algorithm 1 that are compared, as functions of the number of states."""
    return {
        "as printed": lambda states: SynthesisConfig(preset="paper", states=states),
        "ours": lambda states: SynthesisConfig(states=states),
    }


@dataclass(frozen=True)
class Cell:
    """A loss of the paper and the scale of its squared error."""

    loss: str
    scale: float

    @property
    def name(self) -> str:
        """LOSS-SCALE, for files."""
        return f"{self.loss}-{self.scale:.12g}"

    @property
    def settings(self) -> tuple[str, ...]:
        """As ``--train.recipe-settings``."""
        reduction = ("reduction=sum",) if self.loss == "vae-sum" else ()
        return (f"scale={self.scale:.12g}", *reduction)


def cell_of(text: str) -> Cell:
    """The cell that ``LOSS:SCALE`` means.

    Raises:
        ConfigError: there is no such loss, or the scale is not a positive number.
    """
    loss, _, scale = text.partition(":")
    try:
        number = float(scale)
    except ValueError:
        number = 0.0
    if loss not in RECIPES or not 0 < number < float("inf"):
        raise ConfigError(f"there is no cell {text!r}", expected=f"LOSS:SCALE, with LOSS one of {', '.join(RECIPES)}")
    return Cell(loss, number)


def trained(session: Session, cell: Cell, steps: int) -> StateModel:
    """The state model of a cell after ``steps`` steps.  A shorter training of the same cell is continued.

    Raises:
        ConfigError: the training is beyond these steps.
    """
    config = TrainConfig(
        recipe=RECIPES[cell.loss], recipe_settings=cell.settings, steps=steps, workers=1, precision="float32"
    )
    data = digest(session.dataset.fingerprint, session.subject.agent.spec.fingerprint, versions())
    folder = make_folder(session.config.output.parent / "loss-scale" / f"{cell.name}-{data}")
    with threads(1), exclusive_lock(folder), progress_bar(f"{cell.name} {steps:,}") as progress:
        model = train(
            session.perceive, session.dataset, session.maps, config, folder, clock=time.process_time, progress=progress
        )
    if model.info["steps"] != steps:
        raise ConfigError(
            f"the training of {cell.name} has taken {model.info['steps']:,} steps",
            expected=f"at most {steps:,}",
            todo="choose later --milestones, or another --folder",
        )
    return model


def measured(session: Session, model: StateModel, goggles: GogglesConfig) -> dict[str, Any]:
    """Reconstructions, random samples, and the agent's scores on reconstructions, of a state model."""
    with threads(1):
        line = fidelity(model, session.perceive, session.dataset, session.held_out_sample(MEASURED)).line()
        samples = measure_samples(model, session.perceive, session.dataset, session.held_out, SAMPLES)
        played = play_episodes(session.subject.agent, session.subject.factory, goggles, model, workers=1)
    record = samples.record()
    if samples.checks is not None:
        record["valid"] = wilson(int(samples.checks.valid.sum()), len(samples.stacks))
    mean, low, high = bootstrap_mean(played.scores, np.random.default_rng(0))
    return {
        "steps": model.info["steps"],
        "cpu_seconds": model.info["seconds"],
        **line,
        "samples": record,
        "goggles": {"scores": played.scores.tolist(), "mean": mean, "low": low, "high": high, "cut": played.truncated},
    }


def searched(
    session: Session, model: StateModel, name: str, config: SynthesisConfig, reference: ReferenceStats
) -> tuple[dict[str, Any], np.ndarray]:
    """What Algorithm 1 finds in a state model for the target ``name``: measures, and frames of the first states."""
    target, started = target_named(session, name), time.process_time()
    with threads(1), progress_bar(f"search {name}") as progress:
        findings = descend(session, model, config, progress)(target, config.regulariser)
        result = SearchResult(findings.state, findings.output, findings.target, Cost())
        measures, _ = measure_result(result, target, reference)
    del measures["passes"]
    steps = findings.iterations
    return {
        **measures,
        "steps": {"mean": float(steps.mean()), "least": int(steps.min()), "most": int(steps.max())},
        "converged": int((steps < config.steps).sum()),
        "kl": {"mean": float(findings.kl.mean()), "most": float(findings.kl.max())},
        "cpu_seconds": round(time.process_time() - started, 1),
    }, state_images(session, result.state[:SHOWN])


def example_rows(session: Session, model: StateModel) -> list[Row]:
    """Held-out states, their reconstructions, and random samples of a state model."""
    stacks = session.dataset.stacks(session.held_out_sample(SHOWN))
    with torch.no_grad():
        reconstructed = model.reconstruct(as_state(stacks).to(model.device))
    return [
        ("held-out\nstates", newest_images(session, stacks)),
        ("reconstructions", state_images(session, reconstructed)),
        ("random\nsamples", state_images(session, draw_samples(model, SHOWN))),
    ]
