"""The scale of the squared error in the paper's loss, which the paper leaves open, and what it decides.

    python -m experiments.loss_scale --output docs/results/pong/loss-scale

Each cell is one of the paper's three losses (section 4.5) with one scale: 1 is the loss of pixels from 0 to 1, 65025 that
of pixels from 0 to 255, and the plain VAE is both averaged and summed over pixels. All cells are trained on the same states
with the same seed, and measured after the same numbers of steps: the KL in nats, latent dimensions in use, squared error,
objects and actions in reconstructions, random samples, the agent's score on reconstructions (table 1), and at the end what
Algorithm 1 finds for T-, as printed and with our settings. Trainings and measures run on one thread.

A killed experiment resumes, and one with later --milestones continues the trainings. Two processes can share the work if
--cells names different cells.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lab.arguments import at_least, short_name
from lab.command import repeatable_command, run_command, say
from lab.figures import save_labelled
from lab.loss_scale import Cell, Row, Session, cell_of, example_rows, measured, searched, searches, trained
from lab.measures import reference_stats
from lab.pipeline import STATES, goggles_config, open_session, run_config
from lab.records import all_versions, earlier_record, save_record

SCALES = (1.0, 100.0, 1_000.0, 10_000.0, 65_025.0)
CELLS = (*(f"{loss}:{scale:g}" for scale in SCALES for loss in ("full", "attentive", "vae")), "vae-sum:1")
"""All cells. Summed over 84x84x12 pixels, the squared error of the plain VAE is 84,672 times the averaged one."""
SEARCHED = 16
"""States that each search returns."""
TARGET = "T-"


def measure_cell(session: Session, cell: Cell, arguments: argparse.Namespace) -> None:
    """Trains and measures a cell, as far as its record does not hold the measures yet."""
    path = arguments.output / f"{cell.name}.json"
    settings: dict[str, Any] = {
        "agent": short_name(arguments.agent),
        "agent_fingerprint": session.subject.agent.spec.fingerprint,
        "data_fingerprint": session.dataset.fingerprint,
        "frames": arguments.frames,
        "episodes": arguments.episodes,
        "longest": arguments.longest,
        "loss": cell.loss,
        "scale": cell.scale,
        "seed": 0,
    }
    record = earlier_record(path)
    if record.get("settings") != settings or record.get("versions") != all_versions():
        record = {"settings": settings, "versions": all_versions(), "measures": [], "searches": {}}
    goggles, milestones = goggles_config(arguments.episodes, arguments.longest), sorted(arguments.milestones)

    def write() -> None:
        save_record(path, {"command": repeatable_command(sys.argv), **record})

    for steps in milestones:
        if all(line["steps"] != steps for line in record["measures"]):
            if any(line["steps"] > steps for line in record["measures"]):
                say(f"{cell.name}: {steps:,} steps were not measured, and the training is beyond them")
                continue
            line = measured(session, trained(session, cell, steps), goggles)
            record["measures"].append(line)
            write()
            say(f"{cell.name}: {line}")
    missing = [label for label in searches() if record["searches"].get(label, {}).get("after") != milestones[-1]]
    if not missing:
        return
    model, reference = trained(session, cell, milestones[-1]), reference_stats(session, SEARCHED)
    rows: list[Row] = example_rows(session, model)
    for label, config in searches().items():
        measures, row = searched(session, model, TARGET, config(SEARCHED), reference)
        record["searches"][label] = {"target": TARGET, "after": milestones[-1], **measures}
        rows.append((f"{TARGET}\n{label}", row))
        write()
        say(f"{cell.name}, {label}: {measures}")
    title = f"{cell.loss}, scale {cell.scale:g}, {milestones[-1]:,} steps"
    save_labelled(rows, arguments.output / f"{cell.name}.png", title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="pong-double-dqn")
    parser.add_argument("--environment")
    parser.add_argument("--frames", type=at_least(1), default=20_000, help="number of states to collect")
    parser.add_argument("--cells", nargs="+", default=list(CELLS), help="LOSS:SCALE, such as full:65025; default: all")
    parser.add_argument(
        "--milestones", nargs="+", type=at_least(1), default=[1_250, 2_500], help="steps after which to measure"
    )
    parser.add_argument("--episodes", type=at_least(2), default=20, help="of the agent on reconstructions")
    parser.add_argument(
        "--longest", type=at_least(1), default=goggles_config(1).longest, help="decisions after which an episode is cut"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/loss-scale"), help="folder of the runs")
    parser.add_argument("--output", type=Path, default=Path("runs/results/loss-scale"), help="folder of the results")
    arguments = parser.parse_args()
    cells = [cell_of(text) for text in arguments.cells]
    config = run_config(arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames)
    session = open_session(config, STATES)
    for cell in cells:
        measure_cell(session, cell, arguments)


if __name__ == "__main__":
    run_command(main)
