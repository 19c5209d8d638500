"""Targets for one action: ACTION for discrete actions, -q_action; DIM+ and DIM- for continuous ones, -q_dim and +q_dim."""

from __future__ import annotations

from weakspot.targets.base import Target
from weakspot.targets.names import action_slug, dimension_slug


def for_action(name: str, index: int) -> Target:
    """States in which the agent prefers the action ``name``, whose score is column ``index``."""
    return Target(
        name, action_slug(name), f"States that call for {name}", f"The agent scores {name} as high as it can.",
        f"-q[{name}]", lambda output: -output.scores[:, index],
    )  # fmt: skip


def for_dimension(name: str, index: int, sign: int) -> Target:
    """States in which a continuous action is high (sign 1) or low (sign -1) in the dimension ``name``, column ``index``."""
    mark, word, end = ("+", "much", "high") if sign > 0 else ("-", "little", "low")
    return Target(
        f"{name}{mark}", dimension_slug(name, sign), f"States that call for {word} {name}",
        f"The agent sets {name} as {end} as it can.", f"{'-' if sign > 0 else ''}q[{name}]",
        lambda output: -sign * output.scores[:, index],
    )  # fmt: skip
