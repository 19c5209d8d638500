"""``weakspot train-agent``: trains an agent in one environment, by one of :mod:`weakspot.training.algorithms`.

The run folder holds ``config.json``, ``metrics.jsonl`` (one line an evaluation), ``checkpoint.pt`` (networks,
optimiser, counters and random states; tensors and numbers only, so that loading it runs no code), ``best.pt`` (the
policy with the best evaluation) and, in the end, ``agent.safetensors`` with its card.  The same command goes on after
a kill.  Neither the games that are being played nor a replay buffer, several GB, are stored: after a resume new games are
started, the decisions since the last update of an actor-critic are lost, and the buffer is refilled by the current policy
before updates go on.  A resumed training is not the same bits, and a double DQN that is resumed shortly before its end, when
little is left to be learnt, ends without more updates.
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from weakspot.device import usable
from weakspot.errors import RunError, RunMismatchError
from weakspot.files import forget_after, locked, make_folder, storage_errors, write_atomic, write_json
from weakspot.progress import Tell, shown
from weakspot.training.algorithms import ALGORITHMS, Algorithm, algorithm_of
from weakspot.training.arenas import arena_of
from weakspot.training.config import TrainingConfig
from weakspot.training.evaluate import evaluate, player
from weakspot.training.finish import finish, read_checkpoint, stored_settings
from weakspot.training.start import keep_start, read_start


class _Keeper(BaseCallback):
    """Evaluates and stores a checkpoint every ``evaluate_every`` decisions."""

    def __init__(
        self, config: TrainingConfig, folder: Path, seconds_before: float, say: Callable[[str], None], tell: Tell
    ) -> None:
        super().__init__()
        self.config, self.folder, self.say, self.tell = config, folder, say, tell
        self.algorithm, self.arena = ALGORITHMS[algorithm_of(config)], arena_of(config.game)
        self.started = time.process_time() - seconds_before
        self.next_evaluation: int | None = None
        self.kept_at = -1

    def _on_step(self) -> bool:
        if self.next_evaluation is None:
            self.next_evaluation = self._following()
        if self.num_timesteps >= self.next_evaluation:
            self.next_evaluation = self._following()
            self.keep()
        self.tell(self.num_timesteps / self.config.steps, f"{self.num_timesteps:,} of {self.config.steps:,} decisions")
        return True

    def _following(self) -> int:
        return (self.num_timesteps // self.config.evaluate_every + 1) * self.config.evaluate_every

    def keep(self) -> None:
        """Evaluates, then stores the line of metrics, the checkpoint, and the policy if it is the best so far."""
        model, algorithm = self.model, self.algorithm
        network, seed = algorithm.kept(model), 10_000 + self.config.seed
        scores = evaluate(
            player(algorithm.kind, lambda observations: algorithm.answers(network, observations), model.device, seed),
            self.arena,
            self.config.evaluation_episodes,
            seed=seed,
            epsilon=algorithm.epsilon[0],
            most_decisions=self.config.episode_decisions,
        )
        cpu_seconds = time.process_time() - self.started
        line = {
            "step": model.num_timesteps,
            "updates": model._n_updates,
            "score": float(np.mean(scores)),
            "scores": scores,
            "cpu_seconds": cpu_seconds,
        }
        metrics = self.folder / "metrics.jsonl"
        with storage_errors(metrics), open(metrics, "a") as file:
            file.write(json.dumps(line) + "\n")
        checkpoint = _checkpoint(model, algorithm, cpu_seconds, line["score"])
        write_atomic(self.folder / "checkpoint.pt", lambda path: torch.save(checkpoint, path))
        _keep_if_best(self.folder, checkpoint)
        self.kept_at = model.num_timesteps
        self.say(f"{model.num_timesteps:>9,} of {self.config.steps:,} decisions   score {line['score']:7.1f}")


def _keep_if_best(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Stores the policy of a checkpoint beside it if none before had a better evaluation."""
    path = folder / "best.pt"
    if not path.exists() or read_checkpoint(path)["score"] < checkpoint["score"]:
        best = {name: checkpoint[name] for name in ("kept", "steps", "score")}
        write_atomic(path, lambda temporary: torch.save(best, temporary))


def _checkpoint(model: BaseAlgorithm, algorithm: Algorithm, cpu_seconds: float, score: float) -> dict[str, Any]:
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple)
    return {
        "policy": model.policy.state_dict(),
        "kept": algorithm.kept(model).state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "steps": model.num_timesteps,
        "score": score,
        "counters": {name: getattr(model, name) for name in algorithm.counters},
        "cpu_seconds": cpu_seconds,
        "torch_rng": torch.get_rng_state(),
        "numpy_rng": [torch.from_numpy(state[1].astype(np.int64)), int(state[2]), int(state[3]), float(state[4])],
    }


def _restore(model: BaseAlgorithm, algorithm: Algorithm, checkpoint: dict[str, Any]) -> None:
    model.policy.load_state_dict(checkpoint["policy"])
    algorithm.kept(model).load_state_dict(checkpoint["kept"])
    model.policy.optimizer.load_state_dict(checkpoint["optimizer"])
    for name in algorithm.counters:
        setattr(model, name, checkpoint["counters"][name])
    torch.set_rng_state(checkpoint["torch_rng"].cpu())
    keys, position, has_gauss, cached = checkpoint["numpy_rng"]
    np.random.set_state(("MT19937", keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))


def _forget_after(folder: Path, steps: int) -> None:
    """Takes out what a kill left behind the last checkpoint, and files that were not written to their end; the decisions
    since then are made again."""
    for left_over in folder.glob(".*.tmp"):
        left_over.unlink()
    forget_after(folder / "metrics.jsonl", steps)
    best = folder / "best.pt"
    if best.exists() and read_checkpoint(best)["steps"] > steps:
        best.unlink()


def train(config: TrainingConfig, folder: Path, say: Callable[[str], None] = print) -> Path:
    """Trains, or goes on training, in ``folder``, and exports the agent; does nothing where that is done already.

    Args:
        config: the settings.
        folder: the run folder, made if it is not there.
        say: told what is found, a line at a time; the progress is shown beside it.

    Returns:
        The agent file, ``folder / "agent.safetensors"``.

    Raises:
        RunMismatchError: the folder holds a training with other settings.
        RunError: its settings or its checkpoint are damaged, or another process trains there.
        ConfigError: this machine has no such device.
        WeightsError: the weights to start from cannot be read, or are of another network.
        MismatchError: they are of an agent of another environment.
        StorageError: the folder cannot be written to.
    """
    _check(config, folder)
    agent = folder / "agent.safetensors"
    with locked(folder):
        if agent.exists():
            say(f"{agent} stands already")
            return agent
        learn(config, folder, say)
        return finish(folder, say=say)


def learn(config: TrainingConfig, folder: Path, say: Callable[[str], None] = print) -> BaseAlgorithm:
    """The training itself, without the export; returns the trained algorithm.  Raises what :func:`train` raises.

    stable-baselines3 seeds the global random generators of Python, numpy and torch; they are as before afterwards.
    """
    _check(config, folder)
    usable(config.device)
    algorithm = ALGORITHMS[algorithm_of(config)]
    checkpoint_path = folder / "checkpoint.pt"
    checkpoint = read_checkpoint(checkpoint_path, config.device) if checkpoint_path.exists() else None
    done = checkpoint["steps"] if checkpoint else 0
    with _global_random_state_kept():
        model = algorithm.build(config)
        assert model.env is not None
        model.env.seed(1_000_000 * config.seed + done)  # of the games: others for each seed, and after each resume
        _forget_after(folder, done)
        if checkpoint:
            _restore(model, algorithm, checkpoint)
            _keep_if_best(folder, checkpoint)  # a kill may have come between the two
            say(f"going on from {done:,} decisions")
        elif config.start:
            weights, start = read_start(Path(config.start), arena_of(config.game).environment)
            algorithm.start_from(model, weights, config.start)
            keep_start(folder, start)
        write_json(folder / "config.json", _settings(config))  # only now that it can begin
        try:
            if done < config.steps:
                with shown("train") as tell:
                    keeper = _Keeper(config, folder, checkpoint["cpu_seconds"] if checkpoint else 0.0, say, tell)
                    model.learn(config.steps - done, callback=keeper, reset_num_timesteps=False)
                    if keeper.kept_at != model.num_timesteps:
                        keeper.keep()
        finally:
            if model.env is not None:
                model.env.close()
    return model


def _settings(config: TrainingConfig) -> dict[str, Any]:
    return {"algorithm": algorithm_of(config), **dataclasses.asdict(config)}


def _check(config: TrainingConfig, folder: Path) -> None:
    """Makes the folder, or checks that the settings in it are the same."""
    make_folder(folder)
    settings, path = _settings(config), folder / "config.json"
    if not path.exists():
        if (folder / "checkpoint.pt").exists():
            raise RunError(
                f"{folder} holds a checkpoint of a training, but not its config.json",
                expected="both, or neither",
                todo="choose another --output, or delete checkpoint.pt to start anew",
            )
        return
    stored = stored_settings(path)
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
