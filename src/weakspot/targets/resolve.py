"""From the name of a target to the :class:`~weakspot.targets.base.Target`, for one agent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.errors import TargetError
from weakspot.system.user_code import parse_reference
from weakspot.targets import names
from weakspot.targets.actions import for_action, for_dimension
from weakspot.targets.base import Target
from weakspot.targets.custom import from_entry_point, from_file
from weakspot.targets.expression import from_expression
from weakspot.targets.overconfidence import overconfidence
from weakspot.targets.paper import Values, decided, s_minus, s_plus, t_minus, t_plus, t_plus_minus, v_minus, v_plus
from weakspot.targets.policy_values import implied_values
from weakspot.types import Scores


def resolve_target(name: str, agent: AgentSpec, sharpness: float, tau: float | None = None) -> Target:
    """The target that ``name`` means for this agent.

    Args:
        name: a symbol of :mod:`weakspot.targets.paper`, ``overconfidence``, an action, a dimension of a continuous action
            with ``+`` or ``-``, the name of an entry point in the group ``weakspot.targets``, an expression, or
            ``path.py:function``.
        agent: the agent; the names of its actions decide which targets there are.
        sharpness: b of the soft maximum, in units of one over the scores.
        tau: temperature of the action values of a policy, see :mod:`weakspot.targets.policy_values`; only the targets that
            :func:`weakspot.targets.names.needs_policy_values` names use it, and cannot be evaluated without it.

    Raises:
        UnknownTargetError: there is no such target; the message lists those that exist.
        TargetError: the file of a ``path.py:function`` raises an error.
        ExtensionError: the package that provides the target is broken.
    """
    if parse_reference(name):
        return from_file(name)
    canonical = names.canonical_name(name, agent.action_names, agent.continuous, agent=f"agent {agent.name!r}")
    if make := _builtin(agent, sharpness, tau).get(canonical):
        return make()
    return from_entry_point(canonical) if canonical in names.TARGETS.names() else from_expression(canonical, agent)


def default_targets(agent: AgentSpec, output: AgentOutput) -> tuple[str, ...]:
    """Names of the default targets of an agent; see :func:`weakspot.targets.names.default_target_names`.

    Args:
        agent: the agent.
        output: any output of the agent; shows whether it has a critic.
    """
    return names.default_target_names(agent.action_names, agent.scores_are, output.value is not None)


def _builtin(agent: AgentSpec, sharpness: float, tau: float | None) -> dict[str, Callable[[], Target]]:
    """The targets that ship with the package, by their canonical names.  An action takes precedence over a symbol."""
    value: dict[str, Callable[[], Target]] = {
        "V+": v_plus, "V-": v_minus, names.OVERCONFIDENCE: partial(overconfidence, agent)
    }  # fmt: skip
    if agent.continuous:
        return value | {
            f"{name}{mark}": partial(for_dimension, name, index, sign)
            for index, name in enumerate(agent.action_names)
            for mark, sign in (("+", 1), ("-", -1))
        }
    values, equation, b = _action_values(agent, sharpness, tau)
    scores: dict[str, Callable[[], Target]] = {
        "T-": partial(t_minus, b, values, equation),
        "T+": partial(t_plus, b, values, equation),
        "T+-": partial(t_plus_minus if agent.scores_are == "q-values" else decided, sharpness),
        "S+": partial(s_plus, values, equation),
        "S-": partial(s_minus, values, equation),
    }
    return scores | value | {name: partial(for_action, name, index) for index, name in enumerate(agent.action_names)}


def _action_values(agent: AgentSpec, sharpness: float, tau: float | None) -> tuple[Values, str, float]:
    """q as a function of the agent's output, what to add to an equation about it, and b in units of one over q."""
    if agent.scores_are == "q-values":
        return lambda output: output.scores, "", sharpness
    if tau is None:
        return _no_temperature, ", q = V + tau (log pi + H(pi))", sharpness
    return lambda output: implied_values(output, tau), f", q = V + {tau:.3g} (log pi + H(pi))", sharpness / tau


def _no_temperature(output: AgentOutput) -> Scores:
    implied_values(output, 1.0)  # raises if there is no critic
    raise TargetError(
        "the action values of a policy need a temperature",
        expected="tau, as the stage policy-values fits it",
        todo="run `weakspot policy-values` with the same settings first, or give tau",
    )
