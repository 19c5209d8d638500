"""Where the random samples that break an object check come from: the network, the flow, or how the flow is integrated.

    python -m benchmarks.prior --frames 80000 --cpu-minutes 60 --folder runs/pong --output docs/fidelity/pong-prior.json

Of real states of Pong, of their reconstructions, of what is decoded from codes that the encoder draws around its means, and
of random samples with more and more steps of integration, or from a narrower N(0, s^2 I): the share that passes the checks,
with its interval.  And how far from where it began a point of N(0, I) ends that goes through the flow and back.  The model
is that of :mod:`benchmarks.fidelity` in the same folder; it is trained now if it does not stand.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.recall import curve, stored
from lab.arguments import at_least, for_trainings
from weakspot.analysis.objects.pong import pong_checks
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.config import RunConfig
from weakspot.data.dataset import as_stacks, as_state
from weakspot.errors import ConfigError
from weakspot.intervals import wilson
from weakspot.state_model.batch import with_history
from weakspot.state_model.flow import FlowPrior
from weakspot.state_model.model import StateModel
from weakspot.state_model.recipes import RECIPES, recipe
from weakspot.subject import subject
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.types import State

BATCH = 64
STEPS = (4, 8, 16, 32)
SCALES = (0.9, 0.8)


def account(model: StateModel, real: State, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Says of real states (n, kc, h, w), and of as many made in each way, which checks they pass.

    Raises:
        ConfigError: the model has no flow.
    """
    if not isinstance(model.prior, FlowPrior):
        raise ConfigError(f"a model of the recipe {model.info.get('recipe')} has no flow", expected="fast")
    real, prior, generator = real.to(model.device), model.prior, torch.Generator().manual_seed(seed)
    noise, around = torch.randn(2, len(real), model.latent, generator=generator).to(model.device)
    lines = {
        "real states": checked(lambda part: part, real),
        "reconstructions": checked(model.reconstruct, real),
        "decoded from drawn codes": checked(lambda part, away: _drawn(model, part, away), real, around),
    }
    for n in sorted({prior.integration, *STEPS}):
        finely = replace(model, prior=replace(prior, integration=n))
        lines[f"samples, {n} steps"] = checked(finely.generate, noise) | {"there and back": there_and_back(finely, noise)}
    for scale in SCALES:
        lines[f"samples, {prior.integration} steps, from {scale:g} u"] = checked(model.generate, scale * noise)
    return lines


def checked(made: Callable[..., State], *given: Tensor) -> dict[str, Any]:
    """Which checks the states pass that are made of the rows of ``given``, and how long making them took."""
    started = time.process_time()
    with torch.no_grad():
        states = torch.cat([made(*parts) for parts in zip(*(rows.split(BATCH) for rows in given), strict=True)])
    seconds = round(time.process_time() - started, 2)
    checks = pong_checks(as_stacks(states))
    return checks.line() | {"valid": wilson(int(checks.valid.sum()), len(states)), "seconds": seconds}


def there_and_back(model: StateModel, noise: Tensor) -> float:
    """Root mean square of how far points of N(0, I) end from where they began, through the flow and back."""
    with torch.no_grad():
        apart = [model.prior.to_noise(model.prior.to_latent(part)) - part for part in noise.split(BATCH)]
    return round(float(torch.cat(apart).square().mean().sqrt()), 4)


def _drawn(model: StateModel, states: State, around: Tensor) -> State:
    mean, log_variance = model.network.encode(states)
    return model.network.decode(mean + torch.exp(0.5 * log_variance) * around).clamp(0.0, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for_trainings(parser, minutes=60.0)
    parser.add_argument("--recipe", default="fast", choices=[name for name in RECIPES if recipe(name).flow])
    parser.add_argument("--states", type=at_least(1), default=1000, help="of each kind, at most")
    parser.add_argument("--output", type=Path, help="prior.json in --folder without")
    told = parser.parse_args()
    one = subject(RunConfig(agent=told.agent, environment=told.environment))
    if not is_pong(one.spec.id):
        raise ConfigError(f"object checks of samples with an agent of {one.spec.id}", expected="an agent of Pong")
    make_folder(told.folder)
    dataset, maps = stored(one, told.folder, told.frames)
    model, _ = curve(one, (dataset, maps), told.recipe, told.cpu_minutes, told.folder, time.process_time)
    held = with_history(dataset, dataset.split()[1])
    chosen = np.random.default_rng(0).permutation(held)[: told.states]
    lines = account(model, as_state(dataset.stacks(chosen)))
    for name, line in lines.items():
        print(f"{name}: {json.dumps(line)}", flush=True)
    settings = {
        "agent": one.agent.spec.name, "recipe": told.recipe, "frames": told.frames, "cpu_minutes": told.cpu_minutes,
        "states": len(chosen), "torch": torch.__version__,
    }  # fmt: skip
    write_json(told.output or told.folder / "prior.json", {"settings": settings, "states": lines})


if __name__ == "__main__":
    sys.exit(exit_code(main))
