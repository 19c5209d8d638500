"""The section of one target: charts of its searches, and the synthesised states next to real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from weakspot.artifacts.findings import Findings
from weakspot.artifacts.novelty import Novelty
from weakspot.artifacts.overconfidence import Overconfidence
from weakspot.artifacts.policy_values import PolicyValues
from weakspot.artifacts.run import Run
from weakspot.artifacts.twins import Twins
from weakspot.report.bars import Bars, action_text, bar_axes, bars_caption, displayed_scores, score_bars
from weakspot.report.charts import Chart, distribution_chart, energy_chart
from weakspot.report.films import Detail, FilmEncoder, SmallCard
from weakspot.report.images import Film
from weakspot.report.text import Fact, duration, flat, number
from weakspot.report.twins import TwinCard, TwinCards, twins_sentence

RETRIEVED = 5
"""Number of retrieved real states that are shown."""

TARGET_ORDER = ("T-", "T+", "V-", "V+", "T±", "S-", "S+")
"""The order in which targets are shown; others follow by their slug."""


@dataclass(frozen=True)
class StateCard:
    """A synthesised state shown large, or its twin, with the closest real state, the agent's scores, and numbers.

    Attributes:
        link: the name of the card in addresses.
        film: of the synthesised state.
        twin: None if it has none.
        closest: the closest real state, or None.
        differs: the synthesised state, bright where it differs from that one; None if it does not.
        path: of the search, or None.
        no_twin: why it has no twin, or an empty text.
        verdict: on the states like its twin, or an empty text.
        distance: how different the closest real state is.
        bars: the agent's scores.
        facts: other numbers.
    """

    link: str
    film: Film
    twin: TwinCard | None
    closest: Film | None
    differs: Film | None
    path: Film | None
    no_twin: str
    verdict: str
    distance: tuple[Fact, ...]
    bars: Bars
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class TargetView:
    """The section of one target.

    Attributes:
        slug, symbol, title, description, equation: of the target.
        values: what the action values of a policy are, or an empty sentence.
        count: number of synthesised states.
        selection: how many searches the states were selected from, or an empty sentence.
        beyond: how many states have a lower energy than all real ones, or an empty sentence.
        twins: how many states have a twin, or an empty sentence.
        charts: energies of the searches and of real states.
        bars_caption: what the bars show.
        cards: states shown large.
        rest: states shown small.
        left_out: number of states that are not shown.
        retrieved: real states of lowest energy.
        kinds: of the twins on the cards, for the filter.
        verdicts: on the states of the cards, for the filter.
        facts: settings of the searches.
    """

    slug: str
    symbol: str
    title: str
    description: str
    equation: str
    values: str
    count: int
    selection: str
    beyond: str
    twins: str
    charts: tuple[Chart, ...]
    bars_caption: str
    cards: tuple[StateCard, ...]
    rest: tuple[SmallCard, ...]
    left_out: int
    retrieved: tuple[SmallCard, ...]
    kinds: tuple[str, ...]
    verdicts: tuple[str, ...]
    facts: tuple[Fact, ...]


def target_order(run: Run) -> list[str]:
    """The symbols of the targets of a run, in the order in which they are shown."""

    def sort_key(symbol: str) -> tuple[int, str]:
        known = symbol in TARGET_ORDER
        return TARGET_ORDER.index(symbol) if known else len(TARGET_ORDER), run.findings[symbol].search.slug

    return sorted(run.findings, key=sort_key)


def symbol_text(symbol: str) -> str:
    """``T−`` with a real minus sign for ``T-``; names of other targets unchanged."""
    return symbol.replace("-", "−") if symbol in TARGET_ORDER else symbol


def target_view(run: Run, symbol: str, detail: Detail) -> TargetView:
    """The section of one target; its images are encoded here."""
    findings, novelty, twins = run.findings[symbol], run.novelty.get(symbol), run.twins.get(symbol)
    search, count = findings.search, len(findings.states)
    large = min(detail.large, count)
    small = min(detail.rest, count - large)
    maker = _Cards(run, symbol, findings, novelty, twins, FilmEncoder(run.environment, detail))
    cards = tuple(maker.large(index) for index in range(large))
    return TargetView(
        slug=search.slug,
        symbol=symbol_text(symbol),
        title=search.title,
        description=search.description,
        equation=search.energy_equation,
        values=_values(run.policy_values.get(symbol)) or _surplus(run.overconfidence.get(symbol)),
        count=count,
        selection=_selection(findings),
        beyond=_beyond(findings, novelty),
        twins=twins_sentence(twins),
        charts=_charts(findings, novelty),
        bars_caption=bars_caption(maker.scores, run.agent, "in a state"),
        cards=cards,
        rest=tuple(maker.small(index) for index in range(large, large + small)),
        left_out=count - large - small,
        retrieved=maker.retrieved(),
        kinds=tuple(dict.fromkeys(card.twin.kind_name if card.twin else "none" for card in cards)),
        verdicts=tuple(dict.fromkeys(card.verdict for card in cards if card.verdict)),
        facts=(*flat(search.settings | {"seed": search.seed}), Fact("time", duration(search.seconds))),
    )


def _surplus(found: Overconfidence | None) -> str:
    """How the surplus was estimated, and how well."""
    if found is None:
        return ""
    interval, share = f"95\u00a0% interval {number(found.low)} to {number(found.high)}", f"{100 * found.share:.0f}\u00a0%"
    return (
        "How much more the agent gets than it expects is estimated from its own features, and was fitted to the returns "
        f"over {found.horizon:,} decisions that followed {found.states:,} recorded states. In play that a fit did not see, "
        f"the estimate and the return less what the agent expected have the correlation {number(found.correlation)} "
        f"({interval}); in the {share} of the states with the lowest estimates the agent expected {number(found.expected)} "
        f"and got {number(found.got)} on average, with a discount of {number(found.gamma)} a decision."
    )


def _values(values: PolicyValues | None) -> str:
    """How the action values of a policy were derived, and how well the target ranks real states."""
    if values is None:
        return ""
    if values.low is None or values.high is None:
        origin = "as given"
    else:
        interval = f"95\u00a0% interval {number(values.low)} to {number(values.high)}"
        origin = f"fitted to the returns that followed {values.decisions:,} recorded decisions, {interval}"
    text = (
        "The agent is a policy without action values; q are those that its probabilities imply under its critic, with "
        f"the temperature {number(values.tau)} ({origin})."
    )
    if values.correlation is None:
        return text
    others = [
        f"{number(value)} with {what}"
        for value, what in (
            (values.value_correlation, "the critic’s value alone"),
            (values.policy_correlation, "log-probabilities in place of q"),
        )
        if value is not None
    ]
    compared = f" ({', '.join(others)})" if others else ""
    return (
        f"{text} Over the real states, the rank correlation between the value that the target asks about and the return "
        f"that followed is {number(values.correlation)}{compared}."
    )


class _Cards:
    """Makes the cards of one target."""

    def __init__(
        self, run: Run, symbol: str, findings: Findings, novelty: Novelty | None, twins: Twins | None, films: FilmEncoder
    ) -> None:
        self.agent, self.actions, self.frames = run.agent, run.environment.action_names, run.environment.frames
        self.symbol, self.findings, self.novelty, self.films = symbol_text(symbol), findings, novelty, films
        self.scores = displayed_scores(findings.scores, run.agent)
        scores_of_twins = np.zeros((0, self.scores.shape[1])) if twins is None else displayed_scores(twins.scores, run.agent)
        self.axes = bar_axes(np.concatenate([self.scores, scores_of_twins]), run.agent)
        self.verdicts, self.rollouts = _verdicts(run, symbol), _rollouts(run, symbol)
        self.twins = None if twins is None else TwinCards(twins, scores_of_twins, run.environment, films)

    def large(self, index: int) -> StateCard:
        """The card of a state that is shown large."""
        closest, differs, distance = self._closest(index)
        twin = None if self.twins is None else self.twins.card(index)
        states = [self.scores[index]] if twin is None else [twin.scores, self.scores[index]]
        bars = score_bars(self.actions, states, self.axes, self.agent)
        return StateCard(
            link=f"{self.findings.search.slug}-{index + 1}",
            film=self._film(index, with_saliency=True),
            twin=twin,
            closest=closest,
            differs=differs,
            path=self._path(index) if self.films.detail.paths else None,
            no_twin="" if self.twins is None else self.twins.missing(index),
            verdict=self.verdicts.get(index, ""),
            distance=distance,
            bars=bars,
            facts=(*self._facts(index), *self.rollouts.get(index, ())),
        )

    def small(self, index: int) -> SmallCard:
        """The card of a state that is shown small."""
        film = self._film(index, with_saliency=False)
        return SmallCard(film, self._action(index), f"T = {number(self.findings.target[index])}")

    def retrieved(self) -> tuple[SmallCard, ...]:
        """The cards of the real states of lowest energy."""
        if self.novelty is None:
            return ()
        cards: list[SmallCard] = []
        pairs = zip(self.novelty.retrieved[:RETRIEVED], self.novelty.retrieved_target[:RETRIEVED], strict=True)
        for rank, (state, energy) in enumerate(pairs, start=1):
            alt = f"Real state of rank {rank} by the target energy of {self.symbol}."
            film = self.films.encode(state, alt, "real", "real")
            cards.append(SmallCard(film, "", f"T = {number(float(energy))}"))
        return tuple(cards)

    def _action(self, index: int) -> str:
        return action_text(self.actions, self.scores[index], self.axes, self.agent)

    def _film(self, index: int, with_saliency: bool) -> Film:
        alt = (
            f"Synthesised state {index + 1} of {len(self.findings.states)} for {self.symbol}, the newest of {self.frames} "
            f"frames. The agent’s action: {self._action(index)}."
        )
        saliency = self.findings.saliency[index] if with_saliency else None
        return self.films.encode(self.findings.states[index], alt, "synthesised", "synthesised", saliency)

    def _path(self, index: int) -> Film | None:
        """The newest frames of the states that the search passed."""
        path, moments = self.findings.path_of(index), self.findings.path_moments(index)
        if len(moments) < 2:
            return None
        alt = f"The path of the search for synthesised state {index + 1}, {len(path)} moments from its start to its end."
        film = self.films.encode(path, alt, "path of the search", "synthesised")
        return replace(film, moments=moments)

    def _closest(self, index: int) -> tuple[Film | None, Film | None, tuple[Fact, ...]]:
        if self.novelty is None:
            return None, None, ()
        alt = f"Closest training state to synthesised state {index + 1}."
        film = self.films.encode(self.novelty.closest[index], alt, "closest real state", "real")
        share = f"{100 * self.novelty.differing_share[index]:.1f}\u00a0%"
        alt = f"The newest frame of synthesised state {index + 1}, bright where it differs from the closest training state."
        states = self.novelty.closest[index, -1], self.findings.states[index, -1]
        differs = self.films.difference(*states, alt, "what differs", "synthesised")
        facts = (
            Fact("pixels that differ", share, "share of the newest frame’s pixels that differ by more than a quarter"),
            Fact("squared error", number(self.novelty.mse[index], 2), "mean over all pixels from 0 to 1; smallest of all"),
        )
        return film, differs, facts

    def _facts(self, index: int) -> tuple[Fact, ...]:
        findings = self.findings
        value = () if findings.value is None else (Fact("critic’s value V", number(findings.value[index])),)
        return (
            *value,
            Fact(
                "target energy T",
                number(findings.target[index]),
                "the target’s value of the agent’s answers; lower fits better",
            ),
            Fact("KL to prior", f"{number(findings.prior_kl[index])} nats", "of the search distribution from N(0, I)"),
            Fact("steps", f"{int(findings.iterations[index]):,}", "that the search took"),
        )


def _verdicts(run: Run, symbol: str) -> dict[int, str]:
    """The verdict on the group of states that the twin of a synthesised state belongs to, by the state's number."""
    weaknesses = run.confirmation.weaknesses if run.confirmation else ()
    sources = ((start.source, weakness.verdict) for weakness in weaknesses for start in weakness.states)
    found = ((_number(source, symbol), verdict) for source, verdict in sources)
    return {index: verdict for index, verdict in found if index is not None}


def _rollouts(run: Run, symbol: str) -> dict[int, tuple[Fact, ...]]:
    """What the first rollouts from the twins of synthesised states showed, by the number of the state."""
    if run.confirmation is None:
        return {}
    what = f"the agent {run.confirmation.loss} within {run.confirmation.horizon} decisions; first rollouts from the twin"
    facts: dict[int, tuple[Fact, ...]] = {}
    for state in run.confirmation.states:
        if (index := _number(state.source, symbol)) is not None:
            lost = Fact("rollouts lost", f"{state.lost} of {state.rollouts}", what)
            facts[index] = (lost, Fact("return in rollouts", number(state.earned), "the mean over these rollouts"))
    return facts


def _number(source: str, symbol: str) -> int | None:
    """The index of the synthesised state of a target that a start is the twin of; None for others."""
    target, _, number = source.rpartition(" ")
    return int(number) - 1 if target == symbol and number.isdigit() else None


def _selection(findings: Findings) -> str:
    """How many searches the states were selected from; empty if all are kept."""
    searches = findings.search.settings.get("searches", 1)
    if not isinstance(searches, int) or searches <= 1:
        return ""
    count = len(findings.states)
    return f"These are the {count} states of lowest target energy from {searches * count} searches."


def _charts(findings: Findings, novelty: Novelty | None) -> tuple[Chart, ...]:
    charts = [energy_chart(findings.energy)] if findings.energy.shape[1] else []
    if novelty is not None and len(novelty.real_target) and len(findings.target):
        charts.append(distribution_chart(novelty.real_target, findings.target))
    return tuple(chart for chart in charts if chart is not None)


def _beyond(findings: Findings, novelty: Novelty | None) -> str:
    if novelty is None or not len(novelty.real_target):
        return ""
    real = novelty.real_target
    count = int((findings.target < real.min()).sum())
    return (
        f"Dashed line: the lowest of the {len(real):,} held-out real states; {count} of {len(findings.target)} "
        f"synthesised states {'lies' if count == 1 else 'lie'} below it."
    )
