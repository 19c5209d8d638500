"""``weakspot train-agent double-dqn``: trains the agent of :mod:`weakspot.training.double_dqn` on one Atari game.

The run folder holds ``config.json``, ``metrics.jsonl`` (one line an evaluation), ``checkpoint.pt`` (networks,
optimiser, counters and random states; tensors and numbers only, so that loading it runs no code), ``best.pt`` (the
policy with the best evaluation) and, in the end, ``agent.safetensors`` with its card.  The same command goes on after
a kill.  The replay buffer, several GB, is not stored: after a resume it is refilled by the current policy before
updates go on, so a resumed training is as good as an uninterrupted one but not the same bits.
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from weakspot.agents.weights import fill, read_weights
from weakspot.errors import ConfigError, RunMismatchError
from weakspot.files import make_folder, storage_errors, write_atomic, write_json
from weakspot.precision import resolve
from weakspot.training.config import DoubleDQNConfig
from weakspot.training.double_dqn import HIDDEN, ConvFeatures, DoubleDQN, DuelingCnnPolicy
from weakspot.training.evaluate import evaluate, greedy
from weakspot.training.finish import finish, read_checkpoint
from weakspot.training.vec_env import AtariTrainingEnv


def build(config: DoubleDQNConfig, first_env_seed: int) -> DoubleDQN:
    """The algorithm of ``config`` on fresh environments, untrained."""
    env = AtariTrainingEnv(config.game, config.envs, seed=first_env_seed)
    return DoubleDQN(
        DuelingCnnPolicy,
        env,
        learning_rate=lambda remaining: learning_rate(config, remaining),
        buffer_size=config.buffer_size,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        gamma=config.gamma,
        train_freq=1,
        gradient_steps=config.updates,
        n_steps=config.n_steps,
        target_update_interval=config.target_interval,
        exploration_fraction=config.exploration_steps / config.steps,
        exploration_final_eps=config.exploration_final,
        policy_kwargs={
            "net_arch": [HIDDEN[config.network]],
            "features_extractor_class": ConvFeatures,
            "features_extractor_kwargs": {"network": config.network},
            "normalize_images": False,  # the network divides by 255 itself
            "optimizer_kwargs": {"fused": True},
            "dtype": resolve(config.precision, config.device),
        },
        seed=config.seed,
        device=config.device,
        decay=config.average,
        epsilons=np.geomspace(config.exploration_final, config.exploration_most, config.envs),
    )


def learning_rate(config: DoubleDQNConfig, remaining: float) -> float:
    """The learning rate when a share ``remaining`` of the training is still to come."""
    return config.final_learning_rate + remaining * (config.learning_rate - config.final_learning_rate)


def start_from(model: DoubleDQN, path: Path) -> None:
    """Puts the weights of an agent file into the online network, the target network and the average.

    Raises:
        WeightsError: it cannot be read, or is of another network.
    """
    weights, _ = read_weights(path)
    for network in (model.q_net, model.q_net_target, model.average):
        named = {
            f"features_extractor.{name}" if name.startswith("convolutions.") else name: tensor.float()
            for name, tensor in weights.items()
        }
        fill(network, named, str(path))


class _Keeper(BaseCallback):
    """Evaluates and stores a checkpoint every ``evaluate_every`` decisions."""

    def __init__(self, config: DoubleDQNConfig, folder: Path, seconds_before: float, say: Callable[[str], None]) -> None:
        super().__init__()
        self.config, self.folder, self.say = config, folder, say
        self.started = time.process_time() - seconds_before
        self.next_evaluation: int | None = None
        self.kept_at = -1
        best = folder / "best.pt"
        self.best = float(read_checkpoint(best)["score"]) if best.exists() else -np.inf

    def _on_step(self) -> bool:
        if self.next_evaluation is None:
            self.next_evaluation = self.num_timesteps + self.config.evaluate_every
        if self.num_timesteps >= self.next_evaluation:
            self.next_evaluation += self.config.evaluate_every
            self.keep()
        return True

    def keep(self) -> None:
        """Evaluates, then stores the policy if it is the best so far, the checkpoint and the line of metrics."""
        model = self.model
        assert isinstance(model, DoubleDQN)
        scores = evaluate(
            greedy(model.average),
            self.config.game,
            self.config.evaluation_episodes,
            seed=10_000 + self.config.seed,
            epsilon=0.01,
            most_decisions=self.config.episode_decisions,
        )
        cpu_seconds = time.process_time() - self.started
        line = {
            "step": model.num_timesteps,
            "updates": model._n_updates,
            "score": float(np.mean(scores)),
            "scores": scores,
            "epsilon": model.exploration_rate,
            "cpu_seconds": cpu_seconds,
        }
        if line["score"] > self.best:
            self.best = line["score"]
            best = {"average": model.average.state_dict(), "steps": model.num_timesteps, "score": self.best}
            write_atomic(self.folder / "best.pt", lambda path: torch.save(best, path))
        write_atomic(self.folder / "checkpoint.pt", lambda path: torch.save(_checkpoint(model, cpu_seconds), path))
        metrics = self.folder / "metrics.jsonl"
        with storage_errors(metrics), open(metrics, "a") as file:
            file.write(json.dumps(line) + "\n")
        self.kept_at = model.num_timesteps
        left = cpu_seconds / max(model.num_timesteps, 1) * (self.config.steps - model.num_timesteps)
        self.say(
            f"{model.num_timesteps:>9,} of {self.config.steps:,} decisions   score {line['score']:7.1f}   "
            f"epsilon {model.exploration_rate:.2f}   about {left / 60:.0f} min left"
        )


def _checkpoint(model: DoubleDQN, cpu_seconds: float) -> dict[str, Any]:
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple)
    return {
        "policy": model.policy.state_dict(),
        "average": model.average.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "calls": model._n_calls,
        "cpu_seconds": cpu_seconds,
        "torch_rng": torch.get_rng_state(),
        "numpy_rng": [torch.from_numpy(state[1].astype(np.int64)), int(state[2]), int(state[3]), float(state[4])],
    }


def _restore(model: DoubleDQN, checkpoint: dict[str, Any]) -> None:
    model.policy.load_state_dict(checkpoint["policy"])
    model.average.load_state_dict(checkpoint["average"])
    model.policy.optimizer.load_state_dict(checkpoint["optimizer"])
    model.num_timesteps = checkpoint["steps"]
    model._n_updates = checkpoint["updates"]
    model._n_calls = checkpoint["calls"]
    torch.set_rng_state(checkpoint["torch_rng"])
    keys, position, has_gauss, cached = checkpoint["numpy_rng"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))


def train(
    config: DoubleDQNConfig,
    folder: Path,
    say: Callable[[str], None] = print,
    *,
    command: str | None = None,
) -> Path:
    """Trains, or goes on training, in ``folder``, and exports the agent; does nothing where that is done already.

    Args:
        config: the settings.
        folder: the run folder, made if it is not there.
        say: told the progress, a line at a time.
        command: how the training was started, for the agent's card; None writes the command with all settings.

    Returns:
        The agent file, ``folder / "agent.safetensors"``.

    Raises:
        RunMismatchError: the folder holds a training with other settings.
        RunError: its checkpoint is damaged.
        StorageError: the folder cannot be written to.
    """
    _claim(config, folder)
    agent = folder / "agent.safetensors"
    if agent.exists():
        say(f"{agent} stands already")
        return agent
    learn(config, folder, say)
    return finish(folder, command=command, say=say)


def learn(config: DoubleDQNConfig, folder: Path, say: Callable[[str], None] = print) -> DoubleDQN:
    """The training itself, without the export; returns the trained algorithm.  Raises what :func:`train` raises.

    stable-baselines3 seeds the global random generators of Python, numpy and torch; they are as before afterwards.
    """
    _claim(config, folder)
    checkpoint_path = folder / "checkpoint.pt"
    checkpoint = read_checkpoint(checkpoint_path, config.device) if checkpoint_path.exists() else None
    done = checkpoint["steps"] if checkpoint else 0
    with _global_random_state_kept():
        model = build(config, first_env_seed=1_000 * config.seed + done)
        if config.start and not checkpoint:
            start_from(model, Path(config.start))
        if checkpoint:
            _restore(model, checkpoint)
            say(f"going on from {done:,} decisions")
        try:
            if done < config.steps:
                keeper = _Keeper(config, folder, checkpoint["cpu_seconds"] if checkpoint else 0.0, say)
                model.learn(config.steps - done, callback=keeper, reset_num_timesteps=False)
                if keeper.kept_at != model.num_timesteps:
                    keeper.keep()
        finally:
            if model.env is not None:
                model.env.close()
    return model


def _claim(config: DoubleDQNConfig, folder: Path) -> None:
    """Writes the settings into the folder, or checks that those in it are the same."""
    make_folder(folder)
    settings, path = dataclasses.asdict(config), folder / "config.json"
    if not path.exists():
        write_json(path, settings)
        return
    try:
        stored = json.loads(path.read_text())
    except ValueError as error:
        raise RunMismatchError(f"{path} is damaged: {error}", todo="choose another folder") from error
    with suppress(TypeError, ConfigError):  # settings that are newer than the folder have their defaults
        stored = dataclasses.asdict(DoubleDQNConfig(**stored))
    if stored != settings:
        different = sorted(k for k in settings.keys() | stored.keys() if settings.get(k) != stored.get(k))
        raise RunMismatchError(
            f"{folder} holds a training with other settings: {', '.join(different)}",
            expected="the settings it was started with, or a folder of its own for each training",
            todo="choose another --output, or give the settings in its config.json",
        )


@contextmanager
def _global_random_state_kept() -> Iterator[None]:
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)
