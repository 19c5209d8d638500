"""Algorithm 1 with a known optimum: a linear agent on a Gaussian state model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toys import SHAPE, LinearAgent, LinearNetwork, linear_model, linear_perceiver

from weakspot.agents.base import AgentOutput, Perceiver
from weakspot.errors import ConfigError, TargetError
from weakspot.search.algorithm_1 import RACE, RECENT, Noise, synthesize
from weakspot.search.config import SynthesisConfig
from weakspot.search.distribution import SearchDistribution
from weakspot.search.energy import TargetScale, energy_equation, measure_scale
from weakspot.search.starts import starts
from weakspot.state_model.losses import prior
from weakspot.state_model.model import StateModel
from weakspot.state_model.whitening import identity
from weakspot.system.compute import seeded, threads
from weakspot.targets.base import Target
from weakspot.targets.overconfidence import Surplus
from weakspot.targets.resolve import resolve_target

CONFIG = SynthesisConfig(
    states=6, searches=1, steps=600, learning_rate=0.05, regulariser=0.5, start="prior", tolerance=-1e9, enough="never"
)
SCALE = 0.01


def search(config=CONFIG, target="A1", scale=SCALE, first=0, best=0.0):
    model, perceive = linear_model(), linear_perceiver()
    chosen = resolve_target(target, perceive.agent.spec, 5.0) if isinstance(target, str) else target
    start = starts(model, perceive, config, lambda i: torch.zeros(0), np.arange(0))(chosen)
    return synthesize(model, perceive, chosen, start, config, TargetScale(scale, best), first=first)


def test_finds_the_known_optimum():
    # E = -q_1(u) / scale + alpha KL, q_1 linear in u with gradient k: the optimum is x_mu = k / (scale alpha), x_sigma = 1.
    model, agent = linear_model(), LinearAgent()
    gradient = agent.weight[1] @ model.network.generator_matrix
    optimum = gradient / (0.1 * CONFIG.regulariser)
    found = search(replace(CONFIG, steps=1_000, learning_rate=0.01), scale=0.1)
    torch.testing.assert_close(found.distribution.mean, optimum.expand(6, -1), atol=0.2, rtol=0.05)
    torch.testing.assert_close(found.distribution.mean.mean(dim=0), optimum, atol=0.1, rtol=0.02)
    torch.testing.assert_close(found.distribution.sigma, torch.ones(6, 5), atol=0.1, rtol=0)
    torch.testing.assert_close(found.kl, 0.5 * optimum.square().sum().expand(6), atol=0.05, rtol=0.1)


@pytest.mark.parametrize("target", ["T-", "T+", "T+-", "S+", "S-", "V+", "V-", "A0"])
def test_every_target_decreases_and_its_reported_value_matches_the_state(target):
    found = search(target=target)
    perceive = linear_perceiver()
    chosen = resolve_target(target, perceive.agent.spec, 5.0)
    before = chosen(perceive(linear_model().generate(torch.zeros(1, 5)))).item()
    assert (found.target < before).all()
    torch.testing.assert_close(found.target, chosen(perceive(found.state)))
    assert np.nanmean(found.energy[:, -20:]) < np.nanmean(found.energy[:, :20])


def test_states_do_not_depend_on_the_rest_of_the_batch():
    together = search(replace(CONFIG, steps=60))
    for j in range(6):
        alone = search(replace(CONFIG, steps=60, states=1), first=j)
        torch.testing.assert_close(alone.state[0], together.state[j], atol=1e-5, rtol=1e-4)
        np.testing.assert_allclose(alone.energy[0], together.energy[j], atol=1e-3, rtol=1e-4)


def test_only_the_same_seed_gives_the_same_bits():
    config = replace(CONFIG, steps=30)
    assert torch.equal(search(config).state, search(config).state)
    assert not np.array_equal(search(config).energy, search(replace(config, seed=1)).energy)


def test_searches_stop_when_the_energy_no_longer_decreases():
    config = replace(CONFIG, steps=2_000, patience=30, tolerance=0.01)
    found = search(config)
    assert (found.iterations < 2_000).all() and (found.iterations >= 60).all()
    for row, steps in zip(found.energy, found.iterations, strict=True):
        assert np.isfinite(row[:steps]).all() and np.isnan(row[steps:]).all()
    assert len(set(found.iterations.tolist())) > 1, "each state stops on its own"
    assert found.target.mean().item() == pytest.approx(search(replace(config, tolerance=-1e9)).target.mean().item(), rel=0.1)


def test_states_with_the_best_target_values_are_returned():
    config = replace(CONFIG, steps=RACE - 1, searches=1, states=250)  # several batches, and no race
    everything = search(config)
    kept = search(replace(config, searches=25, states=10))
    chosen = resolve_target("A1", linear_perceiver().agent.spec, 5.0)
    best_rows = sorted(chosen(linear_perceiver()(everything.state)).argsort()[:10].tolist())
    torch.testing.assert_close(kept.noise, everything.noise[best_rows])
    torch.testing.assert_close(kept.state, everything.state[best_rows])
    torch.testing.assert_close(kept.output.scores, everything.output.scores[best_rows])
    torch.testing.assert_close(kept.distribution.mean, everything.distribution.mean[best_rows])
    torch.testing.assert_close(kept.distribution.sigma, everything.distribution.sigma[best_rows])
    torch.testing.assert_close(kept.target, everything.target[best_rows])
    torch.testing.assert_close(kept.kl, everything.kl[best_rows])
    np.testing.assert_array_equal(kept.energy, everything.energy[best_rows])
    assert len(kept.iterations) == 10 and kept.spent == everything.spent == 250 * config.steps


def test_searches_that_are_behind_end_early():
    """Of thirty starts at different distances from the optimum, the nearest fifteen go on, as they would alone."""
    model, perceive = linear_model(), linear_perceiver()
    chosen = resolve_target("A1", perceive.agent.spec, 5.0)
    config = replace(CONFIG, steps=40, searches=3, states=10, regulariser=0.01)
    mean = torch.randn(30, 5, generator=torch.Generator().manual_seed(2))
    start = SearchDistribution(mean, torch.full_like(mean, 1e-3))
    seen: dict[int, list[int]] = {}
    found = synthesize(
        model, perceive, chosen, start, config, TargetScale(SCALE, 0.0),
        watch=lambda step, searches, state: seen.setdefault(step, []).extend(searches.tolist()),
    )  # fmt: skip
    free = synthesize(model, perceive, chosen, start, replace(config, states=30), TargetScale(SCALE, 0.0))
    ahead = free.energy[:, RACE - RECENT : RACE].mean(axis=1).argsort()[:15]
    assert config.ahead == 1.5 and all(sorted(seen[step]) == list(range(30)) for step in range(RACE))
    assert all(sorted(seen[step]) == sorted(ahead.tolist()) for step in range(RACE, 40))
    best = np.sort(ahead[free.target.numpy()[ahead].argsort()[:10]])
    np.testing.assert_array_equal(found.number, best)
    torch.testing.assert_close(found.state, free.state[best], atol=1e-5, rtol=1e-4)
    assert found.spent == 30 * RACE + 15 * (40 - RACE) and (found.iterations == 40).all()


def test_a_search_that_has_converged_early_is_compared_with_the_others():
    config = replace(CONFIG, steps=40, searches=3, states=4, patience=8, tolerance=0.1)
    found = search(config)
    everything = search(replace(config, searches=1, states=12))
    assert (everything.iterations < RACE).any() and found.draws == 6 and everything.draws == 12
    last = [row[end - RECENT : end].mean() for row, end in zip(everything.energy, everything.iterations, strict=True)]
    assert set(found.number.tolist()) <= set(np.argsort(last)[:6].tolist())


def test_a_comparison_after_the_last_step_would_only_lose_states():
    config = replace(CONFIG, steps=RACE, searches=3, states=4)
    found, everything = search(config), search(replace(config, searches=1, states=12))
    assert found.draws == 12
    np.testing.assert_array_equal(found.number, np.sort(everything.target.argsort()[:4].numpy()))


def test_the_number_of_threads_changes_no_bit():
    config, before = replace(CONFIG, steps=5, states=60), torch.get_num_threads()
    found = []
    for count in (1, 2):
        with threads(count):
            found.append(search(config))
            assert torch.get_num_threads() == count
    assert torch.equal(found[0].state, found[1].state) and np.array_equal(found[0].energy, found[1].energy)
    with threads(2), pytest.raises(TargetError, match="division"):
        search(config, target=custom_target(lambda output: output.scores[:, 0] / (1 // 0)))
    assert torch.get_num_threads() == before


class DeepAgent(LinearAgent):
    """A network of two layers."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(0):
            self.module = nn.Sequential(
                nn.Flatten(), nn.Linear(SHAPE[0] * SHAPE[1] * SHAPE[2], 32), nn.ReLU(), nn.Linear(32, 3)
            )

    def __call__(self, observation):
        return AgentOutput(self.module(observation))


def test_batches_that_are_computed_together_keep_the_features_of_the_agent_apart():
    """The estimate of the surplus comes from the inputs of the agent's last layer, which all batches pass through."""
    agent, model = DeepAgent(), linear_model()
    perceive = Perceiver(agent, lambda state: state, estimator=Surplus(torch.linspace(-1.0, 1.0, 32).double(), 0.0))
    chosen = resolve_target("overconfidence", agent.spec, 1.0)
    mean = torch.randn(95, 5, generator=torch.Generator().manual_seed(1))
    config = replace(CONFIG, steps=10, states=95)
    with threads(2):
        found = synthesize(
            model, perceive, chosen, SearchDistribution(mean, torch.full_like(mean, 0.1)), config, TargetScale(SCALE, 0.0)
        )
    torch.testing.assert_close(found.target, chosen(perceive(found.state)))


def test_a_target_that_is_flat_in_some_starts_is_no_mistake():
    values = torch.linspace(-1.0, 1.0, 6)[:, None] * torch.ones(6, 5)
    start = SearchDistribution(values, torch.full_like(values, 1e-3))
    model, perceive = linear_model(), linear_perceiver()
    linear = resolve_target("A1", perceive.agent.spec, 5.0)
    middle = float(linear(perceive(model.generate(values))).median())
    clamped = custom_target(lambda output: torch.relu(linear(output) - middle))
    flat = clamped(perceive(model.generate(start.mean))) == 0
    assert flat[:3].all() or flat[3:].all(), "one of the two batches is flat"
    found = synthesize(model, perceive, clamped, start, CONFIG, TargetScale(SCALE, 0.0))
    assert len(found.target) == 6


class LossyNetwork(LinearNetwork):
    """Reconstructs states exactly if the first number of their latent is negative, and at half strength otherwise."""

    def encode(self, state):
        mean, log_variance = super().encode(state)
        return torch.where(mean[:, :1] < 0, mean, 0.5 * mean), log_variance


def test_searches_start_from_the_best_well_reconstructed_samples():
    perceive, latent = linear_perceiver(), 5
    model = StateModel(LossyNetwork(latent).eval(), identity(latent), {"recipe": "toy"})
    chosen = resolve_target("A1", perceive.agent.spec, 5.0)
    config = replace(CONFIG, start="samples", candidates=100, start_sigma=0.2)
    start_for = starts(model, perceive, config, lambda i: torch.zeros(0), np.arange(0))
    start = start_for(chosen)
    noise = torch.from_numpy(np.random.default_rng([config.seed, 5]).standard_normal((100, latent), np.float32))
    state = model.generate(noise)
    best_reconstructed = noise[(model.reconstruct(state) - state).square().mean(dim=(1, 2, 3)).argsort()[:50]]
    assert config.kept == 0.5
    assert (best_reconstructed[:, 0] < 0).float().mean() > 0.9
    torch.testing.assert_close(
        start.mean, best_reconstructed[chosen(perceive(model.generate(best_reconstructed))).argsort()[:6]]
    )
    assert (start.sigma == 0.2).all()
    fewer = starts(model, perceive, replace(config, candidates=4), lambda i: torch.zeros(0), np.arange(0))(chosen)
    assert len(fewer.mean.unique(dim=0)) == 6, "all starts differ"


@pytest.mark.parametrize("states", [1, 3, 10, 130])
def test_starts_from_real_states_are_their_latents(states):
    model, perceive = linear_model(), linear_perceiver()
    latents = torch.randn(states, 5, generator=torch.Generator().manual_seed(3))
    chosen = resolve_target("A1", perceive.agent.spec, 5.0)
    config = replace(CONFIG, start="data", states=4, candidates=200, start_sigma=0.2)
    start = starts(model, perceive, config, lambda i: model.generate(latents[torch.from_numpy(i)]), np.arange(states))(
        chosen
    )
    order = chosen(perceive(model.generate(latents))).argsort()
    torch.testing.assert_close(start.mean, latents[order[torch.arange(4) % states]], atol=1e-4, rtol=1e-3)
    assert (start.sigma == 0.2).all()
    with pytest.raises(ConfigError, match="no real state"):
        starts(model, perceive, config, lambda i: torch.zeros(0), np.arange(0))


def test_energy_saturates_beyond_the_best_recorded_value():
    bounded_config = replace(CONFIG, regulariser=0.01, enough="best")
    free = search(replace(CONFIG, regulariser=0.01))
    goal = float(free.target.mean()) / 4
    bounded = search(bounded_config, best=goal)
    assert float(free.target.max()) < goal and float(bounded.target.mean()) == pytest.approx(goal, rel=0.3)
    assert float(bounded.kl.mean()) < 0.2 * float(free.kl.mean()), "a bounded target leaves more room to the regulariser"
    far = search(replace(CONFIG, steps=60, enough="best"), best=100 * goal)
    torch.testing.assert_close(far.target, search(replace(CONFIG, steps=60)).target, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("enough", ["best", "never"])
def test_energy_matches_the_reported_equation(enough):
    perceive = linear_perceiver()
    chosen = resolve_target("A1", perceive.agent.spec, 5.0)
    outputs = perceive(linear_model().generate(torch.randn(200, 5, generator=torch.Generator().manual_seed(8))))
    scale = measure_scale(chosen, outputs)
    assert scale.scale == pytest.approx(float(chosen(outputs).std())) and scale.best == float(chosen(outputs).min())
    config = replace(CONFIG, steps=1, states=3, regulariser=0.0, enough=enough)
    found = search(config, scale=scale.scale, best=scale.best)
    text = energy_equation(chosen, scale, config)
    states = linear_model().generate(Noise(config.seed, 3, 5).draw(np.arange(3)))
    values = chosen(perceive(states)).tolist()
    formula = (
        text.removeprefix("E = ").split(" + 0 KL")[0].replace(f"({chosen.equation})", "T").replace("0.1 soft", "0.1 * soft")
    )
    expected = [eval(formula, {"T": value, "softplus": lambda x: np.log1p(np.exp(x))}) for value in values]
    np.testing.assert_allclose(found.energy[:, 0], expected, rtol=2e-2, atol=2e-3)


def test_kl_matches_the_prior_term_of_the_state_model():
    x = SearchDistribution(torch.randn(4, 5), torch.rand(4, 5) + 0.1)
    torch.testing.assert_close(x.kl(), prior(x.mean, 2 * x.sigma.log()))


def test_each_state_has_different_noise():
    noise, alone = Noise(0, 3, 100), Noise(0, 1, 100, first=2)
    draws = [noise.draw(np.arange(3)) for _ in range(5)]
    assert all(torch.equal(alone.draw(np.array([0]))[0], draw[2]) for draw in draws)
    every = torch.cat(draws)
    assert np.abs(np.corrcoef(every) - np.eye(15)).max() < 0.4, "all numbers differ, of searches and of steps"


def custom_target(energy):
    return Target("own", "own", "own", "", "", energy)


@pytest.mark.parametrize(
    "energy",
    [
        lambda output: torch.zeros(len(output.scores)),
        lambda output: output.scores.detach().sum(dim=1),
        lambda output: output.scores.argmax(dim=1).float(),
        lambda output: (output.scores * 0).sum(dim=1),
    ],
)
def test_target_that_ignores_its_input_is_refused(energy):
    with pytest.raises(TargetError, match="no gradient comes back"):
        search(target=custom_target(energy))


def test_nan_and_infinite_gradients_are_refused():
    with pytest.raises(TargetError, match="returned nan"):
        search(target=custom_target(lambda output: output.scores.sum(dim=1) * float("nan")))
    with pytest.raises(TargetError, match="not finite"):
        search(target=custom_target(lambda output: (output.scores[:, 0] - output.scores[:, 0].detach()).clamp(0).sqrt()))
    with pytest.raises(TargetError, match="spread of 0"):
        search(scale=0.0)


def test_invalid_settings_are_refused():
    for wrong in ({"states": 0}, {"steps": -1}, {"learning_rate": 0.0}, {"regulariser": -1.0}, {"ahead": 0.5}):
        with pytest.raises(ConfigError):
            replace(CONFIG, **wrong)
