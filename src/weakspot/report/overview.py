"""The numbers of the overview, and the records at the end of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from weakspot.artifacts.run import Run
from weakspot.report.text import Fact, duration, flat, number, percent


def key_figures(run: Run) -> tuple[Fact, ...]:
    """The few numbers under the title."""
    figures: list[Fact] = []
    if (goggles := run.goggles) is not None:
        played, through, count = goggles.agent.interval, goggles.goggles.interval, len(goggles.agent.scores)
        how = f"mean over {count} whole episodes, the same seeds for both scores"
        figures.append(Fact(f"score, mean of {count} episodes in this run", number(played.mean), how))
        name = f"score on reconstructions, against {number(played.mean)} on real frames"
        figures.append(Fact(name, number(through.mean), f"{how}; the agent sees only reconstructions"))
    elif (card := run.agent.card) is not None:
        figures.append(Fact(f"score on its card, mean of {card.episodes} episodes", number(card.score_mean)))
    if run.fidelity and run.fidelity.objects:
        worst = min(run.fidelity.objects, key=lambda item: item.recall.mean)
        how = f"of {worst.n} held-out real states that contain it"
        figures.append(Fact(f"of reconstructions contain the {worst.name}", percent(worst.recall.mean), how))
    if run.findings:
        targets = f"{len(run.findings)} target" + ("s" if len(run.findings) != 1 else "")
        count = sum(len(findings.states) for findings in run.findings.values())
        how = "searched in the latent space of the state model"
        figures.append(Fact(f"synthesised states for {targets}", str(count), how))
    return tuple(figures)


def card_facts(run: Run) -> tuple[Fact, ...]:
    """The fields of the agent's card."""
    card = run.agent.card
    return () if card is None else flat(asdict(card))


def stage_bars(seconds: Mapping[str, float]) -> tuple[tuple[str, float, str], ...]:
    """(stage, percent of the longest one, time) of every stage."""
    longest = max([*seconds.values(), 1e-9])
    return tuple((stage, round(100 * value / longest, 1), duration(value)) for stage, value in seconds.items())
