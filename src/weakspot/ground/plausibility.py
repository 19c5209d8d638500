"""Whether a state of the environment is possible, and how usual it is.

Possible: an edit has broken nothing.  The frames of the state change no more from one to the next than those of real states
do, the state model's round trip is as exact as for real states, the object checks pass if the game has any, and the game can
be played on.  Usual: how far the values of the variables are from the closest recorded ones, as a rank among held-out real
states.  A person who steps in front of a car may be possible without being usual.

The limits of the first two checks are quantiles over held-out real states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from weakspot.analysis.objects.pong import pong_checks
from weakspot.analysis.objects.pong_ball import is_pong
from weakspot.data.dataset import StateDataset, as_state
from weakspot.envs.plays import Play
from weakspot.ground.edits import VariableBank
from weakspot.ground.likeness import MOVING, in_any_channel
from weakspot.state_model.model import StateModel
from weakspot.types import Stacks, State

LIMIT = 0.99
"""Quantile of real states that a possible state may reach."""
MEASURED = 500
"""Held-out real states, at most, that the limits are measured on."""
COMPARED = 4_000
"""Recorded states, at most, that variables are compared with."""
WINDOW = 1 / 16
"""Side of the windows in which reconstructions are compared, in sides of a frame."""
BATCH = 64
"""States that are reconstructed at once."""
PLAYED_ON = 100
"""Decisions that are played on."""


@dataclass(frozen=True)
class Density:
    """How far variables are from the closest recorded ones.

    Attributes:
        bank: the recorded values.
        rows: values of the varying variables, in standard deviations (m, v).
        held_out: distances of held-out real states from the closest of these (n,).
    """

    bank: VariableBank
    rows: np.ndarray
    held_out: np.ndarray

    def unusual(self, values: np.ndarray) -> float:
        """The share of held-out real states that are closer to recorded ones than these values (v,)."""
        distance = _nearest(_scaled(values[None], self.bank), self.rows)[0]
        return float(np.count_nonzero(self.held_out < distance)) / len(self.held_out)


def measure_density(bank: VariableBank, held_out: np.ndarray, generator: np.random.Generator) -> Density | None:
    """The density of recorded values; None if no variable varies or nothing is held out.

    Args:
        bank: values in the training states.
        held_out: values in held-out states (n, v).
        generator: chooses the rows that are compared.
    """
    if not len(bank.varying) or not len(held_out):
        return None
    rows = _scaled(generator.permutation(bank.rows)[:COMPARED], bank)
    chosen = generator.permutation(held_out)[:MEASURED]
    return Density(bank, rows, _nearest(_scaled(chosen, bank), rows))


def _scaled(values: np.ndarray, bank: VariableBank) -> np.ndarray:
    return (values[:, bank.varying] / bank.spread[bank.varying]).astype(np.float32)


def _nearest(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The distance of each of the values (n, v) from the closest row (m, v)."""
    return torch.cdist(torch.as_tensor(values), torch.as_tensor(rows)).min(dim=1).values.numpy()


@dataclass(frozen=True)
class Checks:
    """Whether a state is possible.

    Attributes:
        settles: its frames change no more from one to the next than those of real states.
        round_trip: the state model reconstructs it as well as real states.
        objects: it passes the object checks; None for games without.
        plays_on: the game goes on, its picture changes, and it does so in the same way from a snapshot.
    """

    settles: bool
    round_trip: bool
    objects: bool | None
    plays_on: bool

    @property
    def possible(self) -> bool:
        """Whether nothing is broken."""
        return self.settles and self.round_trip and self.objects is not False and self.plays_on


@dataclass(frozen=True)
class Drawing:
    """How the environment draws: the quick checks, which need no state model.

    Attributes:
        environment: id of the environment.
        jump: largest share of pixels that change from one frame of a state to the next.
    """

    environment: str
    jump: float

    def is_whole(self, stacks: Stacks) -> np.ndarray:
        """Which states (n, k, h, w, c) settle and pass the object checks (n,)."""
        settles = jumps(stacks) <= self.jump
        return settles & pong_checks(stacks).valid if is_pong(self.environment) else settles


def measure_drawing(dataset: StateDataset, indices: np.ndarray, generator: np.random.Generator) -> Drawing:
    """Measures the limit on some of the recorded states ``indices``."""
    stacks = dataset.stacks(generator.permutation(indices)[:MEASURED])
    return Drawing(dataset.environment.id, float(np.quantile(jumps(stacks), LIMIT)))


@dataclass(frozen=True)
class Plausibility:
    """The limits of one agent's recorded states.

    Attributes:
        model: the state model.
        drawing: the quick checks.
        error: largest mean squared error of a reconstruction in any window; see :func:`errors`.
    """

    model: StateModel
    drawing: Drawing
    error: float

    def could_be(self, stacks: Stacks) -> np.ndarray:
        """Which states (n, k, h, w, c) pass all checks of their pictures (n,)."""
        whole = self.drawing.is_whole(stacks)
        if whole.any():
            whole[whole] = errors(self.model, stacks[whole]) <= self.error
        return whole

    def check(self, stack: np.ndarray, onwards: Play | None) -> Checks:
        """Checks a state (k, h, w, c), given what happened when it was played on; None if it could not be."""
        moves = onwards is not None and not all(np.array_equal(frame, onwards.frames[0]) for frame in onwards.frames)
        alive = onwards is not None and (not onwards.ended or len(onwards.frames) > len(stack))
        return Checks(
            settles=float(jumps(stack[None])[0]) <= self.drawing.jump,
            round_trip=float(errors(self.model, stack[None])[0]) <= self.error,
            objects=bool(pong_checks(stack[None]).valid[0]) if is_pong(self.drawing.environment) else None,
            plays_on=moves and alive,
        )


def measure_plausibility(
    model: StateModel, dataset: StateDataset, held_out: np.ndarray, generator: np.random.Generator
) -> Plausibility:
    """Measures the limits on held-out real states."""
    chosen = generator.permutation(held_out)[:MEASURED]
    error = float(np.quantile(errors(model, dataset.stacks(chosen)), LIMIT))
    return Plausibility(model, measure_drawing(dataset, chosen, generator), error)


def jumps(stacks: Stacks) -> np.ndarray:
    """The largest share of pixels that change from one frame of a state to the next (n,); 0 for single frames."""
    if stacks.shape[1] < 2:
        return np.zeros(len(stacks))
    return np.array([_jump(stack.astype(np.int16)) for stack in stacks])


def _jump(stack: np.ndarray) -> float:
    changes = in_any_channel(np.abs(stack[1:] - stack[:-1]) > MOVING)
    return float(changes.mean(axis=(1, 2)).max())


def errors(model: StateModel, stacks: Stacks) -> np.ndarray:
    """The mean squared error of each reconstruction where it is largest: in any square window of any frame (n,).

    Windows have a side of :data:`WINDOW`, and colours are in [0, 1].  The mean over whole states would say little in games
    whose background flashes now and then: a few such states have a larger error than a picture whose objects are broken.
    """
    frames, channels = stacks.shape[1], stacks.shape[-1]
    found: list[torch.Tensor] = []
    for real, rebuilt in reconstructions(model, stacks):
        squared = (rebuilt - real).square()
        error = squared.reshape(len(squared), frames, channels, *squared.shape[2:]).mean(dim=2)
        side = min(max(1, round(WINDOW * max(error.shape[2:]))), *error.shape[2:])
        found.append(functional.avg_pool2d(error, side, stride=1).amax(dim=(1, 2, 3)))
    return torch.cat(found).numpy()


def reconstructions(model: StateModel, stacks: Stacks) -> Iterator[tuple[State, State]]:
    """States (b, kc, h, w) and their reconstructions on the CPU, batch by batch."""
    with torch.no_grad():
        for real in torch.split(as_state(stacks), BATCH):
            yield real, model.reconstruct(real.to(model.device)).cpu()
