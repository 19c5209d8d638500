"""How fast a training step and the layers of its network run, beside a plain matrix product in the same number format."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lab.precision import MATRIX, flow_on_noise
from weakspot.session import Session
from weakspot.state_model.batch import measure as measure_statistics
from weakspot.state_model.feeder import Feeder
from weakspot.state_model.flow_training import matching_loss
from weakspot.state_model.recipes import recipe
from weakspot.state_model.train import gradients
from weakspot.system.compute import mixed, resolve


def shares_of_peak(session: Session, rounds: int) -> dict[str, Any]:
    """Operations, milliseconds and share of the peak of a step of ``fast``, of each of its layers, and of its flow.

    The operations of the step are those of its layers; it also contains the agent's passes and the loss.  Times are those
    of forward and backward passes on one thread, as medians; the layers are timed one by one.
    """
    torch.set_num_threads(1)
    precision = resolve("auto", "cpu")
    peak = _peak(precision, rounds)
    dataset, indices, fast = session.dataset, session.trained_on, recipe("fast")
    statistics = measure_statistics(dataset, indices, np.random.default_rng(0))
    network: Any = fast.network(statistics, precision)
    feeder = Feeder(dataset, session.maps, indices, network.latent, 0)
    batch = feeder.batch(*feeder.draw(fast.config.batch_size), "cpu")
    inputs = _inputs_of_layers(network, batch.state)

    def step() -> None:
        gradients(fast, network, batch, session.perceive, statistics, 1.0)

    return {
        "format": str(precision).removeprefix("torch."),
        "peak_gflops": round(peak, 1),
        "step": _line(step, rounds, peak),
        "layers": {name: _line(_pass(layer, values, precision), rounds, peak) for name, (layer, values) in inputs.items()},
        "flow": _flow(statistics.frames * fast.config.code, statistics.frames, precision, rounds, peak),
    }


def _flow(latent: int, frames: int, precision: torch.dtype, rounds: int, peak: float) -> dict[str, Any]:
    """A step of the flow, its forward and backward pass, and the share of its optimisers in the step."""
    trainer = flow_on_noise(latent, frames, precision)
    passes = _line(lambda: matching_loss(trainer.velocity, *trainer.batch()).backward(), rounds, peak)
    whole = _line(lambda: trainer.step(0.1, 100), rounds, peak)
    return {"step": whole, "passes": passes, "optimiser_share": round(1.0 - passes["ms"] / whole["ms"], 3)}


def _peak(precision: torch.dtype, rounds: int) -> float:
    """Billions of operations a second of a plain product."""
    matrix = torch.randn(MATRIX, MATRIX, generator=torch.Generator().manual_seed(0)).to(precision)
    return 2e-9 * MATRIX**3 / _seconds(lambda: matrix @ matrix, rounds)


def _line(work: Callable[[], object], rounds: int, peak: float) -> dict[str, float]:
    with FlopCounterMode(display=False) as counter:
        work()
    return _shares(1e-9 * counter.get_total_flops(), _seconds(work, rounds), peak)


def _shares(operations: float, seconds: float, peak: float) -> dict[str, float]:
    return {
        "gflop": round(operations, 3),
        "ms": round(1e3 * seconds, 2),
        "share_of_peak": round(operations / seconds / peak, 3),
    }


def _seconds(work: Callable[[], object], rounds: int) -> float:
    """Median processor seconds, after one round to warm up."""
    taken: list[float] = []
    for _ in range(rounds + 1):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return median(taken[1:])


def _inputs_of_layers(network: Any, state: Tensor) -> dict[str, tuple[nn.Module, Tensor]]:
    """The convolutions and linear maps of a network by name, each with the input that it gets for a batch of states."""
    found: dict[str, tuple[nn.Module, Tensor]] = {}
    names = {module: name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}

    def keep(layer: nn.Module, words: tuple[Tensor, ...], _: object) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        found[names[layer]] = (layer, words[0].detach())

    hooks = [layer.register_forward_hook(keep) for layer in names]
    with torch.no_grad():
        network.decode(network.encode(state)[0])
    for hook in hooks:
        hook.remove()
    return found


def _pass(layer: nn.Module, values: Tensor, precision: torch.dtype) -> Callable[[], object]:
    """Forward and backward pass of a layer, to its weights and its input."""
    inputs = values.clone(memory_format=torch.preserve_format).requires_grad_()
    with mixed(inputs.device, precision), torch.no_grad():
        direction = torch.randn_like(layer(inputs))

    def once() -> None:
        with mixed(inputs.device, precision):
            outputs = layer(inputs)
        torch.autograd.backward(outputs, direction)

    return once
