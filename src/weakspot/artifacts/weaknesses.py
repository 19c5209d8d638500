"""Artifact of the confirm stage: weaknesses, each with what goes wrong, what causes it, and what would have helped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec

from weakspot.artifacts.display import weakness_html
from weakspot.artifacts.schema import read_artifact, write_artifact
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.errors import ConfigError

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array

WEAKNESSES, ARRAYS = "weaknesses.json", "weaknesses.npz"

Verdict: TypeAlias = Literal[
    "avoidable loss", "hopeless", "unfounded fear", "overconfidence", "needless action", "undecided"
]
CONFIRMED: tuple[Verdict, ...] = ("avoidable loss", "overconfidence", "unfounded fear", "needless action")
"""The verdicts that are weaknesses of the agent."""
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]


@dataclass(frozen=True)
class Rate:
    """``events`` of ``trials`` from a number of states, and the 95 % interval of their share; see
    :func:`weakspot.confirm.statistics.rate_of`."""

    events: Count
    trials: Count
    states: Count
    low: Share
    high: Share

    @property
    def share(self) -> float:
        """Events over trials; 0 without trials."""
        return self.events / self.trials if self.trials else 0.0


@dataclass(frozen=True)
class StartRecord:
    """A state that rollouts started from.

    To make it: restore the recorded state ``start``, make the changes, and take the actions.

    Attributes:
        source: symbol of a target and number of a synthesised state, such as ``T- 3``, whose twin it is; ``what-if`` for a
            recorded state in which one thing was changed; empty for a recorded state that was drawn at random.
        start: index of a recorded state.
        changes: value of each changed variable, by its position.
        actions: taken afterwards.
    """

    source: str
    start: Count
    changes: dict[int, float]
    actions: tuple[int | tuple[float, ...], ...]


@dataclass(frozen=True)
class StateRollouts:
    """The first rollouts of the agent from one state.

    Attributes:
        source: see :class:`StartRecord`.
        start: index of a recorded state: the state itself if ``source`` is empty, or the one its twin was made from.
        rollouts: their number.
        lost: how many of them were lost.
        earned: the mean of their returns over the horizon.
    """

    source: str
    start: Count
    rollouts: Count
    lost: Count
    earned: float


@dataclass(frozen=True)
class Clip:
    """A rollout that can be repeated bit for bit.

    Attributes:
        state: index of its start among the states of the weakness.
        seed: of the environment.
        actions: all that were taken.
        override: number of the first of these that were given in place of the agent's own.
        loss: number of the decision, from 1, with which the loss came; None if there was none.
        first: index of its first frame in the arrays.
        frames: number of frames in the arrays, every ``every``-th of the rollout.
        every: see ``frames``.
        digest: of all frames of the rollout.
        label: what was done in place of the agent's own actions; empty where it acts as it does.
    """

    state: Count
    seed: Count
    actions: tuple[int | tuple[float, ...], ...]
    override: Count
    loss: int | None
    first: Count
    frames: Count
    every: Annotated[int, msgspec.Meta(ge=1)]
    digest: str
    label: str = ""


@dataclass(frozen=True)
class CauseVariable:
    """A variable that decides about the loss, or a group of variables that are changed as one.

    Attributes:
        positions: of the variables.
        name: of the variable, or of the group, such as ``person 3``.
        low, high: lowest and highest value in the states of the weakness, of the first variable.
        usual_low, usual_high: the range of four fifths of its usual values.

    Of recorded states in which one thing was changed, the name is that of the kind of thing, and all else is of the first
    variable that was changed in the first state: its value there, and its usual one, the value without the change.
    """

    positions: tuple[Count, ...]
    name: str
    low: float
    high: float
    usual_low: float
    usual_high: float


@dataclass(frozen=True)
class Cause:
    """What causes a loss.

    Attributes:
        variables: each of them alone, set to usual values, avoids the loss; or, if ``together``, all of them at once.
        together: whether they have to be changed together.
        saved: share of rollouts without a loss after the change, with fresh seeds.
        tried: number of variables that were tried alone.
        p: of Fisher's exact test against the rollouts without the change.
    """

    variables: tuple[CauseVariable, ...]
    together: bool
    saved: Rate
    tried: Count
    p: Share

    @property
    def names(self) -> str:
        """The names of the variables in words."""
        return (" and " if self.together else " or ").join(variable.name for variable in self.variables)


@dataclass(frozen=True)
class Box:
    """A part of the picture: rows from ``top`` to before ``bottom``, columns from ``left`` to before ``right``."""

    top: Count
    bottom: Count
    left: Count
    right: Count


@dataclass(frozen=True)
class Correlate:
    """What separates the states of a weakness from similar states without a loss; it need not be a cause.

    Attributes:
        name: of a variable, or ``the picture``.
        higher: whether its values are mostly higher in the states of the weakness; of the picture, whether it is brighter.
        here, there: the medians of its values in the states of the weakness, and in the others.
        separation: share of pairs of a state of each kind in which it is so, see :mod:`weakspot.confirm.correlates`.
        box: the part of the picture; None for a variable.
    """

    name: str
    higher: bool
    here: float
    there: float
    separation: Share
    box: Box | None


@dataclass(frozen=True)
class Rescue:
    """What would have avoided a loss.

    Attributes:
        label: what is done in place of the agent's actions, such as ``holding UP for 25 decisions``.
        decisions: number of these actions.
        saved: share of rollouts without a loss, with fresh seeds, from the states in which it is not too late.
        own: losses in the agent's own rollouts from the same states, with fresh seeds.
        tried: number of rescues that were tried.
        p: of Fisher's exact test against the agent's own rollouts.
        own_share: share of its first decisions in which the agent takes the action; None if it is not one action.
        gain: mean return minus that of the agent's own rollouts; the agent acts for the same number of decisions in both.
    """

    label: str
    decisions: Count
    saved: Rate
    own: Rate
    tried: Count
    p: Share
    own_share: Share | None
    gain: float


@dataclass(frozen=True)
class Weakness:
    """A group of states in which the same goes wrong.

    Attributes:
        verdict: see :mod:`weakspot.confirm.verdicts`.
        sentence: the weakness in words, with its numbers.
        targets: symbols of the targets whose twins are among the states.
        states: that rollouts started from; the first is the most typical one.
        rate: of losses in the agent's own rollouts, with fresh seeds.
        met: share of the recorded states drawn at random that are among the states.
        expected: mean return over the horizon that the agent expects, calibrated; None if it expects nothing.
        earned: mean return over the horizon, discounted.
        cause: None if none was found or looked for.
        rescue: None if none was found.
        loss: the rollout of a loss, or a typical one where nothing is lost.
        rescued: the rollout of the rescue from the same state.
        differs: what separates its states from similar ones without a loss, where no cause is known.
        ends: why the episodes of its lost rollouts ended, the most frequent first, with counts; empty if unknown.
        changed: what was changed in the recorded state that its first state was made from, such as ``person 3 speed: 1.2 to
            2``, where all its states are recorded ones with such a change; empty for all other weaknesses.
    """

    verdict: Verdict
    sentence: str
    targets: tuple[str, ...]
    states: tuple[StartRecord, ...]
    rate: Rate
    met: Rate
    expected: float | None
    earned: float
    cause: Cause | None
    rescue: Rescue | None
    loss: Clip | None
    rescued: Clip | None
    differs: tuple[Correlate, ...] = ()
    ends: dict[str, Count] = field(default_factory=dict[str, Count])
    changed: tuple[str, ...] = ()

    @property
    def confirmed(self) -> bool:
        """Whether it is a weakness of the agent: something that could be done better, or that it misjudges."""
        return self.verdict in CONFIRMED

    @property
    def cost(self) -> float:
        """How often the agent comes into such states, times the share of rollouts that it loses there; of an avoidable loss,
        times the share that the rescue avoids, in all its states, in time or too late."""
        often = (self.met.events + 0.5) / (self.met.trials + 1)
        if self.verdict != "avoidable loss" or self.rescue is None:
            return often * self.rate.share
        saved, own = self.rescue.saved, self.rescue.own
        in_time = saved.states / max(self.rate.states, saved.states, 1)
        return often * in_time * max(saved.share - (1.0 - own.share), 0.0)

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        return weakness_html(self)


WEAK = 0.5
"""Share of lost rollouts from random states from which on an agent is weak everywhere."""


@dataclass(frozen=True)
class Confirmation:
    """What rollouts showed.

    Attributes:
        loss: what the agent does when it loses, such as ``loses a life``.
        horizon: decisions of a rollout.
        epsilon: share of random actions in the rollouts of an agent that acts greedily; 0 for others.
        controls: losses in rollouts from recorded states drawn at random.
        twins: losses in rollouts from twins.
        notes: what a reader has to know, such as why there are no verdicts.
        weaknesses: all groups of states, those that cost most first.
        environment_steps: decisions that were played.
        states: the first rollouts from each state; empty in results of earlier versions.
    """

    SCHEMA: ClassVar[int] = 1
    loss: str
    horizon: Count
    epsilon: Share
    controls: Rate
    twins: Rate
    notes: tuple[str, ...]
    weaknesses: tuple[Weakness, ...]
    environment_steps: Count
    states: tuple[StateRollouts, ...] = ()

    @property
    def weak_everywhere(self) -> bool:
        """Whether the agent loses at least :data:`WEAK` of the rollouts from random states; then none is singled out."""
        return bool(self.controls.trials) and self.controls.share >= WEAK


@dataclass(frozen=True)
class Weaknesses:
    """The weaknesses of an agent, with their pictures.

    Attributes:
        confirmation: everything except the frames.
        typical: the most typical state of each weakness (n, k, h, w, c), uint8.
        before, after: the next frame of that state without the change that avoids the loss, and with it (n, h, w, c); both
            are its newest frame if no cause is known.
        frames: of the clips, one after the other (m, h, w, c).
    """

    confirmation: Confirmation
    typical: Array
    before: Array
    after: Array
    frames: Array

    def clip(self, clip: Clip) -> Array:
        """The frames of a clip (t, h, w, c)."""
        return self.frames[clip.first : clip.first + clip.frames]

    def slider(self, number: int = 1) -> Any:
        """A widget for notebooks: a slider over a loss and its rescue, side by side, of one weakness, counted from 1.

        Raises:
            ConfigError: the extra ``weakspot[notebook]`` is not installed, or there is no such weakness or clip.
        """
        from weakspot.artifacts.slider import slider

        found = self.confirmation.weaknesses
        if not 1 <= number <= len(found):
            raise ConfigError(f"there is no weakness {number}", expected=f"1 to {len(found)}")
        weakness = found[number - 1]
        better = weakness.rescue.label if weakness.rescue else "without the action"
        clips = {
            name: clip for name, clip in {"the agent as it acts": weakness.loss, better: weakness.rescued}.items() if clip
        }
        if not clips:
            raise ConfigError(f"weakness {number} has no clips")
        longest = max((clip.frames - 1) * clip.every for clip in clips.values())
        moments = sorted({*range(0, longest, min(clip.every for clip in clips.values())), longest})
        rows = {
            name: self.clip(clip)[[min(moment // clip.every, clip.frames - 1) for moment in moments]]
            for name, clip in clips.items()
        }
        return slider(rows, [moment_text(moment) for moment in moments])


def moment_text(decisions: int) -> str:
    """A moment of a clip in words: how many decisions came before."""
    return "the start" if not decisions else f"after {decisions} decision{'s' if decisions > 1 else ''}"


def write_weaknesses(folder: Path, weaknesses: Weaknesses) -> None:
    """Writes the artifact; raises :class:`RunError` if it contains NaN."""
    from weakspot.artifacts.arrays import write_arrays

    arrays: dict[str, Any] = {name: getattr(weaknesses, name) for name in ("typical", "before", "after", "frames")}
    write_arrays(folder / ARRAYS, arrays)
    write_artifact(folder / WEAKNESSES, weaknesses.confirmation)


def read_confirmation(folder: Path) -> Confirmation:
    """Reads the artifact without its arrays; raises :class:`RunError` if it is damaged."""
    return read_artifact(folder / WEAKNESSES, Confirmation)


def read_weaknesses(folder: Path, environment: EnvironmentRecord) -> Weaknesses:
    """Reads the artifact; raises :class:`RunError` if it is damaged."""
    from weakspot.artifacts.arrays import Arrays

    confirmation = read_confirmation(folder)
    arrays = Arrays(folder / ARRAYS, environment, "typical")
    count = len(confirmation.weaknesses)
    arrays.require(count, WEAKNESSES)
    clips = [clip for weakness in confirmation.weaknesses for clip in (weakness.loss, weakness.rescued) if clip]
    return Weaknesses(
        confirmation=confirmation,
        typical=arrays.stacks("typical"),
        before=arrays.frames("before", count),
        after=arrays.frames("after", count),
        frames=arrays.frames("frames", sum(clip.frames for clip in clips)),
    )
