"""Agents with a hidden state: loaded, played, recorded, judged in states that were recorded and in others, and confirmed."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from noise import Noise, images
from sb3_contrib import RecurrentPPO
from torch import Tensor, nn

from weakspot.agents.base import Perceiver
from weakspot.agents.build import agent_from_network
from weakspot.agents.load import load_agent
from weakspot.agents.module import check_agent
from weakspot.agents.networks.recurrent import RecurrentActorCritic
from weakspot.agents.recurrent import AtHidden, Carried, RecurrentModuleAgent, is_recurrent
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.goggles import play_episodes
from weakspot.confirm.rollouts import Job, Roller
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import as_state
from weakspot.data.recall import recall_of
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description
from weakspot.envs.pool import EnvironmentPool
from weakspot.errors import OutputError
from weakspot.explore.game import Game
from weakspot.explore.states import Place
from weakspot.ground.hidden import hidden_at
from weakspot.ground.play import Route, started_player
from weakspot.interface import Interface
from weakspot.saliency.maps import saliency_maps
from weakspot.saliency.rules import saliency

torch.set_num_threads(1)
PONG = "PongNoFrameskip-v4"


class Signs(gymnasium.Env):
    """A picture shows once whether left or right is right; from then on the frames are the same, and only memory helps."""

    observation_space, action_space = Box(0, 255, (16, 16, 3), np.uint8), Discrete(2)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.sign = 0, int(self.np_random.integers(2))
        return self.picture(), {}

    def step(self, action):
        self.time += 1
        reward = 1.0 if int(action) == self.sign else -1.0
        return self.picture(), reward * (self.time > 1), self.time >= 8, False, {}

    def picture(self):
        picture = np.full((16, 16, 3), 20, np.uint8)
        picture[4:8, 4:8] = 40 + 10 * self.time
        if self.time == 0:
            picture[:, 8 * self.sign : 8 * self.sign + 8] = 250
        return picture


class Reader(nn.Module):
    """Remembers which half was bright, and goes there; its hidden state decides."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(3.0))

    def initial_hidden(self, batch: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(batch, 1, 2), torch.zeros(batch, 1)

    def forward(self, x: Tensor, hidden: tuple[Tensor, Tensor]):
        halves = torch.stack([x[..., :8].mean((1, 2, 3)), x[..., 8:].mean((1, 2, 3))], dim=1) / 255
        memory = hidden[0][:, 0] + torch.relu(halves - 0.4)
        return self.gain * memory + 0.01 * halves, (memory[:, None], hidden[1] + 1)


gymnasium.register("Signs-v0", lambda **settings: Signs())
DESCRIPTION = Description("Signs-v0", frames=1, size=None)


def environment() -> DescribedEnvironment:
    return DescribedEnvironment(DESCRIPTION)


def reader() -> RecurrentModuleAgent:
    agent = agent_from_network(Reader(), environment().spec.interface, name="reader")
    assert isinstance(agent, RecurrentModuleAgent)
    return agent


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    config = CollectConfig(frames=400, streams=2, epsilon=0.2, snapshot_every=16, shard_steps=90, seed=1)
    return collect(reader(), environment, config, tmp_path_factory.mktemp("signs"), workers=1)


def test_the_agent_plays_with_its_memory(states):
    assert is_recurrent(reader()) and reader().hidden_size == 3
    check_agent(reader())
    greedy = GogglesConfig(episodes=6, epsilon=0.0, longest=20)
    assert play_episodes(reader(), environment, greedy, workers=1).scores.tolist() == [7.0] * 6
    forgetful = AtHidden(reader(), reader().initial_hidden(1))
    assert play_episodes(forgetful, environment, greedy, workers=1).scores.mean() < 5, "the hidden state decides"


def test_hidden_states_are_recorded_and_begin_anew_with_each_episode(states):
    hidden = states.hidden
    assert hidden.shape == (400, 3) and hidden.dtype == np.float32
    np.testing.assert_array_equal(hidden[:, 2], states.age), "the third number counts decisions"
    assert not hidden[states.age == 0].any()
    observed = torch.as_tensor(states.stacks(np.arange(400)))[..., 0].float()
    scores = reader().advance(observed, torch.as_tensor(hidden))[0].scores
    torch.testing.assert_close(scores, torch.as_tensor(states.scores), atol=2e-3, rtol=0)


def test_an_interrupted_collection_continues_bit_for_bit(states, tmp_path):
    config = CollectConfig(frames=400, streams=2, epsilon=0.2, snapshot_every=16, shard_steps=90, seed=1)

    def stop(done: int, total: int) -> None:
        if done > 250:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(reader(), environment, config, tmp_path, progress=stop, workers=1)
    resumed = collect(reader(), environment, config, tmp_path, workers=1)
    assert resumed.fingerprint == states.fingerprint
    np.testing.assert_array_equal(resumed.hidden, states.hidden)


def test_states_are_judged_with_the_hidden_state_that_belongs_to_them(states, tmp_path):
    perceive = Perceiver(reader(), environment().observe, "gradient")
    indices = np.flatnonzero((states.age > 1) & (states.age < 8))[:64]
    state, expected = as_state(states.stacks(indices)), torch.as_tensor(states.scores[indices])
    torch.testing.assert_close(perceive.at(states.hidden[indices])(state).scores, expected, atol=5e-3, rtol=0)
    forgetful = (perceive(state).scores.argmax(dim=1) == expected.argmax(dim=1)).float().mean()
    assert forgetful < 0.8, "h_0 says nothing about the sign"
    start = np.flatnonzero(states.age == 0)
    recalling = Perceiver(reader(), environment().observe, "gradient", recall=recall_of(states, np.arange(len(states))))
    signs = as_state(states.stacks(start))
    assert (recalling(signs).scores.argmax(dim=1) == torch.as_tensor(states.scores[start]).argmax(dim=1)).all()
    maps = saliency_maps(perceive, states, tmp_path / "maps.npy")
    alone = saliency(perceive.at(states.hidden[indices]), state)
    assert len(maps) == 400 and torch.isfinite(alone).all() and alone.sum() > 0


def test_routes_and_rollouts_carry_the_hidden_state(states):
    agent = reader()
    player = started_player(environment(), states)
    start = int(np.flatnonzero((states.age == 0) & (states.time < 150))[2])
    for actions in ((), (0, 1, 0)):
        route = Route(start, {}, actions)
        hidden = hidden_at(player, agent, route)
        np.testing.assert_array_equal(hidden[2], len(actions))
        if actions:
            np.testing.assert_array_equal(hidden, states.hidden[start + 3])
    snapshot, hidden = player.snapshot_of(Route(start, {}, (0, 1, 0))), hidden_at(player, agent, Route(start, {}, (0, 1, 0)))
    with EnvironmentPool(environment, environment().spec, 4, 1) as pool:
        roller = Roller(pool, [agent, agent], 0.0, lambda reward, life, over: reward < 0)
        jobs = [Job(snapshot, 0, 20, hidden=hidden), Job(snapshot, 0, 20), Job(player.place(start), 0, 20, (0, 0, 1))]
        right, forgetful, overridden = roller.run(jobs * 3)[:3]
    assert right.total == 5.0 and not right.lost
    sign = int(states.scores[start].argmax())
    assert forgetful.total == (5.0 if sign == 0 else -5.0), "with h_0 it always goes left"
    assert (overridden.rewards[3:] == 1).all(), "it sees the sign although its first actions are given"


class Wrong(nn.Module):
    def __init__(self, initial, following) -> None:
        super().__init__()
        self.initial, self.following = initial, following

    def initial_hidden(self, batch: int):
        return self.initial(batch)

    def forward(self, x: Tensor, hidden):
        return self.following(x.mean((1, 2, 3))[:, None].repeat(1, 2), hidden)


def test_the_game_of_the_explorer_carries_the_hidden_state(states):
    start = int(np.flatnonzero((states.age == 3) & (np.arange(400) < 180))[0])
    player = started_player(environment(), states)
    place = Place("recorded/0", "a recorded state", "real", states.stacks(np.array([start]))[0], None, Route(start))
    game = Game(player, reader(), place)
    for index in range(start, start + 4):
        shot = game.shot()
        torch.testing.assert_close(shot.output.scores[0], torch.as_tensor(states.scores[index]), atol=2e-3, rtol=0)
        assert torch.equal(game.shot().output.scores, shot.output.scores), "looking changes nothing"
        game.step(int(states.action[index]))
    game.close()


@pytest.mark.parametrize(
    ("initial", "following", "message"),
    [
        (lambda b: torch.zeros(3, b, 5), lambda s, h: (s, h), "batch as first dimension"),
        (lambda b: None, lambda s, h: (s, h), "returned None"),
        (lambda b: torch.zeros(b, 5), lambda s, h: s, "for a hidden state"),
        (lambda b: torch.zeros(b, 5), lambda s, h: (s, h[:, :2]), "next hidden state"),
    ],
)
def test_networks_with_another_form_are_refused(initial, following, message):
    with pytest.raises(OutputError, match=message):
        check_agent(agent_from_network(Wrong(initial, following), Interface("toy", ("A", "B"), (1, 8, 8)), name="toy"))


KINDS = {
    "own": {},
    "shared, deep": {"shared_lstm": True, "enable_critic_lstm": False, "n_lstm_layers": 2, "lstm_hidden_size": 16},
    "none": {"enable_critic_lstm": False, "lstm_hidden_size": 32, "net_arch": [8]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_ppo_gives_the_scores_of_the_framework(kind, tmp_path):
    model = RecurrentPPO("CnnLstmPolicy", Noise(), n_steps=4, batch_size=4, seed=1, policy_kwargs=KINDS[kind])
    policy = model.policy
    policy.set_training_mode(False)
    model.save(tmp_path / PONG)
    agent = load_agent(str(tmp_path / f"{PONG}.zip"))
    assert is_recurrent(agent) and isinstance(agent.module, RecurrentActorCritic)
    observation, carried = images(), Carried(agent, len(images()))
    from sb3_contrib.common.recurrent.type_aliases import RNNStates

    shape = (policy.lstm_hidden_state_shape[0], len(observation), policy.lstm_hidden_state_shape[2])
    states = RNNStates(*((torch.zeros(shape), torch.zeros(shape)) for _ in range(2)))
    starts = torch.ones(len(observation))
    for step in range(3):
        shown = observation.flip(0) if step == 1 else observation
        with torch.no_grad():
            distribution, following = policy.get_distribution(shown, states.pi, starts)
            values = policy.predict_values(shown, states.vf, starts)[:, 0]
            critic = policy.forward(shown, states, starts)[3].vf
        output = carried.act(shown.float())
        torch.testing.assert_close(output.scores, distribution.distribution.logits, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.value, values, atol=1e-5, rtol=1e-4)
        states, starts = (
            RNNStates(following, critic if policy.lstm_critic is not None else following),
            torch.zeros(len(shown)),
        )


class CleanRL(nn.Module):
    """The agent of ppo_atari_lstm, by its names and shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(1, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(),
        )  # fmt: skip
        self.lstm, self.actor, self.critic = nn.LSTM(512, 128), nn.Linear(128, 6), nn.Linear(128, 1)


def test_ppo_atari_lstm_of_cleanrl(tmp_path: Path):
    torch.manual_seed(0)
    net = CleanRL().eval()
    path = tmp_path / "ppo_atari_lstm.cleanrl_model"
    torch.save(net.state_dict(), path)
    interface = Interface(PONG, tuple("ABCDEF"), (1, 84, 84))
    agent = load_agent(str(path), environment=interface)
    frames = torch.randint(256, (3, 2, 1, 84, 84), generator=torch.Generator().manual_seed(0)).float()
    carried = Carried(agent, 2)
    with torch.no_grad():
        hidden, _ = net.lstm(net.network(frames.flatten(0, 1) / 255).unflatten(0, (3, 2)))
        for number, frame in enumerate(frames):
            output = carried.act(frame)
            torch.testing.assert_close(output.scores, net.actor(hidden[number]).log_softmax(dim=1))
            torch.testing.assert_close(output.value, net.critic(hidden[number])[:, 0])
