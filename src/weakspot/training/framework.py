"""What stable-baselines3 itself answers with an agent of its own, to hold ours against.  Reading a zip its way runs what it
holds."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
from stable_baselines3 import A2C, DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from weakspot.agents.formats.sb3 import read_archive, statistics_of
from weakspot.errors import WeightsError


def predicted(path: Path, observations: np.ndarray) -> np.ndarray:
    """The actions that the framework's own ``predict`` takes, without chance: (n,), or (n, a) where they are continuous.

    Args:
        path: of the zip; **what is pickled in it is run**, and in the statistics of ``VecNormalize`` beside it, if it has
            some.
        observations: bytes (n, c, h, w).

    Raises:
        WeightsError: the framework cannot load it.
        ModuleNotFoundError: it is an agent of sb3-contrib, which is not installed.
    """
    tops = {name.split(".")[0] for name in read_archive(path).weights}
    # of the actor-critics, any loads the others' policies
    kind: type[BaseAlgorithm] = A2C if "action_net" in tops else _quantiles() if "quantile_net" in tops else DQN
    try:  # nothing is to be replayed
        model = cast(Any, kind).load(path, device="cpu", custom_objects={"buffer_size": 1})
        if statistics := statistics_of(path):
            normalizes: VecNormalize = pickle.loads(statistics.read_bytes())
            observations = np.asarray(normalizes.normalize_obs(observations))
        actions, _ = model.predict(observations, deterministic=True)
    except Exception as error:  # the zip's own code can fail in any way
        raise WeightsError(
            f"stable-baselines3 cannot load {path}: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            expected="a zip that its model.save wrote",
            todo="load it with the versions it was saved by",
        ) from error
    return actions


def _quantiles() -> type[BaseAlgorithm]:
    from sb3_contrib import QRDQN

    return QRDQN
