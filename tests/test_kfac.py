"""K-FAC, compared with the exact natural gradient, and its steps, compared with their bound."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from weakspot.errors import ConfigError, TrainingError

pytest.importorskip("stable_baselines3", reason="the training extra is not installed")

from weakspot.training import kfac
from weakspot.training.kfac import KFAC

torch.set_num_threads(1)


def observe_all_actions(network: nn.Module, x: Tensor, optimizer: KFAC) -> None:
    """Observes all actions of a softmax policy for ``x``, each weighted by its probability, so that the factors are exact
    expectations: g_k sqrt(p_k) for each action k, times the square root of their number."""
    actions = network(x).shape[1]
    repeated = x.repeat_interleave(actions, dim=0)
    with optimizer.record_layers() as passed:
        log_p = network(repeated).log_softmax(dim=1)
    actions_taken = torch.arange(actions).repeat(len(x))
    chosen_log_p = log_p[torch.arange(len(repeated)), actions_taken]
    weight = (chosen_log_p.detach().exp() * actions).sqrt()
    optimizer.observe(passed, chosen_log_p * weight)


def exact_fisher(network: nn.Module, x: Tensor) -> Tensor:
    """E[grad log p grad log p^T] over the policy's own actions, for all parameters, averaged over the states."""
    total: Tensor | float = 0.0
    for one in x.split(1):
        log_p = network(one).log_softmax(dim=1)[0]
        for k in range(len(log_p)):
            gradients = torch.autograd.grad(log_p[k], list(network.parameters()), retain_graph=True)
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            total = total + log_p[k].exp().detach() * flat[:, None] * flat / len(x)
    assert isinstance(total, Tensor)
    return total


def doubles(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def flat_gradient(network: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def flat_parameters(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("bias", [True, False])
def test_steps_are_exact_if_the_factors_are(bias):
    """For a single state, the input of a layer is constant, and its block of F is A (x) G."""
    torch.manual_seed(0)
    layers = [nn.Linear(4, 5, bias=bias), nn.ReLU(), nn.Linear(5, 6, bias=bias), nn.Tanh(), nn.Linear(6, 3, bias=bias)]
    network = nn.Sequential(*layers).double()
    x = doubles(1, 4)
    optimizer = KFAC(network, learning_rate=1e-3, kl=1e9, damping=0.05, momentum=0.0)
    observe_all_actions(network, x, optimizer)
    loss = -network(x).log_softmax(dim=1)[0, 1]
    loss.backward()
    gradient, before, fisher = flat_gradient(network), flat_parameters(network), exact_fisher(network, x)
    block = torch.cat(
        [torch.full((sum(p.numel() for p in layer.parameters()),), i) for i, layer in enumerate(network) if i % 2 == 0]
    )
    fisher = torch.where(block[:, None] == block, fisher, 0.0)
    optimizer.step()
    expected = torch.linalg.solve(fisher + 0.05 * torch.eye(len(gradient), dtype=torch.float64), gradient)
    torch.testing.assert_close(before - flat_parameters(network), 1e-3 * expected, rtol=1e-7, atol=1e-11)


def test_steps_of_a_single_layer_approximate_the_natural_gradient():
    torch.manual_seed(1)
    network = nn.Linear(5, 3, dtype=torch.float64)
    x = doubles(256, 5) * torch.tensor([5.0, 1.0, 0.2, 1.0, 3.0], dtype=torch.float64)
    optimizer = KFAC(network, learning_rate=1.0, kl=1e9, damping=1e-3, momentum=0.0)
    observe_all_actions(network, x, optimizer)
    (-network(x).log_softmax(dim=1)[:, 0].mean()).backward()
    gradient, before, fisher = flat_gradient(network), flat_parameters(network), exact_fisher(network, x)
    exact = torch.linalg.solve(fisher + 1e-3 * torch.eye(len(gradient), dtype=torch.float64), gradient)
    optimizer.step()
    ours, plain = (torch.cosine_similarity(v, exact, dim=0) for v in (before - flat_parameters(network), gradient))
    assert ours > 0.8 and ours > plain + 0.2, (ours, plain)


def test_a_convolution_is_a_linear_layer_over_its_patches():
    """With a single position, both are the same layer."""
    torch.manual_seed(2)
    convolution = nn.Conv2d(2, 3, 4, dtype=torch.float64)
    linear = nn.Linear(32, 3, dtype=torch.float64)
    linear.weight.data, linear.bias.data = convolution.weight.data.flatten(1).clone(), convolution.bias.data.clone()
    x = doubles(7, 2, 4, 4)
    for network, given in ((nn.Sequential(convolution, nn.Flatten()), x), (linear, x.flatten(1))):
        optimizer = KFAC(network, learning_rate=0.1, kl=1e9, momentum=0.0)
        observe_all_actions(network, given, optimizer)
        (-network(given).log_softmax(dim=1)[:, 2].mean()).backward()
        optimizer.step()
    torch.testing.assert_close(convolution.weight.flatten(1), linear.weight)
    torch.testing.assert_close(convolution.bias, linear.bias)


def test_factors_of_a_convolution_are_sums_and_means_over_positions():
    network = nn.Sequential(nn.Conv2d(1, 2, 2, stride=2), nn.Flatten())
    optimizer = KFAC(network)
    x = torch.arange(32.0).reshape(2, 1, 4, 4)
    with optimizer.record_layers() as passed:
        output = network(x)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    optimizer.observe(passed, (output * weights).sum(dim=1))
    factors = optimizer.factors[0]
    a, g = torch.zeros(5, 5), torch.zeros(2, 2)
    for state in range(2):
        for row in range(2):
            for column in range(2):
                patch = torch.cat([x[state, 0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten(), torch.ones(1)])
                output_gradient = weights[state].reshape(2, 2, 2)[:, row, column]
                a += patch[:, None] * patch / 2
                g += output_gradient[:, None] * output_gradient / (2 * 4)
    torch.testing.assert_close(factors.inputs, a)
    torch.testing.assert_close(factors.outputs, g)


def kl_of_a_long_step(network: nn.Module, x: Tensor, optimizer: KFAC) -> float:
    """The KL divergence between predictions before and after a step that is far too long without its bound."""
    observe_all_actions(network, x, optimizer)
    before = network(x).log_softmax(dim=1)
    (before[:, 0].mean() * 100.0).backward()
    optimizer.step()
    after = network(x).log_softmax(dim=1)
    return (before.exp() * (before - after)).sum(dim=1).mean().item()


@pytest.mark.parametrize("bound", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("widths", [(6, 4), (6, 16, 4), (6, 16, 16, 4)])
def test_kl_of_a_step_is_between_the_bound_and_the_sum_of_the_bounds_of_layers(bound, widths):
    """Linear layers without activations in between all change the outputs in the same way."""
    torch.manual_seed(3)
    network = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(widths))).double()
    x = doubles(256, 6)
    optimizer = KFAC(network, learning_rate=1e6, kl=bound, damping=1e-4, momentum=0.0)
    kl = kl_of_a_long_step(network, x, optimizer)
    assert 0.8 * bound < kl < 1.2 * (len(widths) - 1) * bound, kl / bound


@pytest.mark.parametrize("positions", [1, 16, 64])
def test_kl_of_a_convolution_step_is_the_bound_times_the_number_of_equal_positions(positions):
    """Equal inputs at all positions, averaged: the gradients are equal as well, but KFC assumes independent ones."""
    torch.manual_seed(5)
    network = nn.Sequential(nn.Conv2d(3, 4, 1, dtype=torch.float64), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    side = round(positions**0.5)
    x = doubles(256, 3)[:, :, None, None].expand(256, 3, side, side).contiguous()
    optimizer = KFAC(network, learning_rate=1e6, kl=1e-4, damping=1e-9, momentum=0.0)
    kl = kl_of_a_long_step(network, x, optimizer)
    assert 0.8 * positions < kl / 1e-4 < 1.3 * positions, kl / 1e-4


def test_factors_are_running_averages_and_inverses_are_updated_every_few_steps(monkeypatch):
    calls = []
    eigen = kfac._eigen
    monkeypatch.setattr(kfac, "_eigen", lambda factor: calls.append(1) or eigen(factor))
    network = nn.Linear(1, 2, bias=False)
    optimizer = KFAC(network, decay=0.9, inverse_every=3)
    counts = []
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        observe_all_actions(network, torch.full((4, 1), value), optimizer)
        network.zero_grad()
        (-network(torch.ones(1, 1)).log_softmax(dim=1)[0, 0]).backward()
        optimizer.step()
        counts.append(len(calls) // 2)  # one layer with two factors
    assert counts == [1, 1, 1, 2, 2]
    average = 1.0
    for value in (2.0, 3.0, 4.0, 5.0):
        average = 0.9 * average + 0.1 * value**2
    assert optimizer.factors[0].inputs.item() == pytest.approx(average)


def test_steps_that_are_not_finite_raise_an_error_and_change_nothing():
    network = nn.Linear(2, 2)
    optimizer = KFAC(network)
    observe_all_actions(network, torch.ones(1, 2), optimizer)
    before = flat_parameters(network)
    network.weight.grad, network.bias.grad = torch.full((2, 2), float("nan")), torch.zeros(2)
    with pytest.raises(TrainingError, match="no finite length"):
        optimizer.step()
    assert torch.equal(flat_parameters(network), before)


def test_inputs_that_are_not_finite_raise_an_error():
    network = nn.Linear(2, 2)
    optimizer = KFAC(network)
    observe_all_actions(network, torch.tensor([[1.0, float("nan")]]), optimizer)
    network.weight.grad, network.bias.grad = torch.zeros(2, 2), torch.zeros(2)
    with pytest.raises(TrainingError, match="not finite"):
        optimizer.step()


def test_small_steps_are_not_lengthened():
    network = nn.Linear(2, 2)
    optimizer = KFAC(network, learning_rate=0.5, kl=1e9, damping=1.0, momentum=0.5)
    observe_all_actions(network, torch.zeros(1, 2), optimizer)
    moved = []
    for _ in range(2):
        before = network.bias.detach().clone()
        network.weight.grad, network.bias.grad = torch.zeros(2, 2), torch.tensor([0.3, 0.3])
        optimizer.step()
        moved.append(before - network.bias.detach())
    torch.testing.assert_close(2 * moved[0], torch.tensor([0.15, 0.15]), msg="no curvature along (1, 1), only damping")
    torch.testing.assert_close(moved[1], torch.tensor([0.1125, 0.1125]), msg="the same step, and half of the previous one")


def test_damping_bounds_the_step_along_directions_without_curvature():
    """Otherwise, after a batch whose states all lack a direction, the next step could have any length along it."""
    network = nn.Linear(2, 2, bias=False)
    optimizer = KFAC(network, learning_rate=1e6, kl=1e-3, damping=0.05, momentum=0.0)
    observe_all_actions(network, torch.tensor([[1.0, 0.0]]), optimizer)
    before = network.weight.detach().clone()
    network.weight.grad = torch.tensor([[0.0, 30.0], [0.0, 40.0]])  # for the input that was 0
    optimizer.step()
    torch.testing.assert_close(0.05 * (before - network.weight).square().sum() / 2, torch.tensor(1e-3))


def train_steps(network: nn.Module, optimizer: KFAC, steps: range) -> None:
    for number in steps:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(number))
        observe_all_actions(network, x, optimizer)
        network.zero_grad()
        (-network(x).log_softmax(dim=1)[:, 0].mean()).backward()
        optimizer.step()


def test_resuming_gives_the_same_bits():
    torch.manual_seed(4)
    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = KFAC(network, inverse_every=3)
    train_steps(network, optimizer, range(4))
    other = copy.deepcopy(network)
    again = KFAC(other, inverse_every=3)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for network_, optimizer_ in ((network, optimizer), (other, again)):
        train_steps(network_, optimizer_, range(4, 9))
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "settings",
    [
        {"kl": 0.0},
        {"kl": float("nan")},
        {"damping": -1.0},
        {"damping": float("nan")},
        {"momentum": 1.0},
        {"inverse_every": 0},
    ],
)
def test_invalid_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        KFAC(nn.Linear(2, 2), **settings)


def test_unsupported_layers_are_refused():
    with pytest.raises(ConfigError, match=r"1\.weight"):
        KFAC(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    with pytest.raises(ConfigError, match="groups"):
        KFAC(nn.Conv2d(2, 2, 1, groups=2))
    with pytest.raises(ConfigError, match="observe"):
        KFAC(nn.Linear(2, 2)).step()
