"""Settings of ``weakspot export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import tyro

Format: TypeAlias = Literal["png", "mp4", "gif", "csv", "card", "tensorboard", "minari", "rerun"]
ALL: tuple[Format, ...] = ("png", "mp4", "csv", "card")


@dataclass(frozen=True)
class ExportConfig:
    """Writes the results of a run in formats of other programs. None needs the agent, and only minari needs torch."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    output: Path | None = None
    """The folder to write to; by default, export in the run folder."""
    formats: tuple[Format, ...] = ALL
    """png: states and twins, the frames of each side by side, without loss. mp4, gif: clips of weaknesses and of what was
    kept. csv: tables of synthesised states and weaknesses. card: a model card, README.md, as on the Hugging Face Hub.
    tensorboard: an event file with the scalars and pictures of every stage. minari: the recorded play as a data set for
    offline learning, single frames without loss (needs the extra minari, and torch). rerun: a recording for the viewer of
    Rerun (needs the extra rerun)."""
