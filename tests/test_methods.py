"""All methods behind one interface, on a linear agent and a Gaussian state model.

The tests run on every method in ``METHODS``, including new ones.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import third_party
import torch
from small_rollouts import LINEAR, sources
from toys import SHAPE, LinearNetwork

from weakspot.agents.base import AgentOutput
from weakspot.errors import ConfigError, ExtensionError, TargetError
from weakspot.search import registry
from weakspot.search.activation_maximization import ActivationMaximization
from weakspot.search.algorithm_1 import AlgorithmOne
from weakspot.search.config import SynthesisConfig
from weakspot.search.deep_image_prior import DeepImagePrior, UntrainedNetworks
from weakspot.search.denoising_prior import DenoisingPrior, train_denoiser
from weakspot.search.memory_search import MemorySearch
from weakspot.search.method import Cost, Method, SearchResult
from weakspot.search.pixel_regularisers import REGULARISERS
from weakspot.search.registry import METHODS, load_method
from weakspot.state_model.model import StateModel
from weakspot.state_model.whitening import identity
from weakspot.targets.base import Target
from weakspot.targets.resolve import resolve_target

CHEAPER = {
    "algorithm-1": AlgorithmOne(SynthesisConfig(steps=30, candidates=64)),
    "activation-maximization": ActivationMaximization(steps=8),
    "deep-image-prior": DeepImagePrior(steps=4, channels=4),
    "denoising-prior": DenoisingPrior(steps=4, training_steps=20),
    "memory-search": MemorySearch(trials=20),
}
"""The slow methods with fewer steps."""
TABLE = {name: CHEAPER.get(name) or load_method(name) for name in METHODS.names()}
TABLE |= {
    "algorithm-1 from real states": AlgorithmOne(SynthesisConfig(steps=10, candidates=64, start="data")),
    "algorithm-1 as in the paper": AlgorithmOne(SynthesisConfig(steps=10, searches=1, start="prior", enough="never")),
    **{f"activation-maximization, {one.name}": ActivationMaximization(one, steps=4) for one in REGULARISERS[1:]},
}
RECORDED = {"retrieval", "highlights", "highlights-div"}
"""Methods that select recorded states, without randomness."""
BY_GRADIENTS = [name for name in TABLE if name.startswith(("algorithm-1", "activation-maximization")) or "prior" in name]

every_method = pytest.mark.parametrize("name", TABLE)


def target(name="T-"):
    return resolve_target(name, LINEAR.agent.spec, 5.0)


class SameBits(LinearNetwork):
    """Encodes without a linear solver, whose last bits depend on the memory address of its input."""

    def encode(self, state):
        inverse = torch.linalg.pinv(self.generator_matrix.double())
        mean = ((state.double() - 0.5).flatten(1)[:, None] * inverse).sum(dim=2).float()
        return mean, torch.full_like(mean, -20.0)


def custom_target(energy):
    return Target("own", "own", "own", "", "own(A(s))", energy)


@every_method
def test_methods_satisfy_the_protocol_and_have_unique_names(name):
    assert isinstance(TABLE[name], Method) and TABLE[name].name
    if name in METHODS.names():
        assert isinstance(load_method(name), type(TABLE[name]))
        assert [load_method(other).name for other in METHODS.names()].count(load_method(name).name) == 1


@every_method
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("symbol", ["T+-", "A1", "V-"])
def test_methods_return_the_requested_number_of_states_with_consistent_outputs(name, count, symbol):
    inputs = sources()
    found = TABLE[name](inputs, target(symbol), count, 0)
    assert found.state.shape == (count, *SHAPE) and found.state.dtype == torch.float32
    assert found.state.min() >= 0 and found.state.max() <= 1 and not found.state.requires_grad
    output = inputs.perceive(found.state)
    torch.testing.assert_close(found.output.scores, output.scores, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(found.output.value, output.value, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(found.target, target(symbol)(found.output))
    assert found.target.shape == (count,) and len(found.state.flatten(1).unique(dim=0)) == count


@every_method
def test_states_are_all_recorded_or_all_synthesised(name):
    inputs = sources()
    found = TABLE[name](inputs, target(), 4, 0)
    assert (found.index is not None) == (name in RECORDED)
    if found.index is not None:
        assert set(found.index) <= set(inputs.indices) and len(set(found.index)) == 4 and found.cost.model == 0
    else:
        assert found.cost.agent >= 4


@every_method
def test_only_the_same_seed_gives_the_same_states(name):
    inputs = replace(sources(), model=StateModel(SameBits().eval(), identity(5), {"recipe": "toy"}))
    first, again, other = (TABLE[name](inputs, target(), 4, seed) for seed in (3, 3, 4))
    assert torch.equal(first.state, again.state) and torch.equal(first.target, again.target)
    assert first.cost == again.cost
    assert torch.equal(first.state, other.state) == (name in RECORDED)


@every_method
def test_global_random_generators_are_unchanged(name):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    TABLE[name](sources(), target(), 3, 0)
    assert torch.equal(torch.get_rng_state(), before[0]) and np.array_equal(np.random.get_state()[1], before[1])


@every_method
def test_sources_are_unchanged(name):
    inputs = sources()
    before = inputs.outputs.scores.clone(), inputs.indices.copy(), inputs.model.network.generator_matrix.clone()
    TABLE[name](inputs, target(), 3, 0)
    after = inputs.outputs.scores, inputs.indices, inputs.model.network.generator_matrix
    assert torch.equal(before[0], after[0]) and np.array_equal(before[1], after[1]) and torch.equal(before[2], after[2])


@every_method
@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (lambda output: output.scores.sum(dim=1) * float("nan"), "returned nan"),
        (lambda output: output.scores, r"returned \(\d+, 3\) for \d+ states"),
        (lambda output: output.nothing, "failed with AttributeError"),
    ],
    ids=["NaN", "a wrong shape", "an error in the target"],
)
def test_a_broken_target_is_refused(name, energy, words):
    with pytest.raises(TargetError, match=words):
        TABLE[name](sources(), custom_target(energy), 3, 0)


@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_a_target_without_a_gradient_is_refused(name):
    with pytest.raises(TargetError, match="no gradient comes back"):
        TABLE[name](sources(), custom_target(lambda output: output.scores.detach().sum(dim=1)), 3, 0)


@every_method
def test_requests_for_more_states_than_a_method_has_are_refused(name):
    """Only methods that select from a limited number of states refuse; the others synthesise as many as requested."""
    if name not in RECORDED | {"random-search", "memory-search"}:
        assert len(TABLE[name](sources(), target(), 70, 0).state) == 70  # more than one batch
        return
    with pytest.raises(ConfigError, match="fewer states"):
        TABLE[name](sources(), target(), 5_000, 0)


@pytest.mark.parametrize("name", [name for name in BY_GRADIENTS if "jitter" not in name])
def test_more_gradient_steps_decrease_the_target(name):
    method = TABLE[name]
    if isinstance(method, AlgorithmOne):
        longer = replace(method, config=replace(method.config, steps=150))
    else:
        longer = replace(method, steps=60)
    few, many = (one(sources(), target("A1"), 6, 0).target.mean() for one in (method, longer))
    assert many < few


# Priors of other kinds


def test_untrained_networks_draw_smooth_states_that_depend_on_their_own_weights_alone():
    networks = UntrainedNetworks(3, (4, 21, 19), 8, torch.Generator().manual_seed(0))
    state = networks()
    assert state.shape == (3, 4, 21, 19) and state.min() >= 0 and state.max() <= 1
    spread = state.std(dim=(2, 3)).mean()
    assert (state[..., 1:] - state[..., :-1]).std() < 0.5 * spread, "neighbours differ less than pixels far apart"
    gradients = torch.autograd.grad(state[1].sum(), list(networks.parameters()))
    for gradient in gradients:
        own = gradient.unflatten(0, (3, -1))
        assert own[1].any() and not own[[0, 2]].any()


def test_the_denoiser_of_a_gaussian_shrinks_towards_its_mean():
    """For y ~ N(0, I), R(y) = y / (1 + sigma^2)."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(20_000, 2, generator=generator)
    denoise = train_denoiser(y, 1.0, 400, generator)
    with torch.no_grad():
        error = (denoise(y) - y / 2).square().mean()
    assert error < 0.02


def test_the_denoising_prior_keeps_latents_likely():
    few, many = (DenoisingPrior(steps=60, pull=pull, training_steps=200) for pull in (0.0, 0.3))
    free, held = (method(sources(), target("A1"), 6, 0) for method in (few, many))
    distance = [sources().model.encode(found.state).norm(dim=1).mean() for found in (free, held)]
    assert free.target.mean() < held.target.mean() and distance[1] < 0.7 * distance[0]


# The registry


def test_names_do_not_need_torch():
    code = "import sys, weakspot.search.registry as r; r.METHODS.names(); sys.exit('torch' in sys.modules)"
    stub = "import sys, types; p = types.ModuleType('weakspot'); p.__path__ = [sys.argv[1]]; sys.modules['weakspot'] = p; "
    folder = Path(registry.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", stub + code, str(folder)], check=False).returncode == 0


def test_error_for_an_unknown_method_suggests_the_closest():
    with pytest.raises(ExtensionError, match=r"(?s)no 'highlight'.*did you mean highlights"):
        load_method("highlight")


SHUFFLED = """
from dataclasses import dataclass

import numpy as np

from weakspot.search.method import recorded_states


@dataclass(frozen=True)
class Shuffled:
    name: str = "random recorded states"

    def __call__(self, sources, target, count, seed):
        chosen = np.random.default_rng(seed).permutation(len(sources.indices))[:count]
        return recorded_states(sources, chosen, target)


class NeedsSettings:
    def __init__(self, settings):
        self.settings = settings


def nothing():
    return None
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    entry_points = {"shuffled": "Shuffled", "settings": "NeedsSettings", "nothing": "nothing", "retrieval": "nothing"}
    monkeypatch.setattr(
        registry, "METHODS", third_party.install(tmp_path, monkeypatch, METHODS, entry_points, SHUFFLED, "their_methods")
    )


def test_a_method_of_another_package(installed):
    assert registry.METHODS.names() == (*METHODS.names(), "nothing", "settings", "shuffled")
    method = load_method("shuffled")
    found = method(sources(), target(), 6, 1)
    assert isinstance(found, SearchResult) and isinstance(found.output, AgentOutput) and found.cost == Cost()
    assert np.array_equal(found.index, method(sources(), target(), 6, 1).index)
    assert not np.array_equal(found.index, method(sources(), target(), 6, 2).index)


def test_broken_methods_of_other_packages(installed):
    with pytest.raises(ExtensionError, match=r"(?s)'settings' cannot be made: TypeError.*without required arguments"):
        load_method("settings")
    with pytest.raises(ExtensionError, match="returned NoneType"):
        load_method("nothing")
    assert load_method("retrieval").name == "retrieval", "those of the package cannot be replaced"
