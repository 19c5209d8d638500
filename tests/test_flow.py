"""The learned prior: its loss in cases with known results, its inverse, and a distribution that no Gaussian fits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from weakspot.errors import ConfigError, StateModelError
from weakspot.state_model import whitening
from weakspot.state_model.flow import FlowConfig, FlowPrior, Velocity
from weakspot.state_model.flow_training import FlowTrainer, Posteriors, fit, matching_loss, path, times

SMALL = FlowConfig(width=32, depth=2, heads=2, batch_size=128, learning_rate=3e-3, average=0.98)


def one_ball_latents(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and log variances of latents of a world with one ball, which is always at exactly one of four places."""
    place = torch.randint(4, (count,), generator=torch.Generator().manual_seed(seed))
    means = 3.0 + 2.0 * torch.nn.functional.one_hot(place, 4).float()
    return means, torch.full_like(means, math.log(0.1**2))


def train_prior(tmp_path, steps: int, **changed) -> FlowPrior:
    tmp_path.mkdir(exist_ok=True)
    means, log_variances = one_ball_latents(2_000)
    prior, info = fit(
        means, log_variances, 1, replace(SMALL, **changed),
        budget=lambda done, seconds: done / steps, seed=0, made_of="test", checkpoint=tmp_path / "prior.pt",
        checkpoint_every=0.0,
    )  # fmt: skip
    assert info["steps"] == steps
    return prior


def share_without_one_ball(latents: torch.Tensor) -> float:
    """Share of latents with a ball at two or more places, or at none."""
    return float(((latents > 4.0).sum(dim=1) != 1).float().mean())


def test_untrained_prior_is_the_whitened_gaussian():
    means, log_variances = one_ball_latents(500)
    gaussian = whitening.fit(means, log_variances)
    noise = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    untrained = FlowPrior(gaussian, Velocity(4, 2, SMALL), 3)
    assert torch.equal(untrained.to_latent(noise), gaussian.to_latent(noise))


def test_prior_learns_a_distribution_that_no_gaussian_fits(tmp_path):
    means, log_variances = one_ball_latents(500)
    noise = torch.randn(2_000, 4, generator=torch.Generator().manual_seed(7))
    assert share_without_one_ball(whitening.fit(means, log_variances).to_latent(noise)) > 0.25
    prior = train_prior(tmp_path, 300)
    with torch.no_grad():
        latents = prior.to_latent(noise)
    assert share_without_one_ball(latents) < 0.1
    shares = (latents > 4.0).float().mean(dim=0)
    assert bool(((shares > 0.18) & (shares < 0.32)).all())


def test_logits_of_training_times_are_normal():
    even = (torch.arange(10_000) + 0.5) / 10_000
    found = times(even, 0.7)
    logits = torch.logit(found.double())
    assert float(logits.mean()) == pytest.approx(0.0, abs=1e-3) and float(logits.std()) == pytest.approx(0.7, rel=0.01)
    assert float((logits.abs() < 0.7).double().mean()) == pytest.approx(0.6827, abs=1e-3)
    assert torch.equal(times(even, 0.0), even) and bool(torch.isfinite(times(torch.zeros(1), 1.0)).all())
    with pytest.raises(ConfigError, match="time_spread"):
        FlowConfig(time_spread=-1.0)


def test_round_trip_is_nearly_the_identity(tmp_path):
    prior = train_prior(tmp_path, 150, integration=12, width=64)
    noise = torch.randn(64, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        back = prior.to_noise(prior.to_latent(noise))
    assert float((back - noise).abs().median()) < 0.02
    assert float(prior.velocity(noise, torch.full((64,), 0.5)).abs().mean()) > 0.1  # otherwise the test is trivial


def test_prior_is_differentiable(tmp_path):
    prior = train_prior(tmp_path, 20)
    exact = FlowPrior(
        whitening.Whitening(*(tensor.double() for tensor in prior.whitening.tensors().values())), prior.velocity.double(), 2
    )

    noise = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(exact.to_latent(noise).sum(), noise)
    step = 1e-3
    for i in range(4):
        moved = torch.zeros_like(noise)
        moved[0, i] = step
        difference = (exact.to_latent(noise + moved) - exact.to_latent(noise - moved)).detach().sum() / (2 * step)
        assert float(gradient[0, i]) == pytest.approx(float(difference), rel=2e-2, abs=1e-3)


def test_prior_learns_the_dependence_of_frames(tmp_path):
    """Two frames of the same world, with the ball one place further in the second."""
    means, log_variances = one_ball_latents(2_000)
    prior, _ = fit(
        torch.cat([means, means.roll(1, dims=1)], dim=1), log_variances.repeat(1, 2), 2, SMALL,
        budget=lambda done, seconds: done / 400, seed=0, made_of="test", checkpoint=tmp_path / "prior.pt",
    )  # fmt: skip
    noise = torch.randn(1_000, 8, generator=torch.Generator().manual_seed(5))

    def follows(latents: torch.Tensor) -> float:
        return float((latents[:, :4].argmax(dim=1) == (latents[:, 4:].argmax(dim=1) - 1) % 4).float().mean())

    with torch.no_grad():
        generated = prior.to_latent(noise)
    assert follows(prior.whitening.to_latent(noise)) < 0.4, "the Gaussians of single frames are independent"
    assert (
        follows(generated) > 0.9
        and share_without_one_ball(generated[:, :4]) < 0.15
        and share_without_one_ball(generated[:, 4:]) < 0.15
    )


def test_bfloat16_gives_nearly_the_same_latents(tmp_path):
    prior = train_prior(tmp_path, 50)
    half = FlowPrior(prior.whitening, Velocity(4, 1, SMALL, torch.bfloat16), prior.integration)
    half.velocity.load_state_dict(prior.velocity.state_dict())
    noise = torch.randn(64, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    half_latents, exact = half.to_latent(noise), prior.to_latent(noise)
    torch.testing.assert_close(half_latents, exact, atol=0.1, rtol=0.05)
    (gradient,) = torch.autograd.grad(half_latents.sum(), noise)
    assert torch.isfinite(gradient).all() and bool((gradient != 0).any())


def test_flow_that_is_not_finite_raises_an_error(tmp_path):
    means, log_variances = one_ball_latents(200)
    with pytest.raises(StateModelError, match="learned prior is no longer finite in step"):
        fit(
            means, log_variances, 1, replace(SMALL, learning_rate=1e30), budget=lambda done, seconds: done / 20, seed=0,
            made_of="test", checkpoint=tmp_path / "prior.pt",
        )  # fmt: skip


def test_loss_of_zero_velocity_matches_its_closed_form():
    generator = torch.Generator().manual_seed(0)
    noise, latent = torch.randn(2, 20_000, 4, generator=generator)
    time = torch.rand(20_000, generator=generator)
    zero_velocity = matching_loss(lambda x, t: torch.zeros_like(x), noise, latent, time)
    assert float(zero_velocity) == pytest.approx((math.pi / 2) ** 2, rel=0.02)  # for a Gaussian with covariance I
    target = torch.tensor([[1.0, -2.0]])
    exact = matching_loss(lambda x, t: math.pi / 2 * target, torch.zeros(1, 2), target, torch.zeros(1))
    assert float(exact) == 0.0


def trainer_at(share: float, **changed) -> FlowTrainer:
    """A trainer after some steps, the last of them at a share of its training."""
    means, log_variances = one_ball_latents(500)
    posteriors = Posteriors(means, torch.exp(0.5 * log_variances), whitening.fit_frames(means, log_variances, 1))
    trainer = FlowTrainer(posteriors, 1, replace(SMALL, **changed), 0, torch.float32)
    for number in range(30):
        trainer.step(share * number / 30, number)
    return trainer


def test_guided_target_is_the_equation(monkeypatch):
    trainer = trainer_at(0.6)
    assert trainer.weak is not None
    with torch.no_grad():
        for parameter in trainer.weak.parameters():
            parameter.add_(0.05)
    noise, latent, t = batch = trainer.batch()
    monkeypatch.setattr(trainer, "batch", lambda: batch)
    x, velocity = path(noise, latent, t)
    guided = velocity + SMALL.guidance * (trainer.average(x, t) - trainer.weak(x, t))
    expected = (trainer.velocity(x, t) - guided).square().mean()
    torch.testing.assert_close(trainer._loss(0.6), expected)
    assert abs((trainer._loss(0.4) - expected).item()) > 1e-4, "not yet guided"
    torch.testing.assert_close(trainer._loss(0.4), matching_loss(trainer.velocity, *batch))


def test_without_guidance_there_is_no_weak_flow():
    assert trainer_at(0.9, guidance=0.0).weak is None and trainer_at(0.1).weak is None


@pytest.mark.parametrize("changed", [{"guidance": 1.0}, {"guidance": -0.1}, {"weak_at": 0.7}, {"guided_from": 1.5}])
def test_guidance_that_cannot_work_is_refused(changed):
    with pytest.raises(ConfigError, match="guidance"):
        replace(SMALL, **changed)


def test_killed_training_resumes_with_the_same_bits(tmp_path):
    whole = train_prior(tmp_path / "a", 12)
    means, log_variances = one_ball_latents(2_000)
    arguments = (means, log_variances, 1, SMALL)

    class KillError(RuntimeError):
        pass

    def budget(done: int, seconds: float) -> float:
        if done == 7 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            raise KillError
        return done / 12

    settings = {"seed": 0, "made_of": "test", "checkpoint": tmp_path / "prior.pt", "checkpoint_every": 0.0, "budget": budget}
    with pytest.raises(KillError):
        fit(*arguments, **settings)
    again, info = fit(*arguments, **settings)
    assert info["steps"] == 12
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name
    other, _ = fit(*arguments, **{**settings, "made_of": "other latents", "budget": lambda done, seconds: done / 1})
    assert not torch.equal(other.tensors()["flow.leave.weight"], again.tensors()["flow.leave.weight"])
