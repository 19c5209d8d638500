"""The section that rates the state model: reconstructions, random samples, and the curves of its training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.evidence import Reconstructions, SampleMeasures
from weakspot.artifacts.run import Run
from weakspot.artifacts.subject import AgentRecord, EnvironmentRecord
from weakspot.artifacts.training import Curve
from weakspot.report.bars import Bars, action_text, bar_axes, bars_caption, displayed_scores, score_bars
from weakspot.report.charts import Chart, training_chart
from weakspot.report.films import Detail, FilmEncoder, SmallCard
from weakspot.report.images import Film
from weakspot.report.text import number, percent

CURVES = {
    "loss": ("Loss", "", False),
    "reconstruction": ("Reconstruction Lₚ", "", False),
    "perception": ("Perception Lₐ", "", False),
    "prior": ("Prior KL", "nats", False),
    "kl": ("What the latents carry, held-out", "nats", False),
    "active_units": ("Latent dimensions in use", "", False),
    "mse": ("Squared error", "mean over pixels", False),
    "agreement": ("Same action as on the real state", "share of states", True),
}
"""Title, unit, and whether it is a share, of the quantities that the training of the state model logs."""

CHECKS = {
    "one_ball": "at most one ball",
    "sharp": "a sharp ball",
    "left": "one paddle of the right height on the left",
    "right": "the same on the right",
}
"""The condition of each object check, which every frame has to meet."""


@dataclass(frozen=True)
class ReconstructionCard:
    """A real state and its reconstruction, with the agent's scores in both; ``worst``: it was not drawn at random."""

    real: Film
    reconstructed: Film
    bars: Bars
    actions: str
    agrees: bool
    worst: bool


def reconstruction_cards(data: Reconstructions, run: Run, detail: Detail) -> tuple[ReconstructionCard, ...]:
    """Real states and their reconstructions, with the agent's scores in both."""
    agent, names = run.agent, run.environment.action_names
    films = FilmEncoder(run.environment, detail)
    real = displayed_scores(data.scores_real, agent)
    reconstructed = displayed_scores(data.scores_reconstructed, agent)
    axes = bar_axes(np.concatenate([real, reconstructed]), agent)

    def action(scores: Array) -> str:
        return action_text(names, scores, axes, agent) if agent.continuous else names[int(scores.argmax())]

    cards: list[ReconstructionCard] = []
    for index in range(len(data.real)):
        before, after = action(real[index]), action(reconstructed[index])
        alts = f"Real state {index + 1}: {before}.", f"Reconstruction of state {index + 1}: {after}."
        card = ReconstructionCard(
            real=films.encode(data.real[index], alts[0], "real", "real", data.saliency[index]),
            reconstructed=films.encode(data.reconstructed[index], alts[1], "reconstruction", "reconstructed"),
            bars=score_bars(names, [real[index], reconstructed[index]], axes, agent),
            actions=f"{before} on both" if before == after else f"{before} became {after}",
            agrees=bool(data.same_action[index]),
            worst=bool(data.worst[index]),
        )
        cards.append(card)
    return tuple(cards)


def reconstruction_caption(data: Reconstructions, agent: AgentRecord, measured: int) -> str:
    """Which states they are, the worst of them out of ``measured`` ones, and what the paired bars show."""
    scores = displayed_scores(np.concatenate([data.scores_real, data.scores_reconstructed]), agent)
    worst = int(data.worst.sum())
    chosen = f"{len(data.worst) - worst} held-out states that were drawn at random"
    if worst:
        chosen += f", and the {worst} others of {measured} in which the reconstruction changes the agent’s answers most"
    return f"{chosen}. {bars_caption(scores, agent, 'in the real state (upper) and in its reconstruction (lower)')}"


def sample_cards(states: Array, environment: EnvironmentRecord, detail: Detail) -> tuple[SmallCard, ...]:
    """Random samples (n, k, h, w, c), in the order drawn."""
    films = FilmEncoder(environment, detail)
    return tuple(
        SmallCard(films.encode(state, f"Random sample {rank}.", "sample", "synthesised"), "", "")
        for rank, state in enumerate(states, start=1)
    )


def samples_caption(measures: SampleMeasures) -> str:
    """How far random samples are from real states."""
    if not measures.count or measures.distance is None or measures.floor is None:
        return "Too few real states were held out to compare the samples with."
    text = (
        f"In the agent’s features, the Fréchet distance between {measures.count} random samples and as many real states is "
        f"{number(measures.distance)}; between two halves of the real states it is {number(measures.floor)}."
    )
    if measures.checks and measures.valid is not None and measures.real_valid is not None:
        demands = ", ".join(CHECKS.get(name, name.replace("_", " ")) for name in measures.checks if name != "valid")
        text += (
            f" {percent(measures.valid)} of the samples and {percent(measures.real_valid)} of the real states pass all "
            f"checks of their objects{f' ({demands})' if demands else ''}."
        )
    return text


def training_charts(curves: tuple[Curve, ...]) -> tuple[Chart, ...]:
    """A small chart for each known quantity, in a fixed order: losses, measures, and the recall of each object."""
    by_name = {curve.name: curve for curve in curves}
    known = [training_chart(by_name[name], *CURVES[name]) for name in CURVES if name in by_name]
    recalls = [curve for curve in curves if curve.name.endswith("_recall")]
    names = [curve.name.removesuffix("_recall").replace("_", " ").capitalize() for curve in recalls]
    objects = [
        training_chart(curve, f"{name} recall, held-out", "share of states", True)
        for curve, name in zip(recalls, names, strict=True)
    ]
    return (*known, *objects)
