"""Can the state model be trusted?  One sentence, by a rule that the report prints beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.evidence import Fidelity, Goggles, ObjectRecall, SampleMeasures
from weakspot.artifacts.run import Run
from weakspot.report.charts import number

TOLERATED_LOSS = 0.15
"""Share of the agent's score that may be lost on reconstructions."""
ENOUGH_RECALL = 0.8
"""Share of real states in which an object must be there in the reconstruction."""

ENOUGH_AGREEMENT = 0.8
"""Share of real states in which the agent must still prefer the same action when it sees the reconstruction."""
TOLERATED_DISTANCE = 1.5
"""Distance of random samples from real states, over that between two halves of the real states."""
ENOUGH_VALID = 0.85
"""Share of random samples that must pass the checks of their objects, over that of real states."""

RULE = (
    "“faithful” means that the 95\u00a0% interval rules out that the agent loses more than "
    f"{100 * TOLERATED_LOSS:.0f}\u00a0% of its score, or of its spread over episodes where that is larger, on "
    "reconstructions, that every object looked for is there in at "
    f"least {100 * ENOUGH_RECALL:.0f}\u00a0% of them, that the agent prefers the same action (where actions are "
    "continuous, one within a tenth of each dimension’s range) in at least "
    f"{100 * ENOUGH_AGREEMENT:.0f}\u00a0% of them, and that random samples are like real states: in the agent’s features "
    f"at most {TOLERATED_DISTANCE:g} times as far from real ones as these are from each other, and, where objects can be "
    f"checked, sound at least {100 * ENOUGH_VALID:.0f}\u00a0% as often.  “Do not trust” means that the agent surely loses "
    "more than half of that, or that an object is surely missing in more than half of the reconstructions.  Between them "
    "is “with care”."
)


@dataclass(frozen=True)
class Verdict:
    """How far the pictures can be trusted.

    Attributes:
        level: ``good``, ``care``, ``poor`` or ``unknown``.
        headline: in a few words.
        sentence: with the numbers it rests on.
    """

    level: str
    headline: str
    sentence: str


HEADLINES = {
    "good": "The state model is faithful to this agent.",
    "care": "Read the pictures with care.",
    "poor": "Do not trust the pictures yet.",
    "unknown": "The state model was not checked.",
}


def judge(run: Run) -> Verdict:
    """The verdict by :data:`RULE`, from the goggles test and the other checks, as far as they were made."""
    parts = [_goggles(run.goggles)] if run.goggles else []
    if run.fidelity and run.fidelity.objects:
        parts.append(_recall(run.fidelity.objects))
    if not parts:
        sentence = "This run holds neither the goggles test nor the recall of objects, so nothing says what it is worth."
        return Verdict("unknown", HEADLINES["unknown"], sentence)
    if run.fidelity:
        does = "does nearly the same" if run.agent.continuous else "prefers the same action"
        parts.append(_agreement(run.fidelity, does))
    if run.samples and run.samples.measures.count:
        parts.append(_samples(run.samples.measures))
    level = next(level for level in ("poor", "care", "good") if level in [part[0] for part in parts])
    return Verdict(level, HEADLINES[level], " ".join(f"{text[0].upper()}{text[1:]}." for _, text in parts))


def _goggles(goggles: Goggles) -> tuple[str, str]:
    scale = max(abs(goggles.agent.interval.mean), float(np.std(goggles.agent.scores)) if goggles.agent.scores else 0.0, 1e-9)
    low, high = goggles.difference.low, goggles.difference.high
    text = (
        f"seeing only reconstructions the agent scores {number(goggles.goggles.interval.mean)} instead of "
        f"{number(goggles.agent.interval.mean)} on real frames"
    )
    if low is None or high is None:
        return "care", f"{text} (too few episodes for an interval)"
    text += f", a difference of {number(goggles.difference.mean)} (95\u00a0% interval {number(low)} to {number(high)})"
    if low >= -TOLERATED_LOSS * scale:
        return "good", text
    if high < -0.5 * scale:
        return "poor", text
    if high >= 0:
        return "care", f"{text}, which too few episodes leave undecided"
    return "care", text


def _recall(objects: tuple[ObjectRecall, ...]) -> tuple[str, str]:
    worst = min(objects, key=lambda item: item.recall.mean)
    surely = worst.recall.mean if worst.recall.high is None else worst.recall.high
    level = "good" if worst.recall.mean >= ENOUGH_RECALL else "care" if surely >= 0.5 else "poor"
    least = "" if len(objects) == 1 else ", the object that is lost most often,"
    return (
        level,
        f"the {worst.name}{least} is there in {100 * worst.recall.mean:.0f}\u00a0% of {worst.n} reconstructions",
    )


def _agreement(fidelity: Fidelity, does: str) -> tuple[str, str]:
    level = "good" if fidelity.same_action >= ENOUGH_AGREEMENT else "care"
    return level, f"the agent {does} in {100 * fidelity.same_action:.0f}\u00a0% of reconstructions"


def _samples(samples: SampleMeasures) -> tuple[str, str]:
    ratio = (samples.distance or 0.0) / max(samples.floor or 0.0, 1e-9)
    good = ratio <= TOLERATED_DISTANCE
    text = f"random samples are {number(ratio)} times as far from real states as these are from each other"
    if samples.valid is not None and samples.real_valid is not None:
        good = good and samples.valid >= ENOUGH_VALID * samples.real_valid
        text += f", and {100 * samples.valid:.0f}\u00a0% of them pass the checks of their objects"
    return "good" if good else "care", text
