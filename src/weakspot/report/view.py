"""From artefacts to what the templates print: pictures as data URIs, bars in percent, numbers as words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from weakspot.artifacts.evidence import Reconstructions, Samples
from weakspot.artifacts.findings import Findings
from weakspot.artifacts.novelty import Novelty
from weakspot.artifacts.run import Run
from weakspot.artifacts.subject import AgentRecord
from weakspot.artifacts.training import Curve
from weakspot.report.charts import Axis, Chart, distribution_chart, energy_chart, number, training_chart
from weakspot.report.images import Film, saliency_uri, strip_uri

LARGE_CARDS = 8
"""How many synthesised states of a target are shown large."""
RETRIEVED = 5
"""How many real states are shown beside them."""

CURVES = {
    "loss": ("Loss", "", False),
    "reconstruction": ("Reconstruction Lₚ", "", False),
    "perception": ("Perception Lₐ", "", False),
    "prior": ("Prior KL", "nats", False),
    "mse": ("Squared error", "mean over pixels", False),
    "agreement": ("Same action as on the real state", "share of states", True),
}
"""Title, unit, and whether it is a share, of the quantities that the training of the state model logs."""


@dataclass(frozen=True)
class Detail:
    """How much the pictures may cost: rounding of colours in levels, and how many small states follow."""

    step: int
    rest: int


@dataclass(frozen=True)
class Bar:
    """One bar from ``left`` over ``width`` percent of its row, ``text`` its value; ``chosen`` if the agent takes it."""

    left: float
    width: float
    text: str
    chosen: bool


@dataclass(frozen=True)
class BarRow:
    """The bars of one action: one, or two where real and reconstructed are compared."""

    action: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Bars:
    """The agent's answer to a state, one row an action; ``zero`` is where bars begin, in percent."""

    rows: tuple[BarRow, ...]
    zero: float


@dataclass(frozen=True)
class Fact:
    """A number and what it is."""

    name: str
    value: str


@dataclass(frozen=True)
class StateCard:
    """A synthesised state shown large."""

    film: Film
    closest: Film | None
    distance: tuple[Fact, ...]
    answer: str
    bars: Bars
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class SmallCard:
    """A state shown small, with two words beneath it."""

    film: Film
    answer: str
    caption: str


@dataclass(frozen=True)
class TargetView:
    """The section of one target."""

    slug: str
    symbol: str
    title: str
    description: str
    equation: str
    count: int
    chosen: str
    beyond: str
    charts: tuple[Chart, ...]
    bars_caption: str
    cards: tuple[StateCard, ...]
    rest: tuple[SmallCard, ...]
    rest_left_out: int
    retrieved: tuple[SmallCard, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class ReconstructionCard:
    """A real state beside its reconstruction."""

    real: Film
    reconstructed: Film
    bars: Bars
    answer: str
    agrees: bool


TARGET_ORDER = ("T-", "T+", "T±", "S-", "S+", "V-", "V+")
"""The order in which targets are shown; others follow by their slug."""


def target_order(run: Run) -> list[str]:
    """The symbols of the targets of a run, in the order in which they are shown."""

    def place(symbol: str) -> tuple[int, str]:
        known = symbol in TARGET_ORDER
        return TARGET_ORDER.index(symbol) if known else len(TARGET_ORDER), run.findings[symbol].search.slug

    return sorted(run.findings, key=place)


def card_facts(run: Run) -> tuple[Fact, ...]:
    """What the agent's card says."""
    card = run.agent.card
    return () if card is None else flat(asdict(card))


def shown_symbol(symbol: str) -> str:
    """``T−`` with a real minus sign for ``T-``; other symbols as they are."""
    return symbol.replace("-", "−") if symbol in TARGET_ORDER else symbol


def subscripts(text: str) -> tuple[tuple[str, str], ...]:
    """An equation in plain text as pairs of what stands on the line and what is set below it: ``L_p`` is (L, p)."""
    parts = re.split(r"(?<=\w)_([a-z0-9μσ]{1,3})\b", text)
    return tuple(zip(parts[::2], [*parts[1::2], ""], strict=True))


def shown_scores(scores: np.ndarray, agent: AgentRecord) -> np.ndarray:
    """Q-values as they are, log-probabilities as probabilities (n, a)."""
    if not _is_policy(agent):
        return scores
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def scores_word(agent: AgentRecord) -> str:
    """What the bars show."""
    names = {"log-probabilities": "probability", "means": "mean", "q-values": "Q-value"}
    return names[agent.scores_are]


def _is_policy(agent: AgentRecord) -> bool:
    return agent.scores_are == "log-probabilities"


def _is_continuous(agent: AgentRecord) -> bool:
    return agent.continuous


def _score_text(value: float, axis: Axis, agent: AgentRecord) -> str:
    """Percent, or as many decimals for every score on the axis as show three digits of the largest."""
    if _is_policy(agent):
        return f"{100 * value:.0f}\u00a0%" if value >= 0.005 else "<1\u00a0%"
    decimals = max(0, 2 - math.floor(math.log10(max(-axis.low, axis.high))))
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def _bars_axes(scores: np.ndarray, agent: AgentRecord) -> list[Axis]:
    """One axis for each action: the same for all, or, for the dimensions of continuous ones, each with zero in its middle
    and room for its bounds."""
    count = scores.shape[1]
    if _is_policy(agent):
        return [Axis(0.0, 1.0)] * count
    if agent.action_bounds is not None:
        ends = np.maximum(np.abs(scores).max(axis=0), np.abs(np.asarray(agent.action_bounds)).max(axis=1))
        return [Axis(-float(end), float(end)) for end in np.where(ends > 0, ends, 1.0)]
    low, high = min(0.0, float(scores.min())), max(0.0, float(scores.max()))
    return [Axis(low, high if high > low else low + 1.0)] * count


def _bars(actions: tuple[str, ...], answers: list[np.ndarray], axes: list[Axis], agent: AgentRecord) -> Bars:
    zero = float(axes[0].place([0.0])[0])
    rows = []
    for index, (action, axis) in enumerate(zip(actions, axes, strict=True)):
        bars = []
        for scores in answers:
            place = float(axis.place([scores[index]])[0])
            text = _score_text(float(scores[index]), axis, agent)
            taken = _is_continuous(agent) or index == int(scores.argmax())
            bars.append(Bar(round(min(zero, place), 2), round(abs(place - zero), 2), text, taken))
        rows.append(BarRow(action, tuple(bars)))
    return Bars(tuple(rows), round(zero, 2))


def bars_caption(scores: np.ndarray, agent: AgentRecord, of_state: str) -> str:
    """What bars show, and from where to where."""
    taken = "most likely" if agent.acts == "sampled" else "taken"
    if _is_policy(agent):
        return f"Bars: probability of each action, from 0 to 100\u00a0%, {of_state}; the one that is {taken} is coloured."
    if _is_continuous(agent):
        return (
            f"Bars: the policy’s mean in each dimension of its action {of_state}, zero in the middle, before it is held "
            "within its bounds. Each dimension has a scale of its own, the same for every state here."
        )
    axis = _bars_axes(scores, agent)[0]
    ends = f"from {number(axis.low)} to {number(axis.high)}, the same for every state here"
    return f"Bars: {scores_word(agent)} of each action {of_state}, {ends}; the one that is {taken} is coloured."


def answer_text(actions: tuple[str, ...], scores: np.ndarray, axes: list[Axis], agent: AgentRecord) -> str:
    """What the agent does, in a few words: its best action and the score of that, or all dimensions of a continuous one."""
    told = range(len(actions)) if _is_continuous(agent) else [int(scores.argmax())]
    return ", ".join(f"{actions[index]} {_score_text(float(scores[index]), axes[index], agent)}" for index in told)


def target_view(run: Run, symbol: str, detail: Detail) -> TargetView:
    """The section of one target; pictures are encoded here."""
    agent, actions = run.agent, run.environment.action_names
    findings, novelty = run.findings[symbol], run.novelty.get(symbol)
    search = findings.search
    scores = shown_scores(findings.scores, agent)
    axes = _bars_axes(scores, agent)
    count, frames = len(findings.states), run.environment.frames

    def answer(index: int) -> str:
        return answer_text(actions, scores[index], axes, agent)

    def film(index: int, saliency: str) -> Film:
        alt = f"Synthesised state {index + 1} of {count} for {shown_symbol(symbol)}, the newest of {frames} frames."
        uri = strip_uri(findings.states[index], detail.step)
        return Film(uri, f"{alt} The agent answers {answer(index)}.", "synthesised", "synthesised", saliency)

    cards, rest = [], []
    for index in range(min(LARGE_CARDS, count)):
        closest, distance = None, ()
        if novelty is not None:
            alt = f"Closest training state to synthesised state {index + 1}."
            closest = Film(strip_uri(novelty.closest[index], detail.step), alt, "closest real state", "real")
            differs = f"{100 * novelty.differing_share[index]:.1f}\u00a0%"
            distance = (Fact("pixels that differ", differs), Fact("squared error", number(novelty.mse[index], 2)))
        facts = [Fact("target energy T", number(findings.target[index]))]
        if findings.value is not None:
            facts.insert(0, Fact("critic's value V", number(findings.value[index])))
        facts.append(Fact("KL to prior", f"{number(findings.prior_kl[index])} nats"))
        facts.append(Fact("steps", f"{int(findings.iterations[index]):,}"))
        picture = film(index, saliency_uri(findings.saliency[index]))
        bars = _bars(actions, [scores[index]], axes, agent)
        cards.append(StateCard(picture, closest, distance, answer(index), bars, tuple(facts)))
    for index in range(len(cards), min(count, len(cards) + detail.rest)):
        rest.append(SmallCard(film(index, ""), answer(index), f"T = {number(findings.target[index])}"))
    settings = flat(search.settings)
    return TargetView(
        slug=search.slug,
        symbol=shown_symbol(symbol),
        title=search.title,
        description=search.description,
        equation=search.energy_equation,
        count=count,
        chosen=_chosen(findings),
        beyond=_beyond(findings, novelty),
        charts=_target_charts(findings, novelty),
        bars_caption=bars_caption(scores, agent, "in a state"),
        cards=tuple(cards),
        rest=tuple(rest),
        rest_left_out=count - len(cards) - len(rest),
        retrieved=_retrieved(symbol, novelty, detail),
        facts=(*settings, Fact("seed", str(search.seed)), Fact("time", duration(search.seconds))),
    )


def _chosen(findings: Findings) -> str:
    """Of how many searches the states are the best; nothing where every search is shown."""
    each = findings.search.settings.get("searches", 1)
    if not isinstance(each, int) or each <= 1:
        return ""
    count = len(findings.states)
    return f"Of {each * count} searches, those {count} that ended in the states with the lowest target energy."


def _target_charts(findings: Findings, novelty: Novelty | None) -> tuple[Chart, ...]:
    charts = [energy_chart(findings.energy)] if findings.energy.shape[1] else []
    if novelty is not None and len(novelty.real_target) and len(findings.target):
        charts.append(distribution_chart(novelty.real_target, findings.target))
    return tuple(chart for chart in charts if chart is not None)


def _beyond(findings: Findings, novelty: Novelty | None) -> str:
    if novelty is None or not len(novelty.real_target):
        return ""
    real = novelty.real_target
    further = int((findings.target < real.min()).sum())
    return (
        f"Dashed: the lowest of the {len(real):,} held-out real states; {further} of {len(findings.target)} "
        f"synthesised states {'lies' if further == 1 else 'lie'} below it."
    )


def _retrieved(symbol: str, novelty: Novelty | None, detail: Detail) -> tuple[SmallCard, ...]:
    if novelty is None:
        return ()
    cards = []
    pairs = zip(novelty.retrieved, novelty.retrieved_target, strict=True)
    for place, (state, energy) in enumerate(list(pairs)[:RETRIEVED], start=1):
        alt = f"Real state number {place} by the target energy of {shown_symbol(symbol)}."
        film = Film(strip_uri(state, detail.step), alt, "real", "real")
        cards.append(SmallCard(film, "", f"T = {number(float(energy))}"))
    return tuple(cards)


def reconstruction_cards(data: Reconstructions, run: Run, detail: Detail) -> tuple[ReconstructionCard, ...]:
    """Real states beside their reconstructions, with the agent's answers to both."""
    agent, actions = run.agent, run.environment.action_names
    real, rebuilt = shown_scores(data.scores_real, agent), shown_scores(data.scores_reconstructed, agent)
    axes = _bars_axes(np.concatenate([real, rebuilt]), agent)
    cards = []
    for index in range(len(data.real)):
        saliency = saliency_uri(data.saliency[index])
        if _is_continuous(agent):
            first, second = (answer_text(actions, scores[index], axes, agent) for scores in (real, rebuilt))
        else:
            first, second = (actions[int(scores[index].argmax())] for scores in (real, rebuilt))
        film = Film(
            strip_uri(data.real[index], detail.step),
            f"Real state {index + 1}; {first}.",
            "real",
            "real",
            saliency,
        )
        uri = strip_uri(data.reconstructed[index], detail.step)
        other = Film(uri, f"Reconstruction of state {index + 1}; {second}.", "reconstruction", "reconstructed")
        bars = _bars(actions, [real[index], rebuilt[index]], axes, agent)
        answer = f"{first} on both" if first == second else f"{first} became {second}"
        cards.append(ReconstructionCard(film, other, bars, answer, bool(data.same_action[index])))
    return tuple(cards)


def sample_cards(data: Samples, detail: Detail) -> tuple[SmallCard, ...]:
    """Random samples, in the order they were drawn."""
    films = (
        Film(strip_uri(state, detail.step), f"Random sample {place}.", "sample", "synthesised")
        for place, state in enumerate(data.states, start=1)
    )
    return tuple(SmallCard(film, "", "") for film in films)


def samples_caption(data: Samples) -> str:
    """How far random samples are from real states."""
    measures = data.measures
    if not measures.count or measures.distance is None or measures.floor is None:
        return "Too few real states are held out to compare the samples with."
    text = (
        f"In the agent’s own features, {measures.count} random samples are {number(measures.distance)} away from as many real "
        f"states; two halves of the real states are {number(measures.floor)} apart (Fréchet distance)."
    )
    if measures.valid is not None and measures.real_valid is not None:
        text += (
            f" Objects: {100 * measures.valid:.0f} % of the samples have at most one ball, and on each side one sharp paddle of "
            f"the right height, in every frame; {100 * measures.real_valid:.0f} % of real states do."
        )
    return text


def reconstruction_caption(data: Reconstructions, agent: AgentRecord) -> str:
    """What the paired bars show."""
    scores = shown_scores(np.concatenate([data.scores_real, data.scores_reconstructed]), agent)
    return bars_caption(scores, agent, "on the real state (upper) and on its reconstruction (lower)")


def training_charts(curves: tuple[Curve, ...]) -> tuple[Chart, ...]:
    """One small chart for every quantity that is known, losses first, in a fixed order."""
    by_name = {curve.name: curve for curve in curves}
    known = [(by_name[name], *CURVES[name]) for name in CURVES if name in by_name]
    recalls = [curve for curve in curves if curve.name.endswith("_recall")]
    named = [(curve, curve.name.removesuffix("_recall").replace("_", " ").capitalize()) for curve in recalls]
    charts = [(curve, f"{name} recall, held-out", "share of states", True) for curve, name in named]
    return tuple(training_chart(*entry) for entry in known + charts)


def stage_bars(seconds: Mapping[str, float]) -> tuple[tuple[str, float, str], ...]:
    """(stage, percent of the longest one, time) of every stage."""
    longest = max([*seconds.values(), 1e-9])
    return tuple((stage, round(100 * value / longest, 1), duration(value)) for stage, value in seconds.items())


def duration(seconds: float) -> str:
    """Such as ``12 s``, ``3 min 20 s`` or ``1 h 05 min``."""
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
            facts.extend(flat(value, f"{prefix}{name}."))
        else:
            facts.append(Fact(f"{prefix}{name}", _plain(value)))
    return tuple(facts)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value, 6)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return "none" if value is None else str(value)


def key_figures(run: Run) -> tuple[Fact, ...]:
    """The few numbers under the title."""
    figures = []
    card = run.agent.card
    if card is not None:
        figures.append(
            Fact(
                f"score, mean ± s.d. of {card.episodes} episodes",
                f"{number(card.score_mean)} ± {number(card.score_std, 2)}",
            )
        )
    if run.goggles is not None:
        name = f"score on reconstructions, against {number(run.goggles.agent.interval.mean)} on real frames"
        figures.append(Fact(name, number(run.goggles.goggles.interval.mean)))
    if run.fidelity and run.fidelity.objects:
        worst = min(run.fidelity.objects, key=lambda item: item.recall.mean)
        figures.append(Fact(f"of reconstructions hold the {worst.name}", f"{100 * worst.recall.mean:.0f}\u00a0%"))
    if run.findings:
        targets = f"{len(run.findings)} target" + ("s" if len(run.findings) != 1 else "")
        figures.append(Fact(f"synthesised states for {targets}", str(sum(len(f.states) for f in run.findings.values()))))
    return tuple(figures)
