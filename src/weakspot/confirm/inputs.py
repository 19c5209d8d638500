"""What users add to a confirmation: a function that judges rollouts, and another agent."""

from __future__ import annotations

from collections.abc import Callable

from weakspot.agents.base import Agent
from weakspot.agents.load import load_agent
from weakspot.confirm.rollouts import Rollout
from weakspot.data.collect import check_fit
from weakspot.envs.base import EnvironmentSpec
from weakspot.errors import ConfigError
from weakspot.system.user_code import function_in, parse_reference


def outcome_function(reference: str | None) -> Callable[[Rollout], float] | None:
    """The function ``path.py:function`` that maps a rollout to a number.  Runs the file.

    Raises:
        ConfigError: there is no such function, or its file raises an error.
    """
    if reference is None:
        return None
    parsed = parse_reference(reference)
    if parsed is None:
        raise ConfigError(
            f"outcome is {reference!r}", expected="path.py:function", todo="name a Python file and a function in it"
        )
    return function_in(*parsed, ConfigError, ConfigError)


def reference_agent(reference: str | None, spec: EnvironmentSpec, device: str, *, trust: bool) -> Agent | None:
    """Another agent of the same environment.

    Raises:
        AgentError: it cannot be loaded, or was made for another environment.
    """
    if reference is None:
        return None
    agent = load_agent(reference, environment=spec.interface, device=device, trust=trust)
    check_fit(agent.spec, spec)
    return agent
