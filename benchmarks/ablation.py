"""What each ingredient of the recipe ``fast`` contributes: each is removed once, for equal processor time and several seeds.

    python -m benchmarks.ablation --cpu-minutes 5 --seeds 0 1 2

Measured are the reconstructions of held-out states, random samples, how far a point of N(0, I) moves through the flow and
its inverse, and the states that searches for T- find: their values relative to those of recorded states, and how many pass
the object checks. Prints a table of means and ranges over the seeds, and writes ``ablation.json``. A variant that was
measured with the same settings and ``--folder`` is not trained again.
"""

from __future__ import annotations

import argparse
import json
from statistics import mean

from lab.arguments import add_training_arguments, at_least
from lab.command import run_command, say
from lab.pipeline import STATES, open_session, run_config
from lab.records import save_record
from lab.variants import VARIANTS, Measurement, variant_measures
from weakspot import SynthesisConfig

MEASUREMENT = Measurement(search=SynthesisConfig(states=64), samples=200)
"""States of the search for T-, and random samples that are compared with as many real states."""


def table(result: dict[str, list[dict[str, float]]]) -> str:
    """Means, and the range over seeds in brackets, as a table in Markdown."""
    columns = list(dict.fromkeys(column for runs in result.values() for run in runs for column in run))
    rows = ["| | " + " | ".join(column.replace("_", " ") for column in columns) + " |", "|---|" + "---|" * len(columns)]
    for name, runs in result.items():
        cells = []
        for column in columns:
            values = [run[column] for run in runs if column in run]
            cells.append(f"{mean(values):.4g} ({min(values):.4g} to {max(values):.4g})" if values else "")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, minutes=5.0)
    parser.add_argument(
        "--variants",
        nargs="+",
        default=[name for name in VARIANTS if name != "without weights of channels"],
        choices=list(VARIANTS),
        help="default: all but 'without weights of channels', since states in colour have none",
    )
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2])
    arguments = parser.parse_args()
    config = run_config(
        arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames, minutes=arguments.cpu_minutes
    )
    session = open_session(config, STATES)
    result: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.variants}
    for seed in arguments.seeds:
        for name in arguments.variants:
            measures = variant_measures(session, name, arguments.cpu_minutes, seed, MEASUREMENT)
            result[name].append(measures)
            say(f"{name}, seed {seed}: {json.dumps(measures)}")
    settings = {
        "agent": session.subject.agent.spec.name, "frames": arguments.frames, "cpu_minutes": arguments.cpu_minutes,
        "seeds": arguments.seeds,
    }  # fmt: skip
    save_record(arguments.folder / "ablation.json", {"settings": settings, "variants": result})
    print(table(result))


if __name__ == "__main__":
    run_command(main)
