"""Actions of several parts: combinations as stable-baselines3 draws them, in environments that take the parts."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO
from torch import nn

from weakspot.agents.build import agent_from_network
from weakspot.agents.combined import combined_log_probabilities
from weakspot.agents.load import load_agent
from weakspot.cli import main
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description
from weakspot.errors import ConfigError, MismatchError

SPACES = {
    "choices": gymnasium.spaces.MultiDiscrete([3, 2, 2]),
    "from-one": gymnasium.spaces.MultiDiscrete([3, 2], start=np.array([1, 5])),
    "bits": gymnasium.spaces.MultiBinary(3),
    "pairs": gymnasium.spaces.MultiDiscrete([2, 2]),
    "many": gymnasium.spaces.MultiDiscrete([8, 8, 8]),
}
OTHER = {"choices": "pairs", "from-one": "pairs", "bits": "pairs", "pairs": "choices"}
"""Actions that an agent for others cannot take."""


class Lights(gymnasium.Env[np.ndarray, Any]):
    """A picture whose first rows are as bright as the parts of the last action, after noise at the start."""

    observation_space = gymnasium.spaces.Box(0, 255, (36, 36, 3), np.uint8)

    def __init__(self, parts: str = "choices") -> None:
        self.action_space: Any = SPACES[parts]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 20
        return self.np_random.integers(0, 255, (36, 36, 3), dtype=np.uint8), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.left -= 1
        picture = self.np_random.integers(0, 255, (36, 36, 3), dtype=np.uint8)
        picture[: len(action)] = 30 * np.asarray(action)[:, None, None]
        return picture, float(action[0]), self.left == 0, False, {}


for name in SPACES:
    gymnasium.register(f"Lights-{name}-v0", Lights, kwargs={"parts": name})


def environment(parts: str) -> DescribedEnvironment:
    return DescribedEnvironment(Description(f"Lights-{parts}-v0", frames=1, gray=False, size=None))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 2**31))
def test_combinations_have_the_probability_of_all_their_parts(parts: list[int], seed: int) -> None:
    logits = torch.randn((3, sum(parts)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = combined_log_probabilities(logits, parts)
    policies = [torch.distributions.Categorical(logits=part) for part in logits.split(parts, dim=1)]
    for number, choices in enumerate(itertools.product(*map(range, parts))):
        expected = sum(policy.log_prob(torch.tensor(choice)) for policy, choice in zip(policies, choices, strict=True))
        torch.testing.assert_close(found[:, number], expected)


@pytest.mark.parametrize(
    ("parts", "names"), [("choices", "2-0-1"), ("from-one", "2-1"), ("bits", "1-0-1"), ("pairs", "1-0")]
)
def test_environments_take_the_parts_of_an_action(parts: str, names: str) -> None:
    played = environment(parts)
    spec = played.spec
    assert spec.action_parts and len(spec.action_names) == np.prod(spec.action_parts) and names in spec.action_names
    played.reset(seed=0)
    wanted = [int(choice) for choice in names.split("-")]
    step = played.step(spec.action_names.index(names))
    starts = getattr(SPACES[parts], "start", np.zeros(len(wanted), int))
    assert step.frame[: len(wanted), 0, 0].tolist() == (30 * (np.array(wanted) + starts)).tolist()
    again = environment(parts)
    assert np.array_equal(again.restore(played.snapshot()).frame, step.frame)


def test_too_many_combinations_are_refused() -> None:
    with pytest.raises(ConfigError, match="512 combinations"):
        environment("many")


@pytest.mark.parametrize("parts", ["choices", "from-one", "bits", "pairs"])
def test_a_zip_gives_the_probabilities_of_stable_baselines3(parts: str, tmp_path: Path) -> None:
    env = gymnasium.make(f"Lights-{parts}-v0")
    model = PPO("CnnPolicy", env, n_steps=8, seed=0, device="cpu")
    with torch.no_grad():
        for head in (model.policy.action_net, model.policy.value_net):
            head.weight.mul_(600)
    model.save(tmp_path / "agent.zip")
    played = environment(parts)
    agent = load_agent(str(tmp_path / "agent.zip"), environment=played.spec.interface)
    observation = np.stack([played.reset(seed=seed).observation for seed in range(3)])
    output = agent(torch.as_tensor(observation).float())
    tensor = torch.as_tensor(observation)
    assert agent.spec.acts == "sampled" and output.scores.shape == (3, len(played.spec.action_names))
    start = torch.as_tensor(getattr(SPACES[parts], "start", 0))
    for number, choices in enumerate(np.ndindex(played.spec.action_parts)):
        action = (torch.tensor(choices) + start).expand(3, -1)
        with torch.no_grad():
            value, log_probability, _ = model.policy.evaluate_actions(tensor, (action - start).float())
        torch.testing.assert_close(output.scores.log_softmax(dim=1)[:, number], log_probability, rtol=1e-3, atol=5e-3)
        assert output.value is not None
        torch.testing.assert_close(output.value, value[:, 0], rtol=1e-3, atol=5e-3)
    assert float(output.scores.std(dim=1).min()) > 0.1, "the policy tells actions apart"
    with pytest.raises(MismatchError, match="choices"):
        load_agent(str(tmp_path / "agent.zip"), environment=environment(OTHER[parts]).spec.interface)


def test_a_module_may_return_the_logits_of_the_choices_or_of_the_combinations() -> None:
    played = environment("choices")

    class Policy(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.linear = nn.Linear(36 * 36 * 3, width + 1)

        def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            outputs = self.linear(observation.flatten(1) / 255)
            return outputs[:, :-1], outputs[:, -1]

    noise = torch.rand(2, 3, 36, 36) * 255
    for width in (7, 12):
        network = Policy(width)
        scores = agent_from_network(network, played.spec.interface, name="x")(noise).scores
        logits = network(noise)[0]
        expected = combined_log_probabilities(logits, (3, 2, 2)) if width == 7 else logits.log_softmax(dim=1)
        torch.testing.assert_close(scores.log_softmax(dim=1), expected)


def test_a_run_synthesises_states_for_a_combination(tmp_path: Path) -> None:
    PPO("CnnPolicy", gymnasium.make("Lights-choices-v0"), n_steps=8, seed=0, device="cpu").save(tmp_path / "agent.zip")
    (tmp_path / "lights.toml").write_text('id = "Lights-choices-v0"\nframes = 1\ngray = false\n')
    run = [
        *("run", "--agent", str(tmp_path / "agent.zip"), "--environment", str(tmp_path / "lights.toml")),
        *("--targets", "2-0-1", "--output", str(tmp_path / "run"), "--collect.frames", "120", "--collect.streams", "2"),
        *("--train.recipe", "fast-gaussian", "--train.steps", "2", "--train.prior-steps", "1", "--train.batch-size", "4"),
        *("--synthesize.states", "2", "--synthesize.steps", "2", "--synthesize.candidates", "4", "--goggles.episodes", "0"),
        *("--ground.states", "0", "--confirm.controls", "0", "--fidelity.reconstructions", "1", "--samples.shown", "1"),
    ]
    assert main(run) == 0
    assert "2-0-1" in (tmp_path / "run" / "report.html").read_text()
