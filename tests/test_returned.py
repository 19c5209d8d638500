"""What networks return: masks, Beta policies, and errors that name the structure; files of other frameworks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from weakspot.agents.base import AgentSpec, Perceiver, choose
from weakspot.agents.build import agent_from_network
from weakspot.agents.load import load_agent
from weakspot.agents.module import ModuleAgent, check_agent
from weakspot.agents.returned import FLOOR, describe, unmasked
from weakspot.errors import OutputError, WeightsError
from weakspot.interface import Interface
from weakspot.saliency.rules import saliency

torch.set_num_threads(1)
NAMES = ("A", "B", "C")


def noise(batch: int = 5) -> Tensor:
    return torch.randint(256, (batch, 2, 12, 12), generator=torch.Generator().manual_seed(0)).float()


class Net(nn.Module):
    """Applies a function to three scores, a value, and the scores again, of each observation."""

    def __init__(self, then, actions: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(288, 8), nn.ReLU(), nn.Linear(8, actions))
        self.then = then

    def forward(self, x: Tensor):
        scores = self.body(x / 255)
        return self.then(scores, scores.mean(dim=1, keepdim=True))


def agent(then, bounds=None, actions: int = 3) -> ModuleAgent:
    names = NAMES[:actions]
    return agent_from_network(Net(then, actions), Interface("toy", names, (2, 12, 12), bounds), name="toy")


@pytest.mark.parametrize(
    ("then", "structure", "advice"),
    [
        (lambda s, v: (v, s), r"\(tensor \(2, 1\), tensor \(2, 3\)\): the value first", "exchange the two"),
        (lambda s, v: (v[:, 0], s), r"\(tensor \(2,\), tensor \(2, 3\)\)", "exchange the two"),
        (
            lambda s, v: ((s, s.exp()), v),
            r"\(\(tensor \(2, 3\), tensor \(2, 3\)\), tensor \(2, 1\)\)",
            "take the tuples apart",
        ),
        (lambda s, v: (s, v, s), r"\(tensor \(2, 3\), tensor \(2, 1\), tensor \(2, 3\)\)", "hidden state"),
        (lambda s, v: (s, (s, s)), r"\(tensor \(2, 3\), \(tensor \(2, 3\), tensor \(2, 3\)\)\)", "hidden state"),
        (lambda s, v: {"logits": s, "v": v}, r"\{logits: tensor \(2, 3\), v: tensor \(2, 1\)\}", "entry with the scores"),
        (lambda s, v: (s, s.exp()), "two numbers for each action", "without the standard deviations"),
    ],
)
def test_errors_show_the_structure_and_what_to_change(then, structure, advice):
    with pytest.raises(OutputError, match=structure) as caught:
        check_agent(agent(then))
    assert advice in caught.value.todo


@pytest.mark.parametrize("then", [lambda s, v: (s, None), lambda s, v: [s], lambda s, v: (s, ()), lambda s, v: (s, {})])
def test_empty_parts_at_the_end_are_ignored(then):
    plain, same = agent(lambda s, v: s), agent(then)
    assert same.spec.scores_are == "q-values"
    torch.testing.assert_close(same(noise()).scores, plain(noise()).scores)


class Masked:
    """Forbids the best action of every state by a mask."""

    def __init__(self, value: float, pair: bool) -> None:
        self.value, self.pair = value, pair

    def __call__(self, scores: Tensor, value: Tensor):
        best = nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1]).bool()
        masked = scores.masked_fill(best, self.value)
        return (masked, value) if self.pair else masked


@pytest.mark.parametrize("value", [-torch.inf, -1e8, float(torch.finfo(torch.float32).min)])
@pytest.mark.parametrize("pair", [True, False])
def test_forbidden_actions_have_finite_scores_and_are_never_taken(value, pair):
    masked = agent(Masked(value, pair))
    check_agent(masked)
    observation = noise(400).requires_grad_()
    output = masked(observation)
    assert torch.isfinite(output.scores).all()
    forbidden = agent(lambda s, v: s)(observation).scores.argmax(dim=1)
    taken = choose(output, masked.spec, torch.Generator().manual_seed(0))
    assert (taken != forbidden).all()
    if pair:
        assert (output.scores.gather(1, forbidden[:, None]) == FLOOR).all()
        torch.testing.assert_close(output.scores.exp().sum(dim=1), torch.ones(400))
    else:
        others = output.scores.scatter(1, forbidden[:, None], torch.inf).amin(dim=1)
        assert (output.scores.gather(1, forbidden[:, None])[:, 0] < others).all()
    maps = saliency(Perceiver(masked, lambda state: 255 * state, "gradient"), torch.rand(4, 2, 12, 12))
    assert torch.isfinite(maps).all() and maps.sum() > 0
    (gradient,) = torch.autograd.grad(output.scores.sum(), observation)
    assert torch.isfinite(gradient).all()


def test_an_added_mask_leaves_guided_backpropagation_defined():
    added = agent(lambda s, v: s + torch.tensor([0.0, 0.0, -1e8]))
    maps = saliency(Perceiver(added, lambda state: 255 * state), torch.rand(4, 2, 12, 12))
    assert torch.isfinite(maps).all() and maps.sum() > 0


def test_a_row_without_allowed_actions_stays_an_error():
    scores = torch.full((1, 3), -torch.inf)
    assert torch.equal(unmasked(scores, "q-values"), scores)


@pytest.mark.parametrize("nested", [True, False])
def test_beta_policies_act_on_their_mean(nested):
    bounds = ((-1.0, 1.0), (0.0, 2.0))

    def then(s: Tensor, v: Tensor):
        pair = (1 + s.exp(), 1 + (-s).exp())
        return (pair, v) if nested else pair

    policy = agent(then, bounds, actions=2)
    output, raw = policy(noise()), agent(lambda s, v: s, bounds, actions=2)(noise()).scores
    alpha, beta = 1 + raw.exp(), 1 + (-raw).exp()
    share = torch.distributions.Beta(alpha, beta).mean
    torch.testing.assert_close(output.scores, torch.tensor([-1.0, 0.0]) + 2 * share)
    assert (output.value is not None) == nested and policy.spec.scores_are == "means"
    check_agent(policy)


def test_means_and_deviations_are_not_taken_for_a_beta_policy():
    with pytest.raises(OutputError, match="two numbers for each action"):
        check_agent(agent(lambda s, v: (s, s.exp()), ((-1.0, 1.0), (0.0, 2.0)), actions=2))


def test_compiled_networks_are_run_as_they_were_written():
    plain = agent(lambda s, v: s)
    compiled = [torch.compile(Net(lambda s, v: s)), Net(lambda s, v: s), Net(lambda s, v: s)]
    compiled[1].body = torch.compile(compiled[1].body)
    compiled[2].compile()
    for network in compiled:
        same = agent_from_network(network, Interface("toy", NAMES, (2, 12, 12)), name="toy")
        assert same.spec.fingerprint == plain.spec.fingerprint and isinstance(same.module.body, nn.Sequential)
        assert same.module._compiled_call_impl is None
        torch.testing.assert_close(same(noise()).scores, plain(noise()).scores)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_other_precisions_are_converted(dtype):
    network = Net(lambda s, v: s).to(dtype)
    expected = agent_from_network(Net(lambda s, v: s), Interface("toy", NAMES, (2, 12, 12)), name="toy")(noise()).scores
    converted = agent_from_network(network, Interface("toy", NAMES, (2, 12, 12)), name="toy")
    check_agent(converted)
    torch.testing.assert_close(converted(noise()).scores, expected, atol=0.02, rtol=0.02)


class Keeping(nn.Module):
    """Keeps a hidden state between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.memory = nn.Sequential(nn.Flatten(), nn.Linear(288, 3)), (torch.zeros(1),)

    def forward(self, x: Tensor) -> Tensor:
        self.memory = (self.memory[0] + 1,)
        return self.body(x / 255) + self.memory[0]


def test_a_hidden_state_kept_between_calls_is_named():
    spec = AgentSpec("toy", "toy", NAMES, (2, 12, 12), "q-values", "greedy", "")
    with pytest.raises(OutputError, match="memory of its network changed: it keeps a hidden state"):
        check_agent(ModuleAgent(Keeping(), spec))


def test_structures_as_text():
    assert describe(([torch.zeros(1)], None, 3)) == "([tensor (1,)], None, a int)"


@pytest.mark.parametrize(
    ("name", "content", "seen"),
    [
        ("agent.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "pointer of Git LFS"),
        ("agent.zip", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "pointer of Git LFS"),
        ("agent.safetensors", b"\n<!DOCTYPE html><html>", "a web page"),
        ("agent.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 50, "HDF5"),
        ("agent.pt", b"", "is empty"),
        ("agent.weights", b"\x01\x02\x03", "has the suffix .weights"),
        ("agent", b"\x01\x02\x03", "has the suffix none"),
    ],
)
def test_files_of_other_kinds_are_named(name, content, seen, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=seen) as caught:
        load_agent(str(tmp_path / name), environment="pong")
    assert caught.value.todo
