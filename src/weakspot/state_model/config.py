"""Settings of the training of a state model.  Imports neither torch nor numpy."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Literal

from weakspot.data.config import HELD_OUT
from weakspot.errors import ConfigError
from weakspot.options import Precision
from weakspot.system.checks import check_seed
from weakspot.system.processor import cpu_format

FEW_NATS = 5.0
"""A state model whose latents carry less than this about a state, in nats, has collapsed: ten tell 20,000 states apart."""


def is_collapsed(kl: float, active_units: int) -> bool:
    """Whether latents say next to nothing about a state: they carry less than :data:`FEW_NATS`, or none of them varies."""
    return kl < FEW_NATS or not active_units


def collapse_words(kl: float, nats: str) -> str:
    """What is wrong with latents that :func:`is_collapsed` finds; ``nats`` is the KL as a text."""
    return f"the latents carry {nats} nats about a state" if kl < FEW_NATS else "no latent dimension varies between states"


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training of the state model.

    Attributes:
        recipe: fast, fast-gaussian, paper, paper-attentive, paper-vae, or a recipe of another installed package.
        recipe_settings: Settings of the recipe that differ from its defaults, as NAME=VALUE, such as scale=65025 for the
            recipe paper. The names are the fields of the recipe's config.
        minutes: Budget in minutes, without measurements. The learning rate schedule follows it. Ignored if steps is not 0.
        clock: Clock that measures the minutes: wall, or processor, the CPU time of all threads together, which does not
            count other work on the machine.
        prior_share: Share of the minutes for training the prior, if the recipe has a flow.
        steps: Budget in steps, for results that are reproducible bit for bit with the same number of workers; 0 uses
            minutes.
        prior_steps: Training steps of the prior if the budget is in steps.
        batch_size: States in a batch; 0 uses the recipe's number, and sixteen times as many on CUDA if the recipe allows it.
        seed: Seed of all random numbers of the training.
        held_out: Share of the states that is held out from training, in a few segments of every stream.
        checkpoint_every: Seconds between two checkpoints.
        measure_every: Seconds between two measurements on held-out states.
        measured: Maximum number of held-out states in a measurement.
        workers: Parts of a batch that are computed in parallel; 0 uses one for each core, at most two.
        precision: Number format of the fast recipe's matrix products; auto uses bfloat16 where the hardware supports it.

    Raises:
        ConfigError: a value is out of range.
    """

    recipe: str = "fast"
    recipe_settings: tuple[str, ...] = ()
    minutes: float = 5.75
    clock: Literal["wall", "processor"] = "wall"
    prior_share: float = 0.5
    steps: int = 0
    prior_steps: int = 400
    batch_size: int = 0
    seed: int = 0
    held_out: float = HELD_OUT
    checkpoint_every: float = 60.0
    measure_every: float = 60.0
    measured: int = 500
    workers: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if not math.isfinite(self.minutes) or (self.minutes <= 0 and self.steps <= 0):
            raise ConfigError(
                f"a training of {self.minutes} minutes and {self.steps} steps",
                expected="a positive number of minutes or steps",
                todo="set --train.minutes or --train.steps",
            )
        for name in ("checkpoint_every", "measure_every"):
            if not getattr(self, name) >= 0:  # also rejects NaN
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="seconds, 0 or more")
        if not 0 < self.prior_share < 1 or self.prior_steps < 1:
            raise ConfigError(
                f"a prior with {self.prior_share} of the minutes, or {self.prior_steps} steps",
                expected="a share above 0 and below 1, and at least one step",
            )
        check_seed(self.seed)
        if self.measured < 1:
            raise ConfigError(f"measured is {self.measured}", expected="1 or more")
        if min(self.workers, self.batch_size) < 0:
            raise ConfigError(f"{self.workers} workers and batches of {self.batch_size}", expected="0 or more of each")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"a held-out share of {self.held_out}", expected="more than 0 and less than 1")

    @property
    def parts(self) -> int:
        """The number of workers on this machine."""
        return self.workers or min(2, len(os.sched_getaffinity(0)))

    @property
    def cpu_format(self) -> Literal["float32", "bfloat16"]:
        """The number format of matrix products on this machine's processor."""
        return cpu_format(self.precision)
