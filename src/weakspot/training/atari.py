"""Atari games: ALE's vector environment, with the ``VecEnv`` interface of stable-baselines3.

``ale_py.AtariVectorEnv`` does emulation, pixel maximum, resize and stacking in C++ threads, several times faster than
stacked Python wrappers, with the same preprocessing.  During training, an episode ends with each life (Mnih et al. 2015),
and the game continues with the next life: ``life_loss_info`` does that.  ``episodic_life`` restarts the game instead, so an
agent never sees a second life.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from weakspot.games import action_names, environment_id
from weakspot.training.arena import Arena

PREPROCESSING: dict[str, Any] = {
    "frameskip": 4,
    "pixel_maximum_over_frames": 2,
    "colour": "gray",
    "size": [84, 84],
    "resize": "area",
    "stack": 4,
    "stack_order": "oldest first, zeros at reset",
    "range": "0 to 255, divided by 255 in the network",
    "repeat_action_probability": 0.0,
    "actions": "minimal set",
    "noop_max": 30,
    "fire_on_reset": True,
}


def atari_arena(game: str) -> Arena:
    """The arena of a game, given the name of its ROM."""
    return Arena(
        name=game.replace("_", "-"),
        environment=environment_id(game),
        actions=action_names(game),
        observation_shape=(4, 84, 84),
        preprocessing=PREPROCESSING,
        packages=("ale-py",),
        make_training_env=lambda count, seed: AtariTrainingEnv(game, count, seed=seed),
        make_evaluation_env=lambda count: AtariVectorEnv(game, count, num_threads=1, reward_clipping=False),
    )


class AtariTrainingEnv(VecEnv):
    """``num_envs`` copies of a game for stable-baselines3: 84x84 gray stacks of 4, same-step reset, one episode per life.

    Args:
        game: name of the ROM, such as ``pong``.
        num_envs: number of environments.
        seed: seed of the first environment; the others count up from it.
    """

    def __init__(self, game: str, num_envs: int, *, seed: int) -> None:
        self.envs = AtariVectorEnv(
            game,
            num_envs,
            num_threads=1,
            autoreset_mode=AutoresetMode.SAME_STEP,
            life_loss_info=True,
            reward_clipping=True,
        )
        self._first_seed = seed
        self._actions = np.zeros(num_envs, dtype=np.int64)
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, dtype=np.int64)
        self._frames = np.zeros(num_envs, dtype=np.int64)
        observed, acted = cast(Any, self.envs).single_observation_space, cast(Any, self.envs).single_action_space
        super().__init__(num_envs, observed, acted)  # pyright: ignore[reportUnknownMemberType]  # untyped Space

    def reset(self) -> np.ndarray:
        observations, info = self.envs.reset(seed=self._first_seed)
        self._frames = info["episode_frame_number"]
        self._returns[:] = 0
        self._lengths[:] = 0
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = np.asarray(actions, dtype=np.int64)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, terminated, truncated, info = self.envs.step(self._actions)
        dones = terminated | truncated
        # whether a new game has begun; after the loss of a life, the same game continues
        begun, self._frames = info["episode_frame_number"] < self._frames, info["episode_frame_number"]
        self._returns += rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(dones):
            infos[i] = {
                "terminal_observation": info["final_obs"][i] if begun[i] else observations[i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": 0.0},
            }
            self._returns[i] = 0
            self._lengths[i] = 0
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [getattr(self.envs, attr_name, None) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        setattr(self.envs, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        return [getattr(self.envs, method_name)(*method_args, **method_kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        if seed is not None:
            self._first_seed = seed
        return [self._first_seed + i for i in range(self.num_envs)]
