"""What all tabs of the explorer share: the run, its agent and state model, and what is computed with them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from weakspot.agents.base import AgentOutput
from weakspot.artifacts.arrays import Array
from weakspot.artifacts.run import Run
from weakspot.data.dataset import as_stacks, as_state
from weakspot.errors import ConfigError
from weakspot.explore.directions import Direction, action_directions, principal_directions
from weakspot.explore.states import Place, States
from weakspot.ground.play import Player, started_player
from weakspot.opened import open_run
from weakspot.saliency.images import saliency_images
from weakspot.saliency.rules import saliency
from weakspot.search.energy import TargetScale, measure_scale
from weakspot.session import sharpness_for
from weakspot.system.user_code import parse_reference
from weakspot.targets.base import Target
from weakspot.targets.names import default_target_names
from weakspot.targets.resolve import resolve_target
from weakspot.types import Latent


class Studio:
    """An opened run for people who explore it.  Not safe to use from several threads at once.

    Args:
        run: the results, with a state model.
        trust: allow code in the agent's file to run.

    Raises:
        AgentError: the agent cannot be loaded.
        RunError: a result is missing or damaged.
    """

    def __init__(self, run: Run, *, trust: bool) -> None:
        self.run, self.session, self._trust = run, open_run(run, trust=trust), trust
        self.agent, self.model = self.session.subject.agent, self.session.model
        self.perceive = self.session.perceive_for_targets
        self.states = States(run, self.session)

    @cached_property
    def principal(self) -> tuple[Direction, ...]:
        """See :func:`weakspot.explore.directions.principal_directions`."""
        return principal_directions(self.model, self.session.dataset, self.session.trained_on)

    def local(self, latent: Latent) -> tuple[Direction, ...]:
        """See :func:`weakspot.explore.directions.action_directions`."""
        return action_directions(self.model, self.perceive, latent)

    def latent_of(self, place: Place) -> Latent:
        """u of a state (1, z); real states are encoded."""
        if place.latent is not None:
            return torch.as_tensor(np.asarray(place.latent, np.float32))[None].to(self.model.device)
        with torch.no_grad():
            return self.model.encode(as_state(place.stack[None]).to(self.model.device))

    def decoded(self, latent: Latent) -> tuple[Array, AgentOutput]:
        """The state at u (k, h, w, c), and the agent's output there."""
        with torch.no_grad():
            state = self.model.generate(latent)
            return as_stacks(state, self.run.environment.channels)[0], self.perceive(state)

    def saliency_of(self, latent: Latent) -> Array:
        """The saliency map of the newest frame of the state at u (h, w), uint8."""
        with torch.no_grad():
            state = self.model.generate(latent)
        return saliency_images(saliency(self.perceive, state))[0]

    def target(self, name: str, sharpness: float) -> tuple[Target, TargetScale]:
        """A target and its scale over recorded states.

        Raises:
            UnknownTargetError: there is no such target.
            TargetError: it fails, or is the same in all states.
            ConfigError: it is in a Python file, and no code may run.
        """
        if parse_reference(name) and not self._trust:
            raise ConfigError(
                f"the target {name!r} is code in a file",
                expected="a symbol, an action, or an expression",
                todo="write it as an expression, or start the explorer with --trust",
            )
        values = next(iter(self.run.policy_values.values()), None)
        b = sharpness_for(self.session.dataset, sharpness)
        target = resolve_target(name, self.agent.spec, b, None if values is None else values.tau)
        return target, measure_scale(target, self.session.recorded_outputs(self.session.trained_on))

    def suggested_targets(self) -> tuple[str, ...]:
        """The targets of the run, the default ones, and the actions."""
        agent = self.run.agent
        defaults = default_target_names(agent.action_names, agent.scores_are, self.session.record.has_critic)
        actions = () if agent.continuous else agent.action_names
        return tuple(dict.fromkeys((*self.run.findings, *defaults, *actions)))

    def player(self) -> Player:
        """A copy of the environment for one game."""
        return started_player(self.session.subject.factory(), self.session.dataset)
