"""Artifact of the ground stage: states of the environment that stand for synthesised ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

import msgspec

from weakspot.artifacts.schema import read_artifact, write_artifact
from weakspot.artifacts.subject import EnvironmentRecord

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array

TWINS, ARRAYS = "twins.json", "twins.npz"
ROUNDING = 1e-3
"""By how much a value of a target has to be lower than another one to count as lower, in standard deviations over real
states: the same state gets slightly different outputs in another batch."""

Kind: TypeAlias = Literal["recorded", "reached", "edited"]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


def clearly_below(value: float, spread: float) -> float:
    """What is lower than this is lower than a value of a target by more than rounding; ``spread`` is the target's."""
    return value - ROUNDING * spread


@dataclass(frozen=True)
class Change:
    """A variable of the environment that was changed: its position and name, and its values before and after."""

    position: Count
    name: str
    before: float
    after: float

    @property
    def text(self) -> str:
        """In words, such as ``byte 102: 40 to 3``."""
        return f"{self.name}: {self.before:g} to {self.after:g}"


@dataclass(frozen=True)
class Possibility:
    """Whether an edited state is possible; see :class:`weakspot.ground.plausibility.Checks`."""

    settles: bool
    round_trip: bool
    objects: bool | None
    plays_on: bool

    @property
    def problems(self) -> tuple[str, ...]:
        """What an edited state fails, in words."""
        checks = {
            "its picture does not settle after the changes": self.settles,
            "the state model does not know states like it": self.round_trip,
            "its objects are not those of real states": self.objects is not False,
            "the game does not play on from it, or not in the same way again": self.plays_on,
        }
        return tuple(problem for problem, passed in checks.items() if not passed)


@dataclass(frozen=True)
class Distances:
    """How far a twin is from its synthesised state: 1 is the median distance between two real states.

    Attributes:
        pixels: over the pixels that move.
        features: in the agent's last hidden layer.
        outputs: between the agent's outputs.
    """

    pixels: float
    features: float
    outputs: float

    @property
    def mean(self) -> float:
        """The mean of the three."""
        return (self.pixels + self.features + self.outputs) / 3


@dataclass(frozen=True)
class Twin:
    """The closest state of the environment that was found for a synthesised one.

    To make it again: restore the recorded state ``start``, make the changes, and take the actions.

    Attributes:
        number: of the synthesised state, in the order of the findings.
        kind: how it was found.
        accepted: whether it stands for the synthesised state; if not, it is the best that was found.
        start: index of a recorded state.
        changes: of variables there.
        actions: taken afterwards; of continuous actions, one tuple each.
        distances: from the synthesised state.
        aim: the target's value in the synthesised state.
        target: the target's value in the twin.
        possible: the checks of an edited state; None for the other kinds, which play leads to.
        unusual: share of held-out real states whose variables are closer to recorded ones; None without variables.
        environment_steps: decisions that were played to find it.
        seconds: that it took to find it.
    """

    number: Count
    kind: Kind
    accepted: bool
    start: Count
    changes: tuple[Change, ...]
    actions: tuple[int | tuple[float, ...], ...]
    distances: Distances
    aim: float
    target: float
    possible: Possibility | None
    unusual: Share | None
    environment_steps: Count
    seconds: float


@dataclass(frozen=True)
class TwinSearch:
    """The twins of the synthesised states of one target, without their frames.

    Attributes:
        target: symbol or name of the target.
        alike: the largest mean distance of an accepted twin.
        shortfall: by how much the target's value of an accepted twin may be worse than that of the synthesised state.
        spread: standard deviation of the target over real states.
        best_real: the target's lowest value over real states.
        twins: one for each of the first synthesised states.
        usual: the largest share of held-out real states that may be more usual than a twin.
    """

    SCHEMA: ClassVar[int] = 1
    target: str
    alike: float
    shortfall: float
    spread: float
    best_real: float
    twins: tuple[Twin, ...]
    usual: Share = 1.0

    def is_beyond(self, value: float) -> bool:
        """Whether a value of the target is lower than all those in real states."""
        return value < clearly_below(self.best_real, self.spread)

    def problems(self, twin: Twin) -> tuple[str, ...]:
        """Why the best state that was found is no twin, in words; empty if it is one."""
        if twin.accepted:
            return ()
        distance, most = twin.distances.mean, twin.aim + self.shortfall
        problems: list[str] = []
        if distance > self.alike:
            problems.append(f"it is too different: its distance is {distance:.3g}, at most {self.alike:.3g} counts")
        if twin.target > most:
            problems.append(f"the agent answers otherwise: T is {twin.target:.3g}, at most {most:.3g} counts")
        problems += twin.possible.problems if twin.possible else ()
        if twin.unusual is not None and twin.unusual > self.usual:
            share, limit = (f"{100 * part:.3g} %" for part in (twin.unusual, self.usual))
            problems.append(f"it is less usual than {share} of real states, at most {limit} count")
        return tuple(problems)


@dataclass(frozen=True)
class Twins:
    """The twins of the synthesised states of one target.

    Attributes:
        search: everything except the frames.
        states: (n, k, h, w, c), uint8, drawn by the environment.
        scores: the agent's scores (n, a).
        value: of the agent's critic (n,), or None.
        unedited: what the environment draws without the changes (n, k, h, w, c); the same as ``states`` without any.
        alone: the newest frame with one change alone, for all changes of all twins in their order (m, h, w, c).
    """

    search: TwinSearch
    states: Array
    scores: Array
    value: Array | None
    unedited: Array
    alone: Array


def write_twins(folder: Path, twins: Twins) -> None:
    """Writes the artifact; raises :class:`RunError` if it contains NaN."""
    from weakspot.artifacts.arrays import write_arrays

    arrays = {name: getattr(twins, name) for name in ("states", "scores", "value", "unedited", "alone")}
    write_arrays(folder / ARRAYS, arrays)
    write_artifact(folder / TWINS, twins.search)


def read_twin_search(folder: Path) -> TwinSearch:
    """Reads the artifact without its arrays; raises :class:`RunError` if it is damaged."""
    return read_artifact(folder / TWINS, TwinSearch)


def read_twins(folder: Path, environment: EnvironmentRecord) -> Twins:
    """Reads the artifact; raises :class:`RunError` if it is damaged."""
    from weakspot.artifacts.arrays import Arrays

    search = read_twin_search(folder)
    arrays = Arrays(folder / ARRAYS, environment, "states")
    changes = sum(len(twin.changes) for twin in search.twins)
    arrays.require(len(search.twins), TWINS)
    return Twins(
        search=search,
        states=arrays.stacks("states"),
        scores=arrays.scores("scores"),
        value=arrays.numbers("value") if "value" in arrays else None,
        unedited=arrays.stacks("unedited"),
        alone=arrays.frames("alone", changes),
    )
