"""Muon: against torch's own, against the singular value decomposition, and from a checkpoint."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from weakspot.state_model.muon import MARGIN, POLYNOMIALS, RMS, SMALLEST, Muon, muon_and_adamw, orthogonalised

SHAPES = ((6, 4), (6, 4), (4, 4), (3, 7))


def networks():
    """Two equal lists of matrices, and gradients for some steps."""
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    gradients = [[torch.randn(shape, generator=generator) for shape in SHAPES] for _ in range(4)]
    return ours, copy.deepcopy(ours), gradients


def closest_to_one(low, high):
    """The odd polynomial of degree five that is closest to 1 on an interval, and its largest distance from 1."""
    x = np.linspace(low, high, 4_000)
    powers = np.stack([x, x**3, x**5, np.zeros_like(x)], axis=1)
    distance = np.array([0.0, 0.0, 0.0, 1.0])
    result = linprog(
        distance,
        A_ub=np.concatenate([powers - distance, -powers - distance]),
        b_ub=np.concatenate([np.ones(len(x)), -np.ones(len(x))]),
        bounds=[(None, None)] * 4,
    )
    return result.x[:3], result.x[3]


def test_polynomials_are_the_best_ones_in_turn():
    low, high = SMALLEST, 1.0
    for given in POLYNOMIALS:
        best, distance = closest_to_one(low, MARGIN * high)
        np.testing.assert_allclose(given, best, atol=2e-4)
        low, high = 1 - distance, 1 + distance
    assert high < 1.29


def test_steps_equal_those_of_torch():
    """Which rounds to bfloat16, and has one polynomial: steps of one size differ by a few percent of it."""
    ours, theirs, gradients = networks()
    first = [matrix.detach().clone() for matrix in ours]
    muon = Muon(ours, torch.float32, lr=0.01, weight_decay=0.2, polynomials=((3.4445, -4.7750, 2.0315),) * 5)
    reference = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.2, adjust_lr_fn="match_rms_adamw")
    for step in gradients:
        for mine, other, gradient in zip(ours, theirs, step, strict=True):
            mine.grad, other.grad = gradient.clone(), gradient.clone()
        muon.step()
        reference.step()
    for mine, other, before in zip(ours, theirs, first, strict=True):
        moved = (other - before).norm()
        assert moved > 0.01 and (mine - other).norm() < 0.03 * moved


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_are_near_one_and_vectors_stay(shape, dtype):
    matrix = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))
    left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
    kept = singular / singular.norm(dim=1, keepdim=True) > 0.05
    result = orthogonalised(matrix, dtype)
    in_basis = left.mT @ result @ right.mT
    values = in_basis.diagonal(dim1=1, dim2=2)
    assert result.dtype == torch.float32 and values[kept].min() > 0.6 and values[kept].max() < 1.3
    assert (in_basis - torch.diag_embed(values)).abs().max() < (1e-4 if dtype == torch.float32 else 0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["two decades", "four decades", "low rank"])
def test_no_singular_value_grows_beyond_its_limit(kind, dtype):
    """Rounding must not amplify the small singular values of the flow's matrices."""
    generator = torch.Generator().manual_seed(4)
    left, right = (torch.linalg.qr(torch.randn(size, 192, generator=generator)).Q for size in (192, 576))
    decades = {"two decades": 2, "four decades": 4, "low rank": 3}[kind]
    singular = torch.logspace(0, -decades, 192)
    if kind == "low rank":
        singular[4:] = 1e-3
    matrix = (left * singular) @ right.T
    found = torch.linalg.svdvals(orthogonalised(matrix[None], dtype)[0])
    assert found.max() < 1.3
    exact = torch.linalg.svdvals(orthogonalised(matrix[None].double(), torch.float64)[0])
    assert (found - exact).abs().max() < (1e-2 if dtype == torch.float32 else 0.3)


def test_weights_of_a_convolution_are_a_matrix_with_a_row_for_each_filter():
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(4, 3, 3, 3, generator=generator)
    gradients = torch.randn(3, *weight.shape, generator=generator)
    convolution, matrix = nn.Parameter(weight.clone()), nn.Parameter(weight.reshape(4, 27).clone())
    for parameter in (convolution, matrix):
        muon = Muon([parameter], torch.float32, lr=0.1)
        for gradient in gradients:
            parameter.grad = gradient.reshape(parameter.shape)
            muon.step()
    assert torch.equal(convolution.flatten(1), matrix) and (matrix - weight.reshape(4, 27)).abs().max() > 0.01


def test_the_size_of_steps_is_as_it_is_set():
    for rms in (RMS, 2.4):
        matrix = nn.Parameter(torch.zeros(8, 8))
        muon = Muon([matrix], torch.float32, lr=0.01, rms=rms, weight_decay=0.0)
        matrix.grad = torch.eye(8)
        muon.step()
        assert matrix.square().mean().sqrt().item() == pytest.approx(0.01 * rms, rel=0.3)


def test_each_parameter_has_exactly_one_optimiser():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(1, 4), nn.Linear(4, 2))
    muon, adamw = muon_and_adamw(module, [module[0].weight], torch.float32, rms=2.4, momentum=0.9, weight_decay=0.3)
    chosen = [[id(p) for group in one.param_groups for p in group["params"]] for one in (muon, adamw)]
    assert chosen[0] == [id(module[0].weight)]
    assert sorted(chosen[0] + chosen[1]) == sorted(id(parameter) for parameter in module.parameters())
    assert muon.param_groups[0]["momentum"] == 0.9
    assert {group["weight_decay"] for one in (muon, adamw) for group in one.param_groups} == {0.3}


def test_each_matrix_has_its_own_result():
    matrices = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(2))
    matrices[1] = 0.0
    together = orthogonalised(matrices, torch.float32)
    assert together[1].abs().max() == 0.0, "a gradient of zero moves nothing"
    torch.testing.assert_close(together[2], orthogonalised(matrices[2:], torch.float32)[0], rtol=1e-4, atol=1e-5)


def test_a_restored_optimiser_continues_exactly():
    ours, others, gradients = networks()
    first, second = (Muon(matrices, torch.float32, lr=0.1) for matrices in (ours, others))
    for number, step in enumerate(gradients):
        if number == 2:
            again = Muon(others, torch.float32, lr=0.1)
            again.load_state_dict(copy.deepcopy(second.state_dict()))
            second = again
        for mine, other, gradient in zip(ours, others, step, strict=True):
            mine.grad, other.grad = gradient, gradient
        first.step()
        second.step()
    assert all(torch.equal(mine, other) for mine, other in zip(ours, others, strict=True))
    ours[0].grad = None
    before = ours[0].detach().clone()
    first.step()
    assert torch.equal(ours[0], before), "matrices without a gradient stay"
