"""Training with A2C and ACKTR: the trained and the exported network, kill and resume, and the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3", reason="the training extra is not installed")

from ale_py.vector_env import AtariVectorEnv

from weakspot.agents.formats.card import read_card
from weakspot.agents.load import load_agent
from weakspot.agents.networks.policy import PolicyNetwork
from weakspot.agents.tensors.weights import read_weights
from weakspot.cli import main
from weakspot.errors import ConfigError, MismatchError, RunError, RunMismatchError, WeightsError
from weakspot.system.locks import exclusive_lock
from weakspot.system.provenance import file_digest
from weakspot.training.actor_critic import logits, policy_weights
from weakspot.training.algorithms import ALGORITHMS
from weakspot.training.arenas import arena_of
from weakspot.training.config import A2CConfig, ACKTRConfig, ActorCriticConfig, DoubleDQNConfig, TrainingConfig
from weakspot.training.evaluate import evaluate, make_policy, sampled
from weakspot.training.finish import FINAL_SEEDS, read_config
from weakspot.training.start import training_cost
from weakspot.training.train import learn, train

torch.set_num_threads(1)
SHORT = {
    "game": "ms_pacman", "steps": 192, "envs": 4, "n_steps": 6, "network": "small", "evaluate_every": 96,
    "evaluation_episodes": 1, "final_episodes": 2, "episode_decisions": 60,
}  # fmt: skip
TINY: dict[str, ActorCriticConfig] = {"a2c": A2CConfig(**SHORT), "acktr": ACKTRConfig(**SHORT, inverse_every=2)}


def ignore(line: str) -> None:
    pass


@pytest.fixture(scope="module", params=list(TINY))
def finished(request, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("run") / request.param
    train(TINY[request.param], folder, ignore)
    return request.param, folder


def observations() -> torch.Tensor:
    return torch.randint(256, (16, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_exported_agent_gives_the_same_output_as_the_trained_one(finished):
    which, folder = finished
    model = learn(TINY[which], folder, ignore)
    exact = PolicyNetwork(9, "small")
    exact.load_state_dict(policy_weights(model.policy.state_dict()))
    with torch.no_grad():
        theirs = logits(model.policy, observations())
        values = model.policy.predict_values(observations())
        ours = exact(observations().float())
    torch.testing.assert_close(ours[0].log_softmax(dim=1), theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[1], values, atol=1e-5, rtol=1e-5)
    agent = load_agent(str(folder / "agent.safetensors"))
    assert (agent.spec.scores_are, agent.spec.acts) == ("log-probabilities", "sampled")
    output = agent(observations().float())
    assert output.value is not None and output.value.shape == (16,)
    torch.testing.assert_close(output.scores.exp().sum(dim=1), torch.ones(16))


def test_the_card_describes_the_training(finished):
    which, folder = finished
    card = read_card(read_weights(folder / "agent.safetensors")[1], "agent")
    assert (card.name, card.kind) == (f"ms-pacman-{which.replace('_', '-')}", "actor-critic")
    assert card.training["algorithm"] == ALGORITHMS[which].title and card.training["cpu_hours"] >= 0
    assert card.training["settings"] == asdict(TINY[which])
    assert card.training["command"].startswith(f"weakspot train-agent {which} --game ms_pacman")
    network = load_agent(str(folder / "agent.safetensors")).module
    act = make_policy("actor-critic", lambda observations: network(observations)[0], "cpu", FINAL_SEEDS)
    assert evaluate(act, arena_of("ms_pacman"), 2, FINAL_SEEDS, 0.0, 60) == card.score["scores"], (
        "the score is reproduced from the file"
    )


def test_a_training_starts_from_an_agent(finished, tmp_path):
    which, folder = finished
    agent = folder / "agent.safetensors"
    started = ALGORITHMS[which].build(TINY[which])
    ALGORITHMS[which].start_from(started, read_weights(agent)[0], "agent")
    model = learn(TINY[which], folder, ignore)  # already finished
    with torch.no_grad():
        torch.testing.assert_close(
            logits(started.policy, observations()), logits(model.policy, observations()), atol=2e-3, rtol=0
        )  # weights are kept as float16
    continued = replace(TINY[which], start=str(agent), seed=1)
    card = read_card(read_weights(train(continued, tmp_path / "further", ignore))[1], "agent")
    before = read_card(read_weights(agent)[1], "agent")
    portable_path = f"runs/{folder.name}/agent.safetensors"
    assert f"--start {portable_path}" in card.training["command"] and card.training["settings"]["start"] == portable_path
    start = card.training["start"]
    assert (start["digest"], start["command"], start["start"]) == (file_digest(agent), before.training["command"], None)
    assert start["decisions"] == before.training["policy_steps"]
    assert training_cost(card.training)[0] == card.training["policy_steps"] + before.training["policy_steps"]
    assert training_cost(card.training)[1] == pytest.approx(card.training["cpu_hours"] + before.training["cpu_hours"])
    with pytest.raises(WeightsError, match="another network"):
        learn(replace(continued, network="compact"), tmp_path / "other", ignore)
    with pytest.raises(MismatchError, match="was trained on MsPacman"):
        learn(replace(continued, game="pong"), tmp_path / "other", ignore)
    assert [path.name for path in (tmp_path / "other").iterdir()] == [".lock"]


def test_cost_of_a_training_is_unknown_if_that_of_its_start_is_unknown():
    assert training_cost({"policy_steps": 5, "cpu_hours": 0.25, "settings": {"start": "old.safetensors"}}) == (5, None)
    before = {"decisions": 7, "cpu_hours": None}
    assert training_cost({"policy_steps": 5, "cpu_hours": 0.25, "settings": {"start": "a"}, "start": before}) == (12, None)
    assert training_cost({"policy_steps": 5, "settings": {}}) == (5, None)


def test_second_process_is_kept_out_of_a_training(tmp_path):
    with exclusive_lock(tmp_path), pytest.raises(RunError, match="another process"):
        train(TINY["a2c"], tmp_path, ignore)


def test_checkpoint_without_its_settings_is_not_resumed(finished, tmp_path):
    which, folder = finished
    (tmp_path / "checkpoint.pt").write_bytes((folder / "checkpoint.pt").read_bytes())
    with pytest.raises(RunError, match=r"not its config\.json"):
        train(TINY[which], tmp_path, ignore)


@pytest.mark.parametrize("wrong", [{"steps": 1.5}, {"steps": float("nan")}, {"envs": 2.5}, {"n_steps": True}])
def test_fractional_counts_are_refused(wrong):
    with pytest.raises(ConfigError, match="a whole number"):
        A2CConfig(**wrong)


@pytest.mark.parametrize("which", list(TINY))
def test_stopped_training_resumes_from_its_checkpoint(which, tmp_path):
    class StopError(Exception):
        pass

    def stop(line: str) -> None:
        raise StopError

    with pytest.raises(StopError):
        learn(TINY[which], tmp_path, stop)
    stored = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert stored["steps"] < 192
    lines: list[str] = []
    model = learn(TINY[which], tmp_path, lines.append)
    assert lines[0] == f"resuming after {stored['steps']} decisions"
    assert model.num_timesteps >= 192 and model._n_updates > stored["counters"]["_n_updates"]
    final = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    again = learn(TINY[which], tmp_path, ignore)
    for name, tensor in again.policy.state_dict().items():
        assert torch.equal(tensor, final["policy"][name]), name
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[0] == stored["steps"]


START = """
import json, sys, torch
torch.set_num_threads(1)
from pathlib import Path
from weakspot.training.algorithms import ALGORITHMS
from weakspot.training.train import learn
learn(ALGORITHMS[sys.argv[1]].config(**json.loads(sys.argv[2])), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("which", list(TINY))
def test_killed_training_resumes(which, tmp_path):
    config = replace(TINY[which], steps=384)
    process = subprocess.Popen([sys.executable, "-c", START, which, json.dumps(asdict(config)), str(tmp_path)])
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    lines: list[str] = []
    learn(config, tmp_path, lines.append)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[0].startswith("resuming after") and steps == sorted(set(steps)) and steps[-1] >= 384 > steps[0]


def seeds_of_games(folder: Path, config: TrainingConfig, monkeypatch) -> set[int]:
    """The seeds with which a training starts its emulators."""
    seeds: list[set[int]] = []
    reset = AtariVectorEnv.reset

    def recorded(envs: AtariVectorEnv, *, seed: int, **options: Any) -> Any:
        seeds.append({seed + i for i in range(envs.num_envs)})
        return reset(envs, seed=seed, **options)

    with monkeypatch.context() as patched:
        patched.setattr(AtariVectorEnv, "reset", recorded)
        learn(config, folder, ignore)
    return seeds[0]


def test_every_seed_and_every_resume_plays_different_games(tmp_path, monkeypatch):
    config = replace(TINY["a2c"], steps=24, evaluate_every=24)
    one, two = (seeds_of_games(tmp_path / str(seed), replace(config, seed=seed), monkeypatch) for seed in (1, 2))
    (tmp_path / "longer").mkdir()
    (tmp_path / "longer" / "checkpoint.pt").write_bytes((tmp_path / "1" / "checkpoint.pt").read_bytes())
    longer = replace(config, seed=1, steps=48)
    (tmp_path / "longer" / "config.json").write_text(json.dumps({"algorithm": "a2c", **asdict(longer)}))
    resumed = seeds_of_games(tmp_path / "longer", longer, monkeypatch)
    assert len(one) == 4 and not (one & two or one & resumed or two & resumed)


def test_learning_rate_is_never_negative():
    """The last rollout ends after the last step."""
    model = ALGORITHMS["a2c"].build(A2CConfig(**SHORT | {"steps": 100, "n_steps": 20}))
    model.learn(100)
    assert model.num_timesteps > 100 and model.policy.optimizer.param_groups[0]["lr"] == 0.0
    assert model.env is not None
    model.env.close()


def test_another_algorithm_does_not_resume_a_training(finished):
    which, folder = finished
    other = DoubleDQNConfig(game="ms_pacman", steps=192, learning_starts=80)
    with pytest.raises(RunMismatchError, match="algorithm"):
        train(other, folder, ignore)
    assert read_config(folder) == TINY[which]


@pytest.mark.parametrize("stored", ["{", "[]", '{"algorithm": "sarsa"}', '{"algorithm": "a2c", "kl": 1}', "{}"])
def test_unknown_settings_are_refused(tmp_path, stored):
    (tmp_path / "config.json").write_text(stored)
    with pytest.raises(RunError, match=r"config\.json"):
        train(TINY["a2c"], tmp_path, ignore)


def test_sampled_actions_follow_the_policy():
    shares = torch.tensor([0.1, 0.2, 0.7])
    act = sampled(lambda observations: shares.log().expand(len(observations), 3), "cpu", seed=0)
    drawn = np.concatenate([act(np.zeros((100, 1), np.uint8)) for _ in range(100)])
    assert np.allclose(np.bincount(drawn) / len(drawn), shares.numpy(), atol=0.015)


def test_learning_rate_decays_to_zero(finished):
    which, folder = finished
    stored = torch.load(folder / "checkpoint.pt", weights_only=True)["optimizer"]
    rate = stored["learning_rate"] if which == "acktr" else stored["param_groups"][0]["lr"]
    assert 0 <= rate < 0.3 * TINY[which].learning_rate


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (A2CConfig, {"envs": 0}),
        (A2CConfig, {"n_steps": 0}),
        (A2CConfig, {"entropy": -1.0}),
        (A2CConfig, {"value": 0.0}),
        (A2CConfig, {"max_grad_norm": 0.0}),
        (A2CConfig, {"learning_rate": float("inf")}),
        (ACKTRConfig, {"kl": 0.0}),
        (ACKTRConfig, {"damping": -1.0}),
        (ACKTRConfig, {"inverse_every": 0}),
    ],
)
def test_invalid_settings_are_refused(kind, change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(kind(), **change)


def test_the_command_trains(tmp_path, capsys):
    settings = [word for name, value in SHORT.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["train-agent", "a2c", *settings, "--output", str(tmp_path / "out")]) == 0
    assert f"agent: {tmp_path / 'out' / 'agent.safetensors'}" in capsys.readouterr().out
    assert main(["train-agent", "acktr", *settings, "--output", str(tmp_path / "out")]) == 2
    assert "other settings: algorithm" in capsys.readouterr().err
