"""How much sooner ``fast`` learns than the paper's recipe: both on the same states, over the same processor time.

    python -m experiments.equal_time --minutes 90 --fast-minutes 10 30 --output docs/results/pong

The paper's learning rate is constant, so one long training has its state models of all shorter ones. That of ``fast`` falls
to a hundredth over its budget, so ``fast`` is trained once for each budget, a part of which goes to its flow. During
training, reconstructions of held-out states are measured: the squared error, the agent's answers, and the recall of small
objects. For each measure and budget, the record contains the minutes after which the paper's recipe is as good for good as
``fast`` at its end, and the factor between the two times; if that never happens, the factor is a lower bound. At the end of
each training the agent plays on reconstructions.

A killed experiment resumes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lab.arguments import at_least, experiment_parser, parse_arguments, positive
from lab.command import run_command, say
from lab.experiment import start_experiment
from lab.figures import save_chart
from lab.pipeline import MODEL, STATES, experiment_config, goggles_config, goggles_record, measurements, open_session

LOWER_IS_BETTER = ("mse", "answer_error")
HIGHER_IS_BETTER = ("agreement",)
"""Measures of reconstructions. Those that end in ``recall`` are better if they are higher, too."""

Curve = list[dict[str, Any]]
"""Measurements during a training, each with its ``seconds``."""


def measures_of(line: dict[str, Any]) -> list[str]:
    """The measures in a line of a curve that can be compared."""
    known = (*LOWER_IS_BETTER, *HIGHER_IS_BETTER)
    return [name for name in line if name in known or name.endswith("recall")]


def catches_up(curve: Curve, measure: str, value: float) -> float | None:
    """Seconds after which a curve stays at least as good as ``value``; None if it is worse at its end."""
    sign, seconds = -1 if measure in LOWER_IS_BETTER else 1, None
    for line in reversed(curve):
        if sign * line[measure] < sign * value:
            break
        seconds = float(line["seconds"])
    return seconds


def factors(fast: dict[str, Any], seconds_of_fast: float, paper: Curve) -> dict[str, dict[str, Any]]:
    """How long the paper's recipe takes to be as good as ``fast`` at its end, for each measure.

    Args:
        fast: the last measurement of ``fast``.
        seconds_of_fast: its whole budget, with that of its flow.
        paper: measurements of the paper's recipe.

    Returns:
        For each measure, the value of ``fast``, the ``seconds`` of both recipes, their ``factor``, and whether it is only a
        lower bound, because the paper's recipe was not as good when its training ended.
    """
    found: dict[str, dict[str, Any]] = {}
    for measure in measures_of(fast):
        seconds = catches_up(paper, measure, fast[measure])
        spent = seconds if seconds is not None else float(paper[-1]["seconds"])
        found[measure] = {
            "fast": fast[measure],
            "seconds of fast": round(seconds_of_fast, 1),
            "seconds of paper": round(spent, 1),
            "factor": round(spent / seconds_of_fast, 2),
            "lower bound": seconds is None,
        }
    return found


def draw_figure(curves: dict[str, Curve], title: str, path: Path) -> None:
    """Draws each measure over processor minutes, a line for each training."""
    measures = measures_of(curves["paper"][-1])
    figure = Figure(figsize=(3.9 * len(measures), 3.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for name, curve in curves.items():
            axes.plot([line["seconds"] / 60 for line in curve], [line[measure] for line in curve], label=name)
        axes.set(xlabel="processor minutes of training", ylabel=measure.replace("_", " "))
        if measure in LOWER_IS_BETTER:
            axes.set_yscale("log")
    save_chart(figure, path)


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--minutes", type=positive, default=90.0, help="processor minutes of the paper's recipe")
    parser.add_argument(
        "--fast-minutes", nargs="+", type=positive, default=[10.0, 30.0], help="processor minutes of fast, one or more"
    )
    parser.add_argument("--episodes", type=at_least(1), default=20, help="of the agent on reconstructions")
    parser.add_argument(
        "--longest", type=at_least(1), default=goggles_config(1).longest, help="decisions after which an episode is cut"
    )
    arguments = parse_arguments(parser)
    experiment, extra = start_experiment(arguments, stages=STATES), arguments.extra
    trainings = {f"fast, {minutes:g} minutes": ("fast", minutes) for minutes in sorted(extra.fast_minutes)}
    trainings["paper"] = ("paper", extra.minutes)
    curves: dict[str, Curve] = {}
    record: dict[str, Any] = {}
    goggles = goggles_config(extra.episodes, extra.longest)
    for name, (recipe, minutes) in trainings.items():
        config = experiment_config(arguments, recipe=recipe, minutes=minutes, goggles=goggles)
        session = open_session(config, (*MODEL, "goggles"))
        curves[name], scores = measurements(session), goggles_record(session)
        record[name] = {"steps": session.model.info["steps"], "goggles": scores, "curve": curves[name]}
        say(f"{name}: {curves[name][-1]}, goggles {scores['goggles']['mean']}")
    compared = {
        name: factors(curves[name][-1], 60.0 * minutes, curves["paper"])
        for name, (recipe, minutes) in trainings.items()
        if recipe != "paper"
    }
    for name, found in compared.items():
        say(f"{name}: {found}")
    draw_figure(curves, experiment.agent_name, arguments.output / "equal-time.png")
    experiment.write("equal-time", {"trainings": record, "factors": compared})


if __name__ == "__main__":
    run_command(main)
