"""Artifact of the synthesize stage: the states synthesised for one target."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weakspot.artifacts.display import findings_html
from weakspot.artifacts.schema import read_artifact, write_artifact
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.errors import ConfigError

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array

SEARCH, ARRAYS = "findings.json", "findings.npz"


@dataclass(frozen=True)
class Search:
    """The target, and the settings of its searches.

    Attributes:
        target: symbol or name of the target, such as ``T-``.
        slug: the target's name in names of folders, such as ``t-minus``.
        title, description: of the target, as in the report.
        energy_equation: the minimised energy as an equation, as in the report.
        seed: of the searches.
        settings: of the searches, and the scale of the target.
        seconds: duration of the searches.
    """

    SCHEMA: ClassVar[int] = 2
    target: str
    slug: str
    title: str
    description: str
    energy_equation: str
    seed: int
    settings: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Findings:
    """The synthesised states of one target, in the order of their searches.

    Attributes:
        search: the target and the settings.
        states: stacks of frames, oldest first (n, k, h, w, c), uint8.
        scores: the agent's scores in these states (n, a).
        value: the critic's values (n,), or None if the agent has no critic.
        energy: of every search at every step (n, steps); NaN after a search has stopped.
        target: energies of the target in the states, unscaled (n,).
        prior_kl: KL of each search distribution from N(0, I) (n,), in nats.
        iterations: steps taken (n,).
        saliency: of the newest frames (n, h, w), uint8, each scaled to its largest value.
        latent: u, the latent code of each state (n, z).
        latent_mean, latent_sigma: x_mu and x_sigma at the end of each search (n, z).
        path_steps: numbers of steps, from 0, of which there are pictures (p,).
        path: newest frames of the states at these steps and at the end, one search after the other (n (p + 1), h, w, c).
    """

    search: Search
    states: Array
    scores: Array
    value: Array | None
    energy: Array
    target: Array
    prior_kl: Array
    iterations: Array
    saliency: Array
    latent: Array
    latent_mean: Array
    latent_sigma: Array
    path_steps: Array
    path: Array

    def path_of(self, index: int) -> Array:
        """The newest frames on the path of one search, the last one at its end (p + 1, h, w, c)."""
        length = len(self.path_steps) + 1
        return self.path[index * length : (index + 1) * length]

    def path_moments(self, index: int) -> tuple[str, ...]:
        """What the pictures of :meth:`path_of` are, in words."""
        stopped = int(self.iterations[index])
        steps = (
            f"step {step + 1}" if step < stopped else "after the search has stopped" for step in self.path_steps.tolist()
        )
        return *steps, "the draw at the end"

    def slider(self, number: int = 1) -> Any:
        """A widget for notebooks: a slider over the path of the search for one state, counted from 1.

        Raises:
            ConfigError: the extra ``weakspot[notebook]`` is not installed, or there is no such state.
        """
        from weakspot.artifacts.slider import slider

        if not 1 <= number <= len(self.states):
            raise ConfigError(f"there is no state {number}", expected=f"1 to {len(self.states)}")
        rows = {f"{self.search.target}, state {number}": self.path_of(number - 1)}
        return slider(rows, self.path_moments(number - 1))

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        return findings_html(self)


def write_findings(folder: Path, findings: Findings) -> None:
    """Writes the artifact; raises :class:`RunError` if an array other than the energies contains NaN."""
    from weakspot.artifacts.arrays import write_arrays

    arrays = {field.name: getattr(findings, field.name) for field in fields(findings) if field.name != "search"}
    write_arrays(folder / ARRAYS, arrays, nan_allowed=("energy",))
    write_artifact(folder / SEARCH, findings.search)


def read_search(folder: Path) -> Search:
    """Reads the target and the settings; raises :class:`RunError` if it is damaged."""
    return read_artifact(folder / SEARCH, Search)


def read_findings(folder: Path, environment: EnvironmentRecord) -> Findings:
    """Reads the artifact; raises :class:`RunError` if it is damaged."""
    from weakspot.artifacts.arrays import Arrays

    search = read_search(folder)
    arrays = Arrays(folder / ARRAYS, environment, "states")
    steps = arrays.any_integers("path_steps")
    latent, latent_mean, latent_sigma = arrays.vectors("latent", "latent_mean", "latent_sigma")
    return Findings(
        search=search,
        states=arrays.stacks("states"),
        scores=arrays.scores("scores"),
        value=arrays.numbers("value") if "value" in arrays else None,
        energy=arrays.series("energy"),
        target=arrays.numbers("target"),
        prior_kl=arrays.numbers("prior_kl"),
        iterations=arrays.integers("iterations"),
        saliency=arrays.maps("saliency"),
        latent=latent,
        latent_mean=latent_mean,
        latent_sigma=latent_sigma,
        path_steps=steps,
        path=arrays.frames("path", arrays.n * (len(steps) + 1)),
    )
