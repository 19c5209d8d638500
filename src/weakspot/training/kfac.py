"""K-FAC, the natural gradient layer by layer, with the trust region of ACKTR.

Martens and Grosse 2015; for convolutions Grosse and Martens 2016; the trust region Wu et al. 2017.  For a layer with inputs
a (with a 1 appended for the bias), outputs s, and g = d log p / d s at a sample from the network's own predictions, the
Fisher matrix of its weights is approximated by

    F = A (x) G,      A = E[a a^T],      G = E[g g^T],

both as running averages, and the gradient D of the loss, as a matrix (out, in + 1), is turned into the step

    delta = (A (x) G + damping I)^-1 D,    theta <- theta - eta delta,    eta = min(eta_max, sqrt(2 KL / delta^T D)).

delta^T D = delta^T (F + damping I) delta is summed over the layers: directions in which no change of the predictions has
been observed yet count with the damping.  For a convolution, the a are the patches under the kernel: A is summed over
locations, and G is averaged over them (KFC).  The inverse is computed from the eigenvectors of A and G, which are recomputed
every few steps.

Limits of the bound.  It holds for the KL of the factored F, as in ACKTR, and F neglects correlations: n layers that change
the predictions in the same way change them by n KL, and a convolution whose gradients are the same at all p locations by
p KL, since KFC treats locations as independent.  F also lags behind, because it is a running average: at the beginning of a
training, when it covers only a few states of the first frames, single steps change the critic by hundreds of KL.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakspot.errors import ConfigError, TrainingError
from weakspot.system.linalg import symmetric_eigen

Layer = nn.Linear | nn.Conv2d

STATES_AT_ONCE = 16
"""Number of states whose patches are unfolded at once: the patches of a whole batch take hundreds of MB."""


@dataclass
class Factors:
    """The factors of the Fisher matrix of one layer.

    Attributes:
        inputs, outputs: A (in + 1, in + 1) and G (out, out), running averages.
        batches: number of batches observed.
        eigen: eigenvalues and eigenvectors of both, from the last decomposition.
    """

    inputs: Tensor
    outputs: Tensor
    batches: int = 0
    eigen: list[tuple[Tensor, Tensor]] = field(default_factory=list[tuple[Tensor, Tensor]])


class KFAC(torch.optim.Optimizer):
    """Steps along the natural gradient, with momentum.

    Args:
        network: its linear and convolutional layers are trained; a network with other parameters raises an error.
        learning_rate: eta_max, the largest factor of the natural gradient.
        kl: bound on the change of the predictions by one step, measured by the factored F with the eigenvalues of the last
            decomposition; see the module's docstring for what it neglects.
        damping: added to every eigenvalue of F.
        decay: of the running averages, per batch.
        momentum: decay of the running average of steps that is applied; each step was within the bound when it was computed.
        inverse_every: number of steps between two eigendecompositions.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        learning_rate: float = 0.25,
        kl: float = 4e-3,
        damping: float = 1e-2,
        decay: float = 0.99,
        momentum: float = 0.9,
        inverse_every: int = 10,
    ) -> None:
        above_0 = all(0 < value < float("inf") for value in (learning_rate, kl, damping))
        if not above_0 or not 0 <= decay < 1 or not 0 <= momentum < 1 or inverse_every < 1:
            raise ConfigError(
                f"learning_rate = {learning_rate}, kl = {kl}, damping = {damping}, decay = {decay}, "
                f"momentum = {momentum}, inverse_every = {inverse_every}",
                expected="the first three above 0, decay and momentum from 0 to below 1, inverse_every at least 1",
            )
        self.layers: list[Layer] = [part for part in network.modules() if isinstance(part, Layer)]
        supported = {id(parameter) for layer in self.layers for parameter in layer.parameters(recurse=False)}
        unsupported = [name for name, parameter in network.named_parameters() if id(parameter) not in supported]
        unsupported_layers = [layer for layer in self.layers if isinstance(layer, nn.Conv2d) and not _is_supported(layer)]
        if unsupported or unsupported_layers:
            raise ConfigError(
                f"a network with {', '.join(unsupported) or unsupported_layers[0]}",
                expected="linear layers and convolutions without groups and dilation, with zero padding given as numbers",
            )
        super().__init__([parameter for layer in self.layers for parameter in layer.parameters()], {"lr": learning_rate})
        self.kl, self.damping, self.decay, self.momentum, self.inverse_every = kl, damping, decay, momentum, inverse_every
        self.factors = [_empty(layer) for layer in self.layers]
        self.steps = 0

    @contextmanager
    def record_layers(self) -> Generator[list[tuple[Layer, Tensor, Tensor]]]:
        """Records inputs and outputs of the layers in forward passes inside the block, for :meth:`observe`."""
        records: list[tuple[Layer, Tensor, Tensor]] = []

        def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(layer, Layer)
            records.append((layer, inputs[0].detach(), output))

        hooks = [layer.register_forward_hook(record) for layer in self.layers]
        try:
            yield records
        finally:
            for hook in hooks:
                hook.remove()

    def observe(self, records: list[tuple[Layer, Tensor, Tensor]], log_likelihood: Tensor) -> None:
        """Updates the running averages with one batch.

        Args:
            records: from :meth:`record_layers`.
            log_likelihood: of samples drawn from the network's own predictions, one for each state (b,); their sum is
                differentiated, and the graph is retained for the loss.
        """
        gradients = torch.autograd.grad(log_likelihood.sum(), [output for _, _, output in records], retain_graph=True)
        with torch.no_grad():
            for (layer, inputs, _), gradient in zip(records, gradients, strict=True):
                factors = self.factors[self.layers.index(layer)]
                factors.batches += 1
                rate = 1.0 - self.decay if factors.batches > 1 else 1.0
                g = gradient.permute(0, 2, 3, 1).flatten(0, 2) if gradient.dim() == 4 else gradient
                factors.inputs.lerp_(_products(layer, inputs) / len(inputs), rate)
                factors.outputs.lerp_(g.T @ g / len(g), rate)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # torch's returns it
        """One step along the natural gradient, from the gradients in the parameters' ``grad``.

        Raises:
            ConfigError: no batch has been observed yet.
            TrainingError: the gradient or the Fisher matrix is not finite.
        """
        if any(not factors.batches for factors in self.factors):
            raise ConfigError("step() before the first batch was observed", expected="observe() before step()")
        if self.steps % self.inverse_every == 0:
            for factors in self.factors:
                factors.eigen = [_eigen(factor) for factor in (factors.inputs, factors.outputs)]
        self.steps += 1
        rate, squared_norm = self.param_groups[0]["lr"], torch.zeros(())
        steps: list[Tensor] = []
        for layer, factors in zip(self.layers, self.factors, strict=True):
            (inputs, q_inputs), (outputs, q_outputs) = factors.eigen
            curvature = outputs[:, None] * inputs
            curvature = curvature + self.damping
            rotated = q_outputs.T @ _weight_gradient(layer) @ q_inputs / curvature
            squared_norm = squared_norm.to(rotated.device) + (curvature * rotated.square()).sum()
            steps.append(q_outputs @ rotated @ q_inputs.T)
        if not torch.isfinite(squared_norm):
            raise TrainingError(
                f"step {self.steps} of K-FAC has no finite length",
                expected="a finite gradient and finite factors",
                todo="train with a smaller --learning-rate or --kl, or more --damping",
            )
        eta = min(rate, float((2.0 * self.kl / squared_norm.clamp_min(1e-30)).sqrt()))
        for layer, step in zip(self.layers, steps, strict=True):
            weight = step[:, :-1] if layer.bias is not None else step
            self._move(layer.weight, weight.reshape(layer.weight.shape), eta)
            if layer.bias is not None:
                self._move(layer.bias, step[:, -1], eta)

    def _move(self, parameter: Tensor, step: Tensor, eta: float) -> None:
        velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(parameter))
        velocity.lerp_(eta * step, 1.0 - self.momentum)
        parameter.sub_(velocity)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to resume bit for bit; tensors and plain data only."""
        return {
            "velocity": [self.state[p]["velocity"] for p in self.param_groups[0]["params"] if p in self.state],
            "learning_rate": self.param_groups[0]["lr"],
            "factors": [(factors.inputs, factors.outputs, factors.batches, factors.eigen) for factors in self.factors],
            "steps": self.steps,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores :meth:`state_dict`."""
        self.state.clear()
        if state_dict["velocity"]:
            for parameter, velocity in zip(self.param_groups[0]["params"], state_dict["velocity"], strict=True):
                self.state[parameter]["velocity"] = velocity.clone()
        self.param_groups[0]["lr"] = state_dict["learning_rate"]
        self.factors = [
            Factors(
                inputs.clone(), outputs.clone(), batches, [(values.clone(), vectors.clone()) for values, vectors in eigen]
            )
            for inputs, outputs, batches, eigen in state_dict["factors"]
        ]
        self.steps = state_dict["steps"]


def _is_supported(layer: nn.Conv2d) -> bool:
    supported = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return supported and not isinstance(layer.padding, str)


def _empty(layer: Layer) -> Factors:
    weight = layer.weight
    inputs = weight[0].numel() + (layer.bias is not None)
    return Factors(weight.new_zeros(inputs, inputs), weight.new_zeros(len(weight), len(weight)))


def _products(layer: Layer, inputs: Tensor) -> Tensor:
    """a a^T of the inputs of the weights, summed over states and locations, (in + 1, in + 1)."""
    products = _empty(layer).inputs
    weights = layer.weight[0].numel()
    for states in torch.split(inputs, STATES_AT_ONCE):
        if isinstance(layer, nn.Conv2d):
            assert not isinstance(layer.padding, str)
            a = F.unfold(states, layer.kernel_size, padding=layer.padding, stride=layer.stride)
        else:
            a = states.T[None]
        products[:weights, :weights] += torch.bmm(a, a.mT).sum(dim=0)
        if layer.bias is not None:
            products[weights, :weights] += a.sum(dim=(0, 2))
            products[weights, weights] += a.shape[0] * a.shape[2]
    products[:weights, weights:] = products[weights:, :weights].T
    return products


def _weight_gradient(layer: Layer) -> Tensor:
    """The gradient of the weights with that of the bias as the last column, (out, in + 1)."""
    weight, bias = layer.weight.grad, None if layer.bias is None else layer.bias.grad
    flat = torch.zeros_like(layer.weight).flatten(1) if weight is None else weight.flatten(1)
    if layer.bias is None:
        return flat
    return torch.cat([flat, (torch.zeros_like(layer.bias) if bias is None else bias)[:, None]], dim=1)


def _eigen(factor: Tensor) -> tuple[Tensor, Tensor]:
    if not torch.isfinite(factor).all():
        raise TrainingError(
            "the Fisher matrix of the network is not finite",
            expected="finite inputs, weights and gradients",
            todo="lower the learning rate",
        )
    try:
        values, vectors = symmetric_eigen(factor)
    except RuntimeError:  # a matrix of low rank may not converge in single precision
        values, vectors = (part.to(factor.dtype) for part in symmetric_eigen(factor.double()))
    return values.clamp_min(0.0), vectors
