"""The action values of a policy: their formula, the fit of their temperature, and the targets over them."""

import math
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from tiny_run import replace_option
from toys import LinearAgent

from weakspot.agents.base import AgentOutput
from weakspot.analysis.config import PolicyValuesConfig
from weakspot.analysis.policy_values import fit_temperature, rank_correlation
from weakspot.analysis.returns import discounted_returns
from weakspot.artifacts.run import load_run
from weakspot.cli import main
from weakspot.commands import parse
from weakspot.config import RunConfig
from weakspot.data.dataset import StateDataset
from weakspot.errors import ConfigError, TargetError
from weakspot.pipeline import Pipeline
from weakspot.targets import names
from weakspot.targets.policy_values import implied_values
from weakspot.targets.resolve import resolve_target

POLICY = replace(LinearAgent().spec, scores_are="log-probabilities", acts="sampled")


def policy_output(q, tau):
    """The output of the policy that is optimal for the action values ``q`` (b, a) under an entropy bonus of weight tau."""
    log_pi = torch.log_softmax(q / tau, dim=1)
    return AgentOutput(log_pi, (log_pi.exp() * q).sum(dim=1))


def test_the_values_of_an_optimal_policy_are_its_action_values():
    q = torch.tensor([[1.0, 2.0, 0.5], [-3.0, -3.2, -2.9]], dtype=torch.float64)
    torch.testing.assert_close(implied_values(policy_output(q, 0.3), 0.3), q)


def test_the_values_have_the_right_gradient():
    scores = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    value = torch.randn(2, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda s, v: implied_values(AgentOutput(torch.log_softmax(s, 1), v), 0.2), (scores, value))


@pytest.mark.parametrize("name", ["T-", "T+", "S+", "S-"])
def test_targets_of_a_policy_rank_states_by_its_action_values(name):
    """As those of the agent with these Q-values; log-probabilities alone would ask for the uniform policy."""
    generator = torch.Generator().manual_seed(0)
    q, tau = torch.randn(40, 3, generator=generator, dtype=torch.float64), 0.5
    of_policy = resolve_target(name, POLICY, 4.0 * tau, tau)(policy_output(q, tau))
    torch.testing.assert_close(of_policy, resolve_target(name, LinearAgent().spec, 4.0)(AgentOutput(q)))
    uniform = AgentOutput(torch.full((1, 3), -math.log(3.0), dtype=torch.float64), torch.tensor([5.0], dtype=torch.float64))
    poor = AgentOutput(
        torch.log_softmax(torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64), 1), torch.tensor([-5.0]).double()
    )
    target = resolve_target(name, POLICY, 4.0, tau)
    better, worse = (uniform, poor) if name in ("T+", "S+") else (poor, uniform)
    assert target(better).item() < target(worse).item()


def test_equations_say_what_the_values_are():
    assert "q = V + 0.25 (log pi + H(pi))" in resolve_target("T-", POLICY, 1.0, 0.25).equation
    assert "H(pi)" not in resolve_target("T-", LinearAgent().spec, 1.0).equation
    decided = resolve_target("T+-", POLICY, 1.0)
    assert "log pi" in decided.equation and "decided" in decided.title


def test_a_policy_without_a_critic_has_no_values():
    output = AgentOutput(torch.log_softmax(torch.randn(2, 3), 1))
    with pytest.raises(TargetError, match="without a critic"):
        resolve_target("T-", POLICY, 1.0)(output)
    assert resolve_target("T+-", POLICY, 1.0)(output).shape == (2,)


def test_default_targets_depend_on_what_the_scores_are():
    actions = tuple(f"A{i}" for i in range(4))
    assert names.default_target_names(actions, "q-values", True) == ("T-", "T+", "T+-")
    assert names.default_target_names(actions, "log-probabilities", True) == ("V-", "V+", "T+-")
    assert names.default_target_names(actions, "log-probabilities", False) == ("T+-", *actions)
    assert names.default_target_names(actions * 3, "log-probabilities", False) == ("T+-",)


def test_which_targets_need_the_values_of_a_policy():
    actions = ("T+", "FIRE")
    needed = [
        name
        for name in ("t-", "T+", "T±", "S+", "V-", "fire")
        if names.needs_policy_values(name, actions, "log-probabilities")
    ]
    assert needed == ["t-", "S+"], "an action called T+ takes precedence"
    assert not names.needs_policy_values("T-", actions, "q-values")


def test_values_without_a_temperature_cannot_be_evaluated():
    target = resolve_target("S+", POLICY, 1.0)
    with pytest.raises(TargetError, match="need a temperature"):
        target(policy_output(torch.randn(2, 3), 1.0))


# Returns


def recording(reward, terminated=None, truncated=None, streams=1, **columns):
    reward = np.asarray(reward, np.float32)
    none = np.zeros(len(reward), bool)
    ended = none if terminated is None else np.asarray(terminated, bool)
    cut = none if truncated is None else np.asarray(truncated, bool)
    data = StateDataset.__new__(StateDataset)  # without files: its columns alone
    columns |= {"reward": reward, "terminated": ended, "truncated": cut}
    by_stream = {name: np.reshape(column, (streams, -1, *np.shape(column)[1:])) for name, column in columns.items()}
    vars(data).update(streams=streams, steps=len(reward) // streams, _columns=by_stream)
    return data


def test_returns_by_hand():
    data = recording([1, 0, 2, 4], terminated=[False, False, True, False])
    returns, complete = astuple(discounted_returns(data, 0.5))
    assert returns.tolist() == [1.5, 1.0, 2.0, 4.0]
    assert complete.tolist() == [True, True, True, False], "the last one goes on after the recording"
    data = recording([1, 0, 2, 4], terminated=[False, False, True, False], life_lost=[False, True, True, False])
    assert discounted_returns(data, 0.5, atari=True).values.tolist() == [1.0, 0.0, 1.0, 1.0]


def test_streams_and_time_limits_cut_returns():
    data = recording([1, 1, 1, 1], truncated=[True, False, False, False], streams=2)
    returns, complete = astuple(discounted_returns(data, 0.9))
    assert returns.tolist() == [1.0, 1.0, 1.9, 1.0]
    assert not complete.any()


def test_a_return_is_complete_when_little_of_its_weight_is_missing():
    complete = discounted_returns(recording(np.ones(100)), 0.9).complete
    assert complete[: 100 - 29].all() and not complete[100 - 28 :].any()  # .9 ** 29 = .047, .9 ** 28 = .052


# The fit


def played_by_policy(tau, noise=0.0, count=4_000, seed=0, **columns):
    """Decisions of an entropy-regularised policy whose returns are its action values, with some random actions."""
    generator = np.random.default_rng(seed)
    q = torch.from_numpy(generator.normal(size=(count, 3)))
    output = policy_output(q, tau)
    action = generator.integers(3, size=count)
    returns = q.numpy()[np.arange(count), action] + noise * generator.normal(size=count)
    own = {"reward": returns, "scores": output.scores.numpy(), "value": output.value.numpy(), "action": action} | columns
    return recording(terminated=np.ones(count, bool), **own)


def fit(data):
    return fit_temperature(data, discounted_returns(data, 0.9))


@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_the_fit_finds_the_temperature(tau):
    assert fit(played_by_policy(tau)).tau == pytest.approx(tau, rel=1e-6)
    noisy = fit(played_by_policy(tau, noise=1.0))
    assert noisy.low < tau < noisy.high and noisy.decisions == 4_000


def test_a_critic_that_is_wrong_by_a_constant_does_not_change_the_fit():
    tau = 0.5
    good = played_by_policy(tau)
    for bias in (-1.0, 1.0):
        data = played_by_policy(tau, value=good.value + bias)
        assert fit(data).tau == pytest.approx(tau, rel=0.05)


def test_actions_without_consequences_raise_though_the_critic_is_wrong():
    noise, good = np.random.default_rng(1).normal(size=4_000), played_by_policy(0.5)
    with pytest.raises(ConfigError, match="do not show that actions are better"):
        fit(played_by_policy(0.5, reward=good.value - 1.0 + noise))


def test_returns_without_spread_raise():
    data = played_by_policy(0.5, reward=np.ones(4_000, np.float32))
    with pytest.raises(ConfigError, match="the returns are the same"):
        fit(data)


def test_a_policy_without_preferences_raises():
    data = played_by_policy(0.5, scores=np.full((4_000, 3), -np.log(3.0)))
    with pytest.raises(ConfigError, match="preferences of the policy are the same"):
        fit(data)


def test_preferences_for_worse_actions_raise():
    good = played_by_policy(0.5)
    data = played_by_policy(0.5, reward=-good.reward, value=-good.value)
    with pytest.raises(ConfigError, match="do not show that actions are better"):
        fit(data)


def test_too_few_complete_returns_raise():
    with pytest.raises(ConfigError, match="at least 100"):
        fit(played_by_policy(0.5, count=50))


def test_an_agent_without_a_critic_raises():
    data = played_by_policy(0.5)
    del vars(data)["_columns"]["value"]
    with pytest.raises(ConfigError, match="critic"):
        fit(data)


def test_the_rank_correlation_is_one_for_the_returns_themselves():
    data = played_by_policy(0.5)
    assert rank_correlation(data.reward**3, discounted_returns(data, 0.9)) == pytest.approx(1.0)
    assert rank_correlation(-data.reward, discounted_returns(data, 0.9)) == pytest.approx(-1.0)
    assert rank_correlation(np.zeros(4_000), discounted_returns(data, 0.9)) is None


@pytest.mark.parametrize("settings", [{"tau": -1.0}, {"gamma": 1.0}, {"gamma": 0.0}, {"tau": float("nan")}])
def test_impossible_settings_raise(settings):
    with pytest.raises(ConfigError):
        PolicyValuesConfig(**settings)


# The stage

ACTOR_CRITIC = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(4, 4, 8, 8), nn.ReLU(), nn.Flatten())
        self.actor, self.critic = nn.Linear(400, 6), nn.Linear(400, 1)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1

    def forward(self, observation):
        features = self.features(observation / 255)
        return {output}

def agent():
    return Network()
"""


def options(tmp_path, output="self.actor(features), self.critic(features)", *more):
    path = tmp_path / "agent.py"
    path.write_text(ACTOR_CRITIC.replace("{output}", output))
    agent = replace_option("--agent", f"{path}:agent")
    return [*agent, "--output", str(tmp_path / "run"), *more]


def test_the_stage_gives_the_targets_of_a_policy_their_temperature(tmp_path):
    words = options(tmp_path, "self.actor(features), self.critic(features)", "--policy-values.tau", "0.5")
    words[words.index("--targets") + 1 : words.index("--targets") + 3] = ["T-", "S+", "V-", "T+-"]
    assert main(["run", *words]) == 0
    run = load_run(tmp_path / "run")
    assert run.agent.scores_are == "log-probabilities" and set(run.policy_values) == {"T-", "S+"}
    values = run.policy_values["T-"]
    assert (values.tau, values.low, values.decisions) == (0.5, None, 0)
    assert "q = V + 0.5 (log pi + H(pi))" in run.findings["T-"].search.energy_equation
    found = run.findings["T-"]
    output = AgentOutput(torch.from_numpy(found.scores), torch.from_numpy(found.value))
    q = implied_values(output, 0.5)
    assert (torch.from_numpy(found.target) <= q.max(dim=1).values + 1e-4).all()
    assert (torch.from_numpy(found.target) >= q.mean(dim=1) - 1e-4).all()
    again = parse(RunConfig, "run", [*words, "--policy-values.tau", "0.25"])
    assert Pipeline(again).plan() == [
        "policy-values/t-minus", "policy-values/s-plus", "synthesize/t-minus", "synthesize/s-plus", "ground/t-minus",
        "ground/s-plus", "confirm", "novelty/t-minus", "novelty/s-plus", "report",
    ]  # fmt: skip
