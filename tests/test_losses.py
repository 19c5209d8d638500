"""Every loss, compared with its equation and with finite differences."""

import pytest
import torch

from weakspot.state_model import losses

torch.manual_seed(0)


def doubles(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


WEIGHTS = doubles(2, 3, 2, 2) + 0.5


def test_reconstruction_is_the_weighted_squared_error_of_each_state():
    real, reconstructed, weights = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    weights[0, 0, 0, 0], weights[1] = 0.25, 2.0
    reconstructed[1] *= 3
    assert losses.reconstruction(real, reconstructed, weights).tolist() == [0.25, 4 * 2 * 9]


def test_perception_is_the_squared_distance_of_the_outputs():
    real, reconstructed = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 6.0]])
    assert losses.perception(real, reconstructed).tolist() == [25.0]
    assert losses.perception(real, reconstructed, torch.tensor([9.0, 4.0])).tolist() == [5.0]


def test_prior_is_zero_at_the_standard_normal_and_matches_torch_elsewhere():
    mean, log_variance = doubles(3, 4) - 0.5, doubles(3, 4) - 0.5
    assert losses.prior(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0.0
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)[:, None, None]
    sigma = torch.exp(0.5 * log_variance)
    log_posterior = -0.5 * ((x - mean) / sigma) ** 2 - sigma.log()
    log_standard = -0.5 * x**2
    density = log_posterior.exp() / (2 * torch.pi) ** 0.5
    expected = torch.trapezoid(density * (log_posterior - log_standard), x[:, 0, 0], dim=0).sum(dim=1)
    torch.testing.assert_close(losses.prior(mean, log_variance), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("loss", "shapes"),
    [
        (lambda real, reconstructed: losses.reconstruction(real, reconstructed, WEIGHTS), [(2, 3, 2, 2), (2, 3, 2, 2)]),
        (
            lambda real, reconstructed: losses.reconstruction(real, reconstructed, WEIGHTS[:1, :1]),
            [(2, 3, 2, 2), (2, 3, 2, 2)],
        ),
        (losses.perception, [(2, 3), (2, 3), (3,)]),
        (losses.prior, [(2, 4), (2, 4)]),
    ],
)
def test_gradients_match_finite_differences(loss, shapes):
    inputs = [(doubles(*shape) + 0.5 + 0.1 * i).requires_grad_() for i, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(loss, inputs)
