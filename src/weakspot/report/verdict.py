"""How far the state model can be trusted: a verdict by a rule that the report prints as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from weakspot.artifacts.evidence import Fidelity, Goggles, ObjectRecall, SampleMeasures
from weakspot.artifacts.run import Run
from weakspot.report.text import number, percent
from weakspot.state_model.config import FEW_NATS, collapse_words, is_collapsed

Level: TypeAlias = Literal["good", "care", "poor", "unknown"]

TOLERATED_LOSS = 0.15
"""Share of the agent's score that may be lost on reconstructions."""
MIN_RECALL = 0.8
"""Share of real states whose reconstruction must contain an object."""
MIN_AGREEMENT = 0.8
"""Share of real states in which the agent must choose the same action on the reconstruction."""
TOLERATED_DISTANCE = 1.5
"""Distance of random samples from real states, over the distance between two halves of the real states."""
MIN_VALID_RATIO = 0.85
"""Share of random samples that must pass the checks of their objects, over the share of real states that do."""

RULE = (
    "“Faithful”: the 95\u00a0% interval of the goggles test rules out that the agent loses more than "
    f"{percent(TOLERATED_LOSS)} of its score, or of the standard deviation of its score over episodes if that is larger; "
    f"each kind of object is in at least {percent(MIN_RECALL)} of the reconstructions; the agent chooses the same "
    "action (for continuous actions: one within a tenth of each dimension’s range) in at least "
    f"{percent(MIN_AGREEMENT)} of them; and random samples resemble real states: in the agent’s features they are at "
    f"most {TOLERATED_DISTANCE:g} times as far from real states as two halves of the real states are from each other, and, "
    f"for games whose objects can be checked, they pass the checks at least {percent(MIN_VALID_RATIO)} as often. "
    "“Do not trust”: the interval of the goggles test shows a loss of more than half of that, or the interval of an "
    "object’s recall lies below one half, or the latents carry less than "
    f"{FEW_NATS:g} nats about a state, or none of them is in use. “With care”: all other cases."
)

HEADLINES: dict[Level, str] = {
    "good": "The state model is faithful to this agent.",
    "care": "Read the synthesised states with care.",
    "poor": "Do not trust the synthesised states yet.",
    "unknown": "The state model was not checked.",
}


@dataclass(frozen=True)
class Verdict:
    """How far the state model can be trusted: a level, a headline, and a sentence with the numbers behind it."""

    level: Level
    headline: str
    sentence: str


@dataclass(frozen=True)
class _Check:
    """The verdict of one test of the state model."""

    level: Level
    text: str


def judge(run: Run) -> Verdict:
    """The verdict by :data:`RULE`: the worst level of all checks that the run has results for."""
    checks = [_goggles(run.goggles)] if run.goggles else []
    if run.fidelity and run.fidelity.objects:
        checks.append(_recall(run.fidelity.objects))
    if run.fidelity and is_collapsed(run.fidelity.kl, run.fidelity.active_units):
        checks.append(_Check("poor", _collapsed(run.fidelity)))
    if not checks:
        trained = f" It was trained for {run.model.steps:,} steps." if run.model else ""
        sentence = (
            "This run has neither a goggles test nor the recall of objects, so the report cannot rate its state model."
            f"{trained} --goggles.episodes 8 checks it."
        )
        return Verdict("unknown", HEADLINES["unknown"], sentence)
    if run.fidelity:
        verb = "chooses nearly the same action" if run.agent.continuous else "chooses the same action"
        checks.append(_agreement(run.fidelity, verb))
    if run.samples and run.samples.count:
        checks.append(_samples(run.samples))
    levels = {check.level for check in checks}
    level: Level = "poor" if "poor" in levels else "care" if "care" in levels else "good"
    return Verdict(level, HEADLINES[level], " ".join(f"{check.text[0].upper()}{check.text[1:]}." for check in checks))


def _goggles(goggles: Goggles) -> _Check:
    agent, difference = goggles.agent, goggles.difference
    scale = max(abs(agent.interval.mean), float(np.std(agent.scores)) if agent.scores else 0.0, 1e-9)
    low, high = difference.low, difference.high
    text = (
        f"on reconstructions the agent scores {number(goggles.goggles.interval.mean)}, on real frames "
        f"{number(agent.interval.mean)}"
    )
    if low is None or high is None:
        return _Check("care", f"{text} (too few episodes for an interval)")
    text += f": a difference of {number(difference.mean)} (95\u00a0% interval {number(low)} to {number(high)})"
    if low >= -TOLERATED_LOSS * scale:
        return _Check("good", text)
    if high < -0.5 * scale:
        return _Check("poor", text)
    return _Check("care", f"{text}, undecided with so few episodes" if high >= 0 else text)


def _recall(objects: tuple[ObjectRecall, ...]) -> _Check:
    worst = min(objects, key=lambda item: item.recall.mean)
    upper_end = worst.recall.mean if worst.recall.high is None else worst.recall.high
    level: Level = "good" if worst.recall.mean >= MIN_RECALL else "care" if upper_end >= 0.5 else "poor"
    least = "" if len(objects) == 1 else ", the object that is lost most often,"
    return _Check(level, f"the {worst.name}{least} is in {percent(worst.recall.mean)} of {worst.n} reconstructions")


def _collapsed(fidelity: Fidelity) -> str:
    """What is wrong with a state model whose posterior has collapsed, and what to change."""
    seen = collapse_words(fidelity.kl, number(fidelity.kl))
    return (
        f"{seen}, so that nearly the same frame is decoded for every state; raise the scale of the squared error, train "
        "longer, or choose another recipe"
    )


def _agreement(fidelity: Fidelity, verb: str) -> _Check:
    level: Level = "good" if fidelity.same_action >= MIN_AGREEMENT else "care"
    return _Check(level, f"the agent {verb} in {percent(fidelity.same_action)} of reconstructions")


def _samples(samples: SampleMeasures) -> _Check:
    ratio = (samples.distance or 0.0) / max(samples.floor or 0.0, 1e-9)
    good = ratio <= TOLERATED_DISTANCE
    text = f"random samples are {number(ratio)} times as far from real states as these are from each other"
    if samples.valid is not None and samples.real_valid is not None:
        good = good and samples.valid >= MIN_VALID_RATIO * samples.real_valid
        text += f", and {percent(samples.valid)} of them pass the checks of their objects"
    return _Check("good" if good else "care", text)
