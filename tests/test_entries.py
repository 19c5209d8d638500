"""Agents that see more than an image: other entries of dicts, and action masks, from loading to rollouts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import CombinedExtractor
from torch import Tensor, nn

from weakspot.agents.base import AgentOutput, Perceiver, WrappedAgent, choose
from weakspot.agents.build import agent_from_network
from weakspot.agents.entries import EntriesAgent
from weakspot.agents.load import load_agent
from weakspot.agents.module import check_agent
from weakspot.agents.recurrent import Carried, is_recurrent, takes_entries
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.goggles import play_episodes
from weakspot.cli import main
from weakspot.confirm.rollouts import Job, Roller, act
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset, as_state
from weakspot.data.recall import recall_of
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description
from weakspot.envs.pool import EnvironmentPool
from weakspot.errors import ConfigError, MaskWarning, MismatchError, SnapshotError, WeightsError
from weakspot.explore.game import Game
from weakspot.explore.states import Place
from weakspot.ground.hidden import hidden_at
from weakspot.ground.play import Route, started_player
from weakspot.ground.reach import agent_actions
from weakspot.interface import Interface
from weakspot.saliency.rules import saliency

torch.set_num_threads(1)


class Told(gymnasium.Env[dict[str, Any], Any]):
    """A picture whose brightness is the time; which of four actions is right is given by an entry alone, and one action,
    which is never the right one, is forbidden in each state."""

    action_space = Discrete(4)
    observation_space = Dict(
        {
            "zoom": Discrete(4, start=2),
            "picture": Box(0, 255, (40, 40, 3), np.uint8),
            "health": Box(-100, 100, (2,), np.float32),
            "held": MultiBinary(2),
            "wind": MultiDiscrete([2, 3]),
            "mission": Text(10),
        }
    )

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        assert self.action_masks()[action], "a forbidden action was taken"
        reward = 1.0 if action == self.right else -1.0
        self.time += 1
        return self.observe(), reward, self.time == 12, False, {}

    def action_masks(self) -> np.ndarray:
        return np.arange(4) != (self.right + 1) % 4

    def observe(self) -> dict[str, Any]:
        self.right = int(self.np_random.integers(4))
        health = self.np_random.normal(size=2).astype(np.float32)
        wind, held = self.np_random.integers([2, 3]), self.np_random.integers(2, size=2, dtype=np.int8)
        picture = np.full((40, 40, 3), 20 * self.time, np.uint8)
        picture[::4, ::2] = self.np_random.integers(0, 255, (10, 20, 3))
        return {
            "zoom": self.right + 2, "picture": picture, "health": health, "held": held, "wind": wind, "mission": "go",
        }  # fmt: skip


class Plain(Told):
    """Without the text, which stable-baselines3 cannot take."""

    observation_space = Dict({name: space for name, space in Told.observation_space.items() if name != "mission"})

    def observe(self) -> dict[str, Any]:
        seen = super().observe()
        return {name: part for name, part in seen.items() if name != "mission"}


class Free(Plain):
    """Every action is allowed, and there is no mask."""

    action_masks = None

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self.observe(), 0.0, self.time == 12, False, {}


class Pairs(Told):
    """A picture alone, and actions of two parts, of each of which one choice is forbidden."""

    action_space = MultiDiscrete([2, 3])
    observation_space = Told.observation_space["picture"]

    def observe(self) -> Any:
        return super().observe()["picture"]

    def action_masks(self) -> np.ndarray:
        return np.array([1, self.right > 1, 1, self.right % 2, 1], bool)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_masks()[action[0]] and self.action_masks()[2 + action[1]], "a forbidden action was taken"
        self.time += 1
        return self.observe(), 0.0, self.time == 12, False, {}


class Unseeded(Free):
    """Its entries alone are not deterministic."""

    def observe(self) -> dict[str, Any]:
        return super().observe() | {"health": np.random.default_rng().normal(size=2).astype(np.float32)}


class Careless(Free):
    """An entry has another size than its space."""

    def observe(self) -> dict[str, Any]:
        return super().observe() | {"health": np.zeros(3, np.float32)}


class WrongMask(Free):
    def action_masks(self) -> list[bool]:
        return [True] * 3


class Alone(Told):
    """Only a picture, in a dict."""

    observation_space = Dict({"picture": Told.observation_space["picture"]})

    def observe(self) -> Any:
        return {"picture": super().observe()["picture"]}


class Listed(Free):
    """The mask is an entry of the observation, of actions with two parts; and there is one that is too large to keep."""

    action_space = MultiDiscrete([2, 3])
    observation_space = Dict(
        {"action_mask": MultiBinary(5), "clock": Discrete(2**40), "picture": Told.observation_space["picture"]}
    )
    mask = [1, 0, 1, 1, 0]

    def observe(self) -> Any:
        return {"picture": super().observe()["picture"], "action_mask": np.array(self.mask, np.int8), "clock": 2**39}


class TooShort(Listed):
    mask = [1, 0, 1]


class Steered(Listed):
    """Continuous actions, beside an entry with the name of masks."""

    action_space = Box(-1, 1, (2,), np.float32)


class Failing(Free):
    """Fails in the third step."""

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        if self.time == 2:
            raise RuntimeError("broken")
        return super().step(action)


for kind in (Told, Plain, Free, Pairs, Unseeded, Careless, WrongMask, Alone, Listed, TooShort, Steered, Failing):
    gymnasium.register(f"Entries{kind.__name__}-v0", kind)


class Obedient(nn.Module):
    """Does what the entry says; the picture adds little."""

    other_entries = ("zoom", "action_mask")

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(8.0))

    def forward(self, x: Tensor, entries: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        brightness = torch.relu(x).mean((1, 2, 3))[:, None]
        logits = self.gain * entries["zoom"] + 0.001 * brightness * torch.eye(4)[0]
        return logits - 1e8 * (1 - entries["action_mask"]), logits.mean(dim=1)


def environment(kind: str = "Told") -> DescribedEnvironment:
    return DescribedEnvironment(Description(f"Entries{kind}-v0", frames=1, gray=False, size=None))


def obedient() -> EntriesAgent:
    agent = agent_from_network(Obedient(), environment().spec.interface, name="obedient")
    assert isinstance(agent, EntriesAgent)
    return agent


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> StateDataset:
    config = CollectConfig(frames=400, streams=2, epsilon=0.5, snapshot_every=16, shard_steps=90, seed=1)
    return collect(obedient(), environment, config, tmp_path_factory.mktemp("told"), workers=1)


def test_entries_have_the_numbers_of_gymnasium() -> None:
    played = environment()
    assert played.spec.entries == (("health", 2), ("held", 2), ("wind", 5), ("zoom", 4), ("action_mask", 4))
    step, inner = played.reset(seed=3), played._env.unwrapped
    assert isinstance(inner, Told)
    zoom = step.entries[9:13]
    assert zoom.argmax() == inner.right and zoom.sum() == 1 and step.entries.dtype == np.float32
    np.testing.assert_array_equal(step.entries[13:], inner.action_masks())
    again = environment()
    again.reset(seed=0)
    played.step(int(zoom.argmax()))
    np.testing.assert_array_equal(again.restore(played.snapshot()).entries, played._step.entries)
    assert environment("Pairs").spec.entries == (("action_mask", 6),)
    assert environment("Free").spec.entries == (("health", 2), ("held", 2), ("wind", 5), ("zoom", 4)), "no mask"


def test_the_mask_of_combined_actions_allows_those_whose_choices_are_allowed() -> None:
    played = environment("Pairs")
    seen = set()
    for seed in range(12):
        step, inner = played.reset(seed=seed), played._env.unwrapped
        first, second = np.split(inner.action_masks(), [2])
        expected = [bool(a and b) for a in first for b in second]
        assert step.entries.astype(bool).tolist() == expected
        seen.add(tuple(expected))
    assert len(seen) > 1


def test_a_mask_may_be_an_entry_of_the_observation() -> None:
    played = environment("Listed")
    assert played.spec.entries == (("action_mask", 6),), "a clock of 2 ** 40 values is left out"
    step = played.reset(seed=0)
    assert step.entries.tolist() == [1, 1, 0, 0, 0, 0]
    assert [played.spec.allows(step.entries, action) for action in range(6)] == [True, True, *[False] * 4]
    with pytest.raises(ConfigError, match="mask of the actions of EntriesTooShort-v0 has 3 numbers"):
        environment("TooShort").reset(seed=0)
    steered = environment("Steered")
    assert steered.spec.entries == (("action_mask", 5),)
    assert steered.spec.allows(steered.reset(seed=0).entries, (0.5, 0.5))


def test_a_copy_that_fails_ends_its_rollout() -> None:
    agent = agent_from_network(Obedient(), environment().spec.interface, name="obedient")
    factory = partial(environment, "Failing")
    start = factory()
    start.reset(seed=0)
    with EnvironmentPool(factory, start.spec, 2, 1) as pool:
        roller = Roller(pool, [ActsAt(agent, 2)], 0.0, lambda reward, life, over: over)
        rollouts = roller.run([Job(start.snapshot(), seed, 8) for seed in range(3)])
    assert [len(rollout.actions) for rollout in rollouts] == [3, 3, 3] and all(rollout.lost for rollout in rollouts)


@dataclass(frozen=True)
class ActsAt(WrappedAgent):
    """Takes one action always; sees images alone."""

    action: int

    def __call__(self, observation: Tensor) -> AgentOutput:
        scores = torch.zeros(len(observation), 4)
        scores[:, self.action] = 1.0
        return AgentOutput(scores)


def test_random_and_banned_actions_respect_the_mask_whatever_the_scores_are() -> None:
    agent = agent_from_network(QValues(), environment().spec.interface, name="q")
    assert agent.spec.scores_are == "q-values"
    allowed = np.array([[True, False, True, False]] * 400)
    scores = torch.zeros(400, 4)
    chosen = choose(
        AgentOutput(scores + torch.tensor([0.0, -1, -2, -3])), agent.spec, torch.Generator().manual_seed(0), 1.0, allowed
    )
    assert set(chosen.tolist()) == {0, 2}
    random = np.random.default_rng(0)
    row = np.array([3.0, 2, 1, 0])
    assert {act(agent, row, random, 1.0, allowed=allowed[0]) for _ in range(99)} == {0, 2}
    assert {act(agent, row, random, 0.0, banned=0, allowed=np.array([True, False, False, False])) for _ in range(9)} == {0}
    assert act(agent, row, random, 0.0, banned=0, allowed=allowed[0]) != 0


class QValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x).mean((2, 3))[:, [0, 1, 2, 0]]


def test_the_agent_gets_what_the_environment_gives(states: StateDataset) -> None:
    agent = obedient()
    assert is_recurrent(agent) and takes_entries(agent) and agent.hidden_size == 17
    check_agent(agent)
    assert states.hidden is not None
    zoom = states.hidden[:, 9:13]
    np.testing.assert_array_equal(states.scores.argmax(axis=1), zoom.argmax(axis=1))
    explored = states.explored
    assert 0.2 < explored.mean() < 0.5, "a third of the random actions is the agent's own or forbidden"
    assert (states.hidden[np.arange(400), 13 + states.action] == 1).all(), "not even random actions are forbidden ones"
    greedy = GogglesConfig(episodes=4, epsilon=0.0, longest=20)
    assert play_episodes(agent, environment, greedy, workers=1).scores.tolist() == [12.0] * 4


def test_states_are_judged_with_the_entries_that_belong_to_them(states: StateDataset) -> None:
    perceive = Perceiver(obedient(), environment().observe, "gradient", recall=recall_of(states, np.arange(400)))
    indices = np.arange(40)
    state, expected = as_state(states.stacks(indices)), torch.as_tensor(states.scores[indices])
    torch.testing.assert_close(perceive.at(states.hidden[indices])(state).scores, expected, atol=2e-2, rtol=0)
    torch.testing.assert_close(perceive(state).scores, expected, atol=2e-2, rtol=0)
    assert torch.isfinite(saliency(perceive.at(states.hidden[indices]), state)).all()


def test_routes_rollouts_and_games_have_the_entries_of_the_environment(states: StateDataset) -> None:
    agent, player = obedient(), started_player(environment(), states)
    start = int(np.flatnonzero((states.age == 4) & (np.arange(400) < 180))[0])
    for steps in (0, 3):
        taken = tuple(int(action) for action in states.action[start : start + steps])
        np.testing.assert_array_equal(hidden_at(player, agent, Route(start, {}, taken)), states.hidden[start + steps])
    step = player.environment.restore(player.place(start))
    assert agent_actions(agent, np.random.default_rng(0))(step) == states.hidden[start, 9:13].argmax()
    place = Place("recorded/0", "a recorded state", "real", states.stacks(np.array([start]))[0], None, Route(start))
    game = Game(player, agent, place)
    for index in range(start, start + 4):
        np.testing.assert_allclose(game.shot().output.scores[0], states.scores[index], atol=2e-2)
        game.step(int(states.action[index]))
    game.close()
    snapshot = player.place(start)
    with EnvironmentPool(environment, environment().spec, 3, 1) as pool:
        roller = Roller(pool, [agent], 0.5, lambda reward, life, over: reward < 0)
        jobs = [Job(snapshot, seed, 8, noise=0.9, noise_for=4) for seed in range(6)]
        jobs += [Job(snapshot, 0, 8, override=(action,) * 4) for action in range(4)]
        rollouts = roller.run(jobs)  # the environment asserts that no action is forbidden
    assert all(len(rollout.actions) == 8 and (rollout.rewards[4:] == 1).all() for rollout in rollouts[6:])
    assert len({rollout.actions for rollout in rollouts}) > 6


@pytest.mark.parametrize("kwargs", [{}, {"features_extractor_class": CombinedExtractor}])
@pytest.mark.parametrize("kind", ["Alone", "Free"])
def test_dicts_of_an_image_alone_and_an_extractor_by_name_are_read(kind: str, kwargs: Any, tmp_path: Path) -> None:
    model = PPO("MultiInputPolicy", gymnasium.make(f"Entries{kind}-v0"), n_steps=8, device="cpu", policy_kwargs=kwargs)
    model.save(tmp_path / "agent.zip")
    agent = load_agent(str(tmp_path / "agent.zip"), environment=environment(kind).spec.interface)
    assert takes_entries(agent) == (kind == "Free")


def sb3_input(model: Any, seen: dict[str, Any]) -> Any:
    tensors, _ = model.policy.obs_to_tensor({name: part for name, part in seen.items() if name != "mission"})
    return tensors


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_a_zip_gives_the_answers_of_stable_baselines3(kind: Any, tmp_path: Path) -> None:
    settings = {"n_steps": 8, "batch_size": 8} if kind is PPO else {"buffer_size": 10}
    model = kind("MultiInputPolicy", gymnasium.make("EntriesFree-v0"), seed=0, device="cpu", **settings)
    with torch.no_grad():
        for head in (model.policy.action_net, model.policy.value_net) if kind is PPO else (model.q_net.q_net[-1],):
            head.weight.mul_(100)
    model.save(tmp_path / "agent.zip")
    played = environment("Free")
    agent = load_agent(str(tmp_path / "agent.zip"), environment=played.spec.interface)
    carried, previous = Carried(agent, 1), None
    step, inner = played.reset(seed=0), played._env.unwrapped
    for _ in range(3):
        carried.see(step.entries[None])
        output = carried.act(torch.as_tensor(step.observation)[None].float())
        inner_state = inner.np_random.bit_generator.state
        seen = as_seen(step, inner)
        inner.np_random.bit_generator.state = inner_state
        tensors = sb3_input(model, seen)
        with torch.no_grad():
            if kind is PPO:
                torch.testing.assert_close(output.scores, model.policy.get_distribution(tensors).distribution.logits)
                torch.testing.assert_close(output.value, model.policy.predict_values(tensors)[:, 0])
            else:
                torch.testing.assert_close(output.scores, model.q_net(tensors))
        assert previous is None or not torch.allclose(previous, output.scores)
        previous = output.scores
        step = played.step(0)
    preprocess_obs(tensors, model.observation_space)


def as_seen(step: Any, inner: Told) -> dict[str, Any]:
    """The observation of a step in the environment's own form."""
    health, held, wind = step.entries[:2], step.entries[2:4], step.entries[4:9]
    return {
        "zoom": np.array(inner.right + 2 - 2), "picture": step.frame.transpose(2, 0, 1), "health": health,
        "held": held.astype(np.int8), "wind": np.array([wind[:2].argmax(), wind[2:].argmax()]),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["Plain", "Pairs"])
def test_masks_are_applied_as_in_maskable_ppo(kind: str, tmp_path: Path) -> None:
    policy = "CnnPolicy" if kind == "Pairs" else "MultiInputPolicy"
    model = MaskablePPO(policy, gymnasium.make(f"Entries{kind}-v0"), n_steps=8, batch_size=8, seed=0, device="cpu")
    with torch.no_grad():
        model.policy.action_net.weight.mul_(100)
    model.save(tmp_path / "agent.zip")
    played = environment(kind)
    agent = load_agent(str(tmp_path / "agent.zip"), environment=played.spec.interface)
    assert takes_entries(agent)
    counts: list[int] = []
    for seed in range(4):
        step, inner = played.reset(seed=seed), played._env.unwrapped
        carried = Carried(agent, 1)
        carried.see(step.entries[None])
        output = carried.act(torch.as_tensor(step.observation)[None].float())
        seen = step.frame.transpose(2, 0, 1) if kind == "Pairs" else as_seen(step, inner)
        tensors, _ = model.policy.obs_to_tensor(seen)
        with torch.no_grad():
            distribution = model.policy.get_distribution(tensors, inner.action_masks())
        if kind == "Plain":
            expected = distribution.distribution.probs
        else:
            first, second = (part.probs for part in distribution.distributions)
            expected = (first[:, :, None] * second[:, None]).flatten(1)
        torch.testing.assert_close(output.scores.exp(), expected, atol=1e-6, rtol=1e-4)
        forbidden = step.entries[-len(agent.spec.action_names) :] == 0
        assert (output.scores.exp() < 1e-12).numpy().tolist() == [forbidden.tolist()]
        counts.append(int(forbidden.sum()))
    assert any(counts)


def test_an_environment_without_the_method_gives_a_warning(tmp_path: Path) -> None:
    MaskablePPO("MultiInputPolicy", gymnasium.make("EntriesPlain-v0"), n_steps=8, device="cpu").save(tmp_path / "agent.zip")
    with pytest.warns(MaskWarning, match=r"no method action_masks\(\)"):
        load_agent(str(tmp_path / "agent.zip"), environment=environment("Free").spec.interface)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    class Other(Obedient):
        other_entries = ("ammunition",)

    with pytest.raises(MismatchError, match=r"(?s)takes the entries ammunition .*gives beside its image: health, held"):
        agent_from_network(Other(), environment().spec.interface, name="other")
    with pytest.raises(MismatchError, match=r"(?s)gives beside its image: none"):
        agent_from_network(Obedient(), DescribedEnvironment(Description("CarRacing-v3")).spec.interface, name="other")
    with pytest.raises(ConfigError, match="'health' of an observation of EntriesCareless-v0 has 3 numbers"):
        environment("Careless").reset(seed=0)
    with pytest.raises(ConfigError, match=r"mask of the actions of EntriesWrongMask-v0 has 3 numbers"):
        environment("WrongMask").reset(seed=0)
    unseeded = environment("Unseeded")
    unseeded.reset(seed=0)
    with pytest.raises(SnapshotError, match="other frames"):
        unseeded.restore(unseeded.snapshot())

    class Both(Obedient):
        def initial_hidden(self, batch: int) -> Tensor:
            return torch.zeros(batch, 1)

    with pytest.raises(MismatchError, match=r"has a hidden state, and takes the entries zoom, action_mask"):
        agent_from_network(Both(), environment().spec.interface, name="both")
    model = PPO("MultiInputPolicy", gymnasium.make("EntriesFree-v0"), n_steps=8, device="cpu")
    model.save(tmp_path / "agent.zip")
    interface = environment("Free").spec.interface
    smaller = tuple((name, size - (name == "wind")) for name, size in interface.entries)
    with pytest.raises(MismatchError, match=r"(?s)takes 13 numbers beside .*expected: 12"):
        load_agent(str(tmp_path / "agent.zip"), environment=type(interface)(**vars(interface) | {"entries": smaller}))
    (tmp_path / "vecnormalize.pkl").write_bytes(b"")
    with pytest.raises(WeightsError):
        load_agent(str(tmp_path / "agent.zip"), environment=interface)


def test_the_code_on_the_page_takes_what_an_environment_gives() -> None:
    page = Path(__file__).parents[1] / "docs" / "other_entries.md"
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[0], names)
    interface = Interface("Doom-v0", tuple("abcdef"), (4, 84, 84), entries=(("ammo", 2), ("health", 1), ("action_mask", 6)))
    agent = agent_from_network(names["Marine"](), interface, name="marine")
    assert isinstance(agent, EntriesAgent) and agent.spec.acts == "sampled"
    observation = torch.zeros(2, 4, 84, 84)
    one = torch.tensor([[0.0, 0, 50, 1, 0, 1, 1, 1, 1]]).repeat(2, 1)
    output = agent.advance(observation, one)[0]
    assert (output.scores.exp() < 1e-12).sum(dim=1).tolist() == [1, 1]
    assert not torch.allclose(
        output.scores, agent.advance(observation, one + torch.tensor([0, 0, 50.0, *[0] * 6]))[0].scores
    )
    torch.testing.assert_close(agent.advance(observation, one * torch.tensor([7.0, 7, *[1] * 7]))[0].scores, output.scores)


def test_a_run_of_all_stages_and_a_checkup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    description = tmp_path / "told.toml"
    description.write_text('id = "test_entries:EntriesTold-v0"\nframes = 1\nsize = [84, 84]\n')
    agent = tmp_path / "agent.py"
    agent.write_text("from test_entries import Obedient\n\n\ndef agent():\n    return Obedient()\n")
    reference = ("--agent", f"{agent}:agent", "--environment", str(description))
    small = (
        *("--collect.frames", "200", "--collect.streams", "2", "--collect.snapshot-every", "8", "--train.steps", "3"),
        *("--train.recipe", "fast-gaussian", "--train.prior-steps", "1", "--train.batch-size", "8"),
        *("--train.measured", "16", "--confirm.holds", "2"),
        *("--synthesize.states", "2", "--synthesize.steps", "2", "--synthesize.candidates", "8", "--goggles.episodes", "1"),
        *("--ground.states", "1", "--ground.trials", "4", "--ground.steps", "8", "--confirm.controls", "4"),
        *("--confirm.rollouts", "2", "--confirm.first", "2", "--confirm.horizon", "6", "--saliency", "gradient"),
    )
    assert main(["run", *reference, "--targets", "V-", *small, "--output", str(tmp_path / "run")]) == 0, capsys.readouterr()
    assert (tmp_path / "run" / "report.html").is_file()
    code = main(["check-agent", *reference, "--episodes", "2", "--saliency", "gradient"])
    printed = capsys.readouterr().out
    assert "Traceback" not in printed and "4 actions of" in printed and code == 0, printed
