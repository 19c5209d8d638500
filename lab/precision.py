"""The work of a training in float32 and in bfloat16, as functions that are timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch

from weakspot.session import Session
from weakspot.state_model.batch import measure as measure_statistics
from weakspot.state_model.feeder import Feeder
from weakspot.state_model.flow import FlowConfig
from weakspot.state_model.flow_training import FlowTrainer, Posteriors, matching_loss
from weakspot.state_model.recipes import recipe
from weakspot.state_model.train import gradients
from weakspot.state_model.whitening import identity
from weakspot.system.compute import resolve
from weakspot.system.processor import has_bfloat16_units

Format = Literal["float32", "bfloat16"]
FORMATS: tuple[Format, ...] = ("float32", "bfloat16")
HAS_UNITS = has_bfloat16_units()
"""Whether the processor multiplies bfloat16 numbers in hardware."""
MATRIX = 1_024
"""Side of the matrices whose product is timed."""


def flow_on_noise(latent: int, frames: int, dtype: torch.dtype) -> FlowTrainer:
    """A flow that is trained on noise, for its times alone."""
    means = torch.randn(4_096, latent, generator=torch.Generator().manual_seed(0))
    posteriors = Posteriors(means, torch.full_like(means, 0.1), identity(latent))
    return FlowTrainer(posteriors, frames, FlowConfig(), 0, dtype)


def products(session: Session) -> dict[str, Callable[[Format], Callable[[], object]]]:
    """What is timed, as functions of the number format."""
    dataset, indices = session.dataset, session.trained_on
    fast = recipe("fast")
    statistics = measure_statistics(dataset, indices, np.random.default_rng(0))

    def network_step(precision: Format) -> Callable[[], object]:
        network: Any = fast.network(statistics, resolve(precision, "cpu"))
        feeder = Feeder(dataset, session.maps, indices, network.latent, 0)
        batch = feeder.batch(*feeder.draw(fast.config.batch_size), "cpu")
        return lambda: gradients(fast, network, batch, session.perceive, statistics, 1.0)

    def flow(precision: Format) -> FlowTrainer:
        return flow_on_noise(statistics.frames * fast.config.code, statistics.frames, resolve(precision, "cpu"))

    def flow_step(precision: Format) -> Callable[[], object]:
        trainer = flow(precision)
        return lambda: trainer.step(0.1, 100)

    def flow_gradients(precision: Format) -> Callable[[], object]:
        trainer = flow(precision)
        return lambda: torch.autograd.backward(matching_loss(trainer.velocity, *trainer.batch()))

    def product(precision: Format) -> Callable[[], object]:
        matrix = torch.randn(MATRIX, MATRIX, generator=torch.Generator().manual_seed(0)).to(resolve(precision, "cpu"))
        return lambda: matrix @ matrix

    return {
        "step of the network": network_step,
        "step of the flow": flow_step,
        "forward and backward pass of the flow": flow_gradients,
        f"product of {MATRIX}x{MATRIX} matrices": product,
    }
