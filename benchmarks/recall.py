"""Ball recall of two recipes over equal time on the same frames and cores, and the goggles score of ``fast``.

The time is wall time of the training steps on all cores, without measurements in between.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lab.arguments import at_least, positive
from lab.command import run_command
from lab.objects import check_pong
from lab.pipeline import MODEL, goggles_config, goggles_record, measurements, open_session, run_config


def measure(agent: str, environment: str | None, minutes: float, episodes: int, folder: Path) -> dict[str, Any]:
    """Recall of ``fast`` and ``paper`` over time, and the goggles scores with ``fast``.

    Raises:
        ConfigError: the agent does not play Pong.
    """
    goggles = goggles_config(episodes)
    curves = {}
    scores: dict[str, Any] = {}
    for recipe in ("fast", "paper"):
        config = run_config(folder, agent, environment, recipe=recipe, minutes=minutes, clock="wall", goggles=goggles)
        session = open_session(config, (*MODEL, "goggles") if recipe == "fast" else MODEL, check_pong)
        curves[recipe] = measurements(session)
        if recipe == "fast":
            scores = goggles_record(session)
    return {
        "ball_recall_fast": curves["fast"][-1]["ball_recall"],
        "ball_recall_paper": curves["paper"][-1]["ball_recall"],
        "agent_score": scores["agent"]["mean"],
        "goggles_score": scores["goggles"]["mean"],
        "goggles": scores,
        "minutes": minutes,
        "curve_fast": curves["fast"],
        "curve_paper": curves["paper"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--minutes", type=positive, default=7.0, help="training budget of each recipe")
    parser.add_argument("--episodes", type=at_least(1), default=20, help="of the goggles test")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="folder of the runs")
    arguments = parser.parse_args()
    record = measure(arguments.agent, arguments.environment, arguments.minutes, arguments.episodes, arguments.folder)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    run_command(main)
