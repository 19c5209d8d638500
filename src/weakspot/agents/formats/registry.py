"""The agent formats: those that ship with the package, and those of other packages.

A format tells whether it can load the agent that a reference names, such as a path, and loads it.  Another package adds a
format through an entry point, in its ``pyproject.toml``:

    [project.entry-points."weakspot.agent_formats"]
    their-format = "their_package.agents:FORMAT"

where ``FORMAT`` implements :class:`AgentFormat`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from weakspot.agents.base import Agent
from weakspot.errors import ExtensionError, WeakspotError, WeightsError
from weakspot.interface import Interface
from weakspot.system.files import is_damage, unreadable
from weakspot.system.registry import Registry


@runtime_checkable
class AgentFormat(Protocol):
    """A kind of file, folder or name from which agents are loaded."""

    @property
    def name(self) -> str:
        """The name of the format in the registry."""
        ...

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether this format can load what ``reference`` names.

        It is called for every reference that no earlier format recognises, so it should be cheap, run no code in the file,
        and return False for files that it cannot read.

        Args:
            reference: as the user gave it; it need not name an existing file.
            trust: whether the user allows code in the file to be run.
        """
        ...

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Loads the agent.

        Args:
            reference: one that the format recognises.
            environment: id of an Atari environment, or the interface of any other; None if the user gives none, and the
                agent must name its environment itself.
            device: where the agent computes.
            trust: whether code in the file may be run; without it none may be.

        Raises:
            AgentError: the agent cannot be loaded; the message says what is wrong with the file.
        """
        ...


FORMATS: Registry[AgentFormat] = Registry(
    "weakspot.agent_formats",
    {
        "factory": "weakspot.agents.formats.factory:FORMAT",
        "trusted": "weakspot.agents.formats.trusted:FORMAT",
        "rl-zoo": "weakspot.agents.formats.rl_zoo:FORMAT",
        "cleanrl": "weakspot.agents.formats.cleanrl:FORMAT",
        "onnx": "weakspot.agents.formats.onnx:FORMAT",
        "sb3": "weakspot.agents.formats.sb3:FORMAT",
        "card": "weakspot.agents.formats.card:FORMAT",
        "actor-critic": "weakspot.agents.formats.actor_critic:FORMAT",
    },
)
"""All agent formats, in the order in which they are tried."""


def format_for(reference: str, trust: bool) -> AgentFormat | None:
    """Returns the first format that recognises a reference, or None.

    Raises:
        ExtensionError: a format of another package cannot be used.
    """
    for name, extension in FORMATS.items():
        agent_format = _check_format(name, extension)
        with extension_errors(name, reference):
            if agent_format.recognises(reference, trust):
                return agent_format
    return None


def load_with(
    agent_format: AgentFormat,
    reference: str,
    environment: str | Interface | None,
    device: torch.device | str,
    trust: bool,
) -> Agent:
    """Loads an agent with a format that recognises the reference.

    Raises:
        AgentError: the agent cannot be loaded.
        ExtensionError: the format is one of another package, and does not work.
    """
    name = agent_format.name
    with extension_errors(name, reference):
        agent = agent_format.load(reference, environment=environment, device=device, trust=trust)
    return _check_agent_type(name, agent)


@contextmanager
def extension_errors(name: str, reference: str) -> Generator[None]:
    """Turns unexpected errors in a format of another package into :class:`ExtensionError`, and those in a format of this one
    into the error for a file that holds something unexpected, or that cannot be read."""
    try:
        yield
    except WeakspotError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        if name in FORMATS.builtin:
            raise unexpected_content(reference, error) from error
        raise ExtensionError(
            f"the agent format {name!r} raised {type(error).__name__}: {error}",
            expected="an AgentError if a file cannot be loaded, or False for a file of another format",
            todo="report this to the package that provides the format, or remove the package",
        ) from error


@contextmanager
def unexpected_errors(reference: str) -> Generator[None]:
    """Turns unexpected errors of reading an agent's files into the error of :func:`unexpected_content`."""
    try:
        yield
    except (WeakspotError, MemoryError):
        raise
    except Exception as error:
        raise unexpected_content(reference, error) from error


def unexpected_content(reference: str, error: Exception) -> WeakspotError:
    """The error for a file whose content has another form than its format expects, or which the system cannot read."""
    if isinstance(error, OSError) and not is_damage(error):
        return unreadable(Path(error.filename or reference), error)
    detail = " ".join(str(error).split())[:300]
    return WeightsError(
        f"{reference} holds something unexpected: {type(error).__name__}{f': {detail}' if detail else ''}",
        expected="an agent as its framework saves it",
        todo="save or fetch it again, or load it in your own function: path.py:factory",
    )


def _check_format(name: str, extension: object) -> AgentFormat:
    if isinstance(extension, type) or not isinstance(extension, AgentFormat):
        raise ExtensionError(
            f"the agent format {name!r} is of type {type(extension).__name__}, which does not implement AgentFormat",
            expected="an object with name, recognises(reference, trust) and load(reference, ...); "
            "see weakspot.agents.formats.registry.AgentFormat",
            todo="report this to the package that provides the format, or remove the package",
        )
    return extension


def _check_agent_type(name: str, agent: object) -> Agent:
    if not isinstance(agent, Agent):
        raise ExtensionError(
            f"the agent format {name!r} returned a {type(agent).__name__}",
            expected="an agent (see weakspot.agents.base.Agent)",
            todo="report this to the package that provides the format",
        )
    return agent
