"""Weaknesses that are known, and how reliably rollouts find them unaided.

    python -m experiments.known_weaknesses --agents-folder FOLDER --seeds 0 1 2 3 4 --output docs/known_weaknesses

So far one weakness is known: agents of Seaquest suffocate because they do not surface.  Their oxygen is byte 102 of the
memory, and byte 104 counts it down; holding an action that goes up avoids the loss where it is not too late.  The tool
gets no hint of it.  For each seed the weaknesses are found anew; recall at rank k is the share of seeds in which a
known cause is among the first k confirmed weaknesses.

``recorded`` starts from random recorded states alone; ``twins`` from twins as well, which needs a state model.  All other
methods (:mod:`lab.rivals`) choose most of the states in place of random ones; everything after that is the same.  Minutes
are those of processor time.  Seeds that the file already has are not repeated.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lab import intervals
from lab.arguments import at_least, positive
from lab.command import repeatable_command, run_command, say
from lab.confirming import METHODS, Known, find_weaknesses, has_right_rescue, rank_of
from lab.page import replace_table, table
from lab.pipeline import open_session, run_config
from lab.records import all_versions, earlier_record, save_record

RANKS = (1, 3, 5)
TABLE = "known weaknesses"
"""Name of the table on the page."""
OXYGEN, UPWARDS = ("byte 102", "byte 104"), ("UP", "UPRIGHT", "UPLEFT", "UPFIRE", "UPRIGHTFIRE", "UPLEFTFIRE")


def known(agents: Path | None) -> dict[str, Known]:
    """The known weaknesses, by the name of the case."""
    own = Path(__file__).with_name("agents") / "seaquest-double-dqn.safetensors"
    cases = {"seaquest-double-dqn": Known("suffocation", str(own), OXYGEN, UPWARDS)}
    if agents is not None:
        file = agents / "acktr_SeaquestNoFrameskip-v4.safetensors"
        cases["seaquest-acktr"] = Known("suffocation", str(file), OXYGEN, UPWARDS)
    return cases


def summary(runs: list[dict[str, Any]], case: Known) -> dict[str, Any]:
    """Recall, right rescues and cost over the seeds of one case and method."""
    ranks = [rank_of(run, case) for run in runs]
    generator = np.random.default_rng(0)
    recall = {f"recall_at_{k}": intervals.share([rank is not None and rank <= k for rank in ranks]) for k in RANKS}
    return {
        **recall,
        "right_rescue": intervals.share([has_right_rescue(run, case) for run in runs]),
        "minutes": intervals.mean(np.array([run["minutes"] for run in runs]), generator) if len(runs) > 1 else None,
        "environment_steps": float(np.mean([run["environment_steps"] for run in runs])),
        "seeds": len(runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents-folder", type=Path, help="folder of published agents; without it, only our own are used")
    parser.add_argument("--cases", nargs="+", help="names of cases; default: all")
    parser.add_argument("--methods", nargs="+", default=["recorded"], choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2, 3, 4])
    parser.add_argument("--frames", type=at_least(1), default=20_000, help="states to collect")
    parser.add_argument("--budget", type=positive, default=12.0, help="processor minutes of the state model, for twins")
    parser.add_argument("--folder", type=Path, default=Path("runs/known-weaknesses"), help="folder of the runs")
    parser.add_argument("--output", type=Path, default=Path("runs/results/known_weaknesses"))
    parser.add_argument("--page", type=Path, help="a page with markers for the table")
    arguments = parser.parse_args()
    path = arguments.output / "known_weaknesses.json"
    cases = known(arguments.agents_folder)
    for name in arguments.cases or cases:
        for method in arguments.methods:
            config = run_config(arguments.folder, cases[name].agent, None, frames=arguments.frames, minutes=arguments.budget)
            session = open_session(config, METHODS[method])
            for seed in arguments.seeds:
                record = earlier_record(path)
                runs = record.get("runs", {}).get(name, {}).get(method, [])
                if any(run["seed"] == seed for run in runs):
                    continue
                runs = [*runs, find_weaknesses(session, method, seed)]
                say(f"{name}, {method}, seed {seed}: rank {rank_of(runs[-1], cases[name])}, {runs[-1]['minutes']} minutes")
                save_record(path, _extended(record, name, method, runs, cases[name]))
    if arguments.page:
        replace_table(arguments.page, TABLE, recall_table(earlier_record(path)))


def recall_table(record: dict[str, Any]) -> str:
    """Recall, right rescues and cost of every case and method, in Markdown."""
    head = ("agent", "method", "seeds", *(f"recall at {k}" for k in RANKS), "right rescue", "minutes", "decisions")
    lines = [
        (
            *(row["case"], row["method"], row["seeds"]),
            *(_rounded(row[name]) for name in (*(f"recall_at_{k}" for k in RANKS), "right_rescue", "minutes")),
            row["environment_steps"],
        )
        for row in record["methods"]
    ]
    return table(head, lines)


def _rounded(values: Any) -> Any:
    return None if values is None else tuple(round(value, 2) for value in values)


def _extended(record: dict[str, Any], name: str, method: str, runs: list[dict[str, Any]], case: Known) -> dict[str, Any]:
    """The record with all runs of one case and method, and their summary."""
    all_runs = record.get("runs", {})
    all_runs[name] = all_runs.get(name, {}) | {method: runs}
    row = {"case": name, "method": method, **summary(runs, case)}
    others = [other for other in record.get("methods", []) if (other["case"], other["method"]) != (name, method)]
    methods = sorted([*others, row], key=lambda one: (one["case"], one["method"]))
    return {"command": repeatable_command(sys.argv), "versions": all_versions(), "methods": methods, "runs": all_runs}


if __name__ == "__main__":
    run_command(main)
