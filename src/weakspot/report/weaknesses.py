"""Weaknesses in the report: each as a sentence, with a loss and its rescue side by side, and what its cause changes."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.artifacts.run import Run
from weakspot.artifacts.weaknesses import Clip, Confirmation, Correlate, Rate, Weakness, Weaknesses, moment_text
from weakspot.report.films import Detail, FilmEncoder
from weakspot.report.images import difference_uri, in_colour, part_uri, strip_uri
from weakspot.report.text import Fact, number

SHOWN = 5
"""Weaknesses that are shown with their clips."""

MEANINGS = {
    "avoidable loss": "the agent loses, and something that was tried avoids it",
    "hopeless": "the agent loses, and nothing that was tried avoids it: not a weakness of this agent",
    "unfounded fear": "the agent expects little and does well",
    "overconfidence": "the agent expects much and gets little",
    "needless action": "the action makes nothing better",
    "undecided": "the rollouts do not tell",
}
"""What the verdicts mean."""


@dataclass(frozen=True)
class ClipView:
    """A rollout as a strip of frames: their number, what happens, the kind that decides the colour, a label of one or two
    words, and what each frame is."""

    uri: str
    frames: int
    alt: str
    caption: str
    kind: str
    label: str
    moments: tuple[str, ...]


@dataclass(frozen=True)
class WeaknessView:
    """One group of states.

    Attributes:
        number: from 1, for ``weakspot replay``.
        verdict, meaning, sentence: in words.
        clips: a loss, and its rescue.
        cause: the next frame of a typical state, bright where the change that avoids the loss is seen; or, where no cause is
            known, a typical state, bright where the picture differs from that of similar states without a loss; or empty.
        cause_label: ``cause``, or ``differs``.
        cause_text: what is bright.
        facts: numbers with their intervals.
    """

    number: int
    verdict: str
    meaning: str
    sentence: str
    clips: tuple[ClipView, ...]
    cause: str
    cause_label: str
    cause_text: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class WeaknessesView:
    """What rollouts showed: a headline, confirmed weaknesses, other groups, all verdicts, a summary, and notes."""

    headline: str
    confirmed: tuple[WeaknessView, ...]
    others: tuple[WeaknessView, ...]
    verdicts: tuple[str, ...]
    summary: str
    notes: tuple[str, ...]


def weaknesses_view(run: Run, detail: Detail) -> WeaknessesView | None:
    """What rollouts showed; None if there were none."""
    confirmation, rollouts = run.confirmation, run.rollouts
    if confirmation is None or rollouts is None:
        return None
    films = FilmEncoder(run.environment, detail)
    views = [_view(run, rollouts, index, films, shown=index < SHOWN) for index in range(len(confirmation.weaknesses))]
    pairs = list(zip(views, confirmation.weaknesses, strict=True))
    controls, twins = confirmation.controls, confirmation.twins
    twin_part = f" and {twins.trials} from {twins.states} twins ({_rate(twins)} lost)" if twins.trials else ""
    summary = (
        f"Rollouts of {confirmation.horizon} decisions: {controls.trials} from {controls.states} recorded states drawn at "
        f"random ({_rate(controls)} lost: the agent {confirmation.loss}){twin_part}."
    )
    return WeaknessesView(
        headline=headline(confirmation),
        confirmed=tuple(view for view, weakness in pairs if weakness.confirmed),
        others=tuple(view for view, weakness in pairs if not weakness.confirmed),
        verdicts=tuple(dict.fromkeys(weakness.verdict for weakness in confirmation.weaknesses)),
        summary=summary,
        notes=confirmation.notes,
    )


def headline(confirmation: Confirmation) -> str:
    """How many weaknesses were confirmed, or that the agent is weak everywhere."""
    count = sum(weakness.confirmed for weakness in confirmation.weaknesses)
    if count:
        return f"{count} confirmed weakness{'es' if count > 1 else ''}"
    if confirmation.weak_everywhere:
        return f"Weak everywhere: it {confirmation.loss} in {confirmation.controls.share:.0%} of rollouts from random states"
    return "No weakness was confirmed"


def _view(run: Run, rollouts: Weaknesses, index: int, films: FilmEncoder, *, shown: bool) -> WeaknessView:
    weakness = rollouts.confirmation.weaknesses[index]
    cause, cause_text = _cause(run, rollouts, index) if shown else ("", "")
    return WeaknessView(
        number=index + 1,
        verdict=weakness.verdict,
        meaning=MEANINGS[weakness.verdict],
        sentence=weakness.sentence,
        clips=tuple(_clips(run, rollouts, weakness, films)) if shown else (),
        cause=cause,
        cause_label="differs" if weakness.cause is None else "cause",
        cause_text=cause_text,
        facts=_facts(weakness),
    )


def _cause(run: Run, rollouts: Weaknesses, index: int) -> tuple[str, str]:
    """A typical state, bright where its cause is seen or where it differs, and what that is; see :class:`WeaknessView`."""
    weakness, colours = rollouts.confirmation.weaknesses[index], run.environment.channel_colours
    if weakness.cause is not None:
        picture = difference_uri(rollouts.before[index], rollouts.after[index], colours)
        return picture, "without the change" if weakness.changed else f"{weakness.cause.names} set to a usual value"
    for differs in weakness.differs:
        if differs.box is not None:
            newest = rollouts.typical[index][-1]
            return part_uri(newest, differs.box, colours), "what differs from similar states without a loss"
    return "", ""


def _clips(run: Run, rollouts: Weaknesses, weakness: Weakness, films: FilmEncoder) -> list[ClipView]:
    views: list[ClipView] = []
    for clip, rescued in ((weakness.loss, False), (weakness.rescued, True)):
        if clip is None:
            continue
        frames = rollouts.clip(clip)
        every = -(-len(frames) // films.detail.clip)
        strip = frames[::every]
        caption = _caption(clip)
        colours = run.environment.channel_colours
        uri = strip_uri(strip if colours is None else in_colour(strip, colours), films.detail.step)
        kind = "good" if clip.loss is None else "poor"
        alt = f"Clip of {len(clip.actions)} decisions. {caption}"
        moments = tuple(_moment(clip, place * every * clip.every) for place in range(len(strip)))
        label = "as it acts" if not rescued else "best attempt" if clip.loss else "rescue"
        views.append(ClipView(uri, len(strip), alt, caption, kind, label, moments))
    return views


def _moment(clip: Clip, decisions: int) -> str:
    """What a frame of a clip is: how many decisions came before it, and what they were."""
    text = moment_text(decisions)
    if 0 < decisions <= clip.override:
        text += ", given"
    return f"{text}, loss" if clip.loss and decisions >= clip.loss else text


def _caption(clip: Clip) -> str:
    who = clip.label or "the agent as it acts"
    end = f"loss after {clip.loss} decisions" if clip.loss else f"no loss in {len(clip.actions)} decisions"
    return f"{who[0].upper()}{who[1:]}: {end}"


def _facts(weakness: Weakness) -> tuple[Fact, ...]:
    facts = [
        _counted("rollouts lost", weakness.rate, "rollouts of the agent, with fresh seeds, were lost"),
        _counted("random states like it", weakness.met, "recorded states drawn at random are like it"),
    ]
    if weakness.cause is not None:
        when = "without the change" if weakness.changed else "after the change"
        facts.append(_counted(f"not lost {when}", weakness.cause.saved, f"rollouts {when} were not lost"))
    facts += [_separation(differs) for differs in weakness.differs]
    if weakness.rescue is not None:
        facts.append(_counted("not lost with the rescue", weakness.rescue.saved, "rollouts with the rescue were not lost"))
    if weakness.expected is not None:
        how = "means over the horizon: by the agent’s values, calibrated on random states, and in the rollouts"
        facts.append(Fact("expected and earned return", f"{number(weakness.expected)}, {number(weakness.earned)}", how))
    return tuple(facts)


def _separation(differs: Correlate) -> Fact:
    """How well a variable or a part of the picture separates the states from others."""
    higher, lower = ("higher", "lower") if differs.box is None else ("brighter", "darker")
    how = "share of pairs of such a state and a similar one without a loss; it need not be the cause"
    name = f"{differs.name}: {higher if differs.higher else lower} in"
    return Fact(name, f"{100 * differs.separation:.0f}\u00a0% of pairs", how)


def _counted(name: str, rate: Rate, what: str) -> Fact:
    """A rate, and how it was got."""
    states = f"{rate.states} state{'s' if rate.states != 1 else ''}"
    how = f"{rate.events} of {rate.trials} {what}; from {states}; 95\u00a0% interval by state"
    return Fact(name, _rate(rate), how)


def _rate(rate: Rate) -> str:
    """Percent with its interval."""
    return f"{100 * rate.share:.0f}\u00a0% ({100 * rate.low:.0f} to {100 * rate.high:.0f})"
