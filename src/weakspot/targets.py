"""Targets: what kind of state is wanted, as an energy over the agent's answer that is minimised (paper, section 2.3).

With q the agent's scores (Q-values, or log-probabilities for policy agents) and

    softmax_b(q) = sum_i q_i exp(b q_i) / sum_k exp(b q_k),        softmin_b(q) = -softmax_b(-q):

    ======  =============================================  ====================================
    T-      even the best action is worth little           softmax_b(q)                  (eq. 6)
    T+      even the worst action is worth much            -softmin_b(q)
    T+-     one action is worth much and another little    -(softmax_b(q) - softmin_b(q)) (eq. 7)
    S+, S-  all in all good, bad                           -sum q, +sum q
    ACTION  this action is wanted                          -q_action
    DIM+,   a continuous action is large, small in this    -q_dim, +q_dim
    DIM-    dimension
    V+, V-  the critic expects much, little                -V, +V
    ======  =============================================  ====================================

The paper prints T+(q) = -T-(-q) and T+- = T- - T+ without saying which are minimised; the table follows its words.
The scores of continuous actions are no values of anything, so that of all these only DIM+, DIM-, V+ and V- make sense for
them.  Targets see answers, never the state model.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.errors import TargetError, UnknownTargetError, WeakspotError
from weakspot.system.user_code import function_in, parse_reference
from weakspot.types import PerState, Scores

Energy = Callable[[AgentOutput], PerState]


def softmax_value(q: Scores, sharpness: float) -> PerState:
    """sum_i q_i exp(b q_i) / sum_k exp(b q_k): between the mean (b = 0) and the maximum of q (b to infinity)."""
    return (torch.softmax(sharpness * q, dim=1) * q).sum(dim=1)


def softmin_value(q: Scores, sharpness: float) -> PerState:
    """-softmax_value(-q): between the mean and the minimum of q."""
    return -softmax_value(-q, sharpness)


@dataclass(frozen=True)
class Target:
    """A kind of state to look for.

    Attributes:
        name: as the user wrote it.
        slug: the name as a folder.
        title: for people, such as "states of little value".
        description: a sentence for people.
        equation: the energy, for people.
        energy: maps the agent's answers to one number a state (b,); smaller is more wanted.
    """

    name: str
    slug: str
    title: str
    description: str
    equation: str
    energy: Energy

    def __call__(self, output: AgentOutput) -> PerState:
        """The energies (b,); raises :class:`TargetError` for a wrong shape or a number that is not finite, and where the
        target itself raises an error."""
        try:
            energy = self.energy(output)
        except WeakspotError:
            raise
        except Exception as error:
            answer = (
                f"scores {tuple(output.scores.shape)}, value {None if output.value is None else tuple(output.value.shape)}"
            )
            raise TargetError(
                f"target {self.name!r} failed with {type(error).__name__}: {error}",
                expected=f"a function of the agent's answer ({answer})",
                todo="call it by itself to see where it fails",
            ) from error
        batch = output.scores.shape[0]
        if not isinstance(energy, torch.Tensor) or energy.shape != (batch,):
            seen = tuple(energy.shape) if isinstance(energy, torch.Tensor) else type(energy).__name__
            raise TargetError(
                f"target {self.name!r} returned {seen} for {batch} states",
                expected=f"a tensor of shape ({batch},), one energy a state",
                todo="sum over actions (dim=1) and return one number for each state",
            )
        if not torch.isfinite(energy).all():
            raise TargetError(
                f"target {self.name!r} returned {energy[~torch.isfinite(energy)][0].item()}",
                expected="finite energies",
                todo="check for divisions by zero and logarithms of zero in the target, and for NaN from the agent",
            )
        return energy


def least(sharpness: float) -> Target:
    """T-: even the best action is worth little."""
    return Target(
        "T-", "t-minus", "States of little value", "Even the best action is worth little to the agent.",
        "softmax(q)", lambda output: softmax_value(output.scores, sharpness),
    )  # fmt: skip


def most(sharpness: float) -> Target:
    """T+: even the worst action is worth much."""
    return Target(
        "T+", "t-plus", "States of great value", "Even the worst action is worth much to the agent.",
        "-softmin(q)", lambda output: -softmin_value(output.scores, sharpness),
    )  # fmt: skip


def critical(sharpness: float) -> Target:
    """T± (written T+- on the command line): one action is worth much and another little."""
    return Target(
        "T±", "t-plus-minus", "Critical states",
        "One action is worth much to the agent and another little: the choice matters.",
        "-(softmax(q) - softmin(q))",
        lambda output: softmin_value(output.scores, sharpness) - softmax_value(output.scores, sharpness),
    )  # fmt: skip


def good() -> Target:
    """S+: all in all good."""
    return Target(
        "S+", "s-plus", "Good states all in all", "The sum over all actions is large: good even under random actions.",
        "-sum q", lambda output: -output.scores.sum(dim=1),
    )  # fmt: skip


def bad() -> Target:
    """S-: all in all bad."""
    return Target(
        "S-", "s-minus", "Bad states all in all", "The sum over all actions is small: bad whatever is done.",
        "sum q", lambda output: output.scores.sum(dim=1),
    )  # fmt: skip


def action(name: str, position: int) -> Target:
    """The action of that name is wanted."""
    return Target(
        name, f"action-{_slug(name)}", f"States that call for {name}", f"The agent scores {name} as high as it can.",
        f"-q[{name}]", lambda output: -output.scores[:, position],
    )  # fmt: skip


def dimension(name: str, position: int, sign: int) -> Target:
    """A continuous action is large (sign 1) or small (sign -1) in the dimension of that name."""
    mark, word, end = ("+", "much", "high") if sign > 0 else ("-", "little", "low")
    return Target(
        f"{name}{mark}", f"action-{_slug(name)}-{'up' if sign > 0 else 'down'}", f"States that call for {word} {name}",
        f"The agent sets {name} as {end} as it can.", f"{'-' if sign > 0 else ''}q[{name}]",
        lambda output: -sign * output.scores[:, position],
    )  # fmt: skip


def _slug(name: str) -> str:
    """A name of a folder."""
    return "".join(c if c.isalnum() else "-" for c in name.lower())


def _value(output: AgentOutput, name: str) -> PerState:
    if output.value is None:
        raise TargetError(
            f"target {name} needs a critic, and this agent answers no value",
            expected="an actor-critic",
            todo="for agents with Q-values use T+ and T-, or S+ and S-; for continuous actions, the ends of each dimension",
        )
    return output.value


def critic_high() -> Target:
    """V+: the critic expects much."""
    return Target("V+", "v-plus", "States the critic likes", "The critic expects much.", "-V", lambda o: -_value(o, "V+"))


def critic_low() -> Target:
    """V-: the critic expects little."""
    return Target("V-", "v-minus", "States the critic dreads", "The critic expects little.", "V", lambda o: _value(o, "V-"))


def from_file(reference: str, path: Path, name: str) -> Target:
    """The user's own target from ``path.py:function``: any differentiable function from AgentOutput to energies (b,)."""
    energy: Energy = function_in(path, name, TargetError, UnknownTargetError)
    description = (inspect.getdoc(energy) or "A target of the user's own.").splitlines()[0]
    return Target(
        reference, f"own-{_slug(f'{path.stem}-{name}')}", name.replace("_", " "), description, f"{name}(A(s))", energy
    )


def known_targets(agent: AgentSpec, sharpness: float) -> dict[str, Callable[[], Target]]:
    """What targets there are for an agent, by their names."""
    known: dict[str, Callable[[], Target]] = {"V+": critic_high, "V-": critic_low}
    if agent.continuous:
        for index, name in enumerate(agent.action_names):
            for sign in (1, -1):
                known[f"{name}{'+' if sign > 0 else '-'}"] = partial(dimension, name, index, sign)
        return known
    sharp = {"T-": least, "T+": most, "T+-": critical}
    known = {name: partial(make, sharpness) for name, make in sharp.items()} | {"S+": good, "S-": bad} | known
    return known | {name: partial(action, name, index) for index, name in enumerate(agent.action_names)}


def default_targets(agent: AgentSpec, answered: AgentOutput) -> tuple[str, ...]:
    """What is looked for where the user does not say: T-, T+ and T+-, as in the paper, or, where actions are continuous, V-
    and V+ if there is a critic, and both ends of each dimension."""
    if not agent.continuous:
        return ("T-", "T+", "T+-")
    without = () if answered.value is not None else ("V+", "V-")
    return tuple(name for name in known_targets(agent, 1.0) if name not in without)


def resolve_target(name: str, agent: AgentSpec, sharpness: float) -> Target:
    """The target that ``name`` means for this agent.

    Args:
        name: a symbol of the table above, the name of an action, or ``path.py:function``.
        agent: knows the names of its actions.
        sharpness: b of the soft maximum, in units of one over the scores.

    Raises:
        UnknownTargetError: there is no such target; the message names those there are.
    """
    if found := parse_reference(name):
        return from_file(name, *found)
    known = known_targets(agent, sharpness)
    upper = name.upper().replace("±", "+-")
    capitals = {called.upper(): called for called in reversed(known)}
    if (called := name if name in known else capitals.get(upper)) is not None:
        return known[called]()
    if agent.continuous and upper in ("T-", "T+", "T+-", "S+", "S-"):
        todo = "its actions are continuous, and T and S ask what each action is worth; V- asks what the critic dreads"
    elif near := difflib.get_close_matches(upper, capitals, n=3):
        todo = f"did you mean {' or '.join(capitals[one] for one in near)}?"
    else:
        todo = "choose one of them"
    raise UnknownTargetError(
        f"there is no target {name!r} for agent {agent.name!r}",
        expected="one of " + ", ".join(known) + ", or path.py:function",
        todo=todo,
    )
