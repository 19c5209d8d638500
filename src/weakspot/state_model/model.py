"""A trained state model: g and f in the space where the data's latents follow N(0, I)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is untyped
from torch import Tensor

from weakspot.errors import StateModelError
from weakspot.run.verified import verify_file
from weakspot.state_model.batch import DataStatistics
from weakspot.state_model.flow import FlowConfig, FlowPrior, Velocity
from weakspot.state_model.recipes import Recipe, recipe
from weakspot.state_model.whitening import Whitening
from weakspot.system.files import raise_unless_damage, write_atomic
from weakspot.types import Latent, State

FORMAT = 3
SECONDS = "seconds"
"""The entries of a model's description, of the whole and of its flow, that depend on the clock."""


@runtime_checkable
class Prior(Protocol):
    """An invertible, differentiable map between N(0, I) and the distribution of the data's latents."""

    @property
    def device(self) -> torch.device: ...

    def to_latent(self, noise: Latent) -> Latent: ...

    def to_noise(self, latent: Latent) -> Latent: ...

    def tensors(self) -> dict[str, Tensor]: ...


class _ClampStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: State) -> State:
        return state.clamp(0.0, 1.0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return grad_outputs[0]


@dataclass(frozen=True)
class StateModel:
    """The generative model of the states (paper, section 2.1), trained.

    Attributes:
        network: encoder and decoder, in evaluation mode.
        prior: the distribution of the data's latents as a map from N(0, I); the identity for the paper's recipe.
        info: the recipe, settings and steps of its training, and the data and agent that it was trained on.
    """

    network: Any
    prior: Prior
    info: dict[str, Any]

    @property
    def latent(self) -> int:
        """z, the number of latent dimensions."""
        return self.network.latent

    @property
    def device(self) -> torch.device:
        return self.prior.device

    def generate(self, noise: Latent) -> State:
        """States in [0, 1] from points of the N(0, I) space, differentiable as :meth:`decode` is."""
        return self.decode(self.prior.to_latent(noise))

    def encode(self, state: State) -> Latent:
        """The points of the N(0, I) space at which the encoder's means lie."""
        mean, _ = self.network.encode(state)
        return self.prior.to_noise(mean)

    def reconstruct(self, state: State) -> State:
        """g(f_mu(s)): states in [0, 1] through the bottleneck, without noise."""
        mean, _ = self.network.encode(state)
        return self.decode(mean)

    def posterior(self, state: State) -> tuple[Latent, Latent]:
        """f(s): means and log-variances (b, z) of the latents of states."""
        return self.network.encode(state)

    def decode(self, latent: Latent) -> State:
        """g: states in [0, 1] from latents, not from points of the N(0, I) space; differentiable.

        Values out of range are clamped.  Their gradient passes unchanged (straight-through), so that an optimisation does
        not get stuck at the edge of the range.
        """
        return cast(Any, _ClampStraightThrough).apply(self.network.decode(latent))


def separate(tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU, which shares memory with no other tensor, as safetensors files require."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def save(model: StateModel, statistics: DataStatistics, path: Path) -> None:
    """Writes the model to a safetensors file in float32, atomically; :func:`load` reads it.

    The file does not say how long the training took, so that equal trainings give equal files.
    """
    tensors: dict[str, Tensor] = {f"network.{name}": tensor for name, tensor in model.network.state_dict().items()}
    tensors |= {f"prior.{name}": tensor for name, tensor in model.prior.tensors().items()}
    tensors["statistics.median"], tensors["statistics.answer_variance"] = statistics.median, statistics.output_variance
    tensors = {name: separate(tensor) for name, tensor in tensors.items()}
    header = {"format": FORMAT, "frames": statistics.frames, **_without_seconds(model.info)}
    write_atomic(path, lambda temporary: save_file(tensors, temporary, metadata={"weakspot": json.dumps(header)}))


def _without_seconds(info: dict[str, Any]) -> dict[str, Any]:
    """The entries of a description that are the same whenever the training is repeated."""
    return {
        name: _without_seconds(cast("dict[str, Any]", value)) if isinstance(value, dict) else value
        for name, value in info.items()
        if name != SECONDS
    }


def load(
    path: Path,
    device: torch.device | str = "cpu",
    precision: torch.dtype = torch.float32,
    chosen_recipe: Recipe | None = None,
) -> StateModel:
    """Reads what :func:`save` wrote; raises :class:`StateModelError` for anything else.

    Args:
        path: the file.
        device: of the model.
        precision: number format of the matrix products of the recipe ``fast``.
        chosen_recipe: the recipe, if it is not the one that the file names.
    """
    if not path.is_file():
        raise StateModelError(f"there is no state model at {path}", todo="run the train stage first")
    verify_file(path)
    try:
        metadata, tensors = _read_safetensors(path)
        header = json.loads(metadata["weakspot"])
        if header["format"] != FORMAT:
            raise StateModelError(
                f"{path} is a state model of format {header['format']}",
                expected=f"format {FORMAT}",
                todo="train it again with this version",
            )
        statistics = DataStatistics(
            tensors["statistics.median"],
            tensors["statistics.answer_variance"],
            header["frames"],
        )
        chosen = chosen_recipe or recipe(header["recipe"], header["settings"])
        network: Any = chosen.network(statistics, precision)
        network.load_state_dict(
            {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        )
        prior_tensors = {
            name.removeprefix("prior."): t.to(device) for name, t in tensors.items() if name.startswith("prior.")
        }
        prior = _prior(prior_tensors, header, network, precision)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise_unless_damage(path, error)
        raise StateModelError(
            f"{path} is not a state model, or is damaged: {error}",
            expected="a file written by the train stage",
            todo="delete it and run the same command again",
        ) from error
    network.to(device).eval().requires_grad_(False)
    return StateModel(network, prior, header)


def _read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with cast(Any, safe_open(path, framework="pt")) as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in sorted(file.keys())}


def _prior(tensors: dict[str, Tensor], header: dict[str, Any], network: Any, precision: torch.dtype) -> Prior:
    gaussian = Whitening(tensors["mean"], tensors["root"], tensors["inverse"])
    if "flow" not in header:
        return gaussian
    config = FlowConfig(**header["flow"]["settings"])
    velocity = Velocity(len(gaussian.mean), network.frames, config, precision)
    velocity.load_state_dict({name.removeprefix("flow."): t for name, t in tensors.items() if name.startswith("flow.")})
    return FlowPrior(gaussian, velocity.to(gaussian.device).eval().requires_grad_(False), config.integration)
