"""Artifacts of the stages that measure how far the state model can be trusted: fidelity, samples and goggles."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from weakspot.artifacts.schema import damaged, read_artifact, write_artifact
from weakspot.artifacts.subject import EnvironmentRecord

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array

FIDELITY, RECONSTRUCTIONS = "fidelity.json", "reconstructions.npz"
SAMPLES, SAMPLE_ARRAYS = "samples.json", "samples.npz"
GOGGLES = "goggles.json"

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; the ends are None if there are too few values."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ObjectRecall:
    """Share of the ``n`` real states with an object whose reconstructions contain it, with a 95 % interval; in [0, 1]."""

    name: str
    recall: Interval
    n: int


@dataclass(frozen=True)
class Fidelity:
    """How faithful reconstructions of held-out real states are.

    Attributes:
        states: number of states that were reconstructed.
        mse: mean squared error per pixel and channel, frames in [0, 1].
        same_action: share of states in which the agent chooses the same action on the reconstruction.
        output_error: mean squared error of the agent's outputs, divided by their variance.
        objects: recall of each kind of object; empty for games without an object finder.
        kl: what the latents carry about a state, in nats: the mean KL between its posterior and N(0, I).
        active_units: number of latent dimensions in use.
        latent: number of latent dimensions.
    """

    SCHEMA: ClassVar[int] = 2
    states: int
    mse: float
    same_action: Share
    output_error: float
    objects: tuple[ObjectRecall, ...]
    kl: Annotated[float, msgspec.Meta(ge=0)]
    active_units: Annotated[int, msgspec.Meta(ge=0)]
    latent: Annotated[int, msgspec.Meta(ge=1)]


@dataclass(frozen=True)
class Reconstructions:
    """Real states and their reconstructions.

    Attributes:
        real, reconstructed: stacks (n, k, h, w, c), uint8.
        saliency: of the real states (n, h, w), uint8.
        scores_real, scores_reconstructed: the agent's scores (n, a).
        same_action: whether the agent chooses the same action in both (n,).
        index: indices of the real states in the data set (n,).
        worst: whether a state is shown because its reconstruction changes the agent's outputs most, and not drawn at random
            (n,).
    """

    real: Array
    reconstructed: Array
    saliency: Array
    scores_real: Array
    scores_reconstructed: Array
    same_action: Array
    index: Array
    worst: Array


@dataclass(frozen=True)
class SampleMeasures:
    """Random samples compared with real states.

    Attributes:
        count: number of measured samples; 0 if there are too few held-out states to compare them with.
        distance, floor: Fréchet distances in the agent's features: between the samples and as many real states, and between
            two halves of the real states.
        checks, real_checks: shares of samples and of real states that pass each object check; ``valid`` is the share that
            passes all of them. None for games without object checks.
    """

    SCHEMA: ClassVar[int] = 1
    count: int
    distance: float | None = None
    floor: float | None = None
    checks: dict[str, Share] | None = None
    real_checks: dict[str, Share] | None = None

    @property
    def valid(self) -> float | None:
        """Share of samples that pass all checks, or None."""
        return self.checks["valid"] if self.checks else None

    @property
    def real_valid(self) -> float | None:
        """Share of real states that pass all checks, or None."""
        return self.real_checks["valid"] if self.real_checks else None


@dataclass(frozen=True)
class Samples:
    """Random samples of the state model: their measures, and some of them (n, k, h, w, c), uint8, in the order drawn."""

    measures: SampleMeasures
    states: Array


@dataclass(frozen=True)
class Scores:
    """The scores of the episodes of one kind, and their mean with its interval.

    Attributes:
        scores: the sum of the rewards of each episode.
        signs: the sum of the signs of the rewards, the units in which agents of Atari games are trained.
        interval: the mean score.
    """

    scores: tuple[float, ...]
    signs: tuple[float, ...]
    interval: Interval


@dataclass(frozen=True)
class Goggles:
    """The agent's scores on real frames, and on reconstructions only.

    Attributes:
        agent: on real frames.
        goggles: on reconstructions.
        difference: goggles minus agent; negative if the agent plays worse on reconstructions.
        ratio: goggles over agent.
        note: a remark for the reader, such as the number of truncated episodes; may be empty.
    """

    SCHEMA: ClassVar[int] = 2
    agent: Scores
    goggles: Scores
    difference: Interval
    ratio: Interval | None
    note: str


def write_fidelity(folder: Path, fidelity: Fidelity, reconstructions: Reconstructions) -> None:
    """Writes both artifacts of the fidelity stage; raises :class:`RunError` if they contain NaN."""
    from weakspot.artifacts.arrays import write_arrays

    arrays = {field.name: getattr(reconstructions, field.name) for field in fields(reconstructions)}
    write_arrays(folder / RECONSTRUCTIONS, arrays)
    write_artifact(folder / FIDELITY, fidelity)


def read_fidelity(folder: Path) -> Fidelity:
    """Reads the measures; raises :class:`RunError` if they are damaged."""
    return read_artifact(folder / FIDELITY, Fidelity)


def read_reconstructions(folder: Path, environment: EnvironmentRecord) -> Reconstructions:
    """Reads the reconstructions; raises :class:`RunError` if they are damaged."""
    import numpy as np

    from weakspot.artifacts.arrays import Arrays

    arrays = Arrays(folder / RECONSTRUCTIONS, environment, "real")
    return Reconstructions(
        real=arrays.stacks("real"),
        reconstructed=arrays.stacks("reconstructed"),
        saliency=arrays.maps("saliency"),
        scores_real=arrays.scores("scores_real"),
        scores_reconstructed=arrays.scores("scores_reconstructed"),
        same_action=arrays.flags("same_action"),
        index=arrays.integers("index"),
        worst=arrays.flags("worst") if "worst" in arrays else np.zeros(arrays.n, np.bool_),  # not in earlier versions
    )


def write_samples(folder: Path, samples: Samples) -> None:
    """Writes both artifacts of the samples stage; raises :class:`RunError` if they contain NaN."""
    from weakspot.artifacts.arrays import write_arrays

    write_arrays(folder / SAMPLE_ARRAYS, {"states": samples.states})
    write_artifact(folder / SAMPLES, samples.measures)


def read_samples(folder: Path) -> SampleMeasures:
    """Reads the measures; raises :class:`RunError` if they are damaged."""
    return read_artifact(folder / SAMPLES, SampleMeasures)


def read_sample_states(folder: Path, environment: EnvironmentRecord) -> Array:
    """Reads the samples themselves; raises :class:`RunError` if they are damaged."""
    from weakspot.artifacts.arrays import Arrays

    return Arrays(folder / SAMPLE_ARRAYS, environment, "states").stacks("states")


def write_goggles(folder: Path, goggles: Goggles) -> None:
    """Writes the artifact."""
    write_artifact(folder / GOGGLES, goggles)


def read_goggles(folder: Path) -> Goggles:
    """Reads the artifact; raises :class:`RunError` if it is damaged or its means are inconsistent."""
    goggles = read_artifact(folder / GOGGLES, Goggles)
    shift = goggles.goggles.interval.mean - goggles.agent.interval.mean
    if abs(shift - goggles.difference.mean) > 0.02 * max(1.0, abs(shift)):
        seen = f"the mean difference is {goggles.difference.mean:g}"
        raise damaged(folder / GOGGLES, seen, f"goggles minus agent, which is {shift:g}")
    return goggles
