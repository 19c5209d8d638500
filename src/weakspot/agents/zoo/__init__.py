"""The agents that ship with the package: one ``*.safetensors`` file each, beside this module."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from weakspot.agents.formats.card import Card, read_card
from weakspot.agents.tensors.weights import listed, read_weights
from weakspot.errors import WeightsError

SUFFIX = ".safetensors"


def names() -> tuple[str, ...]:
    """The names of all agents that ship with the package, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(file.name.removesuffix(SUFFIX) for file in files if file.name.endswith(SUFFIX)))


def path(name: str) -> Path:
    """Where the weights of an agent are.

    Raises:
        WeightsError: no such agent; the message names the nearest ones.
    """
    if name not in names():
        near = difflib.get_close_matches(name.lower(), names(), n=3, cutoff=0.5)
        raise WeightsError(
            f"no agent is called {name!r}",
            expected=f"{' or '.join(near)}, perhaps" if near else f"one of: {listed(names())}",
            todo=f"choose one of the agents that ship with the package ({listed(names())}), "
            "or give the path of a .safetensors file or path.py:factory",
        )
    return Path(str(resources.files(__name__) / f"{name}{SUFFIX}"))


def card(name: str) -> Card:
    """What is known about an agent: how it was trained, and how well it plays.

    Raises:
        WeightsError: no such agent.
    """
    file = path(name)
    return read_card(read_weights(file)[1], str(file))
