"""A slider over moments for notebooks; needs the extra ``weakspot[notebook]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakspot.artifacts.display import image_uri
from weakspot.errors import missing_extra

if TYPE_CHECKING:
    from weakspot.artifacts.arrays import Array

SCALE = 3
"""How much frames are enlarged."""
SCRIPT = Path(__file__).with_name("static") / "slider.js"


def slider(rows: Mapping[str, Array], moments: Sequence[str]) -> Any:
    """A widget that shows the frames of all rows at one moment, which a slider chooses.

    Args:
        rows: frames (t, h, w, c) by the name of the row; the last frame of a row that ends early stays.
        moments: name of each moment (m); the moment that is shown is the widget's ``at``, from 0.

    Raises:
        ConfigError: anywidget is not installed.
    """
    try:
        import anywidget

        traitlets: Any = import_module("traitlets")
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "notebook") from error
    kinds = {"rows": traitlets.List, "moments": traitlets.List, "at": traitlets.Int, "width": traitlets.Int}
    traits = {name: kind().tag(sync=True) for name, kind in kinds.items()}
    widget: Any = type("Slider", (anywidget.AnyWidget,), {"_esm": SCRIPT.read_text("utf-8"), **traits})
    width = max(frames.shape[2] for frames in rows.values())
    return widget(
        rows=[{"name": name, "frames": [image_uri(frame) for frame in frames]} for name, frames in rows.items()],
        moments=list(moments),
        at=len(moments) - 1,
        width=SCALE * width,
    )
