"""Settings of the explorer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from weakspot.errors import ConfigError


@dataclass(frozen=True)
class ExploreConfig:
    """Opens a local page on which you move through the state model, search for states, and play from the states of a run.

    The page is served to this computer only, and its address contains a secret token.

    Raises:
        ConfigError: there is no such port.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    port: int = 8765
    """Port of the server; 0 takes a free one."""
    open: bool = True
    """Open the page in the browser; --no-open only prints its address."""
    trust: bool = False
    """Allow code in the agent's file to run."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port is {self.port}", expected="a number from 0 to 65535", todo="choose another --port")
