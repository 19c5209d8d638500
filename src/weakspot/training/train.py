"""``weakspot train-agent``: trains an agent in one environment, by one of :mod:`weakspot.training.algorithms`.

The run folder holds ``config.json``, ``metrics.jsonl`` (one line for each evaluation), ``checkpoint.pt`` (networks,
optimiser, counters and random states; tensors and plain data only, so that loading it runs no code), ``best.pt`` (the
policy with the best evaluation) and, at the end, ``agent.safetensors`` with its card.  After a kill, the same command
resumes from the last checkpoint (see :mod:`weakspot.training.callback`); the work after it is lost, and is not included in
the counts of decisions and hours.  Neither running games nor the replay buffer, which takes several GB, are stored: after a
resume new games are started, and the current policy refills the buffer before updates continue.  A resumed training
therefore does not reproduce an uninterrupted one bit for bit, and a double DQN that is resumed shortly before its end may
end without further updates.  The card records where a training was resumed, and how many updates it made.

A policy is evaluated and stored before the update that follows its last decision, so the stored policy lacks the last update
of a training.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from weakspot.errors import RunError, RunMismatchError
from weakspot.system.compute import check_device
from weakspot.system.files import make_folder, write_json
from weakspot.system.locks import exclusive_lock
from weakspot.system.metrics import drop_metrics_after
from weakspot.system.progress import progress_bar
from weakspot.training.algorithms import ALGORITHMS, algorithm_of
from weakspot.training.arenas import arena_of
from weakspot.training.callback import EvaluationCallback, divergence_error, fits_float16
from weakspot.training.checkpoint import (
    BEST,
    LAST,
    METRICS,
    OF_A_POLICY,
    read_checkpoint,
    restore,
    store_if_best,
)
from weakspot.training.config import TrainingConfig
from weakspot.training.finish import finish, stored_settings
from weakspot.training.start import FILE as START
from weakspot.training.start import read_start, store_start

FILES = ("config.json", METRICS, LAST, BEST, START, "agent.safetensors")
"""Files in the folder of a training."""
RESUMED, RESUMED_SEEDS = 1_000_000_000, 400_000_000
"""The first seed of games after a resume, and the number of such seeds."""


def train(config: TrainingConfig, folder: Path, say: Callable[[str], None] = print) -> Path:
    """Trains in ``folder``, or resumes training there, and exports the agent; does nothing if the agent file exists.

    Args:
        config: the settings.
        folder: the run folder, created if missing.
        say: called with lines of text about evaluations and results.

    Returns:
        The agent file, ``folder / "agent.safetensors"``.

    Raises:
        RunMismatchError: the folder holds a training with other settings.
        RunError: its settings or its checkpoint are damaged, or another process trains there.
        TrainingError: the weights are no longer finite.
        ConfigError: this machine does not have the device.
        WeightsError: the weights to start from cannot be read, or are of another network.
        MismatchError: they are of an agent of another environment.
        StorageError: the folder cannot be written to.
    """
    agent = make_folder(folder) / "agent.safetensors"
    with exclusive_lock(folder):
        _check(config, folder)
        if agent.exists():
            say(f"{agent} exists already")
            return agent
        _learn(config, folder, say)
        return finish(folder, say)


def learn(config: TrainingConfig, folder: Path, say: Callable[[str], None] = print) -> BaseAlgorithm:
    """Trains without the export, and returns the trained algorithm.  Raises the errors of :func:`train`.

    stable-baselines3 seeds the global random generators of Python, numpy and torch; their states are restored afterwards.
    """
    with exclusive_lock(make_folder(folder)):
        _check(config, folder)
        return _learn(config, folder, say)


def _learn(config: TrainingConfig, folder: Path, say: Callable[[str], None]) -> BaseAlgorithm:
    check_device(config.device)
    algorithm = ALGORITHMS[algorithm_of(config)]
    last = folder / LAST
    checkpoint = read_checkpoint(last, config.device) if last.exists() else None
    done = checkpoint["steps"] if checkpoint else 0
    resumed_at = [*checkpoint["resumed_at"], done] if checkpoint else []
    with _global_random_state_restored():
        model = algorithm.build(config)
        env = model.env
        assert env is not None
        env.seed(first_game_seed(config.seed, done))
        _remove_after(folder, done)
        if checkpoint:
            restore(model, algorithm, checkpoint)
            store_if_best(folder, checkpoint)  # a kill may have come between the two writes
            say(f"resuming after {done:,} decisions")
        elif config.start:
            weights, start = read_start(Path(config.start), arena_of(config.game, config.pedestrians).environment)
            algorithm.start_from(model, weights, config.start)
            store_start(folder, start)
        else:
            (folder / START).unlink(missing_ok=True)  # of an earlier training whose checkpoint was deleted
        write_json(folder / "config.json", _settings(config))  # after everything that can fail before the training
        try:
            if done < config.steps:
                with progress_bar("train") as progress:
                    seconds = checkpoint["cpu_seconds"] if checkpoint else 0.0
                    callback = EvaluationCallback(config, folder, seconds, resumed_at, say, progress)
                    with _divergence_errors(model):
                        cast(Any, model).learn(config.steps - done, callback=callback, reset_num_timesteps=False)
                    if callback.evaluated_at != model.num_timesteps:
                        callback.evaluate_and_store()
        finally:
            env.close()
    return model


def first_game_seed(seed: int, done: int) -> int:
    """The seed of the first game of a training, different for each seed and after each resume."""
    if not done:
        return 1_000_000 * seed
    return RESUMED + int(np.random.SeedSequence((seed, done)).generate_state(1)[0]) % RESUMED_SEEDS


@contextmanager
def _divergence_errors(model: BaseAlgorithm) -> Generator[None]:
    """Turns the errors that libraries raise for NaN into a TrainingError if the weights are not finite."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if fits_float16(model.policy):
            raise
        raise divergence_error(model.num_timesteps) from error


def _remove_after(folder: Path, steps: int) -> None:
    """Removes what a killed training wrote after its checkpoint of ``steps``, and incomplete files."""
    for name in FILES:
        for incomplete in folder.glob(f".{name}.*.tmp"):
            incomplete.unlink()
    drop_metrics_after(folder / METRICS, steps)
    best = folder / BEST
    if best.exists() and read_checkpoint(best, keys=OF_A_POLICY)["steps"] > steps:
        best.unlink()


def _settings(config: TrainingConfig) -> dict[str, Any]:
    return {"algorithm": algorithm_of(config), **dataclasses.asdict(config)}


def _check(config: TrainingConfig, folder: Path) -> None:
    """Raises an error if the folder holds a training with other settings, or an incomplete one."""
    settings, path = _settings(config), folder / "config.json"
    if not path.exists():
        if present := [name for name in (LAST, "agent.safetensors") if (folder / name).exists()]:
            raise RunError(
                f"{folder} holds the {' and the '.join(present)} of a training, but not its config.json",
                expected="the complete folder of a training, or a new one",
                todo="choose another --output, or move them away to restart",
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
def _global_random_state_restored() -> Generator[None]:
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)
