"""Names of targets: which targets an agent has, how users write them, and their folder names.  Nothing here imports torch.

A name is one of the symbols of :mod:`weakspot.targets.paper` (``T+-`` may also be written ``T±``), ``overconfidence``, the
name of an action, a dimension of a continuous action with ``+`` or ``-`` appended, the name of an entry point in the group
``weakspot.targets``, an expression of :mod:`weakspot.targets.grammar`, or ``path.py:function``.  Case does not matter except
in expressions and in ``path.py:function``.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from weakspot.errors import UnknownTargetError
from weakspot.system.provenance import digest
from weakspot.system.registry import Registry
from weakspot.system.user_code import parse_reference
from weakspot.targets import grammar

TARGETS: Registry[Any] = Registry("weakspot.targets", {})
"""Targets of other packages.  Each entry point is a function from :class:`~weakspot.agents.base.AgentOutput` to energies
(b,); its name is the target's name on the command line."""

SCORE_SYMBOLS = {"T-": "t-minus", "T+": "t-plus", "T+-": "t-plus-minus", "S+": "s-plus", "S-": "s-minus"}
"""Symbols of the targets over the scores of discrete actions, with their slugs."""

VALUE_SYMBOLS = {"V+": "v-plus", "V-": "v-minus"}
"""Symbols of the targets over the critic's value, with their slugs."""


OVERCONFIDENCE = "overconfidence"
"""Name and slug of the target of :mod:`weakspot.targets.overconfidence`."""

NEEDS_VALUES = ("T-", "T+", "S+", "S-")
"""Symbols of the targets over action values; a policy has them only through its critic."""

LONGEST_SLUG = 100
"""In bytes, of a slug; folders are named by slugs, and file systems allow names of 255 bytes."""

MAX_DEFAULT_ACTIONS = 6
"""A policy without a critic has its actions as default targets if it has no more than these."""


def default_target_names(action_names: Sequence[str], scores_are: str, has_critic: bool) -> tuple[str, ...]:
    """The targets of a run that names none.

    Q-values: T-, T+ and T+-, as in the paper.  Actor-critics: V-, V+ and T+-.  Policies without a critic: T+-, and the
    actions if there are at most six.  Continuous actions: both ends of each dimension, after V+ and V- if the agent has a
    critic.

    Args:
        action_names: of the agent's actions, or of the dimensions of continuous ones.
        scores_are: what the agent's scores are, see :class:`weakspot.agents.base.AgentSpec`.
        has_critic: whether the agent has a critic.
    """
    if scores_are == "means":
        known = _slugs(action_names, True)
        return tuple(n for n in known if n != OVERCONFIDENCE and (has_critic or n not in VALUE_SYMBOLS))
    if scores_are == "q-values":
        return ("T-", "T+", "T+-")
    if has_critic:
        return ("V-", "V+", "T+-")
    return ("T+-", *(action_names if len(action_names) <= MAX_DEFAULT_ACTIONS else ()))


def needs_policy_values(name: str, action_names: Sequence[str], scores_are: str) -> bool:
    """Whether a target asks for the action values of a policy, which have to be derived from its critic.

    Args:
        name: as the user wrote it.
        action_names, scores_are: see :func:`default_target_names`.

    Raises:
        UnknownTargetError: see :func:`canonical_name`.
    """
    if scores_are != "log-probabilities" or parse_reference(name):
        return False
    canonical = canonical_name(name, action_names, False)
    return canonical in NEEDS_VALUES and canonical not in action_names


def needs_surplus(name: str, action_names: Sequence[str], continuous: bool) -> bool:
    """Whether a target, as the user wrote it, is ``overconfidence``, which needs an estimate of what the agent gets.

    Raises:
        UnknownTargetError: see :func:`canonical_name`.
    """
    if parse_reference(name) or OVERCONFIDENCE in action_names:
        return False
    return canonical_name(name, action_names, continuous) == OVERCONFIDENCE


def target_names(action_names: Sequence[str], continuous: bool) -> tuple[str, ...]:
    """The names of all targets an agent has, those from entry points last; ``path.py:function`` comes on top.

    Args:
        action_names: of the agent's actions, or of the dimensions of continuous ones.
        continuous: whether its actions are continuous.
    """
    return tuple(_slugs(action_names, continuous) | _extension_slugs())


def canonical_name(name: str, action_names: Sequence[str], continuous: bool, *, agent: str = "this agent") -> str:
    """The name in :func:`target_names` that ``name`` means; an expression is written in one way only, and a
    ``path.py:function`` is returned unchanged.

    Args:
        name: as the user wrote it.
        action_names, continuous: see :func:`target_names`.
        agent: what the error message calls the agent.

    Raises:
        UnknownTargetError: there is no such target; the message lists all names and the closest ones, or shows where an
            expression is wrong.
    """
    if parse_reference(name):
        return name
    names = target_names(action_names, continuous)
    if name in names:
        return name
    folded = {known.upper(): known for known in reversed(names)}  # the first of several that differ in case only
    upper = name.upper().replace("±", "+-")
    if upper in folded:
        return folded[upper]
    if grammar.is_expression(name):
        return grammar.write(grammar.parse(name, action_names), action_names)
    if continuous and upper in SCORE_SYMBOLS:
        todo = "its actions are continuous, and T and S need a value for each action; V- searches for low critic values"
    elif name.endswith(".py"):
        todo = f"name a function in the file as well: {name}:FUNCTION"
    elif any(mark in name for mark in "+-") and " " in name:
        todo = f"if it is an expression, put it in brackets: '({name})'"
    elif close := difflib.get_close_matches(upper, folded, n=3):
        todo = f"did you mean {' or '.join(folded[match] for match in close)}?"
    else:
        todo = "choose one of them"
    raise UnknownTargetError(
        f"there is no target {name!r} for {agent}",
        expected=f"one of {', '.join(names)}, an expression such as {_example(action_names, continuous)}, or "
        "path.py:function",
        todo=todo,
    )


def slug_of(name: str, action_names: Sequence[str], continuous: bool) -> str:
    """The folder name of a target, the same as ``Target.slug``.  The file of a ``path.py:function`` is not opened.

    Args:
        name: as the user wrote it.
        action_names, continuous: see :func:`target_names`.

    Raises:
        UnknownTargetError: see :func:`canonical_name`.
    """
    if reference := parse_reference(name):
        path, function = reference
        return custom_slug(f"{path.stem}-{function}")
    slugs = _extension_slugs() | _slugs(action_names, continuous)
    canonical = canonical_name(name, action_names, continuous)
    return slugs.get(canonical) or grammar.expression_slug(canonical)


def action_slug(action: str) -> str:
    """The slug of the target for a discrete action."""
    return f"action-{_slugify(action)}"


def dimension_slug(dimension: str, sign: int) -> str:
    """The slug of the target for the high (sign 1) or the low (sign -1) end of a dimension of a continuous action."""
    return f"{action_slug(dimension)}-{'up' if sign > 0 else 'down'}"


def custom_slug(name: str) -> str:
    """The slug of a target that users or other packages wrote."""
    return f"own-{_slugify(name)}"


def _example(action_names: Sequence[str], continuous: bool) -> str:
    return f'abs(mean["{action_names[0]}"])' if continuous else f'q["{action_names[0]}"] - max(q)'


def _slugs(action_names: Sequence[str], continuous: bool) -> dict[str, str]:
    """Names and slugs of the targets that ship with the package; an action takes precedence over a symbol."""
    surplus = {OVERCONFIDENCE: OVERCONFIDENCE}
    if continuous:
        ends = {f"{name}{mark}": dimension_slug(name, sign) for name in action_names for mark, sign in (("+", 1), ("-", -1))}
        return VALUE_SYMBOLS | ends | surplus
    return SCORE_SYMBOLS | VALUE_SYMBOLS | surplus | {name: action_slug(name) for name in action_names}


def _extension_slugs() -> dict[str, str]:
    return {name: custom_slug(name) for name in TARGETS.names()}


def _slugify(name: str) -> str:
    """A name for files: letters and digits; long names are cut and told apart by a digest."""
    slug = "".join(c if c.isalnum() else "-" for c in name.lower())
    return slug if len(slug.encode()) <= LONGEST_SLUG else f"{slug[: LONGEST_SLUG // 4]}-{digest(name)[:8]}"
