"""Actions of stable-baselines3's own ``predict``, for comparison with the agents that weakspot loads from its zips.

stable-baselines3 unpickles objects in a zip, which runs any code in it.
"""

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


def framework_actions(path: Path, observations: np.ndarray) -> np.ndarray:
    """The deterministic actions of stable-baselines3's ``predict``: (n,) if they are discrete, (n, a) if continuous.

    Args:
        path: of the zip.  **Runs the code of objects pickled in it**, and in the statistics of ``VecNormalize`` next to it,
            if there are any.
        observations: uint8 (n, c, h, w).

    Raises:
        WeightsError: stable-baselines3 cannot load it.
        ModuleNotFoundError: the agent needs sb3-contrib, which is not installed.
    """
    parts = {name.split(".")[0] for name in read_archive(path).weights}
    # A2C also loads the policies of the other actor-critic algorithms
    kind: type[BaseAlgorithm] = A2C if "action_net" in parts else _quantiles() if "quantile_net" in parts else DQN
    try:  # a small buffer_size, since the replay buffer is not needed
        model = cast(Any, kind).load(path, device="cpu", custom_objects={"buffer_size": 1})
        if statistics := statistics_of(path):
            normalizer: VecNormalize = pickle.loads(statistics.read_bytes())
            observations = np.asarray(normalizer.normalize_obs(observations))
        actions, _ = model.predict(observations, deterministic=True)
    except Exception as error:  # code in the zip can raise anything
        raise WeightsError(
            f"stable-baselines3 cannot load {path}: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            expected="a zip written by model.save of stable-baselines3",
            todo="install the versions that saved it",
        ) from error
    return actions


def _quantiles() -> type[BaseAlgorithm]:
    from sb3_contrib import QRDQN

    return QRDQN
