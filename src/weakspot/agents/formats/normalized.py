"""Observations as ``VecNormalize`` of stable-baselines3 scaled them for an agent, out of the file that its ``save`` wrote.

    x -> clip((x - mean) / sqrt(variance + epsilon), -clip, clip),        pixel by pixel

The file is a pickle.  It is not run: of every object in it only a husk is made, and the numbers are read off the husks.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weakspot.agents.tensors.pickled import TensorsOnly
from weakspot.errors import WeightsError

NAMES = ("vecnormalize.pkl", "vec_normalize.pkl")
"""What the file is called that lies beside an agent."""


@dataclass(frozen=True)
class Statistics:
    """What the observations of a training were like.

    Attributes:
        mean: of each pixel (c, h, w), float64, in 0 to 255.
        variance: of each pixel (c, h, w), float64.
        epsilon: is added to the variance.
        clip: the largest number that the agent was shown.
    """

    mean: np.ndarray
    variance: np.ndarray
    epsilon: float
    clip: float


class Normalized(nn.Module):
    """A network that sees observations (b, c, h, w) in 0 to 255 as ``VecNormalize`` shows them.

    In double precision, as there: where a pixel hardly ever changed, its mean in single precision is too far off.  For the
    same reason levels are rounded to whole ones first, which the agent saw alone: where a pixel never changed, a tenth of
    one is as far off as the scale goes.  Slopes pass through the rounding.
    """

    mean: Tensor
    deviation: Tensor
    clip: Tensor

    def __init__(self, network: nn.Module, statistics: Statistics) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("clip", torch.tensor(statistics.clip, dtype=torch.float64))
        self.register_buffer("mean", torch.from_numpy(statistics.mean))
        self.register_buffer("deviation", torch.from_numpy(np.sqrt(statistics.variance + statistics.epsilon)))

    def forward(self, observation: Tensor) -> Any:
        levels = observation.double()
        scaled = (levels + (levels.round() - levels).detach() - self.mean) / self.deviation
        ends = scaled.detach().clamp(-self.clip, self.clip)
        inside = ends == scaled.detach()
        # A clamp, in numbers and slopes, but not one that guided backpropagation would have to take for a nonlinearity
        # of the agent's
        return self.network((scaled * inside + ends * ~inside).to(observation.dtype))


def statistics_beside(path: Path) -> Path | None:
    """The file of statistics that lies beside an agent's zip: one of :data:`NAMES`, or, of a checkpoint, that of the same
    number of steps alone."""
    return next((path.with_name(name) for name in names_beside(path) if path.with_name(name).is_file()), None)


def names_beside(path: Path) -> tuple[str, ...]:
    """What the file of an agent's statistics may be called."""
    name, is_checkpoint = re.subn(r"_(\d+_steps)$", r"_vecnormalize_\1", path.stem)
    return (f"{name}.pkl",) if is_checkpoint else NAMES


def read_statistics(path: Path) -> Statistics | None:
    """The statistics in a file, without running anything in it; None where it scaled nothing but rewards.

    Raises:
        WeightsError: it cannot be read, or is no ``VecNormalize`` of single pictures.
    """
    try:
        told = TensorsOnly(io.BytesIO(path.read_bytes())).load().state
        if not told["norm_obs"]:
            return None
        running = told["obs_rms"].state
        mean, variance = _numbers(running["mean"]), _numbers(running["var"])
        statistics = Statistics(mean, variance, float(told["epsilon"]), float(told["clip_obs"]))
        _check(statistics)
    except Exception as error:  # a pickle can ask anything of a husk
        raise WeightsError(
            f"{path} cannot be read: {type(error).__name__} {' '.join(str(error).split())[:200]}",
            expected="what VecNormalize.save of stable-baselines3 wrote, of an environment that shows pictures",
            todo="save it again, or build the network with its preprocessing in front in a function: path.py:factory",
        ) from error
    return statistics


def _check(statistics: Statistics) -> None:
    mean, variance = statistics.mean, statistics.variance
    if mean.shape != variance.shape or not np.isfinite([mean, variance]).all() or variance.min(initial=0) < 0:
        raise ValueError(f"means {mean.shape} and variances {variance.shape} that are not finite, or do not fit")
    if not (0 < statistics.clip < np.inf and 0 < statistics.epsilon < np.inf):
        raise ValueError(f"clip_obs {statistics.clip} and epsilon {statistics.epsilon}")


def _numbers(husk: Any) -> np.ndarray:
    """The floating point numbers of an array of which a husk is left, as its ``__reduce__`` describes it."""
    if isinstance(husk, Mapping):
        raise TypeError("statistics by name, of an environment that shows more than a picture")
    if husk.state is None:  # from protocol 5 of pickle on
        content, kind, shape, order = husk.arguments[:4]
        columns_first = order == "F"
    else:
        _, shape, kind, columns_first, content = husk.state
    dtype = np.dtype(f"{kind.state[1]}{kind.arguments[0]}")
    if dtype.kind != "f":
        raise TypeError(f"statistics that are {dtype}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if columns_first else "C").astype(np.float64)
