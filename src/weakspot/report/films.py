"""How much detail the images of a report have, and the images of states at that detail."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.report.images import Film, difference_uri, in_colour, saliency_uri, strip_uri


@dataclass(frozen=True)
class Detail:
    """How much a report shows.

    Attributes:
        step: rounding of colours, in levels.
        rest: number of small states that follow the large ones of a target.
        clip: number of frames of a clip, at most.
        large: number of states of a target that are shown large, at most.
        paths: whether the path of the search that led to a large state is shown.
    """

    step: int
    rest: int
    clip: int
    large: int = 8
    paths: bool = True


@dataclass(frozen=True)
class FilmEncoder:
    """Encodes states of an environment as films, at a level of detail."""

    environment: EnvironmentRecord
    detail: Detail

    def encode(self, stack: Array, alt: str, label: str, kind: str, saliency: Array | None = None) -> Film:
        """The state (k, h, w, c), with the saliency map (h, w) of its newest frame; see :class:`Film`."""
        colours = self.environment.channel_colours
        uri = strip_uri(stack if colours is None else in_colour(stack, colours), self.detail.step)
        return Film(uri, alt, label, kind, len(stack), "" if saliency is None else saliency_uri(saliency))

    def difference(self, before: Array, after: Array, alt: str, label: str, kind: str) -> Film | None:
        """The frame ``after`` (h, w, c), bright where it differs from ``before``; None if it does not."""
        uri = difference_uri(before, after, self.environment.channel_colours)
        return Film(uri, alt, label, kind, 1) if uri else None


@dataclass(frozen=True)
class SmallCard:
    """A state shown small, with the agent's action and a caption below it."""

    film: Film
    action: str
    caption: str
