"""How an image of an environment becomes a frame of a state and the agent's gray or colour frame: the settings.

The steps are crop, resize and gray, in any order; then pad and transpose. All of them but the rounding are linear, so the
agent's gray frame is, up to rounding, a weighted sum of the colours of the reduced frame: what the state model shows is
what the agent sees. (Cubic and Lanczos interpolation overshoot at edges, and what is below 0 or above 255 is cut off for
each colour by itself; there the two differ by a few gray levels.) Wrappers differ in all of these steps, and agents depend
on them: the same weights can score 308 with one interpolation and 28 with another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from weakspot.errors import ConfigError

Sides: TypeAlias = tuple[int, int, int, int]
"""Pixels at the top, bottom, left and right."""
Weights: TypeAlias = tuple[float, float, float]
"""Of red, green and blue."""

OPENCV = {"area": "AREA", "linear": "LINEAR", "nearest": "NEAREST", "cubic": "CUBIC", "lanczos": "LANCZOS4"}
"""Interpolations of OpenCV by name; all but ``area`` skip pixels when they shrink an image."""
PILLOW = {
    "pillow-nearest": "NEAREST", "pillow-box": "BOX", "pillow-bilinear": "BILINEAR", "pillow-hamming": "HAMMING",
    "pillow-bicubic": "BICUBIC", "pillow-lanczos": "LANCZOS",
}  # fmt: skip
"""Interpolations of Pillow, which average over all pixels when they shrink an image (except for ``nearest``); torchvision's
with ``antialias=True`` are nearly the same."""
RESIZES = (*OPENCV, *PILLOW)

EMULATOR = "emulator"
"""The gray of the Atari emulator's own palette."""
GRAYS: dict[str, Weights] = {
    EMULATOR: (0.2989, 0.5870, 0.1140),
    "rec601": (0.299, 0.587, 0.114),
    "rec709": (0.2126, 0.7152, 0.0722),
    "mean": (1 / 3, 1 / 3, 1 / 3),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}
"""Weights of red, green and blue by name; ``rec601`` is OpenCV's and Pillow's gray."""
STEPS = ("crop", "resize", "gray")

Rounding: TypeAlias = Literal["nearest", "down"]


@dataclass(frozen=True)
class Reduction:
    """How an image (h, w, 3) is reduced.

    Attributes:
        size: height and width after ``resize``; None leaves the size unchanged.
        crop: pixels cut off.
        pad: black pixels added at the end.
        resize: one of :data:`RESIZES`.
        gray: a name in :data:`GRAYS`, or weights; None if the agent sees colour.
        rounding: how gray is rounded to whole numbers.
        order: in which the steps are taken.
        exact: intermediate results are not rounded, as if images were converted to float first; the frame at the end is.
        transposed: rows and columns are exchanged at the end.

    Raises:
        ConfigError: a value is out of range.
    """

    size: tuple[int, int] | None = (84, 84)
    crop: Sides = (0, 0, 0, 0)
    pad: Sides = (0, 0, 0, 0)
    resize: str = "area"
    gray: str | Weights | None = "rec601"
    rounding: Rounding = "nearest"
    order: tuple[str, ...] = STEPS
    exact: bool = False
    transposed: bool = False

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ConfigError(f"resize = {self.resize!r}", expected=f"one of {', '.join(RESIZES)}")
        if isinstance(self.gray, str) and self.gray not in GRAYS:
            raise ConfigError(f"gray = {self.gray!r}", expected=f"one of {', '.join(GRAYS)}, or three weights, or false")
        if self.rounding not in ("nearest", "down"):
            raise ConfigError(f"rounding = {self.rounding!r}", expected="nearest or down")
        if sorted(self.order) != sorted(STEPS):
            raise ConfigError(f"order = {list(self.order)}", expected=f"each of {', '.join(STEPS)} once, in any order")
        if len(self.crop) != 4 or len(self.pad) != 4 or min(*self.crop, *self.pad) < 0:
            raise ConfigError(
                f"crop = {list(self.crop)}, pad = {list(self.pad)}", expected="pixels at the top, bottom, left and right"
            )

    @property
    def weights(self) -> Weights | None:
        """Weights of red, green and blue in the agent's gray; None if it sees colour."""
        return GRAYS[self.gray] if isinstance(self.gray, str) else self.gray

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a reduced image.

        Raises:
            ConfigError: nothing is left of it.
        """
        for step in self.order:
            if step == "crop":
                height, width = height - sum(self.crop[:2]), width - sum(self.crop[2:])
            elif step == "resize" and self.size is not None:
                height, width = self.size
            if min(height, width) < 1:
                raise ConfigError(
                    f"crop = {list(self.crop)} leaves {height}x{width} pixels",
                    expected="at least one row and one column of pixels left",
                )
        height, width = height + sum(self.pad[:2]), width + sum(self.pad[2:])
        return (width, height) if self.transposed else (height, width)
