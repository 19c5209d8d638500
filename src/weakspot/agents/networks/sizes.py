"""The sizes of the networks that this package trains, by name (without torch)."""

from __future__ import annotations

from typing import Literal, TypeAlias

NetworkSize: TypeAlias = Literal["nature", "compact", "small"]
"""See :data:`weakspot.agents.networks.convolutions.CONVOLUTIONS` for what each one is."""
