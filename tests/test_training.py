"""Training of a dueling double DQN: its arithmetic, kill and resume, and the resulting agent file."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3", reason="the training extra is not installed")

from stable_baselines3.common.type_aliases import ReplayBufferSamples

from weakspot.agents.formats import card as cards
from weakspot.agents.load import load_agent
from weakspot.agents.networks.dueling import DuelingNetwork
from weakspot.agents.tensors.weights import read_weights
from weakspot.errors import ConfigError, RunError, RunMismatchError, UnknownGameError, WeightsError
from weakspot.system import progress
from weakspot.training.arenas import arena_of
from weakspot.training.atari import AtariTrainingEnv
from weakspot.training.command import train_agent
from weakspot.training.config import MAX_ENVS, MAX_SEED, CommandConfig, DoubleDQNConfig, command_of
from weakspot.training.double_dqn import (
    MAX_REPEATS,
    REPEAT_EXPONENT,
    blocks,
    build_double_dqn,
    dueling_weights,
    learning_rate,
    start_from,
)
from weakspot.training.evaluate import evaluate, greedy
from weakspot.training.finish import FINAL_SEEDS, SELECTION_SEEDS, finish
from weakspot.training.train import RESUMED, RESUMED_SEEDS, first_game_seed, learn, train

torch.set_num_threads(1)

TINY = DoubleDQNConfig(
    game="ms_pacman",
    steps=480,
    envs=4,
    buffer_size=800,
    learning_starts=80,
    batch_size=8,
    updates=1,
    target_interval=100,
    exploration_steps=100,
    evaluate_every=240,
    evaluation_episodes=1,
    final_episodes=2,
    episode_decisions=150,
    learning_rate=1e-3,
    final_learning_rate=1e-3,
    network="compact",
    gamma=0.95,
    precision="float32",
)

START = """
import json, sys, torch
torch.set_num_threads(1)
from pathlib import Path
from weakspot.training.train import learn
from weakspot.training.config import DoubleDQNConfig
learn(DoubleDQNConfig(**json.loads(sys.argv[1])), Path(sys.argv[2]), lambda line: print(line, flush=True))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A training that was killed after its first checkpoint."""
    folder = tmp_path_factory.mktemp("run") / "run"
    process = subprocess.Popen([sys.executable, "-c", START, json.dumps(asdict(TINY)), str(folder)])
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 479, "updates": 999}\n{"step": 4')  # evaluations after the checkpoint, the last one truncated
    return folder


@pytest.fixture(scope="module")
def finished(killed) -> tuple[Path, list[str]]:
    """The same training, resumed and finished, and its messages."""
    lines: list[str] = []
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[union-attr]
    path = train(TINY, killed, lines.append)
    assert path == killed / "agent.safetensors"
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])
    return killed, lines


def test_killed_training_resumes(finished):
    folder, messages = finished
    assert messages[0].startswith("resuming after 2")  # the first checkpoint, at 240 decisions
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 480
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    updates = [line["updates"] for line in lines]
    assert updates == sorted(updates) and updates[-1] > updates[0]
    assert not list(folder.glob(".*.tmp"))


def test_resume_restores_everything_in_the_checkpoint(killed, finished):
    stored = torch.load(killed / "checkpoint.pt", weights_only=True)
    model = learn(TINY, killed, lambda line: None)
    assert {name: getattr(model, name) for name in stored["counters"]} == stored["counters"]
    assert (model.num_timesteps, stored["counters"].keys()) == (480, {"num_timesteps", "_n_updates", "_n_calls"})
    for name, tensor in model.policy.state_dict().items():
        assert torch.equal(tensor, stored["policy"][name]), name
    for name, tensor in model.average.state_dict().items():
        assert torch.equal(tensor, stored["kept"][name]), name
    state = model.policy.optimizer.state_dict()["state"]
    assert state and all(torch.equal(state[i]["exp_avg"], stored["optimizer"]["state"][i]["exp_avg"]) for i in state)
    online, target = model.q_net.state_dict(), model.q_net_target.state_dict()
    assert any(not torch.equal(online[name], target[name]) for name in online)


def test_finished_training_is_not_repeated(finished):
    folder, _ = finished
    before = (folder / "agent.safetensors").stat().st_mtime_ns
    lines: list[str] = []
    train(TINY, folder, lines.append)
    assert lines == [f"{folder / 'agent.safetensors'} exists already"]
    assert (folder / "agent.safetensors").stat().st_mtime_ns == before


def test_exported_agent_gives_the_same_output_as_the_trained_one(finished):
    folder, _ = finished
    model = learn(TINY, folder, lambda line: None)
    path = folder / "last.safetensors"
    _, metadata = read_weights(folder / "agent.safetensors")
    card = cards.read_card(metadata, "agent")
    cards.export(dueling_weights(model.q_net.state_dict()), card, path)
    observations = torch.randint(256, (32, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    agent = load_agent(str(path))
    with torch.no_grad():
        theirs = model.q_net(observations)
    ours = agent(observations).scores
    assert torch.allclose(ours, theirs, atol=2e-3 * float(theirs.abs().max()))  # float16 keeps 11 bits
    exact = DuelingNetwork(9, "compact")
    exact.load_state_dict(dueling_weights(model.q_net.state_dict()))
    assert torch.allclose(exact(observations.float()), theirs, atol=1e-6)
    assert theirs.std() > 0 and path.stat().st_size < 3_000_000


def test_card_describes_the_training(finished):
    folder, messages = finished
    card = cards.read_card(read_weights(folder / "agent.safetensors")[1], "agent")
    assert (card.name, card.environment, card.network) == ("ms-pacman-double-dqn", "MsPacmanNoFrameskip-v4", "compact")
    assert card.training["settings"] == asdict(TINY)
    assert card.training["command"] == command_of("double-dqn", TINY, f"runs/{folder.name}", threads=1)
    assert card.training["resumed_at"] == [240] and card.training["updates"] > 0
    assert card.score["mean"] == pytest.approx(np.mean(card.score["scores"])) and len(card.score["scores"]) == 2
    policies = card.score["selection"]
    if policies:  # else the last policy is also the best one
        assert card.training["policy"] == max(policies, key=lambda which: policies[which]["mean"])
        assert card.training["policy_steps"] == policies[card.training["policy"]]["steps"]
    assert any("on held-out seeds" in line for line in messages)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert card.training["evaluations"] == [[line["step"], line["score"]] for line in lines] and len(lines) > 1
    # the score is reproduced from the file alone
    network = load_agent(str(folder / "agent.safetensors")).module
    again = evaluate(greedy(network), arena_of("ms_pacman"), 2, FINAL_SEEDS, card.score["epsilon"], TINY.episode_decisions)
    assert again == card.score["scores"]


def test_seeds_of_selection_and_evaluation_are_disjoint(tmp_path, monkeypatch):
    """The seeds of trainings are disjoint from both, even those of the highest seed."""
    started: list[int] = []
    monkeypatch.setattr(AtariTrainingEnv, "seed", lambda envs, seed=None: started.append(seed) or [])
    config = replace(TINY, seed=MAX_SEED, steps=8, learning_starts=4)
    learn(config, tmp_path, lambda line: None)
    assert MAX_SEED * 1_000_000 in started and max(s for s in started if s) + MAX_ENVS <= RESUMED
    assert RESUMED + RESUMED_SEEDS + MAX_ENVS < FINAL_SEEDS
    resumed = {first_game_seed(seed, done) for seed in range(3) for done in range(10_000, 2_000_000, 10_000)}
    assert len(resumed) == 3 * 199 and min(resumed) >= RESUMED and max(resumed) < RESUMED + RESUMED_SEEDS
    assert FINAL_SEEDS + 1_000 * MAX_SEED + 1_000 < SELECTION_SEEDS < 2**31 - 10_000_000
    with pytest.raises(ConfigError, match="seed is 1000"):
        replace(TINY, seed=MAX_SEED + 1)


def test_progress_is_reported_between_and_during_evaluations(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    train(replace(TINY, steps=48, evaluate_every=48, learning_starts=40), tmp_path, lambda line: None)
    lines = capsys.readouterr().out.splitlines()
    assert any(re.fullmatch(r"  train: 50 %, about \d+ s left   \(24 of 48 decisions\)", line) for line in lines), lines
    assert any(line.startswith("  measure: ") and "of 2 games" in line for line in lines), lines


def test_a_folder_without_a_best_policy_is_exported_too(finished, tmp_path):
    folder, _ = finished
    settings = json.loads((folder / "config.json").read_text())
    del settings["final_episodes"]  # as an older version wrote it
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "checkpoint.pt").write_bytes((folder / "checkpoint.pt").read_bytes())
    assert DoubleDQNConfig(**{k: v for k, v in settings.items() if k != "algorithm"}) == replace(TINY, final_episodes=20)
    (tmp_path / "config.json").write_text(json.dumps(settings | {"final_episodes": 1}))
    card = cards.read_card(read_weights(finish(tmp_path, lambda line: None))[1], "agent")
    assert card.training["policy"] == "last"
    assert card.score["selection"] == {}


def test_better_policy_is_selected_and_evaluated_on_other_games(finished, tmp_path):
    """Two policies with a constant action each; it does not matter which one was called the best before."""
    folder, _ = finished
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    for which, action in (("checkpoint.pt", 1), ("best.pt", 3)):
        average = {name: tensor.clone() for name, tensor in checkpoint["kept"].items()}
        average["advantage_stream.2.weight"].zero_()
        average["advantage_stream.2.bias"].copy_(torch.eye(9)[action])
        torch.save(checkpoint | {"kept": average, "steps": 480 - action, "score": 0.0}, tmp_path / which)
    (tmp_path / "config.json").write_text(json.dumps({"algorithm": "double-dqn"} | asdict(TINY) | {"final_episodes": 1}))
    card = cards.read_card(read_weights(finish(tmp_path, lambda line: None))[1], "agent")
    selection = card.score["selection"]
    assert set(selection) == {"last", "best evaluation"}
    better = max(selection, key=lambda which: selection[which]["mean"])
    assert selection["last"]["mean"] != selection["best evaluation"]["mean"]
    assert card.training["policy"] == better
    assert {entry["first_seed"] for entry in selection.values()} == {SELECTION_SEEDS}
    assert card.score["first_seed"] == card.score["greedy"]["first_seed"] == FINAL_SEEDS
    assert card.training["policy_steps"] == selection[better]["steps"]


def test_leftovers_of_a_kill_before_the_first_checkpoint_are_discarded(finished, tmp_path):
    folder, _ = finished
    (tmp_path / "metrics.jsonl").write_text('{"step": 52, "score": 1.0}\n{"step": 5')
    (tmp_path / "best.pt").write_bytes((folder / "best.pt").read_bytes())
    model = learn(replace(TINY, steps=96, evaluate_every=96, learning_starts=80), tmp_path, lambda line: None)
    assert model.num_timesteps == 96
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [96]
    assert torch.load(tmp_path / "best.pt", weights_only=True)["steps"] == 96


def test_a_kill_between_a_checkpoint_and_the_best_policy_loses_neither(finished, tmp_path):
    folder, _ = finished
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    for score, before in ((3.0, 2.0), (1.0, 2.0)):
        torch.save(checkpoint | {"score": score}, tmp_path / "checkpoint.pt")
        torch.save({"kept": checkpoint["kept"], "steps": 240, "score": before}, tmp_path / "best.pt")
        learn(TINY, tmp_path, lambda line: None)
        best = torch.load(tmp_path / "best.pt", weights_only=True)
        assert (best["steps"], best["score"]) == ((480, 3.0) if score > before else (240, 2.0))


def test_each_life_is_an_episode_and_the_game_continues_with_the_next():
    """After the last life, a new game starts with a stack of one frame."""
    envs = AtariTrainingEnv("seaquest", 1, seed=0)
    observations = envs.reset()
    actions, lengths, visible_frames = np.random.default_rng(0), [], []
    while len(visible_frames) < 8:
        before = observations[0].copy()
        envs.step_async(actions.integers(envs.action_space.n, size=1))
        observations, _, dones, infos = envs.step_wait()
        if dones[0]:
            ended = infos[0]["terminal_observation"]
            assert np.array_equal(ended[:3], before[1:]), "the last stack continues the one before"
            assert np.array_equal(ended, observations[0]) or len(visible_frames) % 4 == 3
            lengths.append(infos[0]["episode"]["l"])
            visible_frames.append(int(observations[0].any(axis=(1, 2)).sum()))
    assert visible_frames == [4, 4, 4, 1] * 2  # four lives a game
    assert min(lengths) > 10


def test_training_that_cannot_start_leaves_only_its_lock(tmp_path):
    with pytest.raises(WeightsError, match="nosuch"):
        learn(replace(TINY, start=str(tmp_path / "nosuch.safetensors")), tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="'cuda' cannot be used here"):
            learn(replace(TINY, device="cuda"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with pytest.raises(ConfigError, match="threads is 0"):
        train_agent(TINY, CommandConfig(tmp_path, threads=0))


@pytest.mark.parametrize("change", [{"gamma": 0.9}, {"steps": 960}, {"seed": 1, "network": "nature"}])
def test_other_settings_are_refused(finished, change):
    with pytest.raises(RunMismatchError, match=", ".join(sorted(change))):
        train(replace(TINY, **change), finished[0])


def test_a_damaged_checkpoint_is_named(finished, tmp_path):
    folder, _ = finished
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    content = (folder / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match="cannot read the checkpoint"):
        train(TINY, tmp_path)


def test_code_in_a_checkpoint_is_not_run(finished, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    folder, _ = finished
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    torch.save({"kept": Evil(), "steps": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError):
        finish(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_folder_without_a_training_is_refused(tmp_path):
    with pytest.raises(RunError, match="settings"):
        finish(tmp_path)


# --- arithmetic ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    model = build_double_dqn(TINY)
    yield model
    model.env.close()


def test_the_mean_advantage_is_zero(model):
    observation = torch.randint(256, (3, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    q = model.q_net(observation)
    value = model.q_net.value_stream(model.q_net.features_extractor(blocks(observation, torch.float32)))
    assert torch.allclose(q.mean(dim=1, keepdim=True), value, atol=1e-6)
    assert q.std(dim=1).min() > 0


def test_the_average_follows_the_online_network():
    config = replace(TINY, average=0.5, learning_starts=8, steps=16, envs=4)
    model = build_double_dqn(config)
    model.learn(16)  # fills the buffer; two updates
    before = [p.clone() for p in model.average.parameters()]
    model.train(1, 4)
    for was, now, online in zip(before, model.average.parameters(), model.q_net.parameters(), strict=True):
        assert torch.allclose(now, 0.5 * was + 0.5 * online, atol=1e-7)
    assert any(
        not torch.equal(now, online)
        for now, online in zip(model.average.parameters(), model.q_net.parameters(), strict=True)
    )
    model.env.close()


def test_every_environment_has_its_own_share_of_random_actions(model):
    observation = np.zeros((4, 4, 84, 84), np.uint8)
    greedy_action = model.predict(observation, deterministic=True)[0]
    assert len(set(greedy_action.tolist())) == 1
    np.random.seed(0)
    model.exploration_rate = 0.0
    actions = np.stack([model.predict(observation)[0] for _ in range(1500)])
    shares = (actions != greedy_action).mean(axis=0)
    mean_length = np.minimum(np.random.zipf(REPEAT_EXPONENT, 100_000), MAX_REPEATS).mean()
    epsilons = np.geomspace(TINY.exploration_final, TINY.exploration_most, 4)
    # of a cycle, (1 - epsilon) / epsilon decisions are greedy; and a random action may be the greedy one
    expected = mean_length / (mean_length + (1 - epsilons) / epsilons) * 8 / 9
    assert np.allclose(shares, expected, atol=0.08) and shares[3] > shares[0] + 0.2
    model.exploration_rate = 1.0
    actions = np.stack([model.predict(observation)[0] for _ in range(200)])
    assert (actions != greedy_action).mean() > 0.7


def test_random_actions_are_held_for_a_random_number_of_steps(model):
    observation = np.zeros((4, 4, 84, 84), np.uint8)
    np.random.seed(0)
    model.exploration_rate, model.repeated = 1.0, None
    chosen, left = [], []
    for _ in range(600):
        chosen.append(model.predict(observation)[0])
        left.append(model.repeated[:, 1].copy())
    lengths = []
    for actions, counts in zip(np.stack(chosen, axis=1), np.stack(left, axis=1), strict=True):
        ends = np.flatnonzero(counts == 0) + 1
        runs = np.split(actions, ends[:-1] if ends[-1] == len(actions) else ends)
        assert all(len(set(run.tolist())) == 1 for run in runs), "the action changed while it was held"
        lengths += [len(run) for run in runs]
    assert max(lengths) <= MAX_REPEATS
    assert np.mean(np.array(lengths) == 1) == pytest.approx(6 / np.pi**2, abs=0.08)


def test_learning_rate_decays_linearly_if_configured():
    constant = replace(TINY, learning_rate=1e-3)
    assert learning_rate(constant, 1.0) == learning_rate(constant, 0.0) == 1e-3
    decaying = replace(TINY, learning_rate=1e-3, final_learning_rate=1e-4)
    assert learning_rate(decaying, 1.0) == 1e-3 and learning_rate(decaying, 0.0) == pytest.approx(1e-4)
    assert learning_rate(decaying, 0.5) == pytest.approx(5.5e-4)
    model = build_double_dqn(decaying)
    model.learn(480)
    assert model.policy.optimizer.param_groups[0]["lr"] < 2e-4
    model.env.close()


def test_a_training_starts_from_an_agent(finished):
    folder, _ = finished
    path = folder / "agent.safetensors"
    weights, _ = read_weights(path)
    model = build_double_dqn(TINY)
    start_from(model, weights, str(path))
    for network in (model.q_net, model.q_net_target, model.average):
        taken = dueling_weights(network.state_dict())
        assert taken.keys() == weights.keys()
        assert all(torch.equal(taken[name], tensor.float()) for name, tensor in weights.items())
    model.env.close()
    other = build_double_dqn(replace(TINY, network="small"))
    with pytest.raises(WeightsError, match="another network"):
        start_from(other, weights, str(path))
    other.env.close()


def test_half_precision_gives_almost_the_same_q_values():
    with_half = build_double_dqn(replace(TINY, precision="bfloat16"))
    model = build_double_dqn(TINY)
    model.q_net.load_state_dict(with_half.q_net.state_dict())
    observation = torch.randint(256, (8, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    exact, half = model.q_net(observation), with_half.q_net(observation)
    assert half.dtype == torch.float32 and not torch.equal(exact, half)
    assert torch.allclose(exact, half, atol=0.03 * float(exact.abs().max()))
    model.env.close()
    with_half.env.close()


def test_blocks_place_pixels_where_the_first_convolution_expects_them(model):
    observation = torch.randint(256, (2, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    for dtype in (torch.float32, torch.bfloat16):
        blocked = blocks(observation, dtype)
        assert blocked.dtype == dtype and blocked.shape == (2, 64, 21, 21)
        assert blocked[1, 16 * 2 + 4 * 3 + 1, 5, 7] == observation[1, 2, 4 * 5 + 3, 4 * 7 + 1]
        assert blocked.is_contiguous(memory_format=torch.channels_last)
    extractor = model.q_net.features_extractor
    plain = extractor.convolutions(observation / 255.0)
    assert torch.allclose(extractor(blocks(observation, torch.float32)), plain, atol=1e-6)


@pytest.mark.parametrize("discounts", [None, torch.tensor([[0.9], [0.5], [0.25], [1.0]])])
def test_the_double_target_by_hand(model, discounts):
    generator = torch.Generator().manual_seed(3)
    shape = (4, 4, 84, 84)
    with torch.no_grad():  # the two networks must disagree on the best action, or a single target would pass
        for scale, network in ((1.0, model.q_net), (2.0, model.q_net_target)):
            bias = network.advantage_stream[-1].bias
            bias.copy_(scale * torch.randn(9, generator=generator))
    batch = ReplayBufferSamples(
        observations=torch.randint(256, shape, dtype=torch.uint8, generator=generator),
        actions=torch.tensor([[0], [1], [2], [3]]),
        next_observations=torch.randint(256, shape, dtype=torch.uint8, generator=generator),
        dones=torch.tensor([[0.0], [1.0], [0.0], [0.0]]),
        rewards=torch.tensor([[1.0], [-1.0], [0.0], [0.5]]),
        discounts=discounts,
    )
    targets = model.targets(batch)
    assert targets.shape == (4, 1) and not targets.requires_grad
    single = 0
    for i in range(4):
        online = model.q_net(batch.next_observations[i : i + 1])[0].tolist()
        other = model.q_net_target(batch.next_observations[i : i + 1])[0].tolist()
        chosen = online.index(max(online))
        single += other[chosen] == max(other)
        discount = 0.95 if discounts is None else discounts[i].item()
        expected = batch.rewards[i].item() + (0 if i == 1 else discount * other[chosen])
        assert targets[i].item() == pytest.approx(expected, abs=1e-5)
    assert single < 4


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"steps": 0}, ConfigError),
        ({"steps": -5}, ConfigError),
        ({"game": "ponk"}, UnknownGameError),
        ({"game": "Pong"}, ConfigError),
        ({"network": "huge"}, ConfigError),
        ({"gamma": 0.0}, ConfigError),
        ({"gamma": 1.1}, ConfigError),
        ({"gamma": float("nan")}, ConfigError),
        ({"n_steps": 0}, ConfigError),
        ({"learning_rate": 0.0}, ConfigError),
        ({"final_learning_rate": 1.0}, ConfigError),
        ({"average": 1.0}, ConfigError),
        ({"precision": "float8"}, ConfigError),
        ({"learning_rate": float("nan")}, ConfigError),
        ({"learning_starts": -1}, ConfigError),
        ({"learning_starts": 800, "steps": 800}, ConfigError),
        ({"steps": 9_000}, ConfigError),
        ({"learning_starts": 200_000}, ConfigError),
        ({"buffer_size": 4, "learning_starts": 0}, ConfigError),
        ({"learning_starts": 1_001, "buffer_size": 1_001}, ConfigError),
        ({"envs": 0}, ConfigError),
        ({"exploration_final": 1.5}, ConfigError),
        ({"exploration_steps": 0}, ConfigError),
        ({"evaluate_every": 0}, ConfigError),
        ({"evaluation_episodes": 0}, ConfigError),
        ({"final_episodes": 0}, ConfigError),
        ({"episode_decisions": 0}, ConfigError),
        ({"seed": -1}, ConfigError),
        ({"device": "warp"}, ConfigError),
        ({"device": "meta"}, ConfigError),
        ({"envs": 1_001}, ConfigError),
    ],
)
def test_invalid_settings_are_refused(change, error):
    with pytest.raises(error, match=str(next(iter(change.values()))) if "game" in change else next(iter(change))[:5]):
        replace(DoubleDQNConfig(), **change)


def test_command_contains_every_setting():
    command = command_of("double-dqn", TINY, "out", threads=2)
    assert command.startswith("weakspot train-agent double-dqn --game ms_pacman --steps 480 ")
    assert command.endswith(" --threads 2 --output out")
    settings = {name: value for name, value in asdict(TINY).items() if value is not None}
    assert all(f"--{name.replace('_', '-')} {value}" in command for name, value in settings.items())
    assert "--start" not in command and "--start a.safetensors" in command_of(
        "double-dqn", replace(TINY, start="a.safetensors"), "out", threads=1
    )
