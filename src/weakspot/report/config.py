"""Settings of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Size: TypeAlias = Literal["full", "small"]


@dataclass(frozen=True)
class ReportConfig:
    """Settings of the report.

    Attributes:
        size: full: at most 15 MB. small: at most 2 MB, to be sent by mail: fewer states, coarser colours, shorter clips.
    """

    size: Size = "full"
