"""Twins of synthesised states: how many have one, how close it is, and what it costs.

    python -m benchmarks.twins --agent pong-double-dqn --targets T- T+ T+- RIGHT --output docs/twins/twins.json

For each target, and for all targets of an agent together: the share of synthesised states with a twin; how often the best
state found reaches the target's value within half a standard deviation of real states, and how often the closest recorded
state does; the share of twins, and of the synthesised states themselves, with a lower target energy than all real training
states; of such synthesised states, the share that has such a twin; the share of edited states that are possible; distances;
seconds and decisions a state.
Memory search, which changes variables and actions with the target as its aim and has no synthesised states, gets as many
decisions for each state as the twins took.  Calibration: real states of other episodes recreated by edits should pass
the checks, states with random values in their variables should not.  Rows of other agents in the file are kept, and finished
stages are not repeated after a kill.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab import intervals
from lab.arguments import add_training_arguments, at_least
from lab.command import repeatable_command, run_command, say
from lab.page import replace_table, table
from lab.pipeline import open_session, run_config
from lab.records import all_versions, earlier_record, save_record
from lab.twins import TWINS, calibration, memory_row, target_row

TOTALS, ROWS, CALIBRATION = "twins of agents", "twins", "calibration of twins"
"""Names of the tables on the page."""


def totals_table(record: dict[str, Any]) -> str:
    """All targets of each agent together, in Markdown."""
    head = (
        *("agent", "method", "targets", "states", "with a twin", "recorded, reached, edited", "value reached"),
        *("by the closest recorded state", "synthesised states beyond all real ones", "twins beyond them"),
        *("states beyond with a twin beyond", "seconds"),
    )
    rows = record["rows"]
    names = dict.fromkeys(row["agent"] for row in rows)
    groups = [(name, [row for row in rows if row["agent"] == name]) for name in names]
    lines = [
        _total(name, [row for row in group if row["method"] == method])
        for name, group in (*groups, ("all", rows))
        for method in dict.fromkeys(row["method"] for row in group)
    ]
    return rounded_table(head, lines)


def _total(name: str, rows: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    """The line of one agent and method, whose rows are given; seconds are the median over targets."""
    states = [row["states"] for row in rows]
    found = [_count(row["twin_share"], row["states"]) for row in rows]
    beyond = [_count(row["aims_beyond_best_real"], row["states"]) for row in rows]
    twins = rows[0]["kinds"] is not None
    kinds = [sum(row["kinds"][kind] for row in rows) for kind in rows[0]["kinds"]] if twins else None

    def total(measure: str, among: Sequence[int]) -> tuple[float, float, float] | None:
        counts = [_count(row[measure], number) for row, number in zip(rows, among, strict=True)]
        return intervals.share_of(sum(counts), sum(among))

    return (
        *(name, rows[0]["method"], len(rows), sum(states)),
        total("twin_share", states) if twins else None,
        ", ".join(map(str, kinds)) if kinds else None,
        total("within_half_sd", states),
        total("within_half_sd_of_recorded", states) if twins else None,
        total("aims_beyond_best_real", states) if twins else None,
        total("beyond_best_real", found if twins else states),
        total("followed_beyond", beyond) if twins else None,
        float(np.median([row["seconds"] for row in rows])),
    )


def _count(share: Sequence[float] | None, among: int) -> int:
    """How many of ``among`` a share with its interval counts; 0 where there is none, since nothing could be counted."""
    return round(share[0] * among) if share else 0


def rows_table(record: dict[str, Any]) -> str:
    """The rows of all targets in Markdown."""
    head = (
        *("agent", "target", "method", "states", "with a twin", "recorded, reached, edited", "value reached"),
        *("by the closest recorded state", "synthesised states beyond all real ones", "twins beyond them"),
        "states beyond with a twin beyond",
        *("distance", "of the closest recorded state"),
        *("seconds", "decisions"),
    )
    lines = [
        (
            *(row["agent"], row["target"], row["method"], row["states"], row["twin_share"]),
            ", ".join(map(str, row["kinds"].values())) if row["kinds"] else None,
            *(row["within_half_sd"], row["within_half_sd_of_recorded"]),
            *(row["aims_beyond_best_real"], row["beyond_best_real"], row.get("followed_beyond")),
            *(row["distance"], row["distance_of_recorded"], row["seconds"], row["environment_steps"]),
        )
        for row in record["rows"]
    ]
    return rounded_table(head, lines)


def calibration_table(record: dict[str, Any]) -> str:
    """The shares of states that pass the checks, in Markdown."""
    head = ("agent", "states", "number", "settle", "round trip", "objects", "play on", "possible")
    kinds = {
        "recreated": "real ones, recreated",
        "four_random": "four variables random",
        "all_random": "all variables random",
    }
    checks = ("settles", "round_trip", "objects", "plays_on", "possible")
    lines = [
        (agent, words, measured["states"], *(measured["passed"].get(check) for check in checks))
        for agent, entry in record["agents"].items()
        for kind, words in kinds.items()
        if (measured := entry["calibration"][kind])
    ]
    return rounded_table(head, lines)


def rounded_table(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A table whose shares and distances have two digits."""

    def rounded(value: Any) -> Any:
        return tuple(round(part, 2) for part in value) if isinstance(value, list | tuple) else value

    return table(head, [[rounded(value) for value in line] for line in lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser, 12.0)
    parser.add_argument("--targets", nargs="+", default=["T-", "T+", "T+-"])
    parser.add_argument("--recreated", type=at_least(2), default=30, help="real states that are recreated by edits")
    parser.add_argument("--trials", type=at_least(1), default=800, help="sets of changes and actions for each of these")
    parser.add_argument("--output", type=Path, default=Path("runs/results/twins.json"))
    parser.add_argument("--page", type=Path, help="a page with markers for the tables")
    arguments = parser.parse_args()
    config = run_config(
        arguments.folder, arguments.agent, arguments.environment, frames=arguments.frames, minutes=arguments.cpu_minutes,
        targets=arguments.targets,
    )  # fmt: skip
    session = open_session(config, TWINS)
    generator = np.random.default_rng(0)
    rows = [
        row for slug in session.targets for row in (target_row(session, slug, generator), memory_row(session, slug, seed=0))
    ]
    for row in rows:
        say(str(row))
    name = session.subject.agent.spec.name
    checks = calibration(session, arguments.recreated, arguments.trials, seed=0)
    say(str(checks))
    record = earlier_record(arguments.output)
    others = [row for row in record.get("rows", []) if row["agent"] != name]
    agents = record.get("agents", {}) | {
        name: {
            "command": repeatable_command(sys.argv),
            "versions": all_versions(),
            "frames": arguments.frames,
            "cpu_minutes": arguments.cpu_minutes,
            "calibration": checks,
        }
    }
    record = {"rows": sorted([*others, *rows], key=lambda row: row["agent"]), "agents": agents}
    save_record(arguments.output, record)
    if arguments.page:
        for name, make in (TOTALS, totals_table), (ROWS, rows_table), (CALIBRATION, calibration_table):
            replace_table(arguments.page, name, make(record))


if __name__ == "__main__":
    run_command(main)
