"""How much detail the images of a report have, and the images of states at that detail."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.subject import EnvironmentRecord
from weakspot.report.images import Film, in_colour, saliency_uri, strip_uri


@dataclass(frozen=True)
class Detail:
    """Rounding of colours, in levels; the number of small states that follow the large ones of a target; and the number of
    frames of a clip."""

    step: int
    rest: int
    clip: int


@dataclass(frozen=True)
class FilmEncoder:
    """Encodes states of an environment as films, at a level of detail."""

    environment: EnvironmentRecord
    detail: Detail

    def encode(self, stack: Array, alt: str, label: str, kind: str, saliency: Array | None = None) -> Film:
        """The state (k, h, w, c), with the saliency map (h, w) of its newest frame; see :class:`Film`."""
        colours = self.environment.channel_colours
        uri = strip_uri(stack if colours is None else in_colour(stack, colours), self.detail.step)
        return Film(uri, alt, label, kind, "" if saliency is None else saliency_uri(saliency))


@dataclass(frozen=True)
class SmallCard:
    """A state shown small, with the agent's action and a caption below it."""

    film: Film
    action: str
    caption: str
