"""Numbers, durations and settings as text for people."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from weakspot.artifacts.evidence import Interval

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Fact:
    """A value, its name, and how it was got, which may be empty."""

    name: str
    value: str
    how: str = ""


def power(exponent: int) -> str:
    """A power of ten, such as ``10⁻⁴``."""
    return "10" + str(exponent).translate(SUPERSCRIPTS)


def number(value: float, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits, a real minus sign and no trailing zeros."""
    if not math.isfinite(value):
        return "−∞" if value < 0 else "∞"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** max(digits, 4):
        text = f"{value:,.0f}"
    elif abs(value) < 1e-3:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        text = f"{mantissa} × {power(int(exponent))}" if mantissa != "1" else power(int(exponent))
    else:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{decimals}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share in [0, 1] as whole percent, such as ``97 %``."""
    return f"{100 * share:.0f}\u00a0%"


def interval_text(interval: Interval) -> str:
    """A mean with its interval, such as ``20.2 (19.5 to 20.7)``."""
    if interval.low is None or interval.high is None:
        return number(interval.mean)
    return f"{number(interval.mean)} ({number(interval.low)} to {number(interval.high)})"


def duration(seconds: float) -> str:
    """A time, such as ``12 s``, ``3 min 20 s`` or ``1 h 05 min``."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def flat(settings: Mapping[str, Any], prefix: str = "") -> tuple[Fact, ...]:
    """Nested settings as one list of facts with dotted names."""
    facts: list[Fact] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            facts.extend(flat(cast("Mapping[str, Any]", value), f"{prefix}{name}."))
        else:
            facts.append(Fact(f"{prefix}{name}", _setting(value)))
    return tuple(facts)


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value, 6)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(_setting(item) for item in cast("Sequence[Any]", value))
    return "none" if value is None else str(value)


def indices(equation: str) -> tuple[tuple[str, str, str], ...]:
    """An equation in plain text as triples of text, ``_`` or ``^``, and the index that it puts below or above the line.

    ``L_p + 1`` is ``("L", "_", "p"), (" + 1", "", "")``.
    """
    parts = re.split(r"(?<=[\w)])([_^])([a-z0-9μσ]{1,3})\b", equation)
    return tuple(zip(parts[::3], [*parts[1::3], ""], [*parts[2::3], ""], strict=True))


def game_name(environment_id: str) -> str:
    """``Pong`` for ``PongNoFrameskip-v4`` or ``ALE/Pong-v5``; other names without their version."""
    name = environment_id.rsplit("/", 1)[-1].rsplit("-v", 1)[0]
    return name.removesuffix("NoFrameskip").removesuffix("Deterministic") or environment_id
