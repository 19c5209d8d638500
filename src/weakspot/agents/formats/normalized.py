"""Observations normalised as by ``VecNormalize`` of stable-baselines3, with the statistics that its ``save`` wrote:

    x -> clip((x - mean) / sqrt(variance + epsilon), -clip, clip)        for each pixel

The file is a pickle.  No code in it is run: its objects become placeholders, from which the numbers are read.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weakspot.agents.tensors.pickled import TensorUnpickler
from weakspot.errors import WeightsError


@dataclass(frozen=True)
class Statistics:
    """Running statistics of the observations of a training.

    Attributes:
        mean: of each pixel (c, h, w), float64, in 0 to 255.
        variance: of each pixel (c, h, w), float64.
        epsilon: added to the variance.
        clip: largest absolute value of a normalised observation.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    epsilon: float
    clip: float


class Normalized(nn.Module):
    """A network behind the normalisation: takes observations (b, c, h, w) in 0 to 255.

    The normalisation is computed in double precision, as in stable-baselines3: for a pixel that hardly ever changed, single
    precision is not enough to subtract the mean.  For the same reason gray levels are first rounded to integers, the only
    values that the agent saw in training: for a pixel that never changed, a tenth of a gray level reaches the clip.
    Gradients pass through the rounding unchanged.
    """

    mean: Tensor
    deviation: Tensor
    clip: Tensor

    def __init__(self, network: nn.Module, statistics: Statistics) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("clip", torch.tensor(statistics.clip, dtype=torch.float64))
        self.register_buffer("mean", torch.tensor(statistics.mean))
        self.register_buffer("deviation", torch.tensor(np.sqrt(statistics.variance + statistics.epsilon)))

    def forward(self, observation: Tensor) -> Any:
        levels = observation.double()
        scaled = (levels + (levels.round() - levels).detach() - self.mean) / self.deviation
        clipped = scaled.detach().clamp(-self.clip, self.clip)
        inside = clipped == scaled.detach()
        # The values and gradients of a clamp, in a form that guided backpropagation does not mistake for one of the
        # agent's nonlinearities.
        return self.network((scaled * inside + clipped * ~inside).to(observation.dtype))


def read_statistics(path: Path) -> Statistics | None:
    """Reads the statistics in a file of ``VecNormalize.save``, without running any code in it.

    Returns:
        The statistics; None if only rewards were normalised.

    Raises:
        WeightsError: the file cannot be read, or is not a ``VecNormalize`` of an environment with images alone.
    """
    try:
        settings = TensorUnpickler(io.BytesIO(path.read_bytes())).load().state
        if not settings["norm_obs"]:
            return None
        running = settings["obs_rms"].state
        mean, variance = _array(running["mean"]), _array(running["var"])
        statistics = Statistics(mean, variance, float(settings["epsilon"]), float(settings["clip_obs"]))
        _check(statistics)
    except Exception as error:  # a pickle can do anything with a placeholder
        raise WeightsError(
            f"{path} cannot be read: {type(error).__name__} {' '.join(str(error).split())[:200]}",
            expected="a file of VecNormalize.save of stable-baselines3, for an environment with images as observations",
            todo="save it again, or build the network with its preprocessing in front in a function: path.py:factory",
        ) from error
    return statistics


def _check(statistics: Statistics) -> None:
    mean, variance = statistics.mean, statistics.variance
    if mean.shape != variance.shape or not np.isfinite([mean, variance]).all() or variance.min(initial=0) < 0:
        raise ValueError(f"means {mean.shape} and variances {variance.shape} that are not finite, or do not fit each other")
    if not (0 < statistics.clip < np.inf and 0 < statistics.epsilon < np.inf):
        raise ValueError(f"clip_obs {statistics.clip} and epsilon {statistics.epsilon}")


def _array(placeholder: Any) -> NDArray[np.float64]:
    """The numpy array of floating point numbers that a placeholder stands for, from what ``ndarray.__reduce__`` wrote."""
    if isinstance(placeholder, Mapping):
        raise TypeError("statistics by name, of an environment with more than one observation")
    if placeholder.state is None:  # pickle protocol 5 and later
        content, kind, shape, order = placeholder.arguments[:4]
        is_column_major = order == "F"
    else:
        _, shape, kind, is_column_major, content = placeholder.state
    dtype: np.dtype[Any] = np.dtype(f"{kind.state[1]}{kind.arguments[0]}")
    if dtype.kind != "f":
        raise TypeError(f"statistics that are {dtype}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_column_major else "C").astype(np.float64)
