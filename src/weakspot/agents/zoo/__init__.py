"""The agents that ship with the package: one ``*.safetensors`` file each, in this folder.

Importing this module, listing the agents and reading their cards needs neither torch nor numpy.
"""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from weakspot.agents.formats.card_record import Card, read_card
from weakspot.agents.listing import join_names
from weakspot.agents.tensors.header import read_header
from weakspot.errors import WeightsError

SUFFIX = ".safetensors"


def names() -> tuple[str, ...]:
    """Returns the names of all agents that ship with the package, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(file.name.removesuffix(SUFFIX) for file in files if file.name.endswith(SUFFIX)))


def path(name: str) -> Path:
    """Returns the path of an agent's file.

    Raises:
        WeightsError: there is no agent of that name; the message suggests similar names.
    """
    if name not in names():
        similar = difflib.get_close_matches(name.lower(), names(), n=3, cutoff=0.5)
        raise WeightsError(
            f"no agent is called {name!r}",
            expected=f"perhaps {' or '.join(similar)}" if similar else f"one of: {join_names(names())}",
            todo=f"choose one of the agents that ship with the package ({join_names(names())}), "
            "or give the path of a .safetensors file or path.py:factory",
        )
    return Path(str(resources.files(__name__) / f"{name}{SUFFIX}"))


def find(reference: str) -> Path | None:
    """Returns the file of the agent that is called ``reference``; None if there is none, or if a file or folder of that name
    in the current folder hides it."""
    return path(reference) if reference in names() and not Path(reference).exists() else None


def card(name: str) -> Card:
    """Returns the card of an agent: how it was trained, and how well it plays.  Reads the header of its file alone.

    Raises:
        WeightsError: there is no agent of that name, or its file is damaged.
    """
    file = path(name)
    return read_card(read_header(file).metadata, str(file))
