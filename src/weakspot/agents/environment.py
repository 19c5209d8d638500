"""Which environment an agent's file says it was trained on."""

from __future__ import annotations

from pathlib import Path

from weakspot.errors import MismatchError, WeightsError
from weakspot.games import environment_id, id_in, resolve_game


def trained_on(path: Path, given: str | None, told: str | None = None) -> str:
    """The id of the environment.

    Args:
        path: of the file; an id may stand in its name or in that of its folder.
        given: what the user says; needed where nothing else tells it.
        told: what the file itself says.

    Raises:
        WeightsError: nothing tells it.
        MismatchError: the user says another one than the file.
        UnknownGameError: no such game.
    """
    found = told or id_in(path.stem) or id_in(path.parent.name)
    if found is None and given is None:
        raise WeightsError(
            f"{path} does not tell which environment its agent was trained on",
            expected="an id in the file's name, such as acktr_PongNoFrameskip-v4.safetensors, or given explicitly",
            todo="give the environment, such as PongNoFrameskip-v4",
        )
    if found and given and resolve_game(given) != resolve_game(found):
        raise MismatchError(
            f"the agent in {path} was trained on {environment_id(found)}, not on {given}",
            expected=f"environment {environment_id(found)}, or none given",
            todo="leave the environment out, or choose another agent",
        )
    return found or given or ""
