"""Settings of a training reach the algorithm, only training rewards are clipped, and leftover or foreign files in the folder
are handled."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3", reason="the training extra is not installed")

import gymnasium
from ale_py import ALEInterface, roms
from ale_py.vector_env import AtariVectorEnv

from weakspot.agents.formats.card import read_card
from weakspot.agents.tensors.weights import read_weights
from weakspot.errors import ConfigError, RunError, TrainingError
from weakspot.training import callback
from weakspot.training.algorithms import ALGORITHMS
from weakspot.training.arenas import arena_of
from weakspot.training.atari import AtariTrainingEnv
from weakspot.training.checkpoint import checkpoint_of, restore
from weakspot.training.config import A2CConfig, ACKTRConfig, DoubleDQNConfig, TrainingConfig
from weakspot.training.evaluate import evaluate
from weakspot.training.train import learn, train

torch.set_num_threads(1)
SHORT: dict[str, Any] = {
    "game": "ms_pacman", "steps": 96, "envs": 4, "network": "small", "evaluate_every": 48, "evaluation_episodes": 1,
    "final_episodes": 1, "episode_decisions": 20,
}  # fmt: skip
DQN = DoubleDQNConfig(**SHORT, buffer_size=400, learning_starts=16, batch_size=4, precision="float32")
A2C = A2CConfig(**SHORT, n_steps=3)
ACKTR = ACKTRConfig(**SHORT, n_steps=3, inverse_every=2)
NOT_IN_THE_ALGORITHM = {
    "game", "pedestrians", "steps", "start", "evaluate_every", "evaluation_episodes", "final_episodes", "episode_decisions",
}  # fmt: skip
"""Settings of the training around the algorithm."""


def ignore(line: str) -> None:
    pass


def settings_of(model: Any, config: TrainingConfig) -> dict[str, Any]:
    """The settings, read from the attributes of an algorithm."""
    common = {
        "seed": model.seed,
        "gamma": model.gamma,
        "device": model.device.type,
        "envs": model.n_envs,
        "network": model.policy.features_extractor_kwargs["network"],
    }
    if isinstance(config, DoubleDQNConfig):
        buffer = model.replay_buffer
        return common | {
            "n_steps": model.n_steps,
            "buffered steps": buffer.n_steps,
            "learning_rate": model.lr_schedule(1.0),
            "final_learning_rate": model.lr_schedule(0.0),
            "updates": model.gradient_steps,
            "batch_size": model.batch_size,
            "average": model.decay,
            "buffer_size": buffer.buffer_size * model.n_envs,
            "learning_starts": model.learning_starts,
            "target_interval": model.target_update_interval,
            "exploration_steps": round(model.exploration_fraction * config.steps),
            "exploration_final": (model.exploration_final_eps, model.epsilons[0]),
            "exploration_most": model.epsilons[-1],
            "precision": str(model.q_net.dtype).removeprefix("torch."),
        }
    common |= {
        "n_steps": model.n_steps,
        "learning_rate": model.lr_schedule(1.0),
        "entropy": model.ent_coef,
        "value": model.vf_coef,
    }
    if isinstance(config, A2CConfig):
        return common | {"max_grad_norm": model.max_grad_norm}
    kfac = model.policy.optimizer
    return common | {
        "kl": kfac.kl,
        "damping": kfac.damping,
        "inverse_every": kfac.inverse_every,
        "fisher_states": model._fisher_states,
    }


OTHER: list[TrainingConfig] = [
    replace(
        DQN, seed=3, gamma=0.7, envs=3, network="compact", n_steps=2, learning_rate=0.5, final_learning_rate=0.25, updates=3,
        batch_size=5, average=0.9, buffer_size=300, learning_starts=17, target_interval=33, exploration_steps=48,
        exploration_final=0.03, exploration_most=0.3, precision="bfloat16",
    ),
    replace(
        A2C, seed=3, gamma=0.7, envs=3, network="compact", n_steps=2, learning_rate=0.5, entropy=0.2, value=0.3,
        max_grad_norm=0.7,
    ),
    replace(
        ACKTR, seed=3, gamma=0.7, envs=3, network="compact", n_steps=2, learning_rate=0.5, entropy=0.2, value=0.3, kl=0.3,
        damping=0.4, inverse_every=7, fisher_states=5,
    ),
]  # fmt: skip


@pytest.mark.parametrize("config", OTHER, ids=lambda config: type(config).__name__)
def test_every_setting_reaches_the_algorithm(config):
    algorithm = next(algorithm for algorithm in ALGORITHMS.values() if algorithm.config is type(config))
    model = algorithm.build(config)
    expected, found = asdict(config), settings_of(model, config)
    assert found.keys() - {"buffered steps"} == {field.name for field in fields(config)} - NOT_IN_THE_ALGORITHM
    for name, value in found.items():
        expected_value = expected["n_steps"] if name == "buffered steps" else expected[name]
        assert value == pytest.approx((expected_value, expected_value) if isinstance(value, tuple) else expected_value), name
    assert model.env is not None
    model.env.close()


def test_scores_are_not_clipped_and_training_rewards_are():
    """A pill in Ms. Pac-Man gives ten points. The expected score is that of the emulator, played with the same actions."""
    scores = evaluate(
        lambda observations: np.full(len(observations), 3), arena_of("ms_pacman"), 1, seed=5, max_decisions=120
    )
    envs = AtariVectorEnv("ms_pacman", 1, num_threads=1, reward_clipping=False)
    envs.reset(seed=5)
    by_hand = sum(float(envs.step(np.array([3]))[1][0]) for _ in range(120))
    envs.close()
    assert scores == [by_hand] and by_hand >= 50
    emulator = ALEInterface()
    emulator.loadROM(str(roms.get_rom_path("ms_pacman")))
    actions = emulator.getMinimalActionSet()
    points = {emulator.act(actions[3]) for _ in range(600)}
    assert points <= {0, 10} and 10 in points, "a pill gives ten points"
    training = AtariTrainingEnv("ms_pacman", 1, seed=5)
    training.reset()
    rewards = []
    for _ in range(120):
        training.step_async(np.array([3]))
        rewards.append(float(training.step_wait()[1][0]))
    training.close()
    assert set(rewards) == {0.0, 1.0}


def test_truncated_games_are_marked(monkeypatch):
    training = AtariTrainingEnv("pong", 2, seed=0)
    training.envs.close()
    training.envs = AtariVectorEnv(
        "pong", 2, num_threads=1, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP, life_loss_info=True,
        max_num_frames_per_episode=400,
    )  # fmt: skip
    training.reset()
    truncated = []
    for _ in range(150):
        training.step_async(np.zeros(2, np.int64))
        _, _, dones, infos = training.step_wait()
        truncated += [infos[i]["TimeLimit.truncated"] for i in np.flatnonzero(dones)]
    training.close()
    assert truncated and all(truncated)


def test_checkpoints_contain_the_states_of_the_random_generators():
    model = ALGORITHMS["a2c"].build(A2C)
    np.random.seed(11)
    np.random.normal()  # caches a second number
    torch.manual_seed(11)
    stored = checkpoint_of(model, ALGORITHMS["a2c"], 1.0, None, [])
    expected = np.random.normal(size=3), torch.rand(3)
    np.random.seed(0)
    torch.manual_seed(0)
    restore(model, ALGORITHMS["a2c"], stored)
    assert np.array_equal(np.random.normal(size=3), expected[0]) and torch.equal(torch.rand(3), expected[1])
    assert model.env is not None
    model.env.close()


def test_a_resumed_double_dqn_refills_its_buffer_before_it_learns(tmp_path):
    config = replace(DQN, learning_starts=40)
    stop = StopAt(48)
    with pytest.raises(KeyboardInterrupt):
        learn(config, tmp_path, stop)
    model = learn(config, tmp_path, ignore)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [48, 96]
    assert lines[0]["updates"] == 1, "updates start at the eleventh step of four, reported before them"
    # ten of the twelve steps after the resume refill the buffer; the last update comes after the last evaluation
    assert (lines[1]["updates"] - lines[0]["updates"], model._n_updates) == (2, lines[1]["updates"] + 1)


class StopAt:
    """Ends a training after an evaluation, as Ctrl-C does."""

    def __init__(self, decisions: int) -> None:
        self.prefix = f"{decisions:>9,} of"

    def __call__(self, line: str) -> None:
        if line.startswith(self.prefix):
            raise KeyboardInterrupt


@pytest.mark.parametrize("config", [DQN, A2C], ids=["double-dqn", "a2c"])
def test_checkpoints_are_also_written_by_the_clock(config, tmp_path, monkeypatch):
    """A kill between two evaluations then costs only minutes, and the evaluations stay at their steps."""
    config = replace(config, evaluate_every=72)
    monkeypatch.setattr(callback, "MINUTES", 0.0)

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(callback.EvaluationCallback, "evaluate_and_store", stop)  # right before the first evaluation
        with pytest.raises(KeyboardInterrupt):
            learn(config, tmp_path, ignore)
    stored = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert 56 <= stored["steps"] < 72 and stored["score"] is None
    assert not (tmp_path / "best.pt").exists() and not (tmp_path / "metrics.jsonl").exists()
    lines: list[str] = []
    learn(config, tmp_path, lines.append)
    assert lines[0] == f"resuming after {stored['steps']} decisions"
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [72, 96]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["resumed_at"] == [stored["steps"]]


def test_the_same_command_trains_the_same_agent(tmp_path):
    """The same seed gives the same bits, whatever random numbers the process drew before."""
    for name in ("one", "two"):
        random.seed(name)
        torch.manual_seed(len(name) + ord(name[0]))
        train(DQN, tmp_path / name, ignore)
    one, two = (read_weights(tmp_path / name / "agent.safetensors")[0] for name in ("one", "two"))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    other = read_weights(train(replace(DQN, seed=1), tmp_path / "other", ignore))[0]
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_foreign_files_in_the_folder_are_not_used(tmp_path):
    mine = tmp_path / ".notes.txt.tmp"
    mine.write_text("mine")
    (tmp_path / ".checkpoint.pt.abc.tmp").write_text("cut off")
    (tmp_path / "start.json").write_text('{"decisions": 5, "cpu_hours": 1.0}')
    card = read_card(read_weights(train(A2C, tmp_path, ignore))[1], "agent")
    assert mine.read_text() == "mine" and not (tmp_path / ".checkpoint.pt.abc.tmp").exists()
    assert card.training["start"] is None and card.training["resumed_at"] == []
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "agent.safetensors").rename(other / "agent.safetensors")
    with pytest.raises(RunError, match=r"holds the agent\.safetensors of a training, but not its config\.json"):
        train(A2C, other, ignore)


@pytest.mark.parametrize("config", [replace(A2C, learning_rate=1e8), replace(DQN, learning_rate=1e30)], ids=["a2c", "dqn"])
def test_diverging_training_raises_an_error(config, tmp_path):
    with pytest.raises(TrainingError, match="decisions the weights are not finite"):
        train(config, tmp_path, ignore)
    assert not (tmp_path / "agent.safetensors").exists() and not (tmp_path / "best.pt").exists()


def test_training_does_not_resume_from_the_best_policy(tmp_path):
    learn(A2C, tmp_path, ignore)
    (tmp_path / "checkpoint.pt").write_bytes((tmp_path / "best.pt").read_bytes())
    with pytest.raises(RunError, match="has no policy, optimizer"):
        learn(A2C, tmp_path, ignore)


def test_a_buffer_that_does_not_fit_into_memory_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="a buffer of 1,000,000,000 transitions takes 56,448 GB"):
        learn(replace(DQN, buffer_size=1_000_000_000), tmp_path, ignore)
