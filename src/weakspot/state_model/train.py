"""Trains a state model on a data set, with checkpoints: the same call goes on after a kill.

A batch is split over worker threads where the recipe allows (``splits_batches``), each with one thread of its own for
the tensor work.  On two cores this is steadier than one step on two threads: nobody spins at a barrier while the other
core is busy elsewhere.  The gradients of the parts are added in a fixed order, so the result does not depend on timing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.data.dataset import StateDataset
from weakspot.errors import ConfigError, OutputError, StateModelError
from weakspot.state_model import flow, whitening
from weakspot.state_model.batch import Batch, DataStatistics, measure, with_history
from weakspot.state_model.checkpoint import TrainingState, checkpoint_content, restore_checkpoint, stored_origin
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.feeder import Feeder, encoded, sized
from weakspot.state_model.model import StateModel, load, save
from weakspot.state_model.recipes import Recipe, all_settings, recipe, settings
from weakspot.system.compute import resolve, threads
from weakspot.system.files import forget_after, make_folder, storage_errors, write_atomic, write_json
from weakspot.system.provenance import digest

Measure = Callable[[StateModel], dict[str, float]]
"""Measures a model on held-out states; what it returns is written to ``metrics.jsonl``."""


def gradients(
    recipe: Recipe, network: nn.Module, batch: Batch, perceive: Perceiver, statistics: DataStatistics, share: float
) -> tuple[tuple[Tensor, ...], dict[str, float]]:
    """The gradients of ``share`` times the loss on one part of a batch, and that part's share of the terms."""
    loss, terms = recipe.loss(network, batch, perceive, statistics)
    found = torch.autograd.grad(loss * share, list(network.parameters()))
    return found, {"loss": loss.item() * share, **{name: term.item() * share for name, term in terms.items()}}


def train(
    perceive: Perceiver,
    dataset: StateDataset,
    maps: np.ndarray,
    config: TrainConfig,
    folder: Path,
    *,
    chosen_recipe: Recipe | None = None,
    clock: Callable[[], float] = time.perf_counter,
    measures: Measure | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> StateModel:
    """Trains in ``folder`` until the budget is used up, and writes ``model.safetensors`` and ``model.json`` there; a model
    that stands there, of the same data, settings and budget, is loaded.

    Args:
        perceive: A(s), the agent whose weaknesses are wanted.
        dataset: the states it has seen.
        maps: its stored saliency maps of all these states.
        config: budget, seed and machine.
        folder: holds ``checkpoint.pt`` (tensors and numbers only) and ``metrics.jsonl`` meanwhile.
        chosen_recipe: a recipe with settings of its own; by default the one that ``config`` names.
        clock: tells the seconds that a budget in minutes is made of; :func:`time.process_time` for those of the processor.
        measures: called now and then with the model as it stands, before a prior is fitted to its codes, and at the end.
        progress: called with the share of the budget that is used, and a short text.

    Raises:
        OutputError: the agent answered NaN.
        StateModelError: the loss is no longer finite.
    """
    make_folder(folder)
    device = perceive.agent.device
    chosen_recipe = sized(chosen_recipe or recipe(config.recipe), config, device)
    of_prior = config.prior_share if chosen_recipe.flow else 0.0
    precision = resolve(config.precision, device)
    indices = with_history(dataset, dataset.split(config.held_out)[0])
    if not len(indices):
        raise ConfigError(
            f"no whole state is left to train on of {len(dataset):,}",
            expected="streams that are longer than what is held out",
            todo="collect more frames in fewer streams, or lower --train.held-out",
        )
    statistics = measure(dataset, indices, np.random.default_rng([config.seed, 0]))
    statistics = DataStatistics(
        statistics.median.to(device),
        statistics.answer_variance.to(device),
        statistics.frames,
        None if statistics.channel_weights is None else statistics.channel_weights.to(device),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # layers draw their first weights from the global generator
        network: Any = chosen_recipe.network(statistics, precision).to(device)
    optimizer = chosen_recipe.optimizer(network)
    feeder = Feeder(dataset, maps, indices, network.latent, config.seed)
    state = TrainingState()
    checkpoint, metrics = folder / "checkpoint.pt", folder / "metrics.jsonl"
    parts = config.parts if chosen_recipe.splits_batches else 1
    made_of = digest(
        *(dataset.fingerprint, perceive.agent.spec.fingerprint, config.recipe, settings(chosen_recipe)),
        *(config.seed, config.held_out, str(precision), of_prior, perceive.rule),
    )  # not of how many workers: they change little, and hours may stand here
    finished = digest(made_of, float(config.minutes), config.steps, config.prior_steps, *all_settings(chosen_recipe))
    weights = folder / "model.safetensors"
    if weights.exists() and stored_origin(folder / "model.json") == finished:
        standing = load(weights, device, precision, chosen_recipe)
        if standing.info["made_of"] == finished:  # or a kill came between these two files
            return standing
    if checkpoint.exists() and not restore_checkpoint(checkpoint, made_of, network, optimizer, feeder, state):
        checkpoint.unlink()  # of other data or settings: whatever asked for this training has changed
        metrics.unlink(missing_ok=True)
    forget_after(metrics, state.step)
    size = chosen_recipe.config.batch_size
    pieces = [piece for piece in np.array_split(np.arange(size), parts) if len(piece)]
    info = {
        "recipe": config.recipe,
        "equation": chosen_recipe.equation,
        "settings": settings(chosen_recipe),
        "train": asdict(config),
        "precision": str(precision).removeprefix("torch."),
        "data": dataset.fingerprint,
        "agent": perceive.agent.spec.name,
        "made_of": finished,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "latent": network.latent,
    }

    def unfitted() -> StateModel:
        network.eval()
        told = {**info, "steps": state.step, "seconds": round(state.seconds, 1)}
        return StateModel(network, whitening.identity(network.latent).to(device), told)

    def fitted() -> StateModel:
        model = unfitted()
        if not chosen_recipe.whitens:
            return model
        means, log_variances = encoded(network, dataset, indices, device)
        if chosen_recipe.flow is None:
            return replace(model, prior=whitening.fit(means, log_variances))
        with threads(config.parts):
            prior, told = flow.fit(
                means, log_variances, network.frames, chosen_recipe.flow,
                used=lambda steps, seconds: (
                    steps / config.prior_steps if config.steps > 0 else seconds / (60.0 * config.minutes * of_prior)
                ),
                seed=config.seed, made_of=digest(made_of, state.step, asdict(chosen_recipe.flow)),
                checkpoint=folder / "prior.pt", checkpoint_every=config.checkpoint_every, dtype=precision, clock=clock,
                progress=lambda share, text: progress(1.0 - of_prior * (1.0 - share), text),
            )  # fmt: skip
        return replace(model, prior=prior, info=model.info | {"flow": {"settings": asdict(chosen_recipe.flow), **told}})

    def note(measured: dict[str, float]) -> None:
        line = {"step": state.step, "seconds": round(state.seconds, 2), **state.terms(), **measured}
        with storage_errors(metrics), open(metrics, "a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def store() -> None:
        write_atomic(
            checkpoint,
            lambda path: torch.save({"made_of": made_of, **checkpoint_content(network, optimizer, feeder, state)}, path),
        )

    with threads(1) if parts > 1 else nullcontext(), ThreadPoolExecutor(parts) as pool:
        kept, measured_at, noted = state.seconds, state.seconds, state.seconds
        network.train()
        while (share := state.used(config.steps, 60.0 * config.minutes * (1.0 - of_prior))) < 1.0:
            started = clock()
            for group in optimizer.param_groups:
                group["lr"] = chosen_recipe.learning_rate(share, state.step)
            chosen, noise = feeder.draw(size)

            def part(piece: np.ndarray, chosen: np.ndarray = chosen, noise: Tensor = noise) -> Any:
                batch = feeder.batch(chosen[piece], noise[torch.from_numpy(piece)], device)
                return gradients(chosen_recipe, network, batch, perceive, statistics, len(piece) / size)

            results = list(pool.map(part, pieces)) if parts > 1 else [part(pieces[0])]
            for position, parameter in enumerate(network.parameters()):
                parameter.grad = results[0][0][position]
                for found, _ in results[1:]:
                    parameter.grad += found[position]
            if clip := chosen_recipe.clip:
                nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
            state.step += 1
            state.add([terms for _, terms in results])
            state.seconds += clock() - started
            if not np.isfinite(state.last["loss"]):
                raise _not_finite(perceive, state)
            if state.seconds - noted >= 5.0:
                noted = state.seconds
                progress(share * (1.0 - of_prior), f"step {state.step:,}, loss {state.last['loss']:,.4g}")
                note({})
            if measures is not None and state.seconds - measured_at >= config.measure_every:
                measured_at = state.seconds
                note(measures(unfitted()))
                network.train()
            if state.seconds - kept >= config.checkpoint_every:
                kept = state.seconds
                store()
        store()
    network.requires_grad_(False)
    model = fitted()
    if measures is not None:
        note(measures(model))
    progress(1.0, f"step {state.step:,}")
    save(model, statistics, weights)
    write_json(folder / "model.json", model.info)
    return model


def _not_finite(perceive: Perceiver, state: TrainingState) -> Exception:
    bad = [name for name, value in state.last.items() if not np.isfinite(value) and name != "loss"]
    if bad == ["perception"]:
        return OutputError(
            f"agent {perceive.agent.spec.name!r} answered NaN or infinity to a reconstructed state in step {state.step:,}",
            expected="finite numbers for any image",
            todo="check the agent on noise images; divisions and logarithms without a floor are the usual cause",
        )
    return StateModelError(
        f"the loss is no longer finite in step {state.step:,} ({', '.join(bad) or 'sum'})",
        expected="a finite loss",
        todo="use --train.precision float32, or another --train.seed",
    )
