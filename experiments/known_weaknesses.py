"""Weaknesses that are known, and how reliably rollouts find them unaided.

    python -m experiments.known_weaknesses --agents-folder FOLDER --seeds 0 1 2 3 4 --output docs/known_weaknesses
    python -m experiments.known_weaknesses --cases planted healthy --methods recorded "low values" --seeds 0

``known``: agents of Seaquest suffocate because they do not surface.  Their oxygen is byte 102 of the memory, and byte 104
counts it down; holding an action that goes up avoids the loss where it is not too late.  Agents that learned to drive among
reasonable pedestrians hit people who step out, whom they never met in that world: a weakness counts if its cause is a
person, and a right rescue brakes.

``planted``: good agents that were made blind, or whose actions were exchanged (:mod:`lab.planted`); a weakness counts if its
losses are due to the plant, which the healthy agent decides by playing from the same states (:mod:`lab.attribution`).
``healthy``: these agents themselves, and a driver that stops for everybody (:mod:`lab.careful_driver`).  A false alarm is a
confirmed weakness whose rescue does not avoid losses in rollouts with other seeds.

The tool gets no hint of any of this.  For each seed the weaknesses are found anew; recall at rank k is the share of runs in
which the weakness is among the first k confirmed ones.

``recorded`` starts from random recorded states alone; ``what-ifs`` also from such in which one thing was changed; ``twins``
also from twins, which needs a state model.  All other methods (:mod:`lab.rivals`) choose most of the states in place of
random ones; everything after that is the same.  Minutes are those of processor time.  Seeds that the file already has are
not repeated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab import careful_driver, intervals
from lab.arguments import at_least, positive, short_name
from lab.command import repeatable_command, run_command, say
from lab.confirming import (
    METHODS,
    Case,
    Healthy,
    Hidden,
    Known,
    confirmed_of,
    find_weaknesses,
    has_right_rescue,
    rank_of,
)
from lab.page import replace_table, table
from lab.pipeline import open_session, run_config
from lab.planted import PLANTS
from lab.records import all_versions, changed_record, earlier_record
from weakspot.errors import ConfigError

RANKS = (1, 3, 5)
TABLE = "known weaknesses"
"""Name of the table on the page."""
OXYGEN, UPWARDS = ("byte 102", "byte 104"), ("UP", "UPRIGHT", "UPLEFT", "UPFIRE", "UPRIGHTFIRE", "UPLEFTFIRE")
PEOPLE, BRAKES = ("person",), ("BRAKE",)
CAREFUL = "careful driver"
TOWN = "weakspot/DriveSemantic64-v0"

ENVIRONMENTS = {
    "pong": "PongNoFrameskip-v4",
    "boxing": "BoxingNoFrameskip-v4",
    "qbert": "QbertNoFrameskip-v4",
    "atlantis": "AtlantisNoFrameskip-v4",
}
"""Of the planted agents, whose names begin with the game's."""


def known(agents: Path | None) -> dict[str, Known]:
    """The known weaknesses, by the name of the case."""
    own = Path(__file__).with_name("agents")
    drivers = ("drivesemantic64-a2c", "drive96-a2c")
    cases = {"seaquest-double-dqn": Known(str(own / "seaquest-double-dqn.safetensors"), OXYGEN, UPWARDS)}
    cases |= {name: Known(str(own / f"{name}.safetensors"), PEOPLE, BRAKES) for name in drivers}
    if agents is not None:
        cases["seaquest-acktr"] = Known(str(agents / "acktr_SeaquestNoFrameskip-v4.safetensors"), OXYGEN, UPWARDS)
    return cases


def groups(agents: Path | None) -> dict[str, dict[str, Case]]:
    """All cases, by the name of their group."""
    return {
        "known": dict(known(agents)),
        "planted": {
            plant.name: Hidden(plant.reference, ENVIRONMENTS[plant.name.partition("_")[0]], plant.healthy)
            for plant in PLANTS
        },
        "healthy": {f"healthy {short_name(agent)}": Healthy(agent) for agent in dict.fromkeys(p.healthy for p in PLANTS)},
        CAREFUL: {CAREFUL: Healthy(f"{careful_driver.__file__}:careful_driver", TOWN)},
    }


def summary(runs: Sequence[tuple[Case, dict[str, Any]]]) -> dict[str, Any]:
    """Recall, right rescues, false alarms and cost of the runs of one method, each with its case."""
    findable = [(case, run) for case, run in runs if not isinstance(case, Healthy)]
    ranks = [rank_of(run, case) for case, run in findable]
    generator = np.random.default_rng(0)
    recall = {f"recall_at_{k}": intervals.share_if_any([rank is not None and rank <= k for rank in ranks]) for k in RANKS}
    rescues = [has_right_rescue(run, case) for case, run in runs if isinstance(case, Known)]
    repeats = [weakness["repeats"] for _, run in runs for weakness in confirmed_of(run) if "repeats" in weakness]
    alarms = [not repeated for repeated in repeats if repeated is not None]
    found = [case.is_found_in(weakness) for case, run in findable for weakness in confirmed_of(run)]
    minutes = np.array([run["minutes"] for _, run in runs])
    return {
        **recall,
        "precision": intervals.share_if_any(found),
        "right_rescue": intervals.share_if_any(rescues),
        "false_alarms": intervals.share_if_any(alarms),
        "confirmed_per_run": float(np.mean([len(confirmed_of(run)) for _, run in runs])),
        "minutes": intervals.mean(minutes, generator) if len(runs) > 1 else None,
        "environment_steps": float(np.mean([run["environment_steps"] for _, run in runs])),
        "runs": len(runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents-folder", type=Path, help="folder of published agents; without it, only our own are used")
    parser.add_argument("--cases", nargs="+", default=["known"], help="names of cases or of their groups; default: known")
    parser.add_argument("--methods", nargs="+", default=["recorded"], choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2, 3, 4])
    parser.add_argument("--frames", type=at_least(1), default=20_000, help="states to collect")
    parser.add_argument("--budget", type=positive, default=12.0, help="processor minutes of the state model, for twins")
    parser.add_argument("--folder", type=Path, default=Path("runs/known-weaknesses"), help="folder of the runs")
    parser.add_argument("--output", type=Path, default=Path("runs/results/known_weaknesses"))
    parser.add_argument("--page", type=Path, help="a page with markers for the table")
    arguments = parser.parse_args()
    path = arguments.output / "known_weaknesses.json"
    cases = groups(arguments.agents_folder)
    every = groups(arguments.agents_folder or Path())  # so that the rows of published agents stay
    for name, case in chosen(cases, arguments.cases).items():
        for method in arguments.methods:
            config = run_config(
                arguments.folder, case.agent, case.environment, frames=arguments.frames, minutes=arguments.budget,
                saliency="gradient" if isinstance(case, Hidden) else "guided",
            )  # fmt: skip
            session = open_session(config, METHODS[method])
            for seed in arguments.seeds:
                runs = earlier_record(path).get("runs", {}).get(name, {}).get(method, [])
                if any(run["seed"] == seed for run in runs):
                    continue
                run = find_weaknesses(session, method, seed, case)
                say(f"{name}, {method}, seed {seed}: rank {rank_of(run, case)}, {run['minutes']} minutes")
                with changed_record(path) as record:
                    _add(record, name, method, run, every)
    if arguments.page:
        replace_table(arguments.page, TABLE, recall_table(earlier_record(path)))


def chosen(cases: dict[str, dict[str, Case]], names: Sequence[str]) -> dict[str, Case]:
    """The cases with some names, or of groups with these names.

    Raises:
        ConfigError: there is no such case.
    """
    every = {name: case for group in cases.values() for name, case in group.items()}
    found: dict[str, Case] = {}
    for name in names:
        if name not in cases and name not in every:
            raise ConfigError(f"there is no case {name!r}", expected=f"one of {', '.join([*cases, *every])}")
        found |= cases[name] if name in cases else {name: every[name]}
    return found


def recall_table(record: dict[str, Any]) -> str:
    """Recall, right rescues, false alarms and cost of every group and method, in Markdown."""
    shares = (*(f"recall_at_{k}" for k in RANKS), "precision", "right_rescue", "false_alarms")
    head = ("cases", "method", "runs", *(f"recall at {k}" for k in RANKS), "precision", "right rescue", "false alarms",
            "confirmed in a run", "minutes", "decisions")  # fmt: skip
    lines = [
        (
            *(row["case"], row["method"], row["runs"]),
            *(_rounded(row[name]) for name in shares),
            round(row["confirmed_per_run"], 1),
            _rounded(row["minutes"]),
            round(row["environment_steps"]),
        )
        for row in record["methods"]
    ]
    return table(head, lines)


def _rounded(values: Any) -> Any:
    return None if values is None else tuple(round(value, 2) for value in values)


def _add(record: dict[str, Any], name: str, method: str, run: dict[str, Any], cases: dict[str, dict[str, Case]]) -> None:
    """Adds a run to the record, and makes the summaries of all groups and methods anew."""
    by_method = record.setdefault("runs", {}).setdefault(name, {})
    by_method[method] = sorted([*by_method.get(method, []), run], key=lambda one: one["seed"])
    record["command"], record["versions"] = repeatable_command(sys.argv), all_versions()
    record["methods"] = []
    for group, members in cases.items():
        for case_names in [[name] for name in members] if group == "known" else [list(members)]:
            for one in METHODS:
                runs = [(members[case], run) for case in case_names for run in record["runs"].get(case, {}).get(one, [])]
                if runs:
                    label = case_names[0] if group == "known" else group
                    record["methods"].append({"case": label, "method": one, **summary(runs)})


if __name__ == "__main__":
    run_command(main)
