"""What the page asks of the server.  Every request gets exactly one answer, so a slow page is never flooded: it asks for the
next step of a search, or of a game, when it has shown the last one."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=2_000)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Number: TypeAlias = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Numbers: TypeAlias = Annotated[list[Number], msgspec.Meta(max_length=100_000)]


class Request(msgspec.Struct, tag_field="do", forbid_unknown_fields=True):
    """A request; ``id`` comes back with the answer."""

    id: Count


class Hello(Request, tag="hello"):
    """What agent, environment and run are, and which states there are."""


class ListStates(Request, tag="list"):
    """Small pictures of the states of a source, such as ``finding/t-minus``."""

    source: Text


class Open(Request, tag="open"):
    """Makes a state the current one, from which the others start."""

    state: Text


class Move(Request, tag="move"):
    """Shows the current latent moved along directions, by their names."""

    amounts: dict[Text, Annotated[float, msgspec.Meta(ge=-20, le=20)]]
    saliency: bool = False


class Settle(Request, tag="settle"):
    """Makes the state that is shown the current one."""


class SetTarget(Request, tag="target"):
    """The target whose energy is shown with every state; empty for none."""

    target: Text
    sharpness: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 10.0


class StartSearch(Request, tag="search"):
    """Starts Algorithm 1 at the state that is shown, for the target that was set."""

    regulariser: Annotated[float, msgspec.Meta(ge=0, le=1e3)] = 0.003
    rate: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.05
    region: Annotated[str, msgspec.Meta(max_length=1_000_000, pattern="^[01]*$")] = ""
    """The pixels (h w) that are held fixed, as ones; empty for none."""
    hold: Annotated[float, msgspec.Meta(ge=0, le=1e4)] = 10.0


class StepSearch(Request, tag="search-step"):
    """Takes steps of the search."""

    count: Annotated[int, msgspec.Meta(ge=1, le=50)] = 1


class Remember(Request, tag="remember"):
    """Makes the state that is shown an end, ``a`` or ``b``, of interpolations."""

    end: Annotated[str, msgspec.Meta(pattern="^[ab]$")]


class Interpolate(Request, tag="interpolate"):
    """Shows the state at a share of the way from ``a`` to ``b``."""

    share: Annotated[float, msgspec.Meta(ge=0, le=1)]


class StartGame(Request, tag="play"):
    """Brings the environment into a state."""

    state: Text


class StepGame(Request, tag="play-step"):
    """Takes one decision: the action given, or the agent's own."""

    action: int | list[Number] | None = None


class Variables(Request, tag="variables"):
    """The variables of the environment and their values."""


class EditVariable(Request, tag="edit"):
    """Changes a variable of the game, and plays some decisions with the change and without it."""

    position: Count
    value: Number


class UndoEdit(Request, tag="undo-edit"):
    """Takes the last change of a variable back."""


class Keep(Request, tag="keep"):
    """Keeps what is shown: a state of the state model, or the game from its start on."""

    what: Annotated[str, msgspec.Meta(pattern="^(state|game)$")]
    note: Text = ""


class ListKept(Request, tag="kept"):
    """What was kept."""


class ChangeNote(Request, tag="note"):
    """Changes the note of something kept."""

    name: Text
    note: Text


class Remove(Request, tag="remove"):
    """Removes something kept."""

    name: Text


AnyRequest: TypeAlias = (
    Hello | ListStates | Open | Move | Settle | SetTarget | StartSearch | StepSearch | Remember | Interpolate | StartGame
    | StepGame | Variables | EditVariable | UndoEdit | Keep | ListKept | ChangeNote | Remove
)  # fmt: skip

DECODER: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
