"""An opened run: agent, data set, state model and targets, each loaded on first access.

Stages read the results of earlier stages through a session. Torch is imported only when something is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from weakspot.artifacts.subject import SubjectRecord, read_subject
from weakspot.config import RunConfig
from weakspot.errors import ConfigError
from weakspot.system.progress import say
from weakspot.system.user_code import parse_reference
from weakspot.targets.names import OVERCONFIDENCE, canonical_name, default_target_names, needs_surplus, slug_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from weakspot.agents.base import AgentOutput, Perceiver
    from weakspot.artifacts.surplus import SurplusArrays
    from weakspot.data.dataset import StateDataset
    from weakspot.envs.pool import EnvironmentPool
    from weakspot.ground.likeness import Likeness
    from weakspot.ground.play import Player
    from weakspot.ground.twins import Grounds
    from weakspot.search.distribution import SearchDistribution
    from weakspot.state_model.model import StateModel
    from weakspot.subject import Subject
    from weakspot.system.ranks import Ranks
    from weakspot.targets.base import Target

    Indices = npt.NDArray[np.int64]


POOL = 32
"""Copies of the environment that are played at the same time from recorded states."""
SURPLUS = f"overconfidence/{OVERCONFIDENCE}"
"""Name of the result of the overconfidence stage."""


class Session:
    """An open run.

    Args:
        config: of the run.
        results: folders of the finished results, by stage and part, such as ``synthesize/t-minus``. They are looked up on
            access, so the pipeline can add results while the session is open.
        ranks: processes of ``torchrun`` that train together; None for one process.
    """

    def __init__(self, config: RunConfig, results: Mapping[str, Path], ranks: Ranks | None = None) -> None:
        self.config, self.results, self.ranks = config, results, ranks

    @cached_property
    def subject(self) -> Subject:
        """The agent and its environment, loaded and checked against each other.

        Raises:
            AgentError: the agent cannot be used.
            ConfigError: there is no such environment or device.
        """
        from weakspot.subject import load_subject

        return load_subject(self.config)

    @cached_property
    def pace(self) -> float:
        """Decisions a second of the agent in its environment, measured in a second or so; see
        :func:`weakspot.data.pace.measure_pace`."""
        from weakspot.data.pace import measure_pace

        return measure_pace(self.subject.agent, self.subject.factory, self.config.collect.streams)

    @cached_property
    def record(self) -> SubjectRecord:
        """What the subject stage recorded of agent and environment."""
        return read_subject(self.results["subject"])

    @cached_property
    def targets(self) -> Mapping[str, str]:
        """Slug of each target to its name, in the order given.

        Raises:
            UnknownTargetError: the agent has no such target.
            ConfigError: two targets have the same slug.
        """
        agent = self.record.agent
        names = self.config.targets or default_target_names(agent.action_names, agent.scores_are, self.record.has_critic)
        by_slug: dict[str, str] = {}
        for name in names:
            slug = slug_of(name, agent.action_names, agent.continuous)
            if slug in by_slug:
                raise ConfigError(
                    f"targets {by_slug[slug]!r} and {name!r} would share the folder {slug}",
                    expected="each target once",
                    todo="leave one out, or rename the function or its file",
                )
            by_slug[slug] = name
        return by_slug

    @property
    def target_names(self) -> Mapping[str, str]:
        """Slug of each target to a name that identifies it in keys, however the user writes it: a symbol, the name of an
        action, or the function's name, whose file's content is a part of keys as well."""
        agent = self.record.agent
        return {
            slug: reference[1]
            if (reference := parse_reference(name))
            else canonical_name(name, agent.action_names, agent.continuous)
            for slug, name in self.targets.items()
        }

    def check(self) -> None:
        """Checks the settings against agent and environment, and tries every target once, before any long computation.

        Raises:
            ConfigError: there is no such recipe or target, or the recipe cannot take the frames.
            TargetError: a target fails, does not return one finite number per state, or cannot be differentiated.
        """
        from weakspot.state_model.recipes import check_size, configured_recipe
        from weakspot.subject import large_frames, noise_state
        from weakspot.targets.check import check_target
        from weakspot.targets.resolve import resolve_target

        subject = self.subject
        train = self.config.train
        check_size(train.recipe, subject.spec.height, subject.spec.width)
        if warning := large_frames(subject.spec):
            say(warning)
        configured_recipe(train.recipe, train.recipe_settings)  # raises if a setting does not fit
        output = subject.perceive(noise_state(subject.spec, subject.agent.device))
        for name in self.targets.values():
            check_target(resolve_target(name, subject.agent.spec, 1.0, 1.0), output)

    def check_target_scales(self) -> None:
        """Measures the scale of every target over the recorded states, before the state model is trained.

        Raises:
            TargetError: a target has the same value in all states.
        """
        from weakspot.search.energy import measure_scale

        trained = self.trained_on
        if len(trained):
            outputs = self.recorded_outputs(trained)
            agent = self.record.agent
            for slug, name in self.targets.items():
                if outputs.surplus is not None or not needs_surplus(name, agent.action_names, agent.continuous):
                    measure_scale(self._target(slug, self._tau(slug) or 1.0), outputs)

    @cached_property
    def dataset(self) -> StateDataset:
        """The states of the collect stage."""
        from weakspot.data.dataset import StateDataset

        return StateDataset.open(self.results["collect"])

    @cached_property
    def maps(self) -> npt.NDArray[np.uint8]:
        """The saliency maps of these states."""
        from weakspot.artifacts.saliency import MAPS
        from weakspot.saliency.maps import load_maps

        return load_maps(self.results["saliency"] / MAPS, len(self.dataset))

    @cached_property
    def _split(self) -> tuple[Indices, Indices]:
        from weakspot.state_model.batch import with_full_history

        trained, held_out = self.dataset.split(self.config.train.held_out)
        return with_full_history(self.dataset, trained), with_full_history(self.dataset, held_out)

    @property
    def trained_on(self) -> Indices:
        """Indices of the training states, those with a complete history."""
        return self._split[0]

    @property
    def held_out(self) -> Indices:
        """Indices of the held-out states, those with a complete history."""
        return self._split[1]

    def held_out_sample(self, count: int) -> Indices:
        """At most ``count`` held-out states, evenly spaced.

        Raises:
            ConfigError: no state is held out.
        """
        import numpy as np

        held_out = self.held_out
        count = min(count, len(held_out))
        if not count:
            raise ConfigError(
                f"none of the {len(self.dataset):,} states is held out",
                expected="at least one held-out state with a complete history",
                todo="collect more frames in fewer streams, or raise --train.held-out",
            )
        return held_out[np.linspace(0, len(held_out) - 1, count).astype(int)]

    def recorded_outputs(self, indices: Indices) -> AgentOutput:
        """The agent's outputs in recorded states, with the surplus if a target asks for it."""
        from dataclasses import replace

        import torch

        from weakspot.data.dataset import recorded_outputs

        outputs = recorded_outputs(self.dataset, indices)
        if not self._has_surplus:
            return outputs
        return replace(outputs, surplus=torch.as_tensor(self._surplus.recorded[indices], dtype=outputs.scores.dtype))

    @property
    def _has_surplus(self) -> bool:
        return SURPLUS in self.results

    @cached_property
    def _surplus(self) -> SurplusArrays:
        from weakspot.artifacts.surplus import read_surplus

        return read_surplus(self.results[SURPLUS], len(self.dataset))

    @cached_property
    def model(self) -> StateModel:
        """The state model of the train stage."""
        from weakspot.artifacts.training import WEIGHTS
        from weakspot.state_model.model import load
        from weakspot.system.compute import resolve

        device = self.subject.agent.device
        return load(self.results["train"] / WEIGHTS, device, resolve(self.config.train.precision, device))

    @cached_property
    def perceive(self) -> Perceiver:
        """A(s), the agent's outputs as a function of states; the hidden state of a recurrent agent is recalled from recorded
        states."""
        from dataclasses import replace

        from weakspot.agents.recurrent import is_recurrent
        from weakspot.data.recall import recall_of

        perceive = self.subject.perceive
        if not is_recurrent(perceive.agent):
            return perceive
        return replace(perceive, recall=recall_of(self.dataset, self.trained_on))

    @property
    def perceive_for_targets(self) -> Perceiver:
        """A(s) with everything that the run's targets ask about: the surplus as well if ``overconfidence`` is one."""
        from dataclasses import replace

        import torch

        from weakspot.targets.overconfidence import Surplus

        if not self._has_surplus:
            return self.perceive
        estimate = self._surplus
        return replace(self.perceive, estimator=Surplus(torch.as_tensor(estimate.weights), estimate.offset))

    @cached_property
    def pool(self) -> EnvironmentPool:
        """Copies of the environment in one process per core, for the stages that play on from recorded states."""
        from weakspot.envs.pool import EnvironmentPool

        return EnvironmentPool(self.subject.factory, self.subject.spec, POOL)

    def close(self) -> None:
        """Ends the processes of the pool, if it was used; it is made again on the next access."""
        if (pool := self.__dict__.pop("pool", None)) is not None:
            pool.close()
            self.__dict__.pop("player", None)  # which plays in the pool
            self.__dict__.pop("grounds", None)

    @cached_property
    def player(self) -> Player:
        """An environment that plays on from recorded states.

        Raises:
            DatasetError: the states were collected without snapshots.
        """
        from weakspot.ground.play import started_player

        return started_player(self.subject.factory(), self.dataset, self.pool)

    @cached_property
    def likeness(self) -> Likeness:
        """How alike two states are, in units of recorded ones."""
        import numpy as np

        from weakspot.ground.likeness import measure_likeness

        generator = np.random.default_rng(self.config.ground.seed)
        return measure_likeness(self.perceive_for_targets, self.dataset, self.trained_on, generator)

    @cached_property
    def grounds(self) -> Grounds:
        """What the searches for twins share: units and limits, measured on recorded states."""
        from weakspot.ground.twins import prepare

        outputs = self.recorded_outputs(self.trained_on)
        return prepare(
            self.player, self.likeness, self.model, self.trained_on, self.held_out, outputs, self.config.ground.seed
        )

    def target(self, slug: str) -> Target:
        """The target, with the sharpness of its soft maximum scaled to the recorded scores, and with the action values of
        the policy-values stage if it needs them."""
        return self._target(slug, self._tau(slug))

    def _target(self, slug: str, tau: float | None) -> Target:
        from weakspot.targets.resolve import resolve_target

        sharpness = sharpness_for(self.dataset, self.config.sharpness)
        return resolve_target(self.targets[slug], self.subject.agent.spec, sharpness, tau)

    def _tau(self, slug: str) -> float | None:
        """The temperature of the policy-values stage; None if the target needs none, or if the stage has not run."""
        from weakspot.artifacts.policy_values import read_policy_values

        folder = self.results.get(f"policy-values/{slug}")
        return read_policy_values(folder).tau if folder else None

    @cached_property
    def starts(self) -> Callable[[Target], SearchDistribution]:
        """Where searches start, as a function of the target; candidates are drawn once for all targets."""
        from weakspot.data.dataset import as_state
        from weakspot.search.starts import starts
        from weakspot.system.progress import progress_bar

        dataset = self.dataset
        with progress_bar("candidates") as report:
            return starts(
                self.model, self.perceive_for_targets, self.config.synthesize,
                lambda indices: as_state(dataset.stacks(indices)), self.trained_on,
                lambda done, total: report(done / total, ""),
            )  # fmt: skip


def sharpness_for(dataset: StateDataset, sharpness: float) -> float:
    """b of the soft maximum, in units of the scores: ``sharpness`` over their mean standard deviation within a state."""
    return sharpness / max(float(dataset.scores.std(axis=1).mean()), 1e-9)
