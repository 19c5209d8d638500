"""Checks of an agent's outputs on real observations, without playing for a score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from weakspot.agents.base import Agent, AgentSpec, choose
from weakspot.agents.recurrent import Carried
from weakspot.checkup.finding import Finding
from weakspot.envs.base import Environment
from weakspot.saliency.scalar import explained_scalar
from weakspot.types import Observation, Scores

STATES, DECISIONS_PER_STATE = 64, 4
"""Number of observations that are checked, and decisions from one to the next."""
EPSILON = 0.3
"""Share of random actions while these observations are collected."""
CLOSE = 1e-3
"""Outputs count as equal if they differ by less than this share of their spread over states."""
MIN_SPREAD = 1e-4
"""Outputs count as constant if their spread over states is at most this share of their size."""


def observations(agent: Agent, environment: Environment, seed: int) -> Observation:
    """Real observations (n, c, h, w) of an epsilon-greedy agent on its device, one in :data:`DECISIONS_PER_STATE`."""
    generator = torch.Generator().manual_seed(seed)
    step, recorded, carried = environment.reset(seed), list[Tensor](), Carried(agent, 1)
    spec = environment.spec
    for decision in range(STATES * DECISIONS_PER_STATE):
        observation = torch.as_tensor(step.observation)[None].to(agent.device, torch.float32)
        if decision % DECISIONS_PER_STATE == 0:
            recorded.append(observation)
        with torch.no_grad():
            carried.see(step.entries[None])
            allowed = spec.allowed(step.entries[None])
            action: Any = choose(carried.act(observation), agent.spec, generator, EPSILON, allowed)
        step = environment.step(action[0].tolist())
        if step.terminated or step.truncated:
            step = environment.reset()
            carried.restart(np.arange(1))
    return torch.cat(recorded)


def check_outputs(agent: Agent, observed: Observation) -> Iterator[Finding]:
    """Whether the outputs are deterministic, do not depend on the batch, and differ between states."""
    with torch.no_grad():
        first, second = agent(observed).vector(), agent(observed).vector()
        single = torch.cat([agent(observation).vector() for observation in torch.split(observed, 1)])
    spread = first.std(dim=0).mean().clamp_min(1e-12)
    difference = float((first - second).abs().max() / spread)
    yield Finding(
        "is deterministic",
        difference < CLOSE,
        f"outputs for the same observations differ by {difference:.2g} of their spread over states",
        "turn off dropout and noise: call .eval(), and do not sample in forward",
    )
    difference = float((first - single).abs().max() / spread)
    yield Finding(
        "does not depend on the batch",
        difference < CLOSE,
        f"outputs for single observations and for a batch differ by {difference:.2g} of their spread over states",
        "batch normalisation is in training mode: call .eval() where the network is made",
    )
    relative_spread = float(spread / first.abs().mean().clamp_min(1e-12))
    scores = first[:, : len(agent.spec.action_names)]
    yield Finding(
        "distinguishes states",
        relative_spread > MIN_SPREAD,
        f"over {len(observed)} states the outputs spread by {relative_spread:.2g} of their size; "
        f"{_most_frequent_action(scores, agent.spec)}",
        "check the range of the observations, which is 0 to 255, and the weights",
    )


def check_frames(agent: Agent, observed: Observation, frames: int) -> Finding:
    """Whether the outputs depend on each of the ``frames`` frames of an observation, by the gradient."""
    variable = observed.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(explained_scalar(agent.spec)(agent(variable)).sum(), variable)
    strength = cast(Tensor, gradient.abs().unflatten(1, (frames, -1))).sum(dim=(0, 2, 3, 4))
    unused = [str(i + 1) for i in np.flatnonzero((strength == 0).cpu().numpy())]
    finite = bool(torch.isfinite(gradient).all())
    return Finding(
        "uses every frame",
        finite and not unused,
        f"the outputs depend on {len(strength) - len(unused)} of {len(strength)} frames"
        + ("" if finite else ", and the gradient is not finite"),
        f"nothing depends on frame {', '.join(unused)}: check that frames are stacked as in training"
        if unused
        else "check the weights and the range of the observations, which is 0 to 255",
    )


def _most_frequent_action(scores: Scores, spec: AgentSpec) -> str:
    """The most frequent best action, or the mean of each dimension of continuous actions, as text."""
    if spec.scores_are == "means":
        means: list[float] = cast(Any, scores.mean(dim=0)).tolist()
        pairs = zip(spec.action_names, means, strict=True)
        return "on average " + ", ".join(f"{name} {value:.2g}" for name, value in pairs)
    best = scores.argmax(dim=1)
    return f"{spec.action_names[int(best.mode().values)]} is the best action in {int(best.bincount().max())} of them"
