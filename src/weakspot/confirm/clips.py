"""Clips: rollouts that are played once more for their frames, which also shows that they can be repeated bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from weakspot.actions import Action, plain_action
from weakspot.artifacts.weaknesses import Clip
from weakspot.confirm.overrides import Override
from weakspot.confirm.rollouts import Rollout
from weakspot.envs.base import Environment, Reseedable
from weakspot.errors import SnapshotError

LONGEST = 60
"""Frames of a clip that are stored."""
AFTER = 8
"""Decisions after a loss that a clip still shows."""


@dataclass
class ClipRecorder:
    """Records clips one after the other.

    Attributes:
        environment: that plays them.
        frames: of all clips so far (h, w, c).
    """

    environment: Environment
    frames: list[np.ndarray] = field(default_factory=list[np.ndarray])

    def record(self, state: int, snapshot: bytes, rollout: Rollout, override: Override | None, length: int) -> Clip:
        """Plays a rollout once more.

        Args:
            state: index of its start among the states of the weakness.
            snapshot: where it starts.
            rollout: to be played.
            override: what was done in place of the agent's own actions; None where it acts as it does.
            length: decisions, at most, that are recorded.

        Raises:
            SnapshotError: the rewards are others than in the rollout.
        """
        count = min(length, len(rollout.actions))
        frames, rewards = play_clip(self.environment, snapshot, rollout.seed, rollout.actions[:count])
        if not np.array_equal(rewards, rollout.rewards[:count].astype(np.float32)):
            raise SnapshotError(
                "the same actions from the same state bring other rewards than before",
                expected="the same rewards: an environment that can be repeated bit for bit",
                todo="look for random numbers in it that its snapshots do not contain",
            )
        every = -(-len(frames) // LONGEST)
        first, shown = len(self.frames), frames[::every]
        self.frames += shown
        return Clip(
            state=state,
            seed=rollout.seed,
            actions=tuple(plain_action(action) for action in rollout.actions[:count]),
            override=min(override.decisions, count) if override else 0,
            loss=rollout.loss if rollout.loss is not None and rollout.loss <= count else None,
            first=first,
            frames=len(shown),
            every=every,
            digest=digest_of(frames),
            label=override.label if override else "",
        )


def play_clip(
    environment: Environment, snapshot: bytes, seed: int, actions: Sequence[Action]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Takes actions from a snapshot.

    Returns:
        frames: the one at the start, and one after each action (h, w, c).
        rewards: of the actions (t,) float32.
    """
    step = environment.restore(snapshot)
    if isinstance(environment, Reseedable):
        environment.reseed(seed)
    frames, rewards = [step.frame], list[float]()
    for action in actions:
        step = environment.step(action)
        frames.append(step.frame)
        rewards.append(step.reward)
    return frames, np.array(rewards, np.float32)


def digest_of(frames: Sequence[np.ndarray]) -> str:
    """SHA-256 of frames."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)).hexdigest()
