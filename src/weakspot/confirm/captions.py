"""Weaknesses in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from weakspot.artifacts.weaknesses import Cause, CauseVariable, Correlate, Rate, Rescue, Weakness
from weakspot.words import listed

MOSTLY = 0.9
"""Share of rollouts without a loss from which on the sentence says that a rescue avoids the loss."""


def sentence(weakness: Weakness, loss: str, controls: Rate, longer: int) -> str:
    """A weakness in words, with its numbers.

    Args:
        weakness: without its sentence.
        loss: what the agent does when it loses, such as ``loses a life``.
        controls: losses from recorded states drawn at random.
        longer: decisions of the rollouts that judge causes and rescues.
    """
    write = {
        "avoidable loss": _loss,
        "hopeless": _loss,
        "undecided": _loss,
        "unfounded fear": _fear,
        "overconfidence": _overconfidence,
        "needless action": _needless,
    }[weakness.verdict]
    return write(weakness, loss, controls, longer)


def _loss(weakness: Weakness, loss: str, controls: Rate, longer: int) -> str:
    parts = [f"{_where(weakness)} the agent {loss}: {_rollouts(weakness.rate)} (random states: {_percent(controls.share)})."]
    if weakness.ends:
        parts.append(f"The end: {', '.join(f'{cause} ({count})' for cause, count in weakness.ends.items())}.")
    if weakness.cause is not None:
        parts.append(_undone(weakness.cause) if weakness.changed else _cause(weakness.cause))
    elif weakness.differs:
        parts.append(_differs(weakness.differs))
    if weakness.verdict == "avoidable loss":
        assert weakness.rescue is not None
        parts += _rescue(weakness.rescue, weakness.rate.states, longer)
    elif weakness.verdict == "hopeless":
        tried = weakness.rescue.tried if weakness.rescue else 0
        parts.append(f"None of the {tried} rescues that were tried helps enough." if tried else "No rescue was tried.")
    elif weakness.rescue is not None:
        saved, own = weakness.rescue.saved, weakness.rescue.own
        parts.append(
            f"Whether it could be avoided is undecided: from {saved.states} state{'s' if saved.states != 1 else ''}, "
            f"{_lower(weakness.rescue.label)} leaves {saved.events} of {saved.trials} rollouts without a loss for {longer} "
            f"decisions, as against {own.trials - own.events} of {own.trials}."
        )
    parts.append(_met(weakness.met))
    return " ".join(parts)


def _where(weakness: Weakness) -> str:
    """In which states: by the cause, if it is known."""
    if weakness.changed:
        many = len(weakness.states) > 1
        changes = listed(weakness.changed, "and")
        return f"In recorded states with one thing changed ({changes}{', and the like' if many else ''})"
    telling = [variable for variable in weakness.cause.variables if not _is_usual(variable)] if weakness.cause else []
    if weakness.cause is not None and telling:
        joined = (" and " if weakness.cause.together else ", ").join(_values(variable) for variable in telling[:2])
        return f"With {joined}"
    return "In this state" if len(weakness.states) == 1 else "In states like this"


def _is_usual(variable: CauseVariable) -> bool:
    """Whether the values of a variable tell nothing: its range and the usual one share at least half of the narrower one."""
    shared = min(variable.high, variable.usual_high) - max(variable.low, variable.usual_low)
    narrower = min(variable.high - variable.low, variable.usual_high - variable.usual_low)
    return len(variable.positions) == 1 and shared >= 0 and shared >= narrower / 2


def _values(variable: CauseVariable) -> str:
    if len(variable.positions) > 1:
        return f"{variable.name} as it is"
    usual = _range(variable.usual_low, variable.usual_high)
    return f"{variable.name} at {_range(variable.low, variable.high)} (usually {usual})"


def _range(low: float, high: float) -> str:
    ends = f"{low:.4g}", f"{high:.4g}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _cause(cause: Cause) -> str:
    names = [variable.name for variable in cause.variables]
    if cause.together:
        joined, how = " and ".join(names), "set to usual values together they leave"
    elif len(names) > 1:
        joined, how = listed(names, "or"), "each set to usual values alone leaves"
    else:
        joined, how = names[0], "set to usual values alone it leaves"
    return f"Cause: {joined}; {how} {cause.saved.events} of {cause.saved.trials} rollouts without a loss."


def _undone(cause: Cause) -> str:
    return f"Without the change {cause.saved.events} of {cause.saved.trials} rollouts are without a loss."


def _differs(found: Sequence[Correlate]) -> str:
    """What goes with the loss; that it was not shown to be a cause has to be clear from the sentence alone."""
    differences = listed([_correlate(one) for one in found], "and")
    return f"Compared with similar states without a loss, {differences}; that need not be the cause."


def _correlate(found: Correlate) -> str:
    """A variable with its medians, or a part of the picture."""
    if found.box is None:
        relation = "higher" if found.higher else "lower"
        return f"{found.name} is mostly {relation} (median {found.here:.4g}, there {found.there:.4g})"
    rows, columns = f"{found.box.top} to {found.box.bottom - 1}", f"{found.box.left} to {found.box.right - 1}"
    return f"the picture is mostly {'brighter' if found.higher else 'darker'} in rows {rows} and columns {columns}"


def _rescue(rescue: Rescue, judged: int, longer: int) -> list[str]:
    label, saved = rescue.label, rescue.saved
    if saved.states < judged:
        start = f"In {saved.states} of {judged} states it is not too late: {label}"
    else:
        start = f"{label[0].upper()}{label[1:]}"
    kept = f"{saved.events} of {saved.trials} rollouts"
    own = f"{rescue.own.trials - rescue.own.events} of {rescue.own.trials}"
    if saved.share >= MOSTLY:
        parts = [f"{start} would have avoided it: {kept} are without a loss for {longer} decisions, as against {own}."]
    else:
        parts = [f"{start} leaves {kept} without a loss for {longer} decisions, as against {own}."]
    if rescue.own_share is not None:
        action = rescue.label.removeprefix("holding ").removeprefix("not taking ").partition(" for ")[0]
        parts.append(f"The agent takes {action} in {_percent(rescue.own_share)} of its decisions there.")
    return parts


def _met(met: Rate) -> str:
    if not met.trials:
        return ""
    if not met.events:
        return f"None of {met.trials} random recorded states is such a state."
    verb = "is such a state" if met.events == 1 else "are such states"
    return f"{met.events} of {met.trials} random recorded states {verb}."


def _fear(weakness: Weakness, loss: str, controls: Rate, longer: int) -> str:
    return (
        f"The agent expects little in {_states(weakness)} (a return of {_number(weakness.expected)}) but earns "
        f"{_number(weakness.earned)}; it {loss} in {_rollouts(weakness.rate)} (random states: {_percent(controls.share)})."
    )


def _overconfidence(weakness: Weakness, loss: str, controls: Rate, longer: int) -> str:
    return (
        f"The agent expects much in {_states(weakness)} (a return of {_number(weakness.expected)}) but earns "
        f"{_number(weakness.earned)}; it {loss} in {_rollouts(weakness.rate)} (random states: {_percent(controls.share)})."
    )


def _needless(weakness: Weakness, loss: str, controls: Rate, longer: int) -> str:
    rescue = weakness.rescue
    assert rescue is not None
    return (
        f"In {_states(weakness)} the agent takes {weakness.targets[0]}, which makes nothing better: {rescue.label} it "
        f"earns {_signed(rescue.gain)} in return, and {rescue.saved.events} of {rescue.saved.trials} rollouts are without a "
        f"loss, as against {weakness.rate.trials - weakness.rate.events} of {weakness.rate.trials}."
    )


def _states(weakness: Weakness) -> str:
    count = len(weakness.states)
    found = f" found for {', '.join(weakness.targets)}" if weakness.targets else ""
    return f"{count} state{'s' if count != 1 else ''}{found}"


def _rollouts(rate: Rate) -> str:
    return f"{rate.events} of {rate.trials} rollouts from {rate.states} state{'s' if rate.states != 1 else ''}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "nothing known" if value is None else f"{value:.2g}" if abs(value) < 100 else f"{value:,.0f}"


def _signed(value: float) -> str:
    return f"{abs(value):.2g} {'more' if value >= 0 else 'less'}"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
