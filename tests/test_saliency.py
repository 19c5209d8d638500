"""Guided backpropagation: closed forms, all ways to write a ReLU, and errors for operations without a definition."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from weakspot.agents.base import AgentOutput, AgentSpec, Perceiver, choose
from weakspot.agents.load import load_agent
from weakspot.agents.module import ModuleAgent
from weakspot.data.dataset import as_state
from weakspot.envs.observation import gray_observation
from weakspot.errors import ConfigError, DatasetError, SaliencyError
from weakspot.saliency.guided import guided_gradient
from weakspot.saliency.maps import load_maps, saliency_maps
from weakspot.saliency.rules import saliency
from weakspot.saliency.weights import CLIP, decode_maps, encode_maps, loss_weights

torch.set_num_threads(1)

SHAPE = (2, 12, 12)


class Bare(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Network(nn.Module):
    """Two convolutions and a hidden layer, each followed by a module from ``relu()``; one head, or two with a value.

    If ``relu`` returns the same module every time, it is reused.
    """

    def __init__(self, relu: Callable[[], nn.Module], heads: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.Sequential(
            *(nn.Conv2d(2, 4, 3), relu(), nn.Conv2d(4, 6, 3, stride=2), relu(), nn.Flatten(), nn.Linear(96, 16), relu())
        )
        self.scores, self.value = nn.Linear(16, 3), nn.Linear(16, 1) if heads == 2 else None
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        hidden = self.layers(x / 255)
        return self.scores(hidden) if self.value is None else (self.scores(hidden), self.value(hidden))


def perceiver(
    network: nn.Module, kind: str = "q-values", shape: tuple[int, int, int] = SHAPE, actions: int = 3
) -> Perceiver:
    acts = "greedy" if kind == "q-values" else "sampled"
    names = tuple(str(i) for i in range(actions))
    spec = AgentSpec("test", "Somewhere", names, shape, kind, acts, "")  # type: ignore[arg-type]
    return Perceiver(ModuleAgent(network, spec), lambda state: 255 * state)


def states(batch: int = 5) -> Tensor:
    return torch.rand(batch, *SHAPE, generator=torch.Generator().manual_seed(1))


def relu_(x: Tensor) -> Tensor:
    x.relu_()
    return x


def clamp_(x: Tensor) -> Tensor:
    x.clamp_(min=0)
    return x


def relu_of_views(x: Tensor) -> Tensor:
    half = x.shape[1] // 2
    x[:, :half].relu_()
    x[:, half:].relu_()
    return x


REUSED, REUSED_IN_PLACE = nn.ReLU(), nn.ReLU(inplace=True)

WAYS: dict[str, Callable[[], nn.Module]] = {
    "nn.ReLU": nn.ReLU,
    "nn.ReLU, reused": lambda: REUSED,
    "nn.ReLU, in place": lambda: nn.ReLU(inplace=True),
    "nn.ReLU, in place, reused": lambda: REUSED_IN_PLACE,
    "F.relu": lambda: Bare(F.relu),
    "F.relu, by name": lambda: Bare(lambda x: F.relu(input=x)),
    "F.relu, in place": lambda: Bare(lambda x: F.relu(x, inplace=True)),
    "F.relu, in place, by position": lambda: Bare(lambda x: F.relu(x, True)),
    "F.relu_": lambda: Bare(F.relu_),
    "torch.relu": lambda: Bare(torch.relu),
    "aten.relu": lambda: Bare(torch.ops.aten.relu),
    "aten.relu.default": lambda: Bare(torch.ops.aten.relu.default),
    "torch.relu_": lambda: Bare(torch.relu_),
    "x.relu()": lambda: Bare(lambda x: x.relu()),
    "x.relu_()": lambda: Bare(relu_),
    "x[...].relu_()": lambda: Bare(relu_of_views),
    "x.clamp(min=0)": lambda: Bare(lambda x: x.clamp(min=0)),
    "x.clamp(0)": lambda: Bare(lambda x: x.clamp(0)),
    "x.clamp_(min=0)": lambda: Bare(clamp_),
    "x.clamp_min(0.0)": lambda: Bare(lambda x: x.clamp_min(0.0)),
    "torch.clamp_min": lambda: Bare(lambda x: torch.clamp_min(x, 0)),
    "torch.clip": lambda: Bare(lambda x: torch.clip(x, min=0)),
}

AGENTS = {"q agent": (1, "q-values"), "actor critic": (2, "log-probabilities")}


class GuidedByHooks(nn.ReLU):
    """The rule as a module with a backward hook, an independent way to write it; never reused, never in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_full_backward_hook(lambda module, given, received: (given[0].clamp(min=0),))


def by_hooks(heads: int, kind: str) -> Tensor:
    """The guided gradient by the usual hooks, without the code under test."""
    network = Network(GuidedByHooks, heads)
    observation = (255 * states()).requires_grad_()
    output = network(observation)
    scores = output if heads == 1 else output[0]
    if kind == "log-probabilities":
        scores = scores.log_softmax(dim=1)
    scores.max(dim=1).values.sum().backward()
    assert observation.grad is not None
    return observation.grad


# --- the rule --------------------------------------------------------------------------------------------------------


def test_two_layers_by_hand():
    """q = w3 . relu(W2 relu(W1 x)), worked out with the definition: g -> g [x > 0] [g > 0] at each ReLU."""
    w1 = torch.tensor([[1.0, -1.0], [2.0, 1.0], [-1.0, -3.0]])
    w2 = torch.tensor([[1.0, -2.0, 5.0], [1.0, 1.0, 1.0], [-3.0, 2.0, 1.0]])
    w3 = torch.tensor([[4.0, 3.0, -7.0]])
    x = torch.tensor([2.0, 1.0])
    # W1 x = (1, 5, -5), so the third unit is off; W2 (1, 5, 0) = (-9, 6, 7), so the first unit is off.
    # Before the head the gradient is (4, 3, -7): the first unit is off, the last gradient is negative, 3 is left.
    # Before W2 it is 3 * (1, 1, 1): the third unit is off, (3, 3, 0) is left.  Before W1: 3 * (1, -1) + 3 * (2, 1) = (9, 0).
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        for layer, weight in zip((network[1], network[3], network[5]), (w1, w2, w3), strict=True):
            layer.weight.copy_(weight)  # type: ignore[union-attr, operator]
            layer.bias.zero_()  # type: ignore[union-attr, operator]
    perceive = perceiver(network, shape=(1, 1, 2), actions=1)
    guided = guided_gradient(perceive, x.view(1, 1, 1, 2) / 255)
    assert torch.allclose(guided.flatten(), torch.tensor([9.0, 0.0]))
    ordinary = torch.autograd.functional.jacobian(network, x.view(1, 1, 1, 2)).flatten()
    assert torch.allclose(ordinary, torch.tensor([3 * 3 - 7 * (-3 + 4), 0 - 7 * (3 + 2.0)]))
    # a unit whose activation is exactly zero passes no gradient
    zero = guided_gradient(perceive, torch.zeros(1, 1, 1, 2))
    assert torch.equal(zero, torch.zeros(1, 1, 1, 2))


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("way", WAYS)
def test_all_ways_to_write_a_relu_give_the_same_gradient(way, agent):
    heads, kind = AGENTS[agent]
    expected = by_hooks(heads, kind)
    assert expected.abs().sum(dim=(1, 2, 3)).min() > 0
    guided = guided_gradient(perceiver(Network(WAYS[way], heads), kind), states())
    assert torch.allclose(guided, expected, rtol=1e-4, atol=1e-8)


def test_guided_gradient_differs_from_the_ordinary_gradient():
    network = Network(nn.ReLU, 1)
    observation = (255 * states()).requires_grad_()
    network(observation).max(dim=1).values.sum().backward()
    guided = guided_gradient(perceiver(network), states())
    assert observation.grad is not None
    assert (guided - observation.grad).abs().max() > 0.5 * observation.grad.abs().max()


@pytest.mark.parametrize(
    "scalar",
    [
        lambda output: output.value,
        lambda output: output.scores[:, 1],
        lambda output: output.scores[:, 1] + 2 * output.value,
        lambda output: (output.scores.exp() * output.scores).sum(dim=1),  # the scalar may use any operation
        lambda output: torch.relu(output.value),
    ],
)
def test_any_scalar_of_the_output_can_be_explained(scalar):
    perceive = perceiver(Network(nn.ReLU, 2), "log-probabilities")
    guided = guided_gradient(perceive, states(), scalar)
    network = Network(GuidedByHooks, 2)
    observation = (255 * states()).requires_grad_()
    logits, value = network(observation)
    scalar(AgentOutput(logits.log_softmax(dim=1), value[:, 0])).sum().backward()
    assert observation.grad is not None
    assert torch.allclose(guided, observation.grad, rtol=1e-4, atol=1e-8)


def test_states_in_a_batch_are_independent():
    perceive = perceiver(Network(nn.ReLU, 2), "log-probabilities")
    together = saliency(perceive, states())
    alone = torch.cat([saliency(perceive, state[None]) for state in states()])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-9)
    assert together.min() >= 0 and together.shape == (5, *SHAPE)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_guided_gradient_works_when_gradients_are_disabled(context):
    perceive = perceiver(Network(nn.ReLU, 1))
    expected = guided_gradient(perceive, states())
    with context():
        assert torch.equal(guided_gradient(perceive, states()), expected)


def test_guided_gradient_has_no_side_effects():
    network = Network(nn.ReLU, 1).requires_grad_(False)
    state = states().requires_grad_()
    before = [(name, tensor.clone()) for name, tensor in network.state_dict().items()]
    guided_gradient(perceiver(network), state)
    assert state.grad is None
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in before)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert_relu_is_ordinary()


def assert_relu_is_ordinary() -> None:
    """Asserts that outside of guided backpropagation, a ReLU passes negative gradients."""
    x = torch.ones(3, requires_grad=True)
    (-F.relu(x)).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, -torch.ones(3))


# --- unsupported operations ------------------------------------------------------------------------------------------


class Swish(torch.autograd.Function):
    """A custom operation."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0]


UNSUPPORTED: dict[str, tuple[Callable[[Tensor], Tensor] | nn.Module, str]] = {
    "GELU": (F.gelu, "Gelu"),
    "ELU": (F.elu, "Elu"),
    "SELU": (F.selu, "Elu"),
    "CELU": (F.celu, "Celu"),
    "leaky ReLU": (F.leaky_relu, "LeakyRelu"),
    "PReLU": (nn.PReLU(), "PreluKernel"),
    "SiLU": (F.silu, "Silu"),
    "sigmoid": (torch.sigmoid, "Sigmoid"),
    "tanh": (torch.tanh, "Tanh"),
    "softplus": (F.softplus, "Softplus"),
    "hardtanh": (F.hardtanh, "Hardtanh"),
    "ReLU6": (F.relu6, "Hardtanh"),
    "hardswish": (F.hardswish, "Hardswish"),
    "mish": (F.mish, "Mish"),
    "softsign": (F.softsign, "Abs"),
    "square": (lambda x: x**2, "Pow"),
    "clamp on both sides": (lambda x: x.clamp(0, 1), "Clamp"),
    "clamp elsewhere": (lambda x: x.clamp(min=0.1), "Clamp"),
    "ReLU as threshold": (lambda x: F.threshold(x, 0, 0), "Threshold"),
    "ReLU as maximum": (lambda x: torch.maximum(x, torch.zeros(())), "Maximum"),
    "ReLU as where": (lambda x: torch.where(x.detach() > 0, x, 0), "Where"),
    "ReLU as mask": (lambda x: x * (x > 0), "compares activations"),
    "ReLU as sign": (lambda x: x * torch.sign(x).clamp(0), "compares activations"),
    "ReLU as (x + |x|) / 2": (lambda x: (x + x.abs()) / 2, "Abs"),
    "ReLU below torch functions": (lambda x: torch.ops.aten.threshold(x, 0.0, 0.0), "Threshold"),
    "a scripted function": (torch.jit.script(F.relu), "Relu"),
    "a scripted module": (torch.jit.script(nn.ReLU()), "scripted"),
    "a custom function": (lambda x: Swish.apply(x), "Swish"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_operations_are_refused_by_name(name):
    function, words = UNSUPPORTED[name]
    relu = function if isinstance(function, nn.Module) else Bare(function)
    with pytest.raises(SaliencyError, match=words):
        guided_gradient(perceiver(Network(lambda: relu, 1)), states())
    assert_relu_is_ordinary()


def test_one_unsupported_operation_among_supported_ones_is_found():
    makers = iter([nn.ReLU(), nn.Tanh(), nn.ReLU()])
    with pytest.raises(SaliencyError, match="Tanh"):
        guided_gradient(perceiver(Network(lambda: next(makers), 1)), states())


def test_operations_that_do_not_affect_the_scalar_are_allowed():
    """The scores can be explained although the value head has a tanh."""
    network = Network(nn.ReLU, 2)
    network.value = nn.Sequential(nn.Linear(16, 1), nn.Tanh())
    perceive = perceiver(network, "log-probabilities")
    guided_gradient(perceive, states())
    with pytest.raises(SaliencyError, match="Tanh"):
        guided_gradient(perceive, states(), lambda output: output.value)  # type: ignore[arg-type, return-value]


def test_a_nonlinearity_of_the_weights_alone_is_allowed():
    """Weight normalisation and the like change no activation."""

    class Normed(Network):
        def forward(self, x):
            with torch.enable_grad():
                weight = self.scores.weight / self.scores.weight.square().sum().sqrt()
            return F.linear(self.layers(x / 255), weight)

    network = Normed(nn.ReLU, 1)
    perceive = perceiver(network)
    network.requires_grad_(True)
    assert guided_gradient(perceive, states()).abs().sum() > 0


def test_pooling_and_normalisation_are_allowed():
    norm = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten())
    network = nn.Sequential(norm, nn.LayerNorm(100), nn.Linear(100, 3))
    assert guided_gradient(perceiver(network), states()).abs().sum() > 0


def test_failing_network_has_no_side_effects():
    def fails(x: Tensor) -> Tensor:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        guided_gradient(perceiver(Network(lambda: Bare(fails), 1)), states())
    assert_relu_is_ordinary()
    assert torch.overrides._len_torch_function_stack() == 0


def test_outputs_without_gradient_are_refused():
    class Detached(Network):
        def forward(self, x):
            with torch.no_grad():
                return super().forward(x)

    with pytest.raises(SaliencyError, match="does not depend on the observation"):
        guided_gradient(perceiver(Detached(nn.ReLU, 1)), states())
    with pytest.raises(SaliencyError, match="does not depend on the agent's output"):
        guided_gradient(perceiver(Network(nn.ReLU, 1)), states(), lambda output: output.scores.detach())
    network = Network(nn.ReLU, 1)
    with torch.no_grad():
        network.scores.weight.fill_(torch.inf)
    with pytest.raises(SaliencyError, match="not finite"):
        guided_gradient(perceiver(network), states())


# --- weights and maps ------------------------------------------------------------------------------------------------

NUMBERS = hnp.arrays(np.float32, (2, 3, 9, 7), elements=st.floats(0, 1e6, width=32))


@given(NUMBERS)
@settings(max_examples=50, deadline=None)
def test_weights_of_a_state_sum_to_one(numbers):
    weights = loss_weights(torch.from_numpy(numbers))
    assert torch.allclose(weights.sum(dim=(1, 2, 3)), torch.ones(2), atol=1e-4)
    assert weights.min() >= 0


def test_weights_are_the_box_average_by_hand():
    numbers = torch.rand(1, 2, 8, 9, generator=torch.Generator().manual_seed(0))
    mean = torch.zeros(2, 8, 9)
    for frame in range(2):
        for y in range(8):
            for x in range(9):
                mean[frame, y, x] = numbers[0, frame, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean()
    assert torch.allclose(loss_weights(numbers)[0], mean / mean.sum(), atol=1e-6)
    assert torch.allclose(loss_weights(numbers, kernel=1)[0], numbers[0] / numbers.sum(), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1.0, 1e30])
def test_weights_do_not_depend_on_the_scale(scale):
    numbers = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(loss_weights(numbers * scale), loss_weights(numbers), rtol=1e-4)


def test_a_state_without_saliency_gets_uniform_weights():
    numbers = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    numbers[1] = 0
    weights = loss_weights(numbers)
    assert torch.allclose(weights[1], torch.full((4, 6, 6), 1 / 144))
    assert weights[0].std() > 0
    maps = decode_maps(encode_maps(numbers))
    assert torch.allclose(maps[1], torch.ones(1, 3, 3), atol=0.04)


@pytest.mark.parametrize("kernel", [0, 2, 4, -1])
def test_box_sizes_that_are_not_odd_are_refused(kernel):
    with pytest.raises(ConfigError):
        loss_weights(torch.zeros(1, 1, 8, 8), kernel)


def test_maps_by_hand():
    numbers = torch.zeros(1, 2, 84, 84)
    numbers[0, 0, 40, 40] = 3.0
    numbers[0, 1, 40, 40] = 1.0  # the largest over the stack is kept
    numbers[0, 1, 10:12, 70:72] = 1.5
    stored = encode_maps(numbers, kernel=1)
    assert stored.shape == (1, 42, 42) and stored.dtype == torch.uint8
    decoded = decode_maps(stored)[0, 0]
    # halved: 3 / 4 at (20, 20) and 1.5 at (5, 35); both far above 100 times their mean
    assert decoded[20, 20] == CLIP and decoded[5, 35] == CLIP and decoded.sum() == 2 * CLIP
    random_saliency = torch.rand(3, 4, 84, 84, generator=torch.Generator().manual_seed(0)) ** 4
    decoded = decode_maps(encode_maps(random_saliency).numpy())
    assert decoded.shape == (3, 1, 42, 42)
    assert torch.allclose(decoded.mean(dim=(1, 2, 3)), torch.ones(3), atol=0.02)
    box = F.avg_pool2d(random_saliency.amax(dim=1, keepdim=True), 5, 1, 2, count_include_pad=False)
    expected = F.avg_pool2d(box, 2)
    expected = expected / expected.mean(dim=(1, 2, 3), keepdim=True)
    assert (decoded - expected).abs().max() < 0.07


class InMemoryDataset:
    """A dataset in memory."""

    def __init__(self, count: int) -> None:
        generator = np.random.default_rng(0)
        self.content = generator.integers(0, 256, (count, 2, 12, 12, 3), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.content)

    def stacks(self, indices: np.ndarray) -> np.ndarray:
        return self.content[indices]


def gray_perceiver() -> Perceiver:
    return Perceiver(perceiver(Network(nn.ReLU, 1)).agent, gray_observation)


def test_maps_of_a_data_set(tmp_path):
    perceive, dataset, calls = gray_perceiver(), InMemoryDataset(11), []
    path = tmp_path / "saliency.npy"
    maps = saliency_maps(perceive, dataset, path, batch_size=4, progress=lambda *pair: calls.append(pair))
    assert calls == [(4, 11), (8, 11), (11, 11)]
    expected = encode_maps(saliency(perceive, as_state(dataset.content))).numpy()
    assert np.abs(maps.astype(int) - expected).max() <= 1  # another batch size rounds differently
    assert maps.std() > 0
    assert np.array_equal(load_maps(path, 11), maps)
    assert path.stat().st_size < 0.25 * dataset.content[:, 0].nbytes
    with pytest.raises(DatasetError, match="shape"):
        load_maps(path, 12)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DatasetError, match="cannot read"):
        load_maps(path, 11)


def test_maps_are_written_atomically(tmp_path):
    class Damaged(InMemoryDataset):
        def stacks(self, indices: np.ndarray) -> np.ndarray:
            if indices[0] > 0:
                raise DatasetError("shard 1 is damaged")
            return super().stacks(indices)

    with pytest.raises(DatasetError, match="shard 1"):
        saliency_maps(gray_perceiver(), Damaged(11), tmp_path / "saliency.npy", batch_size=4)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DatasetError, match="no states"):
        saliency_maps(gray_perceiver(), InMemoryDataset(0), tmp_path / "saliency.npy")


def test_a_trained_agent_looks_at_the_ball():
    """Real Pong: around the ball, the stored maps weigh more than the average pixel by a good margin."""
    folder = os.environ.get("WEAKSPOT_AGENTS")
    if not folder:
        pytest.skip("WEAKSPOT_AGENTS is not set: no trained agent to test")
    from ale_py.vector_env import AtariVectorEnv

    agent = load_agent(str(Path(folder) / "acktr_PongNoFrameskip-v4.safetensors"))
    env = AtariVectorEnv("pong", 8, num_threads=1)
    observation, _ = env.reset(seed=1)
    generator, observations = torch.Generator().manual_seed(0), []
    for step in range(120):
        with torch.no_grad():
            action = choose(agent(torch.from_numpy(observation)), agent.spec, generator)
        observation, *_ = env.step(action.numpy())
        if step > 60 and step % 4 == 0:
            observations.append(observation.copy())
    env.close()
    states = torch.from_numpy(np.concatenate(observations)).float()
    court = states[:, -1, 14:76, 12:70]  # between the paddles
    ball = (court - court.median(dim=0).values).abs() > 60
    has_ball = ball.flatten(1).sum(dim=1) > 0
    assert has_ball.sum() > 30
    perceive = Perceiver(agent, lambda state: 255 * state)
    maps = decode_maps(encode_maps(saliency(perceive, states / 255)))
    full = F.interpolate(maps, scale_factor=2)[:, 0, 14:76, 12:70]
    near = F.max_pool2d(ball[:, None].float(), 9, 1, 4)[:, 0] > 0
    at_ball = torch.stack([m[n].mean() for m, n, has in zip(full, near, has_ball, strict=True) if has])
    elsewhere = torch.stack([m[~n].mean() for m, n, has in zip(full, near, has_ball, strict=True) if has])
    assert at_ball.mean() > 1.3 * elsewhere.mean()
    assert (at_ball > elsewhere).float().mean() > 0.75
