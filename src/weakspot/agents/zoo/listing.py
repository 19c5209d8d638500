"""``weakspot agents``: lists the agents that ship with the package."""

from __future__ import annotations

from collections.abc import Sequence

from weakspot.agents import zoo
from weakspot.errors import ConfigError
from weakspot.system.progress import say


def list_agents(arguments: Sequence[str]) -> None:
    """One line for each agent: name, environment, score, size and algorithm."""
    if arguments and arguments[0] in ("-h", "--help"):
        say("usage: weakspot agents\n\nLists the agents that ship with the package, with score and size.")
        return
    if arguments:
        raise ConfigError(f"weakspot agents was given {' '.join(arguments)}", expected="no options")
    for name in zoo.names():
        card, megabytes = zoo.card(name), zoo.path(name).stat().st_size / 1e6
        say(
            f"{name:<24} {card.environment:<24} score {card.score['mean']:.1f}, {megabytes:.1f} MB, "
            f"{card.training['algorithm']}"
        )
