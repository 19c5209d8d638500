"""Compares an agent with the same zip in stable-baselines3, whose loader runs the pickles in the zip."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from weakspot.agents.base import Agent, bound_tensors
from weakspot.checkup.finding import Finding
from weakspot.checkup.outputs import CLOSE
from weakspot.errors import WeightsError
from weakspot.types import Actions, Observation

NAME = "acts like stable-baselines3"


def check_framework(agent: Agent, archive: Path, observed: Observation) -> Finding:
    """Whether the agent takes the actions of stable-baselines3's deterministic ``predict``.

    Args:
        agent: loaded from ``archive`` by weakspot.
        archive: the zip; **runs the code that is pickled in it**.
        observed: whole numbers from 0 to 255 (n, c, h, w).
    """
    try:
        from weakspot.training.framework import framework_actions

        expected = torch.as_tensor(framework_actions(archive, observed.to("cpu", torch.uint8).numpy()))
    except ModuleNotFoundError as error:
        todo = "pip install 'weakspot[agents]', and sb3-contrib for its algorithms"
        return Finding(NAME, False, f"cannot be compared: {error}", todo)
    except WeightsError as error:
        return Finding(NAME, False, error.seen, error.todo)
    same = _same_actions(agent, observed, expected)
    seen = f"without exploration, the same action as its predict in {int(same.sum())} of {len(observed)} states"
    return Finding(NAME, bool(same.all()), seen, "report this with the zip: weakspot reads it differently")


def _same_actions(agent: Agent, observed: Observation, expected: Actions) -> Bool[Tensor, "b"]:
    """Whether ``expected`` are the agent's actions, up to rounding: for discrete actions, an equal score is enough."""
    with torch.no_grad():
        scores = agent(observed).scores.cpu()
    if agent.spec.action_bounds is None:
        best, least = scores.max(dim=1).values, scores.min(dim=1).values
        return scores.gather(1, expected[:, None])[:, 0] >= best - CLOSE * (best - least)
    low, high = bound_tensors(agent.spec.action_bounds, scores)
    return ((scores.clamp(low, high) - expected).abs() <= CLOSE * scores.std(dim=0)).all(dim=1)
