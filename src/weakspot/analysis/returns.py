"""Discounted returns of recorded states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.data.dataset import StateDataset
from weakspot.envs.family import family_of

COMPLETE = 0.95
"""Share of its weight that the part of a return before the end of the recording must have."""


@dataclass(frozen=True)
class Returns:
    """Returns of recorded states.

    Attributes:
        values: the return that followed each state (n,).
        complete: whether it is complete (n,).
    """

    values: np.ndarray
    complete: np.ndarray


def returns_as_trained(dataset: StateDataset, gamma: float) -> Returns:
    """The returns in the units in which agents of the environment are usually trained; see :func:`discounted_returns`."""
    return discounted_returns(dataset, gamma, atari=family_of(dataset.environment.id) == "atari")


def discounted_returns(dataset: StateDataset, gamma: float, *, atari: bool = False) -> Returns:
    """The return that followed each recorded state, and which returns are complete.

    A return ends with the episode, or, with ``atari``, with the life.  One that the end of the recording, or a time limit,
    cuts off is complete if the part before has :data:`COMPLETE` of the weight of an endless one.

    Args:
        dataset: the recorded states.
        gamma: discount of a decision, in (0, 1).
        atari: take the signs of rewards, and end returns when a life is lost, as agents of Atari games are usually trained.
    """
    rewards = (np.sign(dataset.reward) if atari else dataset.reward).astype(np.float64)
    rewards = rewards.reshape(dataset.streams, dataset.steps)
    ended = (dataset.terminated | dataset.life_lost if atari else dataset.terminated).reshape(rewards.shape)
    cut = dataset.truncated.reshape(rewards.shape) & ~ended
    returns, missing = np.zeros_like(rewards), np.zeros_like(rewards)
    following, weight = np.zeros(dataset.streams), np.ones(dataset.streams)
    for time in reversed(range(dataset.steps)):
        following = np.where(ended[:, time] | cut[:, time], 0.0, following)
        weight = np.where(ended[:, time], 0.0, np.where(cut[:, time], 1.0, weight))
        following, weight = rewards[:, time] + gamma * following, gamma * weight
        returns[:, time], missing[:, time] = following, weight
    return Returns(returns.reshape(-1), (missing <= 1.0 - COMPLETE).reshape(-1))


def horizon_returns(dataset: StateDataset, horizon: int, gamma: float, *, lives: bool) -> Returns:
    """The discounted return of the next h = ``horizon`` decisions of each recorded state, in the game's own points,

        G_i = sum_{t < h} gamma^t r_{i + t}.

    It ends with the episode, or with a life if ``lives``, and is incomplete if the recording ends first.
    """
    shape = dataset.streams, dataset.steps
    reward = dataset.reward.astype(np.float64).reshape(shape)
    ended = dataset.terminated | dataset.truncated
    ended = (ended | dataset.life_lost if lives else ended).reshape(shape)
    returns, alive = np.zeros(shape), np.ones(shape, bool)
    complete = np.zeros(shape, bool)
    for step in range(min(horizon, dataset.steps)):
        length = dataset.steps - step
        going = alive[:, :length]
        returns[:, :length] += np.where(going, gamma**step * reward[:, step:], 0.0)
        over = going & ended[:, step:]
        complete[:, :length] |= over
        alive[:, :length] &= ~ended[:, step:]
        alive[:, length:] = False
    if horizon <= dataset.steps:
        complete[:, : dataset.steps - horizon + 1] = True
    return Returns(returns.ravel(), complete.ravel())
