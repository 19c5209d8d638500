"""Training steps of a state model.

A batch is split over worker threads if the recipe allows it (``splits_batches``), each with one thread of its own for the
tensor work.  On two cores this is steadier than one step on two threads: no thread spins at a barrier while the other core
is busy with something else.  The gradients of the parts are added in a fixed order, so the result does not depend on timing.

The processes of ``torchrun`` divide a batch in the same way; see :mod:`weakspot.state_model.helper`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.data.recall import hidden_of
from weakspot.errors import ConfigError, OutputError, StateModelError, WeakspotError
from weakspot.state_model.batch import Batch, DataStatistics
from weakspot.state_model.feeder import Feeder
from weakspot.state_model.muon import step_all
from weakspot.state_model.recipes import Recipe
from weakspot.state_model.setup import TrainingSetup
from weakspot.system.compute import threads
from weakspot.system.ranks import Ranks

Part: TypeAlias = tuple[tuple[Tensor, ...], dict[str, float]]
"""Gradients and loss terms of a part of a batch."""


def gradients(
    recipe: Recipe, network: nn.Module, batch: Batch, perceive: Perceiver, statistics: DataStatistics, share: float
) -> tuple[tuple[Tensor, ...], dict[str, float]]:
    """The gradients of ``share`` times the loss on one part of a batch, and ``share`` times the loss and its terms."""
    loss, terms = recipe.loss(network, batch, perceive, statistics)
    grads = torch.autograd.grad(loss * share, list(network.parameters()))
    return grads, {"loss": loss.item() * share, **{name: term.item() * share for name, term in terms.items()}}


class TermMeans:
    """Running means of the loss terms.

    Attributes:
        last: the terms of the last step.
        lines: how often means were taken, each time for a line of the metrics.
    """

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.lines = 0
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, terms: dict[str, float]) -> None:
        """Adds the terms of a step."""
        self.last = terms
        for name, value in self.last.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def take(self) -> dict[str, float]:
        """The means since the last call; empty if there was no step."""
        means = {name: total / self._count for name, total in self._sums.items()} if self._count else {}
        self._sums, self._count, self.lines = {}, 0, self.lines + 1
        return means

    def state_dict(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {"last": dict(self.last), "sums": dict(self._sums), "count": self._count, "lines": self.lines}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores :meth:`state_dict`."""
        self.last, self._sums = dict(state["last"]), dict(state["sums"])
        self._count, self.lines = state["count"], state["lines"]


class Trainer:
    """The network of a state model and everything that its next step depends on.

    It is a :class:`weakspot.system.training_loop.Trainable`; steps are taken inside :meth:`workers`.

    Attributes:
        network: encoder and decoder.
        terms: means of the loss terms.
    """

    def __init__(
        self, setup: TrainingSetup, statistics: DataStatistics, indices: np.ndarray, ranks: Ranks | None = None
    ) -> None:
        self.network = setup.network(statistics)
        self.terms = TermMeans()
        self._setup, self._statistics = setup, statistics
        self._optimizers = setup.recipe.optimizers(self.network)
        self._feeder: Feeder = setup.feeder(indices, self.network.latent)
        self._size = int(setup.recipe.config.batch_size)
        self._parts = setup.config.parts if setup.recipe.splits_batches else 1
        self._ranks = ranks
        if ranks is not None:
            _check_division(setup, ranks, self._size)
        self._chunks = _chunks(self._size, self._parts, ranks)
        self._map: Callable[[Callable[[np.ndarray], Part], list[np.ndarray]], Iterable[Part]] = map

    @contextmanager
    def workers(self) -> Generator[None]:
        """Starts the worker threads for the steps inside the block, and puts the network into training mode."""
        self.network.train()
        if self._parts == 1:
            yield
            return
        with threads(1), ThreadPoolExecutor(self._parts) as pool:
            self._map = pool.map
            try:
                yield
            finally:
                self._map = map

    def step(self, share: float, steps: int) -> None:
        """One step of the optimisers on the next batch.

        Raises:
            OutputError: the agent returned NaN or infinity.
            StateModelError: the loss is not finite.
        """
        recipe = self._setup.recipe
        results = self._results(*self._feeder.draw(self._size))
        grads, terms = _added(results) if self._ranks is None else _total(self._ranks, *_added(results))
        for parameter, grad in zip(self.network.parameters(), grads, strict=True):
            parameter.grad = grad
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        step_all(self._optimizers, recipe.learning_rate(share, steps))
        self.terms.add(terms)
        if not np.isfinite(self.terms.last["loss"]):
            raise self._not_finite(steps + 1)

    def state_dict(self) -> dict[str, Any]:
        """Network, optimisers, random generators and the means of the loss terms."""
        return {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "order": json.dumps(self._feeder.order.bit_generator.state),
            "noise": self._feeder.noise.get_state(),
            "terms": self.terms.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores :meth:`state_dict`."""
        self.network.load_state_dict(state["network"])
        for optimizer, content in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(content)
        self._feeder.order.bit_generator.state = json.loads(state["order"])
        self._feeder.noise.set_state(state["noise"])
        self.terms.load_state_dict(state["terms"])

    def _results(self, chosen: np.ndarray, noise: Tensor) -> list[Part]:
        """The gradients and terms of each part of the batch of the states ``chosen``, in a fixed order."""
        return list(self._map(lambda chunk: self._part(chunk, chosen, noise), self._chunks))

    def _part(self, chunk: np.ndarray, chosen: np.ndarray, noise: Tensor) -> Part:
        batch = self._feeder.batch(chosen[chunk], noise[torch.as_tensor(chunk)], self._setup.device)
        share = len(chunk) / self._size
        perceive = self._setup.perceive.at(hidden_of(self._setup.dataset, chosen[chunk]))
        return gradients(self._setup.recipe, self.network, batch, perceive, self._statistics, share)

    def _not_finite(self, step: int) -> WeakspotError:
        last, agent = self.terms.last, self._setup.perceive.agent.spec.name
        bad = [name for name, value in last.items() if not np.isfinite(value) and name != "loss"]
        if bad == ["perception"]:
            return OutputError(
                f"agent {agent!r} returned NaN or infinity for a reconstructed state in step {step:,}",
                expected="finite numbers for any image",
                todo="check the agent on noise images; divisions and logarithms without a floor are the usual cause",
            )
        return StateModelError(
            f"the loss is no longer finite in step {step:,} ({', '.join(bad) or 'sum'})",
            expected="a finite loss",
            todo="use --train.precision float32, or another --train.seed",
        )


def _added(parts: Sequence[Part]) -> Part:
    """The sums of the gradients and of the terms of parts, in their order."""
    grads = list(parts[0][0])
    for more, _ in parts[1:]:
        for grad, other in zip(grads, more, strict=True):
            grad += other
    return tuple(grads), {name: sum(terms[name] for _, terms in parts) for name in parts[0][1]}


def _total(ranks: Ranks, grads: tuple[Tensor, ...], terms: dict[str, float]) -> Part:
    """The sums of gradients and terms over all processes."""
    (sums,) = ranks.sum([torch.tensor(list(terms.values()), dtype=torch.float64)])
    return tuple(ranks.sum(grads)), dict(zip(terms, (float(value) for value in sums), strict=True))


def _check_division(setup: TrainingSetup, ranks: Ranks, size: int) -> None:
    """Raises :class:`ConfigError` if a batch cannot be divided among processes."""
    if not setup.recipe.splits_batches:
        raise ConfigError(
            f"{ranks.size} processes train with the recipe {setup.config.recipe}, which computes whole batches at once",
            expected="a recipe such as fast",
            todo="start one process, without torchrun, or choose another --train.recipe",
        )
    if size < ranks.size:
        raise ConfigError(
            f"{ranks.size} processes train on batches of {size}",
            expected="at least one state for each",
            todo="start fewer processes, or raise --train.batch-size",
        )


def _chunks(size: int, parts: int, ranks: Ranks | None) -> list[np.ndarray]:
    """The positions of this process's share of a batch of ``size``, in at most ``parts`` parts, none of them empty."""
    own = np.arange(size) if ranks is None else np.array_split(np.arange(size), ranks.size)[ranks.rank]
    chunks: list[np.ndarray] = np.array_split(own, parts)
    return [chunk for chunk in chunks if len(chunk)]
