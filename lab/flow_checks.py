"""Where random samples lose objects: in the network, in the flow, or in the flow's integration."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from weakspot.analysis.objects.pong import pong_checks
from weakspot.data.dataset import as_stacks
from weakspot.errors import ConfigError
from weakspot.intervals import wilson
from weakspot.state_model.flow import FlowPrior
from weakspot.state_model.model import StateModel
from weakspot.types import State

BATCH = 64


def checks_by_origin(
    model: StateModel, real: State, steps: tuple[int, ...], scales: tuple[float, ...], seed: int = 0
) -> dict[str, dict[str, Any]]:
    """The object checks of real states (n, kc, h, w) of Pong, and of as many states made in different ways.

    Args:
        model: with a flow.
        real: the real states.
        steps: numbers of integration steps of the flow.
        scales: s of samples from N(0, s^2 I).
        seed: of the samples.

    Raises:
        ConfigError: the model has no flow.
    """
    if not isinstance(model.prior, FlowPrior):
        raise ConfigError(f"a model of the recipe {model.info.get('recipe')} has no flow", expected="fast")
    real, prior, generator = real.to(model.device), model.prior, torch.Generator().manual_seed(seed)
    noise, epsilon = torch.randn(2, len(real), model.latent, generator=generator).to(model.device)
    record = {
        "real states": _checked(lambda part: part, real),
        "reconstructions": _checked(model.reconstruct, real),
        "decoded from drawn codes": _checked(lambda part, epsilon: _decode_drawn(model, part, epsilon), real, epsilon),
    }
    for count in sorted({prior.integration, *steps}):
        finer = replace(model, prior=replace(prior, integration=count))
        error = round_trip_error(finer, noise)
        record[f"samples, {count} steps"] = _checked(finer.generate, noise) | {"there and back": error}
    for scale in scales:
        record[f"samples, {prior.integration} steps, from {scale:g} u"] = _checked(model.generate, scale * noise)
    return record


def round_trip_error(model: StateModel, noise: Tensor) -> float:
    """Root mean square distance of points of N(0, I) (n, z) from where they end after the flow and its inverse."""
    with torch.no_grad():
        errors = [model.prior.to_noise(model.prior.to_latent(part)) - part for part in noise.split(BATCH)]
    return round(float(torch.cat(errors).square().mean().sqrt()), 4)


def _checked(make: Callable[..., State], *inputs: Tensor) -> dict[str, Any]:
    """The checks that the states made from the rows of ``inputs`` pass, and the processor seconds of making them."""
    started = time.process_time()
    with torch.no_grad():
        states = torch.cat([make(*parts) for parts in zip(*(rows.split(BATCH) for rows in inputs), strict=True)])
    seconds = round(time.process_time() - started, 2)
    checks = pong_checks(as_stacks(states))
    return checks.line() | {"valid": wilson(int(checks.valid.sum()), len(states)), "seconds": seconds}


def _decode_drawn(model: StateModel, states: State, epsilon: Tensor) -> State:
    """States decoded from latents that are drawn around the encoder's means."""
    mean, log_variance = model.network.encode(states)
    return model.network.decode(mean + torch.exp(0.5 * log_variance) * epsilon).clamp(0.0, 1.0)
