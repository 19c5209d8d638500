"""Trains a state model on a data set, with checkpoints: the same call goes on after a kill.

A batch is split over worker threads where the recipe allows (``splits_batches``), each with one thread of its own for
the tensor work.  On two cores this is steadier than one step on two threads: nobody spins at a barrier while the other
core is busy elsewhere.  The gradients of the parts are added in a fixed order, so the result does not depend on timing.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.dataset import HELD_OUT, StateDataset, as_state
from weakspot.errors import ConfigError, OutputError, StateModelError
from weakspot.files import forget_after, make_folder, storage_errors, write_atomic, write_json
from weakspot.precision import Precision, resolve
from weakspot.run import digest
from weakspot.seeds import check_seed
from weakspot.state_model import flow, whitening
from weakspot.state_model.batch import Batch, DataStatistics, answers, measure, with_history
from weakspot.state_model.model import StateModel, load, save
from weakspot.state_model.recipes import Recipe, all_settings, recipe, settings

ON_CUDA = 8
"""Batches there, over those on a CPU: a graphics card takes as long for few states as for many."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training of a state model."""

    recipe: str = "fast"
    """fast, fast-gaussian, paper, paper-attentive or paper-vae."""
    minutes: float = 5.75
    """Budget in minutes that steps take, measuring aside; the learning
    rate's schedule follows it.  Not used where ``steps`` is given."""
    prior_share: float = 0.35
    """Share of the minutes that learning the prior gets, where the recipe has one to learn."""
    steps: int = 0
    """Budget in steps, for results that are the same bits every time with as many workers; 0 goes by the minutes."""
    prior_steps: int = 400
    """Steps of learning the prior where the budget is in steps."""
    batch_size: int = 0
    """States in a batch; 0 takes as many as the recipe says, and on CUDA
    eight times as many where it can be any number."""
    seed: int = 0
    held_out: float = HELD_OUT
    """Share of the states that is never trained on, in a few parts of every stream."""
    checkpoint_every: float = 60.0
    """Seconds between two checkpoints."""
    measure_every: float = 60.0
    """Seconds between two measurements on held-out states."""
    workers: int = 0
    """Parts of a batch that are worked on side by side; 0 takes one for each core, two at most."""
    precision: Precision = "auto"
    """Number format of the fast recipe's products; auto takes bfloat16 where the machine has units for it."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.minutes) or (self.minutes <= 0 and self.steps <= 0):
            raise ConfigError(
                f"a training of {self.minutes} minutes and {self.steps} steps",
                expected="a positive number of minutes or steps",
                todo="set --train.minutes or --train.steps",
            )
        for name in ("checkpoint_every", "measure_every"):
            if not getattr(self, name) >= 0:  # nor where it is NaN
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="seconds, 0 or more")
        if not 0 < self.prior_share < 1 or self.prior_steps < 1:
            raise ConfigError(
                f"a prior with {self.prior_share} of the minutes, or {self.prior_steps} steps",
                expected="a share above 0 and below 1, and at least one step",
            )
        check_seed(self.seed)
        if min(self.workers, self.batch_size) < 0:
            raise ConfigError(f"{self.workers} workers and batches of {self.batch_size}", expected="0 or more of each")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"a held-out share of {self.held_out}", expected="more than 0 and less than 1")

    @property
    def parts(self) -> int:
        """Workers, with 0 resolved for this machine."""
        return self.workers or min(2, len(os.sched_getaffinity(0)))


def sized(chosen: Recipe, config: TrainConfig, device: torch.device) -> Recipe:
    """The recipe with batches as large as ``config`` asks for, or as ``device`` is good at; all else stays as it is."""
    if config.batch_size:
        return chosen.changed(batch_size=config.batch_size)
    if device.type == "cuda" and chosen.splits_batches:
        return chosen.changed(batch_size=ON_CUDA * chosen.config.batch_size)
    return chosen


Measure = Callable[[StateModel], dict[str, float]]
"""Measures a model on held-out states; what it returns is written to ``metrics.jsonl``."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Tensor work of ``count`` threads for each thread of ours, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Feeder:
    """Batches of a data set, drawn with replacement from the training states."""

    def __init__(self, dataset: StateDataset, maps: np.ndarray, train: np.ndarray, latent: int, seed: int) -> None:
        self.dataset, self.maps, self.train, self.latent = dataset, maps, train, latent
        self.answers = answers(dataset)
        self.order = np.random.default_rng([seed, 1])
        self.noise = torch.Generator().manual_seed(seed)

    def draw(self, size: int) -> tuple[np.ndarray, Tensor]:
        """Indices of the next batch, and its reparametrisation noise."""
        chosen = self.train[self.order.integers(len(self.train), size=size)]
        return chosen, torch.randn(size, self.latent, generator=self.noise)

    def batch(self, chosen: np.ndarray, noise: Tensor, device: torch.device | str) -> Batch:
        """The states ``chosen`` as a batch on ``device``."""
        return Batch(
            as_state(self.dataset.stacks(chosen)).to(device),
            torch.from_numpy(self.maps[chosen]).to(device),
            self.answers[torch.from_numpy(chosen)].to(device),
            noise.to(device),
        )


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
    state = _State()
    checkpoint, metrics = folder / "checkpoint.pt", folder / "metrics.jsonl"
    parts = config.parts if chosen_recipe.splits_batches else 1
    made_of = digest(
        *(dataset.fingerprint, perceive.agent.spec.fingerprint, config.recipe, settings(chosen_recipe)),
        *(config.seed, config.held_out, str(precision), of_prior, perceive.rule),
    )  # not of how many workers: they change little, and hours may stand here
    finished = digest(made_of, float(config.minutes), config.steps, config.prior_steps, *all_settings(chosen_recipe))
    weights = folder / "model.safetensors"
    if weights.exists() and _made_of(folder / "model.json") == finished:
        standing = load(weights, device, precision, chosen_recipe)
        if standing.info["made_of"] == finished:  # or a kill came between these two files
            return standing
    if checkpoint.exists() and not _restore(checkpoint, made_of, network, optimizer, feeder, state):
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
            checkpoint, lambda path: torch.save({"made_of": made_of, **_stored(network, optimizer, feeder, state)}, path)
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


class _State:
    """Where a training stands."""

    def __init__(self) -> None:
        self.step = 0
        self.seconds = 0.0
        self.last: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        self._count = 0

    def used(self, steps: int, seconds: float) -> float:
        return self.step / steps if steps > 0 else self.seconds / seconds

    def add(self, parts: list[dict[str, float]]) -> None:
        self.last = {name: sum(part[name] for part in parts) for name in parts[0]}
        for name, value in self.last.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def terms(self) -> dict[str, float]:
        """Means of the terms since the last call."""
        means = {name: total / self._count for name, total in self._sums.items()} if self._count else {}
        self._sums, self._count = {}, 0
        return means


def encoded(network: Any, dataset: StateDataset, indices: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """f(s) of stored states: means and log-variances of their codes (n, z)."""
    means, log_variances = [], []
    with torch.no_grad():
        for start in range(0, len(indices), 128):
            mean, log_variance = network.encode(as_state(dataset.stacks(indices[start : start + 128])).to(device))
            means.append(mean)
            log_variances.append(log_variance)
    return torch.cat(means), torch.cat(log_variances)


def _not_finite(perceive: Perceiver, state: _State) -> Exception:
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


def _stored(network: nn.Module, optimizer: torch.optim.Optimizer, feeder: Feeder, state: _State) -> dict[str, Any]:
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "order": json.dumps(feeder.order.bit_generator.state),
        "noise": feeder.noise.get_state(),
    }


def _restore(
    path: Path, made_of: str, network: nn.Module, optimizer: torch.optim.Optimizer, feeder: Feeder, state: _State
) -> bool:
    """Goes on from the checkpoint; False if it was made of other data or settings."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        if stored["made_of"] != made_of:
            return False
        network.load_state_dict(stored["network"])
        optimizer.load_state_dict(stored["optimizer"])
        feeder.order.bit_generator.state = json.loads(stored["order"])
        feeder.noise.set_state(stored["noise"])
        state.step, state.seconds = stored["step"], stored["seconds"]
    except Exception as error:
        raise StateModelError(
            f"{path} cannot be read as a checkpoint of this training: {error}",
            expected="a checkpoint written by the same command",
            todo=f"delete {path} to start the training anew",
        ) from error
    return True


def _made_of(path: Path) -> str | None:
    """What the finished training whose description stands at ``path`` was made of, if one stands there."""
    try:
        return json.loads(path.read_text()).get("made_of")
    except (OSError, ValueError):
        return None
