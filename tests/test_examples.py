"""The example targets of docs/targets.md, in cases with known results."""

import importlib.util
import math
import os
from pathlib import Path

import pytest
import torch
from toys import LinearAgent

from weakspot.agents.base import Agent, AgentOutput
from weakspot.agents.load import load_agent
from weakspot.targets.resolve import resolve_target

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
PAGE = (EXAMPLES.parent / "targets.md").read_text()
AGENTS = os.environ.get("WEAKSPOT_AGENTS")


def target(name):
    return resolve_target(f"{EXAMPLES / 'targets.py'}:{name}", LinearAgent().spec, 1.0)


def pair(*agents, **settings):
    spec = importlib.util.spec_from_file_location("disagreement", EXAMPLES / "disagreement.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Pair(*agents, **settings)


def make_output(scores, value=None):
    return AgentOutput(torch.tensor(scores), None if value is None else torch.tensor(value))


def test_code_on_the_page_matches_the_file():
    for block in PAGE.split("```python\n")[1:]:
        lines = block.split("```")[0].strip().splitlines()
        text = (EXAMPLES / "targets.py").read_text()
        assert all(line in text for line in lines), lines


def test_the_watcher_says_what_a_region_shows():
    spec = importlib.util.spec_from_file_location("watching", EXAMPLES / "watching.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    agent = load_agent(f"{EXAMPLES / 'watching.py'}:pong", environment="PongNoFrameskip-v4")
    plain = load_agent("pong-double-dqn")
    observation = torch.full((2, 4, 84, 84), 87.0)
    observation[0, -1, 40, 65] = 255.0
    observation[1, 0, 40, 65] = 255.0  # in the oldest frame
    output = agent(observation)
    assert torch.equal(output.scores, plain(observation).scores)
    torch.testing.assert_close(output.value, torch.tensor([1.0, 87 / 255]))
    assert agent.spec.fingerprint != plain.spec.fingerprint
    near = resolve_target('abs(q["RIGHT"] - q["LEFT"]) - 2 * V', agent.spec, 1.0)
    apart = (output.scores[:, 2] - output.scores[:, 3]).abs()
    torch.testing.assert_close(near(output), apart - 2 * output.value)


def test_unsure_is_minus_the_entropy():
    energies = target("unsure")(make_output([[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0], [5.0, 5.0, -100.0, -100.0]]))
    torch.testing.assert_close(energies, torch.tensor([-math.log(4), 0.0, -math.log(2)]))


def test_hopeful_but_unsure_requires_both():
    scores = [[0.0, 0.0], [0.0, 0.0], [50.0, 0.0]]
    energies = target("hopeful_but_unsure")(make_output(scores, [3.0, -3.0, 3.0]))
    torch.testing.assert_close(energies, torch.tensor([-3 * math.log(2), 0.0, 0.0]))


@pytest.mark.parametrize("name", ["unsure", "hopeful_but_unsure"])
def test_example_targets_are_differentiable(name):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    value = (1 + torch.rand(4, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s, v: target(name).energy(AgentOutput(s, v)), (scores, value))


def test_agent_agrees_with_itself_and_pair_acts_like_the_first():
    one, other = LinearAgent(seed=0), LinearAgent(seed=1)
    observation = torch.rand(5, 12, 4, 4)
    output = pair(one, one)(observation)
    torch.testing.assert_close(output.value, torch.zeros(5), atol=1e-6, rtol=0)
    assert torch.equal(output.scores, one(observation).scores)
    spec = pair(one, other).spec
    assert (spec.acts, spec.scores_are) == (one.spec.acts, one.spec.scores_are) and isinstance(pair(one, other), Agent)
    ahead, back = pair(one, other)(observation).value, pair(other, one)(observation).value
    torch.testing.assert_close(ahead, back)
    assert (ahead > 0).all() and (ahead < math.log(2)).all()


def test_greedy_agents_disagree_by_a_bit_or_not_at_all():
    one, other = LinearAgent(seed=0), LinearAgent(seed=1)
    observation = torch.rand(40, 12, 4, 4, generator=torch.Generator().manual_seed(0))
    differ = one(observation).scores.argmax(1) != other(observation).scores.argmax(1)
    assert 0 < differ.sum() < 40
    apart = pair(one, other, sharpness=1e6)(observation).value
    torch.testing.assert_close(apart, math.log(2) * differ.float(), atol=1e-3, rtol=0)


@pytest.mark.skipif(not AGENTS, reason="WEAKSPOT_AGENTS names no folder with the published ACKTR agents")
def test_pair_of_published_agents(monkeypatch):
    monkeypatch.setenv("SECOND", str(Path(AGENTS or "") / "acktr_PongNoFrameskip-v4.safetensors"))
    agent = load_agent(f"{EXAMPLES / 'disagreement.py'}:pong", environment="PongNoFrameskip-v4")
    assert (agent.spec.acts, agent.spec.scores_are) == ("greedy", "q-values")
    output = agent(torch.rand(3, 4, 84, 84) * 255)
    assert output.scores.shape == (3, 6) and output.value.shape == (3,)
    assert (output.value >= 0).all() and (output.value <= math.log(2) + 1e-6).all()
